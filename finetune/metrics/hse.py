"""HSE-r, our reconstruction of "Holistic SIRST Evaluation" (FDEP, arXiv 2512.05511): an integral over thresholds and gates.

The paper's formula was not available to us; never compare these values with its own. The formula here is data, not code:
:class:`HseConfig` holds grids, weights and combination, so another formula is another config. Its default:

    PIX = integral over T of (IoU(t) + nIoU(t)) / 2, divided by .90        T = {.05, .10, ..., .95}, exactly k/20
    TGT = integral over T of the mean over gates of F1(t, r), divided by .90        R = {1, 2, 3, 4, 5} px
    HSE-r = 100 sqrt(PIX * TGT)

A pixel counts at t when its probability exceeds t, strictly; matching is that of :mod:`finetune.metrics.matching`. HSE-r
rewards calibration: a perfect map times 0.6 has 58.33. Read a rank-only figure (pixel AP) beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from finetune.metrics.inputs import ProbabilityMap, as_mask, as_probability, check_sizes
from finetune.metrics.objects import IntArray, find_objects
from finetune.metrics.sums import FloatArray, every_frame_once, ratio
from finetune.metrics.sweep import sweep_thresholds
from finetune.metrics.tally import Tally

THRESHOLDS = tuple(k / 20 for k in range(1, 20))
"""Exact quotients (a running sum would miss .15 and others); part of the definition of HSE-r."""
GATES_PX = (1, 2, 3, 4, 5)
"""Tolerances of the target term, px; part of the definition of HSE-r."""


class PixelTerm(BaseModel):
    """Weights of IoU and nIoU in the pixel term."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    iou: float = Field(0.5, ge=0)
    niou: float = Field(0.5, ge=0)


class TargetTerm(BaseModel):
    """Gates, their weights, and the statistic of the target term."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    gates_px: tuple[int, ...] = GATES_PX
    gate_weights: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    statistic: Literal["f1", "pd"] = "f1"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.gates_px) != sorted({*self.gates_px}) or not self.gates_px or self.gates_px[0] < 1:
            raise ValueError(f"gates_px must be ascending whole px >= 1, got {self.gates_px}")
        if len(self.gate_weights) != len(self.gates_px):
            raise ValueError(f"gate_weights must be one a gate, got {self.gate_weights}")
        return self


class Combination(BaseModel):
    """How the two terms become one value."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["geometric", "arithmetic", "harmonic"] = "geometric"
    weights: tuple[float, float] = (0.5, 0.5)


class HseConfig(BaseModel):
    """The formula of an integral score; the default is HSE-r.

    Attributes:
        thresholds: Ascending thresholds in (0, 1).
        quadrature: ``trapezoid`` over the thresholds divided by ``range``, or their plain ``mean``.
        range: Length that the trapezoid is divided by.
        pixel: Pixel term.
        target: Target term.
        combine: Combination.
        scale: Factor of the final value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    thresholds: tuple[float, ...] = THRESHOLDS
    quadrature: Literal["trapezoid", "mean"] = "trapezoid"
    range: float = Field(0.9, gt=0)
    pixel: PixelTerm = PixelTerm()
    target: TargetTerm = TargetTerm()
    combine: Combination = Combination()
    scale: float = Field(100.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        grid = self.thresholds
        if list(grid) != sorted({*grid}) or not grid or not 0.0 < grid[0] <= grid[-1] < 1.0:
            raise ValueError(f"thresholds must be ascending in (0, 1), got {grid}")
        return self

    def hash(self) -> str:
        """Return the first 12 digits of the sha256 of the formula: print it beside every value."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def integrate(self, values: FloatArray) -> FloatArray:
        """Integrate over thresholds, the last axis; a constant 1 gives exactly 1 where ``range`` is the grid's length."""
        grid = np.asarray(self.thresholds)
        if self.quadrature == "mean" or len(grid) == 1:
            return np.asarray(values.mean(axis=-1))
        steps = np.diff(grid)
        weights = np.concatenate(([0.0], steps)) + np.concatenate((steps, [0.0]))
        share = round(float(grid[-1] - grid[0]) / self.range, 12)
        return np.asarray((values * weights).sum(axis=-1) / weights.sum() * share)


@dataclass(frozen=True, slots=True, eq=False)
class HseRow:
    """Counts of one frame at T thresholds and R gates.

    Attributes:
        num_truth: Targets.
        tp: int64 (T,) true positive pixels.
        fp: int64 (T,) false positive pixels.
        fn: int64 (T,) false negative pixels.
        num_predicted: int64 (T,) predicted objects.
        num_matched: int64 (T, R) matched targets.
    """

    num_truth: int
    tp: IntArray
    fp: IntArray
    fn: IntArray
    num_predicted: IntArray
    num_matched: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class HseResult:
    """An integral score and its parts, for B weightings of the frames; ratios except ``value``.

    Attributes:
        value: float64 (B,) the score, 0..``scale``.
        pix: float64 (B,) pixel term.
        tgt: float64 (B,) target term.
        integrated_pd: float64 (B,) integral of Pd at the gate of 3 px (the middle one where there is none).
        iou: float64 (B, T) IoU at each threshold.
        niou: float64 (B, T) nIoU at each threshold.
        statistic: float64 (B, T, R) F1 (or Pd) at each threshold and gate.
    """

    value: FloatArray
    pix: FloatArray
    tgt: FloatArray
    integrated_pd: FloatArray
    iou: FloatArray
    niou: FloatArray
    statistic: FloatArray


