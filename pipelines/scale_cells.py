"""The cells of a study: one training run each, and what its worker does with it.

OUT/stores/SET-ARM.zarr            what an arm trains on, when it is made
OUT/runs/SET/ARM/STEPS/seed-K      a run of pipelines.finetune_detector, with test.json beside its result
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune.recipe import FinetuneRecipe
from pipelines.scale_recipe import Budget, StudyRecipe
from synth import open_corpus
from synth.errors import FoundryError
from synth.store.files import read_json, write_json

TEST_NAME = "test.json"


@dataclass(frozen=True, slots=True)
class Tested:
    """A list of frames that runs are tested on.

    Attributes:
        folder: Root folder of the data set.
        clean_ids: Ids of the test list that have no near duplicate among the frames that train or validate.
    """

    folder: str
    clean_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run.

    Attributes:
        dataset: Name of the data set.
        arm: Name of the arm.
        steps: Optimiser steps.
        seed: Seed of training.
        num_frames: Frames it trains on.
    """

    dataset: str
    arm: str
    steps: int
    seed: int
    num_frames: int

    @property
    def path(self) -> str:
        """Its run directory below OUT."""
        return f"runs/{self.dataset}/{self.arm}/{self.steps}/seed-{self.seed}"


@dataclass(frozen=True, slots=True)
class Task:
    """A cell with everything its worker needs.

    Attributes:
        cell: The cell.
        run: Its run directory.
        recipe: Fine-tuning recipe, resolved.
        data: Folder or store to train on.
        validation: Folder whose validation list is used.
        tests: Name of a data set -> its test list; the cell's own set first.
        stop_file: While it exists, work saves its state and ends.
    """

    cell: Cell
    run: str
    recipe: FinetuneRecipe
    data: str
    validation: str
    tests: Mapping[str, Tested]
    stop_file: str


def steps_of(study: StudyRecipe, budget: Budget, arm: str, num_frames: Mapping[str, int]) -> int:
    """Return the optimiser steps of an arm under a budget.

    Args:
        study: The study.
        budget: One of its budgets.
        arm: Name of an arm.
        num_frames: Name of an arm -> frames it trains on, in one data set.
    """
    if budget.like is None:
        return study.steps
    return max(1, round(study.steps * num_frames[arm] / num_frames[budget.like]))


def cells_of(study: StudyRecipe, num_frames: Mapping[str, Mapping[str, int]]) -> Iterator[Cell]:
    """Yield every run of a study once, seed by seed; budgets under which an arm takes equally many steps share their runs.

    Args:
        study: The study.
        num_frames: Name of a data set -> name of an arm -> frames it trains on.
    """
    seen: set[Cell] = set()
    for seed in study.seeds:
        for budget in study.budgets:
            for dataset in study.sets:
                frames = num_frames[dataset.name]
                for arm in study.arms:
                    cell = Cell(dataset.name, arm.name, steps_of(study, budget, arm.name, frames), seed, frames[arm.name])
                    if cell not in seen:
                        seen.add(cell)
                        yield cell


def run_cell(task: Task) -> bool:
    """Train a cell and test it, unless that is done: the task of a worker.

    Args:
        task: What to do.

    Returns:
        Whether it is finished; False when a stop was asked for.

    Raises:
        FoundryError: As training names it, with the cell's path before it.
    """
    if Path(task.run, TEST_NAME).is_file():
        return True
    try:
        return _train_and_test(task)
    except FoundryError as error:
        error.args = (f"{task.cell.path}: {error}",)
        raise


def _train_and_test(task: Task) -> bool:
    import torch

    from finetune.sources import open_sources
    from finetune.train import finetune
    from pretrain.runtime.distributed import joined_world

    should_stop: Callable[[], bool] = Path(task.stop_file).exists
    torch.set_num_threads(task.recipe.train.threads or 1)
    with joined_world(task.recipe.train.device) as world:
        validation = Path(task.validation)
        sources = open_sources([Path(task.data)], validation, task.recipe.data, world.device)
        result = finetune(task.recipe, sources, Path(task.run), world, should_stop=should_stop)
        if not result.is_finished:
            return False
        tests = {name: _test(task, tested, world.device) for name, tested in task.tests.items()}
    content = {"format": 1, "cell": asdict(task.cell), "result": dict(result.content), "tests": tests}
    write_json(Path(task.run, TEST_NAME), content)
    return True


def _test(task: Task, tested: Tested, device: Any) -> dict[str, Any]:
    """Return the scores of the run on a test list, and on the part of it without near duplicates."""
    from finetune.evaluate import score_run

    corpus = open_corpus(Path(tested.folder), "test")
    frames = (corpus.read(ref) for ref in corpus.frames)
    scores = score_run(
        Path(task.run), frames, device=device, amp=task.recipe.train.amp == "bf16", clean_ids=frozenset(tested.clean_ids)
    )
    return {"whole": scores.whole.to_dict(), "clean": None if scores.clean is None else scores.clean.to_dict()}


def read_test(out: Path, cell: Cell) -> dict[str, Any] | None:
    """Return what a finished cell recorded, or None."""
    path = out / cell.path / TEST_NAME
    if not path.is_file():
        return None
    content: dict[str, Any] = read_json(path)
    return content
