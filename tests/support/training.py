"""A toy network and task, and a whole training run of it on the mini frames, in this process or as a child.

As a child: ``python -m tests.support.training OUT STEPS [key=value ...]``; keys are those of :func:`train_toy`.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.command import EXIT_OK, stop_on_signal
from pretrain.batch import Batch
from pretrain.feed import Feed
from pretrain.frames import pool_of_frames
from pretrain.runtime import Outcome, TrainConfig, open_run, train
from pretrain.runtime.distributed import joined_world
from pretrain.views import Radiometry, ViewConfig
from tests.support.builders import mini_frames
from tests.support.cli import call

FAULTS_OF_EVERY_TRAINING = (
    (("train.accumulation=3",), ("train.batch must be a multiple of ranks x train.accumulation = 1 x 3, got 4",)),
    (("detector.backbone.in_channels=3",), ("detector.backbone.in_channels must be 1, frames have one channel, got 3",)),
)
"""Overrides of a recipe of batches of 4 -> what is said of them before a step is done."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "group": lambda width: nn.GroupNorm(2, width),
    "batch": nn.BatchNorm2d,
}


def refused_before_begun(command: Callable[..., Sequence[Any]], out: Path, needles: Sequence[str]) -> None:
    """Assert that a training is refused by a dry run as by a start, and leaves no folder: the corrected recipe may use it.

    Args:
        command: Given ``out`` and options, returns the command line.
        out: The run directory.
        needles: What the error line holds.
    """
    for options in (("--dry-run",), ()):
        call(*command(out, *options)).refused(2, *needles)
    assert not out.exists()


class ToyNet(nn.Module):
    """Two convolutions with a norm and dropout between them."""

    def __init__(self, norm: str = "group", dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.norm, self.dropout = nn.Conv2d(1, 4, 3, padding=1), NORMS[norm](4), nn.Dropout(dropout)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.dropout(functional.relu(self.norm(self.first(images)))))


class ToyTask:
    """Per-image cross entropy and soft IoU.

    Args:
        model: The network.
        poison_from: Step from which the loss is NaN.
        poison_maps_at: Step in which the images are, and with them statistics of batch normalisation.
        signal_at: Step in which this process gets a signal, and its number.
    """

    best_metric: str | None = "score"
    trains_all: bool = True
    pools_frames: bool = False

    def __init__(
        self, model: nn.Module, poison_from: int | None, signal_at: tuple[int, int] | None, poison_maps_at: int | None = None
    ) -> None:
        self.model, self._poison_from, self._signal_at, self._poison_maps_at = model, poison_from, signal_at, poison_maps_at
        self.seen: list[list[int]] = []
        self.validations = 0

    def loss(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        self.seen.append(batch.positions.tolist())
        if self._signal_at is not None and step == self._signal_at[0]:
            signal.raise_signal(self._signal_at[1])
        images = batch.images_B1HW * (float("nan") if step == self._poison_maps_at else 1.0)
        logits = self.model(images).float()
        bce = functional.binary_cross_entropy_with_logits(logits, batch.masks_B1HW, reduction="none").mean(dim=(1, 2, 3))
        p = torch.sigmoid(logits)
        both = (p * batch.masks_B1HW).sum(dim=(1, 2, 3))
        union = (p + batch.masks_B1HW).sum(dim=(1, 2, 3)) - both
        parts = {"bce": bce.mean(), "soft_iou": (1 - (both + 1) / (union + 1)).mean()}
        if self._poison_from is not None and step >= self._poison_from:
            parts["bce"] = parts["bce"] * float("nan")
        return parts

    def validate(self) -> Mapping[str, float]:
        assert not self.model.training
        self.validations += 1
        return {"score": float(sum(p.sum() for p in self.model.parameters()))}


def toy_feed(seed: int = 0, crop_px: int = 24) -> Feed:
    """Return batches of the mini frames with grain, so that every kind of draw takes part."""
    pool = pool_of_frames(mini_frames(), name="mini")
    return Feed([pool], ViewConfig(crop_px=crop_px, radiometry=Radiometry(gain=0.2, grain=0.02)), seed=seed)


def toy_config(steps: int, **keys: Any) -> TrainConfig:
    """Return a small config; ``keys`` as in YAML."""
    settings = {"batch": 4, "ema": 0.9, "log_every": 1, "checkpoint_every_s": None, "device": "cpu"} | keys
    return TrainConfig.model_validate({"steps": steps} | settings)


def train_toy(
    out: Path, steps: int, *, norm: str = "group", dropout: float = 0.1, poison_from: int | None = None,
    poison_maps_at: int | None = None, signal_at: tuple[int, int] | None = None,
    stop_after: int | None = None, should_stop: Callable[[], bool] = lambda: False, **keys: Any,
) -> tuple[Outcome, ToyTask]:  # fmt: skip
    """Train the toy to the end, or until ``stop_after`` steps."""
    torch.manual_seed(7)
    config, task = toy_config(steps, **keys), ToyTask(ToyNet(norm, dropout), poison_from, signal_at, poison_maps_at)
    asked = iter(range(1, 10**6))

    def told() -> bool:
        return should_stop() or (stop_after is not None and next(asked) >= stop_after)

    with joined_world(config.device) as world, open_run(out, {"train": config.content()}, world) as run:
        outcome = train(task, toy_feed(config.seed), config, run, world, should_stop=told)
    return outcome, task


def main(argv: list[str]) -> int:
    """Train as a command would: signals finish the step in hand."""
    torch.set_num_threads(1)
    out, steps, *pairs = argv
    keys = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in pairs)}
    with stop_on_signal() as request:
        outcome, _ = train_toy(Path(out), int(steps), should_stop=request, **keys)
    return EXIT_OK if outcome.is_finished else request.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
