"""A shard that costs nothing: what scheduler.py puts in the place of ``synth.job.write_shard``; workers import it by name."""

from __future__ import annotations

from synth.job import ShardResult


def write_empty_shard(store: str, source_root: str | None, manifest_key: str, shard: int) -> ShardResult:
    """Do nothing and report one sample written."""
    return ShardResult(shard, 1)
