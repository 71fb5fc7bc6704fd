"""Peaks of local contrast: where a label-free frame may hold a real target, and where background is hard."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

OPENING_PX = 11
"""Side of the opening's square (our choice): wider than compact targets, narrower than clouds."""


def top_hat(images_BHW: Tensor) -> Tensor:
    """Return the white top-hat: what of a lightly smoothed view is brighter than any square of ``OPENING_PX`` that fits below.

    The smoothing is a 3x3 mean, so that single hot pixels count for a ninth.
    """
    smooth = functional.avg_pool2d(functional.pad(images_BHW[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (smooth - _dilated(-_dilated(-smooth)))[:, 0]


def find_peaks(contrast_BHW: Tensor, allowed_BHW: Tensor, count: int, apart_px: float) -> tuple[Tensor, Tensor]:
    """Return the highest pixels of each view, one after the other, none within a distance of another.

    Args:
        contrast_BHW: What is to be high, >= 0.
        allowed_BHW: bool, where peaks may lie.
        count: How many.
        apart_px: Least distance.

    Returns:
        Rows and columns, int64 (B, count, 2), and which of them exist, bool (B, count).
    """
    num, height, width = contrast_BHW.shape
    left = torch.where(allowed_BHW, contrast_BHW, -1.0)
    down, across = (_squared_gaps(size, left.device) for size in (height, width))
    highest, at = [left.new_empty(num, 0)], [torch.empty(num, 0, dtype=torch.int64, device=left.device)]
    for _ in range(count):
        value_B1, index_B1 = left.flatten(1).max(1, keepdim=True)
        is_near = down[index_B1 // width].mT + across[index_B1 % width] <= apart_px**2
        left = torch.where(is_near, -1.0, left)
        highest.append(value_B1)
        at.append(index_B1)
    places = torch.cat(at, 1)
    return torch.stack([places // width, places % width], 2), torch.cat(highest, 1) >= 0


def _squared_gaps(size: int, device: torch.device) -> Tensor:
    """Return the squared distance between any two of so many places in a line, int64."""
    places = torch.arange(size, device=device)
    return (places[:, None] - places) ** 2


def discs(centres_BN2: Tensor, hw: tuple[int, int], radius_px: float) -> Tensor:
    """Return the union of discs around points, bool (B, H, W); a point of NaN has none."""
    rows, cols = (torch.arange(size, device=centres_BN2.device) for size in hw)
    squares = (rows[:, None] - centres_BN2[..., 0, None, None]) ** 2 + (cols - centres_BN2[..., 1, None, None]) ** 2
    return (squares <= radius_px**2).any(1)


def _dilated(images_B1HW: Tensor) -> Tensor:
    """Return the maximum over squares of ``OPENING_PX``, columns first, then rows: five times as fast as the whole square."""
    pad = OPENING_PX // 2
    columns = functional.max_pool2d(images_B1HW, (OPENING_PX, 1), 1, (pad, 0))
    return functional.max_pool2d(columns, (1, OPENING_PX), 1, (0, pad))
