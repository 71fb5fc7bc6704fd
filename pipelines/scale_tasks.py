"""What the workers of a study do: pretrain, test what was pretrained, or fine-tune and test, unless that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.recipe import FinetuneRecipe
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.scale_cells import TEST_NAME, ZERO_LABEL_NAME, Cell
from pretrain.runtime.config import TrainConfig
from pretrain.runtime.run_dir import RESULT_NAME, RunDirectory
from synth import open_corpus
from synth.errors import FoundryError, RefusalError
from synth.store.files import write_json

LAST_PART = 0.2
"""Share of a run at its end over which its loss should be flat."""
FIRST_PARTS = 20
"""One of so many parts of a run is its beginning."""
MIN_POINTS = 3
"""Lines of the journal that a slope is fitted to at least."""
NUM_LINES = 50
"""Lines a study's run writes at least, where it has as many steps: ten in its last fifth (our choice)."""


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
class PretrainTask:
    """A pretraining.

    Attributes:
        name: Its run directory below OUT, for messages.
        run: Its run directory.
        recipe: Its recipe, resolved.
        data: Folders of frames.
        stop_file: While it exists, work saves its state and ends.
    """

    name: str
    run: str
    recipe: PretrainRecipe
    data: tuple[str, ...]
    stop_file: str

    @property
    def steps(self) -> int:
        """Its optimiser steps."""
        return self.recipe.train.steps

    def perform(self) -> bool:
        """Do it; return whether it is finished."""
        import torch

        from finetune.detectors import build_detector
        from pretrain.runtime.distributed import joined_world
        from pretrain.sources import open_pretrain_sources
        from pretrain.train import pretrain

        if Path(self.run, RESULT_NAME).is_file():
            return True
        recipe = self.recipe
        torch.set_num_threads(recipe.train.threads or 1)
        with joined_world(recipe.train.device) as world:
            sources = open_pretrain_sources(
                [Path(path) for path in self.data],
                recipe.data,
                recipe.doubt,
                held_out=recipe.held_out.frames,
                uses_labels=recipe.uses_labels,
                device=world.device,
            )
            content = recipe.model_dump(mode="json")
            stop: Callable[[], bool] = Path(self.stop_file).exists
            result = pretrain(
                recipe, lambda: build_detector(recipe.detector), content, sources, Path(self.run), world, should_stop=stop
            )
        return result.is_finished


@dataclass(frozen=True, slots=True)
class FinetuneTask:
    """A cell with everything its worker needs.

    Attributes:
        cell: The cell.
        run: Its run directory.
        recipe: Fine-tuning recipe, resolved.
        data: Folders and stores to train on.
        init: Run directory of the pretraining it starts from, or None.
        validation: Folder whose validation list is used.
        tests: Name of a data set -> its test list; the cell's own set first.
        stop_file: While it exists, work saves its state and ends.
    """

    cell: Cell
    run: str
    recipe: FinetuneRecipe
    data: tuple[str, ...]
    init: str | None
    validation: str
    tests: Mapping[str, Tested]
    stop_file: str

    @property
    def name(self) -> str:
        """Its run directory below OUT, for messages."""
        return self.cell.path

    @property
    def steps(self) -> int:
        """Its optimiser steps."""
        return self.cell.steps

    def perform(self) -> bool:
        """Do it; return whether it is finished."""
        import torch

        from finetune.sources import open_sources
        from finetune.train import finetune
        from pretrain.runtime.distributed import joined_world

        if Path(self.run, TEST_NAME).is_file():
            return True
        init = None if self.init is None else Path(self.init)
        if init is not None and not (init / RESULT_NAME).is_file():
            raise RefusalError(f"the pretraining it starts from, {init}, has not finished; run the command again")
        torch.set_num_threads(self.recipe.train.threads or 1)
        with joined_world(self.recipe.train.device) as world:
            sources = open_sources([Path(path) for path in self.data], Path(self.validation), self.recipe.data, world.device)
            stop: Callable[[], bool] = Path(self.stop_file).exists
            result = finetune(self.recipe, sources, Path(self.run), world, init=init, should_stop=stop)
            if not result.is_finished:
                return False
            tests = {name: self._test(tested, world.device) for name, tested in self.tests.items()}
        content = {"format": 1, "cell": asdict(self.cell), "result": dict(result.content), "tests": tests}
        lines = RunDirectory(Path(self.run)).journal.lines()
        rates = [line["images_per_s"] for line in lines if line.get("images_per_s")]
        content |= {"loss_slope": loss_slope(lines), "images_per_s": float(np.median(rates)) if rates else None}
        write_json(Path(self.run, TEST_NAME), content)
        return True

    def _test(self, tested: Tested, device: Any) -> dict[str, Any]:
        """Return the scores of the run on a test list, on its part without near duplicates, and at every operating point."""
        from finetune.evaluate import score_run

        corpus = open_corpus(Path(tested.folder), "test", max_level=self.recipe.data.max_level)
        frames = (corpus.read(ref) for ref in corpus.frames)
        amp = self.recipe.train.amp == "bf16"
        scores = score_run(Path(self.run), frames, device=device, amp=amp, clean_ids=frozenset(tested.clean_ids))
        clean = None if scores.clean is None else scores.clean.to_dict()
        return {"whole": scores.whole.to_dict(), "clean": clean, "operating": scores.operating}


