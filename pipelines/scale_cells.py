"""The cells of a study: one training run each, and where its parts lie.

OUT/stores/SET-ARM.zarr                      what an arm trains on, when it is made; arms that make the same share the first one's
OUT/pretrained/SET/ARM/[labels-N/]seed-K     a run of pipelines.pretrain_encoder that cells of the arm start from, with
                                             zero_label.json where it finds targets before any fine-tuning
OUT/runs/SET/ARM/[labels-N/]STEPS/seed-K     a run of pipelines.finetune_detector, with test.json beside its result
OUT/known/PATH.json                          what is known of a run or pretraining of one of these paths that was done elsewhere
                                             (pipelines.scale_known), in the form of test.json or zero_label.json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.scale_recipe import Arm, Budget, StudyRecipe
from synth.store.files import read_json

TEST_NAME = "test.json"
ZERO_LABEL_NAME = "zero_label.json"
KNOWN_FOLDER = "known"


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run.

    Attributes:
        dataset: Name of the data set.
        arm: Name of the arm.
        labels: Training frames whose masks are used, or None for all.
        steps: Optimiser steps.
        seed: Seed of training and of the choice of labels.
        num_frames: Frames it trains on; with labels and a data set made for the arm: about.
    """

    dataset: str
    arm: str
    labels: int | None
    steps: int
    seed: int
    num_frames: int

    @property
    def path(self) -> str:
        """Its run directory below OUT."""
        labels = "" if self.labels is None else f"labels-{self.labels}/"
        return f"runs/{self.dataset}/{self.arm}/{labels}{self.steps}/seed-{self.seed}"


@dataclass(frozen=True, slots=True)
class Frames:
    """How many frames the arms have in one data set.

    Attributes:
        train: Frames of the training list.
        made: Name of an arm -> frames of the data set made for it from all of them.
        rendered: Arms whose data set is rendered and takes nothing from them: it is used whole with any labels.
        originals: Name of an arm -> frames of its data set that are those of the training list themselves; none if not named.
    """

    train: int
    made: Mapping[str, int]
    rendered: frozenset[str] = frozenset()
    originals: Mapping[str, int] = field(default_factory=dict)

    def of(self, arm: Arm, labels: int | None) -> int:
        """Return how many frames an arm trains on with a number of labels; of what is made, its share."""
        real = self.train if labels is None else labels
        if arm.name not in self.made:
            return real
        made = self.made[arm.name] if arm.name in self.rendered else round(self.made[arm.name] * real / self.train)
        return made + (0 if arm.real_share is None else real)


def store_path(out: Path, study: StudyRecipe, dataset: str, arm: str) -> Path:
    """Return where the data set made for an arm lies: under the name of the first arm that makes the same."""
    own = study.arm(arm)
    maker = next(a.name for a in study.arms if (a.synthesize, a.synthesis) == (own.synthesize, own.synthesis))
    return out / "stores" / f"{dataset}-{maker}.zarr"


def pretraining_path(out: Path, study: StudyRecipe, cell: Cell, *, uses_labels: bool) -> Path | None:
    """Return the pretraining a run starts from, or None.

    Args:
        out: Folder of the study.
        study: The study.
        cell: The run.
        uses_labels: Whether the pretraining looks at labels, so that each label count has its own.
    """
    if study.arm(cell.arm).pretrain is None:
        return None
    labels = cell.labels if uses_labels else None
    return out / pretraining_folder(cell.dataset, pretraining_arm(study, cell.arm), labels, cell.seed)


def pretraining_folder(dataset: str, arm: str, labels: int | None, seed: int) -> str:
    """Return the run directory of a pretraining below OUT; labels: how many it looks at, None if none or all."""
    return f"pretrained/{dataset}/{arm}/{'' if labels is None else f'labels-{labels}/'}seed-{seed}"


def pretraining_arm(study: StudyRecipe, arm: str) -> str:
    """Return the arm whose pretrainings an arm starts from: of those with equal ones, the first."""
    own = study.arm(arm)
    return next(a.name for a in study.arms if (a.pretrain, a.pretraining) == (own.pretrain, own.pretraining))


def steps_of(study: StudyRecipe, budget: Budget, arm: Arm, frames: Frames, labels: int | None = None) -> int:
    """Return the optimiser steps of an arm under a budget.

    Args:
        study: The study.
        budget: One of its budgets.
        arm: One of its arms.
        frames: Frames of the data set.
        labels: Training frames whose masks are used, or None for all.
    """
    if budget.like is None:
        return study.steps + arm.extra_steps
    share = frames.of(arm, labels) / frames.of(study.arm(budget.like), None)
    return max(1, round(study.steps * share)) + arm.extra_steps


def cell_of(study: StudyRecipe, budget: Budget, dataset: str, frames: Frames, labels: int | None, arm: Arm, seed: int) -> Cell:
    """Return the cell of one place in the grid."""
    return Cell(dataset, arm.name, labels, steps_of(study, budget, arm, frames, labels), seed, frames.of(arm, labels))


def cells_of(study: StudyRecipe, frames: Mapping[str, Frames], seeds: Sequence[int] | None = None) -> Iterator[Cell]:
    """Yield every run of a study once, seed by seed; budgets under which an arm takes equally many steps share their runs.

    Args:
        study: The study.
        frames: Name of a data set -> its frames.
        seeds: Some of its seeds; None: all.
    """
    seen: set[Cell] = set()
    for seed in study.seeds if seeds is None else seeds:
        for budget in study.budgets:
            for dataset in study.sets:
                for labels in dataset.labels:
                    for arm in study.arms:
                        cell = cell_of(study, budget, dataset.name, frames[dataset.name], labels, arm, seed)
                        if cell not in seen:
                            seen.add(cell)
                            yield cell


def read_test(out: Path, cell: Cell) -> dict[str, Any] | None:
    """Return what a finished cell recorded, here or elsewhere, or None."""
    return _read_either(out / cell.path / TEST_NAME, known_path(out, cell.path))


def read_zero_label(out: Path, run: Path) -> dict[str, Any] | None:
    """Return what the test of a pretraining recorded, here or elsewhere, or None.

    Args:
        out: Folder of the study.
        run: Run directory of the pretraining.
    """
    return _read_either(run / ZERO_LABEL_NAME, known_path(out, str(run.relative_to(out))))


def known_path(out: Path, path: str) -> Path:
    """Return where it lies what is known of a run directory ``path`` below OUT that was done elsewhere."""
    return out / KNOWN_FOLDER / f"{path}.json"


def _read_either(*paths: Path) -> dict[str, Any] | None:
    content: dict[str, Any] | None = next((read_json(path) for path in paths if path.is_file()), None)
    return content
