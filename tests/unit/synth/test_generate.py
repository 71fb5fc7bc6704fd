"""Generation: shards in any order and on any scheduler, faults kept apart, stops between shards."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pipelines.cluster import open_client
from synth import generate as generate_module
from synth.errors import RenderError, SourceError, StoreError
from synth.generate import WINDOW_PER_WORKER, generate
from synth.job import ShardResult
from synth.store.finalize import finalize_store, missing_shards
from synth.store.manifest import Manifest
from tests.support.builders import write_mini_corpus
from tests.support.stores import begun_store, file_hashes, finished_store, small_recipe


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return finished_store(tmp_path_factory.mktemp("generate"))


@pytest.fixture
def begun(reference, tmp_path) -> Path:
    manifest = Manifest.load(reference)
    begun_store(tmp_path / "x.zarr", manifest.recipe, manifest.source_root)
    return tmp_path / "x.zarr"


@pytest.fixture(scope="module")
def client():
    """A scheduler and two worker threads in this process."""
    with open_client("threads", 2) as threads:
        yield threads


@pytest.fixture(params=["here", "threads"])
def where(request, client):
    """Where tasks run: in this call, or on a scheduler."""
    return None if request.param == "here" else client


@pytest.mark.parametrize("order", [list(range(9)), [8, 3, 5, 0, 7, 1, 6, 2, 4]])
def test_any_order_anywhere_gives_the_same_files(begun, reference, where, order):
    done: list[ShardResult] = []
    outcome = generate(begun, order, client=where, on_done=done.append)
    assert (outcome.num_written, outcome.num_skipped, outcome.failures, outcome.stopped) == (60, 0, {}, False)
    assert sorted(result.shard for result in done) == list(range(9))
    assert where is not None or [result.shard for result in done] == order
    finalize_store(begun)
    assert file_hashes(begun) == file_hashes(reference)


def test_done_shards_are_skipped_and_not_touched(begun, where):
    generate(begun, [1, 4], client=None)
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("c/[14]*")}
    outcome = generate(begun, range(9), client=where)
    assert (outcome.num_written, outcome.num_skipped) == (60 - 14, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_stop_is_asked_between_shards(begun):
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    outcome = generate(begun, range(9), client=None, should_stop=stop)
    assert outcome.stopped and outcome.num_written == 21
    assert missing_shards(begun, Manifest.load(begun)) == [3, 4, 5, 6, 7, 8], "those in hand are whole"


def test_stop_lets_shards_in_hand_end(begun, client):
    stop, done = threading.Event(), []

    def on_done(result: ShardResult) -> None:
        done.append(result.shard)
        stop.set()

    outcome = generate(begun, range(9), client=client, should_stop=stop.is_set, on_done=on_done)
    assert outcome.stopped and not outcome.failures
    assert len(done) == 2 * WINDOW_PER_WORKER, "what was in flight: one running and one waiting a thread"
    assert missing_shards(begun, Manifest.load(begun)) == sorted(set(range(9)) - set(done))


_lock = threading.Lock()
_state = {"running": 0, "most": 0, "submitted": 0}


def counted_shard(store: str, root: str | None, key: str, shard: int) -> ShardResult:
    """Stand-in for the real task that counts tasks side by side."""
    with _lock:
        _state["running"] += 1
        _state["most"] = max(_state["most"], _state["running"])
    with _lock:
        _state["running"] -= 1
    return ShardResult(shard, 1)


def poisoned_shard(store: str, root: str | None, key: str, shard: int) -> ShardResult:
    """Stand-in that fails on shards 2, 5 and 6 in different ways."""
    if shard == 2:
        raise RenderError("shard 2, sample 14: too many targets")
    if shard == 5:
        raise SourceError("shard 5, sample 35: changed")
    return ShardResult(shard, 7)


def full_disk_shard(store: str, root: str | None, key: str, shard: int) -> ShardResult:
    """Stand-in that finds the disk full at shard 3."""
    with _lock:
        _state["submitted"] += 1
    if shard == 3:
        raise StoreError("image/c/3/0/0: the disk is full")
    return ShardResult(shard, 7)


def test_poisoned_shards_do_not_stop_the_others(begun, where, monkeypatch):
    monkeypatch.setattr(generate_module, "write_shard", poisoned_shard)
    outcome = generate(begun, range(9), client=where)
    assert outcome.num_written == 49 and outcome.failures.keys() == {2, 5}
    assert isinstance(outcome.failures[2], RenderError) and "sample 14" in str(outcome.failures[2])
    assert isinstance(outcome.failures[5], SourceError)


def test_full_disk_stops_everything(begun, where, monkeypatch):
    monkeypatch.setattr(generate_module, "write_shard", full_disk_shard)
    _state["submitted"] = 0
    with pytest.raises(StoreError, match="the disk is full"):
        generate(begun, range(1000), client=where)
    assert _state["submitted"] <= 4 + 2 * WINDOW_PER_WORKER, "only what was in flight"


def test_window_of_tasks_is_bounded(begun, client, monkeypatch):
    """The scheduler never knows more than a few tasks, however many shards there are."""
    monkeypatch.setattr(generate_module, "write_shard", counted_shard)
    known: list[int] = []
    generate(begun, range(300), client=client, on_done=lambda _: known.append(len(client.futures)))
    assert len(known) == 300 and max(known) <= 8 * WINDOW_PER_WORKER  # two workers, and those whose end was just told
    assert _state["most"] <= 2


def test_no_shards_is_no_work(begun, where):
    outcome = generate(begun, [], client=where)
    assert (outcome.num_written, outcome.num_skipped, outcome.failures) == (0, 0, {})


@pytest.mark.parametrize("change", [{"seed": 1}, {"passes": [{"alpha": 0.2}]}, {"store": {"shard_images": 5}}])
def test_a_store_made_anew_at_the_same_path_is_written_by_its_own_recipe(reference, begun, where, change):
    """Workers of a running scheduler keep what they read of a store; a removed store must not be served from there."""
    generate(begun, [0, 1, 2], client=where)
    shutil.rmtree(begun)
    root = Manifest.load(reference).source_root
    begun_store(begun, small_recipe(root, **change), root)
    manifest = Manifest.load(begun)
    generate(begun, range(manifest.shape.num_shards), client=where)
    assert finalize_store(begun).content_hash is not None


def test_two_stores_of_the_same_sources_share_no_task(reference, begun, client, tmp_path):
    """One scheduler, two launchers: the same shard numbers of other stores are other tasks."""
    manifest = Manifest.load(reference)
    other = tmp_path / "other.zarr"
    begun_store(other, small_recipe(manifest.source_root, seed=5), manifest.source_root)
    threads = [threading.Thread(target=generate, args=(path, range(9)), kwargs={"client": client}) for path in (begun, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert finalize_store(begun).content_hash == manifest.content_hash
    assert finalize_store(other).content_hash not in (manifest.content_hash, None)


def test_moved_sources_are_read_where_they_are(tmp_path, reference, where):
    corpus = write_mini_corpus(tmp_path / "corpus")
    begun_store(tmp_path / "y.zarr", small_recipe(corpus), corpus)
    corpus.rename(tmp_path / "moved")
    outcome = generate(tmp_path / "y.zarr", range(9), client=where, source_root=tmp_path / "moved")
    assert not outcome.failures
    assert finalize_store(tmp_path / "y.zarr").content_hash == Manifest.load(reference).content_hash
