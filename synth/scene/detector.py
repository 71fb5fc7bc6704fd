"""The detector: from noise-free levels to raw counts, in the order noise, fixed pattern, defects, rails, ADC, correction.

Noise comes after the optics, so it is never blurred, and hot pixels have no PSF. The noise of a frame is decided by its
generator before any signal is seen: a frame with and without its targets differs only where the targets are, and a
window can be exposed again, with another amplitude, under the very same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import grain, portable
from synth.scene.badpixels import DEAD, DefectMap
from synth.scene.camera import VirtualCamera
from synth.scene.frame_noise import FrameNoise, draw_noise
from synth.scene.noise_members import NOISE_MEMBERS, PixelLaw, add_pixel_noise, noise_sigma_dn
from synth.scene.sensor_config import SensorConfig

__all__ = [
    "NOISE_MEMBERS", "Exposure", "FrameNoise", "VirtualCamera", "digitise", "draw_noise", "expose", "lag_share",
    "noise_sigma_dn", "respond",
]  # fmt: skip

RawLevels = npt.NDArray[np.uint16]
Box = tuple[int, int, int, int]
"""Half-open (row0, col0, row1, col1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One raw frame.

    Attributes:
        raw: uint16 (H, W), 0..2^bits - 1.
        saturated_px: Pixels that met a rail, before correction and replacement; stuck ones do not count.
    """

    raw: RawLevels
    saturated_px: int


class _Chain(NamedTuple):
    """What the kernels need of camera and frame; maps are float32 as in :class:`VirtualCamera`."""

    law: PixelLaw
    pattern: FloatImage
    gain: FloatImage
    nuc_rows: FloatImage
    nuc_columns: FloatImage
    rows: npt.NDArray[np.float32]
    columns: npt.NDArray[np.float32]
    low: np.uint64
    high: np.uint64
    offset: float
    rail: float
    top: float


def respond(kelvin: FloatImage, sensor: SensorConfig) -> FloatImage:
    """Return noise-free raw levels, float32 (H, W), of an apparent temperature relative to T0 in K."""
    return np.float32(sensor.gain_dn_per_k) * kelvin + np.float32(sensor.offset_dn)


def lag_share(sensor: SensorConfig) -> float:
    """Return the share a bolometer gains on a change within one frame, 1 - exp(-1/(f*tau)); 1 without a time constant.

    S_k = S_(k-1) + share * (x_k - S_(k-1)), applied to the signal before :func:`respond` (physics section 9).
    """
    if sensor.time_constant_ms == 0.0:
        return 1.0
    return 1.0 - float(portable.exp(-1e3 / (sensor.frame_rate_hz * sensor.time_constant_ms)))


def expose(signal_dn: FloatImage, camera: VirtualCamera, *, rng: np.random.Generator) -> Exposure:
    """Take one frame.

    Args:
        signal_dn: float32 (H, W) noise-free raw levels after optics, offset included.
        camera: The camera.
        rng: Noise stream of the frame, ``keyed_generator(seed, Stream.NOISE, index)``.

    Returns:
        The raw frame.
    """
    return digitise(signal_dn, camera, draw_noise(camera, rng=rng))


def digitise(signal_dn: FloatImage, camera: VirtualCamera, noise: FrameNoise, window: Box | None = None) -> Exposure:
    """Convert a signal, or a window of it, under given noise.

    Args:
        signal_dn: float32, the frame (H, W) or the window of it.
        camera: The camera.
        noise: The frame's draws.
        window: Position of ``signal_dn`` in the frame; default: the frame. A replaced defect on the window's border may
            miss good neighbours that lie outside.

    Returns:
        Counts of the shape of ``signal_dn``.
    """
    row0, col0, row1, col1 = window or (0, 0, *camera.frame_hw)
    if signal_dn.shape != (row1 - row0, col1 - col0):
        raise ValueError(f"signal_dn must have the shape of its window {(row1 - row0, col1 - col0)}, got {signal_dn.shape}")
    raw: RawLevels = np.empty(signal_dn.shape, np.uint16)
    sensor = camera.sensor
    rail, top = sensor.rail_dn, float(sensor.raw_max)
    chain = (
        camera.pattern_dn, camera.gain, camera.nuc_row_dn, camera.nuc_column_dn, noise.row_dn, noise.column_dn,
        noise.key.low, noise.key.high, sensor.offset_dn, rail, top,
    )  # fmt: skip
    saturated = _convert(np.ascontiguousarray(signal_dn), row0, col0, tuple(camera.law), chain, raw)
    defects = camera.defects
    inside = _defects_inside(defects, window, camera.frame_hw)
    if defects.pixels[inside].size:
        pixels, kinds, cols = defects.pixels[inside], defects.kinds[inside], camera.frame_hw[1]
        nuc, levels = (camera.nuc_row_dn, camera.nuc_column_dn), noise.defect_dn[inside]
        saturated += _spoil(*nuc, row0, col0, cols, pixels, kinds, levels, rail, top, raw)
        _replace(raw, row0, col0, cols, pixels, defects.neighbours[inside])
    return Exposure(raw, int(saturated))


def _defects_inside(defects: DefectMap, window: Box | None, hw: tuple[int, int]) -> npt.NDArray[np.int64] | slice:
    """Return the positions in the map of the defects inside a window."""
    if window is None:
        return slice(None)
    rows, cols = defects.pixels // hw[1], defects.pixels % hw[1]
    row0, col0, row1, col1 = window
    return np.flatnonzero((rows >= row0) & (rows < row1) & (cols >= col0) & (cols < col1))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _convert(
    signal: FloatImage, row0: int, col0: int, law: tuple[Any, ...], maps_and_levels: tuple[Any, ...], raw: RawLevels
) -> int:
    """Steps 8, 9 and 11-13 for every pixel; returns the number that met a rail.

    The last two tuples are a :class:`PixelLaw` and the rest of a :class:`_Chain`: plain ones reach a kernel three times as fast.
    """
    chain = _Chain(PixelLaw(*law), *maps_and_levels)
    rows, cols = signal.shape
    at_once = max(grain.RUN // cols, 1) if cols == chain.pattern.shape[1] else 1  # rows of a window do not adjoin
    normals, bench = np.empty((at_once, cols), np.float32), grain.bench_for(at_once * cols)
    saturated = 0
    for i in range(0, rows, at_once):
        run, first = signal[i : i + at_once], np.uint64((row0 + i) * chain.pattern.shape[1] + col0)
        values = normals[: run.shape[0]]
        grain.fill_normals(values.reshape(-1), bench, chain.low, chain.high, first)
        add_pixel_noise(chain.law, run.reshape(-1), chain.low, chain.high, first, values.reshape(-1))
        for k in range(run.shape[0]):
            saturated += _finish(values, k, signal, i + k, row0, col0, chain, raw)
    return saturated


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _finish(
    values: FloatImage, value_row: int, signal: FloatImage, signal_row: int, row0: int, col0: int, chain: _Chain, out: RawLevels
) -> int:
    """Add the fixed pattern to a row, clip, round and correct; returns the number that met a rail.

    Places are unsigned: none counts from the end, so the loop is a vector's, and no slice has to be made for it.
    """
    line, i, row, left = np.uint64(value_row), np.uint64(signal_row), np.uint64(row0 + signal_row), np.uint64(col0)
    gain_row = np.uint64((row0 + signal_row) % chain.gain.shape[0])
    pattern, columns, gain, nuc = chain.pattern, chain.columns, chain.gain, chain.nuc_columns
    along, nuc_along = chain.rows[row], chain.nuc_rows[row, 0]
    offset, zero, rail, top = np.float32(chain.offset), np.float32(0.0), np.float32(chain.rail), np.float32(chain.top)
    saturated = np.int32(0)  # as wide as a pixel's value, so that the loop stays a vector's
    for j in range(np.uint64(out.shape[1])):
        col = left + j
        value = values[line, j] + (pattern[row, col] + (along + columns[col])) + gain[gain_row, col] * (signal[i, j] - offset)
        saturated = np.int32(saturated + (np.int32(value < zero) | np.int32(value > rail)))
        value = np.rint(min(max(value, zero), rail))
        out[i, j] = np.uint16(np.int32(min(max(np.rint(value + (nuc_along + nuc[0, col])), zero), top)))
    return int(saturated)


@numba.njit(cache=True, nogil=True)
def _spoil(
    nuc_rows: FloatImage,
    nuc_columns: FloatImage,
    row0: int,
    col0: int,
    cols: int,
    pixels: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int64],
    defect_dn: npt.NDArray[np.float64],
    rail: float,
    top: float,
    raw: RawLevels,
) -> int:
    """Step 10 for the defects, on counts that steps 11-13 have seen; returns by how many pixels they change those at a rail."""
    change = 0
    for k in range(pixels.size):
        row, col = pixels[k] // cols, pixels[k] % cols
        residual = np.float64(nuc_rows[row, 0] + nuc_columns[0, col])
        counted = np.rint(raw[row - row0, col - col0] - residual)
        change -= (counted <= 0.0) | (counted >= np.rint(rail))
        if kinds[k] == DEAD:
            raw[row - row0, col - col0] = np.uint16(np.rint(min(defect_dn[k], rail)))
        else:
            counted += defect_dn[k]
            change += (counted < 0.0) | (counted > rail)
            counted = np.rint(min(max(counted, 0.0), rail))
            raw[row - row0, col - col0] = np.uint16(min(max(np.rint(counted + residual), 0.0), top))
    return change


@numba.njit(cache=True, nogil=True)
def _replace(
    raw: RawLevels, row0: int, col0: int, cols: int, pixels: npt.NDArray[np.int64], neighbours: npt.NDArray[np.int64]
) -> None:
    """Give every known defect the (upper) median of its good neighbours."""
    near = np.empty(neighbours.shape[1], np.uint16)
    for k in range(pixels.size):
        num = 0
        for pixel in neighbours[k]:
            i, j = pixel // cols - row0, pixel % cols - col0
            if pixel >= 0 and 0 <= i < raw.shape[0] and 0 <= j < raw.shape[1]:
                at = num
                while at > 0 and near[at - 1] > raw[i, j]:
                    near[at] = near[at - 1]
                    at -= 1
                near[at] = raw[i, j]
                num += 1
        if num > 0:
            raw[pixels[k] // cols - row0, pixels[k] % cols - col0] = near[num // 2]
