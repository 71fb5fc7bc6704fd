"""Pixels of an isolated target: Gaussians and silhouettes integrated over the pixel at a sub-pixel centre.

A stamp is square with an odd side; its middle pixel is the integer position, offsets lie in [-0.5, 0.5). Sigmas are
*optical*: the pixel's box is in the integral (physics section 3). Turned Gaussians and silhouettes are sampled at
``SUPERSAMPLING`` sub-pixels a side; the optics and the box average of a silhouette are one separable weight table.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.scene import portable
from synth.scene.psf import SUPERSAMPLING, Stamp

PART_COLUMNS = 8
"""Columns of a part of a silhouette: row, col, half length, half width, turns, warmth, shape, tail fall."""

ELLIPSE, RECTANGLE, TAIL = 0.0, 1.0, 2.0
"""Shapes of a part. A tail starts at (row, col), runs along its direction for twice the half length and widens to its
half width while its warmth falls as (1 - share)^fall."""

_SQRT2 = 1.4142135623730951
_SHARP_PX = 0.95  # below, 4 sub-pixels a side miss the integral by more than 0.4 % of the peak
_REACH_SIGMAS = 4.0  # a Gaussian keeps 6e-5 of its flux beyond


@numba.njit(cache=True, nogil=True)
def turned_gaussian_stamp(
    side: int, row: float, col: float, sigma_row_px: float, sigma_col_px: float, turns: float
) -> npt.NDArray[np.float64]:
    """Integrate a turned Gaussian of flux 1 over the pixels by supersampling.

    Along a line of samples the exponent is a parabola, so each sample follows from the one before by two products.

    Args:
        side: Odd side of the stamp in px.
        row: Row offset of the centre from the middle pixel.
        col: Column offset of the centre.
        sigma_row_px: Optical sigma along its first axis, the rows at 0 turns.
        sigma_col_px: Optical sigma along its second axis.
        turns: Turn of the second axis away from the columns, 0..1.

    Returns:
        float64 (side, side); the sum is 1 less the truncated tail.
    """
    cosine, sine = portable.cos_sin(turns)
    down, right = 1.0 / (sigma_row_px * sigma_row_px), 1.0 / (sigma_col_px * sigma_col_px)
    rows_weight = cosine * cosine * down + sine * sine * right
    cols_weight = cosine * cosine * right + sine * sine * down
    cross = sine * cosine * (right - down)
    finer = 2 * SUPERSAMPLING if min(sigma_row_px, sigma_col_px) < _SHARP_PX else SUPERSAMPLING
    step = 1.0 / finer
    norm = step * step / (6.283185307179586 * sigma_row_px * sigma_col_px)
    curve = portable.exp(-cols_weight * step * step)
    out = np.zeros((side, side))
    first = 0.5 * step - 0.5 - side // 2
    for i in range(side * finer):
        y = first + i * step - row
        x = first - col
        exponent = 0.5 * (rows_weight * y * y + cols_weight * x * x) + cross * x * y
        ratio = portable.exp(-(cols_weight * (x * step + 0.5 * step * step) + cross * y * step))
        if exponent > 600.0:  # beyond every representable share, and beyond the range of portable.exp
            continue
        value = norm * portable.exp(-exponent)
        line = out[i // finer]
        for j in range(side * finer):
            line[j // finer] += value
            value *= ratio
            ratio *= curve
    return out


@numba.njit(cache=True, nogil=True)
def silhouette_stamp(
    side: int, parts: npt.NDArray[np.float64], row: float, col: float, sigma_px: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw a silhouette at sub-pixel resolution, blur it with the optics and average it over the pixels.

    Args:
        side: Odd side of the stamp in px.
        parts: float64 (K, PART_COLUMNS), offsets from the target's centre; where parts overlap the warmest counts.
        row: Row offset of the target's centre from the middle pixel.
        col: Column offset of its centre.
        sigma_px: Optical sigma, > 0.

    Returns:
        float64 (side, side) signal of unit warmth, and float64 (side, side) coverage in 0..1, what it hides of the scene.
    """
    fine = side * SUPERSAMPLING
    warm = np.zeros((fine, fine))
    cover = np.zeros((fine, fine))
    for k in range(parts.shape[0]):
        _paint_part(warm, cover, parts[k], row + side // 2, col + side // 2)
    weights = _pixel_weights(sigma_px)
    return _to_pixels(warm, weights, side), _to_pixels(cover, weights, side)


@numba.njit(cache=True, nogil=True)
def _paint_part(
    warm: npt.NDArray[np.float64], cover: npt.NDArray[np.float64], part: npt.NDArray[np.float64], row: float, col: float
) -> None:
    cosine, sine = portable.cos_sin(part[4])
    half, width = part[2], part[3]
    reach = (2.0 * half if part[6] == TAIL else half) + width
    centre_row, centre_col = row + part[0], col + part[1]
    first_row, last_row = _fine_range(centre_row, reach, warm.shape[0])
    first_col, last_col = _fine_range(centre_col, reach, warm.shape[1])
    for i in range(first_row, last_row):
        y = (i + 0.5) / SUPERSAMPLING - 0.5 - centre_row
        for j in range(first_col, last_col):
            x = (j + 0.5) / SUPERSAMPLING - 0.5 - centre_col
            along = (cosine * x + sine * y) / half
            across = abs(cosine * y - sine * x) / width
            warmth = 0.0
            if (part[6] == ELLIPSE and along * along + across * across <= 1.0) or (
                part[6] == RECTANGLE and abs(along) <= 1.0 and across <= 1.0
            ):
                warmth = part[5]
            elif part[6] == TAIL and 0.0 <= along <= 2.0 and across <= 0.35 + 0.325 * along:
                warmth = part[5] * _power(1.0 - 0.5 * along, part[7])
            if warmth > 0.0:
                warm[i, j] = max(warm[i, j], warmth)
                cover[i, j] = max(cover[i, j], min(2.0 * warmth, 1.0) if part[6] == TAIL else 1.0)


@numba.njit(cache=True, nogil=True)
def _power(base: float, exponent: float) -> float:
    return portable.exp(exponent * portable.log(base)) if base > 1e-6 else 0.0


@numba.njit(cache=True, nogil=True)
def _fine_range(centre: float, reach: float, size: int) -> tuple[int, int]:
    first = int(np.floor((centre - reach + 0.5) * SUPERSAMPLING))
    last = int(np.floor((centre + reach + 0.5) * SUPERSAMPLING)) + 1
    return max(first, 0), min(last, size)


@numba.njit(cache=True, nogil=True)
def _pixel_weights(sigma_px: float) -> npt.NDArray[np.float64]:
    """Return what a sub-pixel gives to a pixel, by distance in steps of a sub-pixel: Gaussian and box in one integral."""
    half = int((_REACH_SIGMAS * sigma_px + 0.5) * SUPERSAMPLING) + 1
    scale = 1.0 / (sigma_px * _SQRT2)
    weights = np.empty(2 * half)
    for k in range(2 * half):
        distance = (k - half + 0.5) / SUPERSAMPLING
        weights[k] = 0.5 * (portable.erf((distance + 0.5) * scale) - portable.erf((distance - 0.5) * scale)) / SUPERSAMPLING
    return weights


@numba.njit(cache=True, nogil=True)
def _to_pixels(fine: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """Average sub-pixels into pixels with a separable weight table; the middle of pixel p is sub-pixel 4p + 1.5."""
    half = weights.size // 2
    top, bottom, left, right = _extent(fine)
    line = np.empty(right - left)
    columns = np.empty((right - left, side))  # transposed, so that the second pass runs along it
    for p in range(side):
        first = p * SUPERSAMPLING + SUPERSAMPLING // 2 - half
        line[:] = 0.0
        for k in range(max(0, top - first), min(2 * half, bottom - first)):
            _add_scaled(line, weights[k], fine[first + k, left:right])
        columns[:, p] = line
    out = np.zeros((side, side))
    for q in range(side):
        first = q * SUPERSAMPLING + SUPERSAMPLING // 2 - half - left
        for k in range(max(0, -first), min(2 * half, right - left - first)):
            _add_scaled(out[q], weights[k], columns[first + k])
    return out.T.copy()


@numba.njit(cache=True, nogil=True)
def _add_scaled(target: npt.NDArray[np.float64], factor: float, source: npt.NDArray[np.float64]) -> None:
    for j in range(target.size):
        target[j] += factor * source[j]


@numba.njit(cache=True, nogil=True)
def _extent(fine: npt.NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Return the half-open rows and columns that hold anything."""
    rows, cols = fine.shape
    top, bottom, left, right = rows, 0, cols, 0
    for i in range(rows):
        for j in range(cols):
            if fine[i, j] > 0.0:
                top, bottom = min(top, i), i + 1
                left, right = min(left, j), max(right, j + 1)
    return top, max(bottom, top), left, max(right, left)


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


__all__ = [
    "ELLIPSE",
    "PART_COLUMNS",
    "RECTANGLE",
    "TAIL",
    "Stamp",
    "connected_to",
    "mask_reach",
    "peak_component",
    "silhouette_stamp",
    "stamp_totals",
    "turned_gaussian_stamp",
]
