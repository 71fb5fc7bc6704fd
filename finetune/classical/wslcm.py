"""WSLCM, weighted strengthened local contrast: local contrast at four scales, weighted by how much a cell stands out.

Source: Han et al., "Infrared small target detection based on the weighted strengthened local contrast measure", GRSL 2021;
moradisaed/WSLCM. Ours computes the statistics of a cell once and shifts them, and takes the contrast as 0 where the
surroundings are black: the released code divides by 0 there, which makes its published false alarms.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.windows import (
    box_mean,
    eight_neighbours,
    largest_of,
    largest_of_window,
    mean_of,
    pad_replicate,
    pad_zeros,
    smooth_3x3,
    spread_of,
)

_CELL_SIDES_PX = (5, 7, 9, 11)  # one scale each
_NUM_LARGEST = 9  # pixels of a cell that are averaged
_MIN_SPREAD = 5.0  # grey levels: a calmer surrounding counts as this


class WSLCMConfig(ClassicalConfig):
    """Settings of WSLCM.

    Attributes:
        kind: Always ``wslcm``.
        prefilter: Whether a 3x3 median, black outside the frame, comes first, as in Linaom1214/ISTD-Benchmark.
    """

    kind: Literal["wslcm"] = "wslcm"
    prefilter: bool = True


class WSLCM(ClassicalMethod[WSLCMConfig]):
    """Weighted strengthened local contrast, four scales."""

    config_type = WSLCMConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the largest weighted contrast of the scales, squared grey levels."""
        if self.config.prefilter:
            grey_B1HW = largest_of_window(pad_zeros(grey_B1HW, 1), 3, 5)[4]
        core_B1HW = smooth_3x3(grey_B1HW)
        return largest_of([_weighted_contrast(grey_B1HW, core_B1HW, side_px) for side_px in _CELL_SIDES_PX])


def _weighted_contrast(grey_B1HW: Tensor, core_B1HW: Tensor, side_px: int) -> Tensor:
    """Return the response of one scale, squared grey levels."""
    margin = side_px + side_px // 2
    brightest_B1HW = mean_of(largest_of_window(pad_zeros(grey_B1HW, margin), side_px, _NUM_LARGEST))
    excess_B1HW = brightest_B1HW - box_mean(pad_replicate(grey_B1HW, margin), side_px)
    around_B1HW = largest_of(eight_neighbours(brightest_B1HW, side_px))
    contrast_B1HW = (core_B1HW * core_B1HW / around_B1HW - core_B1HW).clamp(min=0.0)
    contrast_B1HW = torch.where(around_B1HW > 0.0, contrast_B1HW, 0.0)
    neighbours = eight_neighbours(excess_B1HW, side_px)
    own_B1HW = excess_B1HW[..., side_px:-side_px, side_px:-side_px]
    difference_B1HW = (own_B1HW - largest_of(neighbours)).clamp(min=0.0)
    return own_B1HW * difference_B1HW / spread_of(neighbours).clamp(min=_MIN_SPREAD) * contrast_B1HW
