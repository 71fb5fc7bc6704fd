"""Counter-based random streams: one generator per (seed, stream, index), never per worker, chunk or shard."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

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
    ORDER = 15
    STEP = 16
    SUBSET = 17
    INSERTION = 18
    RADIOMETRY = 19
    OBJECTIVE = 20


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
    # given a key, the constructor would ask the operating system for entropy first and take twice the time
    generator = np.random.Generator(np.random.Philox(_NO_SEED))  # type: ignore[arg-type]
    _set_key(generator, seed, stream, index)
    return generator


class ScalarGenerator(np.random.Generator):
    """A generator whose scalar draws come from blocks drawn ahead: one costs a quarter, and numpy's own call is not made.

    Uniforms are those of numpy in the same order, as long as nothing else is drawn in between. Scalar integers are the
    uniform times the range, rounded down, whose bias is below the range times 2^-53.
    """

    def __init__(self, bit_generator: np.random.BitGenerator) -> None:
        super().__init__(bit_generator)
        self._ahead: list[float] = []

    def forget(self) -> None:
        """Drop what is drawn ahead: the bit generator is at another place."""
        self._ahead.clear()

    def random(self, size: Any = None, *args: Any, **named: Any) -> Any:
        """Return uniforms in [0, 1), as numpy does."""
        if size is not None:
            return super().random(size, *args, **named)
        if not self._ahead:
            self._ahead += super().random(_SCALARS_AHEAD)[::-1].tolist()
        return self._ahead.pop()

    def integers(self, low: Any, high: Any = None, size: Any = None, *args: Any, **named: Any) -> Any:
        """Return integers in [low, high), or [0, low), as numpy does."""
        if size is not None or args or named:
            return super().integers(low, high, size, *args, **named)
        first, end = (0, low) if high is None else (low, high)
        return first + int(self.random() * (end - first))


_SCALARS_AHEAD = 16  # our choice: most streams of a frame need fewer, and 64 at once are hardly cheaper each


class KeyedGenerators:
    """The streams of one owner, :func:`keyed_generator` without making one each time: half of it is the making.

    Asking for a stream again takes back the generator it gave before, so it belongs to one thread, and to code that is done
    with one index of a stream before it asks for the next.

    Args:
        seed: Recipe seed, 0 <= seed < 2^64.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: dict[Stream, ScalarGenerator] = {}

    def of(self, stream: Stream, index: int) -> ScalarGenerator:
        """Return the generator of a stream at an index, which starts where :func:`keyed_generator` does."""
        if stream not in self._kept:
            self._kept[stream] = ScalarGenerator(np.random.Philox(_NO_SEED))  # type: ignore[arg-type]
        generator = self._kept[stream]
        generator.forget()
        _set_key(generator, self._seed, stream, index)
        return generator


def _set_key(generator: np.random.Generator, seed: int, stream: Stream, index: int) -> None:
    generator.bit_generator.state = {  # lists: the state is read item by item, and making arrays takes as long as all the rest
        "bit_generator": "Philox", "state": {"counter": [0, 0, 0, index], "key": [seed, stream]},
        "buffer": _EMPTY, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
    }  # fmt: skip


class _NoSeed(np.random.bit_generator.ISeedSequence):
    """Seeds with zeros what gets its state right afterwards."""

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[Any]:
        return np.zeros(n_words, dtype)


_NO_SEED, _EMPTY = _NoSeed(), [0, 0, 0, 0]


def keyed_hash(seed: int, stream: Stream, *columns: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return one 64-bit hash per row of integer columns, for order-free sampling such as a keyed reservoir.

    Each column is folded in by the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), integer arithmetic only.

    Args:
        seed: Recipe seed.
        stream: Purpose of the hash.
        columns: Integer arrays that broadcast to one shape; each element is one item's identity.

    Returns:
        uint64 array of that shape.
    """
    with np.errstate(over="ignore"):
        state = _mix64(np.uint64(seed) ^ _mix64(np.uint64(int(stream) + 1)))
        for column in columns:
            state = _mix64(state ^ _mix64(np.asarray(column).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)))
    return np.asarray(state, dtype=np.uint64)


def keyed_uniforms(seed: int, stream: Stream, *columns: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return one uniform draw in [0, 1) per element of integer columns: the top 53 bits of :func:`keyed_hash`.

    Args:
        seed: Seed.
        stream: Purpose of the draws.
        columns: Integer arrays that broadcast to one shape, such as positions (B, 1) and numbers of draws (D,).

    Returns:
        float64 array of that shape.
    """
    return (keyed_hash(seed, stream, *columns) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix64(value: np.uint64 | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)), dtype=np.uint64)
