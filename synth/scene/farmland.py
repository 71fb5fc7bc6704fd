"""Farmland regime: fields, copses and roads seen from above."""

from __future__ import annotations

import math

import numpy as np

from synth.sample import FloatImage
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.layers import ELLIPSE, Leaf, paint_leaves
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
    turns = float(rng.random())
    leaves = [_parcel(rng, hw, turns, span) for _ in range(int(rng.integers(30, 60)))]
    leaves += [_copse(rng, hw, span) for _ in range(int(rng.integers(0, 30)))]
    leaves += [_road(rng, hw, turns, span) for _ in range(int(rng.integers(0, 3)))]
    paint_leaves(scene, leaves, texture)
    haze = fields.field(rng, hw=hw, beta=3.2)
    scene += haze * np.float32(uniform(rng, 0.05, 0.25) * span)
    return scene


def _parcel(rng: np.random.Generator, hw: tuple[int, int], turns: float, span: float) -> Leaf:
    half = _power_law_size(rng, 0.06, 0.4) * min(hw)
    warm = uniform(rng, -0.5, 0.5)
    return Leaf(
        row=uniform(rng, 0.0, hw[0]),
        col=uniform(rng, 0.0, hw[1]),
        half_rows=half * uniform(rng, 0.3, 1.0),
        half_cols=half,
        turns=turns + uniform(rng, -0.006, 0.006) + (0.25 if chance(rng, 0.4) else 0.0),
        kelvin=span * warm * abs(warm) * 2.0,
        texture=span * log_uniform(rng, 0.03, 0.2),
        fall_kelvin=span * uniform(rng, -0.1, 0.1),
        ragged_px=uniform(rng, 0.0, 1.5),
    )


def _road(rng: np.random.Generator, hw: tuple[int, int], turns: float, span: float) -> Leaf:
    return Leaf(
        row=uniform(rng, 0.0, hw[0]),
        col=uniform(rng, 0.0, hw[1]),
        half_rows=log_uniform(rng, 0.6, 3.0),
        half_cols=2.0 * max(hw),
        turns=turns + (0.25 if chance(rng, 0.5) else 0.0) + uniform(rng, -0.02, 0.02),
        kelvin=span * uniform(rng, 0.2, 0.7) * sign(rng, 0.7),
        texture=0.05 * span,
        ragged_px=0.4,
    )


def _copse(rng: np.random.Generator, hw: tuple[int, int], span: float) -> Leaf:
    half = _power_law_size(rng, 0.01, 0.09) * min(hw)
    return Leaf(
        row=uniform(rng, 0.0, hw[0]),
        col=uniform(rng, 0.0, hw[1]),
        half_rows=half,
        half_cols=half * uniform(rng, 0.5, 1.0),
        turns=float(rng.random()),
        kelvin=span * uniform(rng, -0.5, 0.3),
        texture=0.2 * span,
        shape=ELLIPSE,
        ragged_px=0.8 * half,
    )


def _power_law_size(rng: np.random.Generator, smallest: float, largest: float) -> float:
    """Return a draw with density r^-3 between the bounds (inverse of its distribution function)."""
    low, high = 1.0 / (smallest * smallest), 1.0 / (largest * largest)
    return 1.0 / math.sqrt(uniform(rng, high, low))
