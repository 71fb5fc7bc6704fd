"""A stopped pretraining goes on to the same bits: heads, teacher and its BatchNorm statistics are part of the saved state."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter

from pretrain.compose import Composer, InsertionConfig
from pretrain.objectives import ObjectiveSettings, objective_class
from pretrain.runtime import open_run, train
from pretrain.runtime.distributed import World
from pretrain.task import PretrainModel, PretrainTask
from tests.support.composing import tiny_network
from tests.support.training import toy_config, toy_feed

SETTINGS = TypeAdapter(tuple[ObjectiveSettings, ...]).validate_python(
    [{"kind": "seg"}, {"kind": "masked"}, {"kind": "denoise"}, {"kind": "equivariance", "decay": 0.5}]
)


def state_after(folder, *stops):
    """Train 6 steps, in as many processes' worth of calls as there are stops, and return the last saved state."""
    world, config = World(torch.device("cpu")), toy_config(6, amp="bf16", accumulation=2, optimizer={"lr": 1e-2})
    for stop in (*stops, None):
        model = PretrainModel(tiny_network(), SETTINGS)
        composer = Composer(InsertionConfig(), 0, pairs=any(objective_class(s).needs_pairs for s in SETTINGS))
        task = PretrainTask(model, composer, [], composer, amp=True)
        task.validate = dict  # nothing is held out
        asked = iter(range(1, 100))
        with open_run(folder, {}, world) as run:
            train(task, toy_feed(crop_px=32), config, run, world, should_stop=lambda: next(asked) == stop)  # noqa: B023
            saved = run.checkpoints.newest()
    return saved


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return state_after(tmp_path_factory.mktemp("straight"))


def test_resume_is_exact(straight, tmp_path):
    resumed = state_after(tmp_path, 2, 1)  # stopped after step 2, and again after one more
    assert resumed["step"] == straight["step"] == 6
    for part in ("model", "average"):
        assert resumed[part].keys() == straight[part].keys()
        assert all(torch.equal(value, resumed[part][name]) for name, value in straight[part].items())


def test_the_teacher_is_neither_the_student_nor_where_it_began(straight):
    state = straight["model"]
    names = [name for name in state if name.startswith("segmenter.") and state[name].is_floating_point()]
    teacher = {name: state[name.replace("segmenter.", "objectives.equivariance.teacher.network.", 1)] for name in names}
    first = PretrainModel(tiny_network(), SETTINGS).state_dict()
    moved = [name for name in names if not torch.equal(teacher[name], first[name])]
    assert len(moved) > 0.9 * len(names) and any("running_mean" in name for name in moved)
    assert all(not torch.equal(teacher[name], state[name]) for name in moved)
