"""The step loop of every training stage.

Everything a step does is a function of its number and the state before it: frames and views follow from the samples consumed,
the learning rate from the step, and torch's generator is seeded anew for every step. So a run that was stopped, killed or moved
goes on exactly where its newest saved state stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from pretrain.feed import Feed
from pretrain.order import Partition
from pretrain.runtime.config import TrainConfig
from pretrain.runtime.diagnosis import diagnose
from pretrain.runtime.distributed import World
from pretrain.runtime.learner import Learner, Step
from pretrain.runtime.run_dir import RunDirectory
from pretrain.runtime.schedule import lr_factor
from pretrain.runtime.task import Task
from pretrain.runtime.tensorboard import Board
from synth.errors import RefusalError, TrainingError
from synth.store.files import write_json

MOST_NON_FINITE = 3
"""Steps in a row without a finite loss and gradient after which a run stops; nothing is updated in them (our choice)."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did, for a progress bar.

    Attributes:
        step: Steps done.
        steps: Steps of the run.
        loss: Sum of the parts, mean over the batch.
        lr: Learning rate.
        validation: Latest validation, empty before the first.
    """

    step: int
    steps: int
    loss: float
    lr: float
    validation: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of :func:`train` ended.

    Attributes:
        step: Steps done.
        is_finished: Whether these are all of them; false after a stop.
        validation: Last validation, empty without any.
        best: ``step``, ``metric`` and ``value`` of the best validation, or None.
    """

    step: int
    is_finished: bool
    validation: Mapping[str, float]
    best: Mapping[str, Any] | None


