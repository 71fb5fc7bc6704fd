"""The mask of a target on its stamp, and what is summed over either."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.scene.psf import Stamp


@numba.njit(cache=True, nogil=True)
def connected_to(allowed: npt.NDArray[np.bool_], start: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a square array that are 8-connected to one of them.

    Args:
        allowed: bool (S, S).
        start: Flat index of a True pixel.

    Returns:
        bool (S, S).
    """
    side = allowed.shape[0]
    out = np.zeros((side, side), np.bool_)
    pending = np.empty(allowed.size, np.int64)
    pending[0] = start
    out[start // side, start % side] = True
    num = 1
    while num > 0:
        num -= 1
        row, col = pending[num] // side, pending[num] % side
        for i in range(max(row - 1, 0), min(row + 2, side)):
            for j in range(max(col - 1, 0), min(col + 2, side)):
                if allowed[i, j] and not out[i, j]:
                    out[i, j] = True
                    pending[num] = i * side + j
                    num += 1
    return out


@numba.njit(cache=True, nogil=True)
def peak_component(stamp: Stamp, threshold: float) -> npt.NDArray[np.bool_]:
    """Return the mask of a target: pixels at or above a share of its peak that are 8-connected to the peak.

    Args:
        stamp: float64 (S, S), any positive scale.
        threshold: Share of the maximum, 0..1.

    Returns:
        bool (S, S), at least the brightest pixel.
    """
    peak = int(stamp.argmax())
    return connected_to(stamp >= threshold * stamp.ravel()[peak], peak)


@numba.njit(cache=True, nogil=True)
def stamp_totals(stamp: Stamp, mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, int]:
    """Return sum, maximum and sum of squares of a stamp, and the pixels of its mask."""
    total, peak, squares, area = 0.0, 0.0, 0.0, 0
    for i in range(stamp.shape[0]):
        for j in range(stamp.shape[1]):
            total += stamp[i, j]
            peak = max(peak, stamp[i, j])
            squares += stamp[i, j] * stamp[i, j]
            area += mask[i, j]
    return total, peak, squares, area


@numba.njit(cache=True, nogil=True)
def mask_reach(mask: npt.NDArray[np.bool_]) -> int:
    """Return the largest row or column distance of a pixel of a square mask from its middle."""
    half, reach = mask.shape[0] // 2, 0
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if mask[i, j]:
                reach = max(reach, abs(i - half), abs(j - half))
    return reach


@numba.njit(cache=True, nogil=True)
def unit_peak(stamp: Stamp, threshold: float) -> tuple[Stamp, npt.NDArray[np.bool_], int]:
    """Return a stamp scaled to a maximum of 1, its :func:`peak_component` and that mask's :func:`mask_reach`."""
    scaled = stamp * (1.0 / stamp.max())
    mask = peak_component(scaled, threshold)
    return scaled, mask, mask_reach(mask)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def stamp_moments(stamp: Stamp) -> tuple[float, float, float, float]:
    """Return flux centre (row, col) from the middle pixel, and the deviations of the flux along rows and columns, px."""
    half = stamp.shape[0] // 2
    by_row, by_col = stamp.sum(axis=1), stamp.sum(axis=0)
    flux, row, col, rows, cols = by_row.sum(), 0.0, 0.0, 0.0, 0.0
    for k in range(by_row.size):
        row += (k - half) * by_row[k]
        col += (k - half) * by_col[k]
    row, col = row / flux, col / flux
    for k in range(by_row.size):
        rows += (k - half - row) ** 2 * by_row[k]
        cols += (k - half - col) ** 2 * by_col[k]
    return row, col, np.sqrt(rows / flux), np.sqrt(cols / flux)
