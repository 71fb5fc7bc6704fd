"""Opaque layers with clean edges: leaves (rotated rectangles and ellipses) and ridges, painted from far to near.

Edges are covered exactly or by signed distance over one pixel: the box average that a supersampled layer would give.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import portable

RECTANGLE = 0.0
ELLIPSE = 1.0


class Leaf(NamedTuple):
    """One opaque patch; a named tuple because kernels take it.

    Attributes:
        row: Row of the centre in px.
        col: Column of the centre.
        half_rows: Half height in px.
        half_cols: Half width in px.
        turns: Rotation in turns, any number.
        kelvin: Apparent temperature.
        texture: Factor on the texture field inside the patch, K.
        shape: ``RECTANGLE`` or ``ELLIPSE``.
        fall_kelvin: Half the temperature difference from its top to its bottom.
        ragged_px: Amplitude of the edge's wandering with the texture, px; 0 for man-made edges.
    """

    row: float
    col: float
    half_rows: float
    half_cols: float
    turns: float
    kelvin: float
    texture: float
    shape: float = RECTANGLE
    fall_kelvin: float = 0.0
    ragged_px: float = 0.0


LEAF_COLUMNS = len(Leaf._fields)
"""Columns of a table of leaves, the attributes of :class:`Leaf` in their order."""


@numba.njit(cache=True, nogil=True)
def paint_table(scene: FloatImage, leaves: npt.NDArray[np.float64], texture: FloatImage) -> None:
    """Paint a table of patches, float64 (K, LEAF_COLUMNS), far to near; otherwise as :func:`paint_leaf`."""
    for k in range(leaves.shape[0]):
        row, col, half_rows, half_cols, turns, kelvin, grain, shape, fall, ragged = leaves[k]
        paint_leaf(scene, Leaf(row, col, half_rows, half_cols, turns, kelvin, grain, shape, fall, ragged), texture)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def paint_leaf(scene: FloatImage, leaf: Leaf, texture: FloatImage) -> None:
    """Paint a patch over the scene in place.

    Args:
        scene: float32 (H, W) apparent temperature in K, changed.
        leaf: The patch.
        texture: float32 (H, W) field of standard deviation 1.
    """
    paint_turned(scene, leaf, portable.cos_sin(leaf.turns - np.floor(leaf.turns)), texture)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def paint_turned(scene: FloatImage, leaf: Leaf, direction: tuple[float, float], texture: FloatImage) -> None:
    """Do the same for one of many patches that share a rotation, given by its cosine and sine."""
    rows, cols = scene.shape
    row, col, half_rows, half_cols = leaf.row, leaf.col, leaf.half_rows, leaf.half_cols
    cosine, sine = direction
    reach_rows = abs(cosine) * half_rows + abs(sine) * half_cols + 1.0
    reach_cols = abs(cosine) * half_cols + abs(sine) * half_rows + 1.0
    first, last = max(0, int(col - reach_cols)), min(cols, int(col + reach_cols) + 2)
    if last <= first:
        return
    along = np.arange(first, last).astype(np.float32) - np.float32(col)
    kelvin, fall = np.float32(leaf.kelvin), np.float32(leaf.fall_kelvin / half_rows)
    look = (kelvin, fall, np.float32(leaf.texture), np.float32(leaf.ragged_px))
    turn, size = (np.float32(cosine), np.float32(sine)), (np.float32(half_rows), np.float32(half_cols))
    for i in range(max(0, int(row - reach_rows)), min(rows, int(row + reach_rows) + 2)):
        if leaf.shape == ELLIPSE:
            _paint_ellipse_row(scene, texture, i, first, along, np.float32(i - row), turn, size, look)
        else:
            _paint_rectangle_row(scene, texture, i, first, along, np.float32(i - row), turn, size, look)


_Row = npt.NDArray[np.float32]
_Pair = tuple[np.float32, np.float32]
_Look = tuple[np.float32, np.float32, np.float32, np.float32]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint_ellipse_row(
    scene: FloatImage, texture: FloatImage, row: int, first: int, along: _Row, depth: np.float32,
    turn: _Pair, size: _Pair, look: _Look,
) -> None:  # fmt: skip
    """Cover part of a row by an ellipse.

    Places are unsigned: none counts from the end, so the loop is a vector's, and no slice has to be made for it.

    Args:
        scene: float32 (H, W), changed from column ``first`` of ``row`` on.
        texture: float32 (H, W).
        row: The row.
        first: First column.
        along: float32 (n,), columns from the centre, px.
        depth: Rows from the centre, px.
        turn: Cosine and sine of the rotation.
        size: Half height and half width, px.
        look: Temperature, its fall per px, factor on the texture, amplitude of the edge's wandering.
    """
    (cosine, sine), (kelvin, fall, gain, ragged) = turn, look
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    by_rows, by_cols, soft = one / size[0], one / size[1], half * min(size[0], size[1])
    i, left = np.uint64(row), np.uint64(first)
    for j in range(np.uint64(along.size)):
        into, grain = scene[i, left + j], texture[i, left + j]
        down = cosine * depth - sine * along[j]
        a, b = down * by_rows, (cosine * along[j] + sine * depth) * by_cols
        cover = (one - a * a - b * b) * soft + half
        cover = max(min(cover + ragged * grain, one), zero)
        scene[i, left + j] = into + cover * (kelvin + fall * down + gain * grain - into)


@numba.njit(cache=True, nogil=True)
def _paint_rectangle_row(
    scene: FloatImage, texture: FloatImage, row: int, first: int, along: _Row, depth: np.float32,
    turn: _Pair, size: _Pair, look: _Look,
) -> None:  # fmt: skip
    """Cover part of a row by a rectangle; arguments as for an ellipse."""
    (cosine, sine), (kelvin, fall, gain, ragged) = turn, look
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    i, left = np.uint64(row), np.uint64(first)
    for j in range(np.uint64(along.size)):
        into, grain = scene[i, left + j], texture[i, left + j]
        down, right = cosine * depth - sine * along[j], cosine * along[j] + sine * depth
        cover = min(size[0] - abs(down), size[1] - abs(right)) + half
        cover = max(min(cover + ragged * grain, one), zero)
        scene[i, left + j] = into + cover * (kelvin + fall * down + gain * grain - into)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # a check for division by zero would keep the loop scalar
def paint_ridge(
    scene: FloatImage,
    outline_rows: npt.NDArray[np.float32],
    texture: FloatImage,
    kelvin: float,
    gain: float,
    fall_per_px: float,
    rim_kelvin: float,
    rim_px: float,
) -> None:
    """Paint everything below an outline in place: a mountain, a tree line, the ground up to the horizon.

    Args:
        scene: float32 (H, W) apparent temperature in K, changed.
        outline_rows: float32 (W,), row of the upper edge in each column.
        texture: float32 (H, W) field of standard deviation 1.
        kelvin: Apparent temperature at the edge.
        gain: Factor on the texture, K.
        fall_per_px: Change per row of depth below the edge, K/px.
        rim_kelvin: Extra temperature at the edge itself (haze below zero, sunlit crest above).
        rim_px: Depth over which the rim fades, px.
    """
    half, zero, one, less = np.float32(0.5), np.float32(0.0), np.float32(1.0), np.float32(0.6)
    base, grain, fall = np.float32(kelvin), np.float32(gain), np.float32(fall_per_px)
    rim, reach = np.float32(rim_kelvin), np.float32(rim_px)
    for i in range(max(int(outline_rows.min()) - 1, 0), scene.shape[0]):
        into, fine, row = scene[i], texture[i], np.float32(i)
        for j in range(into.size):
            depth = row - outline_rows[j]
            cover = min(max(depth + half, zero), one)
            fade = reach / (reach + max(depth, zero))
            value = base + grain * (one - less * fade) * fine[j] + fall * depth + rim * fade
            into[j] += cover * (value - into[j])
