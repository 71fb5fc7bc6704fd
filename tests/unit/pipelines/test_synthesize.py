"""The main command in this process: what it prints, refuses and leaves on the disk."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import synthesize
from synth.store.manifest import Manifest
from tests.support.cli import Ended, call
from tests.support.stores import begun_store, file_hashes, small_recipe

TINY = (
    "canvas_hw=[64,64]",
    "noise.window_px=16",
    "noise.stride_px=16",
    "store.shard_images=7",
    "max_targets=8",
    "split=trainval",
)


def run(corpus: Path | None, out: Path, *options: object, sets: tuple[str, ...] = (), cluster: str = "sync") -> Ended:
    """Run the preset sirst5k on a tiny canvas: 4 originals and 28 copies in 5 shards."""
    source = ("--source", corpus) if corpus else ()
    flags = [flag for key in (*TINY, *sets) for flag in ("--set", key)]
    return call("synthesize", "sirst5k", *source, "--out", out, "--cluster", cluster, *flags, *options)


def test_from_nothing_to_a_finished_store(small_corpus, tmp_path):
    ended = run(small_corpus, tmp_path / "x.zarr")
    assert ended.rc == 0 and ended.stderr == ""
    manifest = Manifest.load(tmp_path / "x.zarr")
    assert manifest.is_complete and ended.content_hash == manifest.content_hash
    lines = ended.stdout.splitlines()
    assert lines[0] == f"recipe sirst5k {manifest.recipe_hash[:12]}, split trainval, canvas 64x64"
    assert lines[1:4] == [
        "  4 source frames with 7 targets",
        "  4 originals + 28 synthetic = 32 frames",
        "  pass 0: alpha 0.1, patch side 2 px: 28 of 28",
    ]
    assert any(line.endswith(" noise windows of 16x16") for line in lines)
    assert any(line.startswith("  5 shards of 7; about 0 MB") for line in lines)
    assert any(line.startswith("wrote 32 frames in ") for line in lines)
    assert lines[-1].startswith(f"{tmp_path / 'x.zarr'}: 32 frames, content hash ")


def test_again_changes_nothing(small_corpus, tmp_path):
    first = run(small_corpus, tmp_path / "x.zarr")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "x.zarr").rglob("*") if path.is_file()}
    second = run(small_corpus, tmp_path / "x.zarr")
    assert second.rc == 0 and second.content_hash == first.content_hash and "wrote" not in second.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_dry_run_writes_nothing(small_corpus, tmp_path):
    ended = run(small_corpus, tmp_path / "x.zarr", "--dry-run")
    assert ended.rc == 0 and "4 originals + 28 synthetic = 32 frames" in ended.stdout and "about 0 MB, 0 s" in ended.stdout
    assert list(tmp_path.iterdir()) == []
    assert run(small_corpus, tmp_path / "deep/er/x.zarr", "--dry-run").rc == 0, "a plan needs no target"


def test_dry_run_of_a_large_set_names_its_size(small_corpus, tmp_path):
    ended = run(small_corpus, tmp_path / "x.zarr", "--dry-run", sets=("num_synthetic=1000000",))
    (line,) = [line for line in ended.stdout.splitlines() if "shards of" in line]
    assert line.startswith("  142,858 shards of 7; about ") or line.startswith("  142858 shards of 7; about ")
    assert float(line.split("about ")[1].split(" MB")[0].replace(",", "")) > 500


@pytest.mark.parametrize("shards", ["0:2", "4:5", "0:5"])
def test_part_of_a_store(small_corpus, tmp_path, shards):
    ended = run(small_corpus, tmp_path / "x.zarr", "--shards", shards)
    assert ended.rc == 0 and not Manifest.load(tmp_path / "x.zarr").is_complete
    last = ended.stdout.splitlines()[-1]
    expected = {"0:2": "shards 2:5 are still to be made", "4:5": "shards 0:4 are still to be made"}
    assert last == expected.get(shards, f"all shards are there: python -m pipelines.verify {tmp_path / 'x.zarr'} --finalize")


@pytest.mark.parametrize("shards", ["", "1", ":", "2:1", "1:1", "0:6", "-1:2", "a:b", "1:2:3", "0.5:2", "²:³", "9" * 5000 + ":1"])
def test_bad_shard_ranges(small_corpus, tmp_path, shards):
    run(small_corpus, tmp_path / "x.zarr", f"--shards={shards}").refused(2, "--shards must be A:B with 0 <= A < B <= 5, got")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", ["0", "-3"])
def test_bad_workers(small_corpus, tmp_path, workers):
    run(small_corpus, tmp_path / "x.zarr", f"--workers={workers}").refused(2, f"--workers must be >= 1, got {workers}")


def test_unknown_cluster_leaves_nothing(small_corpus, tmp_path):
    run(small_corpus, tmp_path / "x.zarr", cluster="slrum").refused(2, "--cluster must be local", "got 'slrum'")
    assert list(tmp_path.iterdir()) == []


def test_unreachable_scheduler_leaves_nothing(small_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.cluster.CONNECT_TIMEOUT_S", 0.3)
    ended = run(small_corpus, tmp_path / "x.zarr", cluster="tcp://127.0.0.1:1")
    ended.refused(1, "--cluster tcp://127.0.0.1:1: no scheduler answers", "dask scheduler")
    assert list(tmp_path.iterdir()) == []


def test_no_source(tmp_path):
    run(None, tmp_path / "x.zarr").refused(2, "source.path: not given; pass --source DIR")
    assert list(tmp_path.iterdir()) == []


def test_masks_of_0_and_1(small_corpus, tmp_path):
    """The refusal names the way out, which gives the same set."""
    corpus = tmp_path / "ones"
    shutil.copytree(small_corpus, corpus)
    for path in (corpus / "masks").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)
    run(corpus, tmp_path / "x.zarr").refused(2, "got a 0/1 mask", "synthesize: --set source.mask_scale=auto")
    ones = run(corpus, tmp_path / "x.zarr", sets=("source.mask_scale=auto",))
    assert ones.rc == 0 and ones.content_hash == run(small_corpus, tmp_path / "y.zarr").content_hash


def test_source_without_lists(small_corpus, tmp_path):
    """The refusal names both ways out, and the second one works."""
    bare = tmp_path / "bare"
    shutil.copytree(small_corpus, bare)
    for path in bare.rglob("*.txt"):
        path.unlink()
    refused = run(bare, tmp_path / "x.zarr")
    refused.refused(2, f"split 'trainval' of {bare}: found no lists; put train.txt, val.txt and test.txt (one id a line) there")
    refused.refused(2, ", or make sources of all its frames with --set split=null")
    ended = run(bare, tmp_path / "x.zarr", sets=("split=null",))
    assert ended.rc == 0 and "nothing protects test frames" in ended.stdout


def test_source_for_a_recipe_that_reads_none(small_corpus, tmp_path):
    ended = call("synthesize", "demo", "--source", small_corpus, "--out", tmp_path / "x.zarr")
    ended.refused(2, "--source: recipe demo has a scenes source, which reads no folder; drop --source")


@pytest.mark.parametrize(
    ("prepare", "needle"),
    [
        (lambda out: out.write_text("mine"), "is a file"),
        (lambda out: out.mkdir(), "exists and is no foundry store"),
        (lambda out: (out.mkdir(), (out / "mine.txt").write_text("x")), "exists and is no foundry store"),
        (lambda out: out.parent.rmdir(), "does not exist; make it, or correct the path"),
        (lambda out: (out.parent.rmdir(), out.parent.write_text("x")), "does not exist; make it, or correct the path"),
    ],
    ids=["file", "empty folder", "foreign folder", "no parent", "parent is a file"],
)
def test_bad_target_is_refused_before_any_work(small_corpus, tmp_path, monkeypatch, prepare, needle):
    monkeypatch.setattr(synthesize, "scan_sources", lambda *_a, **_k: pytest.fail("worked before checking --out"))
    out = tmp_path / "folder/x.zarr"
    out.parent.mkdir()
    prepare(out)
    before = sorted(tmp_path.rglob("*"))
    run(small_corpus, out).refused(2, f"--out {out}: ", needle)
    assert sorted(tmp_path.rglob("*")) == before


def test_read_only_target_is_refused_before_any_work(small_corpus, tmp_path, monkeypatch):
    """Injected, because permissions do not bind the superuser that tests may run as."""
    monkeypatch.setattr(synthesize, "scan_sources", lambda *_a, **_k: pytest.fail("worked before checking --out"))

    def fail(**_keywords):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(synthesize.tempfile, "TemporaryFile", fail)
    run(small_corpus, tmp_path / "x.zarr").refused(2, "cannot be written (Read-only file system); choose another place")


def test_too_small_disk_is_refused_before_any_work(small_corpus, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5000, 5000))
    run(small_corpus, tmp_path / "x.zarr").refused(2, "needs about 0.0 GB, 0.0 GB are free; free space first")
    assert list(tmp_path.iterdir()) == []


def test_other_recipe_is_refused_with_the_difference(small_corpus, tmp_path):
    run(small_corpus, tmp_path / "x.zarr")
    before = file_hashes(tmp_path / "x.zarr")
    ended = run(small_corpus, tmp_path / "x.zarr", sets=("seed=3", "passes.0.alpha=0.5"))
    ended.refused(2, "holds another recipe or other sources; give another --out, or remove it")
    assert ended.stderr.splitlines()[:2] == [
        "  differs: passes.0.alpha: 0.1 in the store, 0.5 now",
        "  differs: seed: 0 in the store, 3 now",
    ]
    assert file_hashes(tmp_path / "x.zarr") == before


def test_name_of_the_recipe_is_no_difference(small_corpus, tmp_path):
    first = run(small_corpus, tmp_path / "x.zarr")
    assert run(small_corpus, tmp_path / "x.zarr", sets=("name=other",)).content_hash == first.content_hash


def test_both_launchers_create_the_store_at_the_same_instant(small_corpus, tmp_path, monkeypatch):
    """The slower one finds what the faster one made, compares it and goes on: here the other has begun and left."""
    out = tmp_path / "x.zarr"
    real = synthesize.create_store

    def overtaken(path, shape, bank, manifest):
        real(path, shape, bank, manifest)
        real(path, shape, bank, manifest)

    monkeypatch.setattr(synthesize, "create_store", overtaken)
    ended = run(small_corpus, out)
    assert ended.rc == 0 and Manifest.load(out).is_complete
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"]


def test_overtaken_by_another_recipe(small_corpus, tmp_path, monkeypatch):
    out = tmp_path / "x.zarr"
    real = synthesize.create_store

    def overtaken(*arguments):
        begun_store(out, small_recipe(small_corpus, seed=9), small_corpus)
        real(*arguments)

    monkeypatch.setattr(synthesize, "create_store", overtaken)
    ended = run(small_corpus, out)
    ended.refused(2, "holds another recipe or other sources")
    assert "  differs: seed: 9 in the store, 0 now" in ended.stderr.splitlines()


def test_failed_shards_are_listed_and_exit_1(small_corpus, tmp_path, monkeypatch):
    real = synthesize.generate

    def poisoned(*arguments, **keywords):
        outcome = real(*arguments, **keywords)
        outcome.failures.update({k: ValueError(f"reason {k}") for k in range(20, 8, -1)})
        return outcome

    monkeypatch.setattr(synthesize, "generate", poisoned)
    ended = run(small_corpus, tmp_path / "x.zarr")
    assert ended.rc == 1
    lines = ended.stderr.splitlines()
    assert lines[:2] == ["error: shard 9 was not made: reason 9", "error: shard 10 was not made: reason 10"]
    assert len(lines) == 11 and lines[-1].startswith("error: 12 shards failed; the others are kept")
    assert not Manifest.load(tmp_path / "x.zarr").is_complete
