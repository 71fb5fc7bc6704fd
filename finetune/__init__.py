"""Detectors, metrics and fine-tuning. The names below are stable; everything else is free to move.

score(probabilities, masks, mode="native", threshold=0.5)    -> Scores: .iou .niou .pd .fa .f1 .hiou ..., .to_dict()
create_classical(name, **config)    -> callable: frames (B, 1, H, W) in [0, 1] -> saliency in grey levels, same shape
classical_names()                   -> the names it knows
"""

from finetune.classical import classical_names, create_classical
from finetune.metrics import Scores, score

__all__ = ["Scores", "classical_names", "create_classical", "score"]
