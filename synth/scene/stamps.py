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
from synth.scene.psf import SUPERSAMPLING

PART_COLUMNS = 8
"""Columns of a part of a silhouette: row, col, half length, half width, turns, warmth, shape, tail fall."""

ELLIPSE, RECTANGLE, TAIL = 0.0, 1.0, 2.0
"""Shapes of a part. A tail starts at (row, col), runs along its direction for twice the half length and widens to its
half width while its warmth falls as (1 - share)^fall."""

_Line = npt.NDArray[np.float64]
_Fine = npt.NDArray[np.float64]

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
    values, ratios = np.zeros(side * finer), np.zeros(side * finer)
    first = 0.5 * step - 0.5 - side // 2
    x = first - col
    for i in range(side * finer):
        y = first + i * step - row
        exponent = 0.5 * (rows_weight * y * y + cols_weight * x * x) + cross * x * y
        if exponent <= 600.0:  # beyond, every share is too small to represent, and portable.exp out of its range
            values[i] = norm * portable.exp(-exponent)
            ratios[i] = portable.exp(-(cols_weight * (x * step + 0.5 * step * step) + cross * y * step))
    return _summed(values, ratios, curve, side, finer)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _summed(
    values: npt.NDArray[np.float64], ratios: npt.NDArray[np.float64], curve: float, side: int, finer: int
) -> npt.NDArray[np.float64]:
    """Sum samples over the pixels; every line of samples goes on by its own products, all lines side by side."""
    out, sums = np.zeros((side, side)), np.empty(values.size)
    for col in range(side):
        sums[:] = 0.0
        for _ in range(finer):
            for i in range(values.size):
                sums[i] += values[i]
                values[i] *= ratios[i]
                ratios[i] *= curve
        for i in range(values.size):
            out[i // finer, col] += sums[i]
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
    top, bottom, left, right = fine, 0, fine, 0
    for k in range(parts.shape[0]):
        rows, cols = _paint_part(warm, cover, parts[k], row + side // 2, col + side // 2)
        top, bottom, left, right = min(top, rows[0]), max(bottom, rows[1]), min(left, cols[0]), max(right, cols[1])
    weights, extent = _pixel_weights(sigma_px), (top, max(bottom, top), left, max(right, left))
    return _to_pixels(warm, weights, side, extent), _to_pixels(cover, weights, side, extent)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint_part(
    warm: npt.NDArray[np.float64], cover: npt.NDArray[np.float64], part: npt.NDArray[np.float64], row: float, col: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Paint a part; return the half-open rows and columns outside which nothing has changed."""
    reach, turn = (2.0 * part[2] if part[6] == TAIL else part[2]) + part[3], portable.cos_sin(part[4])
    rows = _fine_range(row + part[0], reach, warm.shape[0])
    cols = _fine_range(col + part[1], reach, warm.shape[1])
    x = np.empty(max(cols[1] - cols[0], 0))
    for j in range(x.size):
        x[j] = (cols[0] + j + 0.5) / SUPERSAMPLING - 0.5 - (col + part[1])
    for i in range(rows[0], rows[1]):
        y = (i + 0.5) / SUPERSAMPLING - 0.5 - (row + part[0])
        if part[6] == TAIL:
            _paint_tail_row(warm[i, cols[0] : cols[1]], cover[i, cols[0] : cols[1]], part, turn, y, x)
        else:
            _paint_body_row(warm[i, cols[0] : cols[1]], cover[i, cols[0] : cols[1]], part, turn, y, x)
    return rows, cols


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint_body_row(warm: _Line, cover: _Line, part: _Line, turn: tuple[float, float], y: float, x: _Line) -> None:
    """Paint part of a row of an ellipse or rectangle of even warmth; y and x are px from its centre, turn its cosine and sine."""
    cosine, sine = turn
    by_half, by_width, warmth, is_round = 1.0 / part[2], 1.0 / part[3], part[5], part[6] == ELLIPSE
    for j in range(x.size):
        along, across = (cosine * x[j] + sine * y) * by_half, (cosine * y - sine * x[j]) * by_width
        a, b = along * along, across * across
        inside = 1.0 if (a + b if is_round else max(a, b)) <= 1.0 else 0.0
        warm[j] = max(warm[j], inside * warmth)
        cover[j] = max(cover[j], inside)


@numba.njit(cache=True, nogil=True)
def _paint_tail_row(warm: _Line, cover: _Line, part: _Line, turn: tuple[float, float], y: float, x: _Line) -> None:
    """Paint part of a row of a tail; y and x are px from its start, turn its cosine and sine."""
    cosine, sine = turn
    for j in range(x.size):
        along, across = (cosine * x[j] + sine * y) / part[2], abs(cosine * y - sine * x[j]) / part[3]
        if 0.0 <= along <= 2.0 and across <= 0.35 + 0.325 * along:
            warmth = part[5] * _power(1.0 - 0.5 * along, part[7])
            warm[j] = max(warm[j], warmth)
            cover[j] = max(cover[j], min(2.0 * warmth, 1.0))


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
    integral = np.empty(half + SUPERSAMPLING)  # of the Gaussian, at every place a pixel's border takes beside a sub-pixel
    for k in range(integral.size):
        integral[k] = 0.5 * portable.erf((k - SUPERSAMPLING // 2 + 0.5) / SUPERSAMPLING * scale)
    weights = np.empty(2 * half)
    for k in range(half):
        weights[half + k] = weights[half - 1 - k] = (integral[k + SUPERSAMPLING] - integral[k]) / SUPERSAMPLING
    return weights


@numba.njit(cache=True, nogil=True)
def _to_pixels(fine: _Fine, weights: _Line, side: int, extent: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
    """Average sub-pixels into pixels with a separable weight table; the middle of pixel p is sub-pixel 4p + 1.5.

    ``extent`` is the half-open rows and columns outside which all sub-pixels are 0.
    """
    half = weights.size // 2
    top, bottom, left, right = extent
    line = np.empty(right - left)
    columns = np.empty((right - left, side))  # transposed, so that the second pass runs along it
    for p in range(side):
        first = p * SUPERSAMPLING + SUPERSAMPLING // 2 - half
        line[:] = 0.0
        _add_weighted(line, weights, fine[:, left:right], first, max(0, top - first), min(2 * half, bottom - first))
        columns[:, p] = line
    out = np.zeros((side, side))
    for q in range(side):
        first = q * SUPERSAMPLING + SUPERSAMPLING // 2 - half - left
        _add_weighted(out[q], weights, columns, first, max(0, -first), min(2 * half, right - left - first))
    return out.T.copy()


@numba.njit(cache=True, nogil=True)
def _add_weighted(target: _Line, weights: _Line, rows: npt.NDArray[np.float64], first: int, begin: int, end: int) -> None:
    """Add row ``first + k`` times weight k for begin <= k < end, four rows in a pass."""
    k = begin
    while k + 4 <= end:
        a, b, c, d = rows[first + k], rows[first + k + 1], rows[first + k + 2], rows[first + k + 3]
        for j in range(target.size):
            target[j] += (weights[k] * a[j] + weights[k + 1] * b[j]) + (weights[k + 2] * c[j] + weights[k + 3] * d[j])
        k += 4
    for rest in range(k, end):
        row = rows[first + rest]
        for j in range(target.size):
            target[j] += weights[rest] * row[j]
