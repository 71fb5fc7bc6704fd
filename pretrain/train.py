"""Pretraining, start to end: sources, the step loop, the weights others start from.

RUN/weights.safetensors   the network (encoder and decoder) after the last step, averaged where the recipe says so
RUN/result.json           validation on held-out frames with synthetic targets, health, alarms
and what ``pretrain.runtime`` keeps there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pretrain.batch import Batch
from pretrain.compose import Composed, Composer
from pretrain.compose.noise import recorded_noise
from pretrain.feed import Feed
from pretrain.health import alarms
from pretrain.order import Partition
from pretrain.points import num_features
from pretrain.runtime import RunDirectory, RunResult, StepReport, open_run, partition_of, refuse_other_run, train, use_threads
from pretrain.runtime.distributed import World
from pretrain.runtime.run_dir import RESULT_NAME, WEIGHTS_NAME
from pretrain.runtime.weights import experiment_sha256, save_weights
from pretrain.settings import PretrainSettings
from pretrain.sources import PretrainSources
from pretrain.task import PROBED_STRIDE, PretrainModel, PretrainTask
from pretrain.view_config import ViewConfig
from synth.errors import RecipeError
from synth.rng import Stream, keyed_hash
from synth.store.files import write_json

VALIDATION_SEED = 2**62
"""Seed of held-out crops and of what is put into them: one for all runs, so that their validations can be compared."""
VALIDATION_BATCH = 16
"""Held-out crops computed at once."""
ZERO_LABEL_THRESHOLD = 0.5
"""Probability above which the untuned network calls a pixel a target: no label has chosen it."""


def pretrain(
    settings: PretrainSettings,
    make_segmenter: Callable[[], nn.Module],
    recipe: Mapping[str, Any],
    sources: PretrainSources,
    out: Path,
    world: World,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[StepReport], None] = lambda _: None,
) -> RunResult:
    """Train, or go on training, and write the weights.

    Args:
        settings: What to learn, and on what.
        make_segmenter: Makes the network with random weights; called with torch's generator seeded by the recipe.
        recipe: The whole recipe as JSON values, network included: what a resume must agree with.
        sources: Frames, with resident pixels on the device of ``world``.
        out: Run directory, to make or resume.
        world: This process among the others.
        should_stop: Asked once a step.
        on_step: Called after every step, on the first rank.

    Raises:
        FoundryError: As the parts name it: sources, run directory, training.
    """
    task, feed = _prepare(settings, make_segmenter, sources, world)
    identity = _identity(settings, recipe, sources)
    with open_run(out, identity, world) as run:
        outcome = train(task, feed, settings.train, run, world, should_stop=should_stop, on_step=on_step)
        if not outcome.is_finished or not world.is_first:
            return RunResult(outcome.step, outcome.is_finished, {})
        content = _conclude(settings, task, run, outcome.validation, identity, sources.kept_from)
    return RunResult(outcome.step, True, content)


def check_start(
    settings: PretrainSettings,
    make_segmenter: Callable[[], nn.Module],
    recipe: Mapping[str, Any],
    sources: PretrainSources,
    out: Path | None,
    world: World,
) -> None:
    """Raise whatever :func:`pretrain` raises before it makes its folder; what a dry run asks. Arguments and errors as there.

    Without ``out`` no folder is looked at.
    """
    _prepare(settings, make_segmenter, sources, world)
    if out is not None:
        refuse_other_run(RunDirectory(out), _identity(settings, recipe, sources))


def training_feed(settings: PretrainSettings, sources: PretrainSources, device: torch.device) -> Feed:
    """Return the batches that train, before anything is inserted."""
    return Feed(
        sources.pools,
        settings.views,
        seed=settings.train.seed,
        weights=settings.data.weights,
        device=device,
        needs_targets=settings.uses_labels,
    )


def training_composer(settings: PretrainSettings, sources: PretrainSources, device: torch.device) -> Composer:
    """Return what makes composed frames of them, with noise windows only where an objective reads them."""
    noise = recorded_noise(sources.pools, device) if settings.uses_noise else None
    return Composer(settings.insertion, settings.train.seed, pairs=settings.needs_pairs, noise=noise)


def held_out_batches(settings: PretrainSettings, sources: PretrainSources, device: torch.device) -> list[Batch]:
    """Return the crops of held-out frames that are validated on: the same for every seed of training."""
    views = ViewConfig(crop_px=settings.views.crop_px, centre_probability=0.0)
    feed = Feed(sources.held_out, views, seed=VALIDATION_SEED, device=device, needs_targets=False)
    size = min(VALIDATION_BATCH, feed.order.epoch_length)
    return list(islice(feed.batches(0, Partition(size)), -(-settings.held_out.crops // size)))


def composed_views(settings: PretrainSettings, sources: PretrainSources, count: int, device: torch.device) -> Composed:
    """Return the first frames of a training as the network is shown them, for people to look at.

    Where nothing is inserted, the masks are those of the frames themselves.
    """
    feed = training_feed(settings, sources, device)
    batch = next(feed.batches(0, Partition(min(count, feed.order.epoch_length))))
    if not settings.uses_insertion:
        return replace(Composed.untouched(batch), masks_B1HW=batch.masks_B1HW)
    return training_composer(settings, sources, device).compose(batch)


def _prepare(
    settings: PretrainSettings, make_segmenter: Callable[[], nn.Module], sources: PretrainSources, world: World
) -> tuple[PretrainTask, Feed]:
    """Return task and feed; no folder is begun yet, so that the corrected recipe may use it."""
    use_threads(settings.train)
    torch.manual_seed(int(keyed_hash(settings.train.seed, Stream.STEP, -1, 0)))  # the weights a network starts from
    model = PretrainModel(make_segmenter(), settings.objectives)
    _check_crop(settings, model)
    feed = training_feed(settings, sources, world.device)
    feed.check_batch(partition_of(settings.train, world).batch)
    task = PretrainTask(
        model,
        training_composer(settings, sources, world.device),
        held_out_batches(settings, sources, world.device),
        Composer(settings.insertion, VALIDATION_SEED, pairs=False),
        amp=settings.train.amp == "bf16",
    )
    return task, feed


def _identity(settings: PretrainSettings, recipe: Mapping[str, Any], sources: PretrainSources) -> dict[str, Any]:
    """Return what decides a run, as JSON values: the same in one folder resumes, anything else is refused."""
    return {"recipe": dict(recipe) | {"train": settings.train.content()}, "sources": sources.identity}


def _check_crop(settings: PretrainSettings, model: PretrainModel) -> None:
    stride, crop = model.network.backbone.strides[-1], settings.views.crop_px
    assert crop is not None
    if crop % stride:
        raise RecipeError(f"views.crop_px must be a multiple of the encoder's last stride {stride}, got {crop}")


def _conclude(
    settings: PretrainSettings,
    task: PretrainTask,
    run: RunDirectory,
    validation: Mapping[str, float],
    identity: Mapping[str, Any],
    kept_from: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Write the last weights of the network, without what its objectives added, and how the run ended."""
    state = run.checkpoints.newest() or {}
    tensors = state["model"] if state["average"] is None else state["average"]
    own = {name.removeprefix("segmenter."): value for name, value in tensors.items() if name.startswith("segmenter.")}
    backbone = task.pretrained.network.backbone
    num = num_features(backbone.channels, backbone.strides, PROBED_STRIDE)
    recipe_sha256 = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    origin = {
        "kind": "lneg" if settings.uses_labels else "ssl",
        "objectives": list(settings.kinds),
        "labels": settings.uses_labels,
        "kept_from": None if kept_from is None else list(kept_from),
    }
    content: dict[str, Any] = {
        "format": 1,
        "weights": "last",
        "step": state["step"],
        "steps": settings.train.steps,
        "init": {"kind": "random"},
        **origin,
        "num_parameters": sum(p.numel() for p in task.pretrained.segmenter.parameters()),
        "num_features": num,
        "validation": dict(validation),
        "threshold": ZERO_LABEL_THRESHOLD,
        "warnings": alarms(validation, num, segments=task.trains_all),
        "is_collapsed": None,
        "recipe_sha256": recipe_sha256,
    }
    content["is_collapsed"] = bool(content["warnings"])
    provenance = origin | {"recipe_sha256": recipe_sha256, "step": state["step"]}
    provenance["experiment_sha256"] = experiment_sha256(identity)
    content["weights_sha256"] = save_weights(run.path / WEIGHTS_NAME, own, provenance)
    write_json(run.path / RESULT_NAME, content)
    return content
