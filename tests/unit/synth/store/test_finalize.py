"""Merging the shards of array jobs: gaps and strangers are refused, and finishing twice changes nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import RefusalError, StoreError, VerificationError
from synth.store.commit import commit_path
from synth.store.finalize import as_ranges, finalize_store, missing_shards
from synth.store.manifest import Manifest
from tests.support.stores import begun_store, exchange, file_hashes, flip_bit, write_shards


@pytest.fixture
def begun(finished, tmp_path) -> Path:
    """The same store before its first shard."""
    manifest = Manifest.load(finished)
    begun_store(tmp_path / "copy.zarr", manifest.recipe, manifest.source_root)
    return tmp_path / "copy.zarr"


def reopen(store: Path) -> None:
    """Put the manifest back to what it was before the last shard."""
    content = json.loads((store / "manifest.json").read_bytes())
    content |= {"state": "generating", "content_hash": None, "shards": []}
    Manifest(content).save(store)


@given(st.sets(st.integers(0, 30)))
def test_ranges_name_the_numbers(numbers):
    text = as_ranges(sorted(numbers))
    ranges = [range(*map(int, part.split(":"))) for part in text.split(", ")] if text else []
    assert [n for r in ranges for n in r] == sorted(numbers)
    assert all(a.stop < b.start for a, b in itertools.pairwise(ranges)), "neighbours are one range"


def test_finished_store_is_that_of_one_run(begun, finished):
    write_shards(begun, [8, 0, 3, 1, 2])
    write_shards(begun, [5, 4, 7, 6, 3])
    assert finalize_store(begun).content == Manifest.load(finished).content
    assert file_hashes(begun) == file_hashes(finished)


def test_finalizing_again_changes_no_file(damaged):
    before = {path: path.stat().st_mtime_ns for path in damaged.rglob("*")}
    finalize_store(damaged)
    assert {path: path.stat().st_mtime_ns for path in damaged.rglob("*")} == before


@pytest.mark.parametrize(
    "stray", ["commits/.shard-000003.json.k2.partial", "image/c/3/0/.0.k2.partial", ".manifest.json.k2.partial"]
)
def test_temporaries_of_killed_writers_are_removed(begun, finished, stray):
    write_shards(begun)
    (begun / stray).write_bytes(b"half")
    (begun / "notes.partial").write_text("mine")
    finalize_store(begun)
    assert file_hashes(begun).keys() - file_hashes(finished).keys() == {"notes.partial"}


def test_gap_is_named(begun):
    write_shards(begun, [0, 3, 5, 8])
    before = file_hashes(begun)
    with pytest.raises(VerificationError, match="5 of 9 shards are not there: 1:3, 4:5, 6:8; generate them"):
        finalize_store(begun)
    assert file_hashes(begun) == before and missing_shards(begun, Manifest.load(begun)) == [1, 2, 4, 6, 7]


def test_shard_of_another_recipe_is_refused(damaged):
    reopen(damaged)
    path = commit_path(damaged, 4)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"recipe_hash": "e" * 64}))
    with pytest.raises(RefusalError, match=r"shard 4 was made by recipe eeeeeeeeeeee\.\.\., the store's is"):
        finalize_store(damaged)
    assert not Manifest.load(damaged).is_complete


def test_record_of_another_shard_is_refused(damaged):
    reopen(damaged)
    exchange(commit_path(damaged, 4), commit_path(damaged, 5))
    with pytest.raises(VerificationError, match="record of shard 4 covers samples 35:42 of shard 5"):
        finalize_store(damaged)


def test_digests_of_another_shard_are_refused(damaged):
    """Both files are whole: only the records tell that the content hash would be of exchanged samples."""
    reopen(damaged)
    exchange(damaged / "sample/digest/c/4/0", damaged / "sample/digest/c/5/0")
    with pytest.raises(VerificationError, match="digests of shard 4 are not those of its commit record"):
        finalize_store(damaged)
    assert not Manifest.load(damaged).is_complete


@pytest.mark.parametrize("is_missing", [True, False])
def test_damaged_digests_are_refused(damaged, is_missing):
    path = damaged / "sample/digest/c/4/0"
    path.unlink() if is_missing else flip_bit(path)
    with pytest.raises(StoreError if is_missing else VerificationError, match=r"sample/digest/c/4/0: .*verify --repair"):
        finalize_store(damaged)


def test_other_content_than_the_finished_store_had_is_refused(damaged):
    content = json.loads((damaged / "manifest.json").read_bytes())
    content["content_hash"] = "0" * 64
    Manifest(content).save(damaged)
    with pytest.raises(RefusalError, match=f"content hash was {'0' * 64} and is .* now; run verify"):
        finalize_store(damaged)
    assert Manifest.load(damaged).content_hash == "0" * 64, "nothing is papered over"
