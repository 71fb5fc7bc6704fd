"""Windows of seamless sheets, mirrored and standardised."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Sheet = npt.NDArray[np.int16]
"""int16 (S, S), opposite borders match."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cut_window(sheet: Sheet, row: int, col: int, mirror: int, rows: int, cols: int) -> npt.NDArray[np.float32]:
    """Cut a window out of a seamless sheet and standardise it.

    Args:
        sheet: int16 (S, S).
        row: First row, wraps round.
        col: First column, wraps round.
        mirror: Bit 0 mirrors the rows, bit 1 the columns.
        rows: Rows of the window.
        cols: Columns of the window.

    Returns:
        float32 (rows, cols) with mean 0 and standard deviation 1, as estimated from every fourth row.
    """
    out = np.empty((rows, cols), np.float32)
    side = sheet.shape[0]
    shift, scale = _standard(sheet, row, col, rows, cols)
    head = min(cols, side - col)
    for i in range(rows):
        source = sheet[(row + i) % side]
        target = out[rows - 1 - i] if mirror & 1 else out[i]
        if mirror & 2:
            _shift_scale_back(target[cols - head :], source[col : col + head], shift, scale)
            _shift_scale_back(target[: cols - head], source[: cols - head], shift, scale)
        else:
            _shift_scale(target[:head], source[col : col + head], shift, scale)
            _shift_scale(target[head:], source[: cols - head], shift, scale)
    return out


@numba.njit(cache=True, nogil=True)
def _shift_scale(target: npt.NDArray[np.float32], source: Sheet, shift: np.float32, scale: np.float32) -> None:
    for j in range(target.size):
        target[j] = (np.float32(source[j]) - shift) * scale


@numba.njit(cache=True, nogil=True)
def _shift_scale_back(target: npt.NDArray[np.float32], source: Sheet, shift: np.float32, scale: np.float32) -> None:
    last = np.uint64(target.size - 1)  # unsigned, so that no position counts from the end and the loop stays a vector's
    for j in range(target.size):
        target[j] = (np.float32(source[last - np.uint64(j)]) - shift) * scale


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _standard(sheet: Sheet, row: int, col: int, rows: int, cols: int) -> tuple[np.float32, np.float32]:
    """Return mean and inverse deviation of every fourth row of a window, from exact sums."""
    side = sheet.shape[0]
    head = min(cols, side - col)
    total, squares, num = 0, 0, 0
    for i in range(0, rows, 4):
        source = sheet[(row + i) % side]
        num += cols
        for part in (source[col : col + head], source[: cols - head]):
            for j in range(part.size):
                value = int(part[j])
                total += value
                squares += value * value
    mean = total / num
    variance = max(squares / num - mean * mean, 1e-30)
    return np.float32(mean), np.float32(1.0 / np.sqrt(variance))
