"""The files of a tree -> frame references. Nothing is decoded here: names are listed, checked and matched.

Ids are file names without extension; frames in sub-folders of an images-only corpus are called ``<sub-folder>_<name>``,
because sequences usually number their frames alike. A mask is called like its image, or like it plus ``_pixels0``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from synth.corpora.layouts import IMAGE_SUFFIXES, ImageFolder, is_skipped, shorten
from synth.errors import SourceError

_LOG = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_MASK_SUFFIX = "_pixels0"


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One frame of a corpus: where its files are.

    Attributes:
        id: Id of the frame, unique in its corpus whatever the letter case.
        image: Image file, posix path relative to the root.
        mask: Mask file, posix path relative to the root, or None when there is none.
        sequence: Sub-folder of an images-only corpus the frame lies in, else "".
    """

    id: str
    image: str
    mask: str | None
    sequence: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All frames of a tree.

    Attributes:
        frames: Every frame found, sorted by id.
        parts: For trees whose folders are splits: folder split -> ids; else empty.
        target_free: Ids of frames without mask file that the publisher declares free of targets.
        labelled: Whether the layout has masks.
    """

    frames: tuple[FrameRef, ...]
    parts: dict[str, tuple[str, ...]]
    target_free: frozenset[str]
    labelled: bool


def is_id(text: str) -> bool:
    """Tell whether ``text`` can be the id of a frame: letters, digits, ``_``, ``-``, ``.``, not starting with a dot."""
    return _ID.fullmatch(text) is not None


def strip_suffix(name: str) -> str:
    """Return a file name without its extension, if that is one of an image."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def build_catalog(root: Path, folders: Iterable[ImageFolder]) -> Catalog:
    """List and match the images and masks of a tree.

    Args:
        root: Resolved root folder.
        folders: Existing folders of the layout.

    Raises:
        SourceError: No image, bad or duplicate names, or a link that leaves the root.
    """
    folders = tuple(folders)
    masks = {folder.masks: _masks_of(root, folder.masks) for folder in folders if folder.masks is not None}
    frames: list[FrameRef] = []
    parts: dict[str, tuple[str, ...]] = {}
    target_free: set[str] = set()
    for folder in folders:
        found = list(_frames_of(root, folder, masks.get(folder.masks or "", {})))
        frames += found
        if folder.part:
            parts[folder.part] = tuple(ref.id for ref in found)
        if folder.target_free:
            target_free |= {ref.id for ref in found if ref.mask is None}
    if not frames:
        raise SourceError(
            f"folder {root}: no image in {shorten(folder.images for folder in folders)};"
            f" put files ending in {', '.join(IMAGE_SUFFIXES)} there"
        )
    _check_ids(root, frames)
    orphans = {path for group in masks.values() for path in group.values()} - {ref.mask for ref in frames}
    if orphans:
        _LOG.warning("%d masks of %s have no image and are ignored: %s", len(orphans), root, shorten(sorted(orphans)))
    return Catalog(tuple(sorted(frames, key=lambda ref: ref.id)), parts, frozenset(target_free), bool(masks))


def check_inside(root: Path, path: Path) -> None:
    """Refuse a path whose links lead out of the root.

    Raises:
        SourceError: It does.
    """
    if not path.resolve().is_relative_to(root):
        raise SourceError(f"path {path}: is a link that leaves {root}; copy the file into the folder")


def _frames_of(root: Path, folder: ImageFolder, masks: dict[str, str]) -> Iterator[FrameRef]:
    for path, sequence in _image_files(root, root / folder.images, may_nest=folder.masks is None):
        name = strip_suffix(path.name)
        frame_id = f"{sequence}_{name}" if sequence else name
        yield FrameRef(frame_id, path.relative_to(root).as_posix(), masks.get(name), sequence)


def _masks_of(root: Path, folder: str) -> dict[str, str]:
    """Return image name -> mask path relative to the root."""
    masks: dict[str, str] = {}
    for path, _ in _image_files(root, root / folder, may_nest=False):
        name = strip_suffix(path.name).removesuffix(_MASK_SUFFIX)
        relative = path.relative_to(root).as_posix()
        if name in masks:
            raise SourceError(f"masks of {root}: {masks[name]} and {relative} belong to one image; remove one of them")
        masks[name] = relative
    return masks


def _image_files(root: Path, folder: Path, *, may_nest: bool) -> Iterator[tuple[Path, str]]:
    """Yield the image files of a folder with their sub-folder, or "" for those directly in it, in name order."""
    check_inside(root, folder)
    for path in sorted(folder.iterdir()):
        if is_skipped(path.name):
            continue
        if path.is_symlink():
            check_inside(root, path)
        if path.is_dir():
            if may_nest:
                yield from ((child, path.name) for child, _ in _image_files(root, path, may_nest=False))
            elif folder != root and any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.rglob("*.*")):
                raise SourceError(f"folder {path}: holds images deeper than this layout reads; move them up")
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path, ""


def _check_ids(root: Path, frames: Iterable[FrameRef]) -> None:
    bad: list[str] = []
    twins: list[str] = []
    seen: dict[str, FrameRef] = {}
    for ref in frames:
        if not is_id(ref.id):
            bad.append(ref.image)
        if (first := seen.setdefault(ref.id.lower(), ref)) is not ref:
            twins.append(f"{first.image} = {ref.image}")
    if bad:
        raise SourceError(
            f"image names of {root}: {len(bad)} have characters other than A-Z a-z 0-9 _ . - ({shorten(bad)}); rename them"
        )
    if twins:
        raise SourceError(
            f"image names of {root}: {len(twins)} ids occur twice, letter case ignored ({shorten(twins)});"
            " rename or remove one of each"
        )
