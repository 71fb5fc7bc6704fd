"""Target-free patches of a frame: what the classifiers of the card look at.

A patch is 64x64 px (physics section 12) from a grid without overlap, centred on the frame but for its origin being a
multiple of 8 px, so that the blocks of a JPEG codec lie alike in every patch. A patch with a mask pixel, or one within 3 px
of it (the guard of the SCR), is left out; of an unlabelled frame every patch counts as free of targets.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from synth.rng import Stream, keyed_generator
from synth.sample import MaskLevels
from synth.targets import SCR_GUARD_PX

PATCH_PX = 64
PATCHES_PER_FRAME = 4
"""Patches drawn of each frame at most (our choice: large frames shall not outvote small ones)."""
_CODEC_BLOCK_PX = 8


def patch_origins(frame_hw: tuple[int, int], mask: MaskLevels | None) -> npt.NDArray[np.int64]:
    """Return the first pixels of every target-free patch of a frame.

    Args:
        frame_hw: Rows and columns.
        mask: uint8 (H, W) in {0, 1}, or None when unlabelled.

    Returns:
        int64 (n, 2), row and col, in raster order; empty for frames smaller than a patch.
    """
    rows, cols = (_axis_origins(length) for length in frame_hw)
    origins = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    if mask is None:
        return origins
    for row, col in np.argwhere(mask):
        apart = (origins + PATCH_PX + SCR_GUARD_PX <= (row, col)) | (origins - SCR_GUARD_PX > (row, col))
        origins = origins[apart.any(axis=1)]
    return origins


def draw_patches(
    levels_dn: npt.NDArray[np.float64], mask: MaskLevels | None, frame_id: str, seed: int
) -> npt.NDArray[np.float32]:
    """Draw up to :data:`PATCHES_PER_FRAME` target-free patches of a frame.

    The draw depends on the seed and the frame's id alone, not on which other frames are read.

    Args:
        levels_dn: float64 (H, W), grey levels of 0..255.
        mask: uint8 (H, W) in {0, 1}, or None when unlabelled.
        frame_id: Id of the frame.
        seed: Seed of the draw.

    Returns:
        float32 (n, 64, 64), grey levels of 0..255.
    """
    height, width = levels_dn.shape
    origins = patch_origins((height, width), mask)
    index = int.from_bytes(hashlib.sha256(frame_id.encode()).digest()[:8], "big")
    chosen = keyed_generator(seed, Stream.CENSUS, index).permutation(len(origins))[:PATCHES_PER_FRAME]
    cut = [levels_dn[row : row + PATCH_PX, col : col + PATCH_PX] for row, col in origins[chosen]]
    return np.array(cut, dtype=np.float32).reshape(-1, PATCH_PX, PATCH_PX)


def _axis_origins(length: int) -> npt.NDArray[np.int64]:
    rest = length % PATCH_PX // 2
    return np.arange(rest - rest % _CODEC_BLOCK_PX, length - PATCH_PX + 1, PATCH_PX, dtype=np.int64)
