"""Short pretrainings of every objective on the mini frames, in this process or as one of several.

As a child: ``python -m tests.support.pretraining OUT STEPS``; its ranks train every set of :data:`TRAINED`, one after the other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from pretrain.compose import Composer, InsertionConfig
from pretrain.feed import Feed
from pretrain.frames import pool_of_frames
from pretrain.objectives import ObjectiveSettings, objective_class, objective_names
from pretrain.runtime import StepReport, open_run, train
from pretrain.runtime.distributed import World, joined_world
from pretrain.task import PretrainModel, PretrainTask
from pretrain.unlabelled import DoubtConfig, without_labels
from pretrain.views import ViewConfig
from tests.support.builders import mini_frames
from tests.support.composing import tiny_network
from tests.support.training import toy_config

MIXTURE = ("seg", "dense", "masked", "denoise", "equivariance")
TRAINED: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in objective_names()} | {"mixture": MIXTURE}
"""Name of a run -> its objectives: each alone, and all that may be mixed."""


class Crash(RuntimeError):
    """Ends a run as a kill does: nothing is saved on the way out."""


def group_normed(network: nn.Module) -> nn.Module:
    """Put group norms in the place of batch norms, and take dropout out: what ranks must agree on.

    The gates of ACM that see one value a channel get none: a norm over four values blows rounding up a thousandfold in 5 steps.
    """
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(2 if part.num_features % 2 == 0 else 1, part.num_features))
        elif isinstance(part, nn.Dropout):
            setattr(network, name, nn.Identity())
        elif name == "top_down":
            setattr(network, name, nn.Sequential(*(p for p in part.children() if not isinstance(p, nn.BatchNorm2d))))
        else:
            group_normed(part)
    return network


def settings_of(kinds: tuple[str, ...], **keys: Any) -> tuple[Any, ...]:
    """Return the default settings of objectives; a teacher that moves within a few steps."""
    own = {"equivariance": {"decay": 0.5}}
    content = [{"kind": kind} | own.get(kind, {}) | keys for kind in kinds]
    return tuple(TypeAdapter(tuple[ObjectiveSettings, ...]).validate_python(content))


def state_after(
    out: Path, name: str, steps: int, world: World, *, norm: str = "group", crash_after: int | None = None, **keys: Any
) -> dict[str, Any]:
    """Train a set of objectives, resuming what is in the folder, and return the last saved state.

    Unlabelled frames have doubtful discs, which are ignored: as in a real pretraining, no two views count equally many pixels.

    Raises:
        Crash: After ``crash_after`` steps.
    """
    settings = settings_of(TRAINED[name])
    network = tiny_network() if norm == "batch" else group_normed(tiny_network())
    model = PretrainModel(network, settings)
    composer = Composer(InsertionConfig(), 0, pairs=any(objective_class(s).needs_pairs for s in settings))
    task = PretrainTask(model, composer, [], composer, amp=False)
    task.validate = dict  # nothing is held out
    pool = pool_of_frames(mini_frames(), name="mini")
    is_blind = not any(objective_class(s).uses_labels for s in settings)
    feed = Feed([without_labels(pool, DoubtConfig()) if is_blind else pool], ViewConfig(crop_px=32), seed=0, needs_targets=False)

    def on_step(report: StepReport) -> None:
        if report.step == crash_after:
            raise Crash

    with open_run(out / name, {}, world) as run:
        train(task, feed, toy_config(steps, **keys), run, world, on_step=on_step)
        saved = run.checkpoints.newest()
    assert saved is not None
    return saved


def main(argv: list[str]) -> int:
    """Train every set as one of several ranks, on the terms under which ranks equal one process."""
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        for name in TRAINED:
            state_after(Path(argv[0]), name, int(argv[1]), world, **EXACT)
    return 0


EXACT = {"amp": "off", "optimizer": {"kind": "sgd", "lr": 0.1}}
"""Float32 and plain steps: rounding is not blown up."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
