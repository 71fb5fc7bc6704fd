"""Several launchers and one store: overlapping ones are refused, disjoint ones are merged, stale locks are recognised."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from synth.store.commit import commit_path
from synth.store.manifest import Manifest
from tests.support.builders import scene, write_corpus
from tests.support.cli import call, ended, num_commits, run, small, started, wait_until
from tests.support.stores import file_hashes


def has_commits(store: Path, count: int) -> bool:
    return num_commits(store) >= count


def test_second_launcher_is_refused_and_the_first_unaffected(corpus, reference, tmp_path):
    store = tmp_path / "x.zarr"
    with started("synthesize", *small(corpus, store)) as first:
        wait_until(partial(has_commits, store, 1), "the first shard")
        first.send_signal(signal.SIGSTOP)
        before = file_hashes(store)
        for options in ((), ("--shards", "7:9")):
            second = call("synthesize", *small(corpus, store, *options))
            second.refused(2, "shards 000000-000016 are being written by process", f"{first.pid} on {socket.gethostname()}")
        repair = call("verify", store, "--repair")
        assert repair.rc == 2 and "are being written by" in repair.stderr
        call("verify", store, "--finalize").refused(2, "are being written by")
        assert file_hashes(store) == before
        first.send_signal(signal.SIGCONT)
        finished = ended(first)
    assert (finished.rc, finished.stderr) == (0, "")
    assert file_hashes(store) == file_hashes(reference)


def test_disjoint_launchers_at_the_same_instant(corpus, reference, tmp_path):
    """Array jobs: all of them find no store and want to create it."""
    store = tmp_path / "x.zarr"
    ranges = ("0:5", "5:6", "6:16")
    with (
        started("synthesize", *small(corpus, store, "--shards", ranges[0])) as a,
        started("synthesize", *small(corpus, store, "--shards", ranges[1])) as b,
        started("synthesize", *small(corpus, store, "--shards", ranges[2])) as c,
    ):
        outcomes = [ended(process) for process in (a, b, c)]
    assert [outcome.rc for outcome in outcomes] == [0, 0, 0], outcomes
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"], "no temporary is left"
    assert not Manifest.load(store).is_complete
    merged = run("verify", store, "--finalize")
    assert merged.rc == 0 and merged.content_hash == Manifest.load(reference).content_hash
    assert file_hashes(store) == file_hashes(reference)


@pytest.fixture
def parts(reference, tmp_path) -> Path:
    """The reference store before it was finalized."""
    store = Path(shutil.copytree(reference, tmp_path / "parts.zarr"))
    content = json.loads((store / "manifest.json").read_bytes()) | {"state": "generating", "content_hash": None, "shards": []}
    (store / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True))
    return store


def test_finalize_with_a_gap_names_the_range(parts):
    for shard in (3, 4, 5, 11):
        commit_path(parts, shard).unlink()
    before = file_hashes(parts)
    call("verify", parts, "--finalize").refused(3, "4 of 16 shards are not there: 3:6, 11:12; generate them")
    assert file_hashes(parts) == before


def test_finalize_with_a_shard_of_another_recipe(parts):
    path = commit_path(parts, 6)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"recipe_hash": "ab" * 32}))
    before = file_hashes(parts)
    call("verify", parts, "--finalize").refused(2, "shard 6 was made by recipe abababababab..., the store's is")
    assert file_hashes(parts) == before


def test_finalize(parts, reference):
    assert call("verify", parts, "--finalize").rc == 0
    assert file_hashes(parts) == file_hashes(reference)
    assert call("verify", parts, "--finalize").rc == 0, "again changes nothing"
    assert file_hashes(parts) == file_hashes(reference)


def plant(store: Path, **owner: object) -> Path:
    path = store / "locks/000000-000016.elsewhere.77.lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 77, "since": "yesterday"} | owner))
    return path


def test_lock_of_another_machine(corpus, parts, reference):
    lock = plant(parts)
    refused = run("synthesize", *small(corpus, parts))
    refused.refused(2, "by process 77 on elsewhere since yesterday", "--force-unlock if it is gone")
    assert lock.exists()
    assert run("synthesize", *small(corpus, parts, "--force-unlock")).rc == 0
    assert not lock.exists() and file_hashes(parts) == file_hashes(reference)


def test_lock_of_a_dead_process(corpus, parts, reference):
    plant(parts, host=socket.gethostname(), pid=2**22 + 1, started="1", boot="before the last restart")
    taken = run("synthesize", *small(corpus, parts))
    assert taken.rc == 0 and "left by a process that is gone; taking it over" in taken.stderr
    assert file_hashes(parts) == file_hashes(reference)


def test_another_recipe_is_refused_with_the_difference(corpus, parts):
    before = file_hashes(parts)
    refused = run("synthesize", *small(corpus, parts, sets=("noise.var_max=40", "seed=1", "store.shard_images=21")))
    refused.refused(2, "holds another recipe or other sources; give another --out, or remove it")
    assert [line for line in refused.stderr.splitlines() if line.startswith("  differs: ")] == [
        "  differs: noise.var_max: 50.0 in the store, 40.0 now",
        "  differs: seed: 0 in the store, 1 now",
        "  differs: shape.shard_images: 20 in the store, 21 now",
    ]
    assert file_hashes(parts) == before


def test_other_sources_are_refused_by_name(corpus, parts, tmp_path):
    other = Path(shutil.copytree(corpus, tmp_path / "other"))
    (other / "images/wide.png").write_bytes((other / "images/wide.png").read_bytes() + b"\0")
    refused = run("synthesize", *small(other, parts))
    refused.refused(2, "holds another recipe or other sources")
    assert "  differs: source frames changed: 1 (wide)" in refused.stderr.splitlines()


def test_poisoned_sample_does_not_stop_the_other_shards(tmp_path):
    """Of 40 samples 32 are probed beforehand; the one with too many targets is not among them."""
    boxes = [(4 + 12 * k, 4, 7 + 12 * k, 7) for k in range(5)]
    frames = [scene(f"f{k:02d}", (64, 64), boxes[: 5 if k == 4 else 1]) for k in range(40)]
    root = write_corpus(tmp_path / "many", frames)
    sets = ("split=null", "max_targets=4", "num_synthetic=0", "store.shard_images=8")
    store = tmp_path / "x.zarr"
    failed = run("synthesize", *small(root, store, sets=sets))
    assert failed.rc == 1 and "Traceback" not in failed.stderr
    first, second = failed.stderr.splitlines()
    assert first.startswith("error: shard 0 was not made: shard 0, sample 4: ") and "source frame f04" in first
    assert "5 targets, more than max_targets = 4; raise max_targets" in first
    assert second == "error: 1 shards failed; the others are kept, run the command again to retry"
    assert sorted(path.name for path in (store / "commits").iterdir()) == [f"shard-{k:06d}.json" for k in (1, 2, 3, 4)]
    assert not Manifest.load(store).is_complete
