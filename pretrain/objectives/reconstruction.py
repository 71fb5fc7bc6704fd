"""Frames predicted from an encoder's maps: a light head and its error, for objectives that reconstruct.

Shapes: B views, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from pretrain.backbones import Backbone
from pretrain.backbones.blocks import resize


class ReconstructionHead(nn.Module):
    """One value a pixel from all maps: 1x1 convolutions to one width, enlarged to the finest grid, summed, one 3x3 convolution.

    Light on purpose, so that the encoder has to do the work (SimMIM, Xie et al., CVPR 2022, finds a linear head enough; the sum
    over levels is that of FPN, Lin et al., CVPR 2017). Coarse finest maps are brought to pixels by a pixel shuffle.

    Args:
        backbone: The encoder whose maps it reads.
        dims: The common width.
    """

    def __init__(self, backbone: Backbone, dims: int) -> None:
        super().__init__()
        self._stride = backbone.strides[0]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, dims, 1) for channels in backbone.channels)
        self.last = nn.Conv2d(dims, self._stride**2, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the prediction, float32 (B, 1, H, W).

        Args:
            maps: As ``encode`` returns them.
        """
        finest = maps[0].shape[-2], maps[0].shape[-1]
        merged = self.laterals[0](maps[0])
        for lateral, features in zip(list(self.laterals)[1:], maps[1:], strict=True):
            merged = merged + resize(lateral(features), finest, align_corners=False)
        return functional.pixel_shuffle(self.last(functional.gelu(merged)), self._stride).float()


def mean_error(errors_B1HW: Tensor, counted_B1HW: Tensor) -> Tensor:
    """Return the mean over the counted pixels of each view, then over views, so that no split of a batch changes it.

    Args:
        errors_B1HW: float32.
        counted_B1HW: bool; a view without any counts as 0.
    """
    sums = (errors_B1HW * counted_B1HW).sum((1, 2, 3))
    return (sums / counted_B1HW.sum((1, 2, 3)).clamp(min=1)).mean()
