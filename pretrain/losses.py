"""Losses of segmentation maps: soft IoU, cross entropy, Dice, hard-mined cross entropy with edge emphasis.

All are computed in float32 whatever the autocast, ignore padding, and return their parts by name. Shapes: B batch, H rows,
W columns; ``valid`` is False where pixels are padding.

Sums are taken per image and averaged (``reduce: image``); ``reduce: batch`` pools all pixels of the frames that are computed
together, those of one rank and one accumulated part, as ACM, DNANet and BasicIRSTD do, so its value depends on their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional


class LossConfig(BaseModel):
    """Weights of the parts; a part of weight 0 is not computed.

    Attributes:
        soft_iou: Weight of 1 - (sum p t + 1) / (sum p + sum t - sum p t + 1) (ACM, DNANet: weight 1, reduce batch).
        bce: Weight of the mean binary cross entropy of valid pixels.
        dice: Weight of 1 - (2 sum p t + 1) / (sum p + sum t + 1).
        hard_bce: Weight of the cross entropy of the hardest pixels of the batch, pooled as under ``reduce: batch``, whatever
            ``reduce`` says.
        reduce: Over which pixels soft IoU, Dice and ``bce`` take their sums: ``image``, those of each frame; ``batch``, those of
            all frames of one rank and one accumulated part, so that their numbers change the result (a run with several of them
            warns, and its journal says how many frames are pooled).
        hard_keep: Share of pixels that ``hard_bce`` keeps (PAL, FEST: 0.5).
        edge_weight: Factor of ``hard_bce`` on edge pixels (PAL, FEST: 4).
        edge: ``intended`` weighs the 1-px ring of the mask; ``released`` weighs every pixel, as the code of PAL and FEST does,
            which sets zeros of the edge map to 1 before it sets everything positive to the weight.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    soft_iou: float = Field(1.0, ge=0.0)
    bce: float = Field(0.0, ge=0.0)
    dice: float = Field(0.0, ge=0.0)
    hard_bce: float = Field(0.0, ge=0.0)
    reduce: Literal["image", "batch"] = "image"
    hard_keep: float = Field(0.5, gt=0.0, le=1.0)
    edge_weight: float = Field(4.0, ge=1.0)
    edge: Literal["intended", "released"] = "intended"

    @model_validator(mode="after")
    def _minimises_something(self) -> Self:
        if not any((self.soft_iou, self.bce, self.dice, self.hard_bce)):
            raise ValueError("must weigh one of its parts above 0, got 0 for all")
        return self

    @property
    def pools_frames(self) -> bool:
        """Whether a part is taken over all frames that are computed together."""
        is_pooled = self.reduce == "batch" and bool(self.soft_iou or self.bce or self.dice)
        return is_pooled or bool(self.hard_bce)


def segmentation_loss(config: LossConfig, logits_B1HW: Tensor, masks_B1HW: Tensor, valid_B1HW: Tensor) -> Mapping[str, Tensor]:
    """Return the weighted parts of the loss, float32 scalars by name.

    Args:
        config: Which parts, and their weights.
        logits_B1HW: Logits of any floating type.
        masks_B1HW: Floating, in {0, 1}.
        valid_B1HW: bool.
    """
    with torch.autocast(logits_B1HW.device.type, enabled=False):
        logits, masks, valid = logits_B1HW.float(), masks_B1HW.float(), valid_B1HW.float()
        parts = {}
        if config.soft_iou:
            parts["soft_iou"] = config.soft_iou * soft_iou(logits, masks, valid, config.reduce)
        if config.bce:
            parts["bce"] = config.bce * cross_entropy(logits, masks, valid, config.reduce)
        if config.dice:
            parts["dice"] = config.dice * dice(logits, masks, valid, config.reduce)
        if config.hard_bce:
            parts["hard_bce"] = config.hard_bce * hard_bce(config, logits, masks, valid)
    return parts


