"""What synthetic frames buy at several label counts: the transfer law, and when it may be stated.

``SY``: e(n, s) = delta (gamma + n^-alpha) s^-beta for n synthetic and s labelled frames (Mikami et al., arXiv 2108.11018); gamma
is the transfer gap, what synthetic frames cannot teach however many there are. n = 0 has no place in it. Logarithmic residuals,
soft-L1, many starts as in :mod:`pipelines.scale_laws`; seeds are the unit of the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

from finetune.metrics.intervals import Interval
from pipelines.scale_laws import Floats, log_interval
from synth.errors import RecipeError

MIN_COUNTS = 3
"""Counts of synthetic frames, and of labels, below which the law is refused (our choice: it has four parameters)."""
MIN_REPLICATES = 5
GAP_FACTOR = 4.0
"""Where n^-alpha is below gamma over this, endless synthetic frames remove less than a fifth of the error: 1 - 1 / (1 + 1/4)."""
_EXPONENTS = (0.02, 3.0)
_STARTS = tuple((alpha, beta, gap) for alpha in (0.1, 0.3, 0.8) for beta in (0.1, 0.3, 0.6) for gap in (0.003, 0.03, 0.3))


@dataclass(frozen=True, slots=True, eq=False)
class TransferGrid:
    """Errors over synthetic and labelled frames.

    Attributes:
        synthetic: float64 (N,), rising, > 0.
        labels: float64 (S,), rising, > 0.
        errors: float64 (N, S, R) in (0, 1]: synthetic count by label count by replicate.
    """

    synthetic: Floats
    labels: Floats
    errors: Floats

    def __post_init__(self) -> None:
        if self.errors.shape[:2] != (len(self.synthetic), len(self.labels)) or self.errors.ndim != 3:
            raise RecipeError(f"errors must be (synthetic, labels, replicates), got shape {self.errors.shape}")
        for name, counts in (("synthetic", self.synthetic), ("labels", self.labels)):
            if (np.diff(counts) <= 0).any() or counts[0] <= 0:
                raise RecipeError(f"{name} must rise and be positive, got {counts.tolist()}")
        if not ((self.errors > 0) & (self.errors <= 1)).all():
            raise RecipeError("errors must be in (0, 1]: 1 - IoU as a ratio")

    def without(self, replicate: int) -> TransferGrid:
        """Return the grid without one replicate."""
        return TransferGrid(self.synthetic, self.labels, np.delete(self.errors, replicate, axis=2))


@dataclass(frozen=True, slots=True)
class TransferLaw:
    """A fitted law SY.

    Attributes:
        delta: Scale.
        gamma: Transfer gap.
        alpha: Exponent of synthetic frames.
        beta: Exponent of labels.
    """

    delta: float
    gamma: float
    alpha: float
    beta: float

    def __call__(self, synthetic: Floats, labels: Floats) -> Floats:
        """Return the error, float64 of the shape the two broadcast to."""
        return np.asarray(self.delta * (self.gamma + synthetic**-self.alpha) * labels**-self.beta)

    def is_gap(self, synthetic: float) -> bool:
        """Tell whether the gap, not the count, is what holds the error up at a number of synthetic frames."""
        return bool(synthetic**-self.alpha < self.gamma / GAP_FACTOR)


@dataclass(frozen=True, slots=True)
class TransferJudgement:
    """What may be said of a grid.

    Attributes:
        law: The fit, or None where the rules forbid it.
        gap: 95 % interval of gamma, None likewise.
        sentences: Refusals, or what the fit means, for the report.
    """

    law: TransferLaw | None
    gap: Interval | None
    sentences: tuple[str, ...]


def fit_transfer(grid: TransferGrid, near: TransferLaw | None = None) -> TransferLaw:
    """Fit the law.

    Args:
        grid: At least 2 synthetic and 2 label counts.
        near: Start from this fit of almost the same grid alone.

    Raises:
        RecipeError: Fewer counts than that.
    """
    if min(grid.errors.shape[:2]) < 2:
        raise RecipeError(f"grid must have at least 2 synthetic and 2 label counts, got {grid.errors.shape[:2]}")
    logs = np.log(grid.errors.mean(axis=2))
    n, s = grid.synthetic[:, None], grid.labels[None, :]

    def law_of(p: Floats) -> TransferLaw:
        alpha, beta = (_EXPONENTS[0] + (_EXPONENTS[1] - _EXPONENTS[0]) * float(expit(x)) for x in p[2:])
        return TransferLaw(math.exp(p[0]), math.exp(p[1]), alpha, beta)

    def residuals(p: Floats) -> Floats:
        return np.asarray((np.log(law_of(p)(n, s)) - logs).ravel())

    starts = _STARTS if near is None else ((near.alpha, near.beta, near.gamma),)
    best, least = None, math.inf
    for alpha, beta, gap in starts:
        level = float((logs - np.log((gap + n**-alpha) * s**-beta)).mean())
        start = np.array([level, math.log(gap), _unbounded(alpha), _unbounded(beta)])
        found = least_squares(residuals, start, loss="soft_l1", f_scale=0.1, max_nfev=400)
        if found.cost < least:
            best, least = law_of(found.x), found.cost
    assert best is not None
    return best


def judge_transfer(grid: TransferGrid) -> TransferJudgement:
    """Say what may be said of a grid."""
    num_n, num_s, num_seeds = grid.errors.shape
    if min(num_n, num_s) < MIN_COUNTS:
        found = f"{num_n} counts of synthetic frames x {num_s} of labels"
        return TransferJudgement(
            None, None, (f"not enough counts for the transfer law: {found}, needed: {MIN_COUNTS} x {MIN_COUNTS}",)
        )
    if num_seeds < MIN_REPLICATES:
        return TransferJudgement(None, None, (f"not enough seeds for the transfer law: {num_seeds} of {MIN_REPLICATES}",))
    law = fit_transfer(grid)
    gaps = [math.log(fit_transfer(grid.without(k), law).gamma) for k in range(num_seeds)]
    gap = log_interval(math.log(law.gamma), gaps)
    most = float(grid.synthetic[-1])
    return TransferJudgement(law, gap, tuple(_reading(law, most)))


def _reading(law: TransferLaw, most: float) -> Sequence[str]:
    if law.is_gap(most):
        return [f"at {most:g} synthetic frames the gap holds the error up: change the generator, not the count"]
    share = 1.0 - law.gamma / (law.gamma + most**-law.alpha)
    return [f"at {most:g} synthetic frames endless more of them would remove {share:.0%} of the error"]


def _unbounded(exponent: float) -> float:
    share = (exponent - _EXPONENTS[0]) / (_EXPONENTS[1] - _EXPONENTS[0])
    return math.log(share / (1.0 - share))
