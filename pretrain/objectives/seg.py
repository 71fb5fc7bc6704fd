"""``seg``: segment the inserted targets, and nothing else.

Supervised on synthetic labels, label-free on real frames: never call it plainly self-supervised. Idea and constants are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from pretrain.compose import Composed
from pretrain.losses import LossConfig, mean_over_maps
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.segmenter import Segmenter


class SegConfig(ObjectiveConfig):
    """Settings of :class:`Seg`.

    Attributes:
        loss: What is minimised; default: per-image soft IoU and ten times the mean cross entropy, as the CPU recipes fine-tune.
    """

    kind: Literal["seg"] = "seg"
    loss: LossConfig = LossConfig(soft_iou=1.0, bce=10.0)


class Seg(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network.
    """

    uses_decoder: ClassVar[bool] = True
    finds_targets: ClassVar[bool] = True

    def __init__(self, config: SegConfig, model: Segmenter) -> None:
        super().__init__()
        self._loss, self.pools_frames = config.loss, config.loss.pools_frames

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the parts of the segmentation loss; impostors, background and all else are no target, ignored discs unknown."""
        prediction = model(composed.first_B1HW)
        maps = (*prediction.auxiliary, prediction.logits_B1HW)
        return mean_over_maps(self._loss, maps, composed.masks_B1HW, composed.valid_B1HW)
