"""Where a chain lies, and what its records promise: which stages are finished, with what, and what they wrote.

OUT/...                 the outputs, where the recipe puts them
OUT/stages/NAME.json    written after a stage ended well: its command line with names in braces, and sha256 of its recipe (with
                        those named in it), of the user's data it names, of the outputs it used, and of its own output
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import recipe_texts
from pipelines.run_recipe import COMMANDS, DATA, LABELLED_COMMANDS, STAGES_NAME, Stage, fill, placeholders
from synth.errors import RecipeError, RefusalError, StoreError
from synth.store.files import read_json, sha256_of_file, write_json


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain is run.

    Attributes:
        out: Folder of the chain.
        data: Folder of the user's frames, or None.
    """

    out: Path
    data: Path | None

    def output(self, stage: Stage) -> Path:
        """Return where a stage writes."""
        return self.out / stage.out

    def check(self, stages: Iterable[Stage]) -> None:
        """Refuse a folder that is no chain, and everything that the stages name and is not there.

        Raises:
            RefusalError: The folder holds something else.
            RecipeError: A recipe or a part of ``--data`` is missing; each a line.
        """
        if self.out.exists() and (not self.out.is_dir() or (any(self.out.iterdir()) and not (self.out / STAGES_NAME).is_dir())):
            raise RefusalError(f"--out {self.out}: is no chain of ours; give a new folder")
        stages = tuple(stages)
        faults = [*(fault for stage in stages for fault in self._faulty_recipes(stage)), *self._missing_data(stages)]
        if faults:
            raise RecipeError(*faults)

    def promise(self, stage: Stage, outputs: Mapping[str, str]) -> dict[str, Any]:
        """Return what decides the output of a stage, as JSON values.

        Args:
            stage: The stage.
            outputs: Name of an earlier stage -> sha256 of its output.
        """
        recipe = b"".join(self._recipe_texts(stage))
        return {
            "format": 1,
            "command": stage.command,
            "arguments": list(stage.arguments),
            "out": stage.out,
            "recipe": hashlib.sha256(recipe).hexdigest() if recipe else None,
            "data": {name: hash_data(path, self.out) for name, path in self._data_paths(stage)},
            "stages": {name: outputs[name] for name in stage.references if name in outputs},
        }

    def finished(self, stage: Stage, promise: Mapping[str, Any]) -> str | None:
        """Return the sha256 of the output of a stage whose record still holds, or None."""
        path = self.out / STAGES_NAME / f"{stage.name}.json"
        if not path.is_file() or not self.output(stage).exists():
            return None
        found = hash_output(self.output(stage))
        return found if read_json(path) == {**promise, "output": found} else None

    def record(self, stage: Stage, promise: Mapping[str, Any]) -> str:
        """Write the record of a stage that ended well; return the sha256 of its output.

        Raises:
            StoreError: It wrote nothing.
        """
        if not self.output(stage).exists():
            raise StoreError(f"stage {stage.name}: ended well without writing {self.output(stage)}; correct its arguments")
        found = hash_output(self.output(stage))
        write_json(self.out / STAGES_NAME / f"{stage.name}.json", {**promise, "output": found})
        return found

    def _faulty_recipes(self, stage: Stage) -> Iterator[str]:
        try:
            self._recipe_texts(stage)
        except RecipeError as error:
            yield from (f"stage {stage.name}: {fault}" for fault in error.faults)

    def _missing_data(self, stages: Iterable[Stage]) -> Iterator[str]:
        """Yield a line for each part of ``--data`` that is not there: where, and what its stages want of it."""
        users: dict[Path, list[Stage]] = {}
        for stage in stages:
            for path in dict.fromkeys(path for _, path in self._data_paths(stage) if not path.exists()):
                users.setdefault(path, []).append(stage)
        for path, of_path in users.items():
            names = ", ".join(stage.name for stage in of_path)
            yield f"--data: {path.resolve()} is not there; {_wanted(path, of_path)} (for {names})"

    def _recipe_texts(self, stage: Stage) -> list[bytes]:
        """Return the texts of the recipe that a stage names and of those named in it; none where an earlier stage makes it."""
        kind = COMMANDS[stage.command]
        if kind is None or set(placeholders(stage.arguments[0])) - {DATA}:
            return []
        return recipe_texts(fill(stage.arguments[0], {DATA: str(self.data)}), kind)

    def _data_paths(self, stage: Stage) -> Iterator[tuple[str, Path]]:
        """Yield the parts of ``--data`` that a stage names: what stands from the braces on is a path."""
        mark = f"{{{DATA}}}"
        for argument in stage.arguments:
            if mark in argument:
                name = argument[argument.index(mark) :]
                yield name, Path(fill(name, {DATA: str(self.data)}))


def _wanted(path: Path, stages: Iterable[Stage]) -> str:
    """Say what to put where stages look for data."""
    if path.suffix:
        return "put that file there"
    if any(stage.command == "scale" for stage in stages):
        return "put the folders of the study's data sets into it"
    if any(stage.command in LABELLED_COMMANDS or "--source" in stage.arguments for stage in stages):
        return "put labelled frames into it: images/, masks/ and train.txt, val.txt, test.txt (one id a line), or a published set"
    return "put frames into it, masks are not needed"


def hash_output(path: Path) -> str:
    """Return the sha256 of a file, or of names and bytes of the files at the top of a folder.

    What lies deeper is vouched for by the files at the top (manifests, results, records) and by the commands themselves.

    Args:
        path: Output of a command.
    """
    if path.is_file():
        return sha256_of_file(path)
    files = sorted(entry for entry in path.iterdir() if entry.is_file())
    return _hash_lines(f"{entry.name} {sha256_of_file(entry)}" for entry in files)


def hash_data(path: Path, out: Path) -> str:
    """Return the sha256 of a file, or of names and sizes of all files below a folder: frames may be many.

    Args:
        path: Data of the user.
        out: Folder of the chain, which is no data though it may lie there.
    """
    if path.is_file():
        return sha256_of_file(path)
    chain = out.resolve()
    files = sorted(entry for entry in path.resolve().rglob("*") if entry.is_file() and not entry.is_relative_to(chain))
    return _hash_lines(f"{entry.relative_to(path.resolve()).as_posix()} {entry.stat().st_size}" for entry in files)


def _hash_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")).hexdigest()
