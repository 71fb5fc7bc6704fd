"""Scalar draws used all over the scene: uniform, log-uniform, quantiles, chance and choice, in portable arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numba
import numpy as np
from pydantic import Field

from synth.scene import portable

Points = Annotated[tuple[float, ...], Field(min_length=2, max_length=65)]
"""Two bounds, or more evenly spaced quantiles of a law (:func:`spread`): nine are 0, 12.5, ..., 100 %."""


def rising(key: str, points: Sequence[float], low: float, high: float) -> None:
    """Raise ValueError unless points rise within low..high."""
    if not all(a <= b for a, b in pairwise((low, *points, high))):
        raise ValueError(f"{key} must rise within {low:g}..{high:g}, got {', '.join(f'{point:g}' for point in points)}")


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a draw uniform in [low, high)."""
    return low + (high - low) * rng.random()


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a draw whose logarithm is uniform, 0 < low <= high."""
    return float(_between_logs(low, high, rng.random()))


def spread(rng: np.random.Generator, points: Sequence[float]) -> float:
    """Return a draw from a law given by evenly spaced quantiles, uniform between neighbours; two points are mere bounds."""
    low, high, share = _between(rng, points)
    return low + (high - low) * share


def log_spread(rng: np.random.Generator, points: Sequence[float]) -> float:
    """Return a draw as :func:`spread` does, log-uniform between neighbours; points > 0."""
    low, high, share = _between(rng, points)
    return float(_between_logs(low, high, share))


@numba.njit(cache=True, nogil=True)
def _between_logs(low: float, high: float, share: float) -> float:
    """Return low * (high / low)^share."""
    return float(low * portable.exp(share * portable.log(high / low)))


def _between(rng: np.random.Generator, points: Sequence[float]) -> tuple[float, float, float]:
    """Return two neighbouring points and how far between them the draw lies; one draw whatever their number."""
    place = rng.random() * (len(points) - 1)
    index = min(int(place), len(points) - 2)
    return points[index], points[index + 1], place - index


def chance(rng: np.random.Generator, share: float) -> bool:
    """Return True with probability ``share``."""
    return rng.random() < share


def sign(rng: np.random.Generator, positive_share: float = 0.5) -> float:
    """Return 1.0 with probability ``positive_share``, else -1.0."""
    return 1.0 if chance(rng, positive_share) else -1.0


def weighted(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Return an index drawn with probability proportional to its weight; one draw whatever the length."""
    remaining = rng.random() * sum(weights)
    for index, weight in enumerate(weights):
        remaining -= weight
        if remaining < 0.0:
            return index
    return len(weights) - 1
