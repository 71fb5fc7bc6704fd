"""Commit records: a shard exists iff its record does, names this recipe, and its files hash to what the record says.

A record is written last (temporary, fsync, rename) and holds no time, host or worker, so the same recipe gives the same
record wherever it ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.errors import RefusalError, StoreError
from synth.store.codec import DamagedChunkError, decode_chunk
from synth.store.files import path_below, read_json, sha256_of_file, store_error, sync_path, write_json
from synth.store.layout import StoreShape, array_specs


@dataclass(frozen=True, slots=True)
class ShardCommit:
    """What one shard holds.

    Attributes:
        shard: Its number.
        start: First sample.
        stop: One past its last sample.
        recipe_hash: Recipe it was made by.
        content: sha256 over its sample digests, in order.
        files: Path below the store's root -> [sha256, bytes].
    """

    shard: int
    start: int
    stop: int
    recipe_hash: str
    content: str
    files: dict[str, tuple[str, int]]

    def save(self, store: Path) -> str:
        """Write the record; return its sha256."""
        return write_json(commit_path(store, self.shard), asdict(self))

    @classmethod
    def load(cls, store: Path, shard: int) -> ShardCommit | None:
        """Read the record of a shard, or None when it has none.

        Raises:
            RefusalError: The file is not a commit record.
        """
        path = commit_path(store, shard)
        if not path.exists():
            return None
        entry: Any = read_json(path)
        try:
            files = {str(k): (str(v[0]), int(v[1])) for k, v in entry["files"].items()}
            return cls(
                int(entry["shard"]), int(entry["start"]), int(entry["stop"]), str(entry["recipe_hash"]),
                str(entry["content"]), files,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RefusalError(f"{path}: is no commit record ({error!r}); run verify --repair") from error


def commit_path(store: Path, shard: int) -> Path:
    """Return the file of a shard's commit record."""
    return store / "commits" / f"shard-{shard:06d}.json"


def retract_commit(store: Path, shard: int) -> None:
    """Remove a record durably, before its shard is written again.

    Raises:
        StoreError: It cannot be removed.
    """
    path = commit_path(store, shard)
    try:
        if path.exists():
            path.unlink()
            sync_path(path.parent)
    except OSError as error:
        raise store_error(path, error) from error


def shard_faults(store: Path, shard: int, shape: StoreShape, recipe_hash: str) -> list[str]:
    """Compare a shard's files with its commit record.

    Returns:
        One readable line per fault; empty when the shard is done.
    """
    try:
        commit = ShardCommit.load(store, shard)
    except (RefusalError, StoreError) as error:
        return [f"commit record: {error}"]
    if commit is None:
        return ["no commit record"]
    if commit.recipe_hash != recipe_hash:
        return [f"commit record is of another recipe ({commit.recipe_hash[:12]}...)"]
    samples = shape.samples_of(shard)
    if (commit.shard, commit.start, commit.stop) != (shard, samples.start, samples.stop):
        return [f"commit record is of shard {commit.shard} (samples {commit.start}:{commit.stop})"]
    expected = {spec.file_of(shard) for spec in array_specs(shape).values()}
    if expected != commit.files.keys():
        return ["commit record names other files than the store's arrays have"]
    return [fault for name in sorted(expected) if (fault := _file_fault(store, name, *commit.files[name]))]


def _file_fault(store: Path, name: str, sha256: str, num_bytes: int) -> str | None:
    try:
        path = path_below(store, name)
        size = path.stat().st_size
        if size != num_bytes:
            return f"{name}: {size} bytes, should have {num_bytes}"
        if sha256_of_file(path) != sha256:
            return f"{name}: sha256 differs from its commit record"
    except FileNotFoundError:
        return f"{name}: missing"
    except (OSError, RefusalError) as error:
        return f"{name}: {error}"
    return None


def read_digests(store: Path, shard: int, shape: StoreShape) -> npt.NDArray[np.uint8]:
    """Return the sample digests of a shard, uint8 (n, 32).

    Raises:
        StoreError: The file is missing.
        DamagedChunkError: Its checksum is wrong.
    """
    spec = array_specs(shape)["sample/digest"]
    path = store / spec.file_of(shard)
    chunk = np.empty(spec.chunk, np.uint8)
    try:
        decode_chunk(path.read_bytes(), chunk)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run verify --repair") from error
    except DamagedChunkError as error:
        raise DamagedChunkError(f"{path}: {error}; run verify --repair") from error
    return chunk[: len(shape.samples_of(shard))]


def hash_digests(digests: npt.NDArray[np.uint8]) -> str:
    """Return the content of a shard: sha256 over its sample digests in order."""
    return hashlib.sha256(np.ascontiguousarray(digests).data).hexdigest()


def all_digests(store: Path, shape: StoreShape) -> Iterator[bytes]:
    """Yield the digests of all samples in index order, a shard at a time."""
    for shard in range(shape.num_shards):
        yield read_digests(store, shard, shape).tobytes()
