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
from synth.scene.layers import ELLIPSE, Leaf, paint_leaves, paint_ridge
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
    plane = perspective(grain.texture, rows, cols, base, uniform(rng, 0.12, 0.4), grain.row, grain.col)
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
    leaves = _bushes(rng, scene, base, level, growth)
    if chance(rng, _CROWN_ROW_SHARE):
        leaves = _crown_row(rng, scene, base, level, growth) + leaves
    paint_leaves(scene, leaves, plane)


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


def _crown_row(rng: np.random.Generator, scene: FloatImage, base: float, level: float, growth: float) -> list[Leaf]:
    """Return crowns along the edge, of one kind and of many sizes, now and then with gaps."""
    cols = scene.shape[1]
    size = log_uniform(rng, 2.0, 9.0)
    gap, tall = uniform(rng, 0.0, 0.4), uniform(rng, 0.7, 2.2)
    leaves = []
    col = 0.0
    while col < cols:
        half = size * uniform(rng, 0.6, 1.5)
        if not chance(rng, gap):
            kelvin = level + growth * uniform(rng, 0.6, 1.2)
            high = half * tall * uniform(rng, 0.7, 1.3)
            row = base - 0.6 * high + half * uniform(rng, 0.0, 0.8)
            leaves.append(Leaf(row, col, high, half, 0.0, kelvin, 0.25 * abs(growth), ELLIPSE, -0.2 * abs(growth), 0.35 * half))
        col += half * uniform(rng, 0.7, 1.6)
    return leaves


def _bushes(rng: np.random.Generator, scene: FloatImage, base: float, level: float, growth: float) -> list[Leaf]:
    """Return single bushes on the plane, larger towards the viewer, far ones first."""
    rows, cols = scene.shape
    size = log_uniform(rng, 0.012, 0.06) * rows
    depths = np.sort(rng.random(int(rng.integers(0, 30))))
    leaves = []
    for depth in depths.tolist():
        row = base + (rows - base) * depth * depth
        half = size * (0.15 + depth) * uniform(rng, 0.5, 1.3)
        kelvin = level + growth * uniform(rng, 0.5, 1.2)
        shape = Leaf(
            row, uniform(rng, 0.0, cols), half * uniform(rng, 0.6, 1.2), half, 0.0,
            kelvin, 0.3 * abs(growth), ELLIPSE, -0.25 * abs(growth), 0.5 * half,
        )  # fmt: skip
        leaves.append(shape)
    return leaves
