"""The copy of the journal for TensorBoard."""

from __future__ import annotations

import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pretrain.runtime.run_dir import RunDirectory
from synth.errors import RecipeError
from tests.support.training import train_toy


def read_scalars(out):
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_board_shows_the_journal_also_after_a_stop(tmp_path):
    train_toy(tmp_path / "run", 6, tensorboard=True, stop_after=3)
    train_toy(tmp_path / "run", 6, tensorboard=True)
    lines = [line for line in RunDirectory(tmp_path / "run").journal.lines() if "loss" in line]
    shown = read_scalars(tmp_path / "run")
    assert shown["train/loss"] == pytest.approx({line["step"]: line["loss"] for line in lines}, rel=1e-6)
    assert set(shown["train/lr"]) == set(range(1, 7))


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RecipeError, match=r"train.tensorboard must be false without TensorBoard; install the extra \[tracking\]"):
        train_toy(tmp_path / "run", 2, tensorboard=True)
