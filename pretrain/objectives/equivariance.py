"""``equivariance``: what a network says of a frame whose small squares have turned is what it said before, turned.

The patch rotation of SIRST-5K (Lu et al., TGRS 2024) without its labels: squares around peaks of local contrast, and as many
elsewhere, turn by quarters. The student sees the turned radiometric view, its moving average the frame before radiometry; the
teacher's map turns along and is the student's target (consistency: Mean Teacher, Tarvainen & Valpola, NeurIPS 2017). Needs no
labels at all. **Never alone: a constant map solves it.** The combination is our choice and unproven. Not symmetrised: a second
pass with the roles of the views exchanged would cost as much again.

Both parts are 0 exactly where student and teacher agree, which soft IoU of two soft maps is not: overlap is measured by
absolute differences (Jaccard metric loss, Wang et al., NeurIPS 2023, arXiv 2302.05666; soft IoU again when one map is binary),
and from the cross entropy the teacher's own entropy is taken off.

Shapes: B views, K squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from pretrain.compose import Composed
from pretrain.compose.patch_turns import choose_squares, turn_squares, turned_index
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.objectives.draws import Purpose, draw_normals, draw_uniforms
from pretrain.objectives.reconstruction import mean_error
from pretrain.objectives.teacher import Teacher
from pretrain.segmenter import Segmenter
from synth.negatives import PatchSide


class EquivarianceConfig(ObjectiveConfig):
    """Settings of :class:`Equivariance`.

    Attributes:
        weight: Factor of its loss: an auxiliary objective.
        peaks: Peaks of a view whose squares turn, and as many other places.
        side: Side of the squares, px. SIRST-5K releases 2; without labels a turn must move something: a compact target fits 8.
        decay: Of the teacher (BYOL, Grill et al., NeurIPS 2020, starts at 0.996; here it stays there after a warm-up).
        soft_iou: Weight of one minus the overlap.
        bce: Weight of the cross entropy, as the CPU recipes weigh it against soft IoU.
    """

    kind: Literal["equivariance"] = "equivariance"
    weight: float = Field(0.1, gt=0, allow_inf_nan=False)
    peaks: int = Field(4, ge=1, le=64)
    side: PatchSide = 8
    decay: float = Field(0.996, ge=0, lt=1)
    soft_iou: float = Field(1.0, ge=0, allow_inf_nan=False)
    bce: float = Field(10.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _minimises_something(self) -> Self:
        if not (self.soft_iou or self.bce):
            raise ValueError("must weigh soft_iou or bce above 0, got 0 for both")
        return self


class Equivariance(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network.
    """

    uses_decoder: ClassVar[bool] = True

    def __init__(self, config: EquivarianceConfig, model: Segmenter) -> None:
        super().__init__()
        self._config = config
        self.teacher = Teacher(model, config.decay)

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return overlap and cross entropy against the teacher, mean over the network's maps."""
        self.teacher.follow(model, step)
        index = self._turns(composed)
        with torch.no_grad():
            taught = turn_squares(self.teacher.network(composed.images_B1HW).logits_B1HW.float(), index)
        prediction = model(turn_squares(composed.first_B1HW, index))
        maps = (*prediction.auxiliary, prediction.logits_B1HW)
        valid, config = composed.batch.valid_B1HW, self._config
        with torch.autocast(taught.device.type, enabled=False):
            overlaps = [disagreement(logits.float(), taught, valid) for logits in maps]
            entropies = [divergence(logits.float(), taught, valid) for logits in maps]
        return {
            "soft_iou": config.soft_iou * torch.stack(overlaps).mean(),
            "bce": config.bce * torch.stack(entropies).mean(),
        }

    def _turns(self, composed: Composed) -> Tensor:
        """Return the index map of the turns, drawn by position: 1 to 3 quarters each."""
        config, device = self._config, composed.images_B1HW.device
        with torch.autocast(device.type, enabled=False):
            noise = draw_normals(composed, Purpose.TURNED_PLACES)
            valid = composed.batch.valid_B1HW[:, 0]
            starts, is_used = choose_squares(composed.images_B1HW[:, 0], valid, noise, config.peaks, config.side)
        quarters = 1 + (3 * draw_uniforms(composed, Purpose.TURNS, 2 * config.peaks)).long()
        return turned_index(starts, is_used, quarters, config.side, composed.hw)


def disagreement(logits_B1HW: Tensor, taught_B1HW: Tensor, valid_B1HW: Tensor) -> Tensor:
    """Return 1 - (sum min(p, t) + 1) / (sum max(p, t) + 1) of each view, mean over views; 0 where the maps are equal.

    Args:
        logits_B1HW: The student's, float32.
        taught_B1HW: The teacher's.
        valid_B1HW: bool.
    """
    student, teacher = torch.sigmoid(logits_B1HW) * valid_B1HW, torch.sigmoid(taught_B1HW) * valid_B1HW
    shared = torch.minimum(student, teacher).sum((1, 2, 3))
    either = torch.maximum(student, teacher).sum((1, 2, 3))
    return (1.0 - (shared + 1.0) / (either + 1.0)).mean()


def divergence(logits_B1HW: Tensor, taught_B1HW: Tensor, valid_B1HW: Tensor) -> Tensor:
    """Return the cross entropy of the student under the teacher, less the teacher's entropy: mean over pixels, then views."""
    wanted = torch.sigmoid(taught_B1HW)
    crossed, own = (
        functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") for logits in (logits_B1HW, taught_B1HW)
    )
    return mean_error(crossed - own, valid_B1HW)
