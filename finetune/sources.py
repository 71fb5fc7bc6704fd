"""The frames of a fine-tuning: pools that train, frames that validate, and what they are, for the record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.recipe import DataConfig
from pretrain.frames import FramePool, open_pool
from pretrain.sources import is_store, pixels_sha256
from synth import Corpus, open_corpus, open_store
from synth.corpora.decode import hash_pixels
from synth.corpora.lists import hash_ids
from synth.errors import SourceError
from synth.rng import Stream, keyed_hash
from synth.sample import Frame


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSources:
    """What a run trains and validates on.

    Attributes:
        pools: One for each ``--data``.
        validation: Labelled frames of the validation list; empty when the recipe trains on it.
        identity: What decides the result, as JSON values: ids and pixels of folders, content hashes of stores.
    """

    pools: tuple[FramePool, ...]
    validation: tuple[Frame, ...]
    identity: dict[str, Any]


def open_sources(paths: Sequence[Path], validation: Path | None, config: DataConfig, device: torch.device) -> TrainingSources:
    """Open stores and folders for training; test lists are never read.

    Args:
        paths: Stores and root folders of real frames.
        validation: Root folder whose validation list validates; None: the first folder of ``paths``.
        config: Which of their frames.
        device: Where resident pixels go.

    Raises:
        SourceError: A source cannot be used, there is no validation list, or a frame would both train and validate.
    """
    identities, pools = [], []
    for path in paths:
        if is_store(path):
            pools.append(open_pool(path, device=device))
            identities.append({"store": open_store(path).manifest["content_hash"]})
            continue
        corpus = open_corpus(path, config.split, split_list=config.split_list)
        ids = training_ids(corpus, config)
        pools.append(open_pool(path, split=config.split, only=ids, device=device, split_list=config.split_list))
        identities.append({"frames": len(ids), "ids_sha256": hash_ids(ids), "pixels_sha256": pixels_sha256(pools[-1])})
    identity: dict[str, Any] = {"train": identities}
    if config.split == "trainval":
        return TrainingSources(tuple(pools), (), identity)
    frames = _validation_frames(validation or _first_folder(paths), config, paths)
    identity["validation"] = {"frames": len(frames), "ids_sha256": hash_ids(frame.id for frame in frames)}
    _refuse_overlap(paths, pools, frames)
    return TrainingSources(tuple(pools), frames, identity)


def training_ids(corpus: Corpus, config: DataConfig) -> list[str]:
    """Return the ids that train: all of the split, or a keyed choice; smaller choices of one seed are parts of larger ones.

    Args:
        corpus: A folder, opened with the split that trains.
        config: How many of its frames, and the seed of the draw.

    Raises:
        SourceError: It has fewer frames than that.
    """
    ids = sorted(ref.id for ref in corpus.frames)
    if config.num_frames is None:
        return ids
    if config.num_frames > len(ids):
        raise SourceError(
            f"data.num_frames must be <= {len(ids)}, the frames of split {config.split} of {corpus.root}, got {config.num_frames}"
        )
    keys = np.array([int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in ids], np.uint64)
    order = np.argsort(keyed_hash(config.subset_seed, Stream.SUBSET, keys), kind="stable")
    return sorted(ids[i] for i in order[: config.num_frames])


def _first_folder(paths: Sequence[Path]) -> Path:
    folders = [path for path in paths if not is_store(path)]
    if not folders:
        raise SourceError("--data holds stores only, which have no validation list; give --validation DIR")
    return folders[0]


def _validation_frames(root: Path, config: DataConfig, paths: Sequence[Path]) -> tuple[Frame, ...]:
    family = config.split_list if root in paths else None
    corpus = open_corpus(root, "val", split_list=family)
    frames = tuple(corpus.read(ref) for ref in corpus.frames)
    if not frames or any(frame.mask is None for frame in frames):
        raise SourceError(f"{root}: has no labelled validation frames; give --validation DIR, or set data.split=trainval")
    return frames


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
