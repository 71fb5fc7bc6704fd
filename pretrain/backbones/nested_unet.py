"""``nested_unet``: the encoder column of DNANet's nest (Li et al., TIP 2022; YeRen123455/Infrared-Small-Target-Detection).

Five grids, 2x2 maximum pooling between them; level 0 has one block, the others ``blocks`` each. SIRST-5K's network has the depths
3, 4, 6, 3 ("resnet_34", luy0222/SIRST-5K model/model.py), DNANet's default 2, 2, 2, 2 ("resnet_18"). The nodes beyond the
column belong to the detector, which needs them to decode.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from pretrain.backbones.base import Backbone, BackboneConfig, Depth, Width
from pretrain.backbones.blocks import AttentionBlock


class NestedUNetConfig(BackboneConfig):
    """Settings of :class:`NestedUNet`.

    Attributes:
        widths: Channels of each level, stride 1 first.
        blocks: Blocks of each level below the first.
    """

    kind: Literal["nested_unet"] = "nested_unet"
    widths: tuple[Width, ...] = Field((16, 32, 64, 128, 256), min_length=2, max_length=6)
    blocks: tuple[Depth, ...] = (2, 2, 2, 2)

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.blocks) != len(self.widths) - 1:
            raise ValueError(f"blocks must have one entry less than widths, {len(self.widths) - 1}, got {len(self.blocks)}")
        return self


class NestedUNet(Backbone):
    """The encoder column x_{i,0}; see the module's docstring.

    Args:
        config: Its settings.
    """

    def __init__(self, config: NestedUNetConfig) -> None:
        super().__init__()
        self.channels = config.widths
        self.strides = tuple(2**level for level in range(len(config.widths)))
        inputs, depths = (config.in_channels, *config.widths[:-1]), (1, *config.blocks)
        self.levels = nn.ModuleList(map(attention_stage, inputs, config.widths, depths))

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return x_{0,0}, x_{1,0}, ..."""
        maps: tuple[Tensor, ...] = (self.levels[0](images_BCHW),)
        for level in self.levels[1:]:
            maps = (*maps, level(functional.max_pool2d(maps[-1], 2)))
        return maps


def attention_stage(in_channels: int, channels: int, num_blocks: int) -> nn.Sequential:
    """Return a stage of attention blocks; the first one changes the width."""
    first = AttentionBlock(in_channels, channels)
    return nn.Sequential(first, *(AttentionBlock(channels, channels) for _ in range(num_blocks - 1)))
