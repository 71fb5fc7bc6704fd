"""Patches: where they lie in a frame, and how overlapping patches become a frame again.

Suffixes: B frames, N patches, H and W rows and columns of a frame, P those of a patch, J its pixels, K patches over a pixel,
X pixels of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal

import torch
from torch import Tensor

Reconstruction = Literal["mean", "median", "last"]
"""What a pixel becomes that several patches cover: their mean, their median, or the patch that comes last."""


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Square patches that cover a frame, columns of patches outermost: the order of the released codes.

    The order matters: transforms along the patches see it, and so does the reconstruction ``last``.

    Attributes:
        hw: Rows and columns of the frame.
        size: Rows and columns of a patch, px.
        rows: First row of each patch of a column, ascending.
        cols: First column of each patch of a row, ascending.
    """

    hw: tuple[int, int]
    size: int
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    def split(self, frames_B1HW: Tensor) -> Tensor:
        """Return the patches of frames, (B, N, P, P).

        Args:
            frames_B1HW: (B, 1, H, W) of this grid's size, any dtype.
        """
        rows_R, cols_C = (torch.tensor(starts, device=frames_B1HW.device) for starts in (self.rows, self.cols))
        windows = frames_B1HW[:, 0].unfold(1, self.size, 1).unfold(2, self.size, 1)
        return windows[:, rows_R, cols_C[:, None]].flatten(1, 2)

    def merge(self, patches_BNPP: Tensor, how: Reconstruction) -> Tensor:
        """Return the frames of patches, (B, 1, H, W).

        Args:
            patches_BNPP: Floating (B, N, P, P).
            how: What overlaps become.
        """
        if how == "mean":
            return self._mean(patches_BNPP)
        index_XK, num_X = (table.to(patches_BNPP.device) for table in _covering(self))
        frames = [_reduce(patches_NPP.flatten(), index_XK, num_X, how) for patches_NPP in patches_BNPP]
        return torch.stack(frames).reshape(-1, 1, *self.hw)

    def _mean(self, patches_BNPP: Tensor) -> Tensor:
        """Return the frames whose pixels are the mean of the patches over them: columns of patches first, then frames."""
        num_frames, (height, width), size = len(patches_BNPP), self.hw, self.size
        columns = patches_BNPP.reshape(num_frames, len(self.cols), len(self.rows), size, size)
        strips = patches_BNPP.new_zeros(num_frames, len(self.cols), height, size)
        for k, row in enumerate(self.rows):
            strips[:, :, row : row + size] += columns[:, :, k]
        total_B1HW = patches_BNPP.new_zeros(num_frames, 1, height, width)
        for k, col in enumerate(self.cols):
            total_B1HW[..., col : col + size] += strips[:, k : k + 1]
        return total_B1HW / _covering(self)[1].to(total_B1HW.device).view(height, width)


def patch_grid(hw: tuple[int, int], size: int, step: int) -> PatchGrid:
    """Return the patches of a frame: every ``step`` px, and one more that ends at the border.

    Source: the released codes of PSTNN, NRAM and RIPT (gen_patch_ten). Frames smaller than a patch are one patch wide, and
    patches never lie further apart than they are wide (our choice; the codes fail on such frames).

    Args:
        hw: Rows and columns of the frame.
        size: Rows and columns of a patch, px.
        step: Distance of neighbouring patches, px.
    """
    side = min(size, *hw)
    rows, cols = (covering_starts(length, side, min(step, side)) for length in hw)
    return PatchGrid(hw, side, rows, cols)


def covering_starts(length: int, side: int, step: int) -> tuple[int, ...]:
    """Return the starts of windows that cover a line: every ``step``, and one more that ends with it; ascending."""
    last = length - side
    return (*range(0, ceil(last / step) * step, step), last)


@lru_cache(maxsize=8)
def _pixels(grid: PatchGrid) -> Tensor:
    """Return the flat index in the frame of every patch pixel, int64 (N, P, P)."""
    offset_P = torch.arange(grid.size)
    rows_RP, cols_CP = (torch.tensor(starts)[:, None] + offset_P for starts in (grid.rows, grid.cols))
    return (cols_CP[:, None, None, :] + grid.hw[1] * rows_RP[None, :, :, None]).flatten(0, 1)


@lru_cache(maxsize=8)
def _covering(grid: PatchGrid) -> tuple[Tensor, Tensor]:
    """Return where among all patch pixels those over each frame pixel lie, int64 (X, K) ascending, and their number (X,).

    Places that are not used point one behind the end.
    """
    pixels_J = _pixels(grid).flatten()
    num_X = torch.bincount(pixels_J, minlength=grid.hw[0] * grid.hw[1])
    pixel_J, order_J = torch.sort(pixels_J, stable=True)
    first_X = num_X.cumsum(0) - num_X
    index_XK = torch.full((len(num_X), int(num_X.max())), len(pixels_J))
    index_XK[pixel_J, torch.arange(len(pixels_J)) - first_X[pixel_J]] = order_J
    return index_XK, num_X


def _reduce(values_J: Tensor, index_XK: Tensor, num_X: Tensor, how: Literal["median", "last"]) -> Tensor:
    """Return the pixels of one frame, (X,)."""
    if how == "last":
        return values_J[_pick(index_XK, num_X - 1)]
    sorted_XK = torch.cat([values_J, values_J.new_full((1,), torch.inf)])[index_XK].sort(dim=1).values
    return 0.5 * (_pick(sorted_XK, (num_X - 1) // 2) + _pick(sorted_XK, num_X // 2))


def _pick(table_XK: Tensor, place_X: Tensor) -> Tensor:
    """Return one entry of each row, (X,)."""
    return table_XK.gather(1, place_X[:, None]).squeeze(1)
