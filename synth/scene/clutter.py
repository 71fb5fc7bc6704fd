"""Random textures with the spectra of infrared backgrounds.

A field is drawn in the Fourier domain on a larger grid and cropped, because the transform wraps round: on an unpadded
grid opposite borders match. The padding is half a side, or two correlation lengths 1/f0 where these are shorter.
The amplitude law is (f0^2 + f^2)^(-beta/4), f in cycles/px. Literature puts beta near 3 for terrain (Futterman &
Benson, SPIE 253, 1980: 1-D traces fall as f^-2) and at 8/3 for Kolmogorov-like cloud. A field alone has Gaussian
gradients; :mod:`synth.scene.layers` and the regimes add what real frames have: edges.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from synth.sample import FloatImage
from synth.scene import grain, portable

BETA_STEP = 0.125
"""Slopes are rounded to this step so that the power is a product of repeated square roots, which are portable."""


def power_law_field(
    rng: np.random.Generator,
    *,
    hw: tuple[int, int],
    beta: float,
    f0: float = 1.0 / 256.0,
    stretch: float = 1.0,
    turns: float = 0.0,
) -> FloatImage:
    """Draw a random field with a power-law spectrum.

    The coefficients are uniform in a square of the complex plane, not Gaussian: second moments are exact and the field
    is Gaussian where many of them add up, at a third of the cost.

    Args:
        rng: Source of the coefficients.
        hw: Rows and columns.
        beta: Exponent of the power spectral density, 1..5, rounded to ``BETA_STEP``.
        f0: Frequency in cycles/px under which the spectrum is flat.
        stretch: Elongation >= 1 of the structures along ``turns``.
        turns: Direction of elongation in turns from the column axis, 0..1.

    Returns:
        float32 (H, W) with mean 0 and standard deviation 1.
    """
    grid_hw = _padded(hw, f0)
    return standardise(_draw(rng, grid_hw, hw, _amplitude(grid_hw, beta, f0, stretch, turns)))


def periodic_field(rng: np.random.Generator, *, hw: tuple[int, int], beta: float, f0: float, stretch: float = 1.0) -> FloatImage:
    """Draw a field on the whole padded grid, without the crop: a seamless tile to sample from.

    Args:
        rng: Source of the coefficients.
        hw: Rows and columns of the frame it is for; the tile is larger.
        beta: Exponent of the power spectral density.
        f0: Frequency in cycles/px under which the spectrum is flat.
        stretch: Elongation >= 1 along the columns.

    Returns:
        float32 tile with mean 0 and standard deviation 1.
    """
    grid_hw = _padded(hw, f0)
    return standardise(_draw(rng, grid_hw, grid_hw, _amplitude(grid_hw, beta, f0, stretch, turns=0.0)))


def periodic_sheet(
    rng: np.random.Generator, *, side: int, beta: float, f0: float, stretch: float = 1.0, turns: float = 0.0
) -> FloatImage:
    """Draw a seamless square field of exactly the side asked for; arguments as in :func:`power_law_field`.

    Returns:
        float32 (side, side) with mean 0 and standard deviation 1.
    """
    grid_hw = (side, side)
    return standardise(_draw(rng, grid_hw, grid_hw, _amplitude(grid_hw, beta, f0, stretch, turns)))


def power_law_profile(rng: np.random.Generator, *, length: int, beta: float, f0: float) -> FloatImage:
    """Draw a random 1-D profile, the outline of a ridge.

    Args:
        rng: Source of the coefficients.
        length: Samples.
        beta: Exponent of the 1-D power spectral density, 1..4.
        f0: Frequency in cycles/px under which the spectrum is flat.

    Returns:
        float32 (length,) with mean 0 and standard deviation 1.
    """
    grid = even_fast_length(2 * length)
    draws = np.frombuffer(rng.bytes(4 * (grid // 2 + 1)), dtype="<i2").reshape(-1, 2)
    spectrum = _profile_spectrum(draws, grid, int(beta / BETA_STEP + 0.5), f0)
    profile = scipy.fft.irfft(spectrum, n=grid)[:length]
    standard: FloatImage = standardise(profile[None, :])[0]
    return standard


@numba.njit(cache=True, nogil=True)
def _profile_spectrum(draws: npt.NDArray[np.int16], grid: int, eighths: int, f0: float) -> npt.NDArray[np.complex64]:
    """Scale uniform coefficients by (f0^2 + f^2)^(-beta/4), beta in steps of ``BETA_STEP``; the mean is 0."""
    spectrum = np.zeros(draws.shape[0], np.complex64)
    for n in range(1, draws.shape[0]):
        root = (n / grid) * (n / grid) + f0 * f0
        power = 1.0
        for _ in range(eighths // 32):
            power *= root
        for bit in (16, 8, 4, 2, 1):
            root = np.sqrt(root)
            if eighths & bit:
                power *= root
        spectrum[n] = np.complex64(complex(draws[n, 0] / power, draws[n, 1] / power))
    return spectrum


@numba.njit(cache=True, nogil=True)
def moments(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and population standard deviation of a 2-D array, summed column by column in float64."""
    totals, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for row in range(values.shape[0]):
        add_moments(totals, squares, values[row])
    mean = totals.sum() / values.size
    return mean, max(squares.sum() / values.size - mean * mean, 0.0) ** 0.5


@numba.njit(cache=True, nogil=True)
def add_moments(totals: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], row: npt.NDArray[Any]) -> None:
    """Add a row and its squares to the sums of its columns: sums that run side by side keep their order and are fast."""
    for col in range(row.size):
        value = np.float64(row[col])
        totals[col] += value
        squares[col] += value * value


