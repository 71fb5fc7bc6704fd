"""Urban regime: tower blocks with window grids against a sky, at any zoom."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from synth.sample import FloatImage
from synth.scene.draws import log_uniform, uniform
from synth.scene.keyed_draws import Urn, between, happens, log_between, open_urn, share, sign_of, whole
from synth.scene.layers import RECTANGLE, Leaf, paint_leaf, paint_turned
from synth.scene.portable import cos_sin
from synth.scene.sheets import FieldSource
from synth.scene.sky import clear_sky

_MOST_STOREYS, _MOST_BAYS = 40, 14  # of windows on one wall (our choice: more are too small to see)


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
    _paint_blocks(scene, texture, open_urn(rng), num_blocks, skyline, level, zoom, roll)
    return scene


class _Block(NamedTuple):
    """One building.

    Attributes:
        wall: Its front.
        level: Temperature step of the buildings, K.
        zoom: px per metre or so: sizes are in it.
    """

    wall: Leaf
    level: float
    zoom: float


@numba.njit(cache=True, nogil=True)
def _paint_blocks(
    scene: FloatImage, texture: FloatImage, urn: Urn, num: int, skyline: float, level: float, zoom: float, roll: float
) -> None:
    for index in range(num):
        near = (index + 1) / num
        _paint_block(scene, texture, urn, skyline, level, zoom * (0.5 + 0.5 * near), near, roll)


@numba.njit(cache=True, nogil=True)
def _paint_block(
    scene: FloatImage, texture: FloatImage, urn: Urn, skyline: float, level: float, zoom: float, near: float, roll: float
) -> None:
    """Paint one building: wall, shaded side, roof structures, windows."""
    rows, cols = scene.shape
    half_cols = zoom * log_between(urn, 7.0, 28.0)
    top = skyline + rows * between(urn, -0.28, 0.2) * (0.4 + 0.6 * near)
    col = between(urn, -0.05, 1.05) * cols
    half_rows = max(0.5 * (rows - top) + 8.0, 6.0)
    kelvin = level * (0.35 + 0.65 * near) * between(urn, 0.45, 1.2)
    grain, fall = level * between(urn, 0.01, 0.07), level * between(urn, -0.12, 0.12)
    wall = Leaf(top + half_rows, col, half_rows, half_cols, roll, kelvin, grain, RECTANGLE, fall, 0.0)
    paint_leaf(scene, wall, texture)
    side, shade = half_cols * between(urn, 0.25, 0.8) * sign_of(urn, 0.5), kelvin * between(urn, 0.6, 0.95)
    if happens(urn, 0.5):
        width = abs(half_cols - abs(side))
        paint_leaf(scene, Leaf(wall.row, col + side, half_rows, width, roll, shade, grain, RECTANGLE, 0.0, 0.0), texture)
    block = _Block(wall, level, zoom)
    _paint_roof(scene, texture, urn, block)
    if happens(urn, 0.75):
        _paint_windows(scene, texture, urn, block)


@numba.njit(cache=True, nogil=True)
def _paint_roof(scene: FloatImage, texture: FloatImage, urn: Urn, block: _Block) -> None:
    wall, level, zoom = block
    top = wall.row - wall.half_rows
    for _ in range(whole(urn, 0, 4)):
        half_cols, half_rows = wall.half_cols * log_between(urn, 0.04, 0.4), zoom * log_between(urn, 1.0, 5.0)
        col, kelvin = wall.col + between(urn, -1.0, 1.0) * (wall.half_cols - half_cols), wall.kelvin * between(urn, 0.5, 1.3)
        place = top - half_rows
        paint_leaf(scene, Leaf(place, col, half_rows, half_cols, wall.turns, kelvin, 0.02 * level, RECTANGLE, 0.0, 0.0), texture)
    if happens(urn, 0.5):
        kelvin, half_cols = wall.kelvin + level * between(urn, -0.3, 0.3), wall.half_cols + 0.5 * zoom
        paint_leaf(scene, Leaf(top, wall.col, 0.6 * zoom, half_cols, wall.turns, kelvin, 0.0, RECTANGLE, 0.0, 0.0), texture)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint_windows(scene: FloatImage, texture: FloatImage, urn: Urn, block: _Block) -> None:
    """Paint windows or, less often, bands across the storeys, top to bottom."""
    wall, zoom = block.wall, block.zoom
    contrast = block.level * sign_of(urn, 0.3) * log_between(urn, 0.04, 0.35)
    storey, bay = zoom * between(urn, 4.0, 8.0), zoom * between(urn, 4.0, 10.0)
    half_rows, half_cols = storey * between(urn, 0.15, 0.33), bay * between(urn, 0.15, 0.42)
    num_storeys = min(int((2.0 * wall.half_rows - 4.0) / storey), _MOST_STOREYS)
    num_bays = min(int((2.0 * wall.half_cols - 2.0) / bay), _MOST_BAYS)
    if happens(urn, 0.35):
        num_bays, half_cols = 1, wall.half_cols * 0.9
    lean = 6.283185307179586 * wall.turns  # small angles only
    direction = cos_sin(wall.turns - np.floor(wall.turns))
    for i in range(num_storeys):
        down = -wall.half_rows + storey * (i + 0.8)
        level = wall.kelvin + wall.fall_kelvin * down / wall.half_rows
        for j in range(num_bays):
            right = (j + 0.5 - 0.5 * num_bays) * bay
            row, col, kelvin = wall.row + down + lean * right, wall.col + right - lean * down, 0.6 + 0.8 * share(urn)
            kelvin = level + contrast * kelvin
            leaf = Leaf(row, col, half_rows, half_cols, wall.turns, kelvin, 0.0, RECTANGLE, 0.0, 0.0)
            paint_turned(scene, leaf, direction, texture)
