"""A killed pretraining goes on to the same bits: heads, teacher and its BatchNorm statistics are part of the saved state."""

from __future__ import annotations

import pytest
import torch

from pretrain.runtime.distributed import World
from pretrain.task import PretrainModel
from tests.support.composing import tiny_network
from tests.support.pretraining import TRAINED, Crash, settings_of, state_after

KEYS = {"amp": "bf16", "accumulation": 2, "checkpoint_every": 10, "optimizer": {"lr": 1e-2}}


def state_of(folder, name, crash_after=None):
    return state_after(folder, name, 20, World(torch.device("cpu")), norm="batch", crash_after=crash_after, **KEYS)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return {name: state_of(folder, name) for name in ("mixture", "lneg")}


@pytest.mark.parametrize("name", ["mixture", "lneg"])
def test_ten_steps_a_kill_and_ten_more_are_twenty(straight, tmp_path, name):
    """Bit for bit: model, objectives, average and optimiser. The mixture holds every label-free objective, which share steps."""
    with pytest.raises(Crash):
        state_of(tmp_path, name, crash_after=13)  # three steps beyond the saved state are lost
    resumed = state_of(tmp_path, name)
    assert resumed["step"] == straight[name]["step"] == 20
    for part in ("model", "average"):
        assert resumed[part].keys() == straight[name][part].keys()
        assert all(torch.equal(value, resumed[part][key]) for key, value in straight[name][part].items())
    one, other = (state["optimizer"]["state"] for state in (resumed, straight[name]))
    assert all(torch.equal(value, other[index][key]) for index, own in one.items() for key, value in own.items())


def test_the_teacher_is_neither_the_student_nor_where_it_began(straight):
    state = straight["mixture"]["model"]
    names = [name for name in state if name.startswith("segmenter.") and state[name].is_floating_point()]
    teacher = {name: state[name.replace("segmenter.", "objectives.equivariance.teacher.network.", 1)] for name in names}
    first = PretrainModel(tiny_network(), settings_of(TRAINED["mixture"])).state_dict()
    moved = [name for name in names if not torch.equal(teacher[name], first[name])]
    assert len(moved) > 0.9 * len(names) and any("running_mean" in name for name in moved)
    assert all(not torch.equal(teacher[name], state[name]) for name in moved)
