"""Promise A: the same recipe and sources give the same store, wherever, however often and however interrupted it runs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from distributed import Client

from pipelines.cluster import open_client
from synth.generate import generate
from synth.store.finalize import finalize_store
from synth.store.manifest import Manifest
from tests.support.cli import environment, num_commits, run, small, started, wait_until
from tests.support.stores import begun_store, file_hashes

CPU_FEATURES_OFF = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"


def assert_same(store: Path, reference: Path) -> None:
    """Assert that two stores have the same content hash and the same bytes in every file, naming those that differ."""
    assert Manifest.load(store).content_hash == Manifest.load(reference).content_hash
    files, expected = file_hashes(store), file_hashes(reference)
    differing = sorted(name for name in files.keys() | expected.keys() if files.get(name) != expected.get(name))
    assert differing == []


@pytest.mark.parametrize(("cluster", "workers"), [("threads", 2), ("local", 1), ("local", 2)])
def test_every_kind_of_cluster(corpus, reference, tmp_path, cluster, workers):
    ended = run("synthesize", *small(corpus, tmp_path / "x.zarr", "--workers", workers, cluster=cluster))
    assert (ended.rc, ended.stderr) == (0, "")
    assert ended.content_hash == Manifest.load(reference).content_hash
    assert_same(tmp_path / "x.zarr", reference)


@contextlib.contextmanager
def running(*arguments: str):
    """Start a program of dask in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]], env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_running_scheduler(corpus, reference, tmp_path):
    """Two stores one after the other on one scheduler with two workers, as somebody with a cluster does."""
    file = tmp_path / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard")
    worker = ("dask_worker", *common, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
    with running("dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0"), running(*worker), running(*worker):
        wait_until(file.exists, "the scheduler")
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        for sets in ((), ("seed=4",)):
            ended = run("synthesize", *small(corpus, tmp_path / f"x{len(sets)}.zarr", cluster=address, sets=sets))
            assert ended.rc == 0, ended
    assert_same(tmp_path / "x0.zarr", reference)
    assert Manifest.load(tmp_path / "x1.zarr").content_hash != Manifest.load(reference).content_hash


def test_shuffled_order(corpus, reference, tmp_path):
    manifest = Manifest.load(reference)
    begun_store(tmp_path / "x.zarr", manifest.recipe, corpus)
    order = random.Random(1).sample(range(16), 16)
    generate(tmp_path / "x.zarr", order[:10], client=None)
    generate(tmp_path / "x.zarr", order[5:], client=None)
    finalize_store(tmp_path / "x.zarr")
    assert_same(tmp_path / "x.zarr", reference)


@pytest.mark.parametrize("shard_images", [40, 1000])
def test_other_shard_size_has_the_same_content(corpus, reference, tmp_path, shard_images):
    ended = run("synthesize", *small(corpus, tmp_path / "x.zarr", sets=(f"store.shard_images={shard_images}",)))
    assert ended.rc == 0 and ended.content_hash == Manifest.load(reference).content_hash
    assert run("verify", tmp_path / "x.zarr").rc == 0


@pytest.mark.parametrize(
    "env",
    [
        {"NPY_DISABLE_CPU_FEATURES": CPU_FEATURES_OFF},
        {"PYTHONHASHSEED": "123", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"OMP_NUM_THREADS": "4", "NUMBA_NUM_THREADS": "2"},
    ],
    ids=["CPU features off", "hash seed, time zone, locale", "threads of libraries"],
)
def test_environment_decides_nothing(corpus, reference, tmp_path, env):
    assert run("synthesize", *small(corpus, tmp_path / "x.zarr"), env=env).rc == 0
    assert_same(tmp_path / "x.zarr", reference)


def test_umask_folder_and_relative_paths_decide_nothing(corpus, reference, tmp_path):
    (tmp_path / "corpus").symlink_to(corpus)
    arguments = small(Path("corpus"), Path("x.zarr"))
    assert run("synthesize", *arguments, cwd=tmp_path, before=lambda: os.umask(0o077)).rc == 0
    store = tmp_path / "x.zarr"
    files, expected = file_hashes(store), file_hashes(reference)
    assert {name for name in expected if files[name] != expected[name]} == {"manifest.json"}, "it names the folder as given"
    assert Manifest.load(store).content_hash == Manifest.load(reference).content_hash
    assert {path.stat().st_mode & 0o077 for path in store.rglob("*")} == {0}


def test_other_recipes_are_the_same_without_cpu_features(corpus, tmp_path):
    """The steps of sirst5k_plus and of the built-in source have arithmetic of their own."""
    tiny = ["--set", "canvas_hw=[64,64]", "--set", "noise.window_px=16", "--set", "noise.stride_px=16", "--cluster", "sync"]
    for name, options in {
        "sirst5k_plus": ["--source", corpus],
        "demo": ["--set", "source.num_frames=6", "--set", "source.frame_hw=[64,64]", "--set", "num_synthetic=30"],
    }.items():
        hashes = set()
        for level, env in (("all", {}), ("few", {"NPY_DISABLE_CPU_FEATURES": CPU_FEATURES_OFF})):
            ended = run("synthesize", name, "--out", tmp_path / f"{name}-{level}.zarr", *options, *tiny, env=env)
            assert ended.rc == 0, ended
            hashes.add(ended.content_hash)
        assert len(hashes) == 1, name


def has_commits(store: Path, count: int) -> bool:
    return num_commits(store) >= count


@pytest.mark.parametrize(("cluster", "targets"), [("sync", (0, 1, 4, 8)), ("local", (0, 8))])
def test_kill_9_and_resume(corpus, reference, tmp_path, cluster, targets):
    """The launcher dies at random moments, among them before and while the store is created."""
    store, moments = tmp_path / "x.zarr", random.Random(cluster)
    for target in targets:
        with started("synthesize", *small(corpus, store, "--workers", 2, cluster=cluster)) as process:
            if target:
                wait_until(partial(has_commits, store, target), f"{target} commits")
            else:
                wait_until(lambda: any(tmp_path.iterdir()), "the first trace of a store")
            time.sleep(moments.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, "it finished before it could be killed"
    done = {path: path.stat().st_mtime_ns for path in (store / "commits").glob("shard-*.json")}
    assert 8 <= len(done) < 16
    ended = run("synthesize", *small(corpus, store))
    assert ended.rc == 0 and "left by a process that is gone; taking it over" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done, "finished shards are not written again"
    assert_same(store, reference)


def test_worker_killed_in_the_middle(corpus, reference, tmp_path):
    store = tmp_path / "x.zarr"
    begun_store(store, Manifest.load(reference).recipe, corpus)
    killed: list[int] = []
    before: dict[Path, int] = {}
    with open_client("local", 2) as client:
        assert client is not None

        def kill_one(_result: object) -> None:
            if num_commits(store) >= 3 and not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)
                before.update({path: path.stat().st_mtime_ns for path in (store / "commits").glob("shard-*.json")})

        outcome = generate(store, range(16), client=client, on_done=kill_one)
    assert killed and not outcome.failures
    finalize_store(store)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished shards are not written again"
    assert Manifest.load(store).content_hash == Manifest.load(reference).content_hash
    assert run("verify", store).rc == 0
