"""``tiny_vit``: TinyViT (Wu et al., ECCV 2022) as timm builds it, the image encoder of MobileSAM and IRSAM.

As in MobileSAM (ChaoningZhang/MobileSAM mobile_sam/modeling/tiny_vit_sam.py) the last patch merging keeps its grid, so the
deepest map has stride 16 instead of 32. Ours takes one channel, normalises every image by itself, and returns the map of every
stage. A local MobileSAM file fills it; nothing is ever downloaded. Any size that is a multiple of 16: timm pads its windows.

Shapes: B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pretrain.backbones.base import Backbone, BackboneConfig
from pretrain.backbones.blocks import ImageNorm
from pretrain.backbones.res_unet import run_stages
from pretrain.runtime.weights import LoadReport, fill_model, read_weights
from synth.errors import SourceError

FIRST_STRIDE = 4
"""Stride of the patch embedding."""


class TinyViTConfig(BackboneConfig):
    """Settings of :class:`TinyViT`.

    Attributes:
        size: Parameters of the published network, in millions; MobileSAM's is ``5m``.
    """

    kind: Literal["tiny_vit"] = "tiny_vit"
    size: Literal["5m", "11m", "21m"] = "5m"


class TinyViT(Backbone):
    """The encoder; see the module's docstring.

    Args:
        config: Its settings.
    """

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        from timm.models import create_model  # takes seconds, and only this family needs it

        network: Any = create_model(f"tiny_vit_{config.size}_224", pretrained=False, in_chans=config.in_channels, num_classes=0)
        network.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.channels = tuple(stage["num_chs"] for stage in network.feature_info)
        self.strides = (FIRST_STRIDE, 2 * FIRST_STRIDE, 4 * FIRST_STRIDE, 4 * FIRST_STRIDE)
        self.norm = ImageNorm()
        self.patch_embed: nn.Module = network.patch_embed
        self.stages: nn.ModuleList = nn.ModuleList(network.stages)

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the output of each stage."""
        return run_stages(self.patch_embed(self.norm(images_BCHW)), self.stages)


def load_mobile_sam(backbone: TinyViT, path: Path) -> LoadReport:
    """Fill an encoder of size ``5m`` from a local MobileSAM file.

    The first convolution of three colours is summed over them, which is what it does to a grey frame.

    Args:
        backbone: The encoder.
        path: ``.pt`` as published (read as tensors only, no pickled code runs), or ``.safetensors`` with the same names.

    Raises:
        SourceError: The file cannot be read, or fills less than 95 % of the encoder.
    """
    tensors = read_weights(path)[0] if path.suffix == ".safetensors" else _read_tensors(path)
    renamed = {name: tensor for key, tensor in tensors.items() if (name := timm_name(key)) is not None}
    first = "patch_embed.conv1.conv.weight"
    if first in renamed and backbone.get_parameter(first).shape[1] == 1:
        renamed[first] = renamed[first].sum(1, keepdim=True)
    return fill_model(backbone, renamed, {"kind": "mobile_sam"}, path)


def timm_name(name: str) -> str | None:
    """Return timm's name of a tensor of MobileSAM, or None for tensors outside the encoder's stages.

    There every patch merging closes the stage before it, here it opens the next one.

    Args:
        name: As in MobileSAM's file, with or without ``image_encoder.``.
    """
    name = name.removeprefix("image_encoder.")
    if name.endswith("attention_bias_idxs") or not name.startswith(("patch_embed.", "layers.")):
        return None
    if found := re.match(r"layers\.(\d+)\.(downsample\.)?", name):
        stage = int(found[1]) + (found[2] is not None)
        name = f"stages.{stage}.{found[2] or ''}{name[found.end() :]}"
    name = name.replace("patch_embed.seq.0.", "patch_embed.conv1.").replace("patch_embed.seq.2.", "patch_embed.conv2.")
    return name.replace(".c.", ".conv.")


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise SourceError(
            f"weights {path}: cannot be read ({type(error).__name__}); give the published mobile_sam.pt or a .safetensors file"
        ) from error
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise SourceError(f"weights {path}: holds more than named tensors; give the published mobile_sam.pt")
    return tensors
