"""Repair: make again exactly what is damaged, from the sources the manifest names, and nothing else.

A shard is compared with what the store had before anything of it is replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from synth.errors import FoundryError, RefusalError, RenderError, SourceError, StoreError, VerificationError
from synth.job import Job, ShardResult
from synth.rng import Stream, keyed_generator
from synth.scan import scan_sources
from synth.store.commit import ShardCommit, read_digests
from synth.store.files import write_durably
from synth.store.finalize import finalize_store
from synth.store.layout import encode_bank, write_metadata
from synth.store.manifest import Manifest
from synth.store.verify import Findings


def repair_store(
    path: Path, findings: Findings, *, source_root: Path | None, threads: int, on_done: Callable[[ShardResult], None]
) -> Manifest:
    """Repair what a check found.

    Args:
        path: The store; the caller holds the lock of all its shards.
        findings: What :func:`~synth.store.verify.check_store` returned.
        source_root: Folder of the source frames or plates, when it is not where the manifest says.
        threads: Frames decoded side by side when the noise bank must be sampled again.
        on_done: Called for every shard that is made again.

    Returns:
        The manifest of the repaired store.

    Raises:
        RefusalError: The manifest, which says what to make, is damaged itself.
        SourceError: A source frame is gone or has changed.
        VerificationError: A shard comes out with other content than the store had; it is left as it is.
    """
    contradictions = Manifest.load(path).faults()
    if contradictions:
        raise RefusalError(f"{path}: {contradictions[0]}; nothing can be made again from it, restore manifest.json from a copy")
    for fault in findings.faults:
        if fault.path is not None:
            fault.path.unlink(missing_ok=True)
    if any(fault.shard is None and fault.path is None for fault in findings.faults):
        _restore_frame(path, source_root, threads)
    _write_again(Job(path, source_root), findings.damaged_shards(), on_done)
    return finalize_store(path)


def compare_rendered(path: Path, num_samples: int, *, source_root: Path | None, on_sample: Callable[[int], None]) -> list[int]:
    """Render random samples again and compare them with the stored ones.

    Args:
        path: The store.
        num_samples: How many, drawn without replacement.
        source_root: Folder of the source frames or plates, when it is not where the manifest says.
        on_sample: Called with each index when it is compared.

    Returns:
        The samples that come out different.
    """
    job = Job(path, source_root)
    total = job.shape.num_samples
    rng = keyed_generator(num_samples, Stream.VIEW, total)
    different = []
    for index in sorted(rng.choice(total, size=min(num_samples, total), replace=False).tolist()):
        shard, slot = divmod(index, job.shape.shard_images)
        if read_digests(path, shard, job.shape)[slot].tobytes() != job.render_digest(index):
            different.append(index)
        on_sample(index)
    return different


def _write_again(job: Job, shards: list[int], on_done: Callable[[ShardResult], None]) -> None:
    """Write shards whatever their records say; one that cannot be made keeps what it has and does not stop the others."""
    manifest = Manifest.load(job.path)
    failures: list[FoundryError] = []
    for shard in shards:
        try:
            on_done(job.write_shard(shard, again=True, expected=_promised_content(job.path, manifest, shard)))
        except (RenderError, SourceError) as error:
            failures.append(error)
        except VerificationError as error:
            made_by = manifest.content.get("versions")
            failures.append(VerificationError(f"{error}; it was left as it is: repair with the versions of then, {made_by}"))
    if failures:
        raise failures[0]


def _promised_content(path: Path, manifest: Manifest, shard: int) -> str | None:
    """Return what a shard had: by the manifest, or as long as that lists none by its commit record; None where nothing tells."""
    if manifest.is_complete:
        return str(manifest.content["shards"][shard]["content"])
    try:
        commit = ShardCommit.load(path, shard)
    except (RefusalError, StoreError):
        return None
    if commit is None or (commit.shard, commit.recipe_hash) != (shard, manifest.recipe_hash):
        return None
    return commit.content


def _restore_frame(path: Path, source_root: Path | None, threads: int) -> None:
    """Write array metadata and noise bank again."""
    manifest = Manifest.load(path)
    recipe, root = manifest.recipe, source_root or manifest.source_root
    _, bank = scan_sources(recipe if root is None else recipe.reading(root), threads=threads, progress=lambda _done, _total: None)
    if bank.digest() != manifest.content["noise_digest"]:
        raise SourceError(f"{path}/noise: the sources give another noise bank than the store was made with; restore the frames")
    with tempfile.TemporaryDirectory() as folder:
        write_metadata(Path(folder), manifest.shape)
        for file in sorted(Path(folder).rglob("zarr.json")):
            write_durably(path / file.relative_to(folder), [file.read_bytes()])
    for name, data in encode_bank(bank, manifest.shape).items():
        write_durably(path / name, [data])
