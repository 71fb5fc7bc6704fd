"""What a study trains: arms x budgets x seeds on data sets, checked before any work starts."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=40)]
"""A name that becomes part of a path."""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSet(_Config):
    """A data set of the study.

    Attributes:
        name: What tables call it.
        folder: Its folder below ``--data``.
    """

    name: Name
    folder: str = Field(min_length=1)


class Arm(_Config):
    """One way to train.

    Attributes:
        name: What tables call it.
        about: One line for the reader of the table.
        synthesize: Recipe of the data set to train on, made from the training frames; null trains on these themselves.
        synthesis: ``key=value`` overrides of that recipe.
        train: ``key=value`` overrides of the fine-tuning recipe.
    """

    name: Name
    about: str = Field(min_length=1)
    synthesize: str | None = None
    synthesis: tuple[str, ...] = ()
    train: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.synthesis and self.synthesize is None:
            raise ValueError(f"synthesis must stand with synthesize, got {list(self.synthesis)} without")
        return self


class Budget(_Config):
    """How long arms train.

    Attributes:
        name: What tables call it.
        kind: ``steps``: the study's steps for every arm; ``epochs``: steps in proportion to the frames of the arm.
        like: With ``epochs``: the arm that takes the study's steps, so that the others pass over their frames as often as it.
    """

    name: Name
    kind: Literal["steps", "epochs"]
    like: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "epochs") != (self.like is not None):
            raise ValueError(f"like must stand with kind epochs and only there, got {self.like} with {self.kind}")
        return self


class StudyRecipe(_Config):
    """A study: every arm under every budget with every seed on every data set.

    Attributes:
        name: Name of the study.
        finetune: Fine-tuning recipe that all arms share.
        shared: ``key=value`` overrides of it for all arms.
        sets: The data sets; each one's test list is also the other's cross-set test.
        arms: The arms; differences are taken against the first one of the same budget.
        budgets: How long they train; the first one is the primary endpoint.
        steps: Optimiser steps of the budgets.
        seeds: Seeds of training, paired over arms.
    """

    name: Name
    finetune: str = Field(min_length=1)
    shared: tuple[str, ...] = ()
    sets: tuple[DataSet, ...] = Field(min_length=1)
    arms: tuple[Arm, ...] = Field(min_length=1)
    budgets: tuple[Budget, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        arms = [arm.name for arm in self.arms]
        names = {"sets": [s.name for s in self.sets], "arms": arms, "budgets": [budget.name for budget in self.budgets]}
        for key, parts in names.items():
            if twice := [name for name, count in Counter(parts).items() if count > 1]:
                raise ValueError(f"{key} must have names of their own, got {twice[0]} twice")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if unknown := [budget.like for budget in self.budgets if budget.like is not None and budget.like not in arms]:
            raise ValueError(f"budgets like must be one of {', '.join(arms)}, got {unknown[0]}")
        return self
