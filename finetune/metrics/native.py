"""The canonical accumulator: one decided map a frame, native size, exact one-to-one matching."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from finetune.metrics.hiou import Opdc, overlap_pairs
from finetune.metrics.inputs import as_decided, as_mask, check_sizes
from finetune.metrics.matching import match_objects
from finetune.metrics.objects import count_shared_pixels, find_objects
from finetune.metrics.pixel import pixel_columns, pixel_scores
from finetune.metrics.sums import FloatArray, FrameSums, every_frame_once
from finetune.metrics.tally import Tally
from finetune.metrics.target import hiou_scores, target_scores
from synth.errors import RecipeError

GATE_PX = 3
"""Distance below which an object detects a target, px (DNANet model/metric.py and all its descendants)."""
MAX_GATE_PX = 5
"""Largest gate offered: the tolerances of HSE-r are 1..5 px, and targets are 5 to 110 px in area."""


@dataclass(frozen=True, slots=True)
class TargetOutcome:
    """What became of one target.

    Attributes:
        area_px: Its pixels.
        is_matched: Whether an object detects it.
        scr: Its signal-to-clutter ratio (definition: :mod:`synth.targets`), NaN when unknown or unmeasurable.
    """

    area_px: int
    is_matched: bool
    scr: float = math.nan


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Everything the canonical scores need of one frame.

    Attributes:
        hw: Rows and columns.
        tp: True positive pixels.
        fp: False positive pixels.
        fn: False negative pixels.
        num_predicted: Predicted objects.
        area_unmatched: Pixels of the objects that match no target.
        targets: Its targets in raster order of first pixels.
        overlaps: Intersection and union, px, of the pairs of hIoU.
    """

    hw: tuple[int, int]
    tp: int
    fp: int
    fn: int
    num_predicted: int
    area_unmatched: int
    targets: tuple[TargetOutcome, ...]
    overlaps: tuple[tuple[int, int], ...]

    @property
    def num_matched(self) -> int:
        """Matched targets."""
        return sum(target.is_matched for target in self.targets)


