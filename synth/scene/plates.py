"""Plates: windows of real target-free frames as backgrounds (physics section 7).

A plate carries its own blur and codec noise, so it gets gain and offset in kelvin and the sensor's noise, but no second
blur. It is mirrored and turned at random; where it is smaller than the canvas it is reflected. Frames with masks give
windows without a target only. The ids used are recorded with each frame, so that leakage checks see them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from synth.corpora import Corpus, FrameRef, open_training_part
from synth.corpora.layouts import shorten
from synth.errors import SourceError
from synth.sample import FloatImage, Levels, MaskLevels
from synth.scene.backdrops import Backdrop
from synth.scene.config import PlatesConfig
from synth.scene.draws import log_uniform, uniform
from synth.scene.truth import Regime

_CACHE_BYTES = 128 * 2**20  # every frame of sirst-backgrounds, decoded (our choice)
_LEAST_SPAN = 16.0  # levels, of any depth: flatter plates are not stretched, or steps of over 1/16 of the span would show
_TAIL_SHARE = 0.005  # left out on each side of a plate's span, as in the linear gain control
_FRAME_TRIES, _WINDOW_TRIES = 512, 16  # small frames with central targets rarely have a free window


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A decoded frame.

    Attributes:
        id: Id in its corpus.
        levels: uint8 or uint16 (H, W).
        mask: uint8 (H, W) in {0, 1}, or None where nothing has to be avoided.
        span: Levels between its 0.5 % and 99.5 % quantiles, at least 16.
        middle: Its median level.
    """

    id: str
    levels: Levels
    mask: MaskLevels | None
    span: float
    middle: float


class PlateLibrary:
    """The frames of a plate folder, decoded when needed and kept up to 128 MiB.

    Args:
        config: Folder, split and jitter.

    Raises:
        SourceError: The folder cannot be used, or it has lists and no split is named.
        LeakageError: It has lists, but none is official or named.
    """

    def __init__(self, config: PlatesConfig) -> None:
        self._config = config
        self.corpus = _open(config)
        self._expected: Mapping[str, str] = {}
        self._cache: OrderedDict[int, Plate] = OrderedDict()
        self._cache_bytes = 0

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        """The frames that may become plates, sorted by id."""
        return self.corpus.frames

    def expect(self, image_sha256: Mapping[str, str]) -> None:
        """Hold the folder to what a store was begun with: a plate is drawn by its number among all of them.

        Args:
            image_sha256: Id -> hash of the image file, of all frames; from now on a file of another hash is refused.

        Raises:
            SourceError: The folder has other frames.
        """
        ids = {ref.id for ref in self.frames}
        groups = {"new": sorted(ids - image_sha256.keys()), "gone": sorted(image_sha256.keys() - ids)}
        found = [f"{len(names)} {how} ({shorten(names)})" for how, names in groups.items() if names]
        if found:
            raise SourceError(
                f"plates.path {self.corpus.root}: other frames than the store was begun with: {', '.join(found)}; restore the "
                "folder, or generate into a new store"
            )
        self._expected = image_sha256

    def draw(
        self, rng: np.random.Generator, frame_hw: tuple[int, int], margin_px: int, moves_px: int = 0
    ) -> tuple[str, Backdrop]:
        """Draw a plate and a window of it.

        Args:
            rng: Scene stream.
            frame_hw: Rows and columns of the frame.
            margin_px: Margin of the canvas around the frame.
            moves_px: How far the frame may move over the canvas; targets must lie outside this as well.

        Returns:
            Id of the plate and the canvas.

        Raises:
            SourceError: Of 512 frames drawn, with 16 windows each, no window is free of targets.
        """
        for _ in range(_FRAME_TRIES):
            plate = self._plate(int(rng.integers(len(self.frames))))
            turn = int(rng.integers(8))
            plate_hw = plate.levels.shape if turn < 4 else plate.levels.shape[::-1]
            for _ in range(_WINDOW_TRIES):
                place = [int(rng.integers(max(size - side, 0) + 1)) for size, side in zip(plate_hw, frame_hw, strict=True)]
                if plate.mask is None or not _window(plate.mask, place, frame_hw, moves_px, turn).any():
                    return plate.id, self._canvas(rng, plate, place, frame_hw, margin_px, turn)
        raise SourceError(
            f"plates.path {self._config.path}: {_FRAME_TRIES} frames x {_WINDOW_TRIES} windows drawn, none of "
            f"{frame_hw[0]}x{frame_hw[1]} px without a target; give larger or target-free frames"
        )

    def _canvas(
        self, rng: np.random.Generator, plate: Plate, place: list[int], frame_hw: tuple[int, int], margin: int, turn: int
    ) -> Backdrop:
        gain = log_uniform(rng, *self._config.span_kelvin) / plate.span
        offset = uniform(rng, *self._config.offset_kelvin)
        levels = _window(plate.levels, place, frame_hw, margin, turn)
        return Backdrop(Regime.PLATE, _to_kelvin(levels, np.float32(gain), np.float32(offset - gain * plate.middle)))

    def _plate(self, number: int) -> Plate:
        if number not in self._cache:
            frame, hashes = self.corpus.read_hashed(self.frames[number])
            expected = self._expected.get(frame.id, hashes.image_sha256)
            if expected != hashes.image_sha256:
                raise SourceError(
                    f"plate {self.corpus.root / self.frames[number].image}: changed since the store was begun (sha256 "
                    f"{expected[:16]}... then, {hashes.image_sha256[:16]}... now); restore the file, or generate anew"
                )
            mask = frame.mask if frame.mask is not None and frame.mask.any() else None
            span, middle = _span(frame.levels, frame.max_level)
            self._cache[number] = Plate(frame.id, np.ascontiguousarray(frame.levels), mask, span, middle)
            self._cache_bytes += frame.levels.nbytes
            while self._cache_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cache_bytes -= self._cache.popitem(last=False)[1].levels.nbytes
        self._cache.move_to_end(number)
        return self._cache[number]


