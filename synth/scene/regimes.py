"""The kinds of background the built-in source renders, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from synth.sample import FloatImage
from synth.scene.ground import farmland, hills
from synth.scene.sea import sea
from synth.scene.sky import clear_sky, cumulus
from synth.scene.urban import urban

RegimeName = Literal["sky", "cloud", "sea", "hills", "farmland", "urban"]
RegimePainter = Callable[[np.random.Generator, tuple[int, int]], FloatImage]

PAINTERS: Mapping[RegimeName, RegimePainter] = MappingProxyType(
    {"sky": clear_sky, "cloud": cumulus, "sea": sea, "hills": hills, "farmland": farmland, "urban": urban}
)
"""Painter of each regime: (generator, canvas rows and columns) -> apparent temperature, float32 K."""

WEIGHTS: Mapping[RegimeName, float] = MappingProxyType(
    {"sky": 0.26, "cloud": 0.24, "sea": 0.14, "hills": 0.15, "farmland": 0.04, "urban": 0.17}
)
"""Relative frequency (our choice: sky and cloud dominate the published sets, by eye on their training lists)."""
