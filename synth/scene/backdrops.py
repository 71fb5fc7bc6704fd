"""The backgrounds of scenes, and how often each comes.

A backdrop is apparent temperature relative to the sensor's T0, on a canvas larger than the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from synth.sample import FloatImage
from synth.scene.draws import log_uniform, uniform
from synth.scene.farmland import farmland
from synth.scene.overcast import overcast
from synth.scene.sea import sea
from synth.scene.sheets import FieldSource
from synth.scene.sky import clear_sky, cumulus, elevation_gradient
from synth.scene.terrain import terrain
from synth.scene.truth import Regime
from synth.scene.urban import urban

BackdropName = Literal["sky", "cloud", "overcast", "sea", "hills", "farmland", "urban", "space"]

BACKDROP_WEIGHTS: Mapping[BackdropName, float] = MappingProxyType(
    {"sky": 0.2, "cloud": 0.17, "overcast": 0.18, "sea": 0.12, "hills": 0.15, "farmland": 0.04, "urban": 0.14}
)
"""Default frequencies (our choice: sky and cloud dominate the published sets, by eye on their training lists); space
belongs to space sensors only."""


class Backdrop(NamedTuple):
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
    if name == "sea":
        kelvin, horizon, strength = sea(rng, hw, fields)
        return Backdrop(Regime.SEA, kelvin, max(horizon, 0.0), strength)
    return Backdrop(Regime[name.upper()], _PAINTERS[name](rng, hw, fields))


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


_PAINTERS: Mapping[str, Callable[[np.random.Generator, tuple[int, int], FieldSource], FloatImage]] = MappingProxyType(
    {
        "sky": clear_sky, "cloud": cumulus, "overcast": overcast, "hills": terrain,
        "farmland": farmland, "urban": urban, "space": space,
    }
)  # fmt: skip
