"""What objectives get: views with everything that was put into them, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pretrain.batch import Batch
from pretrain.compose.noise import NoiseWindows
from pretrain.compose.plan import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """Composed frames of one batch. S slots of a view: targets first, then impostors.

    Attributes:
        batch: The views before anything was inserted; masks of labelled frames, doubtful discs of unlabelled ones.
        seed: Seed of the draws, for objectives that draw more.
        images_B1HW: float32 in [0, 1], with inserted objects and sensor noise, before radiometry.
        first_B1HW: One radiometric view of them.
        second_B1HW: Another one, flipped and turned; None when no objective asks for pairs.
        twins_B1HW: ``first_B1HW`` with every target replaced by its own pixels shuffled; None like the second.
        masks_B1HW: float32 in {0, 1}, the inserted targets.
        valid_B1HW: bool; false on padding and on ignored pixels.
        ignored_B1HW: bool, what may be a real target (``pretrain.unlabelled``), less the inserted ones.
        centres_BS2: float32, row and column of what was inserted, px.
        kinds_BS: int64, of :class:`Kind`.
        is_used_BS: bool; false where nothing was inserted.
        level_BS: float32, the share of its peak that bounds each target's mask.
        turns_B3: bool, the turn of the second view (``pretrain.compose.turns``).
        grain_B: float32, standard deviation of the sensor noise that was added, units of [0, 1].
        noise: Noise windows that the sources have recorded; None where none has.
    """

    batch: Batch
    seed: int
    images_B1HW: Tensor
    first_B1HW: Tensor
    second_B1HW: Tensor | None
    twins_B1HW: Tensor | None
    masks_B1HW: Tensor
    valid_B1HW: Tensor
    ignored_B1HW: Tensor
    centres_BS2: Tensor
    kinds_BS: Tensor
    is_used_BS: Tensor
    level_BS: Tensor
    turns_B3: Tensor
    grain_B: Tensor
    noise: NoiseWindows | None

    @classmethod
    def untouched(cls, batch: Batch) -> Composed:
        """Return views into which nothing was inserted: no slots, no second view."""
        images, num = batch.images_B1HW, len(batch.images_B1HW)
        none = torch.zeros(num, 0, dtype=torch.bool, device=images.device)
        return cls(
            batch=batch, seed=0, images_B1HW=images, first_B1HW=images, second_B1HW=None, twins_B1HW=None,
            masks_B1HW=torch.zeros_like(images), valid_B1HW=batch.valid_B1HW,
            ignored_B1HW=torch.zeros_like(batch.valid_B1HW), centres_BS2=images.new_zeros(num, 0, 2), kinds_BS=none.long(),
            is_used_BS=none, level_BS=images.new_zeros(num, 0), turns_B3=none.new_zeros(num, 3), grain_B=images.new_zeros(num),
            noise=None,
        )  # fmt: skip

    @property
    def hw(self) -> tuple[int, int]:
        """Rows and columns of the views."""
        return self.images_B1HW.shape[2], self.images_B1HW.shape[3]

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Positions in the training order, (B,)."""
        return self.batch.positions

    @property
    def is_target_BS(self) -> Tensor:
        """Which slots hold a target."""
        return self.is_used_BS & (self.kinds_BS == Kind.TARGET)

    @property
    def is_impostor_BS(self) -> Tensor:
        """Which slots hold an impostor."""
        return self.is_used_BS & (self.kinds_BS != Kind.TARGET)
