"""The frames of a fine-tuning: pools that train, frames that validate, and what they are, for the record."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.recipe import DataConfig
from pretrain.frames import FramePool, Indices, open_pool
from pretrain.sources import chosen_ids, ids_like_tests, is_rendered, is_store, pixels_sha256, samples_unlike_tests
from pretrain.unlabelled import part_of
from synth import Corpus, Store, open_corpus, open_store
from synth.corpora.decode import hash_pixels
from synth.corpora.lists import hash_ids
from synth.errors import SourceError
from synth.sample import Frame

_Opened = tuple[FramePool, tuple[str, ...], dict[str, Any]]
"""A pool, the ids left out of it, and what goes into the identity."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSources:
    """What a run trains and validates on.

    Attributes:
        pools: One for each ``--data``.
        excluded: Ids of (source) frames of each left out because they look like a test frame; empty where that was not asked for.
        validation: Labelled frames of the validation list; empty when the recipe trains on it.
        identity: What decides the result, as JSON values: ids and pixels of folders, content hashes of stores.
    """

    pools: tuple[FramePool, ...]
    excluded: tuple[tuple[str, ...], ...]
    validation: tuple[Frame, ...]
    identity: dict[str, Any]


def open_sources(paths: Sequence[Path], validation: Path | None, config: DataConfig, device: torch.device) -> TrainingSources:
    """Open stores and folders for training.

    Test lists are read for ``data.exclude_near_test`` alone, which keeps frames like theirs out (``pretrain.sources``).

    Args:
        paths: Stores and root folders of real frames.
        validation: Root folder whose validation list validates; None: the first folder of ``paths``.
        config: Which of their frames.
        device: Where resident pixels go.

    Raises:
        SourceError: A source cannot be used, there is no validation list, a frame would both train and validate, or one that
            validates has another bit depth than those that train.
    """
    corpora = {path: _open(path, config.split, config) for path in paths if not is_store(path)}
    left_out = _like_tests(corpora, validation, config)
    opened = [
        _store_pool(path, config, device) if is_store(path) else _folder_pool(corpora[path], left_out[path], config, device)
        for path in paths
    ]
    pools, excluded = tuple(pool for pool, _, _ in opened), tuple(ids for _, ids, _ in opened)
    identity: dict[str, Any] = {"train": [about for _, _, about in opened]}
    if config.split == "trainval":
        return TrainingSources(pools, excluded, (), identity)
    frames = _validation_frames(validation or _first_folder(paths), config)
    identity["validation"] = {"frames": len(frames), "ids_sha256": hash_ids(frame.id for frame in frames)}
    _refuse_other_depth(pools, frames)
    _refuse_overlap(paths, pools, frames)
    return TrainingSources(pools, excluded, frames, identity)


def training_ids(corpus: Corpus, config: DataConfig, excluded: Collection[str] | None = None) -> list[str]:
    """Return the ids that train: all of the split, or a keyed choice; smaller choices of one seed are parts of larger ones.

    Args:
        corpus: A folder, opened with the split that trains.
        config: How many of its frames, the seed of the draw, and whether frames like test frames are left out.
        excluded: The ids of the latter; None: found here by the folder's own test list, if they are to be left out.

    Raises:
        SourceError: It has fewer frames than that.
    """
    if excluded is None:
        (excluded,) = ids_like_tests([corpus]) if config.exclude_near_test else ((),)
    names = {ref.id for ref in corpus.frames}.difference(excluded)
    return chosen_ids(names, config.num_frames, config.subset_seed, f"split {config.split} of {corpus.root}")


def _open(root: Path, split: str | None, config: DataConfig, *, require_masks: bool = True) -> Corpus:
    return open_corpus(root, split, split_list=config.split_list, max_level=config.max_level, require_masks=require_masks)


def _like_tests(corpora: Mapping[Path, Corpus], validation: Path | None, config: DataConfig) -> dict[Path, frozenset[str]]:
    """Return the ids of each folder that must not train for they look like a test frame of any folder given."""
    if not config.exclude_near_test:
        return dict.fromkeys(corpora, frozenset())
    further = [] if validation is None else [_open(validation, None, config, require_masks=False)]
    return dict(zip(corpora, ids_like_tests(tuple(corpora.values()), further), strict=True))


