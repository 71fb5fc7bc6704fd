"""Measure the seven terms of 3-D noise from frames of a flat field.

Definition: D'Agostino & Webb, SPIE 1488 (1991), on a stack over time, rows and columns. An averaged plane still carries
sigma^2/n of what was averaged; the variances here are therefore those of a three-way random-effects analysis of variance,
whose expected mean squares take that leakage out exactly. noise3d and pyradi measure the same terms without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

TERMS = ("t", "v", "h", "tv", "th", "vh", "tvh")
"""Terms by the axes along which they vary: t time, v rows, h columns."""


@dataclass(frozen=True, slots=True)
class NoiseTerm:
    """One measured term.

    Attributes:
        variance: Estimated variance, DN^2; unbiased, so it can fall below 0 where there is no such noise.
        standard_error: Of the variance, from the degrees of freedom of the mean squares it is made of.
    """

    variance: float
    standard_error: float

    @property
    def sigma(self) -> float:
        """Standard deviation, DN; 0 where the variance came out negative."""
        return float(max(self.variance, 0.0) ** 0.5)


def decompose(stack: npt.NDArray[np.number]) -> Mapping[str, NoiseTerm]:
    """Split the noise of a flat field into its seven terms.

    The terms must be white along their axes for the standard errors to hold: a 1/f walk of the columns appears in th with
    a larger one.

    Args:
        stack: (T, H, W) frames of one camera on a flat field, at least 2 along each axis, in levels.

    Returns:
        The terms named in :data:`TERMS`.

    Raises:
        ValueError: If the stack is not three-dimensional or too small.
    """
    if stack.ndim != 3 or min(stack.shape) < 2:
        raise ValueError(f"stack must have shape (T, H, W) with at least 2 along each axis, got {stack.shape}")
    squares, freedom = _mean_squares(stack.astype(np.float64))
    return MappingProxyType({term: _solve(term, squares, freedom, stack.shape) for term in TERMS})


def _mean_squares(stack: npt.NDArray[np.float64]) -> tuple[dict[str, float], dict[str, int]]:
    """Return the mean square and the degrees of freedom of each term's interaction."""
    stack = stack - stack.mean()
    sums: dict[str, float] = {}
    freedom = {term: int(np.prod([stack.shape["tvh".index(axis)] - 1 for axis in term])) for term in TERMS}
    for term in TERMS[:-1]:
        plane = _interaction(stack, term)
        sums[term] = float((plane * plane).sum()) * stack.size / plane.size
    sums["tvh"] = float((stack * stack).sum()) - sum(sums.values())
    return {term: sums[term] / freedom[term] for term in TERMS}, freedom


def _interaction(stack: npt.NDArray[np.float64], term: str) -> npt.NDArray[np.float64]:
    """Average over the axes missing from the term and take its main effects out."""
    plane = stack.mean(axis=tuple(k for k, axis in enumerate("tvh") if axis not in term))
    if plane.ndim == 2:
        plane = plane - plane.mean(axis=0, keepdims=True) - plane.mean(axis=1, keepdims=True)
    return np.asarray(plane)


def _solve(term: str, squares: Mapping[str, float], freedom: Mapping[str, int], shape: tuple[int, ...]) -> NoiseTerm:
    """Solve the expected mean squares for one variance component.

    E[MS_term] is the sum of every component that varies along at least the axes of the term, each times the number of
    values averaged; alternating sums over the supersets of the term leave its own.
    """
    num = int(np.prod([size for size, axis in zip(shape, "tvh", strict=True) if axis not in term]))
    total, error = 0.0, 0.0
    for other in TERMS:
        if set(term) <= set(other):
            total += (-1) ** (len(other) - len(term)) * squares[other]
            error += 2.0 * squares[other] ** 2 / freedom[other]
    return NoiseTerm(total / num, error**0.5 / num)
