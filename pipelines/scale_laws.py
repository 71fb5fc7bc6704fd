"""Laws of error against data: fits, what they predict, and how far that can be trusted.

Error e = 1 - IoU (a ratio), size x = number of frames. ``P3``: e = c + a x^-b (Hestness et al., 2017); ``BD``: the bounded form
e = c + (1 - c) h / (1 + h), h = (x0 / x)^b, which is 1 without data (arXiv 2605.09189 with capacity and samples seen held
fixed). Residuals are logarithmic, weighted by standard errors, soft-L1 (our choice: one bad size does not bend the
curve). Replicates (independent seeds, paired over sizes) are the unit of every interval: estimate +- t x jackknife error, on the
logarithm of what is positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit, stdtrit

from finetune.metrics.intervals import Interval
from synth.errors import RecipeError

Floats = npt.NDArray[np.float64]
LawName = Literal["P3", "BD"]
LAWS: tuple[LawName, ...] = ("P3", "BD")
_EXPONENTS = (0.02, 3.0)
"""Bounds of b: outside, five sizes over two decades cannot tell the law from a constant or a step."""
_STARTS = tuple((b, share) for b in (0.1, 0.2, 0.35, 0.6, 1.0) for share in (0.02, 0.3, 0.6, 0.9))
"""Exponents and shares of the floor (of the smallest error) that fits start from: 20, as a fit may have several minima."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Errors of one way to train at several sizes.

    Attributes:
        sizes: float64 (S,), ascending, frames.
        errors: float64 (S, R) in (0, 1]: size by replicate.
    """

    sizes: Floats
    errors: Floats

    def __post_init__(self) -> None:
        if self.errors.shape[:1] != self.sizes.shape or self.errors.ndim != 2:
            raise RecipeError(f"errors must be (sizes, replicates) for {len(self.sizes)} sizes, got shape {self.errors.shape}")
        if (np.diff(self.sizes) <= 0).any() or self.sizes[0] <= 0:
            raise RecipeError(f"sizes must rise and be positive, got {self.sizes.tolist()}")
        if not ((self.errors > 0) & (self.errors <= 1)).all():
            raise RecipeError("errors must be in (0, 1]: 1 - IoU as a ratio")

    @property
    def means(self) -> Floats:
        """Mean error at each size, float64 (S,)."""
        return np.asarray(self.errors.mean(axis=1))

    @property
    def num_replicates(self) -> int:
        """Replicates at every size."""
        return int(self.errors.shape[1])

    def without(self, replicate: int) -> LearningCurve:
        """Return the curve without one replicate."""
        return LearningCurve(self.sizes, np.delete(self.errors, replicate, axis=1))

    def up_to(self, num_sizes: int) -> LearningCurve:
        """Return the curve at its smallest sizes."""
        return LearningCurve(self.sizes[:num_sizes], self.errors[:num_sizes])


@dataclass(frozen=True, slots=True)
class Law:
    """A fitted law.

    Attributes:
        name: Which.
        floor: c, the error that no amount of data removes.
        exponent: b.
        scale: a of ``P3``, x0 of ``BD``.
    """

    name: LawName
    floor: float
    exponent: float
    scale: float

    def __call__(self, sizes: npt.ArrayLike) -> Floats:
        """Return the error at sizes, float64 of the same shape."""
        x = np.asarray(sizes, np.float64)
        if self.name == "P3":
            return np.asarray(self.floor + self.scale * x**-self.exponent)
        h = (self.scale / x) ** self.exponent
        return np.asarray(self.floor + (1.0 - self.floor) * h / (1.0 + h))

    def frames_for(self, size: float, gain: float) -> float:
        """Return how many more frames lower the error by ``gain`` at ``size``; infinite when the floor forbids it."""
        aim = float(self(size)) - gain
        if aim <= self.floor:
            return math.inf
        if self.name == "P3":
            return float(((aim - self.floor) / self.scale) ** (-1.0 / self.exponent)) - size
        share = (aim - self.floor) / (1.0 - self.floor)
        return self.scale * float((share / (1.0 - share)) ** (-1.0 / self.exponent)) - size


def fit_law(name: LawName, curve: LearningCurve, near: Law | None = None) -> Law:
    """Fit a law.

    Args:
        name: Which.
        curve: At least 3 sizes.
        near: Start from this fit of almost the same curve alone, not from everywhere.

    Raises:
        RecipeError: Fewer sizes than parameters.
    """
    if len(curve.sizes) < 3:
        raise RecipeError(f"curve must have at least 3 sizes for the 3 parameters of a law, got {len(curve.sizes)}")
    means, log_sizes = curve.means, np.log(curve.sizes)
    weights = 1.0 / _log_errors(curve)
    top = float(means.min())

    def law_of(p: Floats) -> Law:
        exponent = _EXPONENTS[0] + (_EXPONENTS[1] - _EXPONENTS[0]) * float(expit(p[1]))
        return Law(name, top * float(expit(p[0])), exponent, math.exp(p[2]))

    def residuals(p: Floats) -> Floats:
        return np.asarray((np.log(law_of(p)(curve.sizes)) - np.log(means)) * weights)

    def start_of(exponent: float, share: float) -> tuple[float, float, float]:
        scale = (means[0] - share * top) * curve.sizes[0] ** exponent if name == "P3" else math.exp(log_sizes.mean())
        return exponent, share, float(scale)

    starts = [start_of(*start) for start in _STARTS] if near is None else [(near.exponent, near.floor / top, near.scale)]
    best: Law | None = None
    least = math.inf
    for exponent, share, scale in starts:
        start = np.array([_logit(share), _logit((exponent - _EXPONENTS[0]) / (_EXPONENTS[1] - _EXPONENTS[0])), math.log(scale)])
        found = least_squares(residuals, start, loss="soft_l1", max_nfev=200)
        if found.cost < least:
            best, least = law_of(found.x), found.cost
    assert best is not None
    return best


def predict(name: LawName, curve: LearningCurve, size: float) -> Interval:
    """Return the 95 % interval of the error that a law fitted to a curve predicts at a size.

    Args:
        name: Which law.
        curve: At least 3 sizes and 3 replicates.
        size: Frames.

    Raises:
        RecipeError: Fewer replicates.
    """
    number = curve.num_replicates
    if number < 3:
        raise RecipeError(f"curve must have at least 3 replicates for an interval, got {number}")
    whole = fit_law(name, curve)
    left_out = [fit_law(name, curve.without(k), whole) for k in range(number)]
    return log_interval(math.log(float(whole(size))), [math.log(float(law(size))) for law in left_out])


def log_interval(centre: float, left_out: Sequence[float]) -> Interval:
    """Return exp(centre +- t x jackknife error), from the logarithms of an estimate and of its leave-one-out values."""
    number = len(left_out)
    error = math.sqrt((number - 1) / number * float(np.square(np.asarray(left_out) - np.mean(left_out)).sum()))
    half = float(stdtrit(number - 1, 0.975)) * error
    return Interval(math.exp(centre - half), math.exp(centre + half))


def extrapolation_errors(curve: LearningCurve) -> Iterator[tuple[str, float]]:
    """Yield each law, and "last value", with the error of its prediction in ln e at the largest size, which it was not shown.

    Args:
        curve: At least 4 sizes.
    """
    shown, held_out = curve.up_to(len(curve.sizes) - 1), math.log(curve.means[-1])
    for name in LAWS:
        yield name, abs(math.log(float(fit_law(name, shown)(curve.sizes[-1]))) - held_out)
    yield "last value", abs(math.log(shown.means[-1]) - held_out)


def _log_errors(curve: LearningCurve) -> Floats:
    """Return standard errors of ln e, float64 (S,); sizes share their spread, as those of few replicates are wild."""
    if curve.num_replicates < 2:
        return np.ones(len(curve.sizes))
    relative = curve.errors.std(axis=1, ddof=1) / curve.means
    pooled = math.sqrt(float(np.square(relative).mean()))
    return np.asarray(np.sqrt(0.5 * np.square(relative) + 0.5 * pooled**2).clip(1e-3) / math.sqrt(curve.num_replicates))


def _logit(p: float) -> float:
    p = min(max(p, 1e-4), 1.0 - 1e-4)
    return math.log(p / (1.0 - p))
