"""One call writes one whole shard: idempotent, atomic at its record, and the same bytes after any interruption."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from synth import job as job_module
from synth.errors import RefusalError, RenderError, SourceError, StoreError
from synth.job import Job, ShardResult
from synth.store.commit import commit_path, read_digests
from synth.store.layout import array_specs
from synth.store.manifest import Manifest
from tests.support.builders import write_mini_corpus
from tests.support.stores import begun_store, exchange, file_hashes, finished_store, flip_bit, small_recipe


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return finished_store(tmp_path_factory.mktemp("job"))


@pytest.fixture
def begun(reference, tmp_path) -> Path:
    """The reference store before its first shard, with sources of its own."""
    corpus = write_mini_corpus(tmp_path / "corpus")
    begun_store(tmp_path / "x.zarr", small_recipe(corpus), corpus)
    return tmp_path / "x.zarr"


def shard_files(store: Path, shard: int) -> set[str]:
    files = {spec.file_of(shard) for spec in array_specs(Manifest.load(store).shape).values()}
    return files | {commit_path(Path(), shard).as_posix()}


def written(store: Path, shard: int) -> dict[str, str]:
    """Return the hashes of a shard's files and record."""
    return {name: sha256 for name, sha256 in file_hashes(store).items() if name in shard_files(store, shard)}


def times(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.rglob("*")}


def test_writes_exactly_the_files_of_the_shard(begun, reference):
    before = file_hashes(begun)
    assert Job(begun).write_shard(8) == ShardResult(8, 4)
    after = file_hashes(begun)
    assert after.keys() - before.keys() == shard_files(begun, 8)
    assert written(begun, 8) == written(reference, 8)


def test_a_done_shard_is_left_alone(begun):
    job = Job(begun)
    assert not job.is_done(3)
    assert job.write_shard(3) == ShardResult(3, 7) and job.is_done(3)
    before = times(begun)
    assert job.write_shard(3) == Job(begun).write_shard(3) == ShardResult(3, 0)
    assert times(begun) == before


@pytest.mark.parametrize("name", ["image/c/3/0/0", "sample/digest/c/3/0", "target/flux/c/3/0", "commits/shard-000003.json"])
def test_a_damaged_shard_is_written_again(begun, reference, name):
    job = Job(begun)
    job.write_shard(3)
    flip_bit(begun / name)
    assert not job.is_done(3) and job.write_shard(3).num_written == 7
    assert file_hashes(begun)[name] == file_hashes(reference)[name]


def test_foreign_record_is_no_done_shard(begun, reference):
    """The record of another shard in its place: everything is written again."""
    job = Job(begun)
    job.write_shard(2)
    job.write_shard(3)
    exchange(commit_path(begun, 2), commit_path(begun, 3))
    assert job.write_shard(2).num_written == job.write_shard(3).num_written == 7
    assert written(begun, 2) == written(reference, 2) and written(begun, 3) == written(reference, 3)


def test_rendering_again_gives_the_stored_digests_and_writes_nothing(begun):
    job = Job(begun)
    job.write_shard(8)
    before = times(begun)
    digests = read_digests(begun, 8, job.shape)
    assert [job.render_digest(i) for i in (59, 56, 58, 57)] == [digests[k].tobytes() for k in (3, 0, 2, 1)]
    assert times(begun) == before


@pytest.mark.parametrize("step", [0, 1, 2, 15, 29])
@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "stopped"]
)
def test_stopped_at_any_file_leaves_no_record(begun, reference, monkeypatch, step, fault):
    """The old record is gone before the first file, the new one comes after the last; the next run heals it."""
    job = Job(begun)
    job.write_shard(3)
    flip_bit(begun / "mask/c/3/0/0")
    real, calls = job_module.write_durably, []

    def failing(path, parts):
        calls.append(path)
        if len(calls) > step:
            raise StoreError(f"{path}: full") if isinstance(fault, OSError) else fault
        return real(path, parts)

    monkeypatch.setattr(job_module, "write_durably", failing)
    with pytest.raises((StoreError, KeyboardInterrupt)):
        job.write_shard(3)
    monkeypatch.undo()
    assert not commit_path(begun, 3).exists() and not job.is_done(3)
    assert job.write_shard(3).num_written == 7
    assert written(begun, 3) == written(reference, 3)


def test_record_that_cannot_be_removed(begun, monkeypatch):
    job = Job(begun)
    job.write_shard(3)
    flip_bit(begun / "mask/c/3/0/0")

    def fail(*_arguments, **_keywords):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(StoreError, match=r"shard-000003.*read-only"):
        job.write_shard(3)


def test_sample_with_too_many_targets_names_shard_and_sample(tmp_path):
    """Frame square has 2 targets; max_targets 1."""
    corpus = write_mini_corpus(tmp_path / "corpus")
    begun_store(tmp_path / "x.zarr", small_recipe(corpus, max_targets=1, num_synthetic=8, store={"shard_images": 3}), corpus)
    job = Job(tmp_path / "x.zarr")
    with pytest.raises(RenderError) as raised:
        for shard in range(job.shape.num_shards):
            job.write_shard(shard)
    text = str(raised.value)
    assert text.startswith("shard 0, sample 2: ") and "source frame square" in text
    assert "2 targets, more than max_targets = 1; raise max_targets" in text
    assert not commit_path(tmp_path / "x.zarr", 0).exists()


@pytest.mark.parametrize("which", ["images", "masks"])
def test_changed_source_is_named_and_nothing_is_written(begun, tmp_path, which):
    path = tmp_path / f"corpus/{which}/large.png"
    path.write_bytes(path.read_bytes() + b"\0")
    before = file_hashes(begun)
    with pytest.raises(SourceError) as raised:
        for shard in range(9):
            Job(begun).write_shard(shard)
    text = str(raised.value)
    assert f"{which}/large.png: changed since the store was begun (sha256 " in text and text.startswith("shard 0, sample ")
    old, new = text.partition("(sha256 ")[2].partition(" now)")[0].split("... then, ")
    assert len(old) == len(new.rstrip(".")) == 16 and old != new.rstrip(".")
    assert file_hashes(begun) == before


def test_missing_source(begun, tmp_path):
    (tmp_path / "corpus/images/large.png").unlink()
    with pytest.raises(SourceError, match=r"shard 0, sample 0: .*large\.png"):
        Job(begun).write_shard(0)


def test_missing_source_folder(begun, tmp_path):
    (tmp_path / "corpus").rename(tmp_path / "moved")
    with pytest.raises(SourceError, match=r"source folder .*corpus: not found; pass --source DIR"):
        Job(begun)
    assert Job(begun, tmp_path / "moved").write_shard(0).num_written == 7


def test_other_noise_bank_than_the_manifest_promises(begun):
    """Two columns of one type exchanged: every checksum is right."""
    exchange(begun / "noise/row/c/0", begun / "noise/col/c/0")
    with pytest.raises(RefusalError, match="noise: is not the noise bank of the manifest; run verify --repair"):
        Job(begun)