class HseTally(Tally[HseRow]):
    """Counts of an integral score.

    Args:
        formula: The formula; default HSE-r.
    """

    kind = "hse"

    def __init__(self, formula: HseConfig | None = None) -> None:
        self.formula = formula or HseConfig()
        super().__init__(self.formula.model_dump(mode="json"))

    def update(self, probability: Any, mask: Any, frame_id: str, *, mask_max: int = 255) -> None:
        """Count one frame; arguments and errors as in :meth:`finetune.metrics.native.NativeTally.update`."""
        values, truth_map = as_probability(probability, frame_id), as_mask(mask, frame_id, mask_max)
        check_sizes(values, truth_map, frame_id)
        levels = _levels_above(values, np.asarray(self.formula.thresholds))
        num = len(self.formula.thresholds)
        truth = find_objects(truth_map)
        swept = sweep_thresholds(levels, num, truth, self.formula.target.gates_px)
        on_target = np.bincount(levels.ravel()[truth.flat], minlength=num + 1)
        tp = np.cumsum(on_target[::-1])[::-1][1:].astype(np.int64)  # pixels above at least k + 1 thresholds
        row = HseRow(len(truth), tp, swept.num_pixels - tp, truth.num_pixels - tp, swept.num_objects, swept.num_matched)
        self._add(frame_id, row)

    def result(self, weights: FloatArray | None = None) -> HseResult:
        """Return the score of each weighting.

        Args:
            weights: float64 (B, N), how often each frame counts, frames in id order; default once.
        """
        weights = every_frame_once(len(self)) if weights is None else weights
        rows = [self._rows[frame_id] for frame_id in self.ids]
        tp, fp, fn, predicted = (
            np.array([getattr(row, name) for row in rows], np.float64) for name in ("tp", "fp", "fn", "num_predicted")
        )
        matched = np.array([row.num_matched for row in rows], np.float64)
        truth = weights @ np.array([row.num_truth for row in rows], np.float64)
        iou = ratio(weights @ tp, weights @ (tp + fp + fn), 1.0)
        niou = _mean_over_frames(ratio(tp, tp + fp + fn, 1.0), weights)
        hits = np.tensordot(weights, matched, axes=1)
        f1 = ratio(2.0 * hits, (truth[:, None] + weights @ predicted)[..., None], 1.0)
        pd = ratio(hits, truth[:, None, None], 1.0)
        return self._combine(iou, niou, f1, pd)

    def _combine(self, iou: FloatArray, niou: FloatArray, f1: FloatArray, pd: FloatArray) -> HseResult:
        formula = self.formula
        statistic = f1 if formula.target.statistic == "f1" else pd
        pix = formula.integrate(_weighted(np.stack([iou, niou], axis=-1), (formula.pixel.iou, formula.pixel.niou)))
        tgt = formula.integrate(_weighted(statistic, formula.target.gate_weights))
        gates = formula.target.gates_px
        middle = gates.index(3) if 3 in gates else len(gates) // 2
        value = formula.scale * _joined(pix, tgt, formula.combine)
        return HseResult(value, pix, tgt, formula.integrate(pd[..., middle]), iou, niou, statistic)

    @classmethod
    def _of_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(HseConfig.model_validate(config))

    @staticmethod
    def _encode(row: HseRow) -> Any:
        columns = (row.tp, row.fp, row.fn, row.num_predicted, row.num_matched)
        return [row.num_truth, *(column.tolist() for column in columns)]

    @staticmethod
    def _decode(values: Any) -> HseRow:
        num_truth, *columns = values
        return HseRow(num_truth, *(np.asarray(column, np.int64) for column in columns))


def _levels_above(values: ProbabilityMap, thresholds: FloatArray) -> npt.NDArray[np.int16]:
    """Return how many thresholds each pixel exceeds, int16 (H, W); compared as doubles, strictly."""
    levels = np.zeros(values.shape, np.int16)
    if values.dtype == np.bool_:
        levels[values] = len(thresholds)
        return levels
    above = values > thresholds[0]
    levels[above] = np.searchsorted(thresholds, values[above].astype(np.float64), side="left")
    return levels


def _mean_over_frames(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (B, T) means of (N, T) values; a single weighting is summed exactly rounded."""
    if len(weights) == 1:
        sums = np.array([[math.fsum(column) for column in (weights[0][:, None] * values).T.tolist()]])
    else:
        sums = weights @ values
    return np.asarray(sums / weights.sum(axis=1)[:, None])


def _weighted(values: FloatArray, weights: tuple[float, ...]) -> FloatArray:
    """Return the weighted mean along the last axis; of equal values exactly that value."""
    factors = np.asarray(weights)
    return np.asarray((values * factors).sum(axis=-1) / factors.sum())


def _joined(pix: FloatArray, tgt: FloatArray, combine: Combination) -> FloatArray:
    a, b = combine.weights
    if combine.kind == "arithmetic":
        return np.asarray((a * pix + b * tgt) / (a + b))
    if combine.kind == "harmonic":
        return ratio((a + b) * pix * tgt, a * tgt + b * pix, 0.0)
    if a == b:
        return np.asarray(np.sqrt(pix * tgt))
    return np.asarray((pix**a * tgt**b) ** (1.0 / (a + b)))
