"""Top-Hat: what an opening removes, that is whatever is brighter than its surroundings and smaller than a square.

G = I - open(I, B). Source: Linaom1214/ISTD-Benchmark (TopHat), where B is 5x5; the square stays inside the frame at its
borders, as there. Ours doubles runs of pixels until they are as long as the square, first down the columns, then along the rows.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.windows import largest_of_window


class TopHatConfig(ClassicalConfig):
    """Settings of Top-Hat.

    Attributes:
        kind: Always ``tophat``.
        side_px: Side of the square, odd; 5 makes the published rows, 9 is better on NUAA-SIRST.
    """

    kind: Literal["tophat"] = "tophat"
    side_px: int = Field(default=5, ge=3, le=101)

    @field_validator("side_px")
    @classmethod
    def _odd(cls, side_px: int) -> int:
        if side_px % 2 == 0:
            raise ValueError("must be odd")
        return side_px


class TopHat(ClassicalMethod[TopHatConfig]):
    """White top-hat with a square."""

    config_type = TopHatConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the frame minus its opening, grey levels."""
        eroded_B1HW = -self._dilate(-grey_B1HW)
        return grey_B1HW - self._dilate(eroded_B1HW)

    def _dilate(self, grey_B1HW: Tensor) -> Tensor:
        reach = self.config.side_px // 2
        grown_B1HW = F.pad(grey_B1HW, (reach,) * 4, value=-math.inf)
        return largest_of_window(grown_B1HW, self.config.side_px, 1)[0]
