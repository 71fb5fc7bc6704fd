"""Noise with random access: the normal or Poisson draw of pixel k of a frame follows from the frame's key and k alone.

A generator is asked for one 128-bit key a frame; each pixel then hashes the key and its own index (SplitMix64, Steele,
Lea & Flood, OOPSLA 2014, in counter mode, the second key word folded in between two finalisers). So the noise of a pixel
cannot depend on what the signal is anywhere, a part of a frame can be exposed again with the very same noise, and no
draw is shared between frames. Normals come from the ziggurat of Marsaglia & Tsang (2000, 256 layers), Poisson
counts from the transformed rejection of Hoermann (1993, PTRS); both exact in distribution and in portable arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import portable

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53
_HALF_RANGE = 2147483648.0  # 2^31: a position in a layer is a signed 32-bit integer

_LAYERS = 256
_TAIL = 3.6541528853610088  # start of the tail with 256 layers (Marsaglia & Tsang, J. Stat. Softw. 5(8), 2000)
_AREA = 0.00492867323399  # area of each layer, same source


@dataclass(frozen=True, slots=True)
class GrainKey:
    """128 bits that decide all pixel draws of one frame or one fixed pattern."""

    low: np.uint64
    high: np.uint64


def draw_key(rng: np.random.Generator) -> GrainKey:
    """Draw a key: two 64-bit words of the generator."""
    low, high = rng.integers(0, 2**64, size=2, dtype=np.uint64)
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
    _fill_field(out, sigma, key.low, key.high)
    return out


def _layers() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return edges x_0 > x_1 = tail start > ... > x_256 = 0 of layers of equal area, and exp(-x^2/2) at each."""
    edges, heights = np.zeros(_LAYERS + 1), np.zeros(_LAYERS + 1)
    heights[1] = portable.exp(-0.5 * _TAIL * _TAIL)
    edges[0], edges[1] = _AREA / heights[1], _TAIL
    for layer in range(2, _LAYERS):
        heights[layer] = _AREA / edges[layer - 1] + heights[layer - 1]
        edges[layer] = np.sqrt(-2.0 * portable.log(heights[layer]))
    heights[_LAYERS] = 1.0
    return edges, heights


_EDGES, _HEIGHTS = _layers()
_STEP = _EDGES[:-1] / _HALF_RANGE
_INNER = np.floor(_HALF_RANGE * _EDGES[1:] / _EDGES[:-1])  # positions under the curve whatever the height


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


@numba.njit(cache=True, nogil=True)
def normal_at(low: np.uint64, high: np.uint64, index: np.uint64) -> float:
    """Return the standard normal draw of item ``index`` under a key."""
    return _normal(bits_at(low, high, index))


@numba.njit(cache=True, nogil=True)
def fill_normals(
    out: npt.NDArray[np.float64], scratch: npt.NDArray[np.uint64], low: np.uint64, high: np.uint64, first: np.uint64
) -> None:
    """Write the standard normal draws of consecutive items; equals :func:`normal_at` of each.

    Args:
        out: float64 (n,), overwritten.
        scratch: uint64 (m,), m >= n, overwritten.
        low: First word of the key.
        high: Second word of the key.
        first: Index of the first item.
    """
    for k in range(out.size):
        scratch[k] = bits_at(low, high, first + np.uint64(k))
    for k in range(out.size):
        out[k] = _position(scratch[k]) * _STEP[_layer(scratch[k])]
    num = 0  # never ahead of k, so the list of unfinished items may overwrite the bits it comes from
    for k in range(out.size):
        unfinished = abs(_position(scratch[k])) >= _INNER[_layer(scratch[k])]
        scratch[num] = np.uint64(k)
        num += unfinished
    for k in range(num):
        out[scratch[k]] = _normal(bits_at(low, high, first + scratch[k]))


@numba.njit(cache=True, nogil=True)
def _layer(bits: np.uint64) -> np.uint64:
    return bits & np.uint64(_LAYERS - 1)


@numba.njit(cache=True, nogil=True)
def _position(bits: np.uint64) -> float:
    return np.float64(np.int32(bits >> np.uint64(32)))


@numba.njit(cache=True, nogil=True)
def _normal(bits: np.uint64) -> float:
    while True:
        layer, position = _layer(bits), _position(bits)
        value = float(position * _STEP[layer])
        if abs(position) < _INNER[layer]:
            return value
        bits = next_bits(bits)
        if layer == 0:
            return _tail_normal(bits, position < 0.0)
        height = _HEIGHTS[layer] + unit(bits) * (_HEIGHTS[layer + np.uint64(1)] - _HEIGHTS[layer])
        if height < portable.exp(-0.5 * value * value):
            return value
        bits = next_bits(bits)


@numba.njit(cache=True, nogil=True)
def _tail_normal(bits: np.uint64, negative: bool) -> float:
    """Return a normal beyond the tail start by Marsaglia's (1964) rejection."""
    while True:
        x = portable.log(1.0 - unit(bits)) / _TAIL
        bits = next_bits(bits)
        y = portable.log(1.0 - unit(bits))
        bits = next_bits(bits)
        if -2.0 * y >= x * x:
            return x - _TAIL if negative else _TAIL - x


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
def _fill_field(out: FloatImage, sigma: float, low: np.uint64, high: np.uint64) -> None:
    cols = out.shape[1]
    normals, scratch = np.empty(cols), np.empty(cols, np.uint64)
    for i in range(out.shape[0]):
        fill_normals(normals, scratch, low, high, np.uint64(i * cols))
        for j in range(cols):
            out[i, j] = sigma * normals[j]
