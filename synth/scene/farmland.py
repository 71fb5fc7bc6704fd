"""Farmland regime: fields, copses and roads seen from above."""

from __future__ import annotations

import numba
import numpy as np

from synth.sample import FloatImage
from synth.scene.draws import log_uniform, uniform
from synth.scene.keyed_draws import Urn, between, happens, log_between, open_urn, share, sign_of, whole
from synth.scene.layers import ELLIPSE, RECTANGLE, Leaf, paint_leaf
from synth.scene.sheets import FieldSource


def farmland(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render dead leaves seen from above: fields along one direction, copses and roads, with 1/f texture inside.

    Sizes follow a power law r^-3, the scale-invariant dead-leaves model (Lee, Mumford & Huang, IJCV 41, 2001).

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    span = log_uniform(rng, 1.0, 7.0)
    texture = fields.field(rng, hw=hw, beta=uniform(rng, 2.2, 2.9), f0=1 / 80)
    scene = texture * np.float32(0.1 * span)
    _paint_patches(scene, texture, open_urn(rng), float(rng.random()), span)
    haze = fields.field(rng, hw=hw, beta=3.2)
    scene += haze * np.float32(uniform(rng, 0.05, 0.25) * span)
    return scene


@numba.njit(cache=True, nogil=True)
def _paint_patches(scene: FloatImage, texture: FloatImage, urn: Urn, turns: float, span: float) -> None:
    """Paint parcels, copses on them and roads over both; parcels and roads lie along ``turns`` or across."""
    for _ in range(whole(urn, 30, 60)):
        _paint_parcel(scene, texture, urn, turns, span)
    for _ in range(whole(urn, 0, 30)):
        _paint_copse(scene, texture, urn, span)
    for _ in range(whole(urn, 0, 3)):
        _paint_road(scene, texture, urn, turns, span)


@numba.njit(cache=True, nogil=True)
def _paint_parcel(scene: FloatImage, texture: FloatImage, urn: Urn, turns: float, span: float) -> None:
    half = _power_law_size(urn, 0.06, 0.4) * min(scene.shape)
    warm = between(urn, -0.5, 0.5)
    row, col = between(urn, 0.0, scene.shape[0]), between(urn, 0.0, scene.shape[1])
    lean = turns + between(urn, -0.006, 0.006) + (0.25 if happens(urn, 0.4) else 0.0)
    grain, fall = span * log_between(urn, 0.03, 0.2), span * between(urn, -0.1, 0.1)
    size = half * between(urn, 0.3, 1.0), half
    kelvin = span * warm * abs(warm) * 2.0
    paint_leaf(scene, Leaf(row, col, size[0], size[1], lean, kelvin, grain, RECTANGLE, fall, between(urn, 0.0, 1.5)), texture)


@numba.njit(cache=True, nogil=True)
def _paint_road(scene: FloatImage, texture: FloatImage, urn: Urn, turns: float, span: float) -> None:
    row, col = between(urn, 0.0, scene.shape[0]), between(urn, 0.0, scene.shape[1])
    lean = turns + (0.25 if happens(urn, 0.5) else 0.0) + between(urn, -0.02, 0.02)
    half_rows, half_cols = log_between(urn, 0.6, 3.0), 2.0 * max(scene.shape)
    kelvin = span * between(urn, 0.2, 0.7) * sign_of(urn, 0.7)
    paint_leaf(scene, Leaf(row, col, half_rows, half_cols, lean, kelvin, 0.05 * span, RECTANGLE, 0.0, 0.4), texture)


@numba.njit(cache=True, nogil=True)
def _paint_copse(scene: FloatImage, texture: FloatImage, urn: Urn, span: float) -> None:
    half = _power_law_size(urn, 0.01, 0.09) * min(scene.shape)
    row, col = between(urn, 0.0, scene.shape[0]), between(urn, 0.0, scene.shape[1])
    half_cols, kelvin = half * between(urn, 0.5, 1.0), span * between(urn, -0.5, 0.3)
    paint_leaf(scene, Leaf(row, col, half, half_cols, share(urn), kelvin, 0.2 * span, ELLIPSE, 0.0, 0.8 * half), texture)


@numba.njit(cache=True, nogil=True)
def _power_law_size(urn: Urn, smallest: float, largest: float) -> float:
    """Return a draw with density r^-3 between the bounds (inverse of its distribution function)."""
    return float(1.0 / np.sqrt(between(urn, 1.0 / (largest * largest), 1.0 / (smallest * smallest))))
