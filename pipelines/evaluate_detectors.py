"""What an evaluation runs on a frame: a classical method, or a trained run; both give masks by rule and one map in [0, 1]."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from finetune.classical import create_classical
from synth.sample import BoolMask, Frame

CLASSICAL_RULES = ("adaptive", "mean10")
RUN_RULE = "validation"
"""The rule of trained runs: the probability that validation chose."""
HALF_LEVEL = 16.0
"""Saliency that is stored as 0.5, grey levels (our choice): maps are G / (G + 16), which keeps order and fits any method."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a detector says of a frame.

    Attributes:
        masks: Rule -> bool (H, W).
        thresholds: Rule -> threshold, in the detector's own unit.
        unit_map: Floating (H, W) in [0, 1], in the order of the detector's own values.
        peak: Highest of its own values.
    """

    masks: dict[str, BoolMask]
    thresholds: dict[str, float]
    unit_map: npt.NDArray[np.floating[Any]]
    peak: float


class FrameDetector(Protocol):
    """A detector of an evaluation."""

    def __call__(self, frame: Frame) -> Decision:
        """Look at one frame at its native size, in one thread."""
        ...


class ClassicalDetector:
    """A classical method in double precision.

    Args:
        method: Its name.
        settings: Its settings without the name, canonical JSON.
        rules: Threshold rules to apply.
    """

    def __init__(self, method: str, settings: str, rules: tuple[str, ...]) -> None:
        self._method, self._rules = create_classical(method, **json.loads(settings)), rules

    def __call__(self, frame: Frame) -> Decision:
        """Return masks of each rule, and G / (G + 16)."""
        import torch

        from finetune.classical.threshold import RULES

        torch.set_num_threads(1)  # frames are the parallel axis
        saliency_11HW = self._method(torch.from_numpy(frame.levels / frame.max_level)[None, None])
        thresholds: dict[str, float] = {rule: float(of(saliency_11HW)) for rule, of in RULES.items() if rule in self._rules}
        saliency = saliency_11HW[0, 0].numpy()
        masks = {rule: saliency > limit for rule, limit in thresholds.items()}
        return Decision(masks, thresholds, saliency / (saliency + HALF_LEVEL), float(saliency.max()))


class RunDetector:
    """The weights of a finished training run, at the threshold it chose on validation; float32 on the CPU.

    Args:
        run: Its folder.

    Raises:
        RefusalError: It is no finished run, or its weights are not the ones it recorded.
    """

    def __init__(self, run: Path) -> None:
        import torch

        from finetune.train import load_run

        torch.set_num_threads(1)
        self._model, result = load_run(run)
        self._threshold = float(result["threshold"])

    def __call__(self, frame: Frame) -> Decision:
        """Return the mask of probabilities above the threshold, and log-odds on their wide scale; the peak is a probability."""
        import torch

        from finetune.predict import on_wide_scale, predict_logits, probability_of

        ((_, logits),) = predict_logits(self._model, [frame], device=torch.device("cpu"), amp=False)
        probability = probability_of(logits)
        masks = {RUN_RULE: probability > self._threshold}
        return Decision(masks, {RUN_RULE: self._threshold}, on_wide_scale(logits), float(probability.max()))
