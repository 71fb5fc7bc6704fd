"""Where a step of pretraining spends its time, for each objective and for mixtures: views, composing, objective, network.

Frames of NUAA-SIRST, resident. A step is taken apart from outside: its batch is fetched, composed, and trained on, each timed for
itself; the network's part is what the same calls of the network take with the mean of its outputs for a loss. What is left of the
training is the objective's own: heads, points, targets, losses. On a CPU times are CPU seconds and only the nano network is
measured; on a GPU they are seconds of wall time between synchronisations. What keeps a GPU waiting are many small kernels, so the
operators that compute are counted too, on any device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from harness import Benchmark, Clock, sirst_folder
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from finetune.detectors import build_detector
from pipelines.config import load_recipe
from pipelines.pretrain_recipe import PretrainRecipe
from pretrain.compose import Composed, Composer
from pretrain.compose.noise import recorded_noise
from pretrain.feed import Feed
from pretrain.frames import FramePool, open_pool
from pretrain.order import Partition
from pretrain.runtime.learner import use_fast_layout
from pretrain.runtime.optimizers import build_optimizer
from pretrain.task import PretrainModel
from pretrain.unlabelled import without_labels

MIXTURES: dict[str, tuple[str, ...]] = {
    "seg": ("seg",),
    "dense": ("dense",),
    "masked": ("masked",),
    "denoise": ("denoise",),
    "equivariance": ("equivariance",),
    "lneg (supervised)": ("lneg",),
    "seg + dense (default)": ("seg", "dense"),
    "all five label-free": ("seg", "dense", "masked", "denoise", "equivariance"),
}
RECIPE = {"cpu": "pretrain_tiny", "cuda": "pretrain_small"}
STEPS = {"cpu": 8, "cuda": 100}
GOAL = "<= 30 % on a GPU"
PARTS = ("views", "composing", "objective", "network")
_T = TypeVar("_T")


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("pretraining", __doc__ or "")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    num_steps = 1 if bench.quick else STEPS[device.type]
    pool = open_pool(sirst_folder("sirst-v1"), split="train", device=device)
    batch = load_recipe(RECIPE[device.type], PretrainRecipe, stage="pretrain").train.batch
    bench.section(f"{RECIPE[device.type]}, {num_steps} steps of {batch} views on {device.type}: medians of each part of a step")
    for name, kinds in MIXTURES.items():
        add_row(bench, name, measured(kinds, pool, num_steps, device), batch, device)
    bench.section("operators started in a step that compute something: on a GPU a kernel each, or more")
    for name, kinds in MIXTURES.items():
        counts = counted(kinds, pool, device)
        step = sum(counts.values())
        bench.row(name, 100.0 * (1.0 - counts["network"] / step), "% of step", **{part: counts[part] for part in PARTS})
    if device.type == "cpu":
        bench.section("on a GPU")
        bench.missing("views, composing and objectives", "% of step", GOAL, "not yet run on a GPU")
    bench.finish()
    return 0


def add_row(bench: Benchmark, name: str, parts: Mapping[str, float], batch: int, device: torch.device) -> None:
    """Print and keep what a mixture costs beside its network."""
    step = sum(parts[part] for part in PARTS)
    shares = {f"{part}_percent": 100.0 * parts[part] / step for part in PARTS}
    rate = {"images_per_s": batch / parts["wall"]}
    if device.type == "cpu":
        rate["images_per_cpu_s"] = batch / step
    bench.row(name, 100.0 - shares["network_percent"], "% of step", GOAL, **rate, **shares)


def measured(kinds: tuple[str, ...], pool: FramePool, num_steps: int, device: torch.device) -> dict[str, float]:
    """Return the median seconds of :data:`PARTS` in a step of some objectives, and ``wall``, wall time of the whole step."""
    times = _Times(device)
    do_steps(kinds, pool, num_steps, device, times)
    found = times.medians()
    own = max(found.pop("training") - found["network"], 0.0)
    wall = times.wall("views") + times.wall("composing") + times.wall("training")
    return dict(zip(PARTS, (found["views"], found["composing"], own, found["network"]), strict=True)) | {"wall": wall}


def counted(kinds: tuple[str, ...], pool: FramePool, device: torch.device) -> dict[str, int]:
    """Return how many operators that compute each of :data:`PARTS` starts in a step of some objectives."""
    counts = _Operators()
    do_steps(kinds, pool, 1, device, counts)
    found = counts.by_part
    return found | {"objective": found.pop("training") - found["network"]}


def do_steps(kinds: tuple[str, ...], pool: FramePool, num_steps: int, device: torch.device, meter: _Times | _Operators) -> None:
    """Do steps of some objectives under a meter, which forgets the first."""
    chosen = ", ".join(f"{{kind: {kind}}}" for kind in kinds)
    recipe = load_recipe(RECIPE[device.type], PretrainRecipe, [f"objectives=[{chosen}]"], stage="pretrain")
    seen = pool if recipe.uses_labels else without_labels(pool, recipe.doubt)
    feed = Feed([seen], recipe.views, seed=0, device=device, needs_targets=recipe.uses_labels)
    noise = recorded_noise([seen], device) if recipe.uses_noise else None
    composer = Composer(recipe.insertion, 0, pairs=recipe.needs_pairs, noise=noise)
    torch.manual_seed(0)
    model = PretrainModel(build_detector(recipe.detector), recipe.objectives).to(device).train()
    use_fast_layout(model, device)
    optimizer = build_optimizer(model, recipe.train.optimizer)
    if isinstance(meter, _Operators):
        for group in optimizer.param_groups:
            group["foreach"] = True  # as on a GPU; on a CPU tensors are updated one by one
    batches = feed.batches(0, Partition(recipe.train.batch))
    for number in range(num_steps + 1):
        with torch.no_grad():
            batch = meter.of("views", partial(next, batches))
            composed = meter.of("composing", partial(composer.compose, batch))
        with recorded_calls(model) as calls:
            objective = meter.of("training", partial(train_step, model, optimizer, composed, number, device))
        assert np.isfinite(objective)
        meter.of("network", partial(replay, model, optimizer, calls, device))
        if number == 0:
            meter.forget()


def train_step(model: nn.Module, optimizer: Any, composed: Composed, number: int, device: torch.device) -> float:
    """Do one step of the objectives; return the loss."""
    optimizer.zero_grad()
    with torch.autocast(device.type, torch.bfloat16):
        loss: Tensor = torch.stack(tuple(model(composed, number).values())).sum()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a network: all of it or its encoder, on what, and whether gradients were wanted."""

    network: nn.Module
    is_whole: bool
    images_BCHW: Tensor
    wants_grad: bool


