"""The backgrounds of scenes: every regime of :mod:`synth.scene.regimes`, the sea without its own glints, and space.

A backdrop is apparent temperature relative to the sensor's T0, on a canvas larger than the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from synth.sample import FloatImage
from synth.scene.draws import log_uniform, uniform
from synth.scene.overcast import overcast
from synth.scene.regimes import PAINTERS
from synth.scene.sea import sea_surface
from synth.scene.sheets import FieldSource
from synth.scene.sky import elevation_gradient
from synth.scene.terrain import terrain
from synth.scene.truth import Regime

BackdropName = Literal["sky", "cloud", "overcast", "sea", "hills", "farmland", "urban", "space"]

BACKDROP_WEIGHTS: Mapping[BackdropName, float] = MappingProxyType(
    {"sky": 0.2, "cloud": 0.17, "overcast": 0.18, "sea": 0.12, "hills": 0.15, "farmland": 0.04, "urban": 0.14}
)
"""Default frequencies (our choice: sky and cloud dominate the published sets, by eye on their training lists); space
belongs to space sensors only."""


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """A painted background.

    Attributes:
        regime: What it is.
        kelvin: float32 (H, W) apparent temperature relative to T0, K.
        water_row: First row of water where glints may appear; None without water.
        texture_kelvin: Deviation of the water's texture, K; 0 without water.
    """

    regime: Regime
    kelvin: FloatImage
    water_row: float | None = None
    texture_kelvin: float = 0.0


def paint_backdrop(name: BackdropName, rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> Backdrop:
    """Paint one background.

    Args:
        name: Which.
        rng: Scene stream.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.
    """
    if name == "space":
        return Backdrop(Regime.SPACE, space(rng, hw, fields))
    if name == "sea":
        scene, horizon, strength = sea_surface(rng, hw, fields)
        return Backdrop(Regime.SEA, scene, max(horizon, 0.0), strength)
    if name == "overcast":
        return Backdrop(Regime.OVERCAST, overcast(rng, hw, fields))
    if name == "hills":
        return Backdrop(Regime.HILLS, terrain(rng, hw, fields))
    return Backdrop(Regime[name.upper()], PAINTERS[name](rng, hw, fields))


def space(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render empty space: stray light as a weak gradient and a faint glow. Spans are our choice, below the noise.

    Args:
        rng: Scene stream.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W), in the sensor's kelvin, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.005, 0.1))
    glow = fields.field(rng, hw=hw, beta=uniform(rng, 3.2, 3.8))
    scene += glow * np.float32(log_uniform(rng, 0.002, 0.02))
    return scene
