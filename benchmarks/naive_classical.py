"""Classical methods as their released codes have them, with scipy in place of MATLAB's image functions. Run by classical.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Grey = npt.NDArray[np.float64]


def tllcm(grey: Grey) -> Grey:
    """Return TLLCM of one frame in grey levels: 72 rank filters over 27x27 windows (moradisaed/TLLCM)."""
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    core = ndimage.correlate(grey, kernel, mode="nearest")
    surroundings = np.zeros_like(grey)
    for row, col in ((r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)):
        cell = np.zeros((27, 27), bool)
        cell[9 * row : 9 * row + 9, 9 * col : 9 * col + 9] = True
        ranks = [ndimage.rank_filter(grey, 81 - k, footprint=cell, mode="constant") for k in range(1, 10)]
        surroundings = np.maximum(surroundings, np.mean(ranks, axis=0))
    return np.maximum(core**2 / np.maximum(surroundings, 1e-12) - core, 0.0)
