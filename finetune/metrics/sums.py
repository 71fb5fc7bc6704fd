"""Per-frame counts under frame weights: what scores, subsets and bootstrap resamples are computed from.

Columns and weights are float64 but hold integers below 2^53 (except ``niou``-like columns), so sums are exact in any order;
a single weighting is summed by ``math.fsum``, which is exact for the others too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FrameSums:
    """Weighted sums over frames.

    Attributes:
        columns: Name -> float64 (N,), one value a frame.
        weights: float64 (B, N), how often each frame counts in each of B weightings; whole numbers.
    """

    columns: Mapping[str, FloatArray]
    weights: FloatArray

    def __getitem__(self, name: str) -> FloatArray:
        """Return the sums of one column, float64 (B,)."""
        column = self.columns[name]
        if len(self.weights) == 1:
            return np.array([math.fsum((self.weights[0] * column).tolist())])
        return np.asarray(self.weights @ column)

    @property
    def num_frames(self) -> FloatArray:
        """Frames of each weighting, float64 (B,)."""
        return np.asarray(self.weights.sum(axis=1))


def every_frame_once(num_frames: int) -> FloatArray:
    """Return the weights of the plain score, float64 (1, N)."""
    return np.ones((1, num_frames))


def ratio(numerator: FloatArray, denominator: FloatArray | np.float64, otherwise: float | FloatArray = math.nan) -> FloatArray:
    """Return numerator / denominator, and ``otherwise`` where the denominator is 0."""
    safe = np.where(denominator > 0.0, denominator, 1.0)
    return np.where(denominator > 0.0, numerator / safe, otherwise)
