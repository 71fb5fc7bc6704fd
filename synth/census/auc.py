"""Area under the ROC curve over pairs of one fold, with a bootstrap interval over groups of frames.

Scores of different folds come from different fits and are not comparable, so only pairs of patches of one fold count. The
interval resamples whole groups: patches of one frame are no independent evidence. It covers the choice of test frames, not
that of training frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.rng import Stream, keyed_generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BOOTSTRAP_INDEX = 2
"""Index of the generator that resamples groups."""
NUM_BOOTSTRAPS = 500
"""Resamples of an interval: its ends then wander by about a tenth of its width (our choice)."""
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Auc:
    """An area under the curve.

    Attributes:
        value: 0..1; 0.5 cannot be told apart.
        low: Lower end of the 95 % interval over groups.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def grouped_auc(scores: FloatArray, labels: BoolArray, groups: IntArray, folds: IntArray, seed: int) -> Auc:
    """Measure how well scores tell two classes apart.

    Args:
        scores: float64 (P,), higher for the positive class.
        labels: bool (P,); every fold holds both classes.
        groups: int64 (P,), group of each patch; a group lies in one fold.
        folds: int64 (P,), fold of each patch.
        seed: Seed of the resampling.
    """
    ranked = [_Ranked.of(scores[folds == fold], labels[folds == fold], groups[folds == fold]) for fold in np.unique(folds)]
    names = np.unique(groups)
    value = _pooled(ranked, np.ones(int(names.max()) + 1))
    rng = keyed_generator(seed, Stream.CENSUS, BOOTSTRAP_INDEX)
    resampled = np.empty(NUM_BOOTSTRAPS)
    for draw in range(NUM_BOOTSTRAPS):
        chosen = names[rng.integers(0, len(names), len(names))]
        resampled[draw] = _pooled(ranked, np.bincount(chosen, minlength=int(names.max()) + 1).astype(np.float64))
    tail = 50.0 * (1.0 - COVERAGE)
    low, high = np.nanpercentile(resampled, (tail, 100.0 - tail))
    return Auc(value, float(low), float(high))


def plain_auc(values: FloatArray, labels: BoolArray) -> float:
    """Return the share of pairs in which the positive value is higher, ties by half.

    Args:
        values: float64 (P,).
        labels: bool (P,), both values occur.
    """
    nothing = np.zeros(len(values), np.int64)
    return _pooled([_Ranked.of(values, labels, nothing)], np.ones(1))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """Scores of one fold, sorted: class and group of each, and where each run of equal scores begins."""

    labels: BoolArray
    groups: IntArray
    starts: IntArray

    @classmethod
    def of(cls, scores: FloatArray, labels: BoolArray, groups: IntArray) -> _Ranked:
        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0.0)
        return cls(labels[order], groups[order], starts)

    def pairs(self, multiplicity: FloatArray) -> tuple[float, float]:
        """Return the weight of the pairs won (ties by half), and of all pairs."""
        weight = multiplicity[self.groups]
        positive = np.add.reduceat(np.where(self.labels, weight, 0.0), self.starts)
        negative = np.add.reduceat(np.where(self.labels, 0.0, weight), self.starts)
        below = np.cumsum(negative) - negative
        return float(positive @ (below + 0.5 * negative)), float(positive.sum() * negative.sum())


def _pooled(ranked: list[_Ranked], multiplicity: FloatArray) -> float:
    won, all_pairs = np.sum([fold.pairs(multiplicity) for fold in ranked], axis=0)
    return float(won / all_pairs) if all_pairs > 0.0 else float("nan")
