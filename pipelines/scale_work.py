"""A study's work: data sets are made, then seed by seed pretrainings and runs are handed to workers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from distributed import Client
from distributed.scheduler import KilledWorker

from finetune.recipe import FinetuneRecipe
from pipelines import synthesize
from pipelines.command import EXIT_OK, StopRequest
from pipelines.config import load_recipe
from pipelines.evaluate_scores import find_clean_ids
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.progress import progress_bar
from pipelines.scale_cells import ZERO_LABEL_NAME, Cell, pretraining_path, store_path
from pipelines.scale_recipe import Arm, StudyRecipe
from pipelines.scale_tasks import NUM_LINES, FinetuneTask, PretrainTask, Task, Tested, ZeroLabelTask, perform
from pipelines.score_truth import Truth
from pretrain.runtime.run_dir import RESULT_NAME
from synth.errors import FoundryError
from synth.generate import stream_results
from synth.recipe import CorpusSource, SynthesisRecipe

STOP_NAME = "stop"
SHOWN_FAILURES = 10
FOLDER_MARK = "{set}"
"""Stands for the folder of the data set in the overrides of a synthesis."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a study is done, with its recipes resolved.

    Attributes:
        study: The study.
        recipes: Name of an arm -> its fine-tuning, seed 0, the study's steps.
        pretrainings: Name of an arm that pretrains -> its pretraining, seed 0.
        data: Folder that holds the data sets.
        out: Folder of the study.
    """

    study: StudyRecipe
    recipes: Mapping[str, FinetuneRecipe]
    pretrainings: Mapping[str, PretrainRecipe]
    data: Path
    out: Path

    def folder(self, dataset: str) -> str:
        """Return the root folder of a data set."""
        return str((self.data / next(s.folder for s in self.study.sets if s.name == dataset)).resolve())

    def tests(self) -> dict[str, Tested]:
        """Return the test lists, with the ids that have no near duplicate among other frames."""
        found = {}
        for dataset in self.study.sets:
            truth = Truth(Path(self.folder(dataset.name)), "test", layout=None, split_list=None, mask_scale="strict")
            clean_ids = find_clean_ids(truth, truth, lambda _: None) or ()
            found[dataset.name] = Tested(self.folder(dataset.name), clean_ids)
        return found

    def pretraining_path(self, cell: Cell) -> Path | None:
        """Return the pretraining that a cell starts from, or None."""
        recipe = self.pretrainings.get(cell.arm)
        return pretraining_path(self.out, self.study, cell, uses_labels=recipe is not None and recipe.uses_labels)

    def pretrain_task(self, cell: Cell) -> PretrainTask | None:
        """Return the pretraining that a cell starts from, or None."""
        run = self.pretraining_path(cell)
        if run is None:
            return None
        recipe = self.pretrainings[cell.arm]
        others = [] if recipe.uses_labels else [str((self.data / folder).resolve()) for folder in self.study.unlabelled]
        chosen = {"num_frames": cell.labels, "subset_seed": cell.seed} if recipe.uses_labels and cell.labels is not None else {}
        changes = {
            "train": recipe.train.model_copy(update={"seed": cell.seed}),
            "data": recipe.data.model_copy(update=chosen),
        }
        return PretrainTask(
            name=str(run.relative_to(self.out)),
            run=str(run.resolve()),
            recipe=recipe.model_copy(update=changes),
            data=(self.folder(cell.dataset), *others),
            stop_file=str((self.out / STOP_NAME).resolve()),
        )

    def zero_label_tasks(self, cells: Sequence[Cell]) -> list[ZeroLabelTask]:
        """Return the tests of those finished pretrainings of cells that find targets without having seen a label, once each."""
        found = {}
        for cell in cells:
            run, recipe = self.pretraining_path(cell), self.pretrainings.get(cell.arm)
            if run is None or recipe is None or recipe.uses_labels or not recipe.finds_targets:
                continue
            if (run / RESULT_NAME).is_file() and not (run / ZERO_LABEL_NAME).is_file():
                name = str(run.relative_to(self.out))
                found[name] = ZeroLabelTask(name, str(run.resolve()), self.folder(cell.dataset), recipe.train)
        return list(found.values())

    def finetune_task(self, cell: Cell, tests: Mapping[str, Tested]) -> FinetuneTask:
        """Return what the worker of a cell is told."""
        arm, recipe, folder = self.study.arm(cell.arm), self.recipes[cell.arm], self.folder(cell.dataset)
        made = str(store_path(self.out, self.study, cell.dataset, cell.arm).resolve())
        data: tuple[str, ...] = (folder,) if arm.synthesize is None else (made,)
        weights = None
        if arm.real_share is not None:
            data, weights = (folder, made), (arm.real_share, 1.0 - arm.real_share)
        init = self.pretraining_path(cell)
        frames: dict[str, object] = {"weights": weights}
        frames |= {} if cell.labels is None else {"num_frames": cell.labels, "subset_seed": cell.seed}
        log_every = min(recipe.train.log_every, max(1, cell.steps // NUM_LINES))  # a cadence: it is no part of what a run is
        changes = {
            "train": recipe.train.model_copy(update={"steps": cell.steps, "seed": cell.seed, "log_every": log_every}),
            "data": recipe.data.model_copy(update=frames),
        }
        return FinetuneTask(
            cell=cell,
            run=str((self.out / cell.path).resolve()),
            recipe=recipe.model_copy(update=changes),
            data=data,
            init=None if init is None else str(init.resolve()),
            validation=folder,
            tests={cell.dataset: tests[cell.dataset]} | dict(tests),
            stop_file=str((self.out / STOP_NAME).resolve()),
        )


def synthesis_of(arm: Arm, folder: str) -> tuple[Path | None, list[str]]:
    """Return the source folder of an arm's data set (None for scenes, which may take plates from it), and its overrides.

    Args:
        arm: An arm that makes one.
        folder: Root folder of the data set; stands for ``{set}`` in the overrides, escaped as within double quotes.
    """
    assert arm.synthesize is not None
    overrides = [override.replace(FOLDER_MARK, json.dumps(folder)[1:-1]) for override in arm.synthesis]
    if isinstance(load_recipe(arm.synthesize, SynthesisRecipe).source, CorpusSource):
        return Path(folder), ["split=train", *overrides]
    return None, overrides


def make_stores(place: Workplace, cells: Sequence[Cell], *, workers: int, cluster: str) -> int:
    """Make, or finish, the data sets that cells train on with the command that makes data sets; return its exit code.

    Args:
        place: Where the study is done.
        cells: Cells that are to be done.
        workers: Processes of the command.
        cluster: Its cluster.
    """
    made = [cell for cell in cells if place.study.arm(cell.arm).synthesize is not None]
    for path, cell in {store_path(place.out, place.study, cell.dataset, cell.arm): cell for cell in made}.items():
        arm = place.study.arm(cell.arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        source, overrides = synthesis_of(arm, place.folder(cell.dataset))
        assert arm.synthesize is not None
        argv = [arm.synthesize, "--out", str(path), *(() if source is None else ("--source", str(source)))]
        argv += [part for key in overrides for part in ("--set", key)]
        if rc := synthesize.main([*argv, "--workers", str(workers), "--cluster", cluster]):
            return rc
    return EXIT_OK


def do_cells(place: Workplace, cells: Sequence[Cell], client: Client | None, stop: StopRequest) -> dict[str, Exception]:
    """Train and test cells seed by seed, pretrainings of a seed first; one that fails does not stop the others.

    Args:
        place: Where the study is done.
        cells: Cells to do, sorted by seed.
        client: Of the workers; None works in this process.
        stop: Asked between tasks.

    Returns:
        Name of a task -> why it failed.
    """
    tests = place.tests() if cells else {}
    failures: dict[str, Exception] = {}
    total = sum(cell.steps for cell in cells)
    with progress_bar("train", total, "step") as advance:
        for _, of_seed in groupby(cells, key=lambda cell: cell.seed):
            group = list(of_seed)
            first = {found.name: found for cell in group if (found := place.pretrain_task(cell)) is not None}
            todo = [task for task in first.values() if not Path(task.run, RESULT_NAME).is_file()]
            for work in (todo, [place.finetune_task(cell, tests) for cell in group]):
                failures |= do_tasks(work, client, stop, advance)
    return failures


def do_tasks(
    tasks: Sequence[Task], client: Client | None, stop: StopRequest, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Exception]:
    """Do tasks, one a worker at a time; one that fails does not stop the others.

    Args:
        tasks: What to do.
        client: Of the workers; None works in this process.
        stop: Asked between tasks.
        advance: Told the steps of every fine-tuning that ended.

    Returns:
        Name of a task -> why it failed.
    """
    failures = {}
    for task, result in _results(client, tasks, stop):
        if isinstance(result, Exception):
            failures[task.name] = result
        if isinstance(task, FinetuneTask):
            advance(task.steps)
    return failures


def _results(client: Client | None, tasks: Sequence[Task], stop: StopRequest) -> Iterator[tuple[Task, bool | Exception]]:
    """Yield every task with its result or its failure; a fault of the program is raised."""
    if client is not None and tasks:
        found = stream_results(
            client, lambda task: client.submit(perform, task, pure=False), tasks, per_worker=1, should_stop=stop
        )
        for task, result in found:
            if isinstance(result, Exception) and not isinstance(result, FoundryError | KilledWorker):
                raise result
            yield task, result
        return
    for task in tasks:
        if stop():
            return
        try:
            yield task, perform(task)
        except FoundryError as error:
            yield task, error


def print_failures(failures: Mapping[str, Exception]) -> None:
    """Print why tasks failed, the first few of them."""
    for name, error in list(failures.items())[:SHOWN_FAILURES]:
        text = str(error) if isinstance(error, FoundryError) else f"{name}: its worker died more than once ({error})"
        print(f"error: {text}", file=sys.stderr)
    if len(failures) > SHOWN_FAILURES:
        print(f"error: and {len(failures) - SHOWN_FAILURES} more", file=sys.stderr)
    if failures:
        print("the same command tries again what failed, and nothing else", file=sys.stderr)
