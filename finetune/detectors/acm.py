"""ACM: asymmetric contextual modulation (Dai et al., WACV 2021; YimianDai/open-acm), FPN and U-Net forms.

Ours takes 1-channel frames in [0, 1] (published: RGB with ImageNet statistics; the stem normalises its input in both), and any
stem stride; at the published one the prediction is enlarged four times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from finetune.detectors.base import Detector, DetectorConfig, Prediction, set_prior
from finetune.layers.asym_bi import AsymBi
from pretrain.backbones.blocks import conv_norm_act, resize
from pretrain.backbones.res_unet import ResUNet, ResUNetConfig, residual_stage


class ACMConfig(DetectorConfig):
    """Settings of :class:`ACM`.

    Attributes:
        backbone: Encoder; published: widths 16, 32, 64, stem stride 4, 3 or 4 blocks a stage.
        decoder: ``unet`` (transposed convolution, fusion, a residual stage; with 3 blocks this is the network of BasicIRSTD's
            row, 0.398 M parameters) or ``fpn`` (bilinear enlargement and fusion).
    """

    kind: Literal["acm"] = "acm"
    backbone: ResUNetConfig = ResUNetConfig()
    decoder: Literal["fpn", "unet"] = "unet"


class ACM(Detector):
    """The network; see the module's docstring.

    Args:
        config: Its settings.
    """

    def __init__(self, config: ACMConfig) -> None:
        super().__init__(ResUNet(config.backbone), config.loss)
        widths = config.backbone.widths
        is_unet = config.decoder == "unet"
        self._stem_stride = config.backbone.stem_stride
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(high, low, 4, 2, 1) if is_unet else nn.Identity() for low, high in pairwise(widths)
        )
        self.fuse = nn.ModuleList(AsymBi(low if is_unet else high, low) for low, high in pairwise(widths))
        self.refine = nn.ModuleList(
            residual_stage(width, width, depth) if is_unet else nn.Identity()
            for width, depth in zip(widths[:-1], config.backbone.blocks[:-1], strict=True)
        )
        self.head = segmentation_head(widths[0])
        reset_convolutions(self)
        set_prior(self.head[-1], config.target_prior)

    def decode(self, maps: Sequence[Tensor]) -> Prediction:
        """Return logits on the grid of the images."""
        deep = maps[-1]
        for level in range(len(maps) - 2, -1, -1):
            low = maps[level]
            high = self.enlarge[level](deep)
            if high.shape[-2:] != low.shape[-2:]:
                high = resize(high, (low.shape[-2], low.shape[-1]), align_corners=False)
            deep = self.refine[level](self.fuse[level](high, low))
        logits = self.head(deep)
        if self._stem_stride == 1:
            return Prediction(logits)
        height, width = logits.shape[-2:]
        return Prediction(resize(logits, (height * self._stem_stride, width * self._stem_stride), align_corners=False))


def segmentation_head(channels: int) -> nn.Sequential:
    """Return open-acm's head: 3x3 to a quarter of the channels (here at least 4), dropout 0.1, 1x1 to one logit."""
    hidden = max(4, channels // 4)
    return nn.Sequential(conv_norm_act(channels, hidden), nn.Dropout(0.1), nn.Conv2d(hidden, 1, 1))


def reset_convolutions(module: nn.Module) -> None:
    """Draw the weights of all convolutions as open-acm does (MSRA, He et al., ICCV 2015, fan-out) and zero their biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
