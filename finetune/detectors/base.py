"""What every detector is: ``encode`` to maps, ``decode`` to logits, any image size, loss parts with names.

Shapes: B batch, C channels, H rows, W columns of the images as given; h, w of the padded ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from finetune.losses import LossConfig, mean_over_maps
from pretrain.backbones import Backbone
from synth.errors import SourceError

SMALLEST_PX = 32
"""Smallest side a detector takes, px."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a detector says of a batch.

    Attributes:
        logits_B1HW: The prediction; its sigmoid is the probability of a target pixel.
        auxiliary: Further logit maps (B, 1, H, W) that training supervises, and nobody else reads.
    """

    logits_B1HW: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class LabelledBatch(Protocol):
    """What :meth:`Detector.loss` needs of a batch (``pretrain.feed.Batch`` has it)."""

    @property
    def masks_B1HW(self) -> Tensor:
        """float32 in {0, 1}."""

    @property
    def valid_B1HW(self) -> Tensor:
        """bool; False is padding, which no loss sees."""


class DetectorConfig(BaseModel):
    """What every detector's settings share.

    Attributes:
        loss: What training minimises.
        target_prior: Probability of a target pixel that the untrained network predicts. Without it soft-IoU training
            can start, and stay, all background (facts on pretraining: 1 of 3 seeds).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: LossConfig = LossConfig()
    target_prior: float = Field(1e-3, gt=0.0, lt=1.0)


class Detector(nn.Module, ABC):
    """A segmentation network for small targets.

    Args:
        backbone: Its encoder.
        loss: What training minimises.

    Attributes:
        backbone: The encoder.
    """

    def __init__(self, backbone: Backbone, loss: LossConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self._loss = loss

    @property
    def deep_channels(self) -> int:
        """Channels of the deepest map of :meth:`encode`."""
        return self.backbone.channels[-1]

    @property
    def deep_stride(self) -> int:
        """Image pixels per pixel of the deepest map."""
        return self.backbone.strides[-1]

    @property
    def pools_frames(self) -> bool:
        """Whether a part of the loss is taken over all frames that are computed together."""
        return self._loss.pools_frames

    def encode(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's maps, fine to coarse; the last one may be replaced before :meth:`decode`.

        Args:
            images_BCHW: float in [0, 1], H and W multiples of ``deep_stride``.
        """
        maps: tuple[Tensor, ...] = self.backbone(images_BCHW)
        return maps

    @abstractmethod
    def decode(self, maps: Sequence[Tensor]) -> Prediction:
        """Return logits on the grid of the images.

        Args:
            maps: As :meth:`encode` returns them.
        """

    def forward(self, images_BCHW: Tensor) -> Prediction:
        """Return the prediction for images of any size: padded by their border values, and the prediction cropped.

        Args:
            images_BCHW: float in [0, 1], sides >= 32 px.

        Raises:
            SourceError: The images are smaller.
        """
        height, width = images_BCHW.shape[-2:]
        if min(height, width) < SMALLEST_PX:
            raise SourceError(f"images must have sides of at least {SMALLEST_PX} px, got {height}x{width}; pad them")
        pad = (-width % self.deep_stride, -height % self.deep_stride)
        if pad == (0, 0):
            return self.decode(self.encode(images_BCHW))
        padded = self.decode(self.encode(functional.pad(images_BCHW, (0, pad[0], 0, pad[1]), mode="replicate")))
        return Prediction(
            padded.logits_B1HW[..., :height, :width], tuple(logits[..., :height, :width] for logits in padded.auxiliary)
        )

    def loss(self, prediction: Prediction, batch: LabelledBatch) -> Mapping[str, Tensor]:
        """Return named parts whose sum is minimised: the mean over all supervised maps (DNANet's deep supervision).

        Args:
            prediction: Of the batch's images.
            batch: Masks and what of them is valid.
        """
        maps = (*prediction.auxiliary, prediction.logits_B1HW)
        return mean_over_maps(self._loss, maps, batch.masks_B1HW, batch.valid_B1HW)


def set_prior(last: nn.Module, probability: float) -> None:
    """Let a head's last convolution predict ``probability`` everywhere at first, with weights so small that they turn fast.

    Source: Lin et al., RetinaNet, ICCV 2017, section 4.1: weights of standard deviation 0.01 and the bias of the prior.
    """
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    nn.init.normal_(last.weight, std=0.01)
    nn.init.constant_(last.bias, math.log(probability / (1.0 - probability)))
