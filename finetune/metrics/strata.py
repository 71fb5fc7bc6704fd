"""Pd by target: in bins of area and of |SCR| with Wilson intervals, and SCR50 of a logistic fit.

SCR is that of :mod:`synth.targets` (box grown by 20 px, every target dilated by 3 px left out, sigma of at least half a grey
level): print the definition beside the numbers. Dark targets have negative SCR; bins take its magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from finetune.metrics.intervals import Interval, wilson
from finetune.metrics.native import TargetOutcome
from finetune.metrics.sums import FloatArray

AREA_EDGES_PX = (1, 5, 10, 26, 81)
"""Lower edges of the area bins (our choice; 80 px of 256x256 is the usual bound of a small target)."""
SCR_EDGES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0)
"""Lower edges of the |SCR| bins, the last one open (our choice)."""
_MIN_FIT_TARGETS = 10  # a logistic of two parameters on fewer says nothing (our choice)
_MAX_NEWTON_STEPS = 50
_SMALLEST_SCR = 0.01  # |SCR| 0 has no logarithm (our choice)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Detection in one bin.

    Attributes:
        label: The bin, for tables.
        num_truth: Targets in it.
        num_matched: Detected ones.
        pd: Share, NaN without targets.
        interval: Wilson 95 % interval of the share.
    """

    label: str
    num_truth: int
    num_matched: int
    pd: float
    interval: Interval


def by_area(targets: Sequence[TargetOutcome]) -> tuple[Stratum, ...]:
    """Return detection by target area."""
    areas = np.array([target.area_px for target in targets], np.float64)
    labels = [f"{low}-{high - 1} px" for low, high in pairwise(AREA_EDGES_PX)]
    return _strata(areas, targets, AREA_EDGES_PX, [*labels, f"> {AREA_EDGES_PX[-1] - 1} px"])


def by_scr(targets: Sequence[TargetOutcome]) -> tuple[Stratum, ...]:
    """Return detection by |SCR|; targets of unknown SCR are in a last bin of their own, where there are any."""
    known = [target for target in targets if not math.isnan(target.scr)]
    values = np.array([abs(target.scr) for target in known], np.float64)
    labels = [f"{low:g}-{high:g}" for low, high in pairwise(SCR_EDGES)]
    strata = _strata(values, known, SCR_EDGES, [*labels, f">= {SCR_EDGES[-1]:g}"])
    unknown = [target for target in targets if math.isnan(target.scr)]
    return (*strata, _stratum("unknown", unknown)) if unknown else strata


def scr50(targets: Sequence[TargetOutcome]) -> float:
    """Return the |SCR| at which half of the targets are detected; NaN where the fit says nothing.

    Maximum likelihood of Pd = 1 / (1 + exp(-(a + b ln |SCR|))); a logistic in the logarithm, because SCR spans decades (our
    choice). Undefined with fewer than 10 targets of known SCR, when all or none are detected, when the two are separable,
    when detection falls with SCR, and when the answer lies outside the SCR seen.
    """
    known = [target for target in targets if not math.isnan(target.scr)]
    hits = np.array([target.is_matched for target in known], np.float64)
    if len(known) < _MIN_FIT_TARGETS or hits.min() == hits.max():
        return math.nan
    x = np.log(np.maximum([abs(target.scr) for target in known], _SMALLEST_SCR))
    fit = _fit_logistic(x, hits)
    if fit is None or fit[1] <= 0.0:
        return math.nan
    middle = -fit[0] / fit[1]
    return math.exp(middle) if x.min() <= middle <= x.max() else math.nan


def _strata(
    values: FloatArray, targets: Sequence[TargetOutcome], edges: Sequence[float], labels: Sequence[str]
) -> tuple[Stratum, ...]:
    bins = (np.searchsorted(np.asarray(edges), values, side="right") - 1).tolist()
    members = [[target for target, b in zip(targets, bins, strict=True) if b == k] for k in range(len(labels))]
    return tuple(_stratum(label, part) for label, part in zip(labels, members, strict=True))


def _stratum(label: str, targets: Sequence[TargetOutcome]) -> Stratum:
    num, hits = len(targets), sum(target.is_matched for target in targets)
    return Stratum(label, num, hits, hits / num if num else math.nan, wilson(hits, num))


def _fit_logistic(x: FloatArray, hits: FloatArray) -> tuple[float, float] | None:
    """Fit intercept and slope by Newton's method; None when the likelihood has no maximum (separable data)."""
    design = np.stack([np.ones_like(x), x])
    beta = np.zeros(2)
    for _ in range(_MAX_NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(beta @ design, -30.0, 30.0)))
        information = (design * (p * (1.0 - p))) @ design.T
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, design @ (hits - p))
        beta += step
        if float(np.abs(step).max()) < 1e-9:
            return float(beta[0]), float(beta[1])
    return None
