"""What a network knows without being tuned to it: targets it finds, what its pixels tell, what its targets resemble.

``find_without_labels``  its own decoder, at probability 0.5 and at a threshold chosen on other frames
``classify_pixels``      a linear classifier of frozen features; average precision over all pixels
``compare_neighbours``   nearest neighbours of targets and of hard background among known ones; area under the ROC

Frames that choose or teach are never those that are scored. Frozen probes under-rate encoders that were trained by masked
modelling (He et al., CVPR 2022): they compare objectives of one kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from finetune.detectors import Detector
from finetune.metrics import CurveTally, NativeTally
from finetune.metrics.curves import Curves, summarise
from finetune.predict import predict_frames
from finetune.probe_pixels import BoolArray, FloatArray, PixelKind, PixelProbe, Pixels
from finetune.task import LARGEST_LOGIT, FinetuneTask, best_threshold, on_logit_scale
from synth.census.auc import plain_auc
from synth.census.logistic import fit_logistic
from synth.errors import SourceError
from synth.sample import Frame

NEIGHBOURS = 20
"""Neighbours that vote: k = 20 of Caron et al., DINO, ICCV 2021."""


def find_without_labels(
    model: Detector, choosing: Sequence[Frame], frames: Sequence[Frame], device: torch.device, *, own: float | None = None
) -> dict[str, Any]:
    """Score the network's own maps at native size.

    Args:
        model: The detector, on ``device``.
        choosing: Labelled frames, other ones, that choose a threshold: the one of highest pooled IoU.
        frames: Labelled frames to score.
        device: Where to compute; float32.
        own: A threshold the network brings along, or None.

    Returns:
        ``thresholds``: name -> ``threshold``, ``iou``, ``niou``, ``pd`` (percent), ``fa`` (1e-6), for ``half``, ``chosen`` and
        ``own``; ``choosing_iou`` (percent) at the chosen one; ``curves``: summary of the curves (``finetune.metrics.curves``);
        ``over_thresholds``: 256 probabilities with ``iou``, ``pd`` (percent) and ``fa`` (1e-6) at each.

    Raises:
        SourceError: No frame of ``choosing`` holds a target.
    """
    threshold, best = best_threshold(FinetuneTask(model, choosing, device, amp=False).tally()[1])
    named = {"half": 0.5, "chosen": threshold} | ({} if own is None else {"own": own})
    tallies, curves = {name: NativeTally(threshold=value) for name, value in named.items()}, CurveTally()
    for frame, probability in predict_frames(model, frames, device=device, amp=False):
        for tally in tallies.values():
            tally.update(probability, frame.mask, frame.id, mask_max=1)
        curves.update(on_logit_scale(probability), frame.mask, frame.id, mask_max=1)
    return {
        "thresholds": {name: {"threshold": named[name]} | _percent(tally) for name, tally in tallies.items()},
        "choosing_iou": 100.0 * best,
        "curves": summarise(curves.result()),
        "over_thresholds": _rows(curves.result()),
    }


def classify_pixels(probe: PixelProbe, taught: Pixels, frames: Sequence[Frame]) -> dict[str, Any]:
    """Fit a linear classifier of pixels and rank all pixels of other frames by it.

    Args:
        probe: The frozen encoder.
        taught: Pixels of the frames that teach.
        frames: Labelled frames to score.

    Returns:
        ``average_precision`` (percent), ``prevalence`` (percent of target pixels: what chance reaches), ``num_features``,
        ``num_taught`` pixels.
    """
    is_target = np.isin(taught.kinds_N, (PixelKind.CENTRE, PixelKind.TARGET))
    model = fit_logistic(taught.features_ND, is_target)
    scores = [model.score(part).astype(np.float32) for frame in frames for part in probe.every_pixel(frame)]
    labels = np.concatenate([np.asarray(frame.mask).ravel() > 0 for frame in frames])
    return {
        "average_precision": 100.0 * average_precision(np.concatenate(scores), labels),
        "prevalence": 100.0 * float(labels.mean()),
        "num_features": taught.features_ND.shape[1],
        "num_taught": len(is_target),
    }


def compare_neighbours(known: Pixels, asked: Pixels) -> dict[str, Any]:
    """Tell targets from hard background by their nearest neighbours among known ones, cosine over standardised features.

    Args:
        known: Pixels of the frames that teach.
        asked: Pixels of the frames to score.

    Returns:
        ``auroc`` (percent; 50 is chance), and numbers of targets and hard background known and asked.

    Raises:
        SourceError: Fewer than ``NEIGHBOURS`` points are known, or one class is missing.
    """
    bank, is_target = _points(known)
    queries, is_asked_target = _points(asked)
    if len(bank) < NEIGHBOURS or not (is_asked_target.any() and (~is_asked_target).any()):
        raise SourceError(
            f"frames of a probe: must give {NEIGHBOURS} known points and both classes to ask for, got {len(bank)} known, "
            f"{int(is_asked_target.sum())} targets and {int((~is_asked_target).sum())} hard background; give more frames"
        )
    mean, scale = bank.mean(axis=0), bank.std(axis=0)
    units = [_unit((points - mean) / np.where(scale > 0, scale, 1.0)) for points in (queries, bank)]
    nearest = np.argpartition(-(units[0] @ units[1].T), NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    votes = is_target[nearest].mean(axis=1)
    return {
        "auroc": 100.0 * plain_auc(votes, is_asked_target),
        "known_targets": int(is_target.sum()),
        "known_background": int((~is_target).sum()),
        "asked_targets": int(is_asked_target.sum()),
        "asked_background": int((~is_asked_target).sum()),
    }


def average_precision(scores: npt.NDArray[np.floating[Any]], labels: BoolArray) -> float:
    """Return the sum over distinct scores, from the highest, of gained recall times precision; NaN without a positive.

    Args:
        scores: Floating (N,).
        labels: bool (N,).
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order], dtype=np.int64)
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0.0)  # of each run of equal scores
    if not found[-1]:
        return float("nan")
    gained = np.diff(found[last], prepend=0)
    return float((gained / found[-1] * (found[last] / (last + 1.0))).sum())


def _points(pixels: Pixels) -> tuple[FloatArray, BoolArray]:
    """Return centres of targets and hard background, and which are targets."""
    parts = pixels.of(PixelKind.CENTRE), pixels.of(PixelKind.HARD)
    return np.concatenate(parts), np.arange(sum(map(len, parts))) < len(parts[0])


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _rows(curves: Curves) -> dict[str, list[float]]:
    """Return the curves over thresholds of the logit scale, by probability."""
    probabilities = special.expit(2.0 * LARGEST_LOGIT * (curves.thresholds - 0.5))
    columns = {"threshold": probabilities, "iou": 100.0 * curves.iou, "pd": 100.0 * curves.pd, "fa": 1e6 * curves.fa}
    return {name: column.tolist() for name, column in columns.items()}


def _percent(tally: NativeTally) -> dict[str, float]:
    scores = {name: float(value[0]) for name, value in tally.scores().items()}
    return {name: 100.0 * scores[name] for name in ("iou", "niou", "pd")} | {"fa": 1e6 * scores["fa"]}
