"""``lneg``: the objective of SIRST-5K, supervised on the masks of real frames. A reference arm, never a label-free one.

Source: Lu et al., SIRST-5K, TGRS 2024 (arXiv 2403.05416): L_Neg = sum over patch rotations i of L(f(I_i), y_i), the masks rotated
along. Rotation and noise mixing are views (``views.patch_turn``, ``views.noise_mix``), drawn anew for every sample where the
released code writes them to disk once; soft IoU is taken per image where it pools a batch (``loss.reduce`` batch restores that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from pretrain.compose import Composed
from pretrain.losses import LossConfig, mean_over_maps
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.segmenter import Segmenter


class LNegConfig(ObjectiveConfig):
    """Settings of :class:`LNeg`.

    Attributes:
        loss: What is minimised; published: soft IoU alone, pooled over the batch.
    """

    kind: Literal["lneg"] = "lneg"
    loss: LossConfig = LossConfig(soft_iou=1.0)


class LNeg(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network.
    """

    uses_labels: ClassVar[bool] = True
    uses_decoder: ClassVar[bool] = True
    finds_targets: ClassVar[bool] = True
    uses_insertion: ClassVar[bool] = False

    def __init__(self, config: LNegConfig, model: Segmenter) -> None:
        super().__init__()
        self._loss, self.pools_frames = config.loss, config.loss.pools_frames

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the parts of the segmentation loss on the views as they came; frames without a mask teach nothing."""
        batch = composed.batch
        prediction = model(batch.images_B1HW)
        maps = (*prediction.auxiliary, prediction.logits_B1HW)
        valid = batch.valid_B1HW & batch.is_labelled_B[:, None, None, None]
        return mean_over_maps(self._loss, maps, batch.masks_B1HW, valid)