def use_threads(config: TrainConfig) -> None:
    """Let torch compute with the threads of a recipe; before the run directory is opened, which records how many."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def partition_of(config: TrainConfig, world: World) -> Partition:
    """Return what of each step this process computes.

    Raises:
        RecipeError: Ranks and accumulated parts do not share a step evenly.
    """
    return Partition(config.batch, world.rank, world.size, config.accumulation)


def train(
    task: Task,
    feed: Feed,
    config: TrainConfig,
    run: RunDirectory,
    world: World,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> Outcome:
    """Train to the end or until told to stop; resume from the newest whole state of the run directory.

    Args:
        task: Model, loss and validation.
        feed: Training batches, on the device of ``world``.
        config: Steps, optimiser, schedule.
        run: The run directory, opened.
        world: This process among the others.
        should_stop: Asked once a step; when any rank says yes, the state is saved and the call returns.
        on_step: Called after every step, on the first rank.

    Raises:
        TrainingError: Loss or gradient were not finite three times in a row; the state and a diagnosis are saved.
        StoreError: The run directory cannot be written.
    """
    loop = _Loop(task, config, run, world)
    loop.resume()
    batches = feed.batches(loop.progress.step * config.batch, partition_of(config, world))
    is_stopped = False
    while loop.progress.step < config.steps and not is_stopped:
        lr = config.optimizer.lr * lr_factor(config.schedule, loop.progress.step, config.steps)
        step = loop.learner.do_step(batches, loop.progress.step, lr, should_stop)
        is_stopped = step.is_told_to_stop
        loop.finish_step(step, lr, epoch=(loop.progress.step + 1) * config.batch / feed.order.epoch_length)
        if world.is_first:
            done = loop.progress
            on_step(StepReport(done.step, config.steps, sum(step.parts.values()), lr, done.validation))
    loop.end()
    done = loop.progress
    return Outcome(done.step, done.step == config.steps, done.validation, done.best)


@dataclass(slots=True)
class _Progress:
    """What changes from step to step besides what the learner holds; saved with it."""

    step: int = 0
    non_finite: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None


@dataclass(slots=True)
class _Meter:
    """Time and samples since the last line of the journal."""

    samples: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0


class _Loop:
    """What happens around the steps: journal, validation, saved states."""

    def __init__(self, task: Task, config: TrainConfig, run: RunDirectory, world: World) -> None:
        self._task, self._config, self._run, self._world = task, config, run, world
        self.learner, self.progress = Learner(task, config, world), _Progress()
        self._meter, self._saved_at, self._saved_step = _Meter(), time.monotonic(), 0
        self._board: Board | None = None

    def resume(self) -> None:
        """Take over the newest whole state, if there is one."""
        state = self._run.checkpoints.newest()
        if state is not None:
            self.learner.load(state)
            self.progress = _Progress(**state["progress"])
            self._saved_step = self.progress.step
        step = float(self.progress.step)
        mean = float(self._world.sum(torch.tensor(step, dtype=torch.float64, device=self._world.device))) / self._world.size
        if mean != step:
            raise RefusalError(f"{self._run.path}: ranks see different saved states; all must see one run directory")
        if self._world.is_first:
            self._run.journal.cut(self.progress.step)
            self._write_split()
            if self._config.tensorboard:
                self._board = Board(self._run.path / "tensorboard", self.progress.step)

    def finish_step(self, step: Step, lr: float, epoch: float) -> None:
        """Count, log, validate and save after a step, whichever is due."""
        config, progress = self._config, self.progress
        progress.step += 1
        progress.non_finite = 0 if step.is_finite else progress.non_finite + 1
        self._meter.samples += config.batch
        self._meter.seconds += step.seconds
        self._meter.waited_s += step.waited_s
        is_last = progress.step == config.steps
        if is_last or progress.step % config.log_every == 0 or not step.is_finite:
            self._log(step, lr, epoch)
        if progress.non_finite == MOST_NON_FINITE:
            self._give_up(step, lr)
        if is_last or (config.validate_every and progress.step % config.validate_every == 0):
            self._validate()
        if self._is_time_to_save():
            self._save()

    def end(self) -> None:
        """Save what is not saved yet, and wait for the first rank to have done so."""
        if self._saved_step != self.progress.step:
            self._save()
        if self._board is not None:
            self._board.close()
        self._world.wait()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._run.journal.write(line)
        if self._board is not None:
            self._board.write(line)

    def _write_split(self) -> None:
        """Record how batches are split from here on, where that changes the result."""
        if self.learner.split_effects:
            line: dict[str, Any] = {"step": self.progress.step, "ranks": self._world.size}
            line |= {"accumulation": self._config.accumulation, "frames_at_once": self.learner.frames_at_once}
            self._run.journal.write(line | {"warnings": self.learner.split_effects})

    def _log(self, step: Step, lr: float, epoch: float) -> None:
        meter, self._meter = self._meter, _Meter()
        if not self._world.is_first:
            return
        line = {"step": self.progress.step, "epoch": epoch, "loss": sum(step.parts.values()), **step.parts}
        line |= {"lr": lr, "grad_norm": step.grad_norm}
        line |= {"images_per_s": meter.samples / meter.seconds, "data_wait_share": meter.waited_s / meter.seconds}
        self._write(line)

    def _validate(self) -> None:
        """Validate on the first rank, with the averaged weights where there are any; keep the best state."""
        if self._world.is_first:
            model, average = self._task.model, self.learner.average
            model.eval()
            # frames of many sizes would each be compiled
            eager = torch.compiler.set_stance("force_eager") if self._config.compile else nullcontext()
            with torch.no_grad(), eager, nullcontext() if average is None else average.applied(model):
                self.progress.validation = dict(self._task.validate())
            self._write({"step": self.progress.step, "validation": self.progress.validation})
            self._keep_best()
        self._world.wait()

    def _keep_best(self) -> None:
        metric, progress = self._task.best_metric, self.progress
        if metric is None:
            return
        value = progress.validation[metric]
        if progress.best is None or value > progress.best["value"]:
            progress.best = {"step": progress.step, "metric": metric, "value": value}
            self._run.checkpoints.save_best(progress.step, self.learner.weights() | {"validation": progress.validation})

    def _is_time_to_save(self) -> bool:
        every, every_s = self._config.checkpoint_every, self._config.checkpoint_every_s
        is_due = every is not None and self.progress.step % every == 0
        return is_due or (every_s is not None and time.monotonic() - self._saved_at >= every_s)

    def _save(self) -> None:
        self._saved_at, self._saved_step = time.monotonic(), self.progress.step
        if self._world.is_first:
            self._run.checkpoints.save(self.progress.step, self.learner.state() | {"progress": asdict(self.progress)})

    def _give_up(self, step: Step, lr: float) -> None:
        """Save state and diagnosis, and raise; the same command goes on behind the steps that were left out."""
        number = self.progress.step - 1
        self.progress.non_finite = 0
        self._save()
        path = self._run.path / "diagnosis.json"
        if self._world.is_first:
            write_json(path, diagnose(self._task.model, step, number, lr))
        parts = ", ".join(f"{name} {value:g}" for name, value in step.parts.items())
        raise TrainingError(
            f"{self._run.path}: no finite loss and gradient in {MOST_NON_FINITE} steps up to step {number} ({parts}, gradient "
            f"{step.grad_norm:g}, lr {lr:.3g}); see {path.name}, lower optimizer.lr, or set amp: off"
        )
