"""The folder trees we read, one declaration each. A new layout is a new row of ``LAYOUTS`` and nothing else.

Sources of the rows: open-sirst-v2 (Dai et al., WACV 2021), the trees that the released loaders of DNANet (Li et al.,
TIP 2022), BasicIRSTD, AGPCNet, MSDA-Net and IRSAM read, and IRSTD-1k (ISNet, CVPR 2022).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from synth.errors import SourceError

IMAGE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
_LOOKS_LIKE_LABELS = re.compile(r"mask|label|annot|ground.?truth|^gts?$|_gt$|bbox", re.IGNORECASE)
_SKIPPED = ("__macosx", "thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One folder of frames and where their masks are.

    Attributes:
        images: Folder of the images, relative to the root.
        masks: Folder of the masks, or None when the frames are unlabelled.
        part: Split that the folder itself stands for ("trainval", "test", ...), or "" when lists decide.
        target_free: The publisher declares these frames free of targets: a missing mask file means an empty mask.
    """

    images: str
    masks: str | None
    part: str = ""
    target_free: bool = False


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """One known tree.

    Attributes:
        name: What ``open_corpus(layout=...)`` calls it.
        alternatives: Sets of folders; the first set of which any folder exists is read.
        official_lists: List families to prefer, best first, when none is asked for.
        needs_lists: Only detected where a train or test list is found.
        shown: The tree in a few words, for messages.
    """

    name: str
    alternatives: tuple[tuple[ImageFolder, ...], ...]
    shown: str
    official_lists: tuple[str, ...] = ()
    needs_lists: bool = False

    def folders(self, root: Path) -> tuple[ImageFolder, ...]:
        """Return the folders of this layout that exist under ``root``; empty when the layout does not fit."""
        for folders in self.alternatives:
            found = tuple(folder for folder in folders if (root / folder.images).is_dir())
            if found and all(folder.masks is None or (root / folder.masks).is_dir() for folder in found):
                return found
        return ()


def _parts(images: str, masks: str) -> tuple[tuple[ImageFolder, ...], ...]:
    """Return a tree whose folders are the splits: trainval + test, or train (+ val) + test."""
    parts = ("trainval", "train", "val", "test")
    return (tuple(ImageFolder(images.format(part=part), masks.format(part=part), part) for part in parts),)


_SIRST_MASKS = "annotations/masks"
_PAIR_NAMES = (("images", "masks"), ("image", "mask"), ("img", "mask"), ("images", "labels"))
_PAIRS = tuple((ImageFolder(images, masks),) for images, masks in _PAIR_NAMES)

LAYOUTS: tuple[LayoutSpec, ...] = (
    LayoutSpec(
        "sirst_v1",
        (
            (
                ImageFolder("images/targets", _SIRST_MASKS),
                ImageFolder("images/backgrounds", _SIRST_MASKS, target_free=True),
            ),
            (ImageFolder("mixed", _SIRST_MASKS),),
        ),
        "images/targets or mixed, annotations/masks, splits/*.txt",
        official_lists=("v1", "v2"),
    ),
    LayoutSpec(
        "nudt",
        ((ImageFolder("images", "masks"),),),
        "images, masks, 50_50 or img_idx or train/test lists",
        official_lists=("50_50",),
        needs_lists=True,
    ),
    LayoutSpec("irstd_1k", ((ImageFolder("IRSTD1k_Img", "IRSTD1k_Label"),),), "IRSTD1k_Img, IRSTD1k_Label"),
    LayoutSpec("agpcnet", _parts("{part}/images", "{part}/masks"), "trainval/{images,masks}, test/{images,masks}"),
    LayoutSpec("msda_net", _parts("{part}/image", "{part}/mask"), "train/{image,mask}, test/{image,mask}"),
    LayoutSpec("irsam", _parts("{part}_images", "{part}_masks"), "train_images, train_masks, test_images, test_masks"),
    LayoutSpec("pairs", _PAIRS, "images, masks"),
    LayoutSpec("images", ((ImageFolder("images", None),), (ImageFolder(".", None),)), "images, or frames in the folder"),
)


def layout_named(name: str) -> LayoutSpec:
    """Return the layout called ``name``.

    Raises:
        SourceError: No layout has that name.
    """
    for spec in LAYOUTS:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in LAYOUTS)
    raise SourceError(f"layout {name!r}: not known; choose one of {known}")


def detect_layout(root: Path, *, has_lists: bool) -> LayoutSpec:
    """Return the first layout of ``LAYOUTS`` that fits the tree under ``root``.

    Args:
        root: Existing folder.
        has_lists: Whether train or test lists were found in it.

    Raises:
        SourceError: No layout fits, or the only fit would take masks for frames.
    """
    for spec in LAYOUTS[:-1]:
        if spec.folders(root) and (has_lists or not spec.needs_lists):
            return spec
    images_only = LAYOUTS[-1]
    names = [entry.name for entry in sorted(root.iterdir()) if not is_skipped(entry.name)]
    labels = [name for name in names if _LOOKS_LIKE_LABELS.search(name) and (root / name).is_dir()]
    if labels:
        raise SourceError(
            f"layout of {root}: {shorten(labels)} looks like labels, but no known layout fits; arrange it as"
            f" images + masks, or name one of {', '.join(spec.name for spec in LAYOUTS)}"
        )
    if (root / "images").is_dir() or any(_may_hold_frames(root / name) for name in names):
        return images_only
    trees = "; ".join(f"{spec.name} ({spec.shown})" for spec in LAYOUTS)
    raise SourceError(f"layout of {root}: no frames found (it holds {shorten(names)}); known layouts: {trees}")


def is_skipped(name: str) -> bool:
    """Tell whether a file or folder name is archive or desktop junk (dot names, ``__MACOSX``)."""
    return name.startswith(".") or name.lower() in _SKIPPED


def shorten(names: Iterable[str], num_shown: int = 3) -> str:
    """Return the first names of a list for a one-line message, with the count of the others."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:num_shown])
    others = len(names) - num_shown
    return (shown + (f" and {others} more" if others > 0 else "")) or "nothing"


def _may_hold_frames(path: Path) -> bool:
    if path.is_dir():
        return any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.iterdir() if not is_skipped(child.name))
    return path.suffix.lower() in IMAGE_SUFFIXES
