"""Terrain regime: hazy ridges, a foreground seen at a grazing angle, rows of crowns, single bushes.

What tells a ground from a painted band is scale: its texture shrinks towards its upper edge, clumps of growth stand on
finer grain, and its temperature is that of the low sky more often than not. Proportions are our choice, by eye on the
training lists of SIRST v1 and NUDT and on the target-free frames.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.clutter import power_law_profile
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.layers import ELLIPSE, LEAF_COLUMNS, paint_ridge, paint_table
from synth.scene.overcast import overcast
from synth.scene.sea import perspective
from synth.scene.sheets import FieldSource
from synth.scene.sky import clear_sky, lit_relief

_CROWN_ROW_SHARE = 0.5
_FOREGROUND_SHARE = 0.75


def terrain(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render a landscape under a clear or overcast sky.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = clear_sky(rng, hw, fields) if chance(rng, 0.65) else overcast(rng, hw, fields)
    level = float(scene[hw[0] // 2].mean(dtype=np.float64))
    step = sign(rng, 0.75) * log_uniform(rng, 0.6, 9.0)
    base = hw[0] * uniform(rng, 0.2, 0.75)
    num_ridges = int(rng.integers(0, 3))
    has_foreground = num_ridges == 0 or chance(rng, _FOREGROUND_SHARE)
    if num_ridges:
        base = _paint_ridges(rng, scene, fields, base, level, step, num_ridges)
    if has_foreground:
        _paint_foreground(rng, scene, fields, base, level + step * uniform(rng, 0.6, 1.3), abs(step))
    return scene


def _paint_ridges(
    rng: np.random.Generator, scene: FloatImage, fields: FieldSource, base: float, level: float, step: float, num: int
) -> float:
    """Paint ridges far to near, the farther the nearer to the sky; return the row where the next would begin."""
    hw = (scene.shape[0], scene.shape[1])
    height = fields.field(rng, hw=hw, beta=uniform(rng, 3.0, 3.5), f0=1 / 120, stretch=uniform(rng, 1.0, 2.0))
    growth = fields.field(rng, hw=hw, beta=uniform(rng, 2.4, 3.0), f0=1 / 40)
    slopes = lit_relief(height, rng, uniform(rng, 2.0, 8.0), growth, uniform(rng, 0.2, 0.9))
    for depth in range(num):
        near = (depth + 1.0) / (num + 1.0)
        rough = power_law_profile(rng, length=hw[1], beta=uniform(rng, 2.4, 3.4), f0=1 / 250)
        outline = np.float32(base) + rough * np.float32(hw[0] * log_uniform(rng, 0.008, 0.07))
        paint_ridge(
            scene, outline, slopes, level + step * near, abs(step) * uniform(rng, 0.04, 0.25) * near,
            -step * uniform(rng, 0.0, 0.003), -step * uniform(rng, 0.0, 0.3), log_uniform(rng, 4.0, 60.0),
        )  # fmt: skip
        base += hw[0] * uniform(rng, 0.04, 0.18)
    return base


def _paint_foreground(
    rng: np.random.Generator, scene: FloatImage, fields: FieldSource, base: float, level: float, span: float
) -> None:
    """Paint a plane from its edge down, with clumps that grow towards the viewer, and what stands on it."""
    rows, cols = scene.shape
    grain = fields.tile(rng, hw=(rows, cols), beta=uniform(rng, 2.3, 3.0), f0=1 / 50, stretch=uniform(rng, 1.0, 2.0))
    plane = perspective(grain.texture, rows, cols, base, uniform(rng, 0.12, 0.4), grain.row, grain.col, grain.unit)
    patches = fields.field(rng, hw=(rows, cols), beta=3.0, f0=1 / 200, stretch=uniform(rng, 1.5, 4.0))
    look = np.array(
        (uniform(rng, 0.3, 1.0), uniform(rng, -1.2, 1.2), uniform(rng, -0.3, 1.0), uniform(rng, 0.2, 0.9)), dtype=np.float32
    )
    _grow(plane, patches, look, max(int(base) - 2, 0))
    contrast = span * log_uniform(rng, 0.04, 0.3)
    outline = np.full(cols, base, np.float32) + np.float32(rows * 0.004) * power_law_profile(
        rng, length=cols, beta=2.5, f0=1 / 120
    )
    paint_ridge(scene, outline, plane, level, contrast, span * uniform(rng, -0.003, 0.003), 0.0, 1.0)
    growth = sign(rng, 0.5) * span * log_uniform(rng, 0.05, 0.5)
    bushes = _bushes(rng, scene, base, level, growth)
    if chance(rng, _CROWN_ROW_SHARE):
        paint_table(scene, _crown_row(rng, cols, base, level, growth), plane)
    paint_table(scene, bushes, plane)


@numba.njit(cache=True, nogil=True)
def _grow(plane: FloatImage, patches: FloatImage, look: npt.NDArray[np.float32], first: int) -> None:
    """Turn grain into grain, clumps (a cubic step of the grain, more where patches allow) and patches, in place."""
    fine, clump, onset, slow = look
    zero, one, two, three = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0)
    for i in range(first, plane.shape[0]):
        into, patch = plane[i], patches[i]
        for j in range(into.size):
            step = min(max(into[j] + np.float32(0.5) * patch[j] - onset, zero), one)
            step = step * step * (three - two * step)
            into[j] = fine * into[j] + clump * step + slow * patch[j]


def _crown_row(rng: np.random.Generator, cols: int, base: float, level: float, growth: float) -> npt.NDArray[np.float64]:
    """Return a table of crowns along the edge, of one kind and of many sizes, now and then with gaps."""
    size, gap, tall = log_uniform(rng, 2.0, 9.0), uniform(rng, 0.0, 0.4), uniform(rng, 0.7, 2.2)
    draws = rng.random((int(cols / (0.42 * size)) + 2, 6))  # the smallest steps are 0.6 * 0.7 sizes
    half = size * (0.6 + 0.9 * draws[:, 0])
    end = np.cumsum(half * (0.7 + 0.9 * draws[:, 1]))
    col = np.concatenate(([0.0], end[:-1]))
    high = half * tall * (0.7 + 0.6 * draws[:, 2])
    row = base - 0.6 * high + half * 0.8 * draws[:, 3]
    kelvin = level + growth * (0.6 + 0.6 * draws[:, 4])
    table = _table(row, col, high, half, kelvin, 0.25 * abs(growth), -0.2 * abs(growth), 0.35 * half)
    return table[(col < cols) & (draws[:, 5] >= gap)]


def _bushes(rng: np.random.Generator, scene: FloatImage, base: float, level: float, growth: float) -> npt.NDArray[np.float64]:
    """Return a table of single bushes on the plane, larger towards the viewer, far ones first."""
    rows, cols = scene.shape
    size = log_uniform(rng, 0.012, 0.06) * rows
    draws = rng.random((int(30.0 * float(rng.random())), 5))
    depth = np.sort(draws[:, 0])
    row = base + (rows - base) * depth * depth
    half = size * (0.15 + depth) * (0.5 + 0.8 * draws[:, 1])
    kelvin = level + growth * (0.5 + 0.7 * draws[:, 2])
    high = half * (0.6 + 0.6 * draws[:, 3])
    return _table(row, cols * draws[:, 4], high, half, kelvin, 0.3 * abs(growth), -0.25 * abs(growth), 0.5 * half)


def _table(
    row: npt.NDArray[np.float64],
    col: npt.NDArray[np.float64],
    half_rows: npt.NDArray[np.float64],
    half_cols: npt.NDArray[np.float64],
    kelvin: npt.NDArray[np.float64],
    texture: float,
    fall_kelvin: float,
    ragged_px: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return upright ellipses as a table of :class:`synth.scene.layers.Leaf`."""
    table = np.zeros((row.size, LEAF_COLUMNS))
    table[:, 0], table[:, 1], table[:, 2], table[:, 3], table[:, 5] = row, col, half_rows, half_cols, kelvin
    table[:, 6], table[:, 7], table[:, 8], table[:, 9] = texture, ELLIPSE, fall_kelvin, ragged_px
    return table
