"""What objectives draw for each sample, by its position in the training order alone."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from pretrain.compose import Composed
from pretrain.view_levels import normal_keys
from pretrain.view_ops import keyed_normals
from synth.rng import Stream, keyed_uniforms


class Purpose(IntEnum):
    """What a draw is for: part of its key; new ones go to the end, so that no other changes."""

    MASKED_BLOCKS = 0
    TURNED_PLACES = 1
    TURNS = 2
    NOISE = 3
    NOISE_WINDOWS = 4


def draw_uniforms(composed: Composed, purpose: Purpose, count: int) -> Tensor:
    """Return uniform draws in [0, 1), float64 (B, count), on the device of the frames.

    Args:
        composed: The frames.
        purpose: What they are for.
        count: Draws of each frame.
    """
    numbers = np.arange(count)
    drawn = keyed_uniforms(composed.seed, Stream.OBJECTIVE, composed.positions[:, None], int(purpose), numbers)
    return torch.from_numpy(drawn).to(composed.images_B1HW.device, non_blocking=True)


def draw_normals(composed: Composed, purpose: Purpose, number: int = 0) -> Tensor:
    """Return standard normal draws for every pixel, float32 (B, H, W).

    Args:
        composed: The frames.
        purpose: What they are for.
        number: Which of several fields.
    """
    keys = normal_keys(composed.seed, Stream.OBJECTIVE, composed.positions, int(purpose), number)
    return keyed_normals(keys.to(composed.images_B1HW.device, non_blocking=True), composed.hw)