class NativeTally(Tally[FrameCounts]):
    """Counts of the canonical mode.

    Args:
        threshold: A pixel is predicted when its probability exceeds this, strictly; in [0, 1).
        gate_px: An object matches a target closer than this, strictly; whole px in 1..5.
        opdc: Reading of the matching behind hIoU.

    Raises:
        RecipeError: An argument is out of range.
    """

    kind = "native"

    def __init__(self, *, threshold: float = 0.5, gate_px: int = GATE_PX, opdc: Opdc = "released") -> None:
        check_threshold(threshold)
        if gate_px not in range(1, MAX_GATE_PX + 1):
            raise RecipeError(f"gate_px must be a whole number in 1..{MAX_GATE_PX}, got {gate_px}")
        if opdc not in get_args(Opdc):
            raise RecipeError(f"opdc must be one of {', '.join(get_args(Opdc))}, got {opdc!r}")
        super().__init__({"threshold": float(threshold), "gate_px": int(gate_px), "opdc": opdc})
        self._gate_px, self._opdc = int(gate_px), opdc

    def update(
        self, probability: Any, mask: Any, frame_id: str, *, scr: npt.ArrayLike | None = None, mask_max: int = 255
    ) -> FrameCounts:
        """Count one frame.

        Args:
            probability: bool or floating (H, W) in [0, 1], array or tensor.
            mask: (H, W), see :func:`finetune.metrics.inputs.as_mask`.
            frame_id: Its id, unique in the data set.
            scr: SCR of each target in raster order of first pixels, (n,), for strata.
            mask_max: Level that stands for target in integer masks.

        Returns:
            Its counts.

        Raises:
            SourceError: The map or mask cannot be used, their sizes differ, or the id was counted already.
        """
        decided = as_decided(probability, frame_id, self.config["threshold"])
        truth_map = as_mask(mask, frame_id, mask_max)
        check_sizes(decided, truth_map, frame_id)
        counts = self._count(decided, truth_map, scr)
        self._add(frame_id, counts)
        return counts

    def scores(self, weights: FloatArray | None = None) -> dict[str, FloatArray]:
        """Return every score as ratio (``fppi``: objects a frame), float64 (B,) each.

        Args:
            weights: float64 (B, N), how often each frame counts, frames in id order; default once.
        """
        sums = FrameSums(self.columns(), every_frame_once(len(self)) if weights is None else weights)
        return pixel_scores(sums) | target_scores(sums) | hiou_scores(sums)

    def columns(self) -> dict[str, FloatArray]:
        """Return the counts as columns, float64 (N,) each, frames in id order."""
        rows = [self._rows[frame_id] for frame_id in self.ids]
        table = [
            (
                r.tp, r.fp, r.fn, r.hw[0] * r.hw[1], len(r.targets), r.num_matched, r.num_predicted, r.area_unmatched,
                len(r.overlaps), math.fsum(inter / union for inter, union in r.overlaps),
            )
            for r in rows
        ]  # fmt: skip
        tp, fp, fn, *others = np.array(table, np.float64).reshape(-1, 10).T
        names = (
            "num_pixels", "num_truth", "num_matched", "num_predicted", "area_unmatched", "num_overlapping", "sum_pair_iou",
        )  # fmt: skip
        return pixel_columns(tp, fp, fn) | dict(zip(names, others, strict=True))

    def targets(self) -> list[TargetOutcome]:
        """Return the targets of all frames, in id order."""
        return [target for frame_id in self.ids for target in self._rows[frame_id].targets]

    def _count(self, decided: npt.NDArray[np.bool_], truth_map: npt.NDArray[np.bool_], scr: npt.ArrayLike | None) -> FrameCounts:
        truth, predicted = find_objects(truth_map), find_objects(decided)
        matched, partners = (indices.tolist() for indices in match_objects(truth, predicted, self._gate_px))
        is_matched = [False] * len(truth)
        for target in matched:
            is_matched[target] = True
        areas, tp = predicted.areas.tolist(), count_shared_pixels(predicted, truth_map)
        ratios = [math.nan] * len(truth) if scr is None else np.asarray(scr, np.float64).tolist()
        return FrameCounts(
            hw=(truth_map.shape[0], truth_map.shape[1]),
            tp=tp,
            fp=predicted.num_pixels - tp,
            fn=truth.num_pixels - tp,
            num_predicted=len(predicted),
            area_unmatched=predicted.num_pixels - sum(areas[partner] for partner in partners),
            targets=tuple(map(TargetOutcome, truth.areas.tolist(), is_matched, ratios)),
            overlaps=overlap_pairs(truth, predicted, self._gate_px, self._opdc),
        )

    @classmethod
    def _of_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**config)

    @staticmethod
    def _encode(row: FrameCounts) -> Any:
        targets = [[t.area_px, int(t.is_matched), None if math.isnan(t.scr) else t.scr] for t in row.targets]
        counts = [row.tp, row.fp, row.fn, row.num_predicted, row.area_unmatched]
        return [list(row.hw), counts, targets, [list(pair) for pair in row.overlaps]]

    @staticmethod
    def _decode(values: Any) -> FrameCounts:
        (rows, cols), (tp, fp, fn, num_predicted, area), targets, overlaps = values
        outcomes = (TargetOutcome(area, bool(hit), math.nan if scr is None else scr) for area, hit, scr in targets)
        pairs = tuple((inter, union) for inter, union in overlaps)
        return FrameCounts((rows, cols), tp, fp, fn, num_predicted, area, tuple(outcomes), pairs)


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that no probability could be compared with.

    Raises:
        RecipeError: It is not in [0, 1).
    """
    if not 0.0 <= threshold < 1.0:
        raise RecipeError(f"threshold must be in [0, 1), got {threshold}")
