"""A shard is done iff its record exists, names this recipe and these samples, and every file hashes to what it says."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from synth.errors import RefusalError, StoreError
from synth.store.codec import DamagedChunkError
from synth.store.commit import (
    ShardCommit,
    all_digests,
    commit_path,
    hash_digests,
    read_digests,
    retract_commit,
    shard_faults,
)
from synth.store.layout import array_specs
from synth.store.manifest import Manifest
from tests.support.stores import exchange, flip_bit

COMMIT = ShardCommit(3, 21, 28, "a" * 64, "b" * 64, {"image/c/3/0/0": ("c" * 64, 10)})


def faults(store: Path, shard: int = 2) -> list[str]:
    manifest = Manifest.load(store)
    return shard_faults(store, shard, manifest.shape, manifest.recipe_hash)


def edit(store: Path, shard: int = 2, **entries: object) -> None:
    path = commit_path(store, shard)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | entries))


def test_round_trip(tmp_path):
    sha256 = COMMIT.save(tmp_path)
    assert ShardCommit.load(tmp_path, 3) == COMMIT
    assert commit_path(tmp_path, 3) == tmp_path / "commits/shard-000003.json"
    assert COMMIT.save(tmp_path) == sha256, "no time, host or order in it"
    assert ShardCommit.load(tmp_path, 4) is None


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b'{"shard": 3}', b"null", b"{", b'{"files": 7}', b'{"files": {"a": []}}', b'{"files": {"a": ["x", "y"]}}'],
)
def test_other_content_is_no_record(tmp_path, content):
    COMMIT.save(tmp_path)
    commit_path(tmp_path, 3).write_bytes(content)
    with pytest.raises(RefusalError, match=r"shard-000003\.json: is"):
        ShardCommit.load(tmp_path, 3)


def test_retract(tmp_path):
    COMMIT.save(tmp_path)
    retract_commit(tmp_path, 3)
    assert ShardCommit.load(tmp_path, 3) is None
    retract_commit(tmp_path, 3)


def test_retract_on_a_read_only_disk(tmp_path, monkeypatch):
    COMMIT.save(tmp_path)

    def fail(*_arguments, **_keywords):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(StoreError, match="read-only"):
        retract_commit(tmp_path, 3)


def test_a_done_shard_has_no_fault(finished):
    assert [faults(finished, k) for k in range(9)] == [[]] * 9


def test_every_file_of_a_shard_is_in_its_record(finished):
    commit = ShardCommit.load(finished, 8)
    assert commit is not None and (commit.start, commit.stop) == (56, 60)
    expected = {spec.file_of(8) for spec in array_specs(Manifest.load(finished).shape).values()}
    assert commit.files.keys() == expected and len(expected) == 30
    assert all((finished / name).stat().st_size == size for name, (_, size) in commit.files.items())


FILES = ["image/c/2/0/0", "mask/c/2/0/0", "sample/alpha/c/2", "target/flux/c/2/0", "sample/digest/c/2/0"]


@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_named(damaged, name):
    flip_bit(damaged / name)
    assert faults(damaged) == [f"{name}: sha256 differs from its commit record"]
    size = (damaged / name).stat().st_size
    (damaged / name).write_bytes((damaged / name).read_bytes()[:-1])
    assert faults(damaged) == [f"{name}: {size - 1} bytes, should have {size}"]
    (damaged / name).write_bytes(b"")
    assert faults(damaged) == [f"{name}: 0 bytes, should have {size}"]
    (damaged / name).unlink()
    assert faults(damaged) == [f"{name}: missing"]
    assert faults(damaged, 1) == faults(damaged, 3) == [], "the neighbours hold"


def test_all_damage_is_reported_at_once(damaged):
    for name in FILES:
        (damaged / name).unlink()
    assert faults(damaged) == [f"{name}: missing" for name in sorted(FILES)]


def test_linked_file_is_a_fault(damaged):
    (damaged / "image/c/2/0/0").rename(damaged / "moved")
    (damaged / "image/c/2/0/0").symlink_to(damaged / "moved")
    (fault,) = faults(damaged)
    assert "is a symbolic link" in fault


def test_exchanged_files_are_a_fault_of_both(damaged):
    exchange(damaged / "mask/c/2/0/0", damaged / "mask/c/3/0/0")
    assert len(faults(damaged, 2)) == len(faults(damaged, 3)) == 1


def test_no_record(damaged):
    commit_path(damaged, 2).unlink()
    assert faults(damaged) == ["no commit record"]


def test_exchanged_records(damaged):
    exchange(commit_path(damaged, 2), commit_path(damaged, 3))
    assert faults(damaged) == ["commit record is of shard 3 (samples 21:28)"]


@pytest.mark.parametrize(
    ("entries", "needle"),
    [
        ({"recipe_hash": "0" * 64}, "of another recipe (000000000000...)"),
        ({"start": 15}, "samples 15:21"),
        ({"stop": 22}, "samples 14:22"),
        ({"files": {}}, "other files than"),
        ({"files": {"../../outside": ["0" * 64, 1]}}, "other files than"),
        ({"files": 7}, "is no commit record"),
    ],
)
def test_edited_record(damaged, entries, needle):
    edit(damaged, **entries)
    (fault,) = faults(damaged)
    assert needle in fault


def test_damaged_record(damaged):
    flip_bit(commit_path(damaged, 2), 0)
    (fault,) = faults(damaged)
    assert fault.startswith("commit record: ") and "not valid JSON" in fault


def test_digests_of_a_shard(finished):
    shape = Manifest.load(finished).shape
    digests = read_digests(finished, 8, shape)
    assert digests.shape == (4, 32) and digests.dtype == np.uint8 and len(np.unique(digests, axis=0)) == 4
    commit = ShardCommit.load(finished, 8)
    assert commit is not None and hash_digests(digests) == commit.content
    assert hash_digests(digests[::-1]) != commit.content, "order counts"
    parts = list(all_digests(finished, shape))
    assert [len(part) for part in parts] == [7 * 32] * 8 + [4 * 32] and parts[8] == digests.tobytes()


def test_damaged_digests(damaged):
    shape = Manifest.load(damaged).shape
    flip_bit(damaged / "sample/digest/c/2/0")
    with pytest.raises(DamagedChunkError, match="digest/c/2/0: checksum mismatch; run verify --repair"):
        read_digests(damaged, 2, shape)
    (damaged / "sample/digest/c/2/0").unlink()
    with pytest.raises(StoreError, match="digest/c/2/0: No such file"):
        read_digests(damaged, 2, shape)
