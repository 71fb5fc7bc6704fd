"""The sheet of a pretraining's views: what it is shown, with everything that was put in marked, or the targets of real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.sheet import Tile, draw_sheet, write_sheet
from pretrain.compose import Composed, Kind
from synth.targets import find_targets

_HALF_PX = 2
"""Half the side of the box around an impostor."""


def write_views(composed: Composed, path: Path, title: str, *, inserts: bool) -> None:
    """Draw composed frames: targets outlined, impostors boxed, ignored discs dimmed, the first target enlarged.

    Args:
        composed: The frames.
        path: The PNG to write.
        title: First line of the sheet.
        inserts: Whether anything was put into them; otherwise their masks are those of real frames.
    """
    tile = _tile if inserts else _real_tile
    tiles = [tile(composed, index) for index in range(len(composed.positions))]
    inserted = "green: inserted targets; pink: impostors; darker discs: ignored, for they may be real targets"
    subtitle = inserted if inserts else "green: targets of real frames; nothing is inserted"
    write_sheet(path, draw_sheet(tiles, title, subtitle))


def _tile(composed: Composed, index: int) -> Tile:
    levels = _stretched(composed.first_B1HW[index, 0].cpu().numpy())
    ignored = composed.ignored_B1HW[index, 0].cpu().numpy()
    mask = composed.masks_B1HW[index, 0].cpu().numpy() > 0
    centres, kinds = composed.centres_BS2[index].cpu().numpy(), composed.kinds_BS[index].tolist()
    targets = np.flatnonzero(composed.is_target_BS[index].cpu().numpy())
    impostors = np.flatnonzero(composed.is_impostor_BS[index].cpu().numpy())
    names = ", ".join(Kind(kinds[slot]).name.lower() for slot in impostors)
    return Tile(
        np.where(ignored, levels // 2, levels).astype(np.uint8),
        mask,
        (f"position {composed.positions[index]}: {len(targets)} targets", names or "no impostor"),
        centre=(float(centres[targets[0], 0]), float(centres[targets[0], 1])) if len(targets) else None,
        impostors=tuple(_box(centres[slot]) for slot in impostors),
    )


def _real_tile(composed: Composed, index: int) -> Tile:
    mask = composed.masks_B1HW[index, 0].cpu().numpy() > 0
    centres = find_targets(mask.astype(np.uint8))[0]
    told = f"{len(centres)} targets" if composed.batch.is_labelled_B[index] else "no mask: not learnt from"
    return Tile(
        _stretched(composed.first_B1HW[index, 0].cpu().numpy()),
        mask,
        (f"position {composed.positions[index]}: {told}",),
        centre=(float(centres[0, 0]), float(centres[0, 1])) if len(centres) else None,
    )


def _stretched(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return a view's levels between its 0.2 % and 99.8 % quantiles, as 8 bits, at least 32 of 255 levels wide."""
    low, high = np.quantile(image, [0.002, 0.998])
    scaled: npt.NDArray[np.uint8] = (np.clip((image - low) / max(high - low, 32 / 255), 0, 1) * 255).astype(np.uint8)
    return scaled


def _box(centre: npt.NDArray[np.float32]) -> tuple[int, int, int, int]:
    row, col = (int(np.rint(value)) for value in centre)
    return row - _HALF_PX, col - _HALF_PX, row + _HALF_PX + 1, col + _HALF_PX + 1
