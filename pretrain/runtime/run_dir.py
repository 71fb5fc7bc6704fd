"""The folder of a run: what it is, where it ran, and the refusal to mix two runs in one folder.

recipe.json      what decides the result; the same recipe in the same folder resumes, any other is refused
env.json         versions, processor, device, threads of the last start
metrics.jsonl    the journal
checkpoints/     states (see ``pretrain.runtime.checkpoint``)
and, at its end, what the stage leaves for others: weights.safetensors and result.json
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pretrain.runtime.checkpoint import Checkpoints
from pretrain.runtime.distributed import World
from pretrain.runtime.journal import Journal
from synth.errors import RefusalError
from synth.store.files import HOLD_NAME, PARTIAL_SUFFIX, hold_folder, is_leftover, read_json, store_error, write_json
from synth.store.manifest import leaf_differences, short_json

WEIGHTS_NAME = "weights.safetensors"
RESULT_NAME = "result.json"
ENV_NAME = "env.json"
_CPU_INFO = Path("/proc/cpuinfo")
_VERSIONS_OF = ("sirst-foundry", "numpy", "torch")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a training ended.

    Attributes:
        step: Steps done.
        is_finished: Whether these are all of them.
        content: What ``result.json`` says; empty before the end.
    """

    step: int
    is_finished: bool
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The folder of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def checkpoints(self) -> Checkpoints:
        """Its saved states."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def journal(self) -> Journal:
        """Its journal."""
        return Journal(self.path / "metrics.jsonl")

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides its result.

        Raises:
            RefusalError: The folder is no run.
        """
        path = self.path / "recipe.json"
        if not path.is_file():
            raise RefusalError(f"{self.path}: is no training run (no recipe.json); give the --out of a training command")
        content: dict[str, Any] = read_json(path)
        return content


@contextmanager
def open_run(path: Path, recipe: Mapping[str, Any], world: World) -> Iterator[RunDirectory]:
    """Make the folder of a run, or open it to resume, and hold it within the block.

    Args:
        path: The folder.
        recipe: What decides the result, as JSON values: ``TrainConfig.content()`` and everything else that does.
        world: This process; only the first rank writes.

    Raises:
        RefusalError: The folder holds a run of another recipe (its differences are in the message), other files, or a process
            that is at work in it.
        StoreError: It cannot be written.
    """
    run = RunDirectory(path)
    if not world.is_first:
        world.wait()
        yield run
        return
    refuse_other_run(run, recipe)
    try:
        run.checkpoints.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(path, error) from error
    with hold_folder(path, f"{path}: another process trains in this folder; wait for it or give another --out"):
        for stray in path.rglob(f".*{PARTIAL_SUFFIX}"):  # left by a process that was killed while it wrote
            stray.unlink()
        if not (path / "recipe.json").exists():
            write_json(path / "recipe.json", dict(recipe))
        write_json(path / ENV_NAME, environment(world))
        world.wait()
        yield run


def refuse_other_run(run: RunDirectory, recipe: Mapping[str, Any]) -> None:
    """Raise when a folder holds something else than this run; also what a dry run asks.

    Raises:
        RefusalError: It does.
    """
    if run.path.exists() and not run.path.is_dir():
        raise RefusalError(f"{run.path}: is a file; give a folder")
    begun = (HOLD_NAME, "checkpoints")  # by a start that was killed before it wrote its recipe
    if not run.path.is_dir() or all(entry.name in begun or is_leftover(entry) for entry in run.path.iterdir()):
        return
    if not (run.path / "recipe.json").is_file():
        raise RefusalError(f"{run.path}: holds other files than a training run; give an empty or new folder")
    found = [
        f"{key}: {short_json(old)} in the folder, {short_json(new)} now"
        for key, old, new in leaf_differences(run.recipe, dict(recipe))
    ]
    if found:
        raise RefusalError(
            f"{run.path}: holds another run ({'; '.join(found[:8])}); give another --out, or that recipe to resume it"
        )


def environment(world: World) -> dict[str, Any]:
    """Return what a run runs on: versions, processor, device, ranks, threads."""
    gpu = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else None
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS_OF},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(world.device),
        "gpu": gpu,
        "ranks": world.size,
        "threads": torch.get_num_threads(),
    }


def _cpu_model() -> str:
    """Return the processor's name, as far as the system tells it."""
    with suppress(OSError):
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.processor())
    return platform.processor()
