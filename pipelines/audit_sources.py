"""What can be audited: folders of real frames, and stores made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synth.corpora import Corpus, FrameRef
from synth.corpora.decode import hash_pixels
from synth.sample import Frame
from synth.store import open_store

STORE_PART = "all"
"""The one part of a store: it has no splits."""


@dataclass(frozen=True, slots=True)
class AuditSource:
    """Something whose frames can be audited.

    Attributes:
        name: Unique short name.
        about: What it is, for the reader.
        parts: Split -> ids of its frames; none is empty.
        num_bytes: Bytes of its image files.
        read: Id -> its frame and the sha256 of its pixels.
    """

    name: str
    about: str
    parts: Mapping[str, tuple[str, ...]]
    num_bytes: int
    read: Callable[[str], tuple[Frame, str]]


def corpus_source(corpus: Corpus, name: str, parts: Mapping[str, Sequence[FrameRef]]) -> AuditSource:
    """Return a folder of real frames as a source.

    Args:
        corpus: The folder.
        name: Unique short name.
        parts: Split -> its frames.
    """
    refs = {ref.id: ref for members in parts.values() for ref in members}

    def read(frame_id: str) -> tuple[Frame, str]:
        frame, hashes = corpus.read_hashed(refs[frame_id])
        return frame, hashes.pixels_sha256

    lists = f"lists {corpus.split_list}" if corpus.split_list else "no lists in use"
    return AuditSource(
        name=name,
        about=f"{corpus.root} ({corpus.layout}, {lists})",
        parts={part: tuple(ref.id for ref in members) for part, members in parts.items()},
        num_bytes=sum((corpus.root / ref.image).stat().st_size for ref in refs.values()),
        read=read,
    )


def store_source(path: Path, name: str) -> AuditSource:
    """Return a store as a source; its frames are named ``sample-<index>``.

    Args:
        path: The ``.zarr`` folder.
        name: Unique short name.

    Raises:
        RefusalError: It is no finished store.
    """
    store = open_store(path)

    def read(frame_id: str) -> tuple[Frame, str]:
        """Return a frame without its padding, and the digest of its pixels."""
        index = int(frame_id.removeprefix("sample-"))
        rows, cols = store[index].valid_hw
        levels = np.ascontiguousarray(store.images([index])[0][:rows, :cols])
        mask = np.ascontiguousarray(store.masks([index])[0][:rows, :cols])
        return Frame(frame_id, levels, int(np.iinfo(levels.dtype).max), mask), hash_pixels(levels)

    recipe = store.manifest["recipe"]["name"]
    num_bytes = sum(file.stat().st_size for file in (path / "image" / "c").rglob("*") if file.is_file())
    return AuditSource(
        name=name,
        about=f"{path} (store, recipe {recipe}, content hash {store.manifest['content_hash'][:12]})",
        parts={STORE_PART: tuple(f"sample-{index:06d}" for index in range(len(store)))},
        num_bytes=num_bytes,
        read=read,
    )
