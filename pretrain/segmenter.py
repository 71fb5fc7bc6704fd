"""What pretraining needs of a network: a backbone, maps, and logits made of them. Every detector of ``finetune`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from pretrain.backbones import Backbone


class SegmentationMaps(Protocol):
    """What a network predicts of a batch."""

    @property
    def logits_B1HW(self) -> Tensor:
        """Log-odds of a target at every pixel."""

    @property
    def auxiliary(self) -> tuple[Tensor, ...]:
        """Further logit maps that training supervises."""


class Segmenter(Protocol):
    """A segmentation network whose encoder can be asked alone.

    Attributes:
        backbone: Its encoder, with the strides of its maps.
    """

    backbone: Backbone

    def encode(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's maps, fine to coarse; sides of the images are multiples of the last stride."""

    def decode(self, maps: Sequence[Tensor]) -> SegmentationMaps:
        """Return the prediction on the grid of the images."""

    def __call__(self, images_BCHW: Tensor) -> SegmentationMaps:
        """Return the prediction for images in [0, 1] of any size."""
