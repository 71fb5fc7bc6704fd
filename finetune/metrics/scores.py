"""``score``: two sequences in, one :class:`Scores` out, in the units of the field's tables."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from finetune.metrics.hse import HseTally
from finetune.metrics.intervals import Interval
from finetune.metrics.legacy import LEGACY_RULES, LegacyTally
from finetune.metrics.native import NativeTally
from finetune.metrics.resize import NATIVE_GEOMETRY
from finetune.metrics.sums import FloatArray
from synth.errors import RecipeError, SourceError

_LOG = logging.getLogger(__name__)
Mode = Literal["native", "basicirstd", "dnanet256", "irsam", "simir"]

FACTORS: Mapping[str, float] = {
    **dict.fromkeys(("iou", "niou", "niou_pos", "precision", "recall", "f1", "pd", "seg_iou", "loc_iou", "hiou"), 100.0),
    **dict.fromkeys(("fa", "pixel_fa"), 1e6),
    "fppi": 1.0,
    **dict.fromkeys(("hse_r", "hse_pix", "hse_tgt"), 1.0),
}
"""Ratio -> reported unit, applied once: percent, 1e-6, objects a frame. HSE-r and its terms are computed in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a data set. Percent unless noted; NaN where undefined or where the named code computes nothing.

    Attributes:
        mode: ``native`` or a legacy mode.
        threshold: Probability that a predicted pixel exceeds.
        gate_px: Distance below which an object detects a target, px.
        geometry: What happened to sizes, in words.
        num_frames: Frames.
        num_empty: Frames without target.
        num_truth: Targets.
        num_matched: Detected targets.
        num_predicted: Predicted objects.
        num_false: Predicted objects that match no target.
        iou: Pooled foreground IoU ("mIoU" of the literature).
        niou: Mean IoU of the frames; empty/empty is 100 in ``native``, 0 in legacy modes.
        niou_pos: Mean IoU of the frames with targets.
        precision: Pixel precision.
        recall: Pixel recall ("pixAcc").
        f1: Pixel F1.
        pixel_fa: Pixel false-positive rate, 1e-6.
        pd: Detected targets.
        fa: Area of false objects over all pixels, 1e-6.
        fppi: False objects a frame.
        hiou: seg_iou times loc_iou.
        seg_iou: Mean IoU of matched pairs.
        loc_iou: TP / (TP + FP + FN) over targets.
        hse_r: HSE-r, our reconstruction.
        hse_pix: Its pixel term.
        hse_tgt: Its target term.
        intervals: 95 % intervals over frames, by name of the score, in its unit; empty when not asked for.
        notes: What a reader must know beside the numbers.
    """

    mode: Mode
    threshold: float
    gate_px: int
    geometry: str
    num_frames: int
    num_empty: int
    num_truth: int
    num_matched: int
    num_predicted: int
    num_false: int
    iou: float = math.nan
    niou: float = math.nan
    niou_pos: float = math.nan
    precision: float = math.nan
    recall: float = math.nan
    f1: float = math.nan
    pixel_fa: float = math.nan
    pd: float = math.nan
    fa: float = math.nan
    fppi: float = math.nan
    hiou: float = math.nan
    seg_iou: float = math.nan
    loc_iou: float = math.nan
    hse_r: float = math.nan
    hse_pix: float = math.nan
    hse_tgt: float = math.nan
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, undefined numbers as None."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["intervals"] = {name: [finite(bound) for bound in interval] for name, interval in self.intervals.items()}
        values["notes"] = list(self.notes)
        return {name: finite(value) if isinstance(value, float) else value for name, value in values.items()}


def score(
    probabilities: Iterable[Any],
    masks: Iterable[Any],
    mode: Mode = "native",
    threshold: float = 0.5,
    *,
    ids: Iterable[str] | None = None,
    mask_max: int = 255,
    gate_px: int = 3,
) -> Scores:
    """Score predictions against masks.

    Args:
        probabilities: One map a frame, bool or floating (H, W) in [0, 1], arrays or tensors, sizes may vary.
        masks: As many masks (H, W): bool, 8-bit levels, or float; see :func:`finetune.metrics.inputs.as_mask`.
        mode: ``native``, or the legacy mode whose published rows are to be compared with.
        threshold: A pixel is predicted when its probability exceeds this, strictly; in [0, 1).
        ids: Names of the frames, for messages and order; default their numbers.
        mask_max: Level that stands for target in integer masks; 1 for 0/1 masks.
        gate_px: An object detects a target closer than this, px (``native`` only).

    Returns:
        The scores; ``notes`` say what is undefined or resized.

    Raises:
        RecipeError: An argument is out of range.
        SourceError: The sequences differ in length or are empty, or a map or mask cannot be used.
    """
    if mode not in get_args(Mode):
        raise RecipeError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    frames = list(_paired(probabilities, masks, ids))
    if mode == "native":
        native, hse = NativeTally(threshold=threshold, gate_px=gate_px), HseTally()
        for frame_id, probability, mask in frames:
            native.update(probability, mask, frame_id, mask_max=mask_max)
            hse.update(probability, mask, frame_id, mask_max=mask_max)
        return native_scores(native, hse)
    if gate_px != 3:
        raise RecipeError(f"gate_px must be 3 in mode {mode}, got {gate_px}")
    legacy = LegacyTally(mode, threshold=threshold)
    for frame_id, probability, mask in frames:
        legacy.update(probability, mask, frame_id, mask_max=mask_max)
    return legacy_scores(legacy)


def native_scores(tally: NativeTally, hse: HseTally | None = None, intervals: Mapping[str, Interval] | None = None) -> Scores:
    """Return the scores of canonical counts.

    Args:
        tally: Counts of at least one frame.
        hse: Counts of HSE-r over the same frames, or None to leave it out.
        intervals: Intervals to carry along, in reported units.
    """
    columns = tally.columns()
    values = reported(tally.scores() | ({} if hse is None else hse_values(hse)))
    num_truth, num_matched, num_predicted = (_total(columns, f"num_{name}") for name in ("truth", "matched", "predicted"))
    return Scores(
        mode="native",
        threshold=tally.config["threshold"],
        gate_px=tally.config["gate_px"],
        geometry=NATIVE_GEOMETRY,
        num_frames=len(tally),
        num_empty=len(tally) - _total(columns, "is_positive"),
        num_truth=num_truth,
        num_matched=num_matched,
        num_predicted=num_predicted,
        num_false=num_predicted - num_matched,
        intervals=intervals or {},
        notes=_notes_on_truth(num_truth),
        **values,
    )


def legacy_scores(tally: LegacyTally, intervals: Mapping[str, Interval] | None = None) -> Scores:
    """Return the scores of legacy counts; arguments as in :func:`native_scores`."""
    columns = tally.columns()
    num_truth, num_matched, num_predicted = (_total(columns, f"num_{name}") for name in ("truth", "matched", "predicted"))
    resized = (f"mode {tally.config['mode']}: {tally.geometry}",) if tally.num_resized else ()
    return Scores(
        mode=tally.config["mode"],
        threshold=tally.config["threshold"],
        gate_px=3,
        geometry=tally.geometry,
        num_frames=len(tally),
        num_empty=int(np.count_nonzero(columns["num_truth"] == 0)),
        num_truth=num_truth,
        num_matched=num_matched,
        num_predicted=num_predicted,
        num_false=num_predicted - num_matched,
        intervals=intervals or {},
        notes=resized + _notes_on_truth(num_truth),
        **reported(tally.scores()),
    )


def hse_values(tally: HseTally, weights: FloatArray | None = None) -> dict[str, FloatArray]:
    """Return HSE-r and its terms in percent, by the names of :class:`Scores`; arguments as in ``HseTally.result``."""
    result = tally.result(weights)
    return {"hse_r": result.value, "hse_pix": 100.0 * result.pix, "hse_tgt": 100.0 * result.tgt}


def reported(values: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return the first weighting of scores in reported units."""
    return {name: float(value[0]) * FACTORS[name] for name, value in values.items()}


def finite(value: float) -> float | None:
    """Return the value, or None where JSON has none."""
    return value if math.isfinite(value) else None


def _paired(probabilities: Iterable[Any], masks: Iterable[Any], ids: Iterable[str] | None) -> Iterable[tuple[str, Any, Any]]:
    maps, truths = list(probabilities), list(masks)
    names = [f"{number:06d}" for number in range(len(maps))] if ids is None else [str(name) for name in ids]
    if not len(maps) == len(truths) == len(names):
        raise SourceError(f"score: {len(maps)} probabilities, {len(truths)} masks and {len(names)} ids; pass one of each a frame")
    if not maps:
        raise SourceError("score: no frame was passed; pass at least one probability map and its mask")
    return zip(names, maps, truths, strict=True)


def _notes_on_truth(num_truth: int) -> tuple[str, ...]:
    if num_truth:
        return ()
    note = "no mask holds a target: Pd, recall and IoU are undefined or say nothing; read Fa only"
    _LOG.warning("%s", note)
    return (note,)


def _total(columns: Mapping[str, FloatArray], name: str) -> int:
    return int(columns[name].sum())


assert {*get_args(Mode)} == {"native", *LEGACY_RULES}
