"""Families of lists: the train, val, trainval and test lists of one folder that belong together.

A family is named by the ending of its files (``splits/train_v1.txt``: ``v1``; ``img_idx/train_NUDT-SIRST.txt``:
``NUDT-SIRST``), else by their folder (``50_50/train.txt``: ``50_50``), else ``root``. In trees whose folders are the
splits the family is called ``folders``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synth.corpora.layouts import is_skipped, shorten
from synth.corpora.lists import read_list
from synth.errors import SourceError

FOLDER_FAMILY = "folders"
_LIST_NAME = re.compile(r"(train|val|trainval|test)(?:_(.+))?\.txt", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListFiles:
    """Where the lists of one family lie.

    Attributes:
        name: What ``open_corpus(split_list=...)`` calls it.
        files: Part (train, val, trainval, test) -> list file.
        val_path: Where its validation list lies or would lie.
    """

    name: str
    files: Mapping[str, Path]
    val_path: Path


@dataclass(frozen=True, slots=True)
class ListFamily:
    """The ids of one family.

    Attributes:
        name: Name of the family.
        ids: Part (train, val, trainval, test) -> ids, as published.
        val_path: Where its validation list lies or would lie, for messages.
    """

    name: str
    ids: Mapping[str, tuple[str, ...]]
    val_path: Path


def find_lists(root: Path) -> tuple[ListFiles, ...]:
    """Find the list files of a folder by name; nothing is read.

    They are looked for in the root, in its folders, and in the folders of ``splits``. A family needs more than a
    validation list.

    Args:
        root: Resolved root folder.
    """
    families: dict[str, ListFiles] = {}
    for folder in (root, *_subfolders(root), *_subfolders(root / "splits")):
        for suffix, files in _lists_in(folder).items():
            name = suffix or ("root" if folder == root else folder.name)
            if name in families:
                name = f"{folder.name}_{name}"
            if files.keys() - {"val"}:
                val_path = folder / (f"val_{suffix}.txt" if suffix else "val.txt")
                families[name] = ListFiles(name, files, val_path)
    return tuple(families.values())


def read_family(root: Path, lists: ListFiles) -> ListFamily:
    """Read and check the lists of one family.

    Args:
        root: Resolved root folder, which links must not leave.
        lists: Its files.

    Raises:
        SourceError: A list is unreadable, or lists share ids they must not share.
    """
    ids = {part: read_list(path, root=root) for part, path in lists.files.items()}
    family = ListFamily(lists.name, ids, lists.val_path)
    check_family(family)
    return family


def folder_family(root: Path, parts: Mapping[str, tuple[str, ...]]) -> ListFamily:
    """Return the family of a tree whose folders are the splits; ``val.txt`` in the root may cut a validation list.

    Args:
        root: Resolved root folder.
        parts: Part -> ids of its folder.

    Raises:
        SourceError: ``val.txt`` is unreadable or contradicts the folders.
    """
    val_path = root / "val.txt"
    listed = {"val": read_list(val_path, root=root)} if val_path.is_file() and "val" not in parts else {}
    family = ListFamily(FOLDER_FAMILY, {**parts, **listed}, val_path)
    check_family(family)
    return family


def check_family(family: ListFamily) -> None:
    """Refuse lists that share ids they must not share.

    Raises:
        SourceError: A test id is also a training or validation id, or train, val and trainval contradict each other.
    """
    ids = {part: frozenset(names) for part, names in family.ids.items()}
    for part in ("train", "val", "trainval"):
        _refuse_shared(family, part, "test", ids.get(part, frozenset()) & ids.get("test", frozenset()))
    train, val, trainval = (ids.get(part) for part in ("train", "val", "trainval"))
    if val is not None and train is not None and (trainval is not None or not val <= train):
        _refuse_shared(family, "train", "val", train & val)  # only a val list cut out of a lone train list may share
    if trainval is not None and not (train or frozenset()) | (val or frozenset()) <= trainval:
        raise SourceError(f"{_named(family)}: train and val are not parts of trainval; correct the lists")
    if trainval is not None and train is not None and val is not None and trainval != train | val:
        raise SourceError(f"{_named(family)}: trainval is more than train and val together; correct the lists")


def choose_family(root: Path, names: Sequence[str], official: Sequence[str], asked: str | None) -> str | None:
    """Return the name of the family in use, or None without lists or when several are equally official.

    Args:
        root: Root folder, for messages.
        names: Families found.
        official: Names to prefer, best first.
        asked: Name the caller asked for, or None.

    Raises:
        SourceError: The family asked for was not found.
    """
    if asked is not None and asked not in names:
        raise SourceError(f"split_list {asked!r} of {root}: not found; choose one of: {', '.join(names) or 'none'}")
    if asked is not None:
        return asked
    preferred = [name for name in (FOLDER_FAMILY, *official) if name in names]
    if preferred:
        return preferred[0]
    return names[0] if len(names) == 1 else None


def _lists_in(folder: Path) -> dict[str, dict[str, Path]]:
    """Return ending ("" without) -> part -> list file of one folder."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if (match := _LIST_NAME.fullmatch(path.name)) and not is_skipped(path.name):
            found.setdefault(match[2] or "", {})[match[1].lower()] = path
    return found


def _refuse_shared(family: ListFamily, part: str, other: str, shared: frozenset[str]) -> None:
    if shared:
        raise SourceError(
            f"{_named(family)}: {part} and {other} share {len(shared)} ids ({shorten(sorted(shared))});"
            " correct the lists or name another family as split_list"
        )


def _named(family: ListFamily) -> str:
    return f"lists {family.name!r} in {family.val_path.parent}"


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not is_skipped(path.name)]
