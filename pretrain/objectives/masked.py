"""``masked``: predict the structure of masked blocks from what is left of a frame. Needs no labels at all.

Masked image modelling for targets of a few pixels: small blocks (4 or 8 px instead of 16 or 32: a target in a masked block is
unpredictable and would be painted over with background), half of them, so that of any two blocks of like contrast one stays;
the target is normalised by block or high-pass, for the level of a frame says nothing (normalised patches and loss on masked
pixels only: MAE, He et al., CVPR 2022; high-frequency targets: Scale-MAE, Reed et al., ICCV 2023). Masked pixels are replaced,
not removed, so that convolutional encoders can be trained, residual U-Nets too (as SimMIM, Xie et al., CVPR 2022, does for
windowed transformers). Block sides, share and strata are our choice.

Shapes: B views, H rows, W columns, N blocks of a view, P = N // 2 pairs of blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pretrain.backbones.blocks import ImageNorm
from pretrain.compose import Composed
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.objectives.draws import Purpose, draw_uniforms
from pretrain.objectives.reconstruction import ReconstructionHead, mean_error
from pretrain.segmenter import Segmenter
from synth.errors import RecipeError

HIGH_PASS_SIGMA_PX = 1.5
"""Sigma of what the high-pass target subtracts (our choice: about that of a target, which stays in it as a peak)."""
_REACH_PX = 5
"""Reach of its kernel: 3.3 sigma, which leaves out 1e-3 of a Gaussian."""
FLOOR = 0.03
"""Added to the standard deviation of a block, as ``ImageNorm`` adds it to that of a frame: flat blocks stay flat."""


class MaskedConfig(ObjectiveConfig):
    """Settings of :class:`Masked`.

    Attributes:
        weight: Factor of its loss beside ``seg`` (our choice).
        block_px: Side of the blocks that are masked, px; divides the side of the views.
        target: ``normalised``: each block by its own mean and deviation; ``high_pass``: the frame less its Gaussian mean, of
            which nothing can be told from outside a block: on NUAA frames the network said 0 everywhere after 200 steps (error
            1.000 of that of 0; ``normalised`` 0.966), and its pixels told targets worse than an untrained network's.
        dims: Width of the head.
    """

    kind: Literal["masked"] = "masked"
    weight: float = Field(0.5, gt=0, allow_inf_nan=False)
    block_px: Literal[4, 8] = 8
    target: Literal["normalised", "high_pass"] = "normalised"
    dims: int = Field(32, ge=1)


class Masked(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network, of which only the encoder is trained.
    """

    def __init__(self, config: MaskedConfig, model: Segmenter) -> None:
        super().__init__()
        self._config = config
        self.head = ReconstructionHead(model.backbone, config.dims)
        self._normalise = ImageNorm()

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the mean absolute error on masked pixels, in standard deviations of the frame (of the block)."""
        images, block = composed.first_B1HW, self._config.block_px
        if any(side % block for side in composed.hw):
            raise RecipeError(f"objectives.masked.block_px must divide the side of the views, {composed.hw}, got {block}")
        num_pairs = (composed.hw[0] // block) * (composed.hw[1] // block) // 2
        masked = stratified_mask(images, block, draw_uniforms(composed, Purpose.MASKED_BLOCKS, num_pairs))
        predicted = self.head(model.encode(replace_masked(images, masked)))
        with torch.autocast(images.device.type, enabled=False):
            error = (predicted - self._target(images)).abs()
            return {"l1": mean_error(error, masked & composed.batch.valid_B1HW)}

    def _target(self, images_B1HW: Tensor) -> Tensor:
        if self._config.target == "normalised":
            return normalised_blocks(images_B1HW, self._config.block_px)
        return high_pass(self._normalise(images_B1HW))


def stratified_mask(images_B1HW: Tensor, block_px: int, uniforms_BP: Tensor) -> Tensor:
    """Return which pixels are masked: of every two neighbours in the order of the blocks' contrast, one.

    So the masked half and the visible half have the same share of every level of contrast, whatever the frame. The block of
    highest contrast stays visible where their number is odd.

    Args:
        images_B1HW: float32; sides are multiples of ``block_px``.
        block_px: Side of a block.
        uniforms_BP: Draws in [0, 1), one for each pair.

    Returns:
        bool (B, 1, H, W).
    """
    blocks_BNQ = _blocks(images_B1HW, block_px)
    order_BN = blocks_BNQ.std(2, correction=0).argsort(dim=1, stable=True)
    ranks_BP = 2 * torch.arange(uniforms_BP.shape[1], device=images_B1HW.device) + (uniforms_BP < 0.5)
    is_masked_BN = torch.zeros_like(order_BN, dtype=torch.bool).scatter(1, order_BN.gather(1, ranks_BP), True)
    height, width = images_B1HW.shape[2] // block_px, images_B1HW.shape[3] // block_px
    grid = is_masked_BN.view(-1, 1, height, width)
    return grid.repeat_interleave(block_px, 2).repeat_interleave(block_px, 3)


def replace_masked(images_B1HW: Tensor, masked_B1HW: Tensor) -> Tensor:
    """Return views whose masked pixels all have the mean of the visible ones."""
    visible = (~masked_B1HW).float()
    means = (images_B1HW * visible).sum((1, 2, 3), keepdim=True) / visible.sum((1, 2, 3), keepdim=True).clamp(min=1)
    return torch.where(masked_B1HW, means, images_B1HW)


def high_pass(images_B1HW: Tensor) -> Tensor:
    """Return views less their Gaussian mean of sigma ``HIGH_PASS_SIGMA_PX``, borders reflected; float32."""
    taps = [math.exp(-0.5 * (step / HIGH_PASS_SIGMA_PX) ** 2) for step in range(-_REACH_PX, _REACH_PX + 1)]
    kernel = (torch.tensor(taps) / sum(taps)).to(images_B1HW.device, non_blocking=True)
    wide = functional.pad(images_B1HW, (_REACH_PX,) * 4, mode="reflect")
    rows = functional.conv2d(wide, kernel.view(1, 1, -1, 1))
    return images_B1HW - functional.conv2d(rows, kernel.view(1, 1, 1, -1))


def normalised_blocks(images_B1HW: Tensor, block_px: int) -> Tensor:
    """Return views with every block by its own mean and standard deviation, (x - mean) / (std + ``FLOOR``)."""
    blocks_BNQ = _blocks(images_B1HW, block_px)
    mean, deviation = blocks_BNQ.mean(2, keepdim=True), blocks_BNQ.std(2, correction=0, keepdim=True)
    columns = ((blocks_BNQ - mean) / (deviation + FLOOR)).transpose(1, 2)
    hw = images_B1HW.shape[2], images_B1HW.shape[3]
    return functional.fold(columns, hw, block_px, stride=block_px)


def _blocks(images_B1HW: Tensor, block_px: int) -> Tensor:
    """Return the pixels of each block, (B, N, block_px^2), blocks in raster order."""
    return functional.unfold(images_B1HW, block_px, stride=block_px).transpose(1, 2)
