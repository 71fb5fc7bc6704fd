"""Radial power spectrum of a frame, its slope, and how much more it holds along rows than along columns.

The window is the central square of at most 256 px (physics section 11). Rings are floor(N*f) = k, f the radial frequency
in cycles/px. The *slope* takes k/N as the frequency of ring k, which is what reproduces the measured table to rounding (and
reads 2 to 3 % below the exponent of a power law); *curves* are compared across window sizes and take the ring's middle,
(k + 0.5)/N. What then remains of the size is the wider window of a small frame: at most 1 dB at 64 px for a slope of 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

FloatArray = npt.NDArray[np.float64]

WINDOW_PX = 256
MIN_WINDOW_PX = 32
"""Smaller frames have too few rings in the band for a slope (8 at 32 px): NaN (our choice)."""
BAND = (0.02, 0.25)
"""Frequencies compared, cycles/px (physics section 11)."""
FREQUENCIES: FloatArray = np.arange(6, 65) / WINDOW_PX
"""Common grid of the curves, cycles/px: the ring frequencies of a 256-px window inside the band."""
FLOOR_DB = -40.0
"""Least power shown, dB re 1 DN^2 px^2: 29 dB below the round-off of 8-bit levels, 1/12 (our choice)."""
_WEDGE_TAN = np.sqrt(2.0) - 1.0  # tan(22.5 degrees)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """What a frame's power spectrum says.

    Attributes:
        slope: Minus the log-log slope over the band; NaN for flat or small frames.
        anisotropy_db: Power around the horizontal over that around the vertical frequency axis, dB; positive where levels
            change more along rows (column stripes). NaN as above.
        curve_db: float64 (59,), power on :data:`FREQUENCIES`, dB re 1 DN^2 px^2; NaN where the window has no such ring.
    """

    slope: float
    anisotropy_db: float
    curve_db: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What depends on the window's size alone; ``ring`` and the wedges cover the half plane of a real transform."""

    window: FloatArray
    ring: npt.NDArray[np.int64]
    multiplicity: FloatArray
    num_in_ring: FloatArray
    horizontal: npt.NDArray[np.bool_]
    vertical: npt.NDArray[np.bool_]


def measure_spectrum(levels_dn: FloatArray) -> Spectrum:
    """Measure the spectrum of the central square of a frame.

    Args:
        levels_dn: float64 (H, W), grey levels of 0..255.

    Returns:
        The spectrum; all NaN where the window is flat or smaller than :data:`MIN_WINDOW_PX`.
    """
    size = min(WINDOW_PX, *levels_dn.shape)
    missing = Spectrum(np.nan, np.nan, np.full(len(FREQUENCIES), np.nan))
    if size < MIN_WINDOW_PX:
        return missing
    row, col = ((length - size) // 2 for length in levels_dn.shape)
    square = levels_dn[row : row + size, col : col + size]
    if square.min() == square.max():
        return missing
    plan = _plan(size)
    transform = scipy.fft.rfft2((square - square.mean()) * plan.window, workers=1)
    power = (transform.real**2 + transform.imag**2) * (plan.multiplicity / np.sum(plan.window**2))
    radial = np.bincount(plan.ring.ravel(), power.ravel()) / plan.num_in_ring
    return Spectrum(_slope(radial, size), _anisotropy_db(power, plan), _on_grid(radial, size))


def _slope(radial: FloatArray, size: int) -> float:
    frequency = np.arange(len(radial)) / size
    used = (frequency >= BAND[0]) & (frequency <= BAND[1]) & (radial > 0.0)
    x, y = np.log(frequency[used]), np.log(radial[used])
    x -= x.mean()
    return float(-np.dot(x, y) / np.dot(x, x))


def _anisotropy_db(power: FloatArray, plan: _Plan) -> float:
    horizontal, vertical = power[plan.horizontal].sum(), power[plan.vertical].sum()
    if horizontal <= 0.0 or vertical <= 0.0:  # levels that change along one axis only
        return float("nan")
    return float(10.0 * np.log10(horizontal / vertical))


def _on_grid(radial: FloatArray, size: int) -> FloatArray:
    middle = (np.arange(1, len(radial)) + 0.5) / size
    curve = 10.0 * np.log10(np.maximum(radial[1:], 10.0 ** (FLOOR_DB / 10.0)))
    curve_db: FloatArray = np.interp(np.log(FREQUENCIES), np.log(middle), curve, left=np.nan, right=np.nan)
    return curve_db


@lru_cache(maxsize=64)  # one entry a window size; sets of native frames have some hundred sizes below 256
def _plan(size: int) -> _Plan:
    column_frequency = np.arange(size // 2 + 1) / size
    row_frequency = np.abs(np.fft.fftfreq(size))
    vertical, horizontal = np.meshgrid(row_frequency, column_frequency, indexing="ij")
    radius = np.sqrt(vertical**2 + horizontal**2)
    ring = np.floor(radius * size).astype(np.int64)
    multiplicity = np.full(ring.shape, 2.0)  # each bin of a real transform stands for its mirror image too
    multiplicity[:, 0] = 1.0
    if size % 2 == 0:
        multiplicity[:, -1] = 1.0
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / (size - 1))
    in_band = (radius >= BAND[0]) & (radius <= BAND[1])
    return _Plan(
        window=np.outer(hann, hann),
        ring=ring,
        multiplicity=multiplicity,
        num_in_ring=np.bincount(ring.ravel(), multiplicity.ravel()).astype(np.float64),
        horizontal=in_band & (vertical <= _WEDGE_TAN * horizontal),
        vertical=in_band & (horizontal <= _WEDGE_TAN * vertical),
    )
