"""Ranks, devices, and the few things ranks tell each other.

Processes are started by ``torchrun``, which sets ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and the address to meet at. One process
alone is a world of size 1 and needs none of them. All ranks must see the run directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
from torch import Tensor, distributed

from synth.errors import RecipeError

PATIENCE = timedelta(hours=2)
"""How long ranks wait for the first one, which validates and saves alone (our choice: torch's 10 minutes are few for that)."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among the others.

    Attributes:
        device: Where it computes.
        rank: Its number.
        size: Number of processes.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined_world(device: Literal["auto", "cpu", "cuda"] = "auto") -> Iterator[World]:
    """Meet the other ranks, if ``torchrun`` started any, and leave them at the end.

    Args:
        device: What to compute on; ``auto`` takes a GPU when there is one.

    Raises:
        RecipeError: A GPU is asked for and there is none, or fewer than processes.
    """
    size, rank, local_rank = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    chosen = resolve_device(device, local_rank)
    if size == 1:
        yield World(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        # Without device_id, a barrier guesses which GPU is this process's own.
        distributed.init_process_group("nccl", rank=rank, world_size=size, timeout=PATIENCE, device_id=chosen)
    else:
        distributed.init_process_group("gloo", rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(chosen, rank, size)
    except BaseException:
        if chosen.type == "cuda":
            # Leaving in order waits for the others, who wait for this rank: it would never end, nor torchrun end them.
            distributed.distributed_c10d._abort_process_group()
        else:
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def resolve_device(
    device: Literal["auto", "cpu", "cuda"], local_rank: int = 0, *, asked_by: str = "train.device"
) -> torch.device:
    """Return the device of a process.

    Args:
        device: What is asked for.
        local_rank: Number of the process on its machine, which takes the GPU of that number.
        asked_by: Key or option that asks, for messages.

    Raises:
        RecipeError: A GPU is asked for and there is none, or fewer than processes.
    """
    num_gpus = torch.cuda.device_count()
    if device == "cuda" and num_gpus == 0:
        raise RecipeError(f"{asked_by} must be cpu or auto where torch sees no GPU, got cuda")
    if device == "cpu" or num_gpus == 0:
        return torch.device("cpu")
    if local_rank >= num_gpus:
        raise RecipeError(f"{asked_by} must be cpu for more processes than the {num_gpus} GPUs of this machine, got {device}")
    return torch.device("cuda", local_rank)


_VARIABLES = (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
