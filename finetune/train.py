"""Fine-tuning, start to end: sources, the step loop, the weights and threshold that validation chooses.

RUN/weights.safetensors   the weights to use: best on validation, or the last ones when nothing is left to validate on
RUN/result.json           validation scores, the threshold chosen on validation, where the weights come from
and what ``pretrain.runtime`` keeps there. The test list is never opened here: ``evaluate`` touches it once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from finetune.detectors import Detector, DetectorConfig, DetectorSettings, build_detector
from finetune.detectors.base import SMALLEST_PX
from finetune.recipe import FinetuneRecipe
from finetune.sources import TrainingSources
from finetune.task import FinetuneTask
from pretrain.feed import Feed
from pretrain.runtime import RunDirectory, RunResult, StepReport, open_run, partition_of, refuse_other_run, train, use_threads
from pretrain.runtime.distributed import World
from pretrain.runtime.run_dir import RESULT_NAME, WEIGHTS_NAME
from pretrain.runtime.weights import LoadReport, load_weights, save_weights, weights_file
from synth.errors import RefusalError, SourceError
from synth.rng import Stream, keyed_hash
from synth.store.files import read_json, write_json

_LOG = logging.getLogger(__name__)

COLLAPSED_BELOW = 1.0
"""Best IoU over all thresholds on validation, percent, below which a network says background everywhere (our choice)."""


def finetune(
    recipe: FinetuneRecipe,
    sources: TrainingSources,
    out: Path,
    world: World,
    *,
    init: Path | None = None,
    allow_partial: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[StepReport], None] = lambda _: None,
) -> RunResult:
    """Train, or go on training, and choose weights and threshold.

    Args:
        recipe: What to train.
        sources: Frames to train and validate on, with resident pixels on the device of ``world``.
        out: Run directory, to make or resume.
        world: This process among the others.
        init: Run directory or weights file to start from; None for random weights.
        allow_partial: Accept a file that fills less than 95 % of the tensors.
        should_stop: Asked once a step.
        on_step: Called after every step, on the first rank.

    Raises:
        FoundryError: As the parts name it: sources, weights, run directory, training.
    """
    task, feed, start = _prepare(recipe, sources, world, init, allow_partial=allow_partial)
    identity = run_identity(recipe, sources, start)
    with open_run(out, identity, world) as run:
        outcome = train(task, feed, recipe.train, run, world, should_stop=should_stop, on_step=on_step)
        if not outcome.is_finished or not world.is_first:
            return RunResult(outcome.step, outcome.is_finished, {})
        content = _conclude(recipe, task, run, start, outcome.validation, identity)
    return RunResult(outcome.step, True, content)


def check_start(
    recipe: FinetuneRecipe, sources: TrainingSources, out: Path, world: World, *, init: Path | None, allow_partial: bool
) -> None:
    """Raise whatever :func:`finetune` raises before it makes its folder; what a dry run asks. Arguments and errors as there."""
    _, _, start = _prepare(recipe, sources, world, init, allow_partial=allow_partial)
    refuse_other_run(RunDirectory(out), run_identity(recipe, sources, start))


def run_identity(recipe: FinetuneRecipe, sources: TrainingSources, start: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a run, as JSON values: the same in one folder resumes, anything else is refused."""
    content = recipe.model_dump(mode="json") | {"train": recipe.train.content()}
    return {"recipe": content, "sources": sources.identity, "init": dict(start)}


def read_result(run: Path) -> dict[str, Any]:
    """Return what a finished run says of itself.

    Raises:
        RefusalError: The folder is no run, or it has not finished.
    """
    if not (run / RESULT_NAME).is_file():
        raise RefusalError(f"{run}: holds no finished training run (no {RESULT_NAME}); run its command again to resume")
    content: dict[str, Any] = read_json(run / RESULT_NAME)
    return content


