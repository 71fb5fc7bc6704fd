"""Elementary functions from exactly rounded operations alone, so that a frame has the same bytes on every machine.

The exp, log, pow and sin of numpy and of C libraries change their last bits with the instruction set of the processor.
Addition, multiplication, division and square root do not (IEEE 754), nor do the compiled kernels here, which are built
without ``fastmath`` and therefore keep the written order of operations. Errors are below 1e-14 in the ranges used.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

_LN2 = 0.6931471805599453
_PI = 3.141592653589793
_BY_LN2 = 1.0 / _LN2
_EXP_EVEN = tuple(1.0 / math.factorial(n) for n in range(0, 15, 2))  # x^15/15! is below 1e-19 for |x| <= ln 2 / 2
_EXP_ODD = tuple(1.0 / math.factorial(n) for n in range(1, 14, 2))
_BY_ODD = np.array([1.0 / (2 * n + 1) for n in range(256)])  # the series of erf ends within 200 terms for |x| <= 6
_TWO_OVER_SQRT_PI = 1.1283791670955126
_SERIES_TERMS = 18  # x^18/18! is below 1e-17 on the reduced range |x| <= pi/4


@numba.njit(cache=True, nogil=True)
def exp(x: float) -> float:
    """Return e^x for x < 700, 0 below -708: take out powers of two, then the Taylor series, even and odd powers side by side."""
    doublings = int(np.floor(x * _BY_LN2 + 0.5))
    if doublings < -1021:
        return 0.0
    rest = x - doublings * _LN2
    square = rest * rest
    even, odd = _EXP_EVEN[7], _EXP_ODD[6]
    for n in range(6, -1, -1):
        even = _EXP_EVEN[n] + square * even
    for n in range(5, -1, -1):
        odd = _EXP_ODD[n] + square * odd
    power = np.int64((1023 + doublings) << 52).view(np.float64)
    return float((even + rest * odd) * power)


_F32_BY_LN2, _F32_LN2, _F32_ONE = np.float32(1.0 / _LN2), np.float32(_LN2), np.float32(1.0)
_F32_INVERSE = tuple(np.float32(1.0 / n) for n in range(1, 8))


@numba.njit(cache=True, nogil=True)
def decay(values: npt.NDArray[np.float32], room: npt.NDArray[np.float32]) -> None:
    """Replace each value x, 0 <= x <= 80, by e^-x to single precision, 3e-7 of it for x < 7; :func:`exp` for many at a time.

    Args:
        values: float32 (n,), changed.
        room: float32 (n,), overwritten.
    """
    words = room.view(np.int32)
    for k in range(values.size):
        halvings = np.int32(values[k] * _F32_BY_LN2 + np.float32(0.5))
        words[k] = np.int32(127 - halvings) << np.int32(23)
        values[k] -= np.float32(halvings) * _F32_LN2
    for k in range(values.size):
        x, total = -values[k], _F32_ONE
        for n in range(6, -1, -1):
            total = _F32_ONE + total * (x * _F32_INVERSE[n])
        values[k] = total * room[k]


@numba.njit(cache=True, nogil=True)
def log(x: float) -> float:
    """Return the natural logarithm of x > 0: scale into [2/3, 4/3], then 2*atanh((x - 1)/(x + 1))."""
    doublings = 0
    while x > 4.0 / 3.0:
        x *= 0.5
        doublings += 1
    while x < 2.0 / 3.0:
        x *= 2.0
        doublings -= 1
    ratio = (x - 1.0) / (x + 1.0)
    square = ratio * ratio
    total = 0.0
    for n in range(25, 0, -2):
        total = 1.0 / n + total * square
    return doublings * _LN2 + 2.0 * ratio * total


@numba.njit(cache=True, nogil=True)
def erf(x: float) -> float:
    """Return the error function by 2/sqrt(pi) * e^(-x^2) * sum of (2x^2)^n * x / (2n+1)!! (DLMF 7.6.2)."""
    if x > 6.0:
        return 1.0
    if x < -6.0:
        return -1.0
    term = x
    total = x
    growth = 2.0 * x * x
    n = 0
    while abs(term) > 1e-17 * abs(total):
        n += 1
        term *= growth * _BY_ODD[n]
        total += term
    return _TWO_OVER_SQRT_PI * exp(-x * x) * total


@numba.njit(cache=True, nogil=True)
def cos_sin(turns: float) -> tuple[float, float]:
    """Return cosine and sine of an angle in turns (1 turn = 2*pi rad), 0 <= turns <= 1."""
    eighth = int(turns * 8.0 + 0.5)
    angle = (turns - eighth / 8.0) * 2.0 * _PI
    cosine, sine = 1.0, 1.0
    for n in range(_SERIES_TERMS, 0, -2):
        cosine = 1.0 - cosine * angle * angle / (n * (n - 1))
        sine = 1.0 - sine * angle * angle / (n * (n + 1))
    sine *= angle
    half = 0.7071067811865476
    for _ in range(eighth):
        cosine, sine = (cosine - sine) * half, (cosine + sine) * half
    return cosine, sine


@numba.njit(cache=True, nogil=True)
def sinc(x: float) -> float:
    """Return sin(pi*x)/(pi*x) for |x| <= 1, the transform of a unit pixel at x cycles/px."""
    angle = _PI * x
    total = 1.0
    for n in range(2 * _SERIES_TERMS, 0, -2):
        total = 1.0 - total * angle * angle / (n * (n + 1))
    return total
