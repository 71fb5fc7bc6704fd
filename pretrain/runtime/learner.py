"""What learns: the model with its optimiser and its average, and one step of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrain.batch import Batch
from pretrain.runtime.config import TrainConfig
from pretrain.runtime.distributed import World
from pretrain.runtime.ema import ModelAverage
from pretrain.runtime.optimizers import build_optimizer, set_learning_rate
from pretrain.runtime.task import Task
from synth.rng import Stream, keyed_hash

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one step did.

    Attributes:
        parts: Parts of the loss, means over the whole batch.
        grad_norm: Norm of the gradient before it was clipped.
        is_finite: Whether loss and gradient were finite; if not, nothing was updated, running statistics included.
        is_told_to_stop: Whether any rank was.
        batch: The last frames of this rank.
        waited_s: Time spent waiting for batches.
        seconds: Time of the whole step.
    """

    parts: dict[str, float]
    grad_norm: float
    is_finite: bool
    is_told_to_stop: bool
    batch: Batch
    waited_s: float
    seconds: float


def use_fast_layout(model: nn.Module, device: torch.device) -> None:
    """Keep a model's weights channels last, which its maps then follow.

    On a CPU that is 1.6 times as fast for ``acm_nano``, 1.3 for ``acm``, 1.1 for ``dnanet_nano`` (one run each, bfloat16).
    Not on CPUs where a 1x1 convolution strides: its backward pass ends the process in this layout (torch 2.13 and 2.15). The
    blocks of ``pretrain.backbones`` slice instead.

    Args:
        model: The network.
        device: Where it computes.
    """
    convolutions = (part for part in model.modules() if isinstance(part, nn.Conv2d))
    crashes = any(part.kernel_size == (1, 1) and part.stride != (1, 1) for part in convolutions)
    if device.type != "cpu" or not crashes:
        model.to(memory_format=torch.channels_last)


def allow_tf32(allowed: bool) -> None:
    """Let cuDNN round float32 to TF32, its default, or not; whoever computes says so before it does, for it is one flag for all.

    Args:
        allowed: Whether parts are computed in bfloat16 anyway (``amp``); otherwise float32 means float32.
    """
    torch.backends.cudnn.allow_tf32 = allowed


def split_effects(task: Task, config: TrainConfig, world: World) -> list[str]:
    """Return why a run gives another result than one process that computes its batches whole; empty when it does not.

    Args:
        task: The stage.
        config: Settings.
        world: This process among the others.
    """
    num_own, found = _frames_at_once(config, world), []
    is_normed = any(isinstance(part, nn.BatchNorm2d) for part in task.model.modules())
    if world.size > 1 and world.device.type != "cuda" and is_normed:
        found.append(
            f"batch normalisation on {world.size} CPU processes: each uses the statistics of its own {num_own} frames, so the "
            "result differs from that of one process"
        )
    if task.pools_frames and num_own < config.batch:
        found.append(
            f"loss with reduce batch or hard_bce on {world.size} process(es), {config.accumulation} part(s) a step each: sums "
            f"are taken over {num_own} of the {config.batch} frames, so the result differs from that of the whole batch"
        )
    return found


def _frames_at_once(config: TrainConfig, world: World) -> int:
    return config.batch // (world.size * config.accumulation)


