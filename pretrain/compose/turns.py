"""Flips and quarter turns of views, each its own, and where points of a view go under them.

Shapes: B views, C channels, H rows, W columns, N points. ``turns_B3``, bool: rows reversed, columns reversed, then transposed.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turn_views(maps_BCHW: Tensor, turns_B3: Tensor) -> Tensor:
    """Return each view under its turn; transposed ones must be squares."""
    rows, cols, swap = (turns_B3[:, i, None, None, None] for i in range(3))
    maps = torch.where(rows, maps_BCHW.flip(2), maps_BCHW)
    maps = torch.where(cols, maps.flip(3), maps)
    return torch.where(swap, maps.transpose(2, 3), maps) if maps.shape[2] == maps.shape[3] else maps


def turn_points(points_BN2: Tensor, turns_B3: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return where the points of each view lie after :func:`turn_views`: rows and columns, px."""
    last = torch.tensor(hw, dtype=points_BN2.dtype).to(points_BN2.device, non_blocking=True) - 1
    turned = torch.where(turns_B3[:, None, :2], last - points_BN2, points_BN2)
    return torch.where(turns_B3[:, None, 2:], turned.flip(2), turned)
