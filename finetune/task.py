"""A detector, its loss and its validation, as the step loop wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from finetune.detectors import Detector
from finetune.metrics import CurveTally, NativeTally
from finetune.metrics.curves import Curves
from finetune.predict import Probabilities, predict_frames
from pretrain.batch import Batch
from synth.errors import SourceError
from synth.sample import FloatImage, Frame

PLATEAU = 0.01
"""IoU, a ratio, that the chosen threshold may give away on validation (our choice; 0.02 did as well)."""
LARGEST_LOGIT = 8.0
"""Log-odds at the ends of the scale thresholds are chosen on (our choice): probabilities 0.0003 and 0.9997."""


class FinetuneTask:
    """What the step loop needs of a fine-tuning.

    Args:
        model: The detector, on ``device``.
        validation: Labelled frames, empty for none.
        device: Where to compute.
        amp: Whether predictions are computed in bfloat16.

    Raises:
        SourceError: No validation frame holds a target: IoU, and so the best threshold, would be undefined.
    """

    best_metric: str | None = "val_best_iou"
    trains_all: bool = True

    def __init__(self, model: Detector, validation: Sequence[Frame], device: torch.device, *, amp: bool) -> None:
        self.model: nn.Module = model
        self._validation, self._device, self._amp = validation, device, amp
        self.pools_frames = model.pools_frames
        if not validation:
            self.best_metric = None
        elif not any(frame.mask is not None and frame.mask.any() for frame in validation):
            raise SourceError(
                f"frames that choose a threshold: none of {len(validation)} (first {validation[0].id}) holds a target; give "
                "a list of frames with targets"
            )

    def loss(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return the parts of the detector's loss; frames without a mask teach nothing, for unlabelled is not empty."""
        labelled = replace(batch, valid_B1HW=batch.valid_B1HW & batch.is_labelled_B[:, None, None, None])
        return self.detector.loss(self.detector(batch.images_B1HW), labelled)

    @property
    def detector(self) -> Detector:
        """The model; the loop may have replaced its normalisation layers for several GPUs."""
        assert isinstance(self.model, Detector)
        return self.model

    def validate(self) -> Mapping[str, float]:
        """Return IoU, nIoU, Pd (percent) and Fa (1e-6) at probability 0.5, native size, and the best IoU over thresholds."""
        if not self._validation:
            return {}
        native, curves = self.tally()
        scores = {name: float(value[0]) for name, value in native.scores().items()}
        threshold, best = best_threshold(curves)
        return {
            "val_iou": 100.0 * scores["iou"], "val_niou": 100.0 * scores["niou"], "val_pd": 100.0 * scores["pd"],
            "val_fa": 1e6 * scores["fa"], "val_best_iou": 100.0 * best, "val_best_threshold": threshold,
        }  # fmt: skip

    def tally(self) -> tuple[NativeTally, Curves]:
        """Return counts at probability 0.5, and the curves over thresholds of the logit scale, of the validation frames."""
        native, curves = NativeTally(), CurveTally()
        for frame, probability in predict_frames(self.detector, self._validation, device=self._device, amp=self._amp):
            native.update(probability, frame.mask, frame.id, mask_max=1)
            curves.update(on_logit_scale(probability), frame.mask, frame.id, mask_max=1)
        return native, curves.result()


def on_logit_scale(probability: Probabilities) -> FloatImage:
    """Return log-odds, cut at +-LARGEST_LOGIT and scaled to [0, 1]: 256 even steps there still tell 0.999 from 0.9995.

    Networks trained with soft IoU are overconfident: on even steps of the probability the best threshold is often the last.

    Args:
        probability: In [0, 1], any shape.
    """
    logits = np.clip(special.logit(probability.astype(np.float64)), -LARGEST_LOGIT, LARGEST_LOGIT)
    scaled: FloatImage = (logits / (2.0 * LARGEST_LOGIT) + 0.5).astype(np.float32)
    return scaled


def best_threshold(curves: Curves) -> tuple[float, float]:
    """Return the threshold to use, a probability, and the highest pooled IoU over thresholds, a ratio.

    The threshold is the middle of the longest run whose IoU is within PLATEAU of the highest: the peak itself is one frame's
    doing. Chosen on halves of validation lists and held against the other halves, it was better than the peak for 6 of 6 nano
    runs, by 0.05 to 0.34 points (NUAA and NUDT, 400 splits each).

    Args:
        curves: Of validation frames, never of test frames, over the logit scale.
    """
    best = float(curves.iou.max())
    is_good = np.concatenate([[False], curves.iou >= best - PLATEAU, [False]])
    starts, stops = (np.flatnonzero(is_good[1:] & ~is_good[:-1]), np.flatnonzero(~is_good[1:] & is_good[:-1]))
    longest = int(np.argmax(stops - starts))
    level = float(curves.thresholds[(starts[longest] + stops[longest]) // 2])
    return float(special.expit(2.0 * LARGEST_LOGIT * (level - 0.5))), best
