"""Where painters get their textures from: drawn for one frame, or cut from sheets that many frames share.

A field of its own costs a frame more than everything else together. A *sheet* is a large seamless field drawn once for a
block of ``BLOCK_FRAMES`` consecutive frames; a frame cuts a window of it at a random place, mirrored at random, and
brings the cut to mean 0 and deviation 1. Frames of a block therefore share textures, never places, thresholds, layers,
targets or noise. The sheets of a block follow from (seed, block) alone, so a frame is the same whichever came before;
they are kept per process.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt

from synth.rng import Stream, keyed_generator
from synth.sample import FloatImage
from synth.scene.clutter import even_fast_length, periodic_field, periodic_sheet, power_law_field
from synth.scene.cuts import Sheet, cut_window
from synth.scene.draws import log_uniform, uniform

BLOCK_FRAMES = 1024
"""Consecutive frames that share sheets (our choice: the images of one shard at 256x256)."""

_LEAST_SIDE_PX = 768
_SIDES = 1.75  # a sheet is at least this many windows wide: a window never meets its own periodic copy
_KEPT_BLOCKS = 2


_LEVELS = 4096.0  # levels of a sheet per standard deviation: 16 bits reach 8 of them, in steps far below any sensor's noise


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A seamless texture and the place to start reading it.

    Attributes:
        texture: float32 or int16 (h, w), mean 0 and, in its unit, standard deviation 1; opposite borders match.
        row: First row.
        col: First column.
        unit: One level of it in standard deviations.
    """

    texture: FloatImage | Sheet
    row: int = 0
    col: int = 0
    unit: float = 1.0


class FieldSource(Protocol):
    """Gives painters random fields with a power-law spectrum."""

    def field(
        self,
        rng: np.random.Generator,
        *,
        hw: tuple[int, int],
        beta: float,
        f0: float = 1.0 / 256.0,
        stretch: float = 1.0,
        turns: float = 0.0,
    ) -> FloatImage:
        """Return float32 (H, W) with mean 0 and deviation 1; arguments as in :func:`synth.scene.clutter.power_law_field`."""

    def tile(self, rng: np.random.Generator, *, hw: tuple[int, int], beta: float, f0: float, stretch: float = 1.0) -> Tile:
        """Return a seamless texture of at least ``hw``; arguments as in :func:`synth.scene.clutter.periodic_field`."""


class DrawnFields:
    """Draws every field for the frame that asks, exactly as asked.

    Args:
        tilt: Added to every exponent asked for.
    """

    def __init__(self, tilt: float = 0.0) -> None:
        self._tilt = tilt

    def field(
        self,
        rng: np.random.Generator,
        *,
        hw: tuple[int, int],
        beta: float,
        f0: float = 1.0 / 256.0,
        stretch: float = 1.0,
        turns: float = 0.0,
    ) -> FloatImage:
        """Return :func:`synth.scene.clutter.power_law_field`."""
        return power_law_field(rng, hw=hw, beta=beta + self._tilt, f0=f0, stretch=stretch, turns=turns)

    def tile(self, rng: np.random.Generator, *, hw: tuple[int, int], beta: float, f0: float, stretch: float = 1.0) -> Tile:
        """Return :func:`synth.scene.clutter.periodic_field`."""
        return Tile(periodic_field(rng, hw=hw, beta=beta + self._tilt, f0=f0, stretch=stretch))


@dataclass(frozen=True, slots=True)
class SheetKind:
    """Ranges a sheet's parameters are drawn from, once a block.

    Attributes:
        beta: Exponent of the power spectral density.
        wavelength_px: 1/f0, log-uniform.
        stretch: Elongation.
        any_turn: Whether it lies in any direction; otherwise within 0.06 turns of level.
    """

    beta: tuple[float, float]
    wavelength_px: tuple[float, float]
    stretch: tuple[float, float] = (1.0, 1.0)
    any_turn: bool = False


SHEET_KINDS = (
    SheetKind(beta=(3.4, 4.0), wavelength_px=(220.0, 280.0), stretch=(1.0, 3.0), any_turn=True),  # veils of cirrus
    SheetKind(beta=(2.9, 3.4), wavelength_px=(180.0, 280.0), stretch=(1.0, 2.0), any_turn=True),  # haze and swell
    SheetKind(beta=(3.3, 4.0), wavelength_px=(140.0, 400.0), stretch=(1.0, 2.2)),  # outlines of cumulus
    SheetKind(beta=(2.8, 3.4), wavelength_px=(25.0, 70.0)),  # detail of cumulus
    SheetKind(beta=(2.0, 3.0), wavelength_px=(14.0, 60.0), stretch=(2.0, 4.0)),  # short waves
    SheetKind(beta=(2.2, 3.2), wavelength_px=(20.0, 60.0), stretch=(4.0, 7.0)),  # long-crested waves
    SheetKind(beta=(3.0, 3.6), wavelength_px=(100.0, 140.0), stretch=(1.0, 2.0), any_turn=True),  # terrain
    SheetKind(beta=(2.3, 3.0), wavelength_px=(60.0, 110.0)),  # walls and fields
    SheetKind(beta=(2.3, 3.3), wavelength_px=(12.0, 36.0)),  # crowns of trees
    SheetKind(beta=(3.1, 3.7), wavelength_px=(130.0, 220.0), stretch=(3.0, 7.0), any_turn=True),  # strands of cirrus
)
"""What a block holds: the textures the painters of :mod:`synth.scene.backdrops` ask for, over the same ranges."""


