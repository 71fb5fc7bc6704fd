"""Two ranks train every objective as one process does, and do not wait for parameters that an objective leaves out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from pretrain.objectives import build_objective, objective_names
from pretrain.runtime.distributed import World
from pretrain.runtime.run_dir import RunDirectory
from tests.conftest import REPOSITORY
from tests.support.builders import scene, write_corpus
from tests.support.cli import command, environment
from tests.support.composing import batch_of_views, composed_of, tiny_network
from tests.support.pretraining import EXACT, TRAINED, state_after
from tests.unit.pretrain.objectives.test_objectives_law import labelled, settings_of

TOLERANCE = 1e-5
"""On weights of order 0.1 to 1, of which some move by 8e-4 at least. Measured worst: 1.3e-7. Cross entropy pooled over a rank's
valid pixels, whose number its frames' ignored discs decide, moves them by 1.2e-3."""

SETS = (
    "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4", "train.steps=3",
    "held_out.frames=1", "held_out.crops=4", "train.log_every=1", "train.validate_every=null",
    "objectives=[{kind: masked}, {kind: denoise}]",
)  # fmt: skip


def test_it_is_known_who_trains_all_of_a_network():
    """Whoever says so gives every parameter a gradient; whoever does not leaves some out."""
    for kind in objective_names():
        network = tiny_network()
        objective = build_objective(settings_of(kind), network)
        composed = composed_of(labelled(2) if objective.uses_labels else batch_of_views(2))
        torch.stack(tuple(objective.parts(network, composed, 0).values())).sum().backward()
        assert all(p.grad is not None for p in network.parameters()) is objective.uses_decoder, kind


def test_two_ranks_train_an_encoder_alone(tmp_path):
    """All steps are done; without looking for what is left out, torch gives up in the second."""
    corpus = write_corpus(tmp_path / "demo", [scene(name, (48, 48), [(9, 9, 12, 12)]) for name in "abcdef"])
    flags = [flag for key in SETS for flag in ("--set", key)]
    arguments = command("pretrain_encoder", "pretrain_tiny", "--data", corpus, "--out", tmp_path / "run", *flags)
    run_two(arguments)
    steps = [line for line in RunDirectory(tmp_path / "run").journal.lines() if "loss" in line]
    assert len(steps) == 3 and json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 3


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Every objective alone and the mixture of all, 5 steps by two processes: one launch for all of them."""
    folder = tmp_path_factory.mktemp("two")
    run_two([sys.executable, "-m", "tests.support.pretraining", str(folder), "5"])
    return folder


@pytest.mark.parametrize("name", list(TRAINED))
def test_two_ranks_equal_one(two_ranks, tmp_path, name):
    """Group norm, no dropout, per-image losses, ignored discs; encoder, decoder, heads, teacher, and the average of all."""
    one = state_after(tmp_path, name, 5, World(torch.device("cpu")), **EXACT)
    two = RunDirectory(two_ranks / name).checkpoints.newest()
    worst = max(float((one[part][key] - two[part][key]).abs().max()) for part in ("model", "average") for key in one[part])
    moved = max(float((value - one["average"][key]).abs().max()) for key, value in one["model"].items())
    assert worst < TOLERANCE < 50 * TOLERANCE < moved, (worst, moved)


def run_two(arguments):
    """Run a command as two ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = environment({"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    children = [
        subprocess.Popen(
            arguments, cwd=REPOSITORY, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [child.wait(timeout=180) for child in children] == [0, 0]
