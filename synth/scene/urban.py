"""Urban regime: tower blocks with window grids against a sky, at any zoom."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.layers import LEAF_COLUMNS, Leaf, paint_leaves, paint_table
from synth.scene.sheets import FieldSource
from synth.scene.sky import clear_sky


def urban(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render a skyline, far blocks first, the camera slightly rolled.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = clear_sky(rng, hw, fields)
    texture = fields.field(rng, hw=hw, beta=uniform(rng, 2.4, 3.2), f0=1 / 100)
    level = log_uniform(rng, 3.0, 18.0)
    zoom = log_uniform(rng, 1.0, 4.0)
    roll = uniform(rng, -0.012, 0.012)
    skyline = hw[0] * uniform(rng, 0.3, 0.85)
    num_blocks = int(rng.integers(3, 12) / math.sqrt(zoom)) + 1
    for index in range(num_blocks):
        near = (index + 1) / num_blocks
        scale = zoom * (0.5 + 0.5 * near)
        leaves, windows = _block(rng, hw, skyline=skyline, level=level, zoom=scale, near=near, roll=roll)
        paint_leaves(scene, leaves, texture)
        paint_table(scene, windows, texture)
    return scene


def _block(
    rng: np.random.Generator,
    hw: tuple[int, int],
    *,
    skyline: float,
    level: float,
    zoom: float,
    near: float,
    roll: float,
) -> tuple[list[Leaf], npt.NDArray[np.float64]]:
    """Return the leaves of one building, wall, shaded side and roof structures, and the table of its windows."""
    half_cols = zoom * log_uniform(rng, 7.0, 28.0)
    top = skyline + hw[0] * uniform(rng, -0.28, 0.2) * (0.4 + 0.6 * near)
    col = uniform(rng, -0.05, 1.05) * hw[1]
    half_rows = max(0.5 * (hw[0] - top) + 8.0, 6.0)
    kelvin = level * (0.35 + 0.65 * near) * uniform(rng, 0.45, 1.2)
    grain = level * uniform(rng, 0.01, 0.07)
    fall = level * uniform(rng, -0.12, 0.12)
    wall = Leaf(top + half_rows, col, half_rows, half_cols, roll, kelvin, grain, fall_kelvin=fall)
    side = half_cols * uniform(rng, 0.25, 0.8) * sign(rng)
    shade = Leaf(wall.row, col + side, half_rows, abs(half_cols - abs(side)), roll, kelvin * uniform(rng, 0.6, 0.95), grain)
    leaves = [wall] + ([shade] if chance(rng, 0.5) else []) + _roof(rng, wall, level, zoom)
    windows = np.empty((0, LEAF_COLUMNS))
    if chance(rng, 0.75):
        windows = _windows(rng, wall, level * sign(rng, 0.3) * log_uniform(rng, 0.04, 0.35), zoom)
    return leaves, windows


def _roof(rng: np.random.Generator, wall: Leaf, level: float, zoom: float) -> list[Leaf]:
    top = wall.row - wall.half_rows
    leaves = []
    for _ in range(int(rng.integers(0, 4))):
        half_cols = wall.half_cols * log_uniform(rng, 0.04, 0.4)
        half_rows = zoom * log_uniform(rng, 1.0, 5.0)
        col = wall.col + uniform(rng, -1.0, 1.0) * (wall.half_cols - half_cols)
        leaves.append(
            Leaf(
                top - half_rows,
                col,
                half_rows,
                half_cols,
                wall.turns,
                wall.kelvin * uniform(rng, 0.5, 1.3),
                0.02 * level,
            )
        )
    if chance(rng, 0.5):
        parapet = wall.kelvin + level * uniform(rng, -0.3, 0.3)
        leaves.append(Leaf(top, wall.col, 0.6 * zoom, wall.half_cols + 0.5 * zoom, wall.turns, parapet, 0.0))
    return leaves


def _windows(rng: np.random.Generator, wall: Leaf, contrast: float, zoom: float) -> npt.NDArray[np.float64]:
    """Return a table of windows or, less often, of bands across the storeys, top to bottom."""
    storey = zoom * uniform(rng, 4.0, 8.0)
    bay = zoom * uniform(rng, 4.0, 10.0)
    half_rows, half_cols = storey * uniform(rng, 0.15, 0.33), bay * uniform(rng, 0.15, 0.42)
    bands = chance(rng, 0.35)
    num_storeys = min(int((2.0 * wall.half_rows - 4.0) / storey), 40)
    num_bays = 1 if bands else min(int((2.0 * wall.half_cols - 2.0) / bay), 14)
    lit = rng.random((max(num_storeys, 1), max(num_bays, 1)))
    lean = 6.283185307179586 * wall.turns  # small angles only
    down = (-wall.half_rows + storey * (np.arange(max(num_storeys, 0)) + 0.8))[:, None]
    right = ((np.arange(max(num_bays, 0)) + 0.5 - 0.5 * num_bays) * bay)[None, :]
    table = np.zeros((down.size, right.size, LEAF_COLUMNS))
    table[..., 0] = wall.row + down + lean * right
    table[..., 1] = wall.col + right - lean * down
    table[..., 2] = half_rows
    table[..., 3] = wall.half_cols * 0.9 if bands else half_cols
    table[..., 4] = wall.turns % 1.0
    warmth = 0.6 + 0.8 * lit[: down.size, : right.size]
    table[..., 5] = wall.kelvin + wall.fall_kelvin * down / wall.half_rows + contrast * warmth
    return table.reshape(-1, LEAF_COLUMNS)