def _open(config: PlatesConfig) -> Corpus:
    corpus = open_training_part(
        config.path, config.split, what="plates.path", list_key="plates.split_list", split_key="plates.split",
        split_list=config.split_list, require_masks=False,
    )  # fmt: skip
    if not len(corpus):
        raise SourceError(f"plates.path {config.path}: holds no frame; give a folder of target-free frames")
    return corpus


def _span(levels: Levels, max_level: int) -> tuple[float, float]:
    """Return the levels between the tails, at least ``_LEAST_SPAN``, and the median, by counting."""
    below = np.cumsum(np.bincount(levels.ravel(), minlength=max_level + 1))
    low, middle, high = (int(np.searchsorted(below, share * levels.size)) for share in (_TAIL_SHARE, 0.5, 1.0 - _TAIL_SHARE))
    return max(float(high - low), _LEAST_SPAN), float(middle)


def _window(array: Levels, place: list[int], frame_hw: tuple[int, int], margin: int, turn: int) -> Levels:
    """Return a window with a margin, of the plate mirrored (bits 0, 1 of ``turn``) and transposed (bit 2)."""
    seen = array.T if turn & 4 else array
    seen = seen[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    rows, cols = (
        _reflected(start - margin, side + 2 * margin, size) for start, side, size in zip(place, frame_hw, seen.shape, strict=True)
    )
    if isinstance(rows, slice) and isinstance(cols, slice):
        inside: Levels = seen[rows, cols]
        return inside
    index = [np.arange(axis.start, axis.stop) if isinstance(axis, slice) else axis for axis in (rows, cols)]
    reflected: Levels = seen[np.ix_(*index)]
    return reflected


def _reflected(start: int, length: int, size: int) -> slice | npt.NDArray[np.int64]:
    """Return indices that run back and forth beyond the borders; a slice where they do not have to."""
    if start >= 0 and start + length <= size:
        return slice(start, start + length)
    place = np.arange(start, start + length) % (2 * size)
    return np.asarray(np.where(place < size, place, 2 * size - 1 - place), dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def _to_kelvin(levels: Levels, gain: np.float32, offset: np.float32) -> FloatImage:
    out = np.empty(levels.shape, np.float32)
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            out[i, j] = np.float32(levels[i, j]) * gain + offset
    return out
