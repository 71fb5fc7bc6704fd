"""Two gloo processes train as one does with the same global batch, and hand over to one in the middle."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from pretrain.runtime.distributed import World, joined_world, resolve_device
from pretrain.runtime.learner import Learner
from pretrain.runtime.run_dir import RunDirectory
from synth.errors import RecipeError
from tests.conftest import REPOSITORY
from tests.support.training import ToyNet, ToyTask, toy_config, train_toy

TOLERANCE = 1e-5
"""On weights of order 0.1 to 1. Measured worst: 6e-8. A rank that sees wrong frames, or a gradient that is summed instead of
averaged, moves them by 1e-3 and more under SGD."""
KEYS = {"batch": 4, "accumulation": 2, "amp": "off", "dropout": 0.0, "optimizer": {"kind": "sgd", "lr": 0.1}}


def run_ranks(out, size: int, *pairs: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.training", str(out), *pairs]
    children = [
        subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | shared | {"RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(size)
    ]
    assert [child.wait(timeout=180) for child in children] == [0] * size


def weights(path) -> dict[str, torch.Tensor]:
    state = RunDirectory(path).checkpoints.newest()
    assert state is not None
    return state["model"] | {f"average {name}": value for name, value in state["average"].items()}


def assert_close(left, right):
    assert left.keys() == right.keys()
    worst = max(float((left[name] - right[name]).abs().max()) for name in left)
    assert worst < TOLERANCE, worst


def test_two_ranks_equal_one_and_one_goes_on_where_two_stopped(tmp_path):
    pairs = [f"{key}={json.dumps(value)}" for key, value in KEYS.items()]
    run_ranks(tmp_path / "two", 2, "7", *pairs, "stop_after=5")
    train_toy(tmp_path / "one", 7, stop_after=5, **KEYS)
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"))
    losses = [[line["loss"] for line in RunDirectory(tmp_path / name).journal.lines()] for name in ("one", "two")]
    assert len(losses[0]) == 5 and losses[0] == pytest.approx(losses[1], abs=TOLERANCE)
    outcomes = [train_toy(tmp_path / name, 7, **KEYS) for name in ("one", "two")]
    assert all(outcome.is_finished for outcome, _ in outcomes) and outcomes[0][1].seen == outcomes[1][1].seen
    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_a_batch_that_ranks_and_parts_do_not_divide_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"train\.batch must be a multiple of ranks x train\.accumulation = 1 x 3, got 4"):
        train_toy(tmp_path, 2, accumulation=3)


def test_an_absent_gpu_is_a_named_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RecipeError, match=r"train\.device must be cpu or auto where torch sees no GPU, got cuda"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto", 1) == torch.device("cuda", 1) and resolve_device("cpu", 1) == torch.device("cpu")
    with pytest.raises(RecipeError, match="more processes than the 2 GPUs"):
        resolve_device("cuda", 2)


def test_one_process_needs_no_variables(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined_world("cpu") as world:
        assert (world.rank, world.size, world.is_first) == (0, 1, True)


@pytest.mark.parametrize(("size", "norm", "warned"), [(2, "batch", True), (2, "group", False), (1, "batch", False)])
def test_statistics_of_each_rank_are_named(monkeypatch, caplog, size, norm, warned):
    """Batch statistics are synchronised on GPUs only: several CPU processes train another network than one does."""
    monkeypatch.setattr("pretrain.runtime.learner.DistributedDataParallel", lambda module, **_: module)
    task = ToyTask(ToyNet(norm), None, None)
    Learner(task, toy_config(2, batch=8), World(torch.device("cpu"), 0, size))
    assert any("each uses the statistics of its own 4 frames" in message for message in caplog.messages) == warned


@pytest.mark.parametrize(("size", "accumulation", "own"), [(2, 1, 4), (1, 4, 2), (2, 2, 2), (1, 1, None)])
def test_a_loss_that_pools_frames_is_named_where_batches_are_split(monkeypatch, caplog, size, accumulation, own):
    """Sums over frames are those of one rank and one accumulated part: the result depends on their numbers."""
    monkeypatch.setattr("pretrain.runtime.learner.DistributedDataParallel", lambda module, **_: module)
    task, config = ToyTask(ToyNet(), None, None), toy_config(2, batch=8, accumulation=accumulation)
    for task.pools_frames in (False, True):
        caplog.clear()
        learner = Learner(task, config, World(torch.device("cpu"), 0, size))
        told = [message for message in caplog.messages if "reduce batch" in message]
        assert told == learner.split_effects and len(told) == (task.pools_frames and own is not None)
        assert all(f"sums are taken over {own} of the 8 frames" in message for message in told)


def test_the_journal_says_how_batches_were_split(tmp_path, monkeypatch):
    """A line at every start of a run whose result depends on it; on two ranks, every rank's loss is its own."""
    monkeypatch.setattr(ToyTask, "pools_frames", True)
    train_toy(tmp_path, 3, accumulation=2, stop_after=2)
    train_toy(tmp_path, 3, accumulation=2)
    lines = RunDirectory(tmp_path).journal.lines()
    split = [line for line in lines if "ranks" in line]
    assert [line["step"] for line in lines] == [0, 1, 2, 2, 3, 3] and [line["step"] for line in split] == [0, 2]
    assert all((line["ranks"], line["accumulation"], line["frames_at_once"]) == (1, 2, 2) for line in split)
    assert "sums are taken over 2 of the 4 frames" in split[0]["warnings"][0]
