"""Curves over thresholds: Pd against Fa, pixel ROC and precision-recall. Integer counts that add across shards.

Thresholds are t_k = k / 256, k = 0..255, and a pixel counts above t_k strictly. Pd is not monotone in Fa: at low thresholds
objects merge and matches break, so summaries use the best Pd achieved at or below an Fa. Operating points belong to the
validation split: never choose a threshold on test frames. ROC-AUC is saturated (a thousand negatives a positive): never rank
by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from finetune.metrics.inputs import ProbabilityMap, as_mask, as_probability, check_sizes
from finetune.metrics.native import GATE_PX
from finetune.metrics.objects import IntArray, find_objects
from finetune.metrics.sums import FloatArray, ratio
from finetune.metrics.sweep import sweep_thresholds
from finetune.metrics.tally import STATE_FORMAT
from synth.errors import RefusalError, SourceError

NUM_THRESHOLDS = 256
"""Thresholds k / 256: every level of an 8-bit map, exact in float32."""
NUM_BINS = 1024
"""Bins of the pixel histograms, ((b - 1) / 1024, b / 1024]; bin 0 holds exact zeros. 8-bit maps keep all their levels."""
FA_LIMITS = (1e-6, 5e-6, 10e-6, 50e-6, 100e-6)
"""False-alarm areas at which the best Pd is reported; 1 to 100 in 1e-6 spans the published rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves of a data set, ratios.

    Attributes:
        thresholds: float64 (256,).
        pd: float64 (256,) detected targets.
        fa: float64 (256,) area of unmatched objects over all pixels.
        num_false: int64 (256,) unmatched objects.
        iou: float64 (256,) pooled pixel IoU.
        precision: float64 (1024,) at ascending scores, pixels.
        recall: float64 (1024,) likewise; the true positive rate of the ROC.
        false_positive_rate: float64 (1024,) likewise.
        roc_auc: Area under the ROC, trapezoids; ties in one bin are one point.
        average_precision: Sum of (R_k - R_(k-1)) P_k.
    """

    thresholds: FloatArray
    pd: FloatArray
    fa: FloatArray
    num_false: IntArray
    iou: FloatArray
    precision: FloatArray
    recall: FloatArray
    false_positive_rate: FloatArray
    roc_auc: float
    average_precision: float

    def best_pd(self, fa_limit: float) -> float:
        """Return the best Pd at an Fa of at most ``fa_limit`` (a ratio); 0 where no threshold reaches it."""
        allowed = self.pd[self.fa <= fa_limit]
        return float(allowed.max()) if len(allowed) else 0.0

    def partial_area(self, low: float = 1e-6, high: float = 1e-4) -> float:
        """Return the mean over log10 Fa in [low, high] of the best Pd at or below each Fa, a step function."""
        inside = np.unique(self.fa[(self.fa > low) & (self.fa < high)])
        edges = np.concatenate(([low], inside, [high]))
        steps = np.diff(np.log10(edges))
        return float(np.sum(steps * [self.best_pd(float(fa)) for fa in edges[:-1]]) / np.sum(steps))


class CurveTally:
    """Counts of the curves.

    Args:
        gate_px: An object matches a target closer than this, strictly; whole px.
    """

    kind = "curves"

    def __init__(self, *, gate_px: int = GATE_PX) -> None:
        self.gate_px = int(gate_px)
        self._ids: set[str] = set()
        self._totals = np.zeros(2, np.int64)  # targets, pixels
        self._by_threshold = np.zeros((3, NUM_THRESHOLDS), np.int64)  # matched, predicted objects, area unmatched
        self._histograms = np.zeros((2, NUM_BINS + 1), np.int64)  # background, target

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._ids)

    def update(self, probability: Any, mask: Any, frame_id: str, *, mask_max: int = 255) -> None:
        """Count one frame; arguments and errors as in :meth:`finetune.metrics.native.NativeTally.update`."""
        values, truth_map = as_probability(probability, frame_id), as_mask(mask, frame_id, mask_max)
        check_sizes(values, truth_map, frame_id)
        if frame_id in self._ids:
            raise SourceError(f"frame {frame_id!r}: was counted already; give every frame an id of its own")
        truth = find_objects(truth_map)
        bins = _bins(values)
        levels = (bins + (NUM_BINS // NUM_THRESHOLDS - 1)) // (NUM_BINS // NUM_THRESHOLDS)
        swept = sweep_thresholds(levels, NUM_THRESHOLDS, truth, [self.gate_px])
        matched = swept.num_matched[:, 0]
        self._ids.add(frame_id)
        self._totals += (len(truth), truth_map.size)
        self._by_threshold += (matched, swept.num_objects, swept.num_pixels - swept.area_matched[:, 0])
        of_targets = np.bincount(bins.ravel()[truth.flat], minlength=NUM_BINS + 1)
        self._histograms += (np.bincount(bins.ravel(), minlength=NUM_BINS + 1) - of_targets, of_targets)

    def merge(self, other: CurveTally) -> Self:
        """Take over the counts of another tally; errors as in :meth:`finetune.metrics.tally.Tally.merge`."""
        if self.gate_px != other.gate_px:
            raise RefusalError(f"merge of curves: counted with gate_px {other.gate_px}, not {self.gate_px}; use one gate")
        if twice := sorted(self._ids & other._ids):
            raise SourceError(f"merge of curves: {len(twice)} frames are in both ({twice[0]!r}); count each frame once")
        self._ids |= other._ids
        self._totals += other._totals
        self._by_threshold += other._by_threshold
        self._histograms += other._histograms
        return self

    def result(self) -> Curves:
        """Return the curves; NaN where undefined (no target, or no background)."""
        num_truth, num_pixels = (np.float64(n) for n in self._totals)
        matched, predicted, area = self._by_threshold.astype(np.float64)
        negatives, positives = self._histograms
        above = np.cumsum(self._histograms[:, ::-1], axis=1)[:, ::-1][:, 1:].astype(np.float64)  # in bins >= 1, 2, ...
        fp, tp = above
        every = slice(None, None, NUM_BINS // NUM_THRESHOLDS)
        recall = ratio(tp, np.float64(positives.sum()))
        rate = ratio(fp, np.float64(negatives.sum()))
        precision = ratio(tp, tp + fp, 1.0)
        return Curves(
            thresholds=np.arange(NUM_THRESHOLDS) / NUM_THRESHOLDS,
            pd=ratio(matched, num_truth),
            fa=ratio(area, num_pixels),
            num_false=(predicted - matched).astype(np.int64),
            iou=ratio(tp[every], np.float64(positives.sum()) + fp[every]),
            precision=precision,
            recall=recall,
            false_positive_rate=rate,
            roc_auc=_roc_auc(rate, recall),
            average_precision=_average_precision(self._histograms),
        )

    def state(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        counts = {name: getattr(self, f"_{name}").tolist() for name in _COUNTS}
        config = {"gate_px": self.gate_px}
        return {"format": STATE_FORMAT, "kind": self.kind, "config": config, "ids": sorted(self._ids), "counts": counts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the tally of a state; errors as in :meth:`finetune.metrics.tally.Tally.from_state`."""
        if (state.get("format"), state.get("kind")) != (STATE_FORMAT, cls.kind):
            raise RefusalError(f"state: must be of kind {cls.kind!r}, format {STATE_FORMAT}, got {state.get('kind')!r}")
        tally = cls(**state["config"])
        tally._ids = set(state["ids"])
        for name in _COUNTS:
            setattr(tally, f"_{name}", np.asarray(state["counts"][name], np.int64))
        return tally


