"""What synthetic frames buy at several label counts: the transfer law, and when it may be stated.

``SY``: e(n, s) = delta (gamma + n^-alpha) s^-beta for n synthetic and s labelled frames (Mikami et al., arXiv 2108.11018); gamma
is the transfer gap, what synthetic frames cannot teach however many there are. n = 0 has no place in it. Logarithmic residuals,
soft-L1, many starts as in :mod:`pipelines.scale_laws`; seeds are the unit of every interval. The refusals are those of
:mod:`pipelines.scale_rules`, for a grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

from finetune.metrics.intervals import Interval
from pipelines.scale_laws import Floats, log_interval
from pipelines.scale_rules import MOST_COLLAPSED, Convergence
from synth.errors import RecipeError

MIN_COUNTS = 3
"""Counts of synthetic frames, and of labels, below which the law is refused (our choice: it has four parameters)."""
MIN_REPLICATES = 5
MOST_GAP_RATIO = 3.0
"""Ratio of the ends of the interval of gamma above which no gap is stated (our choice: as for the exponent of a law)."""
GAP_FACTOR = 4.0
"""Where n^-alpha is below gamma over this, endless synthetic frames remove less than a fifth of the error: 1 - 1 / (1 + 1/4)."""
_LEAST_GAP = 1e-9
"""Gap below which fits do not tell it from none: far below n^-alpha of any number of frames and exponent that is fitted."""
_EXPONENTS = (0.02, 3.0)
_STARTS = tuple((alpha, beta, gap) for alpha in (0.1, 0.3, 0.8) for beta in (0.1, 0.3, 0.6) for gap in (0.003, 0.03, 0.3))


@dataclass(frozen=True, slots=True, eq=False)
class TransferGrid:
    """Errors over synthetic and labelled frames.

    Attributes:
        synthetic: float64 (N,), rising, > 0.
        labels: float64 (S,), rising, > 0.
        errors: float64 (N, S, R) in (0, 1]: synthetic count by label count by replicate.
        seeds: Seed of each replicate.
    """

    synthetic: Floats
    labels: Floats
    errors: Floats
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.errors.shape[:2] != (len(self.synthetic), len(self.labels)) or self.errors.ndim != 3:
            raise RecipeError(f"errors must be (synthetic, labels, replicates), got shape {self.errors.shape}")
        if len(self.seeds) != self.errors.shape[2]:
            raise RecipeError(f"seeds must be one a replicate, got {len(self.seeds)} for {self.errors.shape[2]}")
        for name, counts in (("synthetic", self.synthetic), ("labels", self.labels)):
            if (np.diff(counts) <= 0).any() or counts[0] <= 0:
                raise RecipeError(f"{name} must rise and be positive, got {counts.tolist()}")
        if not ((self.errors > 0) & (self.errors <= 1)).all():
            raise RecipeError("errors must be in (0, 1]: 1 - IoU as a ratio")

    def without(self, replicate: int) -> TransferGrid:
        """Return the grid without one replicate."""
        seeds = self.seeds[:replicate] + self.seeds[replicate + 1 :]
        return TransferGrid(self.synthetic, self.labels, np.delete(self.errors, replicate, axis=2), seeds)

    def up_to(self, num_counts: int) -> TransferGrid:
        """Return the grid at its smallest counts of synthetic frames."""
        return TransferGrid(self.synthetic[:num_counts], self.labels, self.errors[:num_counts], self.seeds)


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

    def odds(self, synthetic: float) -> float:
        """Return the error that endless synthetic frames would still remove over the error they would leave."""
        return float(synthetic**-self.alpha / self.gamma)


@dataclass(frozen=True, slots=True, eq=False)
class TransferJudgement:
    """What may be said of a grid.

    Attributes:
        grid: The grid.
        law: The fit, or None where the rules forbid it.
        gap: 95 % interval of gamma, None likewise, and where it is not identified.
        sentences: Refusals, or what the fit means, for the report.
    """

    grid: TransferGrid
    law: TransferLaw | None
    gap: Interval | None
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; errors as in the grid: synthetic count by label count by seed."""
        grid = self.grid
        counts = {"synthetic": grid.synthetic.tolist(), "labels": grid.labels.tolist(), "seeds": list(grid.seeds)}
        return counts | {
            "errors": grid.errors.tolist(),
            "law": None if self.law is None else asdict(self.law),
            "gap": self.gap,
            "sentences": list(self.sentences),
        }


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
        return TransferLaw(math.exp(p[0]), max(math.exp(p[1]), _LEAST_GAP), alpha, beta)

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


