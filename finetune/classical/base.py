"""What every classical method shares: frames in [0, 1] in, saliency in grey levels out.

Suffixes: B frames, H rows, W columns; the second axis of frames is the one grey channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from synth.errors import SourceError

MAX_LEVEL = 255.0
"""Grey levels that 1.0 stands for: every constant of the nine papers is written for 8-bit frames."""

LEVEL_TOLERANCE = 1e-3
"""How far a frame's values may lie from whole levels to count as 8-bit, levels (our choice): float32 misses by 2e-5 at most."""

_ROUNDING = 1e-6
"""How far outside [0, 1] a value may lie: rounding of resampled frames (our choice, as ``finetune.metrics.inputs``)."""


class ClassicalConfig(BaseModel):
    """Settings of a method; every method has its own subclass.

    Attributes:
        kind: Name of the method.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str


ConfigT = TypeVar("ConfigT", bound=ClassicalConfig)


class ClassicalMethod(ABC, Generic[ConfigT]):
    """A detector that needs no training.

    Args:
        config: Its settings.

    Attributes:
        config_type: Class of the settings.
    """

    config_type: ClassVar[type[ClassicalConfig]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @property
    def label(self) -> str:
        """What result tables add to its name, such as "reconstruction", or ""."""
        return ""

    def __call__(self, frames_B1HW: Tensor) -> Tensor:
        """Return the saliency of frames of one size.

        Frames that came from 8 bits are rounded to their levels first, so that ties and strict thresholds behave as on
        integers; the others keep their values. The input is not written to.

        Args:
            frames_B1HW: float32 or float64 (B, 1, H, W) in [0, 1], on any device.

        Returns:
            (B, 1, H, W), grey levels of 0..255 (squared levels for ``wslcm``), 0 and more, dtype and device of the input.

        Raises:
            SourceError: Shape, type or values are not those above.
        """
        check_frames(frames_B1HW)
        with torch.no_grad():
            return self.saliency(to_grey(frames_B1HW)).clamp(min=0.0).to(frames_B1HW.dtype)

    @abstractmethod
    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the response of the method; negative values are clipped by the caller.

        Args:
            grey_B1HW: float32 or float64 (B, 1, H, W) in grey levels 0..255; the method's own copy.

        Returns:
            (B, 1, H, W), finite.
        """


def check_frames(frames_B1HW: object) -> None:
    """Refuse what is no tensor of frames in [0, 1].

    Raises:
        SourceError: It is not.
    """
    if not isinstance(frames_B1HW, Tensor):
        kind = f"{type(frames_B1HW).__module__}.{type(frames_B1HW).__qualname__}".removeprefix("builtins.")
        raise SourceError(f"frames must be a torch tensor, got {kind}; use torch.from_numpy(frames)")
    shape = tuple(frames_B1HW.shape)
    if len(shape) != 4 or shape[1] != 1 or 0 in shape:
        raise SourceError(f"frames must be a batch of shape (B, 1, H, W), got {shape}; group frames by size, one channel each")
    if frames_B1HW.dtype not in (torch.float32, torch.float64):
        raise SourceError(f"frames must be float32 or float64 in 0..1, got {frames_B1HW.dtype}; divide levels by their highest")
    lowest, highest = (float(bound) for bound in torch.aminmax(frames_B1HW))
    if not (lowest >= -_ROUNDING and highest <= 1.0 + _ROUNDING):  # NaN fails every comparison
        raise SourceError(f"frames must be finite and in 0..1, got {lowest:g}..{highest:g}; divide levels by their highest")


def to_grey(frames_B1HW: Tensor) -> Tensor:
    """Return frames in grey levels; those that came from 8 bits become whole numbers.

    Args:
        frames_B1HW: Floating (B, 1, H, W) in [0, 1].

    Returns:
        A new tensor, (B, 1, H, W) in 0..255.
    """
    grey_B1HW = frames_B1HW * MAX_LEVEL
    whole_B1HW = grey_B1HW.round()
    is_whole_B111 = ((grey_B1HW - whole_B1HW).abs() <= LEVEL_TOLERANCE).flatten(1).all(dim=1).view(-1, 1, 1, 1)
    return torch.where(is_whole_B111, whole_B1HW, grey_B1HW)