class Learner:
    """Model, optimiser and average of one process.

    Args:
        task: The stage; its model is moved to the device.
        config: Settings.
        world: This process among the others.

    Attributes:
        average: The averaged model, or None.
        split_effects: Why the result depends on how batches are split (:func:`split_effects`).
        frames_at_once: Frames that are computed together: those of one rank and one accumulated part.
    """

    def __init__(self, task: Task, config: TrainConfig, world: World) -> None:
        self._task, self._config, self._world = task, config, world
        on_gpu = world.device.type == "cuda"
        allow_tf32(config.amp != "off")
        self.frames_at_once, self.split_effects = _frames_at_once(config, world), split_effects(task, config, world)
        if world.is_first:
            for effect in self.split_effects:
                _LOG.warning("%s", effect)
        task.model.to(world.device)
        if world.size > 1 and on_gpu:
            # each of these layers makes the host wait three times a forward pass (torch.nn.modules._functions)
            task.model = nn.SyncBatchNorm.convert_sync_batchnorm(task.model)  # type: ignore[no-untyped-call]
        use_fast_layout(task.model, world.device)
        if config.compile:
            task.model.compile()
        self._module: nn.Module = _TaskLoss(task)
        if world.size > 1:
            self._module = DistributedDataParallel(
                self._module, gradient_as_bucket_view=True, find_unused_parameters=not task.trains_all
            )
        self._running = [buffer for buffer in task.model.buffers() if buffer.is_floating_point()]
        self._running_before = [torch.empty_like(buffer) for buffer in self._running]
        self._optimizer = build_optimizer(task.model, config.optimizer)
        self.average = None if config.ema is None else ModelAverage(task.model, config.ema)

    def do_step(self, batches: Iterator[Batch], step: int, lr: float, should_stop: Callable[[], bool]) -> Step:
        """Do one optimiser step on the next batches.

        torch's generator is seeded from the number of the step and the rank, so that dropout and the like depend on nothing else.

        Args:
            batches: Of this rank, ``accumulation`` of them are taken.
            step: Number of the step, from 0.
            lr: Learning rate.
            should_stop: Asked when the gradient stands; all ranks learn of it.
        """
        began, waited = perf_counter(), 0.0
        torch.manual_seed(int(keyed_hash(self._config.seed, Stream.STEP, step, self._world.rank)))
        set_learning_rate(self._optimizer, lr)
        self._optimizer.zero_grad()
        self._task.model.train()
        if self._running:
            torch._foreach_copy_(self._running_before, self._running)
        sums: dict[str, Tensor] = {}
        for part in range(self._config.accumulation):
            asked = perf_counter()
            batch = next(batches)
            waited += perf_counter() - asked
            for name, value in self._add_gradient(batch, step, is_last=part + 1 == self._config.accumulation).items():
                sums[name] = sums[name] + value if name in sums else value
        norm = nn.utils.clip_grad_norm_(self._task.model.parameters(), self._config.optimizer.clip_norm or math.inf)
        told = torch.full_like(norm, float(should_stop()))
        *means, grad_norm, stop = (self._world.sum(torch.stack([*sums.values(), norm, told])) / self._world.size).tolist()
        is_finite = all(map(math.isfinite, (*means, grad_norm)))
        if is_finite:
            self._optimizer.step()
            if self.average is not None:
                self.average.update(self._task.model, step)
        elif self._running:
            torch._foreach_copy_(self._running, self._running_before)
        parts = dict(zip(sums, means, strict=True))
        return Step(parts, grad_norm, is_finite, stop > 0, batch, waited, perf_counter() - began)

    def state(self) -> dict[str, Any]:
        """Return what a resume needs: model, average and optimiser."""
        return self.weights() | {"optimizer": self._optimizer.state_dict()}

    def weights(self) -> dict[str, Any]:
        """Return the model's tensors and their averages (None without)."""
        return {"model": self._task.model.state_dict(), "average": None if self.average is None else self.average.state}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self._task.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load(state["average"])

    def _add_gradient(self, batch: Batch, step: int, *, is_last: bool) -> dict[str, Tensor]:
        """Add the gradient of one part of the batch; ranks exchange theirs with the last."""
        module, share = self._module, 1 / self._config.accumulation
        waits = isinstance(module, DistributedDataParallel) and not is_last
        with module.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with torch.autocast(self._world.device.type, torch.bfloat16, enabled=self._config.amp == "bf16"):
                parts: dict[str, Tensor] = module(batch, step)
            assert all(value.dtype == torch.float32 and value.ndim == 0 for value in parts.values()), (
                "loss parts: float32 scalars"
            )
            (torch.stack(list(parts.values())).sum() * share).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() * share for name, value in parts.items()}


class _TaskLoss(nn.Module):
    """The loss as the forward pass of a module, for DistributedDataParallel to wrap."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model, self._loss = task.model, task.loss

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return dict(self._loss(batch, step))
