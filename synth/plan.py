"""The plan: what sample i is, as data, computed on demand for any i and never held as a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.errors import SourceError
from synth.recipe import SynthesisRecipe
from synth.rng import Stream, keyed_generator
from synth.sample import SampleKind

NUM_ROTATIONS = 4
PUBLISHED_SOURCE = (663, 918)
"""Frames and mask targets of the source SIRST-5K was made from: NUDT-SIRST 50_50 train (counted on the masks)."""
PUBLISHED_NUM_SYNTHETIC = 4_199
"""Synthetic frames of the released SIRST-5K set (ids 001328-005526): 3,672 of one pass and 527 more."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One sample to be: everything but the draws, which come from (recipe seed, stream, ``index``).

    Attributes:
        index: Index in the store.
        kind: Untouched original, or mixed and rotated copy.
        source: Code of the source frame.
        target: Which target of that frame the canvas and the patch are about; -1 for a frame without targets.
        pass_index: Number of the pass, counted on when passes repeat; -1 for originals.
        alpha: Weight of the noise, 0 for originals.
        side: Side of the rotated square, px, 0 for originals.
        rotation: Quarter turns, counter-clockwise.
    """

    index: int
    kind: SampleKind
    source: int
    target: int
    pass_index: int = -1
    alpha: float = 0.0
    side: int = 0
    rotation: int = 0


class Plan:
    """Maps a sample index to its :class:`PlanRow`.

    Args:
        recipe: What to compose.
        targets_per_frame: int (num_sources,), targets of each source frame; or the number of source frames alone, for
            rendered scenes, which are made without a look at what they will hold.

    Raises:
        SourceError: Synthetic samples are asked for and no frame has a target.
    """

    def __init__(self, recipe: SynthesisRecipe, targets_per_frame: npt.NDArray[np.int64] | int) -> None:
        self._recipe = recipe
        self._is_listed = not isinstance(targets_per_frame, int)
        counts = np.zeros(0, np.int64) if isinstance(targets_per_frame, int) else targets_per_frame
        self._first_target = np.concatenate([[0], np.cumsum(counts)])
        self.num_sources = targets_per_frame if isinstance(targets_per_frame, int) else len(counts)
        self.num_source_targets = int(self._first_target[-1])
        self.pass_size = NUM_ROTATIONS * self.num_source_targets
        self.num_originals = self.num_sources if recipe.originals else 0
        self.num_synthetic = self._count_synthetic()
        if recipe.num_synthetic != 0 and not self.pass_size:
            raise SourceError(
                f"source: none of the {self.num_sources} frames has a target in its mask, so there is nothing to rotate; "
                "give frames with targets, or set num_synthetic=0"
            )
        self._num_full_passes, rest = divmod(self.num_synthetic, self.pass_size) if self.pass_size else (0, 0)
        self._partial = self._draw_partial(rest)

    def __len__(self) -> int:
        return self.num_originals + self.num_synthetic

    def __iter__(self) -> Iterator[PlanRow]:
        return (self.row(i) for i in range(len(self)))

    def row(self, index: int) -> PlanRow:
        """Return what sample ``index`` is.

        Args:
            index: 0 <= index < len(plan).

        Raises:
            IndexError: Out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample index must be in 0..{len(self) - 1}, got {index}")
        if index < self.num_originals:
            has_target = self._is_listed and self._first_target[index + 1] > self._first_target[index]
            return PlanRow(index, SampleKind.ORIGINAL, index, 0 if has_target else -1)
        pass_index, item = divmod(index - self.num_originals, self.pass_size)
        if pass_index == self._num_full_passes:
            item = int(self._partial[item])
        flat_target, rotation = divmod(item, NUM_ROTATIONS)
        source = int(np.searchsorted(self._first_target, flat_target, side="right")) - 1
        settings = self._recipe.passes[pass_index % len(self._recipe.passes)]
        return PlanRow(
            index, SampleKind.NEGATIVE, source, flat_target - int(self._first_target[source]),
            pass_index, settings.alpha, settings.side, rotation,
        )  # fmt: skip

    def describe(self) -> list[str]:
        """Return the composition as readable lines."""
        if not self._is_listed:
            return [f"{len(self)} rendered scenes"]
        lines = [f"{self.num_sources} source frames with {self.num_source_targets} targets"]
        lines.append(f"{self.num_originals} originals + {self.num_synthetic} synthetic = {len(self)} frames")
        for p in range(min(self._num_full_passes + bool(len(self._partial)), len(self._recipe.passes), 10)):
            settings = self._recipe.passes[p]
            count = self.pass_size if p < self._num_full_passes else len(self._partial)
            lines.append(f"pass {p}: alpha {settings.alpha:g}, patch side {settings.side} px: {count} of {self.pass_size}")
        repeats = self._num_full_passes + bool(len(self._partial)) - len(self._recipe.passes)
        if repeats > 0:
            lines.append(f"{repeats} more passes repeat the settings with other noise windows")
        return lines

    def _count_synthetic(self) -> int:
        asked = self._recipe.num_synthetic
        if asked == "all":
            return len(self._recipe.passes) * self.pass_size
        if asked == "published":
            is_published = (self.num_sources, self.num_source_targets) == PUBLISHED_SOURCE
            return PUBLISHED_NUM_SYNTHETIC if is_published else self.pass_size
        return asked

    def _draw_partial(self, count: int) -> npt.NDArray[np.int64]:
        """Draw, without replacement and sorted, which items of the last pass exist."""
        if not count:
            return np.empty(0, np.int64)
        rng = keyed_generator(self._recipe.seed, Stream.PLAN, 0)
        return np.sort(rng.choice(self.pass_size, size=count, replace=False))