def mean_over_maps(config: LossConfig, maps: Sequence[Tensor], masks_B1HW: Tensor, valid_B1HW: Tensor) -> Mapping[str, Tensor]:
    """Return the parts of the loss, means over all supervised maps (deep supervision as in DNANet, Li et al., TIP 2022).

    Args:
        config: Which parts, and their weights.
        maps: Logit maps, at least one, each (B, 1, H, W).
        masks_B1HW: Floating, in {0, 1}.
        valid_B1HW: bool.
    """
    parts: dict[str, Tensor] = {}
    for logits in maps:
        for name, value in segmentation_loss(config, logits, masks_B1HW, valid_B1HW).items():
            parts[name] = parts.get(name, torch.zeros_like(value)) + value / len(maps)
    return parts


def soft_iou(logits: Tensor, masks: Tensor, valid: Tensor, reduce: Literal["image", "batch"]) -> Tensor:
    """Return 1 - soft IoU with the smoothing 1 of YimianDai/open-acm and its descendants; arguments float32 (B, 1, H, W)."""
    shared, either = _overlaps(logits, masks, valid, reduce)
    return (1.0 - (shared + 1.0) / (either - shared + 1.0)).mean()


def cross_entropy(logits: Tensor, masks: Tensor, valid: Tensor, reduce: Literal["image", "batch"]) -> Tensor:
    """Return the mean binary cross entropy of valid pixels, of each image and then over images, or of the batch."""
    dims = _summed(reduce)
    return ((_cross_entropy(logits, masks) * valid).sum(dims) / valid.sum(dims).clamp_min(1.0)).mean()


def dice(logits: Tensor, masks: Tensor, valid: Tensor, reduce: Literal["image", "batch"]) -> Tensor:
    """Return 1 - Dice with smoothing 1 (Milletari et al., V-Net, 3DV 2016, with sums instead of squares)."""
    shared, either = _overlaps(logits, masks, valid, reduce)
    return (1.0 - (2.0 * shared + 1.0) / (either + 1.0)).mean()


def hard_bce(config: LossConfig, logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """Return the mean cross entropy of the hardest pixels of the batch ("edgeSCE" of PAL and FEST; see :class:`LossConfig`).

    A pixel is kept when its loss is at least the value at position floor((1 - keep) * N) of the N sorted losses of valid pixels;
    ties are kept. Nothing here waits for a GPU: pixels of padding are sorted too, to the front.
    """
    weights = torch.full_like(masks, config.edge_weight)
    if config.edge == "intended":
        weights = torch.where(mask_edges(masks), weights, torch.ones_like(weights))
    losses, is_valid = _cross_entropy(logits, masks) * weights, valid > 0
    ranked = losses.detach().masked_fill(~is_valid, -torch.inf).flatten().sort().values
    num_valid = is_valid.sum()
    position = losses.numel() - num_valid + ((1.0 - config.hard_keep) * num_valid.double()).long()
    limit = ranked.gather(0, position.clamp(max=losses.numel() - 1)[None])
    is_kept = is_valid & ~(losses.detach() < limit)  # a loss that is NaN is kept: it must show
    return torch.where(is_kept, losses, 0.0).sum() / is_kept.sum().clamp(min=1)


def mask_edges(masks_B1HW: Tensor) -> Tensor:
    """Return the mask's own pixels that have one of 8 neighbours outside it, bool (B, 1, H, W); our reading of the edge ring."""
    padded = functional.pad(1.0 - masks_B1HW, (1, 1, 1, 1), value=0.0)
    return (masks_B1HW > 0.5) & (functional.max_pool2d(padded, 3, stride=1) > 0.5)


def _overlaps(logits: Tensor, masks: Tensor, valid: Tensor, reduce: Literal["image", "batch"]) -> tuple[Tensor, Tensor]:
    """Return sum p t, and sum p + sum t, one per image or one for the batch."""
    probabilities, truth = torch.sigmoid(logits) * valid, masks * valid
    dims = _summed(reduce)
    return (probabilities * truth).sum(dims), (probabilities + truth).sum(dims)


def _summed(reduce: Literal["image", "batch"]) -> tuple[int, ...]:
    return (1, 2, 3) if reduce == "image" else (0, 1, 2, 3)


def _cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
