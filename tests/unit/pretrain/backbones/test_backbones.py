"""Laws over every backbone family: a pyramid that is what ``channels`` and ``strides`` say."""

from __future__ import annotations

import pytest
import torch

from pretrain.backbones import backbone_names, create_backbone
from pretrain.backbones.blocks import BatchNorm, Shortcut
from synth.errors import RecipeError


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("name", backbone_names())
def test_pyramid(name, in_channels):
    backbone = create_backbone(name, in_channels).eval()
    side = 2 * backbone.strides[-1]
    with torch.no_grad():
        maps = backbone(torch.rand(2, in_channels, side, 2 * side))
    assert [m.shape for m in maps] == [
        (2, channels, side // stride, 2 * side // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert list(backbone.strides) == sorted(backbone.strides)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_stem_stride(stem_stride):
    backbone = create_backbone("res_unet", widths=(4, 8), blocks=(1, 1), stem_stride=stem_stride)
    assert backbone.strides == (stem_stride, 2 * stem_stride)
    assert backbone(torch.rand(1, 1, 16, 16))[0].shape[-1] == 16 // stem_stride


def test_sliced_shortcut_is_the_strided_convolution():
    """Slicing keeps CPUs alive in channels_last order; the result is the same."""
    shortcut = Shortcut(4, 6, 2)
    conv = shortcut.project[0]
    maps = torch.rand(2, 4, 9, 8)
    strided = torch.nn.functional.conv2d(maps, conv.weight, stride=2)
    torch.testing.assert_close(conv(maps[..., ::2, ::2]), strided)
    maps = torch.rand(2, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    shortcut.to(memory_format=torch.channels_last)(maps).sum().backward()


def test_batch_norm_with_one_value_uses_what_it_has_learnt():
    norm = BatchNorm(3).train()
    norm(torch.rand(4, 3, 2, 2))
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    single = torch.rand(1, 3, 1, 1)
    expected = (single[0, :, 0, 0] - mean) / torch.sqrt(var + norm.eps)
    torch.testing.assert_close(norm(single)[0, :, 0, 0], expected)
    assert torch.equal(norm.running_mean, mean)


def test_faults_are_named():
    names = "res_unet, nested_unet, tiny_vit"
    with pytest.raises(RecipeError, match=rf"backbone must be one of {names}, got 'res_net'; did you mean res_unet"):
        create_backbone("res_net")
    with pytest.raises(RecipeError, match=r"backbone.stem_stride: .*, got 3"):
        create_backbone("res_unet", stem_stride=3)