def _store_pool(path: Path, config: DataConfig, device: torch.device) -> _Opened:
    store, pool = open_store(path), open_pool(path, device=device)
    about: dict[str, Any] = {"store": store.manifest["content_hash"]} | ({"rendered": True} if is_rendered(store) else {})
    samples, affected = samples_unlike_tests(store) if config.exclude_near_test else (np.arange(len(store)), frozenset())
    excluded = tuple(sorted(affected))
    if config.exclude_near_test:
        about["like_test_ids"] = list(excluded)
    if config.num_frames is not None:
        samples = np.intersect1d(samples, _samples_of_chosen(store, affected, config))
    if not len(samples):
        raise SourceError(f"{path}: every sample was made of a frame that looks like a test frame; give another store")
    if len(samples) == len(store):
        return pool, excluded, about
    return part_of(pool, samples), excluded, about | {"frames": len(samples)}


def _samples_of_chosen(store: Store, affected: Collection[str], config: DataConfig) -> Indices:
    """Return the samples made of the source frames that a folder with these frames would choose; of rendered scenes all."""
    names = [str(frame["id"]) for frame in store.manifest["sources"]["frames"]]
    if not names:
        return np.arange(len(store))
    left = set(names).difference(affected)
    chosen = frozenset(chosen_ids(left, config.num_frames, config.subset_seed, f"the sources of {store.path}"))
    is_chosen = np.array([name in chosen for name in names])
    return np.flatnonzero(is_chosen[store.column("sample/source")])


def _folder_pool(corpus: Corpus, affected: frozenset[str], config: DataConfig, device: torch.device) -> _Opened:
    ids, excluded = training_ids(corpus, config, affected), tuple(sorted(affected))
    pool = open_pool(
        corpus.root, split=config.split, only=ids, device=device, split_list=config.split_list, max_level=config.max_level
    )
    about = {"frames": len(ids), "ids_sha256": hash_ids(ids), "pixels_sha256": pixels_sha256(pool)}
    return pool, excluded, about | ({"like_test_ids": list(excluded)} if config.exclude_near_test else {})


def _first_folder(paths: Sequence[Path]) -> Path:
    folders = [path for path in paths if not is_store(path)]
    if not folders:
        raise SourceError("--data holds stores only, which have no validation list; give --validation DIR")
    return folders[0]


def _validation_frames(root: Path, config: DataConfig) -> tuple[Frame, ...]:
    corpus = _open(root, "val", config)
    frames = tuple(corpus.read(ref) for ref in corpus.frames)
    if not frames or any(frame.mask is None for frame in frames):
        raise SourceError(f"{root}: has no labelled validation frames; give --validation DIR, or set data.split=trainval")
    return frames


def _refuse_other_depth(pools: Sequence[FramePool], validation: Sequence[Frame]) -> None:
    """Refuse validation frames of another bit depth than all that trains: they would be darker, or brighter."""
    trained, others = {pool.bit_depth for pool in pools}, {frame.bit_depth: frame.id for frame in validation}
    for depth, name in others.items():
        if depth not in trained:
            raise SourceError(
                f"validation frame {name!r}: must share the bit depth of what trains, {sorted(trained)}, got {depth} bits; "
                "set data.max_level for folders of 16-bit files, or convert them"
            )


def _refuse_overlap(paths: Sequence[Path], pools: Sequence[FramePool], validation: Sequence[Frame]) -> None:
    """Refuse stores and folders with a validation frame among their frames or sources, recognised by its pixels."""
    held = {hash_pixels(frame.levels): frame.id for frame in validation}
    for path, pool in zip(paths, pools, strict=True):
        if is_store(path):
            known = [(str(frame["id"]), str(frame["pixels_sha256"])) for frame in open_store(path).manifest["sources"]["frames"]]
        else:
            known = [(name, hash_pixels(pool.frame(index).levels)) for index, name in enumerate(pool.ids)]
        twice = [f"{name} (validation frame {held[pixels]})" for name, pixels in known if pixels in held]
        if twice:
            raise SourceError(
                f"{path}: {len(twice)} of its frames validate too ({', '.join(twice[:3])}); make the store with split=train, or "
                "set data.split=trainval"
            )
