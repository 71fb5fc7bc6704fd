"""Optics in front of the detector: blur of the Airy core, line-of-sight jitter and motion, vignetting.

Blurs multiply as transfer functions, so Gaussian ones add in variance and one spectral product carries them all together
with the pixel: :func:`clutter_transfer`, or :func:`synth.scene.psf.blur_canvas` at the combined sigma. Stamps of targets
take the combined sigmas of :func:`blur_sigmas` as their optical sigma.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.psf import transfer


def airy_sigma_px(*, wavelength_um: float, f_number: float, pitch_um: float) -> float:
    """Return the Gaussian fitted to the Airy core in px, 0.42*lambda*F#/pitch (physics section 3)."""
    return 0.42 * wavelength_um * f_number / pitch_um


def total_sigma_px(sigma_optics_px: float) -> float:
    """Return the blur of optics and pixel together, sqrt(sigma^2 + 1/12) px."""
    return math.sqrt(sigma_optics_px * sigma_optics_px + 1.0 / 12.0)


def blur_sigmas(
    sigma_optics_px: float, *, jitter_sigma_px: float = 0.0, motion_px: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float]:
    """Combine optics, jitter and motion within the integration time.

    Args:
        sigma_optics_px: Optical sigma, px.
        jitter_sigma_px: Standard deviation of the line of sight within the integration time, px per axis.
        motion_px: Distance covered meanwhile along rows and columns; enters by its variance d^2/12, exact in second
            moments while d stays within about two sigmas (our choice; their product along a diagonal is neglected).

    Returns:
        Sigma along the rows and along the columns, px.
    """
    shared = sigma_optics_px * sigma_optics_px + jitter_sigma_px * jitter_sigma_px
    down, right = motion_px
    return math.sqrt(shared + down * down / 12.0), math.sqrt(shared + right * right / 12.0)


def clutter_transfer(
    hw: tuple[int, int],
    sigma_optics_px: float,
    *,
    jitter_sigma_px: float = 0.0,
    motion_px: tuple[float, float] = (0.0, 0.0),
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return optics x jitter x pixel as two factors of the half spectrum of ``scipy.fft.rfft2``.

    Args:
        hw: Rows and columns of the canvas.
        sigma_optics_px: Optical sigma, px.
        jitter_sigma_px: As in :func:`blur_sigmas`.
        motion_px: As in :func:`blur_sigmas`.

    Returns:
        float32 (H, 1) and (1, W // 2 + 1); their product is the transfer function, 1 at frequency 0.
    """
    rows, cols = hw
    down, right = blur_sigmas(sigma_optics_px, jitter_sigma_px=jitter_sigma_px, motion_px=motion_px)
    f_row = ((np.arange(rows) + rows // 2) % rows - rows // 2) / rows
    by_row = transfer(f_row, down).astype(np.float32)[:, None]
    by_col = transfer(np.arange(cols // 2 + 1) / cols, right).astype(np.float32)[None, :]
    return by_row, by_col


@lru_cache(maxsize=8)
def vignetting_map(hw: tuple[int, int], loss: float) -> FloatImage:
    """Return the relative illumination by the cos^4 law, centred.

    cos^4 of the field angle is (1 + tan^2)^-2, and tan grows with the distance from the centre.

    Args:
        hw: Rows and columns.
        loss: Loss in the corner, 0..0.2.

    Returns:
        float32 (H, W), read-only: 1 in the middle, 1 - loss in the corners.
    """
    by_row, by_col = vignetting_profiles(hw, loss)
    widened = by_row[:, None] + by_col[None, :]
    shading: FloatImage = np.asarray(1.0 / (widened * widened), dtype=np.float32)
    shading.flags.writeable = False
    return shading


@lru_cache(maxsize=8)
def vignetting_profiles(hw: tuple[int, int], loss: float) -> tuple[FloatImage, FloatImage]:
    """Return 1 + tan^2 of the field angle as a sum; (rows + columns)^-2 is :func:`vignetting_map`.

    Args:
        hw: Rows and columns.
        loss: Loss in the corner, 0..0.2.

    Returns:
        float32 (H,) and (W,), read-only.
    """
    corner = (math.sqrt(1.0 / (1.0 - loss)) - 1.0) / (hw[0] * hw[0] + hw[1] * hw[1])
    by_row, by_col = (np.square(np.linspace(-side, side, side)) * corner for side in hw)
    profiles = (1.0 + by_row).astype(np.float32), by_col.astype(np.float32)
    for profile in profiles:
        profile.flags.writeable = False
    return profiles


def vignette(kelvin: FloatImage, shading: FloatImage) -> FloatImage:
    """Darken a scene before the optics; what the lens barrel hides is replaced by the barrel at T0.

    Args:
        kelvin: float32 (H, W) apparent temperature relative to T0, K.
        shading: float32 (H, W) of :func:`vignetting_map`.

    Returns:
        float32 (H, W).
    """
    return kelvin * shading
