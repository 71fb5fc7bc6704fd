"""1/f walk along columns: a sum of relaxations."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from synth.scene import grain

WALK_STAY = (0.5, 0.875, 0.96875, 0.9921875)
"""Step-to-step correlation of the four relaxations whose sum walks as 1/f over 2-128 columns (1 - 2^-1, -3, -5, -7)."""


def walk_along(num: int, *, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw a 1/f profile of unit variance: the mean of four relaxations with correlation lengths 4x apart.

    A sum of relaxations whose rates are spread evenly in logarithm has a 1/f spectrum (Bernamont 1937; van der Ziel 1950).

    Args:
        num: Samples.
        rng: Source of the draws.

    Returns:
        float32 (num,), stationary, standard deviation 1 over the ensemble.
    """
    profile: npt.NDArray[np.float32] = relax(grain.normal_field((len(WALK_STAY), num), 1.0, key=grain.draw_key(rng)))
    return profile


@numba.njit(cache=True, nogil=True)
def relax(steps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the mean of relaxations of unit variance, driven by the rows of ``steps``, times the root of their number."""
    states, out = np.empty(len(WALK_STAY)), np.empty(steps.shape[1], np.float32)
    for m in range(len(WALK_STAY)):
        states[m] = steps[m, 0]
    for k in range(out.size):
        total = 0.0
        for m in range(len(WALK_STAY)):
            if k > 0:
                states[m] = WALK_STAY[m] * states[m] + math.sqrt(1.0 - WALK_STAY[m] * WALK_STAY[m]) * steps[m, k]
            total += states[m]
        out[k] = np.float32(total / math.sqrt(len(WALK_STAY)))
    return out
