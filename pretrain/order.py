"""Which frame stands at which position of the endless training order: a pure function of seed and position.

A virtual epoch holds as many positions as the sources hold frames. With one source an epoch is one permutation of it. With
several, each fills a fixed quota of every epoch from its own endless sequence of permutations, so that no frame of a source
comes twice before all of it came once; the epoch is then shuffled. Nothing is remembered between calls: the state of a
training run is the number of samples it has consumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from synth.errors import RecipeError
from synth.rng import Stream, keyed_hash

Positions = npt.NDArray[np.int64]

_EPOCH_SHUFFLE = 2**31
"""Stands where the number of a source stands elsewhere, in the key of the shuffle that mixes an epoch."""
_KEPT_PERMUTATIONS = 32


@dataclass(frozen=True, slots=True)
class Partition:
    """Which samples of a step a rank computes, and in how many parts.

    Attributes:
        batch: Samples of one step, all ranks together.
        rank: This process.
        ranks: Number of processes.
        parts: Parts (gradient accumulation) of a rank's share.
    """

    batch: int
    rank: int = 0
    ranks: int = 1
    parts: int = 1

    def __post_init__(self) -> None:
        if self.batch % (self.ranks * self.parts):
            raise RecipeError(
                f"train.batch must be a multiple of ranks x train.accumulation = {self.ranks} x {self.parts}, got {self.batch}"
            )

    def positions(self, start: int) -> list[Positions]:
        """Return the positions of the parts of the step that begins at a position: rank, rank + ranks, ..."""
        mine = start + np.arange(self.rank, self.batch, self.ranks, dtype=np.int64)
        return [np.ascontiguousarray(part) for part in np.split(mine, self.parts)]


class SampleOrder:
    """The order of training.

    Args:
        lengths: Frames of each source.
        weights: Share of each source, any positive scale; None: in proportion to the frames.
        seed: Seed of all permutations.

    Attributes:
        epoch_length: Positions of one virtual epoch.
        quotas: Positions of each source in every epoch.

    Raises:
        RecipeError: A source is empty, or a weight gives it less than one position an epoch.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float] | None, seed: int) -> None:
        if not lengths or min(lengths) < 1:
            raise RecipeError(f"sources must hold at least one frame each, got {list(lengths)}")
        self.lengths, self.seed = tuple(lengths), seed
        self.epoch_length = sum(lengths)
        self.quotas = _quotas(self.epoch_length, lengths if weights is None else weights, len(lengths))
        self._first_slot = np.concatenate([[0], np.cumsum(self.quotas)])
        self._permutation = lru_cache(_KEPT_PERMUTATIONS)(self._draw_permutation)

    def at(self, positions: Positions) -> tuple[Positions, Positions]:
        """Return source and index in it of positions.

        Args:
            positions: int64 (B,), >= 0.

        Returns:
            Two int64 arrays (B,).
        """
        epochs, offsets = np.divmod(positions, self.epoch_length)
        if len(self.lengths) == 1:
            return np.zeros_like(positions), self._look_up(0, self.lengths[0], epochs, offsets)
        slots = self._look_up(_EPOCH_SHUFFLE, self.epoch_length, epochs, offsets)
        sources = np.searchsorted(self._first_slot, slots, side="right") - 1
        indices = np.empty_like(positions)
        for source, (length, quota) in enumerate(zip(self.lengths, self.quotas, strict=True)):
            here = sources == source
            turns = epochs[here] * quota + slots[here] - self._first_slot[source]
            indices[here] = self._look_up(source, length, *np.divmod(turns, length))
        return sources, indices

    def _look_up(self, key: int, length: int, rounds: Positions, offsets: Positions) -> Positions:
        """Return element ``offsets`` of the permutation of each round."""
        found = np.empty_like(offsets)
        for number in np.unique(rounds).tolist():
            here = rounds == number
            found[here] = self._permutation(key, number, length)[offsets[here]]
        return found

    def _draw_permutation(self, key: int, number: int, length: int) -> Positions:
        """Sort by keyed hash: the same permutation on every machine and numpy, for ever."""
        hashes = keyed_hash(self.seed, Stream.ORDER, np.int64(key), np.int64(number), np.arange(length))
        return np.argsort(hashes, kind="stable")


def _quotas(total: int, weights: Sequence[float], num_sources: int) -> tuple[int, ...]:
    """Share out the positions of an epoch by largest remainder."""
    if len(weights) != num_sources or not all(np.isfinite(w) and w > 0 for w in weights):
        raise RecipeError(f"weights must be one positive number for each of the {num_sources} sources, got {list(weights)}")
    exact = np.asarray(weights, np.float64) * (total / float(np.sum(weights)))
    quotas = np.floor(exact).astype(np.int64)
    short = np.argsort(quotas - exact, kind="stable")[: total - int(quotas.sum())]
    quotas[short] += 1
    if quotas.min() < 1:
        raise RecipeError(f"weights must give every source at least one of the {total} frames an epoch, got {list(weights)}")
    return tuple(quotas.tolist())
