"""AsymBi: asymmetric bi-directional contextual modulation (Dai et al., ACM, WACV 2021; YimianDai/open-acm model/fusion.py).

Shapes: B batch, H rows, W columns of the low (fine) map; D channels of the high (deep) one, C of the low one.
"""

from __future__ import annotations

from torch import Tensor, nn

from pretrain.backbones.blocks import conv_norm


class AsymBi(nn.Module):
    """Fuses a deep map with a fine one: global context of the deep one gates the fine one, local detail the deep one.

    high' = CBR_1x1(high), td = gate(GAP(high')), bu = gate(low); out = CBR_3x3(2 low td + 2 high' bu), where gate is
    1x1 - BN - ReLU - 1x1 - BN - sigmoid through ``channels / reduction``. Maps of equal width are not projected: high' = high
    (the U-Net form). The convolutions have biases, as the released ones do.

    Args:
        high_channels: D.
        channels: C, of the fine map and of the result.
        reduction: Width over the width of the gates' bottleneck; open-acm: 4.
    """

    def __init__(self, high_channels: int, channels: int, reduction: int = 4) -> None:
        super().__init__()
        bottleneck = max(1, channels // reduction)
        self.reduce_high = nn.Identity() if high_channels == channels else _biased(high_channels, channels, 1)
        self.top_down = _gate(channels, bottleneck)
        self.bottom_up = _gate(channels, bottleneck)
        self.post = _biased(channels, channels, 3)

    def forward(self, high_BDHW: Tensor, low_BCHW: Tensor) -> Tensor:
        """Return the fused map (B, C, H, W); the deep map is already on the fine grid."""
        high = self.reduce_high(high_BDHW)
        top_down = self.top_down(high.mean((2, 3), keepdim=True))
        bottom_up = self.bottom_up(low_BCHW)
        fused: Tensor = self.post(2.0 * low_BCHW * top_down + 2.0 * high * bottom_up)
        return fused


def _biased(in_channels: int, channels: int, kernel_px: int) -> nn.Sequential:
    return nn.Sequential(*conv_norm(in_channels, channels, kernel_px, bias=True), nn.ReLU(inplace=True))


def _gate(channels: int, bottleneck: int) -> nn.Sequential:
    squeeze, expand = _biased(channels, bottleneck, 1), conv_norm(bottleneck, channels, 1, bias=True)
    return nn.Sequential(*squeeze, *expand, nn.Sigmoid())
