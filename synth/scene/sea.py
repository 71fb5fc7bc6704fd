"""Sea regime: waves in perspective, horizon and coast.

The wave texture is skewed (sea clutter is near-Gaussian to K-distributed: Bernhardt et al., SPIE 5431, 2004).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.clutter import power_law_profile, smoothstep
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.layers import paint_ridge
from synth.scene.sheets import FieldSource
from synth.scene.sky import elevation_gradient

_FINE_STEP = np.float32(1.0 / 65536.0)


def sea(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> tuple[FloatImage, float, float]:
    """Render a sea surface, with a horizon in most frames; glints are hard negatives (:mod:`synth.scene.impostors`).

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K; the row of the horizon, negative above the canvas; and the deviation of
        the waves, K.
    """
    rows, cols = hw
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.3, 3.0))
    horizon = rows * (uniform(rng, 0.08, 0.55) if chance(rng, 0.7) else -uniform(rng, 0.1, 1.0))
    waves = fields.tile(
        rng, hw=hw, beta=uniform(rng, 2.0, 3.2), f0=log_uniform(rng, 1 / 60, 1 / 14), stretch=uniform(rng, 2.0, 7.0)
    )
    surface = perspective(waves.texture, rows, cols, horizon, uniform(rng, 0.15, 0.5), waves.row, waves.col, waves.unit)
    swell = fields.field(rng, hw=hw, beta=3.0, f0=1 / 200, stretch=uniform(rng, 1.0, 4.0))
    skew, heave, strength = uniform(rng, 0.0, 0.35), uniform(rng, 0.0, 0.8), log_uniform(rng, 0.1, 1.3)
    level = sign(rng, 0.6) * log_uniform(rng, 0.5, 8.0)
    if chance(rng, 0.45):
        _paint_coast(rng, scene, horizon, fields)
    depth = np.arange(rows) - (horizon + uniform(rng, 0.0, 1.0))
    reach = np.clip(depth / rows, 0.0, 1.0)
    by_row = np.array(
        (
            np.clip(depth + 0.5, 0.0, 1.0),
            strength * (0.25 + 0.75 * np.sqrt(reach)),
            level - uniform(rng, -0.5, 1.0) * level * reach,
        ),
        dtype=np.float32,
    )
    _pour(scene, surface, swell, np.float32(skew), np.float32(heave), by_row)
    return scene, horizon, strength


@numba.njit(cache=True, nogil=True)
def _pour(
    scene: FloatImage, surface: FloatImage, swell: FloatImage, skew: np.float32, heave: np.float32, by_row: FloatImage
) -> None:
    """Skew the waves, let wind patches modulate them, add the swell, and lay them over the scene.

    ``by_row`` holds cover, gain and level of each row.
    """
    one, patch, limit = np.float32(1.0), np.float32(0.3), np.float32(2.5)
    for i in range(scene.shape[0]):
        cover, gain, level = by_row[0, i], by_row[1, i], by_row[2, i]
        if cover == 0.0:
            continue
        into, wave, slow = scene[i], surface[i], swell[i]
        for j in range(into.size):
            value = wave[j] + skew * (wave[j] * wave[j] - one)
            value *= one + patch * min(max(slow[j], -limit), limit)
            value = (value + heave * slow[j]) * gain + level
            into[j] += cover * (value - into[j])


def _paint_coast(rng: np.random.Generator, scene: FloatImage, horizon: float, fields: FieldSource) -> None:
    rows, cols = scene.shape
    outline = power_law_profile(rng, length=cols, beta=uniform(rng, 1.8, 2.8), f0=1 / 200)
    height = rows * log_uniform(rng, 0.01, 0.1)
    start, end = uniform(rng, -1.5, 0.9) * cols, uniform(rng, 1.0, 1.6) * cols
    across = smoothstep(np.arange(cols, dtype=np.float32), start, end)
    outline_rows = np.float32(horizon) - np.float32(height) * (np.float32(1.0) + np.float32(0.35) * outline) * across
    texture = fields.field(rng, hw=(rows, cols), beta=2.2, f0=1 / 16, stretch=2.0)
    kelvin = log_uniform(rng, 2.0, 14.0) * sign(rng, 0.8)
    paint_ridge(scene, outline_rows, texture, kelvin, 0.12 * abs(kelvin), 0.0, 0.0, 1.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def perspective(
    tile: npt.NDArray[Any],
    rows: int,
    cols: int,
    horizon: float,
    nearest: float,
    first_row: int = 0,
    first_col: int = 0,
    unit: float = 1.0,
) -> FloatImage:
    """Sample a periodic texture so that it shrinks towards the horizon.

    Args:
        tile: float32 or int16 (h, w) seamless texture.
        rows: Rows of the result.
        cols: Columns of the result.
        horizon: Row of the horizon, may lie above the frame.
        nearest: Texture scale at the horizon relative to the last row, 0..1.
        first_row: Where to start reading the texture.
        first_col: Column of it that lies in the middle.
        unit: Factor on its levels.

    Returns:
        float32 (rows, cols); rows above the horizon are 0.
    """
    out = np.zeros((rows, cols), np.float32)
    tile_rows, tile_cols = tile.shape
    line = np.empty(int(cols / np.sqrt(min(nearest, 1.0))) + 3, np.float32)  # what the row at the horizon spans
    position = np.float64(first_row)
    for i in range(rows):
        reach = min(max((i - horizon) / (rows - horizon), 0.0), 1.0)
        scale = 1.0 / (nearest + (1.0 - nearest) * reach)
        position += scale
        if i < int(horizon) - 1:
            continue
        whole = int(position)
        down = np.float32(position - whole)
        upper, lower = tile[whole % tile_rows], tile[(whole + 1) % tile_rows]
        step = np.sqrt(scale)
        start = first_col - 0.5 * cols * step
        start -= np.floor(start / tile_cols) * tile_cols
        first, num = int(start), int(cols * step) + 3
        _blend_around(line[:num], upper, lower, down, first, np.float32(unit))
        _stretch(out[i], line, start - first, step)
    return out


@numba.njit(cache=True, nogil=True)
def _blend_around(
    line: npt.NDArray[np.float32],
    upper: npt.NDArray[Any],
    lower: npt.NDArray[Any],
    share: np.float32,
    first: int,
    unit: np.float32,
) -> None:
    """Write unit * (upper + share * (lower - upper)) from a column on, round the seamless rows as often as it takes."""
    done, at = 0, first
    while done < line.size:
        num = min(line.size - done, upper.size - at)
        into, a, b = line[done : done + num], upper[at : at + num], lower[at : at + num]
        for j in range(num):
            into[j] = (np.float32(a[j]) + share * (np.float32(b[j]) - np.float32(a[j]))) * unit
        done, at = done + num, 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _stretch(into: npt.NDArray[np.float32], line: npt.NDArray[np.float32], start: float, step: float) -> None:
    """Read a line at start + j * step, start and step > 0, linearly between its values.

    Places are counted in steps of 2^-16 px, which four bytes hold for lines of up to 32,767 px.
    """
    first, stride = np.int32(start * 65536.0), np.int32(step * 65536.0)
    for j in range(into.size):
        place = np.int32(first + np.int32(np.int32(j) * stride))
        at = np.uint64(np.uint32(place) >> np.uint32(16))  # unsigned: no position counts from the end, the loop stays a vector's
        share = np.float32(np.int32(place & np.int32(65535))) * _FINE_STEP
        into[j] = line[at] + share * (line[at + np.uint64(1)] - line[at])
