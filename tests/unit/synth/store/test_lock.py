"""One writer per shard range; stale locks are recognised, foreign ones respected."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import RefusalError, StoreError
from synth.store import lock
from synth.store.lock import locked_range

HOST = socket.gethostname()


def locks(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "locks").iterdir())


def plant(store: Path, shards: str = "000002-000004", host: str = HOST, pid: int = 1, **entries: object) -> Path:
    """Write the lock of another launcher: by default of a living process of this machine."""
    started = lock._process_start(pid)
    owner = {"host": host, "pid": pid, "started": started, "boot": lock._boot_id(), "since": "noon"} | entries
    path = store / f"locks/{shards}.{host}.{pid}.lock"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(owner))
    return path


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_held_within_the_block_only(tmp_path):
    with locked_range(tmp_path, range(3, 5)):
        assert locks(tmp_path) == [f"000003-000005.{HOST}.{os.getpid()}.lock"]
    assert locks(tmp_path) == []


def test_released_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), locked_range(tmp_path, range(2)):
        raise ZeroDivisionError
    assert locks(tmp_path) == []


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_overlap_rule(bounds):
    a, b, c, d = bounds
    left, right = range(min(a, b), max(a, b) + 1), range(min(c, d), max(c, d) + 1)
    name = Path(f"{left.start:06d}-{left.stop:06d}.host.7.lock")
    assert lock._overlaps(name, right) == bool(set(left) & set(right))


@pytest.mark.parametrize("shards", [range(3, 4), range(4), range(1, 3), range(9)])
def test_overlapping_ranges_are_refused(tmp_path, shards):
    other = plant(tmp_path)
    with pytest.raises(RefusalError) as raised, locked_range(tmp_path, shards):
        pytest.fail("two writers on one shard")
    for needle in ("shards 000002-000004", "process 1 ", HOST, "since noon", "--force-unlock", "other --shards"):
        assert needle in str(raised.value)
    assert locks(tmp_path) == [other.name], "the other's lock stays, ours goes"


@pytest.mark.parametrize("shards", [range(2), range(4, 9), range(0, 1)])
def test_disjoint_ranges_are_held_at_once(tmp_path, shards):
    other = plant(tmp_path)
    with locked_range(tmp_path, shards):
        assert len(locks(tmp_path)) == 2
    assert locks(tmp_path) == [other.name]


def test_second_lock_of_one_process_is_refused(tmp_path):
    with locked_range(tmp_path, range(3)):
        with pytest.raises(RefusalError), locked_range(tmp_path, range(2, 5)):
            pytest.fail("two writers on one shard")
        with pytest.raises(RefusalError), locked_range(tmp_path, range(3)):
            pytest.fail("two writers on one shard")
        assert len(locks(tmp_path)) == 1
    assert locks(tmp_path) == []


def hold(store: Path, ready, release) -> None:
    with locked_range(store, range(4)):
        ready.set()
        release.wait(30)


def test_lock_of_a_living_process_is_respected_and_of_a_dead_one_taken_over(tmp_path, caplog):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready, release))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(RefusalError, match=f"process {process.pid} "), locked_range(tmp_path, range(1)):
            pytest.fail("two writers on one shard")
    finally:
        process.kill()
        process.join()
    assert len(locks(tmp_path)) == 1, "a killed process leaves its lock"
    with caplog.at_level(logging.WARNING), locked_range(tmp_path, range(1)):
        assert len(locks(tmp_path)) == 1
    assert "taking it over" in caplog.text


@pytest.mark.parametrize(
    "entries",
    [{}, {"pid": os.getpid(), "started": "1"}, {"boot": "another boot"}],
    ids=["dead process", "number given to another process", "before a restart"],
)
def test_stale_locks_of_this_machine(tmp_path, entries, caplog):
    plant(tmp_path, **({"pid": dead_pid(), "started": "123"} | entries))
    with locked_range(tmp_path, range(9)):
        assert len(locks(tmp_path)) == 1
    assert "taking it over" in caplog.text


def test_stale_lock_of_our_own_name(tmp_path):
    """In a container the restarted launcher has the same host name and process number as the one that was killed."""
    plant(tmp_path, "000000-000003", pid=os.getpid(), started="1")
    with locked_range(tmp_path, range(3)):
        (path,) = (tmp_path / "locks").iterdir()
        assert json.loads(path.read_text())["started"] == lock._process_start(os.getpid())
    assert locks(tmp_path) == []


def test_lock_of_another_machine_needs_force(tmp_path):
    plant(tmp_path, host="node-17.cluster", pid=dead_pid())
    with pytest.raises(RefusalError, match=r"node-17\.cluster"), locked_range(tmp_path, range(9)):
        pytest.fail("two writers on one shard")
    with locked_range(tmp_path, range(9), force=True):
        assert locks(tmp_path) == [f"000000-000009.{HOST}.{os.getpid()}.lock"]


def test_lock_of_a_living_process_of_this_machine_is_not_for_force(tmp_path, caplog):
    other = plant(tmp_path)
    with pytest.raises(RefusalError, match="or stop it"), locked_range(tmp_path, range(9), force=True):
        pytest.fail("two writers on one shard")
    assert locks(tmp_path) == [other.name]
    other.write_text(json.dumps(json.loads(other.read_text()) | {"host": "node-17.cluster"}))
    with locked_range(tmp_path, range(9), force=True):
        assert not other.exists()
    assert f"lock {other.name} removed on request" in caplog.text and "gone" not in caplog.text


def test_a_killed_process_that_nobody_waited_for_is_dead(tmp_path):
    """In a container whose first process reaps no others, it stays in the table."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    plant(tmp_path, pid=process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with locked_range(tmp_path, range(9)):
        assert len(locks(tmp_path)) == 1
    process.communicate()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xff"])
def test_unreadable_lock_counts_as_held(tmp_path, content):
    """It may be one that is just being written."""
    plant(tmp_path).write_bytes(content)
    with pytest.raises(RefusalError, match="process \\? on \\?"), locked_range(tmp_path, range(9)):
        pytest.fail("two writers on one shard")
    with locked_range(tmp_path, range(9), force=True):
        assert len(locks(tmp_path)) == 1


def test_lock_of_an_unknown_name_counts_as_overlapping(tmp_path):
    plant(tmp_path, "everything")
    with pytest.raises(RefusalError), locked_range(tmp_path, range(5, 6)):
        pytest.fail("two writers on one shard")


def test_full_disk_leaves_no_lock_behind(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.json, "dump", fail)
    with pytest.raises(StoreError, match="cannot be written \\(No space left"), locked_range(tmp_path, range(2)):
        pytest.fail("no lock, no work")
    assert locks(tmp_path) == []


def test_unwritable_folder(tmp_path):
    (tmp_path / "locks").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"), locked_range(tmp_path, range(2)):
        pytest.fail("no lock, no work")


def race(store: Path, start, results) -> None:
    start.wait(30)
    try:
        with locked_range(store, range(4)):
            results.put(("in", os.getpid()))
            start.wait(30)  # hold it until both have tried
    except RefusalError:
        results.put(("refused", os.getpid()))
        start.wait(30)


def test_two_launchers_at_the_same_instant_never_both_go_on(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=race, args=(tmp_path, start, results)) for _ in range(2)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60)[0] for _ in processes]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert outcomes.count("in") <= 1
    assert locks(tmp_path) == []
