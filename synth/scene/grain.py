"""Noise with random access: the normal or Poisson draw of pixel k of a frame follows from the frame's key and k alone.

A generator is asked for one 128-bit key a frame; each pixel then hashes the key and its own index (SplitMix64, Steele,
Lea & Flood, OOPSLA 2014, in counter mode, the second key word folded in between two finalisers). So the noise of a pixel
cannot depend on what the signal is anywhere, a part of a frame can be exposed again with the very same noise, and no
draw is shared between frames. Normals are those of Box & Muller (1958) in single precision, without a branch, so that
sixteen are made at once: u comes in steps of 2^-31, which ends them at 6.7. Poisson counts come from the transformed
rejection of Hoermann (1993, PTRS). Both in portable arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import portable

RUN = 1024
"""Items best made at once: the room they need stays in the nearest cache (measured: a third faster than rows of 256)."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53

_F32_ZERO, _F32_HALF, _F32_ONE, _F32_TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_F32_LN2 = np.float32(0.6931471805599453)
_F32_TO_QUARTER = np.float32(2.0**-30)
_F32_QUARTER_TURN = np.float32(1.5707963267948966)
_F32_ODD = tuple(np.float32(1.0 / n) for n in range(1, 14, 2))  # atanh(x) = x + x^3/3 + ...
_F32_COS = tuple(np.float32(value) for value in (-1.0 / 2.0, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40320.0))
_F32_SIN = tuple(np.float32(value) for value in (-1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362880.0))


@dataclass(frozen=True, slots=True)
class GrainKey:
    """128 bits that decide all pixel draws of one frame or one fixed pattern."""

    low: np.uint64
    high: np.uint64


def draw_key(rng: np.random.Generator) -> GrainKey:
    """Draw a key: two 64-bit words of the generator."""
    low, high = rng.bit_generator.random_raw(2)
    return GrainKey(low, high)


def normal_field(hw: tuple[int, int], sigma: float, *, key: GrainKey) -> FloatImage:
    """Return independent normals of mean 0.

    Args:
        hw: Rows and columns.
        sigma: Standard deviation.
        key: Key of the field.

    Returns:
        float32 (H, W).
    """
    out = np.empty(hw, np.float32)
    fill_field(out.reshape(-1), sigma, key.low, key.high)
    return out


@numba.njit(cache=True, nogil=True)
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> np.uint64(30))) * _MIX1
    value = (value ^ (value >> np.uint64(27))) * _MIX2
    return value ^ (value >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def bits_at(low: np.uint64, high: np.uint64, index: np.uint64) -> np.uint64:
    """Return 64 random bits of item ``index`` under a key."""
    return _mixed(_mixed(low + index * _GOLDEN) ^ high)


@numba.njit(cache=True, nogil=True)
def next_bits(bits: np.uint64) -> np.uint64:
    """Return further bits of the same item."""
    return _mixed(bits + _GOLDEN)


@numba.njit(cache=True, nogil=True)
def unit(bits: np.uint64) -> float:
    """Return a number in [0, 1) from the upper 53 bits."""
    return np.float64(bits >> np.uint64(11)) * _TO_UNIT


class Bench(NamedTuple):
    """Room to work in, made once for many rows; the kernels make it by :func:`bench_for`.

    Attributes:
        bits: uint64 (m,), random bits of each pair.
        radius: float32 (m,).
        room: float32 (m,), what the steps between keep of each pair.
        pairs: float32 (2 * m,).
    """

    bits: npt.NDArray[np.uint64]
    radius: npt.NDArray[np.float32]
    room: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.float32]


@numba.njit(cache=True, nogil=True)
def bench_for(num_items: int) -> Bench:
    """Return room for runs of at most so many items."""
    num = num_items // 2 + 1
    return Bench(np.empty(num, np.uint64), np.empty(num, np.float32), np.empty(num, np.float32), np.empty(2 * num, np.float32))


@numba.njit(cache=True, nogil=True)
def fill_normals(out: npt.NDArray[np.float32], bench: Bench, low: np.uint64, high: np.uint64, first: np.uint64) -> None:
    """Write the standard normal draws of consecutive items; items 2k and 2k + 1 share the bits of k.

    Args:
        out: float32 (n,), overwritten.
        bench: Of :func:`bench_for` m items, m >= n; overwritten.
        low: First word of the key.
        high: Second word of the key.
        first: Index of the first item.
    """
    odd = np.int64(first & np.uint64(1))
    num = (odd + out.size + 1) // 2
    bits, radius, room, pairs = bench.bits[:num], bench.radius[:num], bench.room[:num], bench.pairs[: 2 * num]
    for k in range(num):
        bits[k] = bits_at(low, high, (first >> np.uint64(1)) + np.uint64(k))
    _fill_radii(radius, room, bits)
    if odd == 0 and out.size == 2 * num:
        _fill_pairs(out, radius, room, bits)
    else:
        _fill_pairs(pairs, radius, room, bits)
        out[:] = pairs[odd : odd + out.size]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # a check for division by zero would keep the loop scalar
