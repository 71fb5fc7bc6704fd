"""``open_corpus``: a folder of real frames as a sequence of frames or samples.

Opening lists and matches names only; files are decoded one by one, when read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synth.corpora.catalog import Catalog, FrameRef, build_catalog, check_inside
from synth.corpora.decode import FileHashes, MaskScale, decode_levels, decode_mask, hash_pixels, read_bytes
from synth.corpora.families import (
    FOLDER_FAMILY,
    ListFamily,
    ListFiles,
    choose_family,
    find_lists,
    folder_family,
    read_family,
)
from synth.corpora.layouts import detect_layout, layout_named, shorten
from synth.corpora.splits import Split, as_split, has_validation, split_ids
from synth.errors import NoListsError, SourceError
from synth.sample import Frame, Levels, MaskLevels, Provenance, Sample

_LOG = logging.getLogger(__name__)


def open_corpus(
    path: str | Path,
    split: str | None = None,
    *,
    layout: str | None = None,
    split_list: str | None = None,
    max_level: int | None = None,
    mask_scale: MaskScale = "strict",
    require_masks: bool = True,
) -> Corpus:
    """Open a folder of real frames.

    Args:
        path: Root folder of the data set.
        split: ``train``, ``val``, ``trainval`` or ``test`` of the lists in use; None for every frame found.
        layout: Name of a layout of ``LAYOUTS``, or None to detect it.
        split_list: Family of lists to use ("nuaa_213_214", ...), or None for the official one.
        max_level: Level that stands for 1.0 in 16-bit files (16383 for 14-bit data), or None for 65535.
        mask_scale: How mask levels are read: ``strict`` (0/255), ``auto`` (also 0/1), ``index`` (also palettes).
        require_masks: Whether a labelled layout with a frame without mask is refused; False to read single frames again.

    Raises:
        SourceError: The folder, its lists or its file names cannot be used; the message says what to do.
    """
    root = _checked_root(path)
    if max_level is not None and not 1 <= max_level <= 65535:
        raise SourceError(f"max_level of {root}: must be in 1..65535, got {max_level}; give the sensor's highest level")
    if mask_scale not in ("strict", "auto", "index"):
        raise SourceError(f"mask_scale of {root}: must be strict, auto or index, got {mask_scale!r}; choose one")
    list_files = find_lists(root)
    spec = layout_named(layout) if layout is not None else detect_layout(root, has_lists=bool(list_files))
    folders = spec.folders(root)
    if not folders:
        raise SourceError(f"folder {root}: is no {spec.name!r} tree, which holds {spec.shown}; correct layout or folder")
    catalog = build_catalog(root, folders)
    names = ((FOLDER_FAMILY,) if catalog.parts else ()) + tuple(lists.name for lists in list_files)
    family = choose_family(root, names, spec.official_lists, split_list)
    return Corpus(
        root=root,
        layout=spec.name,
        catalog=catalog,
        lists=list_files,
        split=None if split is None else as_split(split),
        split_list=family,
        max_level=max_level,
        mask_scale=mask_scale,
        require_masks=require_masks,
    )


class Corpus:
    """Frames of one data set, or of one split of it.

    Attributes:
        root: Root folder, resolved.
        layout: Name of its layout.
        split: Split it was opened with, or None for every frame found.
        split_list: Family of lists in use, or None when there are none or several and none is official or named.
        frames: References of its frames, sorted by id.
        mask_scale: How mask levels are read.
    """

    def __init__(
        self,
        *,
        root: Path,
        layout: str,
        catalog: Catalog,
        lists: tuple[ListFiles, ...],
        split: Split | None,
        split_list: str | None,
        max_level: int | None,
        mask_scale: MaskScale,
        require_masks: bool,
    ) -> None:
        """Join the parts that :func:`open_corpus` found."""
        self.root = root
        self.layout = layout
        self.split = split
        self.split_list = split_list
        self.mask_scale: MaskScale = mask_scale
        self._max_level = max_level
        self._catalog = catalog
        self._lists = {entry.name: entry for entry in lists}
        self._families: dict[str, ListFamily] = {}
        self._warned_of_levels = False
        self._by_id = {ref.id: ref for ref in catalog.frames}
        self.frames = catalog.frames if split is None else self._refs_of(split)
        if require_masks:
            self._check_masks()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    def __iter__(self) -> Iterator[Sample]:
        """Yield every frame as a sample at native size."""
        for index, ref in enumerate(self.frames):
            yield self._sample(self.read(ref), index)

    def read(self, ref: FrameRef) -> Frame:
        """Decode one frame.

        Raises:
            SourceError: A file is missing, damaged, or breaks a rule of the mask.
        """
        return self.read_hashed(ref)[0]

    def read_hashed(self, ref: FrameRef) -> tuple[Frame, FileHashes]:
        """Decode one frame and hash exactly the bytes that were decoded; each file is read once.

        Raises:
            SourceError: A file is missing, damaged, or breaks a rule of the mask.
        """
        image_path = self._path(ref.image)
        image_bytes = read_bytes(image_path)
        levels = decode_levels(image_bytes, image_path)
        mask, mask_sha256 = self._read_mask(ref, levels)
        frame = Frame(ref.id, levels, self._max_level_of(levels, image_path), mask)
        return frame, FileHashes(hashlib.sha256(image_bytes).hexdigest(), mask_sha256, hash_pixels(levels))

    def ids_of(self, split: Split) -> frozenset[str]:
        """Return the ids of a split of the lists in use, whatever split this corpus was opened with.

        Raises:
            SourceError: There are no lists, or they do not define the split.
        """
        if self.split_list is None:
            if not self._lists:
                raise NoListsError(
                    f"split {split!r} of {self.root}: found no lists; put train.txt, val.txt and test.txt (one id a line) there"
                )
            found = ", ".join(self._lists)
            raise SourceError(f"split {split!r} of {self.root}: no official list, found {found}; set split_list to one of them")
        return split_ids(self._family(self.split_list), split)

    @property
    def list_names(self) -> tuple[str, ...]:
        """The families of lists found, whether in use or not."""
        folders = (FOLDER_FAMILY,) if self._catalog.parts else ()
        return (*folders, *(name for name in self._lists if name not in folders))

    def test_frames(self) -> tuple[FrameRef, ...]:
        """Return the frames of the test list in use; empty when there is none."""
        if self.split_list is None or "test" not in self._family(self.split_list).ids:
            return ()
        return self._refs_of("test")

    def parts(self) -> dict[str, tuple[FrameRef, ...]]:
        """Return this folder's frames by split: train and val (or trainval), test, and those that no list in use names.

        Frames of lists whose images are missing are left out; a corpus without lists has the one part "all".

        Raises:
            SourceError: A list cannot be used.
        """
        if self.split_list is None:
            return {"all": self._catalog.frames}
        family = self._family(self.split_list)
        splits: list[Split] = ["train", "val"] if has_validation(family) else []
        if not splits and family.ids.keys() & {"train", "trainval"}:
            splits = ["trainval"]
        splits += ["test"] if "test" in family.ids else []
        ids = {str(split): split_ids(family, split) for split in splits}
        ids["unlisted"] = frozenset(self._by_id).difference(*ids.values())
        found = {part: tuple(self._by_id[name] for name in sorted(names & self._by_id.keys())) for part, names in ids.items()}
        return {part: refs for part, refs in found.items() if refs}

    def foreign_test_ids(self) -> frozenset[str]:
        """Return the ids of this corpus' frames that are test only in some other published list of its folder."""
        own = frozenset(ref.id for ref in self.test_frames())
        others = [name for name in self._lists if name != self.split_list]
        foreign = frozenset[str]().union(*(self._family(name).ids.get("test", ()) for name in others))
        return frozenset(ref.id for ref in self.frames) & foreign - own

    def _family(self, name: str) -> ListFamily:
        """Read a family of lists when it is first needed."""
        if name not in self._families:
            folders = name == FOLDER_FAMILY and bool(self._catalog.parts)
            self._families[name] = (
                folder_family(self.root, self._catalog.parts) if folders else read_family(self.root, self._lists[name])
            )
        return self._families[name]

    def _refs_of(self, split: Split) -> tuple[FrameRef, ...]:
        ids = self.ids_of(split)
        missing = sorted(ids - self._by_id.keys())
        if missing:
            raise SourceError(
                f"split {split!r} ({self.split_list}) of {self.root}: {len(missing)} of {len(ids)} listed ids have no"
                f" image ({shorten(missing)}); restore the files or correct the list"
            )
        return tuple(self._by_id[name] for name in sorted(ids))

    def _check_masks(self) -> None:
        if not self._catalog.labelled:
            return
        bare = [ref.id for ref in self.frames if ref.mask is None and ref.id not in self._catalog.target_free]
        if bare:
            raise SourceError(
                f"masks of {self.root}: {len(bare)} of {len(self.frames)} images have none ({shorten(bare)});"
                " add them (all 0 for a frame without target), or keep unlabelled images in a folder of their own"
            )

    def _path(self, relative: str) -> Path:
        path = self.root / relative
        check_inside(self.root, path)
        return path

    def _read_mask(self, ref: FrameRef, levels: Levels) -> tuple[MaskLevels | None, str | None]:
        if ref.mask is None:
            return (np.zeros(levels.shape, np.uint8) if ref.id in self._catalog.target_free else None), None
        path = self._path(ref.mask)
        data = read_bytes(path)
        mask, num_between = decode_mask(data, path, self.mask_scale)
        if mask.shape != levels.shape:
            raise SourceError(
                f"mask {path}: is {mask.shape[0]}x{mask.shape[1]} px (rows x columns) but its image is"
                f" {levels.shape[0]}x{levels.shape[1]}; take the mask that belongs to this image"
            )
        if num_between and not self._warned_of_levels:
            self._warned_of_levels = True
            _LOG.warning(
                "mask %s has %d pixels between no target and target, cut at half scale (other masks not named)",
                path,
                num_between,
            )
        return mask, hashlib.sha256(data).hexdigest()

    def _max_level_of(self, levels: Levels, path: Path) -> int:
        if levels.dtype == np.uint8:
            return 255
        top = 65535 if self._max_level is None else self._max_level
        highest = int(levels.max())
        if highest > top:
            raise SourceError(f"image {path}: holds level {highest}, above max_level {top}; raise max_level")
        return top

    @staticmethod
    def _sample(frame: Frame, index: int) -> Sample:
        from synth.targets import measure_targets

        targets = () if frame.mask is None else measure_targets(frame.levels, frame.mask, max_level=frame.max_level)
        return Sample(
            image=frame.image(),
            mask=None if frame.mask is None else frame.mask.astype(bool),
            targets=targets,
            provenance=Provenance(parent_ids=(frame.id,), index=index),
            bit_depth=frame.bit_depth,
            valid_hw=frame.hw,
        )


def _checked_root(path: str | Path) -> Path:
    root = Path(path)
    if not root.exists():
        raise SourceError(f"folder {root}: does not exist; give the root folder of a data set")
    if not root.is_dir():
        raise SourceError(f"folder {root}: is a file; give the root folder of a data set")
    return root.resolve()
