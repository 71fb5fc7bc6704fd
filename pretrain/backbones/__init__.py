"""Backbones: one family a file; each turns images into a pyramid of maps, with its ``channels`` and ``strides``.

``base``         the contract
``blocks``       convolution blocks that more than one family is built of
``res_unet``     residual encoder of ACM and ALCNet
``nested_unet``  encoder column of DNANet
``tiny_vit``     TinyViT at stride 16, the image encoder of MobileSAM
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pretrain.backbones.base import Backbone, BackboneConfig
from pretrain.backbones.nested_unet import NestedUNet, NestedUNetConfig
from pretrain.backbones.res_unet import ResUNet, ResUNetConfig
from pretrain.backbones.tiny_vit import TinyViT, TinyViTConfig
from synth.settings import check_choice, checked_settings

__all__ = ["Backbone", "BackboneConfig", "BackboneSettings", "backbone_names", "build_backbone", "create_backbone"]

BackboneSettings = Annotated[ResUNetConfig | NestedUNetConfig | TinyViTConfig, Field(discriminator="kind")]
"""Settings of any backbone, told apart by ``kind``."""

_FAMILIES: dict[str, tuple[type[BackboneConfig], type[Any]]] = {
    "res_unet": (ResUNetConfig, ResUNet),
    "nested_unet": (NestedUNetConfig, NestedUNet),
    "tiny_vit": (TinyViTConfig, TinyViT),
}


def backbone_names() -> list[str]:
    """Return the names :func:`create_backbone` knows."""
    return list(_FAMILIES)


def create_backbone(name: str, in_channels: int = 1, **config: Any) -> Backbone:
    """Return a backbone with random weights.

    Args:
        name: One of :func:`backbone_names`.
        in_channels: Channels of the images.
        config: Settings that differ from the defaults of the family's config class.

    Raises:
        RecipeError: The name or a setting is wrong.
    """
    check_choice("backbone", name, _FAMILIES)
    settings = checked_settings("backbone", _FAMILIES[name][0], {"kind": name, "in_channels": in_channels, **config})
    return build_backbone(settings)


def build_backbone(settings: BackboneConfig) -> Backbone:
    """Return the backbone of checked settings, with random weights."""
    family = next(family for config_type, family in _FAMILIES.values() if isinstance(settings, config_type))
    backbone: Backbone = family(settings)
    return backbone
