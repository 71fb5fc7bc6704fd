"""What a study trains: arms x labels x budgets x seeds on data sets, checked before any work starts."""

from __future__ import annotations

import math
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
        labels: How many of its training frames may be used with their masks, ascending; each seed draws its own, smaller draws
            are parts of larger ones. null: all of them.
    """

    name: Name
    folder: str = Field(min_length=1)
    labels: tuple[Annotated[int, Field(ge=1)] | None, ...] = Field((None,), min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        counts = [math.inf if count is None else count for count in self.labels]
        if counts != sorted(set(counts)):
            raise ValueError(f"labels must rise, null (all) last, got {list(self.labels)}")
        return self


class Arm(_Config):
    """One way to train.

    Attributes:
        name: What tables call it.
        about: One line for the reader of the table.
        synthesize: Recipe of the data set to train on, made from the training frames; null trains on these themselves.
        synthesis: ``key=value`` overrides of that recipe; ``"{set}"`` in them is the folder of the set, for plates of scenes.
        real_share: Share of the training frames themselves in every batch beside what was made; null: none.
        pretrain: Recipe of a pretraining to start from; each seed pretrains anew. Label-free ones see all training frames and the
            study's ``unlabelled`` folders, those that use labels the frames of the label count alone. null: random weights.
        pretraining: ``key=value`` overrides of that recipe.
        extra_steps: Optimiser steps beside those of the budget: what a pretraining costs, for arms it is compared with.
        train: ``key=value`` overrides of the fine-tuning recipe.
    """

    name: Name
    about: str = Field(min_length=1)
    synthesize: str | None = None
    synthesis: tuple[str, ...] = ()
    real_share: float | None = Field(None, gt=0, lt=1)
    pretrain: str | None = None
    pretraining: tuple[str, ...] = ()
    extra_steps: int = Field(0, ge=0)
    train: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.synthesis or self.real_share is not None) and self.synthesize is None:
            raise ValueError(f"synthesis and real_share must stand with synthesize, got them without in arm {self.name}")
        if self.pretraining and self.pretrain is None:
            raise ValueError(f"pretraining must stand with pretrain, got {list(self.pretraining)} without")
        return self


class Budget(_Config):
    """How long arms train.

    Attributes:
        name: What tables call it.
        kind: ``steps``: the study's steps for every arm; ``epochs``: steps in proportion to the frames of the arm.
        like: With ``epochs``: the arm that takes the study's steps with all labels, so that everything else passes over its
            frames as often as it.
    """

    name: Name
    kind: Literal["steps", "epochs"]
    like: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "epochs") != (self.like is not None):
            raise ValueError(f"like must stand with kind epochs and only there, got {self.like} with {self.kind}")
        return self


class Endpoint(_Config):
    """One question that is decided before test lists are looked at, on seeds of its own.

    The label count is the largest at which the reference stands ``headroom`` points of validation IoU below its value with most
    labels; the arm is the best one there on validation, over data sets, with the ``selection`` seeds. Only its test IoU minus
    that of the reference with fresh ``seeds`` is the answer, on each data set, Holm over them.

    Attributes:
        reference: Arm that differences are taken against: compute-matched training from random weights.
        candidates: Arms among which validation chooses.
        selection: Seeds of the study that choose, done first; more of them may follow the confirmation and change nothing in it.
        seeds: Fresh seeds of the confirmation.
        headroom: Points of validation IoU.
    """

    reference: str
    candidates: tuple[str, ...] = Field(min_length=1)
    selection: tuple[int, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    headroom: float = Field(10.0, ge=0)


class StudyRecipe(_Config):
    """A study: every arm with every label count under every budget with every seed on every data set.

    Attributes:
        name: Name of the study.
        finetune: Fine-tuning recipe that all arms share.
        shared: ``key=value`` overrides of it for all arms.
        sets: The data sets; each one's test list is also the other's cross-set test.
        unlabelled: Folders below ``--data`` whose frames pretrainings see beside those of the set, without their masks.
        arms: The arms; differences are taken against the endpoint's reference, without one against the first arm.
        budgets: How long they train; the first one is the primary one.
        steps: Optimiser steps of the budgets.
        transfer: Arms that differ in the number of rendered frames beside the labelled ones and in nothing else, fewest first:
            the transfer law is fitted to them.
        seeds: Seeds of training, of the choice of labels and of pretraining, paired over arms.
        endpoint: The question that fresh seeds decide, or null.
    """

    name: Name
    finetune: str = Field(min_length=1)
    shared: tuple[str, ...] = ()
    sets: tuple[DataSet, ...] = Field(min_length=1)
    unlabelled: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = Field(min_length=1)
    budgets: tuple[Budget, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    transfer: tuple[str, ...] = ()
    endpoint: Endpoint | None = None

    @property
    def reference(self) -> str:
        """The arm that differences are taken against."""
        return self.arms[0].name if self.endpoint is None else self.endpoint.reference

    def arm(self, name: str) -> Arm:
        """Return one of its arms."""
        return next(arm for arm in self.arms if arm.name == name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        arms = [arm.name for arm in self.arms]
        names = {"sets": [s.name for s in self.sets], "arms": arms, "budgets": [budget.name for budget in self.budgets]}
        for key, parts in names.items():
            if twice := [name for name, count in Counter(parts).items() if count > 1]:
                raise ValueError(f"{key} must have names of their own, got {twice[0]} twice")
        seeds = self.seeds + (() if self.endpoint is None else self.endpoint.seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds must differ, those of endpoint too, got {list(seeds)}")
        if self.endpoint is not None and not set(self.endpoint.selection) <= set(self.seeds):
            raise ValueError(f"endpoint.selection must be of the study's seeds, got {list(self.endpoint.selection)}")
        asked = () if self.endpoint is None else (self.endpoint.reference, *self.endpoint.candidates)
        if strange := [name for name in asked if name not in arms]:
            raise ValueError(f"endpoint.reference and candidates must be of {', '.join(arms)}, got {strange[0]}")
        if len(set(asked)) < len(asked):
            raise ValueError(f"endpoint.candidates must differ, and from the reference, got {list(asked[1:])}")
        if strange := [name for name in self.transfer if name not in arms or self.arm(name).real_share is None]:
            raise ValueError(f"transfer must name arms with real_share, got {strange[0]}")
        if unknown := [budget.like for budget in self.budgets if budget.like is not None and budget.like not in arms]:
            raise ValueError(f"budgets like must be one of {', '.join(arms)}, got {unknown[0]}")
        return self
