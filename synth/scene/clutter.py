"""Random textures with the spectra of infrared backgrounds.

A field is drawn in the Fourier domain on a larger grid and cropped, because the transform wraps round: on an unpadded
grid opposite borders match. The padding is half a side, or two correlation lengths 1/f0 where these are shorter.
The amplitude law is (f0^2 + f^2)^(-beta/4), f in cycles/px. Literature puts beta near 3 for terrain (Futterman &
Benson, SPIE 253, 1980: 1-D traces fall as f^-2) and at 8/3 for Kolmogorov-like cloud. A field alone has Gaussian
gradients; :mod:`synth.scene.layers` and the regimes add what real frames have: edges.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from synth.sample import FloatImage
from synth.scene import portable

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
    grid = int(scipy.fft.next_fast_len(2 * length, real=True))
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
    """Return mean and population standard deviation of a 2-D array, summed row by row in float64."""
    rows, cols = values.shape
    totals = np.zeros(rows)
    squares = np.zeros(rows)
    for first in range(0, rows - 3, 4):  # four rows side by side: a sum of its own each, so the order stays
        _row_sums(values[first], values[first + 1], values[first + 2], values[first + 3], totals[first:], squares[first:])
    for row in range(rows - rows % 4, rows):
        for col in range(cols):
            value = np.float64(values[row, col])
            totals[row] += value
            squares[row] += value * value
    total = 0.0
    square = 0.0
    for row in range(rows):
        total += totals[row]
        square += squares[row]
    mean = total / values.size
    return mean, max(square / values.size - mean * mean, 0.0) ** 0.5


@numba.njit(cache=True, nogil=True)
def _row_sums(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    c: npt.NDArray[np.float32],
    d: npt.NDArray[np.float32],
    totals: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
) -> None:
    a1 = b1 = c1 = d1 = 0.0
    a2 = b2 = c2 = d2 = 0.0
    for col in range(a.size):
        x, y, z, w = np.float64(a[col]), np.float64(b[col]), np.float64(c[col]), np.float64(d[col])
        a1 += x
        b1 += y
        c1 += z
        d1 += w
        a2 += x * x
        b2 += y * y
        c2 += z * z
        d2 += w * w
    totals[0], totals[1], totals[2], totals[3] = a1, b1, c1, d1
    squares[0], squares[1], squares[2], squares[3] = a2, b2, c2, d2


def standardise(field: FloatImage) -> FloatImage:
    """Return the field with mean 0 and standard deviation 1 (a constant field becomes 0)."""
    mean, deviation = moments(field)
    scale = 1.0 / deviation if deviation > 0.0 else 0.0
    standard: FloatImage = (field - np.float32(mean)) * np.float32(scale)
    return standard


def smoothstep(values: FloatImage, low: float, high: float) -> FloatImage:
    """Return the cubic step 3t^2 - 2t^3 that rises from 0 at ``low`` to 1 at ``high``; float32, same shape."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    step: FloatImage = t * t * (np.float32(3.0) - np.float32(2.0) * t)
    return step


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
    spectrum = _coefficients(rng, amplitude.shape)
    spectrum *= amplitude[:, :, None]
    columns = scipy.fft.ifft(spectrum.view(np.complex64)[:, :, 0], axis=0, overwrite_x=True)
    field = scipy.fft.irfft(columns[: hw[0]], n=grid_hw[1], axis=1)
    return np.ascontiguousarray(field[:, : hw[1]])


def _coefficients(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return real and imaginary parts (..., 2), uniform over the 16-bit integers; any scale is undone by the caller."""
    num = 2 * int(np.prod(shape))
    return np.frombuffer(rng.bytes(2 * num), dtype="<i2").astype(np.float32).reshape(*shape, 2)


def _amplitude(grid_hw: tuple[int, int], beta: float, f0: float, stretch: float, turns: float) -> npt.NDArray[np.float32]:
    amplitude = _root_power(_squared_frequency(grid_hw, f0, stretch, turns), beta)
    amplitude[0, 0] = 0.0
    amplitude[:, 0] *= np.float32(1.4142135)  # the real transform keeps half the variance of this column
    return amplitude


def _squared_frequency(grid_hw: tuple[int, int], f0: float, stretch: float, turns: float) -> npt.NDArray[np.float32]:
    """Return the quadratic form of the elongated frequency plane plus f0^2; float32 (rows, cols // 2 + 1)."""
    rows, cols = grid_hw
    f_row = (((np.arange(rows) + rows // 2) % rows - rows // 2) / rows)[:, None]
    f_col = (np.arange(cols // 2 + 1) / cols)[None, :]
    cosine, sine = portable.cos_sin(turns)
    row_weight = sine * sine * stretch + cosine * cosine / stretch
    col_weight = cosine * cosine * stretch + sine * sine / stretch
    cross = 2.0 * sine * cosine * (stretch - 1.0 / stretch)
    squared = (cross * f_row).astype(np.float32) * f_col.astype(np.float32)
    squared += (row_weight * f_row * f_row + f0 * f0).astype(np.float32)
    squared += (col_weight * f_col * f_col).astype(np.float32)
    return squared


def _root_power(squared: npt.NDArray[np.floating], beta: float) -> npt.NDArray[np.float32]:
    """Return squared^(-beta/4): the 2^-5 powers of ``squared`` by repeated square roots, multiplied up."""
    eighths = int(beta / BETA_STEP + 0.5)
    whole, fraction = divmod(eighths, 32)
    root = np.asarray(squared, dtype=np.float32)
    power = np.ones_like(root)
    for _ in range(whole):
        power *= root
    for bit in (16, 8, 4, 2, 1):
        root = np.sqrt(root)
        if fraction & bit:
            power *= root
    return np.float32(1.0) / power
