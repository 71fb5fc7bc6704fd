"""What a training stage offers to the step loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from pretrain.batch import Batch


class Task(Protocol):
    """One stage: a model with its loss and its validation.

    Attributes:
        model: The network; the loop moves it to the device, optimises all of its parameters that require gradients, and
            saves its ``state_dict``.
        best_metric: Key of :meth:`validate`'s result whose highest value marks the best state; None keeps no best.
        trains_all: Whether every parameter that requires a gradient gets one in every step; where some may not, ranks must look
            for them.
        pools_frames: Whether a part of the loss is taken over all frames that are computed together, those of one rank and one
            accumulated part, so that their numbers change the result.
    """

    model: nn.Module
    best_metric: str | None
    trains_all: bool
    pools_frames: bool

    def loss(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return the named parts of the loss, already weighted; their sum is minimised.

        Runs under bf16 autocast when that is on: turn the network's output into float32 before any sum
        (``prediction.float()``); every part must be a float32 scalar. Means over images, so that a batch split over ranks
        gives the gradient of the whole.

        Args:
            batch: Frames on the device of the model.
            step: Number of the optimiser step, from 0.
        """
        ...

    def validate(self) -> Mapping[str, float]:
        """Return measured values by name; the loop has put the model in ``eval`` mode and the averaged weights in place.

        Called on rank 0 alone, without gradients.
        """
        ...
