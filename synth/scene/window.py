"""Where a target is measured: its mask and the background around it.

The background is the mask's bounding box grown by ``SCR_MARGIN_PX``, minus the masks of all targets dilated by
``SCR_GUARD_PX`` (8-neighbourhood), as in :mod:`synth.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import BoolMask, MaskLevels
from synth.scene.psf import Stamp
from synth.targets import SCR_GUARD_PX, SCR_MARGIN_PX

Image = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Where a target is measured.

    Attributes:
        box: Half-open (row0, col0, row1, col1) in the frame.
        target: bool (h, w), the target's mask.
        ring: bool (h, w), background pixels.
    """

    box: tuple[int, int, int, int]
    target: BoolMask
    ring: BoolMask

    @classmethod
    def around(
        cls, target_mask: BoolMask, *, row: int, col: int, frame_hw: tuple[int, int], masks: MaskLevels | None = None
    ) -> Self:
        """Build the window of a target.

        Args:
            target_mask: bool (S, S), S odd, its mask on its stamp; at least one pixel inside the frame.
            row: Frame row of the stamp's middle pixel.
            col: Frame column of it.
            frame_hw: Rows and columns of the frame.
            masks: uint8 (H, W), masks of all targets of the frame, whether this one is among them or not.
        """
        others = np.zeros((0, 0), np.uint8) if masks is None else masks
        box = window_box(target_mask, row, col, *frame_hw)
        target, ring = window_parts(target_mask, row, col, others, box)
        return cls(box, target, ring)

    @property
    def num_ring(self) -> int:
        """Number of background pixels."""
        return int(np.count_nonzero(self.ring))

    def crop(self, frame: Image) -> Image:
        """Return the window's part of a frame, a view."""
        row0, col0, row1, col1 = self.box
        return frame[row0:row1, col0:col1]

    def patch(self, stamp: Stamp, *, row: int, col: int) -> Stamp:
        """Return a stamp, its middle pixel at (row, col) of the frame, on the window; float64 (h, w), 0 elsewhere."""
        return window_patch(stamp, row, col, self.box)


@numba.njit(cache=True, nogil=True)
def window_box(mask: BoolMask, row: int, col: int, num_rows: int, num_cols: int) -> tuple[int, int, int, int]:
    """Return the bounding box of the mask's pixels inside the frame, grown by the margin and cut to the frame."""
    half = mask.shape[0] // 2
    top, left, bottom, right = num_rows, num_cols, 0, 0
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            r, c = row - half + i, col - half + j
            if mask[i, j] and 0 <= r < num_rows and 0 <= c < num_cols:
                top, left, bottom, right = min(top, r), min(left, c), max(bottom, r + 1), max(right, c + 1)
    return (
        max(top - SCR_MARGIN_PX, 0),
        max(left - SCR_MARGIN_PX, 0),
        min(bottom + SCR_MARGIN_PX, num_rows),
        min(right + SCR_MARGIN_PX, num_cols),
    )


@numba.njit(cache=True, nogil=True)
def window_parts(
    mask: BoolMask, row: int, col: int, others: MaskLevels, box: tuple[int, int, int, int]
) -> tuple[BoolMask, BoolMask]:
    """Return the target's mask and the background pixels on a box of the frame."""
    row0, col0, row1, col1 = box
    half = mask.shape[0] // 2
    target = np.zeros((row1 - row0, col1 - col0), np.bool_)
    ring = np.ones((row1 - row0, col1 - col0), np.bool_)
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            r, c = row - half + i, col - half + j
            if mask[i, j] and row0 <= r < row1 and col0 <= c < col1:
                target[r - row0, c - col0] = True
                _clear(ring, r - row0, c - col0)
    for r in range(max(row0 - SCR_GUARD_PX, 0), min(row1 + SCR_GUARD_PX, others.shape[0])):
        for c in range(max(col0 - SCR_GUARD_PX, 0), min(col1 + SCR_GUARD_PX, others.shape[1])):
            if others[r, c]:
                _clear(ring, r - row0, c - col0)
    return target, ring


@numba.njit(cache=True, nogil=True)
def _clear(ring: BoolMask, row: int, col: int) -> None:
    """Take a pixel and its guard out of the background."""
    for i in range(max(row - SCR_GUARD_PX, 0), min(row + SCR_GUARD_PX + 1, ring.shape[0])):
        for j in range(max(col - SCR_GUARD_PX, 0), min(col + SCR_GUARD_PX + 1, ring.shape[1])):
            ring[i, j] = False


@numba.njit(cache=True, nogil=True)
def window_patch(stamp: Stamp, row: int, col: int, box: tuple[int, int, int, int]) -> Stamp:
    """Return a stamp on a box of the frame, 0 elsewhere."""
    row0, col0, row1, col1 = box
    half = stamp.shape[0] // 2
    out = np.zeros((row1 - row0, col1 - col0))
    for i in range(max(row - half, row0), min(row + half + 1, row1)):
        for j in range(max(col - half, col0), min(col + half + 1, col1)):
            out[i - row0, j - col0] = stamp[i - row + half, j - col + half]
    return out
