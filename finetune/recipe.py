"""What decides a fine-tuning, checked before any work starts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from finetune.detectors import DetectorSettings
from finetune.detectors.base import SMALLEST_PX
from pretrain.runtime.config import TrainConfig
from pretrain.views import ViewConfig


class DataConfig(BaseModel):
    """Which frames train.

    Attributes:
        split: ``train`` leaves the validation list out; ``trainval`` trains on it too, so that nothing is left to validate on:
            the second row of a study, with steps and threshold chosen by an earlier run.
        split_list: Family of lists of all folders, that of ``--validation`` included, or None for the official one of each.
        weights: Share of each ``--data`` in the batches, or None: in proportion to their frames.
        num_frames: Frames of each folder that are used, drawn by ``subset_seed``, or None for all; of a store what was made of
            the frames so drawn (rendered scenes have no such origin: all of them).
        subset_seed: Of the draw of ``num_frames``.
        exclude_near_test: Leave out the frames that look like a test frame of any of the folders, and samples of stores that
            were made of such frames. Published protocols train on them; where false, the key is no part of what a run
            records, so that runs from before there was one go on.
        max_level: Level that stands for 1.0 in 16-bit files of folders, those of ``--validation`` and of tests included (16383
            for 14-bit data), or None for the full range, and then no part of what a run records; a store is scaled already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["train", "trainval"] = "train"
    split_list: str | None = None
    weights: tuple[float, ...] | None = None
    num_frames: int | None = Field(None, ge=1)
    subset_seed: int = Field(0, ge=0)
    exclude_near_test: bool = Field(False, exclude_if=lambda excludes: not excludes)
    max_level: int | None = Field(None, ge=1, le=65_535, exclude_if=lambda level: level is None)


class FinetuneRecipe(BaseModel):
    """One fine-tuning.

    Attributes:
        name: Name of the recipe.
        detector: The network and its loss.
        data: Which frames train.
        views: How they are seen.
        train: Steps, optimiser, schedule.
        threshold: Probability above which a pixel is a target, when ``data.split`` leaves no validation to choose it on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    detector: DetectorSettings
    data: DataConfig = DataConfig()
    views: ViewConfig = ViewConfig()
    train: TrainConfig
    threshold: float | None = Field(None, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _threshold_has_one_source(self) -> Self:
        if (self.threshold is None) == (self.data.split == "trainval"):
            raise ValueError("threshold must be given with data.split trainval, and only there: train chooses it on validation")
        return self

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        check_network(self.detector, self.views)
        return self


def check_network(detector: DetectorSettings, views: ViewConfig) -> None:
    """Raise ValueError when a network cannot take the views that train it, fine-tuning or pretraining."""
    if (channels := detector.backbone.in_channels) != 1:
        raise ValueError(f"detector.backbone.in_channels must be 1, frames have one channel, got {channels}")
    if views.crop_px is not None and views.crop_px < SMALLEST_PX:
        raise ValueError(f"views.crop_px must be >= {SMALLEST_PX}, the smallest side a detector takes, got {views.crop_px}")
