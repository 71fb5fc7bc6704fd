"""What every objective is: composed frames in, named parts of a loss out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from pretrain.compose import Composed
from pretrain.segmenter import Segmenter


class ObjectiveConfig(BaseModel):
    """What every objective's settings share.

    Attributes:
        weight: Factor of its loss in the sum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, gt=0, allow_inf_nan=False)


class Objective(nn.Module, ABC):
    """An objective. Parameters of its own (a projection, say) train along with the network and go no further.

    Attributes:
        uses_labels: Whether it reads the masks of labelled frames; such an objective stands alone in a run.
        needs_pairs: Whether it reads the second view and the twins of composed frames.
        uses_decoder: Whether its loss is one of the network's prediction, which all of the network takes part in.
        finds_targets: Whether it teaches the network to find targets, which then detects before it is fine-tuned.
        uses_insertion: Whether it reads more of composed frames than their batch.
        uses_noise: Whether it reads the noise windows that sources have recorded.
        pools_frames: Whether a part of its loss is taken over all frames that are computed together.
    """

    uses_labels: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = False
    uses_decoder: ClassVar[bool] = False
    finds_targets: ClassVar[bool] = False
    uses_insertion: ClassVar[bool] = True
    uses_noise: ClassVar[bool] = False
    pools_frames: bool = False

    @abstractmethod
    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the parts of the loss by name, unweighted float32 scalars: means over the images of the batch.

        Args:
            model: The network.
            composed: What it is shown.
            step: Number of the optimiser step, from 0.
        """
