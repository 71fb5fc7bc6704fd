"""TLLCM, three-layer local contrast: a smoothed core against the brightest of eight cells around it.

Source: Han et al., "A local contrast method for infrared small-target detection utilizing a tri-layer window", GRSL 2020;
moradisaed/TLLCM, which has the one scale that is here. There 72 rank filters run over 27x27 windows; the nine largest
pixels of a cell depend on the cell alone, so one map of them, shifted eight times, gives the same numbers.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.windows import eight_neighbours, largest_of, largest_of_window, mean_of, pad_zeros, smooth_3x3

_CELL_PX = 9  # side of a cell
_NUM_LARGEST = 9  # pixels of a cell that are averaged
_FLOOR = 1e-12
"""Level that stands for a black surrounding (our choice): the released code divides by 0 there."""


class TLLCMConfig(ClassicalConfig):
    """Settings of TLLCM.

    Attributes:
        kind: Always ``tllcm``.
    """

    kind: Literal["tllcm"] = "tllcm"


class TLLCM(ClassicalMethod[TLLCMConfig]):
    """Three-layer local contrast, one scale."""

    config_type = TLLCMConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return core^2 / surroundings - core, grey levels."""
        core_B1HW = smooth_3x3(grey_B1HW)
        grown_B1HW = pad_zeros(grey_B1HW, _CELL_PX + _CELL_PX // 2)
        cells_B1HW = mean_of(largest_of_window(grown_B1HW, _CELL_PX, _NUM_LARGEST))
        around_B1HW = largest_of(eight_neighbours(cells_B1HW, _CELL_PX)).clamp(min=_FLOOR)
        return core_B1HW * core_B1HW / around_B1HW - core_B1HW
