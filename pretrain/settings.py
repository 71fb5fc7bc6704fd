"""What decides a pretraining besides its network, checked before any work starts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pretrain.compose import InsertionConfig
from pretrain.compose.composer import SMALLEST_PX
from pretrain.objectives import ObjectiveSettings, objective_class
from pretrain.objectives.masked import MaskedConfig
from pretrain.runtime.config import TrainConfig
from pretrain.unlabelled import DoubtConfig
from pretrain.view_config import ViewConfig


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PretrainData(_Config):
    """Which frames train.

    Attributes:
        split: Of folders with lists: ``train`` leaves the validation list out, ``trainval`` takes it in and thereby bars a
            fine-tuning from validating on it; ``test`` is always refused. Folders without lists are taken whole.
        split_list: Family of lists of the folders, or None for the official one.
        weights: Share of each ``--data`` in the batches, or None: in proportion to their frames.
        num_frames: Frames of each folder that train, drawn by ``subset_seed`` as a fine-tuning draws them, or None for all;
            what an objective that uses labels may know of in a study of few labels. Those like test frames leave the draw.
        subset_seed: Of that draw.
        max_level: Level that stands for 1.0 in 16-bit files of folders (16383 for 14-bit data), or None for the full range; a
            store is scaled already.
    """

    split: Literal["train", "trainval", "test"] = "train"
    split_list: str | None = None
    weights: tuple[float, ...] | None = None
    num_frames: int | None = Field(None, ge=1, exclude_if=lambda count: count is None)
    subset_seed: int = Field(0, ge=0, exclude_if=lambda seed: seed == 0)
    max_level: int | None = Field(None, ge=1, le=65_535, exclude_if=lambda level: level is None)


class HeldOut(_Config):
    """Frames kept out of training, which synthetic targets are inserted into for validation.

    Attributes:
        frames: Frames of each source, a quarter of it at most, by keyed choice, the same for every seed of training. In a
            store, other copies of the same source frame may train: its validation is the milder one.
        crops: Least number of composed crops of them all that are looked at: they come in whole batches of 16, or of as many as
            there are frames held out where these are fewer.
    """

    frames: int = Field(12, ge=1)
    crops: int = Field(64, ge=1, le=4096)


class PretrainSettings(_Config):
    """One pretraining, but for the network.

    Attributes:
        objectives: What is learnt; each kind once.
        data: Which frames train.
        views: How they are cut out; for label-free objectives lossless geometry only, whatever else is done follows insertion.
        insertion: What is put into them, and what is done to the result.
        doubt: What of unlabelled frames losses ignore, for it may be a target.
        held_out: Frames for validation.
        train: Steps, optimiser, schedule.
    """

    objectives: tuple[ObjectiveSettings, ...] = Field(min_length=1)
    data: PretrainData = PretrainData()
    views: ViewConfig = ViewConfig()
    insertion: InsertionConfig = InsertionConfig()
    doubt: DoubtConfig = DoubtConfig()
    held_out: HeldOut = HeldOut()
    train: TrainConfig

    @property
    def uses_labels(self) -> bool:
        """Whether masks of real frames are learnt from; otherwise nobody sees them."""
        return any(objective_class(objective).uses_labels for objective in self.objectives)

    @property
    def needs_pairs(self) -> bool:
        """Whether second views and twins are made."""
        return any(objective_class(objective).needs_pairs for objective in self.objectives)

    @property
    def uses_insertion(self) -> bool:
        """Whether the network is shown what insertion makes of views; otherwise they are shown as they came."""
        return any(objective_class(objective).uses_insertion for objective in self.objectives)

    @property
    def uses_noise(self) -> bool:
        """Whether the noise windows that sources have recorded are read."""
        return any(objective_class(objective).uses_noise for objective in self.objectives)

    @property
    def finds_targets(self) -> bool:
        """Whether the network learns to find targets."""
        return any(objective_class(objective).finds_targets for objective in self.objectives)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the objectives."""
        return tuple(objective.kind for objective in self.objectives)

    @model_validator(mode="after")
    def _objectives_fit(self) -> Self:
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"objectives must be of different kinds, got {', '.join(self.kinds)}")
        if self.uses_labels and len(self.kinds) > 1:
            raise ValueError(f"objectives must stand alone when they use labels (lneg), got {', '.join(self.kinds)}")
        if not self.uses_labels and (self.views.needs_targets or not self.views.is_lossless):
            raise ValueError("views must be lossless and without patch_turn for label-free objectives; set insertion.radiometry")
        if self.views.crop_px is None:
            raise ValueError("views.crop_px must be a number in pretraining, got null")
        if self.views.crop_px < SMALLEST_PX:
            raise ValueError(f"views.crop_px must be >= {SMALLEST_PX} for insertion, got {self.views.crop_px}")
        blocks = [objective.block_px for objective in self.objectives if isinstance(objective, MaskedConfig)]
        if uneven := [block for block in blocks if self.views.crop_px % block]:
            raise ValueError(f"objectives.masked.block_px must divide views.crop_px {self.views.crop_px}, got {uneven[0]}")
        return self
