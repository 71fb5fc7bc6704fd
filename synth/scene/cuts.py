"""Windows of seamless sheets, mirrored and standardised."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage

Sheet = npt.NDArray[np.int16]
"""int16 (S, S), opposite borders match."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cut_window(sheet: Sheet, row: int, col: int, mirror: int, rows: int, cols: int) -> FloatImage:
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
        at, to = (row + i) % side, rows - 1 - i if mirror & 1 else i
        if mirror & 2:
            _shift_scale_back(out, to, cols - head, sheet, at, col, head, shift, scale)
            _shift_scale_back(out, to, 0, sheet, at, 0, cols - head, shift, scale)
        else:
            _shift_scale(out, to, 0, sheet, at, col, head, shift, scale)
            _shift_scale(out, to, head, sheet, at, 0, cols - head, shift, scale)
    return out


@numba.njit(cache=True, nogil=True)
def _shift_scale(
    out: FloatImage, to: int, left: int, sheet: Sheet, at: int, first: int, num: int, shift: np.float32, scale: np.float32
) -> None:
    """Write ``num`` values of row ``at`` of a sheet, from column ``first`` on, into row ``to`` from column ``left`` on.

    Unsigned places of whole arrays: none counts from the end, so the loop is a vector's, and no slice has to be made for it.
    """
    row, source, start, begin = np.uint64(to), np.uint64(at), np.uint64(left), np.uint64(first)
    for j in range(np.uint64(num)):
        out[row, start + j] = (np.float32(sheet[source, begin + j]) - shift) * scale


@numba.njit(cache=True, nogil=True)
def _shift_scale_back(
    out: FloatImage, to: int, left: int, sheet: Sheet, at: int, first: int, num: int, shift: np.float32, scale: np.float32
) -> None:
    """Do the same from the last value to the first."""
    row, source, start, last = np.uint64(to), np.uint64(at), np.uint64(left), np.uint64(first + num - 1)
    for j in range(np.uint64(num)):
        out[row, start + j] = (np.float32(sheet[source, last - j]) - shift) * scale


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
