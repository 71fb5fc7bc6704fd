"""``open_training_part``: the part of a folder that may be learnt from, the same for sources of noise, plates and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synth.corpora.corpus import Corpus, open_corpus
from synth.errors import LeakageError, SourceError


def open_training_part(
    path: str | Path,
    split: str | None,
    *,
    what: str,
    list_key: str,
    split_key: str = "split",
    split_list: str | None = None,
    **reading: Any,
) -> Corpus:
    """Open a folder at a split where it has lists, whole where it has none.

    Args:
        path: Root folder of a data set.
        split: Split of the lists in use; without lists it has no effect.
        what: What the folder is to its user, for messages ("plates.path").
        list_key: Key or option that names a family of lists, for messages.
        split_key: Key or option that names the split, for messages.
        split_list: Family of lists to use, or None for the official one.
        reading: Further arguments of :func:`synth.corpora.open_corpus`.

    Raises:
        LeakageError: There are lists, but none is official or named: nothing tells the test frames.
        SourceError: There are lists and no split is named, or the folder cannot be used.
    """
    whole = open_corpus(path, split_list=split_list, **reading)
    require_known_tests(whole, what=what, list_key=list_key)
    if whole.split_list is None:
        return whole
    if split is None:
        raise SourceError(f"{what} {path}: has lists; {split_key} must be train or trainval, got null")
    return open_corpus(path, split, split_list=whole.split_list, **reading)


def require_known_tests(corpus: Corpus, *, what: str, list_key: str) -> None:
    """Refuse a folder with lists of which none is in use.

    Args:
        corpus: The folder.
        what: What it is to its user, for messages.
        list_key: Key or option that names a family of lists, for messages.

    Raises:
        LeakageError: It has lists, but none is official or named.
    """
    if corpus.list_names and corpus.split_list is None:
        raise LeakageError(
            f"{what} {corpus.root}: has lists {', '.join(corpus.list_names)} but no official one, so nothing tells its test "
            f"frames; name one of its lists as {list_key}"
        )
