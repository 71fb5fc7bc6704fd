"""The laws of :mod:`synth.scene.draws` inside compiled code: draws that follow from a key and their number.

An :data:`Urn` holds the key and how many draws it has given; a painter that needs hundreds takes one from its generator and
draws in the kernel that paints.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.scene import grain, portable

Urn = npt.NDArray[np.uint64]
"""uint64 (3,): low word and high word of the key, number of draws so far."""


def open_urn(rng: np.random.Generator) -> Urn:
    """Return an urn with a key of the generator's."""
    urn = np.zeros(3, np.uint64)
    urn[:2] = rng.bit_generator.random_raw(2)
    return urn


@numba.njit(cache=True, nogil=True)
def share(urn: Urn) -> float:
    """Return a draw uniform in [0, 1)."""
    bits = grain.bits_at(urn[0], urn[1], urn[2])
    urn[2] += np.uint64(1)
    return grain.unit(bits)


@numba.njit(cache=True, nogil=True)
def between(urn: Urn, low: float, high: float) -> float:
    """Return a draw uniform in [low, high)."""
    return low + (high - low) * share(urn)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def log_between(urn: Urn, low: float, high: float) -> float:
    """Return a draw whose logarithm is uniform, 0 < low <= high."""
    return float(low * portable.exp(share(urn) * portable.log(high / low)))


@numba.njit(cache=True, nogil=True)
def happens(urn: Urn, chance: float) -> bool:
    """Return True with probability ``chance``."""
    return share(urn) < chance


@numba.njit(cache=True, nogil=True)
def sign_of(urn: Urn, positive_share: float) -> float:
    """Return 1.0 with probability ``positive_share``, else -1.0."""
    return 1.0 if share(urn) < positive_share else -1.0


@numba.njit(cache=True, nogil=True)
def whole(urn: Urn, low: int, high: int) -> int:
    """Return an integer in [low, high)."""
    return low + int(share(urn) * (high - low))
