"""Does a store hold what it promises: files against commit records, decoded content against digests, nothing extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synth.errors import FoundryError, RefusalError
from synth.store.commit import ShardCommit, all_digests, commit_path, hash_digests, shard_faults
from synth.store.files import PARTIAL_SUFFIX, read_json, sha256_of_file
from synth.store.layout import array_specs, noise_specs
from synth.store.manifest import Manifest, hash_content
from synth.store.metadata import read_array_metadata
from synth.store.reader import Store
from synth.store.schema import record_dtype, sample_digest

BATCH = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        message: One readable line.
        shard: The shard it damages, or None when it is about the store as a whole.
        path: File to remove when it is a stray of ours, else None.
    """

    message: str
    shard: int | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found.

    Attributes:
        faults: What is wrong.
        foreign: Files that are not ours; reported, never touched.
    """

    faults: tuple[Fault, ...]
    foreign: tuple[Path, ...]

    def damaged_shards(self) -> list[int]:
        """Return the shards to make again."""
        return sorted({fault.shard for fault in self.faults if fault.shard is not None})


def check_store(path: Path, *, threads: int, on_shard: Callable[[int], None]) -> Findings:
    """Check a store completely.

    Args:
        path: The ``.zarr`` folder.
        threads: Shards checked side by side.
        on_shard: Called with each shard's number when it is checked.

    Returns:
        The findings, faults in shard order.

    Raises:
        RefusalError: The folder is no store of ours.
    """
    manifest = Manifest.load(path)
    faults = list(_metadata_faults(path, manifest))
    if not faults:
        faults += _bank_faults(path, manifest)
    has_metadata = not faults
    if has_metadata:
        faults += _group_faults(path, manifest)
    faults += [Fault(message) for message in manifest.faults()]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        store = Store(path, manifest) if has_metadata else None
        checks = pool.map(lambda k: _check_shard(path, manifest, k, store), range(manifest.shape.num_shards))
        for shard, messages in enumerate(checks):
            faults += [Fault(f"shard {shard}: {message}", shard) for message in messages]
            on_shard(shard)
    strays, foreign = _other_files(path, manifest)
    faults += [
        Fault(f"{p.relative_to(path)}: stray file of an interrupted or larger run; --repair removes it", path=p) for p in strays
    ]
    if not faults:
        faults += _content_faults(path, manifest)
    return Findings(tuple(faults), tuple(foreign))


def _metadata_faults(path: Path, manifest: Manifest) -> Iterator[Fault]:
    for name, spec in (array_specs(manifest.shape) | noise_specs(manifest.shape)).items():
        try:
            found = read_array_metadata(path, name)
        except FoundryError as error:
            yield Fault(f"array {name}: {error}")
            continue
        if (found.dtype, found.shape, found.chunk, found.shard) != (spec.dtype, spec.shape, spec.chunk, spec.shard):
            yield Fault(f"array {name}: zarr.json says {found.dtype} {found.shape}, the manifest {spec.dtype} {spec.shape}")


def _group_faults(path: Path, manifest: Manifest) -> Iterator[Fault]:
    """Check what only stock zarr reads: the groups, and the root's copy of the metadata of all arrays."""
    arrays = array_specs(manifest.shape) | noise_specs(manifest.shape)
    groups = ("", *sorted({name.split("/")[0] for name in arrays if "/" in name}))
    try:
        found = {name: read_json(path / name / "zarr.json") for name in (*groups, *arrays)}
        copies = found[""]["consolidated_metadata"]["metadata"]
        damaged = [name for name in groups if (found[name]["zarr_format"], found[name]["node_type"]) != (3, "group")]
        damaged += [name for name in arrays if copies[name] != found[name]]
    except FoundryError as error:
        yield Fault(f"group: {error}")
    except (KeyError, TypeError):
        yield Fault("group: the root's zarr.json is damaged, stock zarr cannot read the store")
    else:
        for name in damaged:
            yield Fault(f"group: metadata of {name or 'the root'} differs from the root's copy, stock zarr may misread it")


