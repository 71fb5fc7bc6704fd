"""Ctrl-C and termination: the shard in hand is finished, the exit code says which, and the same command goes on."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from synth.store.manifest import Manifest
from tests.support.cli import Ended, ended, num_commits, run, small, started, wait_until
from tests.support.stores import file_hashes


def has_commits(store: Path, count: int) -> bool:
    return num_commits(store) >= count


def interrupted(corpus: Path, store: Path, cluster: str, send, workers: int = 2) -> Ended:
    """Run, and send signals once two shards are there."""
    with started("synthesize", *small(corpus, store, "--workers", workers, cluster=cluster)) as process:
        wait_until(partial(has_commits, store, 2), "two shards")
        send(process.pid)
        return ended(process)


@pytest.mark.parametrize(
    ("cluster", "number", "code", "is_group"),
    [
        ("sync", signal.SIGINT, 130, False),
        ("sync", signal.SIGTERM, 143, False),
        ("threads", signal.SIGINT, 130, False),
        ("local", signal.SIGTERM, 143, False),
        ("local", signal.SIGINT, 130, True),
    ],
)
def test_stop_and_go_on(corpus, reference, tmp_path, cluster, number, code, is_group):
    """As a terminal does it, SIGINT goes to the whole process group, workers included."""
    store = tmp_path / "x.zarr"
    send = os.killpg if is_group else os.kill
    stopped = interrupted(corpus, store, cluster, lambda pid: send(pid, number))
    assert stopped.rc == code, stopped
    assert stopped.stderr.strip() == "stopping after the unit in hand (Ctrl-C again to abort now)"
    assert not Manifest.load(store).is_complete and list((store / "locks").iterdir()) == []
    assert not list(store.rglob("*.partial")), "the shards in hand were finished"
    done = {path: path.stat().st_mtime_ns for path in (store / "commits").iterdir()}
    assert 2 <= len(done) < 16 and f"wrote {20 * len(done)} frames" in stopped.stdout
    resumed = run("synthesize", *small(corpus, store))
    assert (resumed.rc, resumed.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in done} == done, "finished shards are not written again"
    assert file_hashes(store) == file_hashes(reference)


def test_second_interrupt_aborts_at_once(corpus, tmp_path):
    """In the middle of one shard of 20,000 samples, several seconds of work."""
    store = tmp_path / "x.zarr"
    sets = ("num_synthetic=19996", "store.shard_images=20000")
    with started("synthesize", *small(corpus, store, sets=sets)) as process:
        wait_until(lambda: any((store / "locks").glob("*.lock")), "the lock")
        for _ in range(2):
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        aborted = ended(process)
    assert aborted.rc == 130 and "Traceback" not in aborted.stderr
    assert aborted.stderr.split("\n") == ["", "stopping after the unit in hand (Ctrl-C again to abort now)", "stopped", ""]
    assert num_commits(store) == 0 and not list((store / "locks").iterdir()) and not list(store.rglob("*.partial"))


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used (Linux, clock ticks of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_interrupted_while_the_sources_are_scanned(tmp_path):
    """No store yet: nothing is left, and no traceback is shown. The scan of 100,000 frames would take minutes."""
    sets = ("source.num_frames=100000", "source.frame_hw=[64,64]", "canvas_hw=[64,64]")
    flags = [flag for key in sets for flag in ("--set", key)]
    with started("synthesize", "demo", "--out", tmp_path / "x.zarr", "--workers", 2, *flags) as process:
        wait_until(lambda: cpu_seconds(process.pid) > 8, "the scan, which begins after some seconds of imports")
        process.send_signal(signal.SIGINT)
        stopped = ended(process)
    assert stopped.rc == 130 and stopped.stdout.startswith("recipe demo ") and stopped.stdout.count("\n") == 1
    assert stopped.stderr.strip() == "stopping after the unit in hand (Ctrl-C again to abort now)"
    assert list(tmp_path.iterdir()) == []
