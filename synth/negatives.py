"""Negative synthesis: rotate a small square around one target by quarter turns, image and mask alike.

Source: SIRST-5K (Lu et al., TGRS 2024), luy0222/SIRST-5K rot_patch.py and rot_mask.py (git history). Patch functions named
by odd size act on even boxes [c - h, c + h); ours are named by the even side that is really rotated, are clamped to the
valid region of any canvas, and never flip. Targets are the components of the mask, not lines of a coordinate file. The
released border rule and flip live in :class:`~synth.legacy.LegacyConfig`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

PatchSide = Literal[2, 4, 6, 8, 32]
"""Even sides of the released functions rot_patch_3, _5, _7, _9 and _32."""

_RELEASED_MARGIN = {2: 1, 4: 2, 6: 3, 8: 8, 32: 32}
"""Distance to the border under which the released functions snap their box to it (8 and 32 are twice the half side)."""


class NegativePass(BaseModel):
    """One pass over all targets: every target, every rotation, at one mixing weight and one patch side.

    Attributes:
        alpha: Weight of the noise in [0, 1]; published grid 0.1, 0.2, 0.3, 0.4, 0.5.
        side: Side of the rotated square, px; the paper's ablation finds the smallest best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.1, ge=0, le=1, allow_inf_nan=False)
    side: PatchSide = 2


def patch_box(
    centre_rc: tuple[float, float], side: int, valid_hw: tuple[int, int], *, released_border: bool = False
) -> tuple[int, int]:
    """Return the top-left corner of the square around a target.

    Args:
        centre_rc: Centre of the target in the canvas, (row, col).
        side: Even side, px; at most the valid size.
        valid_hw: Size of the region the box must stay in.
        released_border: Snap to the border where the released functions do.

    Returns:
        (row, col) of the box's first pixel.
    """
    row, col = (_box_start(c, side, size, released_border) for c, size in zip(centre_rc, valid_hw, strict=True))
    return row, col


def _box_start(centre: float, side: int, size: int, released_border: bool) -> int:
    nearest = int(np.floor(centre + 0.5))  # half up: a centre between two pixels gives the box that is centred on it
    if released_border:
        margin = _RELEASED_MARGIN[side]
        if nearest < margin:
            return 0
        if nearest > size - margin:
            return size - side
    return min(max(nearest - side // 2, 0), size - side)


def rotate_box(
    array: npt.NDArray[np.generic], box_rc: tuple[int, int], side: int, quarter_turns: int, *, flip_first: bool = False
) -> None:
    """Rotate a square of an array in place, counter-clockwise; everything outside stays bit-identical.

    Args:
        array: (H, W), image or mask.
        box_rc: First pixel of the square.
        side: Its side, px.
        quarter_turns: Number of 90-degree turns.
        flip_first: Flip left-right before turning (released side 32).
    """
    (row, col) = box_rc
    square = array[row : row + side, col : col + side]
    turned = np.rot90(square[:, ::-1] if flip_first else square, quarter_turns)
    square[...] = turned.copy()
