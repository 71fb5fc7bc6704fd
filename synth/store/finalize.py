"""Finish a store: merge the commit records of all shards into the manifest, refusing gaps and strangers, and sweep up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from synth.errors import RefusalError, VerificationError
from synth.store.commit import ShardCommit, commit_path, hash_digests, read_digests
from synth.store.files import PARTIAL_SUFFIX, sha256_of_file, store_error
from synth.store.manifest import Manifest


def missing_shards(store: Path, manifest: Manifest) -> list[int]:
    """Return the shards without a commit record."""
    present = {path.name for path in (store / "commits").glob("shard-*.json")}
    return [k for k in range(manifest.shape.num_shards) if commit_path(store, k).name not in present]


def finalize_store(store: Path) -> Manifest:
    """Write the final manifest of a store whose shards are all committed, and remove what killed writers left.

    Args:
        store: The store; the caller holds the lock of all its shards.

    Returns:
        The manifest, with its content hash.

    Raises:
        VerificationError: Shards are missing, or a record or digest file is of another shard.
        RefusalError: A record belongs to another recipe, or the content differs from what the finished store had.
        StoreError: A file cannot be read, written or removed.
    """
    manifest = Manifest.load(store)
    missing = missing_shards(store, manifest)
    if missing:
        raise VerificationError(
            f"{store}: {len(missing)} of {manifest.shape.num_shards} shards are not there: {as_ranges(missing)}; generate them "
            "with synthesize --shards, then finalize again"
        )
    records = [_record(store, manifest, shard) for shard in range(manifest.shape.num_shards)]
    finished = manifest.completed(records, _promised_digests(store, manifest, records))
    if manifest.is_complete and manifest.content_hash != finished.content_hash:
        raise RefusalError(
            f"{store}: content hash was {manifest.content_hash} and is {finished.content_hash} now; "
            "run verify to see what changed"
        )
    if finished.content != manifest.content:
        finished.save(store)
    _sweep(store)
    return finished


def as_ranges(numbers: list[int]) -> str:
    """Write ascending numbers as half-open ranges: ``3:5, 9:10``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, number + 1])
    return ", ".join(f"{start}:{stop}" for start, stop in ranges)


def _sweep(store: Path) -> None:
    """Remove the temporaries of writers that were killed; one that still writes belongs to nobody and ends in an error."""
    for stray in store.rglob(f".*{PARTIAL_SUFFIX}"):
        try:
            if not stray.is_symlink():
                stray.unlink(missing_ok=True)
        except OSError as error:
            raise store_error(stray, error) from error


def _promised_digests(store: Path, manifest: Manifest, records: list[dict[str, str]]) -> Iterator[bytes]:
    """Yield the digests of all samples in index order, a shard at a time, refusing those of another shard."""
    for shard, record in enumerate(records):
        digests = read_digests(store, shard, manifest.shape)
        if hash_digests(digests) != record["content"]:
            raise VerificationError(
                f"{store}: the digests of shard {shard} are not those of its commit record; run verify --repair"
            )
        yield digests.tobytes()


def _record(store: Path, manifest: Manifest, shard: int) -> dict[str, str]:
    commit = ShardCommit.load(store, shard)
    assert commit is not None
    if commit.recipe_hash != manifest.recipe_hash:
        raise RefusalError(
            f"{store}: shard {shard} was made by recipe {commit.recipe_hash[:12]}..., the store's is "
            f"{manifest.recipe_hash[:12]}...; run verify --repair to make it again"
        )
    samples = manifest.shape.samples_of(shard)
    if (commit.shard, commit.start, commit.stop) != (shard, samples.start, samples.stop):
        raise VerificationError(
            f"{store}: the record of shard {shard} covers samples {commit.start}:{commit.stop} of shard {commit.shard}; run "
            "verify --repair"
        )
    return {"record": sha256_of_file(commit_path(store, shard)), "content": commit.content}
