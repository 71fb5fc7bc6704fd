"""Detectors, metrics and fine-tuning. The names below are stable; everything else is free to move.

score(probabilities, masks, mode="native", threshold=0.5)    -> Scores: .iou .niou .pd .fa .f1 .hiou ..., .to_dict()
"""

from finetune.metrics import Scores, score

__all__ = ["Scores", "score"]
