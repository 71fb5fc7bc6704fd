"""Quarter turns of small squares of views: the operation of SIRST-5K at places that no label has chosen.

Source: Lu et al., SIRST-5K, TGRS 2024, where the squares stand around labelled targets; here around peaks of local contrast, and
as many elsewhere, so that a seam is no sign of a peak. A turn is an index map, so that images and maps move exactly alike.

Shapes: B views, C channels, H rows, W columns, K squares of a view, S side of a square, P = H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pretrain.compose.peaks import discs, find_peaks, top_hat
from synth.errors import RecipeError


def choose_squares(images_BHW: Tensor, valid_BHW: Tensor, noise_BHW: Tensor, count: int, side: int) -> tuple[Tensor, Tensor]:
    """Return squares around the highest peaks of local contrast, then as many at random places; none meets another.

    Args:
        images_BHW: float32.
        valid_BHW: bool; squares lie within.
        noise_BHW: Random values that choose the second half.
        count: Peaks of a view.
        side: Side of the squares, px, even.

    Returns:
        First row and column of each, int64 (B, 2 count, 2), and which of them found a place, bool (B, 2 count).
    """
    hw = images_BHW.shape[1], images_BHW.shape[2]
    half, apart_px = side // 2, side * 2**0.5  # centres further apart than a diagonal: squares cannot meet
    allowed = _has_room(valid_BHW, side)
    peaks, is_peak = find_peaks(top_hat(images_BHW), allowed, count, apart_px)
    free = allowed & ~discs(torch.where(is_peak[:, :, None], peaks.float(), torch.nan), hw, apart_px)
    others, is_other = find_peaks(noise_BHW.abs(), free, count, apart_px)
    return torch.cat([peaks, others], 1) - half, torch.cat([is_peak, is_other], 1)


def turned_index(starts_BK2: Tensor, is_used_BK: Tensor, quarters_BK: Tensor, side: int, hw: tuple[int, int]) -> Tensor:
    """Return the pixel that each pixel shows once squares have turned counter-clockwise.

    Args:
        starts_BK2: int64, first row and column of each square, all of it within the view.
        is_used_BK: bool; false where there is no such square.
        quarters_BK: int64, quarter turns, 0 to 3.
        side: Side of the squares, px.
        hw: Size of the views.

    Returns:
        int64 (B, P), flat indices.

    Raises:
        RecipeError: Two squares of a view share a pixel: what they show would depend on their order. A GPU is not waited for; it
            stops the program itself.
    """
    device, num_views, num_pixels = starts_BK2.device, len(starts_BK2), hw[0] * hw[1]
    cells = torch.arange(side * side, device=device).view(side, side)
    tables_4Q = torch.stack([torch.rot90(cells, quarters).flatten() for quarters in range(4)])
    first_BK1 = (starts_BK2[..., 0] * hw[1] + starts_BK2[..., 1])[:, :, None]

    def pixels(cells_BKQ: Tensor) -> Tensor:
        """Return flat indices of cells; those of squares that are not there lie behind the last pixel."""
        inside = first_BK1 + cells_BKQ // side * hw[1] + cells_BKQ % side
        return torch.where(is_used_BK[:, :, None], inside, num_pixels).flatten(1)

    targets_BQ, sources_BQ = pixels(cells.flatten().expand(*quarters_BK.shape, -1)), pixels(tables_4Q[quarters_BK])
    own = torch.arange(num_pixels + 1, device=device).expand(num_views, -1)
    hits = torch.zeros_like(own).scatter_add(1, targets_BQ, torch.ones_like(targets_BQ))[:, :num_pixels]
    message = f"starts_BK2 must be squares of {side} px that do not overlap"
    if device.type != "cpu":
        torch._assert_async((hits <= 1).all(), message)
    elif (hits > 1).any():
        raise RecipeError(f"{message}, got {int((hits > 1).sum())} shared pixels")
    return own.scatter(1, targets_BQ, sources_BQ)[:, :num_pixels]


def turn_squares(maps_BCHW: Tensor, index_BP: Tensor) -> Tensor:
    """Return maps under the index map of :func:`turned_index`."""
    flat = maps_BCHW.flatten(2)
    return flat.gather(2, index_BP[:, None].expand_as(flat)).view_as(maps_BCHW)


def _has_room(valid_BHW: Tensor, side: int) -> Tensor:
    """Return around which pixels a square lies in the valid region, bool: pixel r is row side // 2 of its square."""
    before, after = side // 2, side - side // 2 - 1
    blocked = functional.pad((~valid_BHW[:, None]).float(), (before, after, before, after), value=1.0)
    return functional.max_pool2d(blocked, side, 1)[:, 0] == 0