@contextmanager
def recorded_calls(model: PretrainModel) -> Iterator[list[Call]]:
    """Record the outermost calls of networks, the teacher's included, within a block."""
    kind, calls, depth = type(model.segmenter), list[Call](), [0]
    originals = {"forward": kind.forward, "encode": kind.encode}

    def recording(name: str) -> Callable[..., Any]:
        def call(self: nn.Module, images: Tensor) -> Any:
            if not depth[0]:
                calls.append(Call(self, name == "forward", images.detach(), torch.is_grad_enabled()))
            depth[0] += 1
            try:
                return originals[name](self, images)
            finally:
                depth[0] -= 1

        return call

    for name in originals:
        setattr(kind, name, recording(name))
    try:
        yield calls
    finally:
        for name, original in originals.items():
            setattr(kind, name, original)


def replay(model: nn.Module, optimizer: Any, calls: list[Call], device: torch.device) -> None:
    """Do a step of the network alone: the recorded calls, the mean of their outputs for a loss, backward, update."""
    optimizer.zero_grad()
    losses = []
    with torch.autocast(device.type, torch.bfloat16):
        for call in calls:
            with torch.set_grad_enabled(call.wants_grad):
                if call.is_whole:
                    prediction = call.network(call.images_BCHW)
                    outputs = [prediction.logits_B1HW, *prediction.auxiliary]
                else:
                    outputs = list(call.network.encode(call.images_BCHW))
            losses += [output.float().mean() for output in outputs if output.requires_grad]
    torch.stack(losses).sum().backward()
    optimizer.step()


@dataclass(slots=True)
class _Times:
    """Clocks of the parts of each step."""

    device: torch.device
    _clocks: dict[str, list[Clock]] = field(default_factory=dict)

    def of(self, part: str, work: Callable[[], _T]) -> _T:
        self._wait()
        with Clock() as clock:
            result = work()
            self._wait()
        self._clocks.setdefault(part, []).append(clock)
        return result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def forget(self) -> None:
        self._clocks.clear()

    def wall(self, part: str) -> float:
        return float(np.median([clock.wall_s for clock in self._clocks[part]]))

    def medians(self) -> dict[str, float]:
        """Median seconds of each part, of the CPU where that computes."""
        if self.device.type == "cuda":
            return {part: self.wall(part) for part in self._clocks}
        return {part: float(np.median([clock.cpu_s for clock in clocks])) for part, clocks in self._clocks.items()}


@dataclass(slots=True)
class _Operators:
    """Counts of what the parts of a step start, views of tensors and empty ones left out."""

    by_part: dict[str, int] = field(default_factory=dict)

    def of(self, part: str, work: Callable[[], _T]) -> _T:
        with _Counting() as counting:
            result = work()
        self.by_part[part] = self.by_part.get(part, 0) + counting.num_operators
        return result

    def forget(self) -> None:
        self.by_part.clear()


class _Counting(TorchDispatchMode):
    """Counts operators while it lasts, those of backward passes among them."""

    def __init__(self) -> None:
        super().__init__()
        self.num_operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_operators += not (func.is_view or func.overloadpacket.__name__.startswith("empty"))
        return func(*args, **(kwargs or {}))


if __name__ == "__main__":
    sys.exit(main())
