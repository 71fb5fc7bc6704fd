"""What the feed hands to a training step.

Suffixes here and in all of ``pretrain``: B frames of the batch, N frames of a pool, H rows, W columns, T targets, M noise
windows, K donors, S side of a square, P pixels that move; the axis written 1 is the one grey channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames of one size on one device.

    Attributes:
        images_B1HW: float32 in [0, 1].
        masks_B1HW: float32 in {0, 1}; where ``is_labelled_B`` is false, 0 but for pasted targets, and in label-free pretraining
            for what may be a target (``pretrain.unlabelled``).
        valid_B1HW: bool; false on padding, which losses leave out.
        is_labelled_B: bool; false where the mask is unknown, which is not empty.
        positions: int64 (B,), positions in the training order: the key of everything random about a sample.
        sources: int64 (B,), number of the pool each frame comes from.
        indices: int64 (B,), its index there.
    """

    images_B1HW: Tensor
    masks_B1HW: Tensor
    valid_B1HW: Tensor
    is_labelled_B: Tensor
    positions: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)
