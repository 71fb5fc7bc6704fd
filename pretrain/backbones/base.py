"""What every backbone is: images in, a pyramid of maps out, fine to coarse.

Shapes: B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=64)]


class BackboneConfig(BaseModel):
    """What every backbone's settings share.

    Attributes:
        in_channels: Channels of the images; infrared frames have 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(1, ge=1, le=16)


class Backbone(nn.Module, ABC):
    """An encoder.

    Attributes:
        channels: Channels of each map, fine to coarse.
        strides: Image pixels per map pixel, fine to coarse; images come in multiples of the last.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @abstractmethod
    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the pyramid, (B, channels[i], H / strides[i], W / strides[i]) each.

        Args:
            images_BCHW: float, H and W multiples of ``strides[-1]``.
        """