def standardise(field: FloatImage) -> FloatImage:
    """Return the field with mean 0 and standard deviation 1 (a constant field becomes 0)."""
    mean, deviation = moments(field)
    scale = 1.0 / deviation if deviation > 0.0 else 0.0
    standard: FloatImage = _shift_scale(field, np.float32(mean), np.float32(scale))
    return standard


@numba.njit(cache=True, nogil=True)
def _shift_scale(field: FloatImage, shift: np.float32, scale: np.float32) -> FloatImage:
    out = np.empty(field.shape, np.float32)
    for i in range(field.shape[0]):
        for j in range(field.shape[1]):
            out[i, j] = (field[i, j] - shift) * scale
    return out


def smoothstep(values: FloatImage, low: float, high: float) -> FloatImage:
    """Return the cubic step 3t^2 - 2t^3 that rises from 0 at ``low`` to 1 at ``high``; float32, same shape."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    step: FloatImage = t * t * (np.float32(3.0) - np.float32(2.0) * t)
    return step


@lru_cache(maxsize=256)
def even_fast_length(length: int) -> int:
    """Return the smallest even transform length with small prime factors that is at least ``length``."""
    grid = int(scipy.fft.next_fast_len(length, real=True))
    return grid if grid % 2 == 0 else even_fast_length(grid + 1)


def _padded(hw: tuple[int, int], f0: float) -> tuple[int, int]:
    rows, cols = (even_fast_length(side + min(side // 2, int(2.0 / f0))) for side in hw)
    return rows, cols


def _draw(
    rng: np.random.Generator, grid_hw: tuple[int, int], hw: tuple[int, int], amplitude: npt.NDArray[np.float32]
) -> FloatImage:
    """Transform random coefficients; rows outside the crop are left out of the second pass."""
    key = grain.draw_key(rng)
    columns = scipy.fft.ifft(_coefficients(amplitude, key.low, key.high), axis=0, overwrite_x=True)
    field = scipy.fft.irfft(columns[: hw[0]], n=grid_hw[1], axis=1)
    return np.ascontiguousarray(field[:, : hw[1]])


@numba.njit(cache=True, nogil=True)
def _coefficients(amplitude: npt.NDArray[np.float32], low: np.uint64, high: np.uint64) -> npt.NDArray[np.complex64]:
    """Return random coefficients, real and imaginary parts uniform over +-2^15 amplitudes; the caller undoes the scale."""
    out = np.empty(amplitude.shape, np.complex64)
    bits = np.empty(amplitude.shape[1], np.uint64)
    for i in range(amplitude.shape[0]):
        for j in range(bits.size):
            bits[j] = grain.bits_at(low, high, np.uint64(i * bits.size + j))
        parts, scale = out[i].view(np.float32), amplitude[i]
        for j in range(bits.size):
            parts[2 * j] = np.float32(np.int32(bits[j] >> np.uint64(32)) >> np.int32(16)) * scale[j]
            parts[2 * j + 1] = np.float32(np.int32(bits[j] & np.uint64(0xFFFFFFFF)) >> np.int32(16)) * scale[j]
    return out


def _amplitude(grid_hw: tuple[int, int], beta: float, f0: float, stretch: float, turns: float) -> npt.NDArray[np.float32]:
    parts = _squared_frequency(grid_hw, f0, stretch, turns)
    amplitude: npt.NDArray[np.float32] = _inverse_root_power(*parts, int(beta / BETA_STEP + 0.5))
    amplitude[0, 0] = 0.0
    amplitude[:, 0] *= np.float32(1.4142135)  # the real transform keeps half the variance of this column
    return amplitude


def _squared_frequency(
    grid_hw: tuple[int, int], f0: float, stretch: float, turns: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the quadratic form of the elongated frequency plane plus f0^2 as a + b + c * d, float32.

    Returns:
        a (rows,), b (cols // 2 + 1,), c (rows,), d (cols // 2 + 1,).
    """
    rows, cols = grid_hw
    f_row = ((np.arange(rows) + rows // 2) % rows - rows // 2) / rows
    f_col = np.arange(cols // 2 + 1) / cols
    cosine, sine = portable.cos_sin(turns)
    row_weight = sine * sine * stretch + cosine * cosine / stretch
    col_weight = cosine * cosine * stretch + sine * sine / stretch
    cross = 2.0 * sine * cosine * (stretch - 1.0 / stretch)
    parts = row_weight * f_row * f_row + f0 * f0, col_weight * f_col * f_col, cross * f_row, f_col
    by_row, by_col, cross_row, cross_col = (part.astype(np.float32) for part in parts)
    return by_row, by_col, cross_row, cross_col


@numba.njit(cache=True, nogil=True, error_model="numpy")  # a check for division by zero would keep the loops scalar
def _inverse_root_power(
    by_row: npt.NDArray[np.float32],
    by_col: npt.NDArray[np.float32],
    cross_row: npt.NDArray[np.float32],
    cross_col: npt.NDArray[np.float32],
    eighths: int,
) -> npt.NDArray[np.float32]:
    """Return (a + b + c * d)^(-beta/4), beta in steps of ``BETA_STEP``: its 2^-5 powers by repeated square roots."""
    out = np.empty((by_row.size, by_col.size), np.float32)
    root, one = np.empty(by_col.size, np.float32), np.float32(1.0)
    for i in range(by_row.size):
        power, level, share = out[i], by_row[i], cross_row[i]
        for j in range(root.size):
            root[j] = level + (by_col[j] + share * cross_col[j])
            power[j] = one
        for _ in range(eighths // 32):
            for j in range(root.size):
                power[j] *= root[j]
        for bit in (16, 8, 4, 2, 1):
            for j in range(root.size):
                root[j] = np.sqrt(root[j])
            if eighths & bit:
                for j in range(root.size):
                    power[j] *= root[j]
        for j in range(root.size):
            power[j] = one / power[j]
    return out
