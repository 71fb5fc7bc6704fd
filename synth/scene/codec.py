"""A block codec for the view: what JPEG does to a grey image at a quality, without its file format.

Blocks of 8x8 px are transformed by the orthonormal DCT, divided by the luminance table of ITU-T T.81 (annex K.1) scaled to a
quality as libjpeg does (Independent JPEG Group, jcparam.c), rounded, and transformed back. Everything is integer arithmetic
with 14-bit cosines, so the bytes are the same on every machine and with every version of every library; libjpeg rounds its
cosines more coarsely, so that some coefficients next to a tie fall to the other side. Blocks that reach
beyond the frame have its last pixels repeated.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
import numpy.typing as npt

GreyLevels = npt.NDArray[np.uint8]
Steps = npt.NDArray[np.int64]

BLOCK_PX = 8

_LUMINANCE = np.array(
    (
        (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
    ), np.int64,
)  # fmt: skip

_COSINE_BITS = 14
_COSINES = np.array(
    (
        (5793, 5793, 5793, 5793, 5793, 5793, 5793, 5793), (8035, 6811, 4551, 1598, -1598, -4551, -6811, -8035),
        (7568, 3135, -3135, -7568, -7568, -3135, 3135, 7568), (6811, -1598, -8035, -4551, 4551, 8035, 1598, -6811),
        (5793, -5793, -5793, 5793, 5793, -5793, -5793, 5793), (4551, -8035, 1598, 6811, -6811, -1598, 8035, -4551),
        (3135, -7568, 7568, -3135, -3135, 7568, -7568, 3135), (1598, -4551, 6811, -8035, 8035, -6811, 4551, -1598),
    ), np.int64,
)  # fmt: skip
"""Row k: round(2^14 * c_k * cos((2n + 1) k pi / 16)), c_0 = sqrt(1/8), else 1/2."""


@functools.lru_cache(maxsize=100)
def quantisation_steps(quality: int) -> Steps:
    """Return the step of every coefficient, int64 (8, 8), 1..255.

    Args:
        quality: 1..100.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: Steps = np.clip((_LUMINANCE * scale + 50) // 100, 1, 255)
    steps.flags.writeable = False
    return steps


def code_blocks(grey: GreyLevels, quality: int, origin: tuple[int, int] = (0, 0)) -> GreyLevels:
    """Return an image as a block codec gives it back, uint8, same shape.

    Args:
        grey: uint8 (H, W).
        quality: 1..100.
        origin: First row and column of the image within a block, 0..7 each: it was cut out of a coded one.
    """
    return _code(np.ascontiguousarray(grey), quantisation_steps(quality), _COSINES, *origin)


@numba.njit(cache=True, nogil=True)
def _code(grey: GreyLevels, steps: Steps, cosines: Steps, down: int, right: int) -> GreyLevels:
    rows, cols = grey.shape
    out = np.empty((rows, cols), np.uint8)
    block, half, coefficients = np.empty((8, 8), np.int64), np.empty((8, 8), np.int64), np.empty((8, 8), np.int64)
    one = np.int64(1) << (2 * _COSINE_BITS - 1)
    for top in range(-down, rows, BLOCK_PX):
        for left in range(-right, cols, BLOCK_PX):
            for i in range(8):
                for j in range(8):
                    row, col = min(max(top + i, 0), rows - 1), min(max(left + j, 0), cols - 1)
                    block[i, j] = np.int64(grey[row, col]) - 128
            _multiply(cosines, block, False, half)
            _multiply(half, cosines, True, coefficients)
            for i in range(8):
                for j in range(8):
                    coefficients[i, j] = _rounded(coefficients[i, j], steps[i, j]) * steps[i, j]
            _multiply_transposed(cosines, coefficients, half)
            _multiply(half, cosines, False, block)
            for i in range(max(-top, 0), min(8, rows - top)):
                for j in range(max(-left, 0), min(8, cols - left)):
                    level = ((block[i, j] + one) >> (2 * _COSINE_BITS)) + 128
                    out[top + i, left + j] = np.uint8(min(max(level, 0), 255))
    return out


@numba.njit(cache=True, nogil=True)
def _rounded(scaled: int, step: int) -> int:
    """Return a coefficient, scaled by 2^28, over its step, rounded half away from 0."""
    unit = np.int64(step) << (2 * _COSINE_BITS)
    return int((abs(scaled) + (unit >> 1)) // unit) * (1 if scaled >= 0 else -1)


@numba.njit(cache=True, nogil=True)
def _multiply(a: Steps, b: Steps, is_transposed: bool, out: Steps) -> None:
    """Write a @ b, or a @ b.T, of 8x8 matrices into ``out``."""
    for i in range(8):
        for j in range(8):
            total = np.int64(0)
            for k in range(8):
                total += a[i, k] * (b[j, k] if is_transposed else b[k, j])
            out[i, j] = total


@numba.njit(cache=True, nogil=True)
def _multiply_transposed(a: Steps, b: Steps, out: Steps) -> None:
    """Write a.T @ b of 8x8 matrices into ``out``."""
    for i in range(8):
        for j in range(8):
            total = np.int64(0)
            for k in range(8):
                total += a[k, i] * b[k, j]
            out[i, j] = total
