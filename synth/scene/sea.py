"""Sea regime: waves in perspective, horizon, coast and sun glints.

The wave texture is skewed (sea clutter is near-Gaussian to K-distributed: Bernhardt et al., SPIE 5431, 2004); a glint
is a single bright facet before the optics, so it is as wide as the point-spread function, as on a real sea.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.clutter import power_law_profile, smoothstep
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.layers import paint_ridge
from synth.scene.sheets import DRAWN, FieldSource
from synth.scene.sky import elevation_gradient


def sea(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource = DRAWN) -> FloatImage:
    """Render a sea surface, with a horizon in most frames.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene, surface, water, horizon, strength = _sky_and_water(rng, hw, fields)
    if chance(rng, 0.35):
        _add_glints(rng, surface, horizon, strength)
    return _join(scene, surface, water)


def sea_surface(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> tuple[FloatImage, float, float]:
    """Render a sea surface without glints; they are hard negatives (:mod:`synth.scene.impostors`).

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K; the row of the horizon, negative above the canvas; and the deviation of
        the waves, K.
    """
    scene, surface, water, horizon, strength = _sky_and_water(rng, hw, fields)
    return _join(scene, surface, water), horizon, strength


def _sky_and_water(
    rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource
) -> tuple[FloatImage, FloatImage, FloatImage, float, float]:
    """Return sky and coast, water, rows below the water line, horizon and strength of the waves."""
    rows, cols = hw
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.3, 3.0))
    horizon = rows * (uniform(rng, 0.08, 0.55) if chance(rng, 0.7) else -uniform(rng, 0.1, 1.0))
    waves = fields.tile(
        rng, hw=hw, beta=uniform(rng, 2.0, 3.2), f0=log_uniform(rng, 1 / 60, 1 / 14), stretch=uniform(rng, 1.5, 5.0)
    )
    surface = perspective(waves.texture, waves.row, waves.col, rows, cols, horizon, uniform(rng, 0.15, 0.5))
    skew, strength = uniform(rng, 0.0, 0.35), log_uniform(rng, 0.1, 1.3)
    swell = fields.field(rng, hw=hw, beta=3.0, f0=1 / 200, stretch=uniform(rng, 1.0, 4.0))
    heave = uniform(rng, 0.0, 0.8)
    level = sign(rng, 0.6) * log_uniform(rng, 0.5, 8.0)
    if chance(rng, 0.45):
        _paint_coast(rng, scene, horizon, fields)
    water = np.arange(rows, dtype=np.float32)[:, None] - np.float32(horizon + uniform(rng, 0.0, 1.0))
    reach = np.clip(water / np.float32(rows), 0.0, 1.0)
    gains = np.float32(strength) * (np.float32(0.25) + np.float32(0.75) * np.sqrt(reach))
    levels = np.float32(level) - np.float32(uniform(rng, -0.5, 1.0) * level) * reach
    _shape_water(surface, swell, np.float32(skew), np.float32(heave), gains[:, 0], levels[:, 0], _first_row(horizon))
    return scene, surface, water, horizon, strength


@numba.njit(cache=True, nogil=True)
def _shape_water(
    surface: FloatImage,
    swell: FloatImage,
    skew: np.float32,
    heave: np.float32,
    gains: npt.NDArray[np.float32],
    levels: npt.NDArray[np.float32],
    first: int,
) -> None:
    """Skew the waves, let wind patches modulate them, add the swell, and bring each row to its gain and level."""
    one, patch, limit = np.float32(1.0), np.float32(0.3), np.float32(2.5)
    for i in range(first, surface.shape[0]):
        wave, slow, gain, level = surface[i], swell[i], gains[i], levels[i]
        for j in range(wave.size):
            value = wave[j] + skew * (wave[j] * wave[j] - one)
            value *= one + patch * min(max(slow[j], -limit), limit)
            value += heave * slow[j]
            wave[j] = value * gain + level


def _first_row(horizon: float) -> int:
    """Return the first row that may show water."""
    return max(int(horizon) - 1, 0)


def _join(scene: FloatImage, surface: FloatImage, water: FloatImage) -> FloatImage:
    first = int(np.searchsorted(water[:, 0], -0.5))
    part = scene[first:]
    part += np.clip(water[first:] + np.float32(0.5), 0.0, 1.0) * (surface[first:] - part)
    return scene


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


def _add_glints(rng: np.random.Generator, surface: FloatImage, horizon: float, strength: float) -> None:
    rows, cols = surface.shape
    top = max(horizon, 0.0)
    middle, width = uniform(rng, 0.1, 0.9) * cols, uniform(rng, 0.08, 0.3) * cols
    for _ in range(int(rng.integers(10, 70))):
        row = int(top + (rows - top) * float(rng.random()) ** 2)
        col = int(middle + width * (float(rng.random()) + float(rng.random()) - 1.0))
        tail = 1.0 / (0.12 + float(rng.random()))  # heavy tail, at most 8 times the typical strength
        if 0 <= row < rows and 1 <= col < cols - 1:
            surface[row, col - int(rng.integers(0, 2)) : col + 1] += np.float32(strength * tail)


@numba.njit(cache=True, nogil=True)
def perspective(
    tile: FloatImage, first_row: int, first_col: int, rows: int, cols: int, horizon: float, nearest: float
) -> FloatImage:
    """Sample a periodic texture so that it shrinks towards the horizon.

    Args:
        tile: float32 (h, w) seamless texture.
        first_row: Where to start reading it.
        first_col: Where its middle lies.
        rows: Rows of the result.
        cols: Columns of the result.
        horizon: Row of the horizon, may lie above the frame.
        nearest: Texture scale at the horizon relative to the last row, 0..1.

    Returns:
        float32 (rows, cols); rows above the horizon are 0.
    """
    out = np.zeros((rows, cols), np.float32)
    tile_rows, tile_cols = tile.shape
    position = float(first_row)
    for i in range(rows):
        reach = min(max((i - horizon) / (rows - horizon), 0.0), 1.0)
        scale = 1.0 / (nearest + (1.0 - nearest) * reach)
        position += scale
        if i < int(horizon) - 1:
            continue
        side_scale = np.sqrt(scale)
        r0 = int(position)
        dr = position - r0
        r0 = r0 % tile_rows
        r1 = (r0 + 1) % tile_rows
        upper, lower = tile[r0], tile[r1]
        start = -0.5 * cols * side_scale + 8.0 * tile_cols + first_col
        wraps = int(start) // tile_cols * tile_cols
        for j in range(cols):
            x = (j - 0.5 * cols) * side_scale + 8.0 * tile_cols + first_col
            c0 = int(x)
            dc = x - c0
            c0 -= wraps
            while c0 >= tile_cols:
                c0 -= tile_cols
            c1 = c0 + 1 if c0 + 1 < tile_cols else 0
            above = upper[c0] + dc * (upper[c1] - upper[c0])
            below = lower[c0] + dc * (lower[c1] - lower[c0])
            out[i, j] = above + dr * (below - above)
    return out
