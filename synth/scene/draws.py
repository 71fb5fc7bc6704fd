"""Scalar draws used all over the scene: uniform, log-uniform, chance and choice, in portable arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth.scene import portable


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a draw uniform in [low, high)."""
    return low + (high - low) * float(rng.random())


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a draw whose logarithm is uniform, 0 < low <= high."""
    return low * float(portable.exp(float(rng.random()) * float(portable.log(high / low))))


def chance(rng: np.random.Generator, share: float) -> bool:
    """Return True with probability ``share``."""
    return float(rng.random()) < share


def sign(rng: np.random.Generator, positive_share: float = 0.5) -> float:
    """Return 1.0 with probability ``positive_share``, else -1.0."""
    return 1.0 if chance(rng, positive_share) else -1.0


def weighted(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Return an index drawn with probability proportional to its weight; one draw whatever the length."""
    remaining = float(rng.random()) * sum(weights)
    for index, weight in enumerate(weights):
        remaining -= weight
        if remaining < 0.0:
            return index
    return len(weights) - 1
