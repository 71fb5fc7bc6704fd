"""Filters of the view path, in integers: a Gaussian of any width and the median of nine.

What they leave of white noise is stated, because the gain control bounds the noise that a view shows.
"""

from __future__ import annotations

import functools
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt

from synth.scene import portable

RawLevels = npt.NDArray[np.uint16]
Denoiser = Literal["none", "median3", "gaussian"]

MEDIAN_KEPT = 0.4075
"""Standard deviation of white noise after the median of nine, relative (computed)."""

_TAP_BITS, _HALF_TAPS = 12, 5
MOST_SIGMA_PX = 1.5
"""Widest kernel of the Gaussian denoiser: its five taps a side hold all but 2e-4 of it."""


def denoise(raw: RawLevels, kind: Denoiser, sigma_px: float) -> RawLevels:
    """Return filtered raw levels, uint16 (H, W), or the levels themselves.

    Args:
        raw: uint16 (H, W).
        kind: Which filter.
        sigma_px: Kernel of the Gaussian one, 0..1.5.
    """
    if kind == "gaussian":
        return _filter(raw, gaussian_taps(sigma_px))
    return _median3(raw) if kind == "median3" else raw


def noise_kept(kind: Denoiser, sigma_px: float) -> float:
    """Return the standard deviation of white noise after a denoiser, relative.

    Args:
        kind: Which.
        sigma_px: Kernel of the Gaussian one.
    """
    if kind == "gaussian":
        taps = gaussian_taps(sigma_px)
        return float((taps * taps).sum()) / 4.0**_TAP_BITS
    return MEDIAN_KEPT if kind == "median3" else 1.0


@functools.lru_cache(maxsize=256)
def gaussian_taps(sigma_px: float) -> npt.NDArray[np.int64]:
    """Return a sampled Gaussian, int64 (11,), sum 2^12; a sigma of 0 lets everything through.

    Args:
        sigma_px: 0..1.5.
    """
    taps = np.zeros(2 * _HALF_TAPS + 1, np.int64)
    if sigma_px > 0.1:  # below, the neighbour's tap is 0
        levels = [float(portable.exp(-0.5 * (n / sigma_px) ** 2)) for n in range(-_HALF_TAPS, _HALF_TAPS + 1)]
        taps[:] = [int(level * 2**_TAP_BITS / sum(levels) + 0.5) for level in levels]
    taps[_HALF_TAPS] += 2**_TAP_BITS - taps.sum()
    taps.flags.writeable = False
    return taps


@numba.njit(cache=True, nogil=True)
def _filter(raw: RawLevels, taps: npt.NDArray[np.int64]) -> RawLevels:
    """Filter rows and columns with taps of sum 2^12, edges repeated, rounded half up once, in integers."""
    rows, cols = raw.shape
    half = taps.size // 2
    across = np.empty((rows, cols), np.int64)
    line = np.empty(cols + 2 * half, np.int64)
    for i in range(rows):
        line[:half], line[half + cols :] = raw[i, 0], raw[i, cols - 1]
        line[half : half + cols] = raw[i]
        across[i] = 0
        for n in range(taps.size):
            _add_weighted(across[i], taps[n], line[n : n + cols])
    out = np.empty((rows, cols), np.uint16)
    total = np.empty(cols, np.int64)
    for i in range(rows):
        total[:] = np.int64(1) << (2 * _TAP_BITS - 1)
        for n in range(taps.size):
            _add_weighted(total, taps[n], across[min(max(i + n - half, 0), rows - 1)])
        for j in range(cols):
            out[i, j] = np.uint16(total[j] >> (2 * _TAP_BITS))
    return out


@numba.njit(cache=True, nogil=True)
def _add_weighted(target: npt.NDArray[np.int64], weight: int, source: npt.NDArray[np.int64]) -> None:
    for j in range(target.size):
        target[j] += weight * source[j]


@numba.njit(cache=True, nogil=True)
def _median3(raw: RawLevels) -> RawLevels:
    """Return the median of each 3x3 neighbourhood, edges repeated."""
    rows, cols = raw.shape
    out = np.empty((rows, cols), np.uint16)
    near = np.empty(9, np.uint16)
    for i in range(rows):
        for j in range(cols):
            for k in range(9):
                near[k] = raw[min(max(i + k // 3 - 1, 0), rows - 1), min(max(j + k % 3 - 1, 0), cols - 1)]
            for k in range(1, 9):  # insertion sort
                value, m = near[k], k
                while m > 0 and near[m - 1] > value:
                    near[m] = near[m - 1]
                    m -= 1
                near[m] = value
            out[i, j] = near[4]
    return out