def load_run(run: Path) -> tuple[Detector, dict[str, Any]]:
    """Return the detector of a finished run in ``eval`` mode, on the CPU, and its result.

    Raises:
        RefusalError: The folder is no finished run, or its weights are not the ones it recorded.
    """
    result, recipe = read_result(run), RunDirectory(run).recipe
    path = run / WEIGHTS_NAME
    if hashlib.sha256(path.read_bytes()).hexdigest() != result["weights_sha256"]:
        raise RefusalError(f"{path}: is not the file that {RESULT_NAME} records; restore it, or train again")
    settings: DetectorConfig = TypeAdapter(DetectorSettings).validate_python(recipe["recipe"]["detector"])
    model = build_detector(settings)
    load_weights(model, path)
    return model.eval(), result


def _prepare(
    recipe: FinetuneRecipe, sources: TrainingSources, world: World, init: Path | None, *, allow_partial: bool
) -> tuple[FinetuneTask, Feed, dict[str, Any]]:
    """Return task, feed and where the weights come from; no folder is begun yet, so that the corrected recipe may use it."""
    use_threads(recipe.train)
    torch.manual_seed(int(keyed_hash(recipe.train.seed, Stream.STEP, -1, 0)))  # the weights a network starts from
    model = build_detector(recipe.detector)
    start = _initialise(model, init, allow_partial=allow_partial)
    feed = Feed(sources.pools, recipe.views, seed=recipe.train.seed, weights=recipe.data.weights, device=world.device)
    feed.check_batch(partition_of(recipe.train, world).batch)
    if min(feed.view_hw) < SMALLEST_PX:
        raise SourceError(
            f"frames must have sides of at least {SMALLEST_PX} px where views.crop_px is null, got {feed.view_hw}; set "
            f"views.crop_px to {SMALLEST_PX} or more"
        )
    return FinetuneTask(model, sources.validation, world.device, amp=recipe.train.amp == "bf16"), feed, start


def _initialise(model: torch.nn.Module, init: Path | None, *, allow_partial: bool) -> dict[str, Any]:
    """Load the weights to start from; return where they come from."""
    if init is None:
        return {"kind": "random"}
    path = weights_file(init)
    report: LoadReport = load_weights(model, path, allow_partial=allow_partial)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if report.missing:
        shown = ", ".join(report.missing[:5]) + (", ..." if len(report.missing) > 5 else "")
        _LOG.warning("weights %s: %d tensors are not in it and start at random (%s)", path, len(report.missing), shown)
    counts = {"matched": len(report.matched), "missing": len(report.missing), "unexpected": len(report.unexpected)}
    origin = {"kind": str(report.provenance.get("kind", "file"))}
    told = ("objectives", "kept_from", "experiment_sha256")
    origin |= {key: report.provenance[key] for key in told if key in report.provenance}
    return origin | {"sha256": sha256} | counts


def _conclude(
    recipe: FinetuneRecipe,
    task: FinetuneTask,
    run: RunDirectory,
    start: Mapping[str, Any],
    last: Mapping[str, float],
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """Put the chosen weights in place, choose the threshold on validation, and write both."""
    if run.checkpoints.has_best():
        chosen, state = "best on validation", run.checkpoints.load("best")
        validation = state["validation"]
    else:
        chosen, state, validation = "last", run.checkpoints.newest() or {}, last
    average = state["average"]
    task.model.load_state_dict(state["model"] if average is None else average)
    content: dict[str, Any] = {
        "format": 1,
        "weights": chosen,
        "step": state["step"],
        "steps": recipe.train.steps,
        "init": dict(start),
    }
    content["num_parameters"] = sum(parameter.numel() for parameter in task.model.parameters())
    if recipe.threshold is None:
        content |= {
            "threshold": validation["val_best_threshold"],
            "validation": dict(validation),
            "last_validation": dict(last),
            "is_collapsed": validation["val_best_iou"] < COLLAPSED_BELOW,
        }
    else:
        content |= {"threshold": recipe.threshold, "validation": None, "last_validation": None, "is_collapsed": None}
    content["recipe_sha256"] = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    provenance = {"kind": "finetuned", "init": dict(start), "recipe_sha256": content["recipe_sha256"], "step": state["step"]}
    content["weights_sha256"] = save_weights(run.path / WEIGHTS_NAME, task.model.state_dict(), provenance)
    write_json(run.path / RESULT_NAME, content)
    return content
