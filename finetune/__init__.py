"""Detectors, metrics and fine-tuning. The names below are stable; everything else is free to move.

score(probabilities, masks, mode="native", threshold=0.5)    -> Scores: .iou .niou .pd .fa .f1 .hiou ..., .to_dict()
create_classical(name, **config)    -> callable: frames (B, 1, H, W) in [0, 1] -> saliency in grey levels, same shape
classical_names()                   -> the names it knows
create_detector(name, weights=None, **config)    -> network: images (B, 1, H, W) in [0, 1] -> Prediction(logits_B1HW, auxiliary)
detector_names()                    -> the names it knows

Torch is imported with the first detector or classical method, not here: scores need none.
"""

from typing import TYPE_CHECKING, Any

from finetune.classical import classical_names, create_classical
from finetune.metrics import Scores, score

if TYPE_CHECKING:
    from finetune.detectors import create_detector, detector_names

__all__ = ["Scores", "classical_names", "create_classical", "create_detector", "detector_names", "score"]


def __getattr__(name: str) -> Any:
    if name in ("create_detector", "detector_names"):
        from finetune import detectors

        return getattr(detectors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
