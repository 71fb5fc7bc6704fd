"""Optics and pixel: transfer functions for clutter, the pixel-integrated Gaussian for targets.

``sigma_px`` is the *optical* blur, a Gaussian fitted to the Airy core (0.42*lambda*F#/pitch); the pixel adds its box.
Clutter at native sampling gets both as one spectral product; targets are integrated over the pixel, never sampled at
centres. A stamp is square with an odd side; its middle pixel is the integer position, offsets are in [-0.5, 0.5).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from synth.sample import FloatImage
from synth.scene import portable

Stamp = npt.NDArray[np.float64]

SUPERSAMPLING = 4
"""Sub-pixels per side for shapes that are not separable."""

_SQRT2 = 1.4142135623730951
_TWO_PI_SQUARED = 19.739208802178716


def blur_canvas(canvas: FloatImage, sigma_px: float) -> FloatImage:
    """Apply optics MTF and pixel MTF in one spectral product, exp(-2*pi^2*sigma^2*f^2)*sinc(f_row)*sinc(f_col).

    The transform wraps round: the caller crops a margin of at least 4 sigma. Frames take the separable taps of
    :mod:`synth.scene.imaging`, which are twice as fast; this is the definition they are tested against.

    Args:
        canvas: float32 (H, W) apparent temperature.
        sigma_px: Optical sigma, 0..4 px.

    Returns:
        float32 (H, W).
    """
    rows, cols = canvas.shape
    spectrum = scipy.fft.rfft2(canvas)
    parts = spectrum.view(np.float32).reshape(rows, -1, 2)
    parts *= transfer(np.arange(cols // 2 + 1) / cols, sigma_px).astype(np.float32)[None, :, None]
    f_row = ((np.arange(rows) + rows // 2) % rows - rows // 2) / rows
    parts *= transfer(f_row, sigma_px).astype(np.float32)[:, None, None]
    blurred: FloatImage = scipy.fft.irfft2(spectrum, s=(rows, cols), overwrite_x=True)
    return blurred


@numba.njit(cache=True, nogil=True)
def transfer(frequencies: npt.NDArray[np.float64], sigma_px: float) -> npt.NDArray[np.float64]:
    """Return optics times pixel MTF along one axis at the given frequencies in cycles/px."""
    out = np.empty(frequencies.size)
    for index in range(frequencies.size):
        f = frequencies[index]
        out[index] = portable.exp(-_TWO_PI_SQUARED * sigma_px * sigma_px * f * f) * portable.sinc(f)
    return out


@numba.njit(cache=True, nogil=True)
def gaussian_stamp(side: int, row: float, col: float, sigma_row_px: float, sigma_col_px: float) -> Stamp:
    """Integrate an axis-aligned Gaussian of flux 1 over each pixel with the error function.

    Args:
        side: Odd side of the stamp in px.
        row: Row offset of the centre from the middle pixel.
        col: Column offset of the centre.
        sigma_row_px: Optical sigma along the rows, > 0.
        sigma_col_px: Optical sigma along the columns, > 0.

    Returns:
        float64 (side, side); the sum is 1 less the truncated tail.
    """
    by_row, by_col = _pixel_shares(side, row, sigma_row_px), _pixel_shares(side, col, sigma_col_px)
    out = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            out[i, j] = by_row[i] * by_col[j]
    return out


@numba.njit(cache=True, nogil=True)
def _pixel_shares(side: int, centre: float, sigma: float) -> npt.NDArray[np.float64]:
    """Return the share of each pixel along one axis; neighbours share a border."""
    out = np.empty(side)
    scale, first = 1.0 / (sigma * _SQRT2), -0.5 - side // 2 - centre
    below = portable.erf(first * scale)
    for index in range(side):
        above = portable.erf((first + index + 1.0) * scale)
        out[index] = 0.5 * (above - below)
        below = above
    return out