@dataclass(frozen=True, slots=True)
class SheetSpec:
    """Parameters of one sheet; :func:`synth.scene.clutter.power_law_field` explains them."""

    beta: float
    f0: float
    stretch: float
    turns: float

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: SheetKind) -> SheetSpec:
        """Draw the parameters of one block's sheet of a kind."""
        beta, wavelength = uniform(rng, *kind.beta), log_uniform(rng, *kind.wavelength_px)
        stretch = uniform(rng, *kind.stretch)
        turns = float(rng.random()) if kind.any_turn else uniform(rng, -0.06, 0.06) % 1.0
        return cls(beta, 1.0 / wavelength, stretch, turns)


class SheetFields:
    """Cuts every field from the sheet of a block that is most like what is asked.

    Args:
        seed: Recipe seed.
        block: Number of the block, ``scene index // BLOCK_FRAMES``.
        side_px: Longest side of a window that will be asked for.
        tilt: Added to every exponent.
    """

    def __init__(self, seed: int, block: int, side_px: int, tilt: float = 0.0) -> None:
        self._seed, self._first, self._tilt = seed, block * len(SHEET_KINDS), tilt
        self._side = even_fast_length(max(_LEAST_SIDE_PX, int(_SIDES * side_px)))
        self._specs = tuple(SheetSpec.draw(self._rng(number), kind) for number, kind in enumerate(SHEET_KINDS))
        self._table = np.array([(spec.beta, spec.f0, spec.stretch) for spec in self._specs])
        # one array, for which numpy asks the system for large pages: windows lie anywhere in it
        self._sheets = np.empty((len(SHEET_KINDS), self._side, self._side), np.int16)
        self._drawn: set[int] = set()

    def field(
        self,
        rng: np.random.Generator,
        *,
        hw: tuple[int, int],
        beta: float,
        f0: float = 1.0 / 256.0,
        stretch: float = 1.0,
        turns: float = 0.0,
    ) -> FloatImage:
        """Return a window of the nearest sheet, mirrored at random (the sheet keeps its own direction)."""
        row, col, mirror = int(rng.random() * self._side), int(rng.random() * self._side), int(rng.random() * 4)
        return cut_window(self._nearest(beta, f0, stretch), row, col, mirror, hw[0], hw[1])

    def tile(self, rng: np.random.Generator, *, hw: tuple[int, int], beta: float, f0: float, stretch: float = 1.0) -> Tile:
        """Return the nearest sheet itself, to be read from a random place."""
        row, col = int(rng.random() * self._side), int(rng.random() * self._side)
        return Tile(self._nearest(beta, f0, stretch), row, col, 1.0 / _LEVELS)

    def _nearest(self, beta: float, f0: float, stretch: float) -> Sheet:
        number = int(_nearest_of(self._table, beta, f0, stretch))
        if number not in self._drawn:
            rng, spec = self._rng(number), self._specs[number]
            SheetSpec.draw(rng, SHEET_KINDS[number])  # the coefficients follow the parameters in the same stream
            sheet = periodic_sheet(
                rng, side=self._side, beta=spec.beta + self._tilt, f0=spec.f0, stretch=spec.stretch, turns=spec.turns
            )
            _to_levels(sheet, self._sheets[number])
            self._drawn.add(number)
        drawn: Sheet = self._sheets[number]
        return drawn

    def _rng(self, number: int) -> np.random.Generator:
        return keyed_generator(self._seed, Stream.SHEETS, self._first + number)


@numba.njit(cache=True, nogil=True)
def _to_levels(field: FloatImage, out: Sheet) -> None:
    most = np.float32(32767.0)
    for i in range(field.shape[0]):
        for j in range(field.shape[1]):
            out[i, j] = np.int16(np.int32(np.rint(min(max(field[i, j] * np.float32(_LEVELS), -most), most))))


@numba.njit(cache=True, nogil=True)
def _nearest_of(table: npt.NDArray[np.float64], beta: float, f0: float, stretch: float) -> int:
    """Return the row (beta, f0, stretch) least unlike a request, in steps of 0.5 in slope, of an octave in f0 and elongation."""
    best, least = 0, np.inf
    for k in range(table.shape[0]):
        octaves = max(table[k, 1] / f0, f0 / table[k, 1]) + max(table[k, 2] / stretch, stretch / table[k, 2]) - 2.0
        distance = abs(table[k, 0] - beta) / 0.5 + octaves
        if distance < least:
            best, least = k, distance
    return best


class SheetCabinet:
    """Keeps the sheets of the last two blocks, 12 MB each at 256x256.

    Args:
        seed: Recipe seed.
        side_px: Longest side of a window that will be asked for.
        tilt: Added to every exponent.
    """

    def __init__(self, seed: int, side_px: int, tilt: float = 0.0) -> None:
        self._seed, self._side_px, self._tilt = seed, side_px, tilt
        self._blocks: OrderedDict[int, SheetFields] = OrderedDict()

    def of_scene(self, scene: int) -> SheetFields:
        """Return the sheets of the block a scene index lies in."""
        block = scene // BLOCK_FRAMES
        if block not in self._blocks:
            self._blocks[block] = SheetFields(self._seed, block, self._side_px, self._tilt)
            if len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]
