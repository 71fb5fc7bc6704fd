"""The frames of a pretraining: pools that train, pools held out, and what they are, for the record.

Frames of test lists never enter, nor do frames that look like one: folders are compared with the test lists of all folders
given, and samples of a store are left out where its scan found their source frame to look like one. Unless an objective uses
labels, ``pretrain.unlabelled`` takes them away. :func:`ids_like_tests` is the one place in training, fine-tuning included, where
pixels of test frames are read, and it returns ids of other frames alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pretrain.frames import FramePool, Indices, open_pool, pool_of_frames
from pretrain.settings import PretrainData
from pretrain.unlabelled import DoubtConfig, part_of, without_labels
from synth import Corpus, Store, open_store
from synth.corpora import Fingerprints, compare, fingerprint, open_training_part
from synth.corpora.decode import hash_pixels
from synth.corpora.lists import hash_ids
from synth.errors import LeakageError, SourceError
from synth.rng import Stream, keyed_hash


@dataclass(frozen=True, slots=True, eq=False)
class PretrainSources:
    """What a pretraining sees.

    Attributes:
        pools: One for each ``--data``.
        held_out: Frames of each that never train.
        excluded: Ids of (source) frames of each left out because they look like a test frame.
        kept_from: Hashes over the ids of the test lists that every folder and store was kept away from, as ``hash_ids`` makes
            them; None where nothing but rendered scenes trains, which no test frame is in.
        identity: What decides the result, as JSON values: ids and pixels of folders, content hashes of stores.
    """

    pools: tuple[FramePool, ...]
    held_out: tuple[FramePool, ...]
    excluded: tuple[tuple[str, ...], ...]
    kept_from: tuple[str, ...] | None
    identity: dict[str, Any]


def open_pretrain_sources(
    paths: Sequence[Path], config: PretrainData, doubt: DoubtConfig, *, held_out: int, uses_labels: bool, device: torch.device
) -> PretrainSources:
    """Open stores and folders for pretraining.

    Args:
        paths: Stores and folders of frames, labelled or not.
        config: Which of their frames.
        doubt: What of an unlabelled frame may be a target.
        held_out: Frames of each kept for validation, of few frames a quarter.
        uses_labels: Whether masks are kept.
        device: Where resident pixels go.

    Raises:
        LeakageError: Test frames are asked for, validation frames in a store without saying so, or nothing tells the test frames
            of a folder.
        SourceError: A source cannot be used, or has no frame left to train on.
    """
    if config.split == "test":
        raise LeakageError("data.split must be train or trainval, got test: test frames train nothing")
    corpora = {path: _open(path, config) for path in paths if not is_store(path)}
    alike = dict(zip(corpora, ids_like_tests(tuple(corpora.values())), strict=True))
    pools, kept, excluded, identities = [], [], [], []
    for path in paths:
        corpus = corpora.get(path)
        if corpus is None:
            pool = _open_store_pool(path, config, device)
            usable, affected = samples_unlike_tests(open_store(path))
        else:
            pool, affected = _folder_pool(corpus, device), alike[path]
            usable = np.flatnonzero([name not in affected for name in pool.ids])
        train, held = _divide(pool, usable, config, held_out)
        blind = without_labels(pool, doubt)
        pools.append(part_of(pool if uses_labels else blind, train))
        kept.append(part_of(blind, held))
        excluded.append(tuple(sorted(affected)))
        counts = {"frames": len(train), "held_out": len(held), "like_test_frames": len(affected)}
        identities.append(_identity(path, corpus, pools[-1]) | counts)
    lists = _common_lists(corpora.values(), [open_store(path) for path in paths if is_store(path)])
    return PretrainSources(tuple(pools), tuple(kept), tuple(excluded), lists, {"train": identities, "labels": uses_labels})


def is_store(path: Path) -> bool:
    """Tell whether a path is a store rather than a folder of frames."""
    return path.suffix == ".zarr" or (path / "manifest.json").is_file()


def ids_like_tests(corpora: Sequence[Corpus], protected: Sequence[Corpus] = ()) -> list[frozenset[str]]:
    """Return, for each folder, the ids of its frames that equal or resemble a test frame (criterion: ``synth.corpora.leakage``).

    Args:
        corpora: Folders, opened with the split that trains.
        protected: Further folders; the test lists in use of these and of ``corpora`` are compared with.
    """
    tested = [_fingerprints(corpus, test_only=True) for corpus in (*corpora, *protected) if corpus.test_frames()]
    if not tested:
        return [frozenset() for _ in corpora]
    prints = [_fingerprints(corpus) for corpus in corpora]
    return [frozenset[str]().union(*(compare(tests, own).affected_b for tests in tested)) for own in prints]


def samples_unlike_tests(store: Store) -> tuple[Indices, frozenset[str]]:
    """Return the samples of a store to train on, rising, and the ids of the source frames whose samples are left out.

    Left out are the source frames that its scan has recorded as near duplicates of the test list of their own folder.
    """
    sources = store.manifest["sources"]
    alike = frozenset(str(source) for source, *_ in sources["leakage"].get("near_duplicates_of_test", ()))
    codes = [code for code, frame in enumerate(sources["frames"]) if frame["id"] in alike]
    return np.flatnonzero(~np.isin(store.column("sample/source"), codes)), alike


def is_rendered(store: Store) -> bool:
    """Tell whether a store holds rendered scenes without any real frame: neither plates nor noise of a folder."""
    source, noise = store.manifest["recipe"]["source"], store.manifest["recipe"]["noise"]
    return source["kind"] == "scenes" and source.get("plates") is None and noise["source"] == "same"


def lists_kept_out(store: Store) -> frozenset[str] | None:
    """Return the hashes over the ids of the test lists that no frame to train on, and no noise frame, is from or looks like.

    None for rendered scenes without any real frame. Of plates likeness is not known, nor anything of stores from before scans
    recorded it: no list.
    """
    return None if is_rendered(store) else frozenset(store.manifest["sources"]["leakage"].get("kept_from", ()))


def pixels_sha256(pool: FramePool) -> str:
    """Return a hash over ids, levels and masks of a folder's frames, in the order of the pool."""
    digest = hashlib.sha256()
    for index in range(len(pool)):
        frame = pool.frame(index)
        digest.update(f"{frame.id} {frame.max_level} {hash_pixels(frame.levels)} ".encode())
        digest.update(b"" if frame.mask is None else hash_pixels(frame.mask).encode())
    return digest.hexdigest()