@dataclass(frozen=True, slots=True)
class ZeroLabelTask:
    """A pretraining whose network is tested as it is.

    Attributes:
        name: Its run directory below OUT, for messages.
        run: Its run directory, finished.
        folder: Root folder of its data set: the validation list chooses a threshold, the test list is scored once.
        train: How it was pretrained, for device and threads.
    """

    name: str
    run: str
    folder: str
    train: TrainConfig

    def perform(self) -> bool:
        """Do it; return True."""
        import torch

        from finetune.probes import find_without_labels
        from finetune.train import load_run
        from pretrain.runtime.distributed import joined_world
        from pretrain.runtime.learner import use_fast_layout

        if Path(self.run, ZERO_LABEL_NAME).is_file():
            return True
        torch.set_num_threads(self.train.threads or 1)
        model, _ = load_run(Path(self.run))
        max_level = RunDirectory(Path(self.run)).recipe["recipe"]["data"].get("max_level")
        lists = (open_corpus(Path(self.folder), split, max_level=max_level) for split in ("val", "test"))
        choosing, frames = ([*map(corpus.read, corpus.frames)] for corpus in lists)
        with joined_world(self.train.device) as world:
            use_fast_layout(model.to(world.device), world.device)
            found = find_without_labels(model, choosing, frames, world.device)
        del found["over_thresholds"]
        write_json(Path(self.run, ZERO_LABEL_NAME), {"format": 1, "num_frames": len(frames)} | found)
        return True


Task = PretrainTask | ZeroLabelTask | FinetuneTask


def perform(task: Task) -> bool:
    """Do a task: what a worker is sent.

    Returns:
        Whether it is finished; False when a stop was asked for.

    Raises:
        FoundryError: As training names it, with the task's path before it.
    """
    try:
        return task.perform()
    except FoundryError as error:
        error.args = (f"{task.name}: {error}",)
        raise


def loss_slope(journal: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what share of its whole fall the loss still fell in the last fifth of a run.

    None, unknown, for too short a journal and where the loss did not fall at all.

    A fitted line against the fall from the first twentieth to that line's middle. (Our choice: the fall over the loss itself,
    which tends to zero on few frames, flags every run that learnt them.)

    Args:
        journal: Lines of the run.
    """
    points = np.array([(line["step"], line["loss"]) for line in journal if line.get("loss") is not None], float).reshape(-1, 2)
    last = points[points[:, 0] > (1.0 - LAST_PART) * points[-1:, 0].sum()]
    if len(last) < MIN_POINTS:
        return None
    first = points[: max(1, len(points) // FIRST_PARTS), 1].mean()
    fall = first - last[:, 1].mean()
    if fall <= 0.0:
        return None
    slope = np.polyfit(last[:, 0], last[:, 1], 1)[0]
    return float(-slope * LAST_PART * points[-1, 0] / fall)
