"""What a card can be made of: stores, and folders of frames whose test list stays closed.

A folder with lists gives the frames of one split, ``trainval`` unless told otherwise, never those of its test list; a folder
without lists gives all its frames. Test frames are told by their ids: they are not decoded, so a copy of one under another id
is not seen here (``audit`` finds it).

Links say which frames must stay on one side of a classifier's folds: frames that share any link belong together. A store's
samples are linked by their source frame, by its pixels, by the plate behind it (manifest ``sources``) and by their rendered
sequence; a folder's frames by their pixels, their id as a plate, and their sequence. Near duplicates are added later, from
thumbnails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from synth.corpora import Corpus, FrameRef, MaskScale, open_training_part
from synth.errors import LeakageError, SourceError
from synth.rng import Stream, keyed_generator
from synth.sample import Frame
from synth.store import Store, open_store

SUBSET_INDEX = 0
"""Index of the generator that draws a subset of frames."""
SPLITS = ("train", "val", "trainval")
"""Splits a card may read."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One frame with what ties it to others.

    Attributes:
        frame: Its levels, and its mask or None when unlabelled; padding cut off.
        links: Frames that share one of these belong to one group.
        painted: Whether its background is procedural: no image file and no plate behind it.
    """

    frame: Frame
    links: tuple[str, ...]
    painted: bool


@dataclass(frozen=True, slots=True, eq=False)
class FrameSet:
    """Frames a card is made of; nothing is decoded until read.

    Attributes:
        name: Short name.
        about: What it is, for the reader.
        split: Split of the lists it is restricted to, or None without lists.
        num_found: Frames there are.
        num_bytes: Bytes of the image files.
        reads: One function a frame used, in order of their ids.
    """

    name: str
    about: str
    split: str | None
    num_found: int
    num_bytes: int
    reads: tuple[Callable[[], SourceFrame], ...]

    def __len__(self) -> int:
        """Return the number of frames used."""
        return len(self.reads)

    def subset(self, max_frames: int, seed: int) -> FrameSet:
        """Return the set cut down to a number of frames, drawn without replacement.

        Args:
            max_frames: Most frames to keep, >= 1.
            seed: Seed of the draw.
        """
        if len(self) <= max_frames:
            return self
        rng = keyed_generator(seed, Stream.CENSUS, SUBSET_INDEX)
        chosen = np.sort(rng.permutation(len(self))[:max_frames])
        return replace(self, reads=tuple(self.reads[number] for number in chosen))


def store_frames(path: Path, name: str | None = None) -> FrameSet:
    """Return the samples of a store.

    Args:
        path: The ``.zarr`` folder.
        name: Short name; the folder's by default.

    Raises:
        RefusalError: It is no finished store.
    """
    store = open_store(path)
    origin_of = _store_origins(store)
    labelled, valid_hw = store.column("sample/labelled"), store.column("sample/valid_hw")

    def read(index: int) -> SourceFrame:
        """Return a frame without its padding, with what it comes from."""
        rows, cols = valid_hw[index].tolist()
        levels = np.ascontiguousarray(store.images([index])[0][:rows, :cols])
        mask = np.ascontiguousarray(store.masks([index])[0][:rows, :cols]) if labelled[index] else None
        frame = Frame(f"sample-{index:06d}", levels, int(np.iinfo(levels.dtype).max), mask)
        return SourceFrame(frame, *origin_of(index))

    recipe, content_hash = store.manifest["recipe"]["name"], store.manifest["content_hash"]
    return FrameSet(
        name=name or path.resolve().name,
        about=f"store, recipe {recipe}, content hash {content_hash[:12]}",
        split=None,
        num_found=len(store),
        num_bytes=sum(file.stat().st_size for file in (store.path / "image").rglob("*") if file.is_file()),
        reads=tuple(partial(read, index) for index in range(len(store))),
    )


def folder_frames(
    path: Path,
    split: str = "trainval",
    name: str | None = None,
    *,
    layout: str | None = None,
    split_list: str | None = None,
    mask_scale: MaskScale = "strict",
    max_level: int | None = None,
) -> FrameSet:
    """Return the frames of a folder: those of one split where it has lists, else all.

    Args:
        path: Root folder of a data set.
        split: ``train``, ``val`` or ``trainval``; without lists it has no effect.
        name: Short name; the folder's by default.
        layout: Name of a layout, or None to detect it.
        split_list: Family of lists, or None for the official one.
        mask_scale: How mask levels are read, see :func:`synth.corpora.open_corpus`.
        max_level: Level that stands for 1.0 in 16-bit files, or None for 65535, see there.

    Raises:
        LeakageError: A test split was asked for, or lists are there and none is official or named.
        SourceError: The folder cannot be used.
    """
    check_split(split)
    corpus = open_training_part(
        path, split, what="folder", list_key="--split-list", split_list=split_list, layout=layout, mask_scale=mask_scale,
        max_level=max_level,
    )  # fmt: skip
    if not corpus.frames:
        raise SourceError(f"folder {path}: holds no frame; give the root folder of a data set")
    lists = f"lists {corpus.split_list}, split {split}" if corpus.split_list else "no lists"
    return FrameSet(
        name=name or corpus.root.name,
        about=f"folder, layout {corpus.layout}, {lists}",
        split=split if corpus.split_list else None,
        num_found=len(corpus),
        num_bytes=sum((corpus.root / ref.image).stat().st_size for ref in corpus.frames),
        reads=tuple(partial(_read_frame, corpus, ref) for ref in corpus.frames),
    )


def check_split(split: str) -> None:
    """Refuse a split that a card must not read.

    Raises:
        LeakageError: It is none of :data:`SPLITS`.
    """
    if split not in SPLITS:
        raise LeakageError(f"--split must be one of {', '.join(SPLITS)} (test lists are never read), got {split}")


def _read_frame(corpus: Corpus, ref: FrameRef) -> SourceFrame:
    frame, hashes = corpus.read_hashed(ref)
    links = [f"pixels:{hashes.pixels_sha256}", f"plate:{ref.id}"]
    if ref.sequence:
        links.append(f"sequence:{corpus.root}/{ref.sequence}")
    return SourceFrame(frame, tuple(links), painted=False)


def _store_origins(store: Store) -> Callable[[int], tuple[tuple[str, ...], bool]]:
    """Return what tells the links of a sample, and whether its background is painted."""
    root, sources, recipe = store.path.resolve(), store.manifest["sources"], store.manifest["recipe"]
    frames, plates = sources["frames"], sources.get("plates", ())
    codes, sequences = store.column("sample/source"), store.column("sample/sequence_id")
    plate_codes = store.column("sample/plate") if "sample/plate" in store.manifest["arrays"] else np.full(len(store), -1)
    # copies mixed from scenes do not say which plate is behind them: all of them belong together
    is_vague = bool(frames) and recipe["source"].get("plates") is not None

    def origin(index: int) -> tuple[tuple[str, ...], bool]:
        """Return the names that a sample shares with its relatives, and whether all of it was rendered."""
        code, plate = int(codes[index]), int(plate_codes[index])
        links = [f"source:{root}:{code}"]
        if sequences[index] >= 0:
            links.append(f"sequence:{root}:{sequences[index]}")
        if frames and frames[code]["image"]:
            links += [f"pixels:{frames[code]['pixels_sha256']}", f"plate:{frames[code]['id']}"]
        if plate >= 0 or is_vague:
            links.append(f"plates:{root}" if is_vague else f"plate:{plates[plate]['id']}")
        return tuple(links), recipe["source"]["kind"] == "scenes" and plate < 0 and not is_vague

    return origin