def judge_transfer(
    grid: TransferGrid, *, collapsed: Sequence[Sequence[float]] = (), convergence: Sequence[Sequence[Convergence]] = ()
) -> TransferJudgement:
    """Say what may be said of a grid.

    Args:
        grid: The grid.
        collapsed: Share of collapsed seeds, synthetic count by label count.
        convergence: Whether training had converged, likewise.
    """
    if against := tuple(_against(grid, collapsed, convergence)):
        return TransferJudgement(grid, None, None, against)
    law = fit_transfer(grid)
    left_out = [fit_transfer(grid.without(k), law) for k in range(grid.errors.shape[2])]
    gap = log_interval(math.log(law.gamma), [math.log(other.gamma) for other in left_out])
    if gap.high > MOST_GAP_RATIO * gap.low:
        refusal = f"gap not identified: the ends of gamma's interval differ more than {MOST_GAP_RATIO:g} times; it is not stated"
        return TransferJudgement(grid, law, None, (refusal,))
    most = float(grid.synthetic[-1])
    odds = log_interval(math.log(law.odds(most)), [math.log(other.odds(most)) for other in left_out])
    return TransferJudgement(grid, law, gap, (_reading(odds, most),))


def transfer_against_plan(num_synthetic: int, num_labels: int, num_seeds: int) -> Iterator[str]:
    """Yield what speaks against any transfer law before anything is trained.

    Args:
        num_synthetic: Counts of synthetic frames.
        num_labels: Counts of labels.
        num_seeds: Seeds that every place has, or shall have.
    """
    if min(num_synthetic, num_labels) < MIN_COUNTS:
        found = f"{num_synthetic} counts of synthetic frames x {num_labels} of labels"
        yield f"not enough counts for the transfer law: {found}, needed: {MIN_COUNTS} x {MIN_COUNTS}"
    if num_seeds < MIN_REPLICATES:
        yield f"not enough seeds for the transfer law: {num_seeds} of {MIN_REPLICATES}"


def _against(
    grid: TransferGrid, collapsed: Sequence[Sequence[float]], convergence: Sequence[Sequence[Convergence]]
) -> Iterator[str]:
    """Yield what speaks against any law."""
    num_n, num_s, num_seeds = grid.errors.shape
    yield from transfer_against_plan(num_n, num_s, num_seeds)
    num_unknown = 0
    for count, shares, states in zip(grid.synthetic, collapsed, convergence, strict=False):
        for labels, share, state in zip(grid.labels, shares, states, strict=True):
            place = f"{count:g} synthetic frames and {labels:g} labels"
            num_unknown += state == "unknown"
            if share > MOST_COLLAPSED:
                yield f"{share:.0%} of the seeds collapsed at {place}: no transfer law"
            if state == "limited":
                yield f"training at {place} had not converged: no transfer law"
    if num_unknown:
        yield f"whether training had converged is not known at {num_unknown} of {num_n * num_s} places: no transfer law"
    if min(num_n, num_s) >= MIN_COUNTS:
        by_law, by_last = _misses(grid)
        if by_law > by_last:
            found = f"{by_law:.3f} against {by_last:.3f} in ln e"
            yield (
                "the transfer law, fitted without the largest count of synthetic frames, misses it by more than the count before "
                f"it does ({found}): no transfer law"
            )


def _misses(grid: TransferGrid) -> tuple[float, float]:
    """Return how far the law, and the count before it, are from the largest count of synthetic frames: RMSE in ln e."""
    shown, held_out = grid.up_to(len(grid.synthetic) - 1), np.log(grid.errors[-1].mean(axis=1))
    by_law = np.log(fit_transfer(shown)(grid.synthetic[-1], grid.labels)) - held_out
    by_last = np.log(shown.errors[-1].mean(axis=1)) - held_out
    return math.sqrt(float(np.square(by_law).mean())), math.sqrt(float(np.square(by_last).mean()))


def _reading(odds: Interval, most: float) -> str:
    """Return what the interval of the odds at the largest count means, in words."""
    if odds.high < 1.0 / GAP_FACTOR:
        return f"at {most:g} synthetic frames the gap holds the error up: change the generator, not the count"
    low, high = (f"{value / (1.0 + value):.0%}" for value in odds)
    share = low if low == high else f"{low} to {high}"
    text = f"at {most:g} synthetic frames endless more of them would remove {share} of the error"
    return text if odds.low > 1.0 / GAP_FACTOR else f"{text}: it cannot be told yet whether count or generator holds it up"


def _unbounded(exponent: float) -> float:
    share = (exponent - _EXPONENTS[0]) / (_EXPONENTS[1] - _EXPONENTS[0])
    return math.log(share / (1.0 - share))
