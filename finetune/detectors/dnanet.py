"""DNANet: dense nested attention (Li et al., TIP 2022; YeRen123455/Infrared-Small-Target-Detection model/model_DNANet.py).

Nodes x_{i,j}, i + j < number of levels: column j = 0 is the backbone ``nested_unet``; every other node concatenates its
predecessors on the level, the enlarged x_{i+1,j-1} and, below the first level, the reduced x_{i-1,j}. The last anti-diagonal is
fused on full resolution. SIRST-5K's network is the same with a deeper column. Ours takes 1-channel frames in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from finetune.detectors.base import Detector, DetectorConfig, Prediction, set_prior
from pretrain.backbones.blocks import resize
from pretrain.backbones.nested_unet import NestedUNet, NestedUNetConfig, attention_stage


class DNANetConfig(DetectorConfig):
    """Settings of :class:`DNANet`.

    Attributes:
        backbone: Encoder column; published: widths 16..256 and depths 2, 2, 2, 2.
        fusion_channels: Channels every map of the last anti-diagonal gets before fusion (published: 16).
        deep_supervision: Whether x_{0,1}, x_{0,2}, ... have heads of their own, which training supervises.
    """

    kind: Literal["dnanet"] = "dnanet"
    backbone: NestedUNetConfig = NestedUNetConfig()
    fusion_channels: int = Field(16, ge=1)
    deep_supervision: bool = True


class DNANet(Detector):
    """The network; see the module's docstring.

    Args:
        config: Its settings.
    """

    def __init__(self, config: DNANetConfig) -> None:
        super().__init__(NestedUNet(config.backbone), config.loss)
        widths, depths = config.backbone.widths, (1, *config.backbone.blocks)
        self._num_levels = len(widths)
        self.nodes = nn.ModuleDict()
        for column in range(1, self._num_levels):
            for level in range(self._num_levels - column):
                inputs = column * widths[level] + widths[level + 1] + (widths[level - 1] if level else 0)
                self.nodes[f"{level}_{column}"] = attention_stage(inputs, widths[level], depths[level])
        fused = config.fusion_channels
        self.align = nn.ModuleList(nn.Conv2d(width, fused, 1) for width in widths[1:])
        self.fuse = attention_stage(fused * (self._num_levels - 1) + widths[0], fused, 1)
        columns = range(1, self._num_levels - 1) if config.deep_supervision else ()
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(widths[0], 1, 1) for _ in columns)
        self.head = nn.Conv2d(fused, 1, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.xavier_normal_(part.weight)
        for head in (*self.auxiliary_heads, self.head):
            set_prior(head, config.target_prior)

    def decode(self, maps: Sequence[Tensor]) -> Prediction:
        """Return the fused logits, and those of the first level's inner nodes."""
        rows = [[first] for first in maps]
        for column in range(1, self._num_levels):
            for level in range(self._num_levels - column):
                inputs = [*rows[level], _to_grid(rows[level + 1][column - 1], rows[level][0])]
                if level:
                    inputs.append(_to_grid(rows[level - 1][column], rows[level][0]))
                rows[level].append(self.nodes[f"{level}_{column}"](torch.cat(inputs, 1)))
        finest = rows[0][0]
        aligned = [_to_grid(conv(row[-1]), finest) for conv, row in zip(self.align, rows[1:], strict=True)]
        fused = self.fuse(torch.cat([*reversed(aligned), rows[0][-1]], 1))
        auxiliary = tuple(head(node) for head, node in zip(self.auxiliary_heads, rows[0][1:-1], strict=False))
        return Prediction(self.head(fused), auxiliary)


def _to_grid(maps: Tensor, like: Tensor) -> Tensor:
    return resize(maps, (like.shape[-2], like.shape[-1]), align_corners=True)
