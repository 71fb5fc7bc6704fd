"""Noise of a single frame, read where the frame is quietest, and its stripes.

The mask [1 -2 1] x [1 -2 1] cancels planes (Immerkaer, CVIU 1996); what it leaves is spread over blocks of 16 px, of which
the quieter fifth tells the noise and the others hold texture. On a busy frame the reading is an upper bound, and on
denoised frames it is what the denoiser left. Blocks that touch black or white are left out: they are clipped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BLOCK_PX = 16
QUIET_PERCENT = 20.0
"""Percentile over blocks that is taken for the noise (our choice)."""
_QUIET_SHARE = 0.926
"""That percentile for white noise of deviation 1 (simulated: 40 frames of 256x256; the residual's own correlation is in it)."""
_MASK_NORM = 6.0  # root of the sum of squares of the mask
QUANTUM_VARIANCE = 1.0 / 12.0
"""Variance of rounding to whole levels, DN^2."""
LEAST_SIGMA_DN = 0.3
"""Noise below this cannot be told from the rounding of 8-bit levels, whose deviation is 0.29 DN."""
_LEAST_BLOCKS = 4
_NUM_BANDS, _OUTLIER_SIGMAS = 4, 3.0  # our choice


def noise_floor(levels_dn: FloatArray) -> float:
    """Return the noise of a frame, DN, without the part of the rounding; 0 where rounding is all there is.

    Args:
        levels_dn: float64 (H, W), grey levels of 0..255.

    Returns:
        NaN where fewer than four unclipped blocks of 16x16 px fit in.
    """
    residual = _second_difference(_second_difference(levels_dn, 0), 1) / _MASK_NORM
    blocks, inside = (_blocks(values) for values in (residual, levels_dn[1:-1, 1:-1]))
    if not len(blocks):
        return float("nan")
    used = blocks[(inside.min(axis=1) > 0.0) & (inside.max(axis=1) < 255.0)]
    if len(used) < _LEAST_BLOCKS:
        return float("nan")
    sigma = float(np.percentile(used.std(axis=1), QUIET_PERCENT)) / _QUIET_SHARE
    return float(np.sqrt(max(sigma * sigma - QUANTUM_VARIANCE, 0.0)))


def stripe_sigma(levels_dn: FloatArray, axis: int) -> float:
    """Return the deviation of the stripes of a frame, DN: what its rows or columns have in common from one side to the other.

    Second differences across the stripes are averaged over four bands; the covariance of the bands is the stripes' variance,
    for noise and most clutter differ from band to band. Outliers, such as walls, are cut at three deviations.

    Args:
        levels_dn: float64 (H, W), at least 4 px a side, grey levels of 0..255.
        axis: 0 for rows of their own level, 1 for columns.
    """
    differences = np.moveaxis(_second_difference(levels_dn, axis), axis, 0) / np.sqrt(6.0)  # the norm of [1 -2 1]
    bands = np.array([band.mean(axis=1) for band in np.array_split(differences, _NUM_BANDS, axis=1)])
    bands -= np.median(bands, axis=1, keepdims=True)
    reach = _OUTLIER_SIGMAS * 1.4826 * np.median(np.abs(bands), axis=1, keepdims=True)
    bands = np.clip(bands, -reach, reach)
    products = bands @ bands.T / bands.shape[1]
    shared = (products.sum() - np.trace(products)) / (_NUM_BANDS * (_NUM_BANDS - 1))
    return float(np.sqrt(max(shared, 0.0)))


def _second_difference(values: FloatArray, axis: int) -> FloatArray:
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis(moved[:-2] - 2.0 * moved[1:-1] + moved[2:], 0, axis)


def _blocks(values: FloatArray) -> FloatArray:
    """Return whole blocks as rows, (num, 256)."""
    rows, cols = (side // BLOCK_PX for side in values.shape)
    cut = values[: rows * BLOCK_PX, : cols * BLOCK_PX].reshape(rows, BLOCK_PX, cols, BLOCK_PX)
    return np.ascontiguousarray(cut.transpose(0, 2, 1, 3)).reshape(rows * cols, BLOCK_PX * BLOCK_PX)
