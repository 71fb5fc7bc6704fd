"""``res_unet``: the residual encoder of ACM and ALCNet (Dai et al., WACV 2021; YimianDai/open-acm).

Published: a stem that ends at a quarter of the image, then stages of CIFAR basic blocks with widths 16, 32, 64. Ours takes the
stem's stride and the widths from the config, so that a network for CPUs can keep full resolution, where targets of a few
pixels survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from pretrain.backbones.base import Backbone, BackboneConfig, Depth, Width
from pretrain.backbones.blocks import BasicBlock, BatchNorm, ImageNorm, conv_norm_act


class ResUNetConfig(BackboneConfig):
    """Settings of :class:`ResUNet`.

    Attributes:
        widths: Channels of each stage; the first stage keeps the stem's grid, every further one halves it.
        blocks: Basic blocks of each stage (open-acm's default: 3; its commands: 4).
        stem_stride: 4 as published (strided convolution and maximum pooling), 2 (strided convolution), or 1.
        input_norm: ``batch``: the released normalisation over the batch, without scale and shift; ``image``: every image by its
            own mean and standard deviation, (x - mean) / (std + 0.03), so that level and gain of a sensor do not matter.
    """

    kind: Literal["res_unet"] = "res_unet"
    widths: tuple[Width, ...] = Field((16, 32, 64), min_length=2, max_length=6)
    blocks: tuple[Depth, ...] = (3, 3, 3)
    stem_stride: Literal[1, 2, 4] = 4
    input_norm: Literal["batch", "image"] = "batch"

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks must have as many entries as widths, {len(self.widths)}, got {len(self.blocks)}")
        return self


class ResUNet(Backbone):
    """The encoder; see the module's docstring.

    Args:
        config: Its settings.
    """

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__()
        self.channels = config.widths
        self.strides = tuple(config.stem_stride * 2**level for level in range(len(config.widths)))
        norm = BatchNorm(config.in_channels, affine=False) if config.input_norm == "batch" else ImageNorm()
        self.stem = _stem(norm, config.in_channels, config.widths[0], config.stem_stride)
        self.stages = nn.ModuleList(
            residual_stage(config.widths[max(level - 1, 0)], width, depth, 1 if level == 0 else 2)
            for level, (width, depth) in enumerate(zip(config.widths, config.blocks, strict=True))
        )

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the output of each stage."""
        return run_stages(self.stem(images_BCHW), self.stages)


def residual_stage(in_channels: int, channels: int, num_blocks: int, stride: int = 1) -> nn.Sequential:
    """Return a stage of basic blocks; the first one changes width and grid."""
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(num_blocks - 1)))


def run_stages(maps: Tensor, stages: Sequence[nn.Module] | nn.ModuleList) -> tuple[Tensor, ...]:
    """Return the outputs of stages that feed each other."""
    outputs = []
    for stage in stages:
        maps = stage(maps)
        outputs.append(maps)
    return tuple(outputs)


def _stem(norm: nn.Module, in_channels: int, width: int, stride: int) -> nn.Sequential:
    """Return normalisation of the input and three convolutions, the first two at half the width."""
    half = max(1, width // 2)
    layers: list[nn.Module] = [
        norm,
        conv_norm_act(in_channels, half, stride=1 if stride == 1 else 2),
        conv_norm_act(half, half),
        conv_norm_act(half, width),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if stride == 4 else []))
