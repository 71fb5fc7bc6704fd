"""The frames of a pretraining: pools that train, pools held out, and what they are, for the record.

Frames of test lists never enter, nor do frames that look like one: folders are compared with the test lists of all folders
given. Stores were made without test frames and are taken whole. Unless an objective uses labels, ``pretrain.unlabelled`` takes
them away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pretrain.frames import FramePool, Indices, open_pool, pool_of_frames
from pretrain.settings import PretrainData
from pretrain.unlabelled import DoubtConfig, part_of, without_labels
from synth import Corpus, open_corpus, open_store
from synth.corpora import Fingerprints, compare, fingerprint
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
        excluded: Ids of frames of each left out because they look like a test frame.
        identity: What decides the result, as JSON values: ids and pixels of folders, content hashes of stores.
    """

    pools: tuple[FramePool, ...]
    held_out: tuple[FramePool, ...]
    excluded: tuple[tuple[str, ...], ...]
    identity: dict[str, Any]


def open_pretrain_sources(
    paths: Sequence[Path], config: PretrainData, doubt: DoubtConfig, *, held_out: int, uses_labels: bool, device: torch.device
) -> PretrainSources:
    """Open stores and folders for pretraining.

    Args:
        paths: Stores and folders of frames, labelled or not.
        config: Which of their frames.
        doubt: What of an unlabelled frame may be a target.
        held_out: Frames of each kept for validation.
        uses_labels: Whether masks are kept.
        device: Where resident pixels go.

    Raises:
        LeakageError: Test frames are asked for, or validation frames in a store without saying so.
        SourceError: A source cannot be used, or has no frame left to train on.
    """
    if config.split == "test":
        raise LeakageError("data.split must be train or trainval, got test: test frames train nothing")
    corpora = {path: _open(path, config) for path in paths if not is_store(path)}
    tested = [_fingerprints(corpus, test_only=True) for corpus in corpora.values() if corpus.test_frames()]
    pools, kept, excluded, identities = [], [], [], []
    for path in paths:
        corpus = corpora.get(path)
        pool = _open_store_pool(path, config, device) if corpus is None else _folder_pool(corpus, device)
        affected = frozenset[str]() if corpus is None else _affected(corpus, tested)
        train, held = _divide(pool, affected, held_out)
        blind = without_labels(pool, doubt)
        pools.append(part_of(pool if uses_labels else blind, train))
        kept.append(part_of(blind, held))
        excluded.append(tuple(sorted(affected)))
        counts = {"frames": len(train), "held_out": len(held), "like_test_frames": len(affected)}
        identities.append(_identity(path, corpus, pools[-1]) | counts)
    return PretrainSources(tuple(pools), tuple(kept), tuple(excluded), {"train": identities, "labels": uses_labels})


def is_store(path: Path) -> bool:
    """Tell whether a path is a store rather than a folder of frames."""
    return path.suffix == ".zarr" or (path / "manifest.json").is_file()


def pixels_sha256(pool: FramePool) -> str:
    """Return a hash over ids, levels and masks of a folder's frames, in the order of the pool."""
    digest = hashlib.sha256()
    for index in range(len(pool)):
        frame = pool.frame(index)
        digest.update(f"{frame.id} {frame.max_level} {hash_pixels(frame.levels)} ".encode())
        digest.update(b"" if frame.mask is None else hash_pixels(frame.mask).encode())
    return digest.hexdigest()


def _open(path: Path, config: PretrainData) -> Corpus:
    """Open a folder with the split that trains, or whole where it has no lists."""
    corpus = open_corpus(path, split_list=config.split_list, require_masks=False)
    if corpus.split_list is None:
        return corpus
    return open_corpus(path, config.split, split_list=config.split_list, require_masks=False)


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


def _affected(corpus: Corpus, tested: Sequence[Fingerprints]) -> frozenset[str]:
    """Return the ids of frames that equal or resemble a test frame."""
    if not tested:
        return frozenset()
    own = _fingerprints(corpus)
    return frozenset[str]().union(*(compare(protected, own).affected_b for protected in tested))


def _divide(pool: FramePool, affected: frozenset[str], held_out: int) -> tuple[Indices, Indices]:
    """Return which frames train and which are held out."""
    usable = np.flatnonzero([name not in affected for name in pool.ids]) if pool.ids else np.arange(len(pool))
    if len(usable) <= held_out:
        raise SourceError(
            f"{pool.name}: {len(usable)} usable frames with held_out.frames {held_out} leave none to train on; "
            "lower held_out.frames, or give more frames"
        )
    order = np.argsort(keyed_hash(0, Stream.SUBSET, _names(pool)[usable]), kind="stable")
    return np.sort(usable[order[held_out:]]), np.sort(usable[order[:held_out]])


def _names(pool: FramePool) -> npt.NDArray[np.uint64]:
    """Return a number for every frame that depends on its id alone (its place, in a store)."""
    if not pool.ids:
        return np.arange(len(pool), dtype=np.uint64)
    digests = (hashlib.sha256(name.encode()).digest() for name in pool.ids)
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)


def _identity(path: Path, corpus: Corpus | None, pool: FramePool) -> dict[str, Any]:
    """Return the content hash of a store; of a folder the ids of the list in use and the pixels that train."""
    if corpus is None:
        return {"store": open_store(path).manifest["content_hash"]}
    return {"ids_sha256": hash_ids(ref.id for ref in corpus.frames), "pixels_sha256": pixels_sha256(pool)}
