"""A run that was stopped, killed or damaged goes on exactly where its newest whole state stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pretrain.runtime.distributed import World
from pretrain.runtime.run_dir import RunDirectory, open_run
from synth.errors import RefusalError
from tests.conftest import REPOSITORY
from tests.support.stores import flip_bit
from tests.support.training import main, toy_config, train_toy

TIMING = {"images_per_s", "data_wait_share"}


def journal(path: Path):
    """All lines without the values that depend on the clock."""
    return [{k: v for k, v in line.items() if k not in TIMING} for line in RunDirectory(path).journal.lines()]


def last_state(path: Path):
    state = RunDirectory(path).checkpoints.newest()
    assert state is not None
    return state


def assert_same_state(left, right):
    """Bit for bit, through all containers."""
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_state(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same_state(one, other)
    else:
        assert left == right


def start_child(out: Path, steps: int, *pairs: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.training", str(out), str(steps), *pairs]
    return subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)


def wait_for_step(out: Path, step: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until a child has logged a step."""
    deadline = time.monotonic() + 120
    while not any(line["step"] >= step for line in RunDirectory(out).journal.lines()):
        assert child.poll() is None and time.monotonic() < deadline, child.stderr.read()  # type: ignore[union-attr]
        time.sleep(0.01)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("keys", [{}, {"accumulation": 2, "amp": "off"}], ids=["plain", "accumulated"])
def test_twenty_steps_are_ten_and_ten_bit_for_bit(tmp_path, norm, keys):
    keys = {"norm": norm, "validate_every": 4} | keys
    train_toy(tmp_path / "whole", 20, **keys)
    first, _ = train_toy(tmp_path / "parts", 20, stop_after=10, **keys)
    assert (first.step, first.is_finished) == (10, False)
    second, task = train_toy(tmp_path / "parts", 20, **keys)
    assert (second.step, second.is_finished) == (20, True)
    assert task.seen[0][0] == 40  # 10 steps of 4 samples
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "parts"))
    assert journal(tmp_path / "whole") == journal(tmp_path / "parts")
    whole, parts = (RunDirectory(tmp_path / name).checkpoints.load("best") for name in ("whole", "parts"))
    assert_same_state(whole, parts)


def test_twenty_steps_are_a_kill_and_the_rest_bit_for_bit(tmp_path):
    train_toy(tmp_path / "whole", 20)
    child = start_child(tmp_path / "parts", 20, "checkpoint_every=3")
    wait_for_step(tmp_path / "parts", 10, child)
    child.kill()
    child.communicate()
    outcome, task = train_toy(tmp_path / "parts", 20, checkpoint_every=3)
    assert outcome.is_finished and task.seen[0][0] >= 9 * 4 and task.seen[0][0] % 12 == 0
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "parts"))
    assert journal(tmp_path / "whole") == journal(tmp_path / "parts")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_leaves_with_its_code(tmp_path, number, code):
    train_toy(tmp_path / "whole", 8)
    assert main([str(tmp_path / "parts"), "8", f"signal_at=[2, {int(number)}]"]) == code
    assert last_state(tmp_path / "parts")["step"] == journal(tmp_path / "parts")[-1]["step"] == 3
    assert main([str(tmp_path / "parts"), "8"]) == 0
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "parts"))


def test_a_finished_run_does_nothing_more(tmp_path):
    train_toy(tmp_path, 3)
    outcome, task = train_toy(tmp_path, 3)
    assert outcome.is_finished and outcome.best is not None and not task.seen and not task.validations
    assert [line["step"] for line in journal(tmp_path)] == [1, 2, 3, 3]


@pytest.mark.parametrize("damage", ["flip", "truncate", "no record", "empty", "record of another"])
def test_a_damaged_state_falls_back_to_the_one_before_it(tmp_path, caplog, damage):
    train_toy(tmp_path / "whole", 8)
    train_toy(tmp_path / "parts", 8, stop_after=6, checkpoint_every=2)
    folder = tmp_path / "parts" / "checkpoints"
    assert sorted(path.name for path in folder.glob("step-*.pt")) == ["step-000000004.pt", "step-000000006.pt"]
    newest = folder / "step-000000006.pt"
    if damage == "flip":
        flip_bit(newest)
    elif damage == "truncate":
        newest.write_bytes(newest.read_bytes()[:-100])
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "no record":
        newest.with_suffix(".json").unlink()
    else:
        newest.with_suffix(".json").write_bytes((folder / "step-000000004.json").read_bytes())
    outcome, task = train_toy(tmp_path / "parts", 8, checkpoint_every=2)
    assert outcome.is_finished and task.seen[0][0] == 16  # 4 steps of 4 samples
    assert ("damaged" in caplog.text) == (damage != "no record")
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "parts"))
    assert journal(tmp_path / "whole") == journal(tmp_path / "parts")


def test_all_states_damaged_starts_anew(tmp_path, caplog):
    train_toy(tmp_path, 6, stop_after=4, checkpoint_every=2)
    for path in (tmp_path / "checkpoints").glob("step-*.pt"):
        flip_bit(path)
    outcome, task = train_toy(tmp_path, 6, checkpoint_every=2)
    assert outcome.is_finished and task.seen[0][0] == 0 and caplog.text.count("falling back") == 2


def test_another_recipe_in_the_folder_is_refused_with_the_difference(tmp_path):
    train_toy(tmp_path, 4, stop_after=2)
    with pytest.raises(RefusalError, match=r"train.optimizer.lr: 0.002 in the folder, 0.01 now"):
        train_toy(tmp_path, 4, optimizer={"lr": 0.01})
    outcome, _ = train_toy(tmp_path, 4, log_every=2, checkpoint_every=1)  # cadences may change
    assert outcome.is_finished


def test_two_processes_never_train_in_one_folder(tmp_path):
    recipe = {"train": toy_config(2).content()}
    with open_run(tmp_path, recipe, World(torch.device("cpu"))), pytest.raises(RefusalError, match="another process trains"):
        train_toy(tmp_path, 2)
    assert train_toy(tmp_path, 2)[0].is_finished  # the lock went with its holder


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    train_toy(tmp_path, 4, stop_after=2)
    stray = tmp_path / "checkpoints" / ".step-000000003.pt.abc.partial"
    stray.write_bytes(b"torn")
    assert train_toy(tmp_path, 4)[0].is_finished and not stray.exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RefusalError, match="holds other files"):
        train_toy(tmp_path, 2)
    with pytest.raises(RefusalError, match="is a file"):
        train_toy(tmp_path / "thesis.tex", 2)