def _common_lists(corpora: Collection[Corpus], stores: Sequence[Store]) -> tuple[str, ...] | None:
    """Return what ``PretrainSources.kept_from`` says; folders were compared with the test lists of all of them."""
    parts = [found for store in stores if (found := lists_kept_out(store)) is not None]
    if corpora:
        parts.append(frozenset(hash_ids(ref.id for ref in corpus.test_frames()) for corpus in corpora if corpus.test_frames()))
    return tuple(sorted(frozenset.intersection(*parts))) if parts else None


def _open(path: Path, config: PretrainData) -> Corpus:
    """Open a folder with the split that trains, or whole where it has no lists."""
    return open_training_part(
        path,
        config.split,
        what="--data",
        list_key="data.split_list",
        split_list=config.split_list,
        max_level=config.max_level,
        require_masks=False,
    )


def _folder_pool(corpus: Corpus, device: torch.device) -> FramePool:
    frames = [corpus.read(ref) for ref in corpus.frames]
    name = str(corpus.root) if corpus.split is None else f"{corpus.root} ({corpus.split} of {corpus.split_list})"
    return pool_of_frames(frames, name=name, device=device)


def _open_store_pool(path: Path, config: PretrainData, device: torch.device) -> FramePool:
    manifest = open_store(path).manifest
    made_of = manifest["recipe"].get("split")
    if made_of == "trainval" and config.split != "trainval":
        raise LeakageError(
            f"{path}: was made from validation frames too (split trainval); set data.split=trainval to accept that"
        )
    return open_pool(path, device=device)


def _fingerprints(corpus: Corpus, *, test_only: bool = False) -> Fingerprints:
    refs = corpus.test_frames() if test_only else corpus.frames
    return fingerprint(str(corpus.root), ((frame, found.pixels_sha256) for frame, found in map(corpus.read_hashed, refs)))


def chosen_ids(names: Collection[str], num_frames: int | None, subset_seed: int, where: str) -> list[str]:
    """Return the ids that train, sorted: all, or a keyed choice; smaller choices of one seed are parts of larger ones.

    Args:
        names: Ids to choose from, in any order.
        num_frames: How many, or None for all.
        subset_seed: Seed of the choice.
        where: What they are the frames of, for messages.

    Raises:
        SourceError: There are fewer.
    """
    ids = sorted(names)
    if num_frames is None:
        return ids
    if num_frames > len(ids):
        raise SourceError(f"data.num_frames must be <= {len(ids)}, the frames of {where}, got {num_frames}")
    order = np.argsort(keyed_hash(subset_seed, Stream.SUBSET, _numbers(ids)), kind="stable")
    return sorted(ids[i] for i in order[:num_frames])


def _divide(pool: FramePool, usable: Indices, config: PretrainData, held_out: int) -> tuple[Indices, Indices]:
    """Return which of the usable frames train and which are held out: of few frames a quarter, and one at least.

    A number of frames is drawn from all of them, and those that are not usable leave the draw: so it holds no frame that a
    fine-tuning of the same number and seed does not draw.
    """
    chosen = frozenset[str]()
    if config.num_frames is not None and pool.ids:
        chosen = frozenset(chosen_ids(pool.ids, config.num_frames, config.subset_seed, pool.name))
    is_chosen = np.array([bool(pool.ids) and pool.ids[i] in chosen for i in usable], bool)
    others = usable[~is_chosen]
    held_out = min(held_out, max(1, len(usable) // 4))
    if len(others) < held_out or len(usable) <= held_out:
        raise SourceError(
            f"{pool.name}: {len(usable)} usable frames, {held_out} of them held out for validation, leave none to train on; "
            "lower held_out.frames or data.num_frames, or give more frames"
        )
    order = np.argsort(keyed_hash(0, Stream.SUBSET, _names(pool)[others]), kind="stable")
    held = np.sort(others[order[:held_out]])
    return (usable[is_chosen] if chosen else np.sort(others[order[held_out:]])), held


def _names(pool: FramePool) -> npt.NDArray[np.uint64]:
    """Return a number for every frame that depends on its id alone (its place, in a store)."""
    if not pool.ids:
        return np.arange(len(pool), dtype=np.uint64)
    return _numbers(pool.ids)


def _numbers(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    digests = (hashlib.sha256(name.encode()).digest() for name in names)
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)


def _identity(path: Path, corpus: Corpus | None, pool: FramePool) -> dict[str, Any]:
    """Return the content hash of a store; of a folder the ids of the list in use and the pixels that train."""
    if corpus is None:
        return {"store": open_store(path).manifest["content_hash"]}
    return {"ids_sha256": hash_ids(ref.id for ref in corpus.frames), "pixels_sha256": pixels_sha256(pool)}
