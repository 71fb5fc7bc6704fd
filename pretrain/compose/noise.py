"""Noise like that of a frame: recorded windows of its source where there are any, else white noise of its own grain.

Shapes: B views, M windows, S side of a window, T tiles of a view, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pretrain.compose.turns import turn_views
from pretrain.frames import FramePool

LEAST_GRAIN = 12**-0.5 / 255
"""Least grain a frame is taken to have: the rounding error of 8 bits (uniform, one level wide)."""
_NORMAL_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""
TURNS = torch.tensor([[bool(n & 1), bool(n & 2), bool(n & 4)] for n in range(8)])
"""The square's symmetries, as ``pretrain.compose.turns`` writes them."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseWindows:
    """Quiet windows of several pools, what is left of them without their plane.

    Attributes:
        windows_MSS: float32, fluctuations in units of [0, 1], pool after pool.
        first: int64 (P + 1,), on the host: windows first[p] to first[p + 1] are those of pool p.
    """

    windows_MSS: Tensor
    first: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.windows_MSS.shape[1] == self.windows_MSS.shape[2] and self.first[-1] == len(self.windows_MSS)

    def chosen(self, pools_B: Tensor, uniforms_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return a window of its own pool for each tile of a view, int64 (B, T), and which views have any, bool (B,).

        Args:
            pools_B: int64, number of each view's pool.
            uniforms_BT: Draws in [0, 1).
        """
        first = torch.from_numpy(self.first).to(pools_B.device, non_blocking=True)
        counts = first.diff()[pools_B]
        chosen = first[pools_B][:, None] + (uniforms_BT * counts[:, None]).long()
        return chosen.clamp(max=len(self.windows_MSS) - 1), counts > 0


def recorded_noise(pools: Sequence[FramePool], device: torch.device) -> NoiseWindows | None:
    """Return the noise windows that stores keep, or None where none does (or none of the side of the first that does).

    Args:
        pools: Pools in the order of ``Batch.sources``.
        device: Where the windows go.
    """
    side = next((pool.noise_MSS.shape[1] for pool in pools if len(pool.noise_MSS)), None)
    if side is None:
        return None
    kept = [pool.noise_MSS if pool.noise_MSS.shape[1] == side else np.empty((0, side, side), np.uint8) for pool in pools]
    first = np.concatenate([[0], np.cumsum([len(windows) for windows in kept])]).astype(np.int64)
    windows = torch.from_numpy(np.concatenate(kept)).to(device).float() / 255.0
    return NoiseWindows(without_plane(windows), first)


def without_plane(windows_MSS: Tensor) -> Tensor:
    """Return windows less the plane that fits each best: noise without the slope of the sky behind it."""
    side = windows_MSS.shape[1]
    line = torch.arange(side, device=windows_MSS.device, dtype=torch.float32) - (side - 1) / 2
    rest = windows_MSS - windows_MSS.mean((1, 2), keepdim=True)
    norm = side * (line**2).sum()
    rows = (rest * line[:, None]).sum((1, 2), keepdim=True) / norm
    cols = (rest * line).sum((1, 2), keepdim=True) / norm
    return rest - rows * line[:, None] - cols * line


def num_tiles(side: int, hw: tuple[int, int]) -> int:
    """Return how many windows of a side cover a view."""
    return -(-hw[0] // side) * -(-hw[1] // side)


def tile_noise(tiles_BTSS: Tensor, turns_BT: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return views covered by windows, each turned by one of the square's symmetries, never resized: its grain stays what it is.

    Args:
        tiles_BTSS: float32, :func:`num_tiles` windows of each view.
        turns_BT: int64, 0 to 7.
        hw: Size of the views.
    """
    num_views, side = len(tiles_BTSS), tiles_BTSS.shape[2]
    turns = TURNS.to(tiles_BTSS.device, non_blocking=True)
    turned = turn_views(tiles_BTSS.flatten(0, 1)[:, None], turns[turns_BT.flatten()])
    across = -(-hw[1] // side)
    grid = turned.view(num_views, -1, across, side, side).permute(0, 1, 3, 2, 4)
    return grid.reshape(num_views, -1, across * side)[:, : hw[0], : hw[1]]


def estimate_grain(images_BHW: Tensor) -> Tensor:
    """Return the standard deviation of the white noise of views, float32 (B,), at least ``LEAST_GRAIN``.

    The second difference along both axes leaves neither level, slope nor straight edges (Immerkaer, CVIU 1996, whose kernel of
    norm 6 this is); its median instead of the mean keeps targets and clouds out.
    """
    kernel = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6.0
    rest = functional.conv2d(images_BHW[:, None], kernel[None, None].to(images_BHW.device, non_blocking=True)).abs().flatten(1)
    return (rest.median(1).values / _NORMAL_MEDIAN).clamp(min=LEAST_GRAIN)
