"""List files, one id a line, and the validation lists that ship with the package."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from synth.corpora.catalog import check_inside, is_id, strip_suffix
from synth.corpora.layouts import shorten
from synth.errors import SourceError, VerificationError

_MAX_LIST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class CommittedVal:
    """A validation list that ships with the package.

    Attributes:
        file: Name in ``synth/corpora/lists``.
        sha256: sha256 of the file.
    """

    file: str
    sha256: str


COMMITTED_VALS: Mapping[str, CommittedVal] = {
    "b6c9aef946654997f763fbfddb5bdffe7595701c2ef5bfa96fad90c2b5239e45": CommittedVal(
        "nudt_50_50_val.txt", "1b02ad136ac28c73266163998d03adf2723c85a4fda25ba2fdfc56e4799b7cbb"
    ),
}
"""Identity of a train list (:func:`hash_ids`) -> its validation list. Bound by content: a renamed folder or list finds
it and another data set never does. NUDT-SIRST: made from the 663 training frames of the 50_50 lists by
``python -m pipelines.audit DIR --make-val 133 --seed 0``."""


def read_list(path: Path, *, root: Path) -> tuple[str, ...]:
    """Return the ids of a list file: one a line, with or without extension, any line ending, blank lines skipped.

    Args:
        path: List file.
        root: Resolved folder that links must not leave.

    Raises:
        SourceError: The file is unreadable, empty, holds something that is no id, or an id twice.
    """
    check_inside(root, path)
    try:
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise SourceError(f"list {path}: is larger than {_MAX_LIST_BYTES} bytes; give one id a line")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(f"list {path}: cannot be read ({error.strerror}); give a text file of ids, one a line") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"list {path}: cannot be read as text ({type(error).__name__}); save it as UTF-8") from error
    ids = tuple(strip_suffix(line.strip()) for line in text.splitlines() if line.strip())
    if not ids:
        raise SourceError(f"list {path}: holds no id; fill or remove it")
    bad = [name for name in ids if not is_id(name)]
    if bad:
        raise SourceError(
            f"list {path}: {len(bad)} lines are no frame ids ({shorten(bad)});"
            " give one id a line, of A-Z a-z 0-9 _ . - and without folders"
        )
    twice = [name for name, count in Counter(name.lower() for name in ids).items() if count > 1]
    if twice:
        raise SourceError(f"list {path}: {len(twice)} ids occur twice ({shorten(twice)}); remove the repetitions")
    return ids


def committed_val(train_ids: Iterable[str]) -> tuple[str, ...] | None:
    """Return the shipped validation list that belongs to exactly these training ids, or None.

    Args:
        train_ids: Whole train list as published, in any order.

    Raises:
        VerificationError: The shipped file is not the one this version was released with.
    """
    entry = COMMITTED_VALS.get(hash_ids(train_ids))
    if entry is None:
        return None
    data = resources.files("synth.corpora").joinpath("lists", entry.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise VerificationError(f"validation list {entry.file}: is not the released one; install the package again")
    return tuple(data.decode("ascii").split())


def hash_ids(ids: Iterable[str]) -> str:
    """Return the sha256 of the sorted ids, one a line: the identity of a list whatever its order and file format."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
