"""Radiometric changes of views: what is done to their levels, drawn for each sample by its position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pretrain.view_config import Radiometry
from pretrain.view_ops import blur, keyed_normals
from pretrain.view_plan import Draw, Floats, Integers
from synth.rng import Stream, keyed_hash, keyed_uniforms


def change_levels(images_BHW: Tensor, config: Radiometry, seed: int, stream: Stream, positions: Integers) -> Tensor:
    """Return views with blur, gamma, gain, offset, grain and column noise, in this order, clamped to [0, 1].

    Args:
        images_BHW: float32.
        config: How much of each.
        seed: Seed of the draws.
        stream: Their purpose; draws have the numbers of :class:`pretrain.view_plan.Draw` under it.
        positions: int64 (B,), what the draws of each sample are keyed by.
    """
    device, hw = images_BHW.device, (images_BHW.shape[1], images_BHW.shape[2])

    def drawn(number: Draw) -> Floats:
        return keyed_uniforms(seed, stream, positions, np.int64(number))

    def spread(values: Floats) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device, non_blocking=True)[:, None, None]

    images = images_BHW
    if config.blur_px:
        images = blur(images, spread(config.blur_px * drawn(Draw.BLUR))[:, 0, 0])
    if config.gamma:
        images = images.clamp(min=0.0) ** spread((1 + config.gamma) ** both_ways(drawn(Draw.GAMMA)))
    if config.gain:
        images = images * spread(1 + config.gain * both_ways(drawn(Draw.GAIN)))
    if config.offset:
        images = images + spread(config.offset * both_ways(drawn(Draw.OFFSET)))
    for name, size_hw in (("grain", hw), ("columns", (1, hw[1]))):
        if sigma := getattr(config, name):
            keys = normal_keys(seed, stream, positions, np.int64(Draw[f"{name.upper()}_KEY"])).to(device, non_blocking=True)
            images = images + spread(sigma * drawn(Draw[name.upper()])) * keyed_normals(keys, size_hw)
    return images.clamp(0.0, 1.0)


def normal_keys(seed: int, stream: Stream, *columns: npt.ArrayLike) -> Tensor:
    """Return keys for :func:`pretrain.view_ops.keyed_normals`, int64 on the host; arguments as ``keyed_hash`` takes them."""
    return torch.from_numpy(keyed_hash(seed, stream, *columns).view(np.int64))


def both_ways(uniforms: Floats) -> Floats:
    """Spread [0, 1) over [-1, 1)."""
    return 2 * uniforms - 1
