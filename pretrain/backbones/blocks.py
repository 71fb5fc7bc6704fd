"""Convolution blocks that more than one family is built of.

Shapes: B batch, C channels, H rows, W columns; maps are float (B, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that accepts one value a channel in training, as a 1x1 map of a single image gives.

    There is no variance to learn from in that case: the running statistics are used and left as they are. Momentum is
    PyTorch's 0.1: ports of ACM and ALCNet carry MXNet's 0.9, which means the complement here.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise a map (B, C, H, W)."""
        if self.training and input.numel() == input.shape[1]:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        normalised: Tensor = super().forward(input)
        return normalised


class ImageNorm(nn.Module):
    """Normalises every image by its own mean and standard deviation; the floor keeps flat frames flat (our choice: 0.03)."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (x - mean) / (std + 0.03), float32."""
        mean, scale = self.measure(images_BCHW)
        return (images_BCHW.float() - mean) / scale

    @staticmethod
    def measure(images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std + 0.03 of every image, float32 (B, 1, 1, 1)."""
        images = images_BCHW.float()
        return images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True, correction=0) + 0.03


def conv_norm(in_channels: int, channels: int, kernel_px: int = 3, stride: int = 1, *, bias: bool = False) -> nn.Sequential:
    """Return convolution and batch normalisation; padding keeps the size."""
    conv = nn.Conv2d(in_channels, channels, kernel_px, stride, kernel_px // 2, bias=bias)
    return nn.Sequential(conv, BatchNorm(channels))


def conv_norm_act(in_channels: int, channels: int, kernel_px: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU; padding keeps the size."""
    return nn.Sequential(*conv_norm(in_channels, channels, kernel_px, stride), nn.ReLU(inplace=True))


class Shortcut(nn.Module):
    """The skip of a residual block: identity, or 1x1 convolution and normalisation when the shape changes.

    A stride is taken by slicing before an unstrided convolution, which is the same result: the backward pass of a strided
    1x1 convolution in channels_last order ends the process on CPUs (torch 2.13 and 2.15).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: 1 or 2.
        bias: Whether the convolution has a bias.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, bias: bool = False) -> None:
        super().__init__()
        self.stride = stride
        changes = stride != 1 or in_channels != channels
        self.project: nn.Module = conv_norm(in_channels, channels, 1, bias=bias) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, channels, H / stride, W / stride), rounded up."""
        projected: Tensor = self.project(maps[..., :: self.stride, :: self.stride])
        return projected


class BasicBlock(nn.Module):
    """Residual block of the CIFAR networks: two 3x3 convolutions and a shortcut (He et al., CVPR 2016).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(conv_norm_act(in_channels, channels, stride=stride), conv_norm(channels, channels))
        self.shortcut = Shortcut(in_channels, channels, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, channels, H / stride, W / stride), rounded up."""
        return torch.relu(self.residual(maps) + self.shortcut(maps))


class AttentionBlock(nn.Module):
    """DNANet's residual block with channel and spatial attention (Li et al., TIP 2022; CBAM, Woo et al., ECCV 2018).

    Source: YeRen123455/Infrared-Small-Target-Detection model/model_DNANet.py. The convolutions have biases there, and so here.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output, >= 16.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *conv_norm(in_channels, channels, bias=True), nn.ReLU(inplace=True), *conv_norm(channels, channels, bias=True)
        )
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()
        self.shortcut = Shortcut(in_channels, channels, 1, bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, channels, H, W)."""
        attended = self.spatial(self.channel(self.residual(maps)))
        return torch.relu(attended + self.shortcut(maps))


class ChannelAttention(nn.Module):
    """Weighs channels by average and maximum pooled vectors through one shared bottleneck, bias-free.

    Args:
        channels: Channels, >= reduction.
        reduction: Channels over the width of the bottleneck (DNANet: 16).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels, max(1, channels // reduction), 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(max(1, channels // reduction), channels, 1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted maps, same shape."""
        weights = self.bottleneck(maps.mean((2, 3), keepdim=True)) + self.bottleneck(maps.amax((2, 3), keepdim=True))
        return maps * torch.sigmoid(weights)


class SpatialAttention(nn.Module):
    """Weighs pixels by a bias-free 7x7 convolution of the mean and the maximum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted maps, same shape."""
        pooled = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], 1)
        return maps * torch.sigmoid(self.conv(pooled))


def resize(maps: Tensor, hw: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Return maps (B, C, H, W) bilinearly resized to ``hw``, in their own dtype: CUDA's autocast would make them float32."""
    return functional.interpolate(maps, size=hw, mode="bilinear", align_corners=align_corners).to(maps.dtype)
