"""Points of composed frames and the encoder's features at them.

Shapes: B views, N points of a view, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pretrain.compose import Composed
from pretrain.compose.peaks import discs, find_peaks, top_hat
from synth.rng import Stream, keyed_uniforms

CLEARANCE_PX = 5.0
"""Least distance of a background point from a target's centre (our choice: two sigmas of the largest target)."""
HARD_APART_PX = 4.0
"""Least distance between two points of hard background (our choice)."""
_POINTS = 4000
"""Slot number of random points in the keys of draws under ``Stream.INSERTION``."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of each view: what was inserted, then hard background, then random background.

    Attributes:
        places_BN2: float32, rows and columns, px.
        is_valid_BN: bool; false where there is no such point: unused slots, points on targets, padding or ignored pixels.
        is_target_BN: bool.
    """

    places_BN2: Tensor
    is_valid_BN: Tensor
    is_target_BN: Tensor


def draw_points(composed: Composed, num: int, num_hard: int) -> Points:
    """Return points: centres of targets and impostors, the highest other peaks of local contrast, and random ones.

    Args:
        composed: The frames.
        num: Points of a view, all kinds together.
        num_hard: How many of them are peaks of local contrast.
    """
    device, hw, num_slots = composed.first_B1HW.device, composed.hw, composed.kinds_BS.shape[1]
    places = composed.centres_BS2.masked_fill(~composed.is_target_BS[:, :, None], torch.nan)
    is_background = composed.valid_B1HW[:, 0] & ~discs(places, hw, CLEARANCE_PX)
    peaks, is_peak = find_peaks(top_hat(composed.first_B1HW[:, 0]), is_background, num_hard, HARD_APART_PX)
    numbers = np.arange(max(num - num_slots - num_hard, 0))
    keys = composed.positions[:, None, None], _POINTS + numbers[:, None], np.arange(2)
    uniforms = keyed_uniforms(composed.seed, Stream.INSERTION, *keys)
    drawn = torch.from_numpy((uniforms * np.array(hw)).astype(np.int64)).to(device, non_blocking=True)
    is_free = is_background.flatten(1).gather(1, drawn[..., 0] * hw[1] + drawn[..., 1])
    is_target = functional.pad(composed.is_target_BS, (0, num_hard + len(numbers)))
    return Points(
        torch.cat([composed.centres_BS2, peaks.float(), drawn.float()], 1),
        torch.cat([composed.is_used_BS, is_peak, is_free], 1),
        is_target,
    )


def sample_maps(maps: Sequence[Tensor], strides: Sequence[int], points_BN2: Tensor, largest_stride: int) -> Tensor:
    """Return the encoder's features at points, bilinear, maps up to a stride concatenated (at least the finest).

    Map cell i is taken to look at pixel ``stride * i``, where a 3x3 convolution of that stride is centred; cells that pool look
    half a stride further.

    Args:
        maps: As ``encode`` returns them.
        strides: Image pixels per map pixel of each.
        points_BN2: Rows and columns, px, float32.
        largest_stride: Coarsest maps that are used.

    Returns:
        float32 (B, N, C).
    """
    found = []
    for index, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        if stride > largest_stride and index > 0:
            continue
        cells = torch.tensor(features.shape[-2:], dtype=torch.float32).to(points_BN2.device, non_blocking=True)
        grid = 2 * points_BN2 / (stride * (cells - 1).clamp(min=1)) - 1
        sampled = functional.grid_sample(features.float(), grid.flip(2)[:, None], padding_mode="border", align_corners=True)
        found.append(sampled[:, :, 0].transpose(1, 2))
    return torch.cat(found, 2)


def num_features(channels: Sequence[int], strides: Sequence[int], largest_stride: int) -> int:
    """Return the channels that :func:`sample_maps` concatenates."""
    return sum(c for i, (c, stride) in enumerate(zip(channels, strides, strict=True)) if stride <= largest_stride or i == 0)