def _fill_radii(radius: npt.NDArray[np.float32], halvings: npt.NDArray[np.float32], bits: npt.NDArray[np.uint64]) -> None:
    """Write sqrt(-2 ln u), u = (n + 1/2) / 2^31 of the upper 31 bits n.

    With n = m * 2^e, 1 <= m < 2, and u < 1, -ln u is (30 - e) ln 2 + ln(2/m): no term is negative, so nothing cancels.
    """
    words = radius.view(np.int32)
    for k in range(radius.size):
        radius[k] = np.float32(np.int32(bits[k] >> np.uint64(33))) + _F32_HALF
    for k in range(radius.size):
        halvings[k] = np.float32(np.int32(np.int32(30 + 127) - (words[k] >> np.int32(23))))
        words[k] = np.int32((words[k] & np.int32(0x007FFFFF)) | np.int32(0x3F800000))
    for k in range(radius.size):
        ratio = (_F32_TWO - radius[k]) / (_F32_TWO + radius[k])  # 0..1/3: the series ends below single precision
        square = ratio * ratio
        upper = _F32_ODD[3] + square * (_F32_ODD[4] + square * (_F32_ODD[5] + square * _F32_ODD[6]))
        total = _F32_ODD[0] + square * (_F32_ODD[1] + square * (_F32_ODD[2] + square * upper))
        log = halvings[k] * _F32_LN2 + _F32_TWO * ratio * total
        radius[k] = np.sqrt(_F32_TWO * max(log, _F32_ZERO))


@numba.njit(cache=True, nogil=True)
def _fill_pairs(
    pairs: npt.NDArray[np.float32],
    radius: npt.NDArray[np.float32],
    room: npt.NDArray[np.float32],
    bits: npt.NDArray[np.uint64],
) -> None:
    """Write both coordinates of points at the radii: 30 bits place them within a quarter turn, 2 bits choose the quarter.

    Words of four bytes stay so wide in ``room``, as large as ``radius`` and overwritten: integers widen unless told otherwise.
    """
    words = room.view(np.int32)
    for k in range(radius.size):
        words[k] = np.int32(bits[k] & np.uint64(0xFFFFFFFF))
    for k in range(radius.size):
        word = words[k]
        quarters = np.float32(np.int32(word >> np.int32(2))) * _F32_TO_QUARTER  # a signed word: -1/2..1/2
        angle = quarters * _F32_QUARTER_TURN
        square = angle * angle
        cosine = _F32_ONE + square * (_F32_COS[0] + square * (_F32_COS[1] + square * (_F32_COS[2] + square * _F32_COS[3])))
        sine = _F32_SIN[0] + square * (_F32_SIN[1] + square * (_F32_SIN[2] + square * _F32_SIN[3]))
        sine = angle * (_F32_ONE + square * sine)
        swap = np.float32(np.int32(word & np.int32(1)))
        signed = radius[k] * (_F32_ONE - np.float32(np.int32(word & np.int32(2))))
        pairs[2 * k] = signed * (cosine + swap * (sine - cosine))
        pairs[2 * k + 1] = signed * (sine + swap * (cosine - sine))


@numba.njit(cache=True, nogil=True)
def poisson_at(mean: float, low: np.uint64, high: np.uint64, index: np.uint64) -> float:
    """Return the Poisson draw of item ``index`` under a key, mean >= 0."""
    bits = bits_at(low, high, index)
    return _poisson_ptrs(mean, bits) if mean >= 10.0 else _poisson_product(mean, bits)


@numba.njit(cache=True, nogil=True)
def _poisson_product(mean: float, bits: np.uint64) -> float:
    """Count how many uniforms multiply to less than e^-mean."""
    limit, product, count = portable.exp(-mean), unit(bits), 0.0
    while product > limit:
        bits = next_bits(bits)
        product *= unit(bits)
        count += 1.0
    return count


@numba.njit(cache=True, nogil=True)
def _poisson_ptrs(mean: float, bits: np.uint64) -> float:
    """Transformed rejection with squeeze, constants as published (Hoermann 1993)."""
    b = 0.931 + 2.53 * np.sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_scale = portable.log(1.1239 + 1.1328 / (b - 3.4))
    squeeze = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = portable.log(mean)
    while True:
        u = unit(bits) - 0.5
        bits = next_bits(bits)
        v = unit(bits)
        bits = next_bits(bits)
        us = 0.5 - abs(u)
        if us <= 0.0 or v <= 0.0:
            continue
        k = float(np.floor((2.0 * a / us + b) * u + mean + 0.43))
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if portable.log(v) + log_scale - portable.log(a / (us * us) + b) <= k * log_mean - mean - _log_factorial(k):
            return k


@numba.njit(cache=True, nogil=True)
def _log_factorial(k: float) -> float:
    """Return ln k! by Stirling's series of ln Gamma after stepping up to x >= 10; error below 1e-12."""
    x, shift = k + 1.0, 1.0
    while x < 10.0:
        shift *= x
        x += 1.0
    inverse = 1.0 / (x * x)
    series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x
    return (x - 0.5) * portable.log(x) - x + 0.9189385332046727 + series - portable.log(shift)


@numba.njit(cache=True, nogil=True)
def fill_field(out: npt.NDArray[np.float32], sigma: float, low: np.uint64, high: np.uint64) -> None:
    """Write independent normals of a deviation under a key into float32 (n,)."""
    scale, bench = np.float32(sigma), bench_for(min(out.size, RUN))
    for first in range(0, out.size, RUN):
        run = out[first : first + RUN]
        fill_normals(run, bench, low, high, np.uint64(first))
        for k in range(run.size):
            run[k] *= scale