def _bank_faults(path: Path, manifest: Manifest) -> list[Fault]:
    if not manifest.shape.noise_windows:
        return []
    try:
        if Store(path, manifest).noise_bank().digest() == manifest.content["noise_digest"]:
            return []
        return [Fault("noise bank: content differs from the manifest")]
    except FoundryError as error:
        return [Fault(f"noise bank: {error}")]


def _check_shard(path: Path, manifest: Manifest, shard: int, store: Store | None) -> list[str]:
    """Return what is wrong with a shard; without a store to read it by, only its files are checked."""
    faults = shard_faults(path, shard, manifest.shape, manifest.recipe_hash)
    if faults or store is None:
        return faults
    try:
        digests = _decoded_digests(store, manifest, shard)
    except FoundryError as error:
        return [str(error)]
    commit = ShardCommit.load(path, shard)
    if commit is None or hash_digests(digests) != commit.content:
        return ["decoded content differs from its commit record"]
    if manifest.is_complete:
        entry = manifest.content["shards"][shard]
        if entry["content"] != commit.content:
            return ["content differs from the manifest"]
        if entry["record"] != sha256_of_file(commit_path(path, shard)):
            return ["commit record differs from the manifest"]
    return []


def _decoded_digests(store: Store, manifest: Manifest, shard: int) -> npt.NDArray[np.uint8]:
    """Recompute the sample digests of a shard from what its files decode to; checks masks on the way."""
    samples = manifest.shape.samples_of(shard)
    columns = store.shard_columns(shard)
    records = np.zeros(len(samples), record_dtype(manifest.shape.max_targets, manifest.shape.max_impostors))
    for name in records.dtype.names or ():
        records[name] = columns[name]
    digests = np.empty((len(samples), 32), np.uint8)
    for first in range(0, len(samples), BATCH):
        batch = samples[first : first + BATCH]
        images, masks = store.images(batch), store.masks(batch)
        raws = store.raw_images(batch) if manifest.shape.has_raw else [None] * len(batch)
        if masks.max(initial=0) > 1:
            raise RefusalError(f"samples {batch.start}:{batch.stop}: mask values other than 0 and 1")
        for slot in range(len(batch)):
            digest = sample_digest(images[slot], masks[slot], records[first + slot].tobytes(), raws[slot])
            digests[first + slot] = np.frombuffer(digest, np.uint8)
    return digests


def _content_faults(path: Path, manifest: Manifest) -> list[Fault]:
    if not manifest.is_complete:
        return [Fault("the store is not finished: all shards are there; run verify --finalize")]
    if hash_content(manifest, all_digests(path, manifest.shape)) != manifest.content_hash:
        return [Fault("content hash differs from the manifest")]
    return []


def _other_files(path: Path, manifest: Manifest) -> tuple[list[Path], list[Path]]:
    """Return strays of ours (temporaries, shards beyond the end) and files that are not ours."""
    shape = manifest.shape
    arrays = array_specs(shape) | noise_specs(shape)
    expected = {f"{name}/zarr.json" for name in (*arrays, "sample", "target", "impostor", "noise", ".")}
    expected |= {"zarr.json", "manifest.json"}
    expected |= {spec.file_of(k) for spec in array_specs(shape).values() for k in range(shape.num_shards)}
    expected |= {spec.file_of(0) for spec in noise_specs(shape).values()}
    expected |= {commit_path(Path(), k).as_posix() for k in range(shape.num_shards)}
    strays: list[Path] = []
    foreign: list[Path] = []
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if (file.is_dir() and not file.is_symlink()) or name in expected or name.startswith("locks/"):
            continue
        is_chunk = any(name.startswith(f"{array}/c/") for array in arrays)
        is_ours = name.endswith(PARTIAL_SUFFIX) or is_chunk or name.startswith("commits/shard-")
        (strays if is_ours and not file.is_symlink() else foreign).append(file)
    return strays, foreign
