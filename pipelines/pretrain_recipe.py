"""What decides a pretraining: the network, which is a detector of ``finetune``, and everything ``pretrain`` settles.

It lives here because ``pretrain`` must not import ``finetune``, and ``finetune`` has no part in it.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from finetune.detectors import DetectorSettings
from finetune.recipe import check_network
from pretrain.settings import PretrainSettings


class PretrainRecipe(PretrainSettings):
    """One pretraining.

    Attributes:
        name: Name of the recipe.
        detector: The network, encoder and decoder; its own loss is for fine-tuning.
    """

    name: str = Field(min_length=1)
    detector: DetectorSettings

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        check_network(self.detector, self.views)
        return self
