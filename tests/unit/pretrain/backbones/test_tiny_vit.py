"""``tiny_vit``: its pyramid, gradients everywhere, and MobileSAM's names for its tensors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from pretrain.backbones import create_backbone
from pretrain.backbones.tiny_vit import load_mobile_sam, timm_name
from pretrain.objectives.masked import Masked, MaskedConfig
from synth.errors import RecipeError, SourceError
from tests.support.composing import batch_of_views, composed_of


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return create_backbone("tiny_vit").eval()


def mobile_sam_names():
    """Return the names of MobileSAM's image encoder, written out from its published structure: 294 tensors and the neck."""
    names = []

    def conv_norm(prefix):
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        names.extend([f"{prefix}.c.weight", *(f"{prefix}.bn.{part}" for part in parts)])

    def pair(prefix):
        names.extend([f"{prefix}.weight", f"{prefix}.bias"])

    conv_norm("patch_embed.seq.0")
    conv_norm("patch_embed.seq.2")
    for layer, depth in enumerate((2, 2, 6, 2)):
        for block in range(depth):
            at = f"layers.{layer}.blocks.{block}"
            if layer == 0:
                for conv in ("conv1", "conv2", "conv3"):
                    conv_norm(f"{at}.{conv}")
                continue
            names.append(f"{at}.attn.attention_biases")
            for part in ("attn.norm", "attn.qkv", "attn.proj", "mlp.norm", "mlp.fc1", "mlp.fc2"):
                pair(f"{at}.{part}")
            conv_norm(f"{at}.local_conv")
        if layer < 3:
            for conv in ("conv1", "conv2", "conv3"):
                conv_norm(f"layers.{layer}.downsample.{conv}")
    pair("norm_head")
    return [f"image_encoder.{name}" for name in names]


@pytest.fixture
def file_tensors(backbone):
    """A file as MobileSAM publishes it: three colours, the neck, prompts; values drawn, shapes of a network of three colours."""
    wanted = create_backbone("tiny_vit", 3).state_dict()
    tensors = {}
    for number, name in enumerate(mobile_sam_names()):
        own = timm_name(name)
        tensors[name] = torch.zeros(320) if own is None else torch.full_like(wanted[own], number % 13)
    return tensors | {
        "image_encoder.neck.0.weight": torch.zeros(256, 320, 1, 1),
        "mask_decoder.iou_token.weight": torch.zeros(1, 256),
    }


def test_292_of_294_names_fit(backbone):
    names = mobile_sam_names()
    mapped = [timm_name(name) for name in names]
    assert len(names) == 294 and mapped.count(None) == 2
    assert {name for name in mapped if name} == set(backbone.state_dict()) and len(backbone.state_dict()) == 292
    assert timm_name("layers.1.downsample.conv2.c.weight") == "stages.2.downsample.conv2.conv.weight"
    assert timm_name("image_encoder.layers.3.blocks.1.attn.attention_bias_idxs") is None


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_mobile_sam_file_fills_it(file_tensors, tmp_path, suffix):
    path = tmp_path / f"mobile_sam{suffix}"
    if suffix == ".pt":
        torch.save(file_tensors, path)
    else:
        safetensors.torch.save_file(file_tensors, path)
    backbone = create_backbone("tiny_vit")
    report = load_mobile_sam(backbone, path)
    assert (len(report.matched), report.missing, report.unexpected) == (292, (), ())
    assert report.provenance == {"kind": "mobile_sam"}
    state = backbone.state_dict()
    for name, tensor in file_tensors.items():
        own = timm_name(name)
        if own == "patch_embed.conv1.conv.weight":
            assert torch.equal(state[own], tensor.sum(1, keepdim=True)), "a grey frame is three equal colours"
        elif own:
            assert torch.equal(state[own], tensor), name


def test_files_that_do_not_fit_are_refused(file_tensors, tmp_path):
    torch.save({name: tensor for name, tensor in file_tensors.items() if "layers.2" not in name}, tmp_path / "part.pt")
    with pytest.raises(SourceError, match=r"part.pt: fill 1.. of 292 tensors of TinyViT"):
        load_mobile_sam(create_backbone("tiny_vit"), tmp_path / "part.pt")
    (tmp_path / "none.pt").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"none.pt: cannot be read"):
        load_mobile_sam(create_backbone("tiny_vit"), tmp_path / "none.pt")
    torch.save({"model": file_tensors}, tmp_path / "nested.pt")
    with pytest.raises(SourceError, match=r"nested.pt: holds more than named tensors"):
        load_mobile_sam(create_backbone("tiny_vit"), tmp_path / "nested.pt")
    with pytest.raises(RecipeError, match=r"backbone.size"):
        create_backbone("tiny_vit", size="7m")


@pytest.mark.parametrize(("size", "channels"), [("5m", (64, 128, 160, 320)), ("11m", (64, 128, 256, 448))])
def test_taps(size, channels):
    found = create_backbone("tiny_vit", size=size)
    assert (found.channels, found.strides) == (channels, (4, 8, 16, 16))


@pytest.mark.parametrize("hw", [(64, 64), (96, 160), (224, 32), (80, 112)])
def test_any_size_in_both_precisions(backbone, hw):
    """Windows of 7 and 14 cells are padded, whatever is left over."""
    images = torch.rand(2, 1, *hw)
    with torch.no_grad():
        maps = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            halves = backbone(images)
    for tensor, half, stride in zip(maps, halves, backbone.strides, strict=True):
        assert tensor.shape[2:] == half.shape[2:] == (hw[0] // stride, hw[1] // stride)
        assert tensor.isfinite().all() and half.isfinite().all()


def test_the_last_merging_keeps_its_grid(backbone):
    """Every second cell of what it gives is what the strided one would have given."""
    merging, maps = backbone.stages[3].downsample, torch.rand(1, 160, 8, 8)
    with torch.no_grad():
        kept = merging(maps)
        merging.conv2.conv.stride = (2, 2)
        halved = merging(maps)
        merging.conv2.conv.stride = (1, 1)
    assert kept.shape[2:] == (8, 8) and halved.shape[2:] == (4, 4)
    torch.testing.assert_close(kept[..., ::2, ::2], halved)


def test_level_and_gain_do_not_matter(backbone):
    images = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        one, other = backbone(images), backbone(images + 5.0)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_masked_modelling_trains_all_of_it():
    """Blocks of 8 px lie within its 4-px cells' neighbourhood; every parameter gets a gradient, attention biases too."""
    torch.manual_seed(0)
    backbone = create_backbone("tiny_vit")
    network = SimpleNamespace(backbone=backbone, encode=backbone)
    objective = Masked(MaskedConfig(), network)
    objective.parts(network, composed_of(batch_of_views(4)), 0)["l1"].backward()
    without = [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # the last normalisation of each MBConv starts at zero (timm), which shuts off what lies before it for one step
    shut = {f"stages.0.blocks.{block}.{conv}" for block in (0, 1) for conv in ("conv1", "conv2", "conv3.conv")}
    assert all(name.startswith(tuple(shut)) for name in without) and len(without) == 2 * 7, without
