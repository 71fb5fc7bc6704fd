"""What reports are made of: folders, recognised by their files, and studies' files, read once with the hash of every file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synth.errors import RecipeError, RefusalError, SourceError

_RUN_FILES = ("test.json", "recipe.json", "env.json", "metrics.jsonl")
_PRETRAINING_FILES = ("result.json", "recipe.json", "metrics.jsonl")
_DETECTOR_FILES = ("evaluation.json", "scores.json", "*.png")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of folder.

    Attributes:
        name: What it is called.
        about: What it is, for messages.
        marks: Files that tell it.
        main: The file whose keys are checked.
        keys: Keys of that file.
        patterns: Files that are read.
    """

    name: str
    about: str
    marks: tuple[str, ...]
    main: str
    keys: tuple[str, ...]
    patterns: tuple[str, ...]


STUDY = Kind(
    "study",
    "a study of pipelines.scale",
    ("study.json",),
    "study.json",
    ("recipe", "groups"),
    (
        "study.json",
        *(f"runs/**/{name}" for name in _RUN_FILES),
        *(f"pretrained/**/{name}" for name in _PRETRAINING_FILES),
    ),
)
"""The kind that may also be given as its main file alone, under any name: so ``results/`` keeps studies."""
KINDS = (
    STUDY,
    Kind(
        "evaluation",
        "an evaluation",
        ("scores.json", "*/evaluation.json"),
        "scores.json",
        ("sets",),
        ("scores.json", *(f"{folder}/{name}" for folder in ("*", "*/other-*") for name in _DETECTOR_FILES)),
    ),
    Kind(
        "evaluation",
        "an evaluation of one detector",
        ("scores.json", "evaluation.json"),
        "scores.json",
        ("about", "scores"),
        _DETECTOR_FILES,
    ),
    Kind(
        "score",
        "an output of pipelines.score",
        ("scores.json",),
        "scores.json",
        ("inputs", "scores"),
        ("scores.json", "curves.csv", "targets.csv"),
    ),
    Kind("probe", "a probe", ("probe.json",), "probe.json", ("network", "data", "detection"), ("probe.json",)),
    Kind("card", "a realism card", ("census.json",), "census.json", ("subject",), ("census.json", "census.png")),
    Kind("audit", "a leakage audit", ("audit.json",), "audit.json", ("exposures", "groups"), ("audit.json", "pairs.png")),
    Kind(
        "run",
        "a training run",
        ("recipe.json", "env.json"),
        "recipe.json",
        ("recipe",),
        ("recipe.json", "env.json", "result.json", "metrics.jsonl", "views.png"),
    ),
)
"""All kinds, the order in which they are tried and shown."""


@dataclass(frozen=True, eq=False)
class Source:
    """One folder, read.

    Attributes:
        name: Name of the folder, longer where several have the same.
        kind: What it is.
        files: Path below the folder, with slashes -> content; every file the report may use, sorted.
    """

    name: str
    kind: Kind
    files: Mapping[str, bytes]

    @cached_property
    def content(self) -> dict[str, Any]:
        """The main file."""
        found: dict[str, Any] = self.json(self.kind.main)
        return found

    def json(self, path: str) -> Any:
        """Return a JSON file.

        Raises:
            SourceError: It is damaged.
        """
        try:
            return json.loads(self.files[path])
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{self.name}/{path}: is no JSON ({error}); make it again") from error

    def json_or(self, path: str, other: Any) -> Any:
        """Return a JSON file, or something else where there is none."""
        return self.json(path) if path in self.files else other

    def journal(self, path: str) -> list[dict[str, Any]]:
        """Return the lines of a journal; a last line that a stop cut off is left out."""
        found = []
        for line in self.files.get(path, b"").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [entry for entry in found if isinstance(entry, dict)]

    def paths(self, pattern: str) -> list[str]:
        """Return the files whose whole path matches a regular expression."""
        return [path for path in self.files if re.fullmatch(pattern, path)]

    def sha256(self, path: str) -> str:
        """Return the hash of a file."""
        return hashlib.sha256(self.files[path]).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return what it is as JSON values."""
        return {"name": self.name, "kind": self.kind.name, "files": {path: self.sha256(path) for path in self.files}}


def read_sources(folders: Sequence[Path]) -> tuple[Source, ...]:
    """Read folders, in an order that does not depend on how they were given.

    Args:
        folders: The folders; a study's file stands for its folder.

    Raises:
        RecipeError: None is given, or one twice.
        RefusalError: One is none of ours, or empty.
        SourceError: One does not exist, or a file is damaged.
    """
    if not folders:
        raise RecipeError("DIR must be at least one folder, got none")
    resolved = [folder.resolve() for folder in folders]
    if twice := [path for path, times in Counter(resolved).items() if times > 1]:
        raise RecipeError(f"DIR must differ, got {twice[0].name} {resolved.count(twice[0])} times")
    names = _names(resolved)
    sources = [_read(path, names[path]) for path in resolved]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(sources, key=lambda source: (order[source.kind], source.name)))


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the shortest endings of paths that tell them apart."""
    names = {}
    for folder in folders:
        others = [other for other in folders if other != folder]
        parts = folder.parts
        length = next(n for n in range(1, len(parts) + 1) if all(other.parts[-n:] != parts[-n:] for other in others))
        names[folder] = "/".join(parts[-length:])
    return names


def _read(path: Path, name: str) -> Source:
    kind = STUDY if path.is_file() else _recognise(path, name)
    found = sorted({file for pattern in kind.patterns for file in path.glob(pattern) if file.is_file()})
    try:
        files = {file.relative_to(path).as_posix(): file.read_bytes() for file in found}
        if path.is_file():
            files = {STUDY.main: path.read_bytes()}
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror}): {error.filename}") from error
    source = Source(name, kind, dict(sorted(files.items())))
    if not isinstance(source.content, dict) or (missing := [key for key in kind.keys if key not in source.content]):
        lacking = "is no JSON object" if not isinstance(source.content, dict) else f"lacks {', '.join(missing)}"
        raise RefusalError(f"{name}/{kind.main}: {lacking}; looked for {kind.about}; make it again with this version")
    _check_format(source)
    return source


def _recognise(folder: Path, name: str) -> Kind:
    if not folder.is_dir():
        raise SourceError(f"{folder}: does not exist; give the folder a command wrote, or a study.json under any name")
    if not any(folder.iterdir()):
        raise RefusalError(f"{name}: is empty; give the folder of a finished command")
    for kind in KINDS:
        if all(any(folder.glob(mark)) for mark in kind.marks):
            return kind
    known = ", ".join(f"{kind.about} ({kind.main})" for kind in KINDS)
    raise RefusalError(f"{name}: holds nothing a report can show; it may be {known}")


def _check_format(source: Source) -> None:
    newest = 2 if source.kind.name == "study" else 1
    found = source.content.get("format", 1)
    if not isinstance(found, int) or not 1 <= found <= newest:
        raise RefusalError(f"{source.name}/{source.kind.main}: format must be 1..{newest}, got {found}; update this program")
