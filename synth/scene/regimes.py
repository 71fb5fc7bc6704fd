"""The kinds of background the built-in source renders, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np

from synth.sample import FloatImage
from synth.scene.ground import farmland, hills
from synth.scene.sea import sea
from synth.scene.sheets import FieldSource
from synth.scene.sky import clear_sky, cumulus
from synth.scene.urban import urban

RegimeName = Literal["sky", "cloud", "sea", "hills", "farmland", "urban"]


class RegimePainter(Protocol):
    """Paints a background."""

    def __call__(self, rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource = ...) -> FloatImage:
        """Return float32 (H, W) apparent temperature, K."""


PAINTERS: Mapping[RegimeName, RegimePainter] = MappingProxyType(
    {"sky": clear_sky, "cloud": cumulus, "sea": sea, "hills": hills, "farmland": farmland, "urban": urban}
)
"""Painter of each regime."""

WEIGHTS: Mapping[RegimeName, float] = MappingProxyType(
    {"sky": 0.26, "cloud": 0.24, "sea": 0.14, "hills": 0.15, "farmland": 0.04, "urban": 0.17}
)
"""Relative frequency (our choice: sky and cloud dominate the published sets, by eye on their training lists)."""