_COUNTS = ("totals", "by_threshold", "histograms")


def _bins(values: ProbabilityMap) -> Any:
    """Return the histogram bin of each pixel, int16 (H, W): ceil(1024 p), exact because 1024 is a power of two."""
    if values.dtype == np.bool_:
        return values.astype(np.int16) * np.int16(NUM_BINS)
    return np.clip(np.ceil(values * values.dtype.type(NUM_BINS)), 0, NUM_BINS).astype(np.int16)


def _roc_auc(rate: FloatArray, recall: FloatArray) -> float:
    """Integrate recall over the false positive rate, from (0, 0) through the points to (1, 1)."""
    across = np.concatenate(([1.0], rate, [0.0]))[::-1]
    along = np.concatenate(([1.0], recall, [0.0]))[::-1]
    return float(np.trapezoid(along, across))


def _average_precision(histograms: IntArray) -> float:
    """Return the average precision over all bins, exact zeros included; NaN without a target pixel."""
    fp, tp = np.cumsum(histograms[:, ::-1], axis=1).astype(np.float64)
    num_positive = tp[-1]
    if num_positive == 0.0:
        return float("nan")
    gained = np.diff(tp, prepend=0.0)
    return float(np.sum(gained / num_positive * ratio(tp, tp + fp, 0.0)))


def summarise(curves: Curves, fa_limits: Sequence[float] = FA_LIMITS) -> dict[str, Any]:
    """Return the figures of the curves in the field's units: percent, and Fa in 1e-6.

    Args:
        curves: The curves.
        fa_limits: False-alarm areas, ratios, at which the best Pd is given.
    """
    return {
        "best_pd_at_fa": {f"{limit * 1e6:g}": 100.0 * curves.best_pd(limit) for limit in fa_limits},
        "pd_fa_area": 100.0 * curves.partial_area(),
        "integrated_pd": 100.0 * float(curves.pd.mean()),
        "integrated_log10_fa": float(np.log10(np.maximum(curves.fa, 1e-7)).mean()),
        "roc_auc": 100.0 * curves.roc_auc,
        "average_precision": 100.0 * curves.average_precision,
    }
