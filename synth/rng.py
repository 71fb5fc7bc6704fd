"""Counter-based random streams: one generator per (seed, stream, index), never per worker, chunk or shard."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

ALGO_VERSION = 1
"""Version of everything that turns a recipe into bytes. A change of any golden hash needs a new number here."""


class Stream(IntEnum):
    """What the draws are for. Adding a member never changes the values of the others; numbers are never reused."""

    SCENE = 0
    TARGETS = 1
    CAMERA = 2
    NOISE = 3
    VIEW = 4
    SPLIT = 5
    CANVAS = 6
    PLAN = 7
    RESERVOIR = 8
    IMPOSTORS = 9
    SHEETS = 10
    MOTION = 11
    FLICKER = 12
    CENSUS = 13
    RESAMPLE = 14


def keyed_generator(seed: int, stream: Stream, index: int) -> np.random.Generator:
    """Return the generator of one sample's draws for one purpose.

    The counter of Philox advances from its lowest word, so every index owns a disjoint block of 2^192 draws.

    Args:
        seed: Recipe seed, 0 <= seed < 2^64.
        stream: Purpose of the draws.
        index: Sample (or camera, or frame) index, 0 <= index < 2^64.

    Returns:
        A generator whose values depend on the three arguments alone.
    """
    key, counter = np.array((seed, stream), np.uint64), np.array((0, 0, 0, index), np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bits)


def keyed_hash(seed: int, stream: Stream, *columns: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return one 64-bit hash per row of integer columns, for order-free sampling such as a keyed reservoir.

    Each column is folded in by the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), integer arithmetic only.

    Args:
        seed: Recipe seed.
        stream: Purpose of the hash.
        columns: Equally long integer arrays (N,); each row is one item's identity.

    Returns:
        uint64 array (N,).
    """
    with np.errstate(over="ignore"):
        state = _mix64(np.uint64(seed) ^ _mix64(np.uint64(int(stream) + 1)))
        for column in columns:
            state = _mix64(state ^ _mix64(np.asarray(column).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)))
    return np.asarray(state, dtype=np.uint64)


def _mix64(value: np.uint64 | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)), dtype=np.uint64)
