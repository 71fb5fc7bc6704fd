"""What a chain is made of: stages, each a command with its arguments, checked before any work starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

COMMANDS: Mapping[str, str | None] = {
    "synthesize": "",
    "export": None,
    "calibrate": None,
    "census": None,
    "audit": None,
    "pretrain_encoder": "pretrain",
    "probe": None,
    "finetune_detector": "finetune",
    "evaluate": None,
    "scale": "scaling",
    "report": None,
}
"""Commands that may be stages -> the folder of the shipped recipes that their first argument names, None for those without."""
LABELLED_COMMANDS = ("finetune_detector", "evaluate", "probe")
"""Those that need masks and lists of every folder they read."""
STAGES_NAME = "stages"
"""Folder of the records of a chain, which no output may be."""
DATA, WORKERS = "data", "workers"
"""Placeholders that are no stage: the user's ``--data`` and ``--workers``."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_-]+)\}")
"""A name in braces; YAML in arguments ("{gain: 0.2}") holds more than a name."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def placeholders(argument: str) -> list[str]:
    """Return the names in braces of an argument, in their order."""
    return _PLACEHOLDER.findall(argument)


def fill(argument: str, values: Mapping[str, str]) -> str:
    """Put values in the place of the names in braces."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], argument)


class Stage(BaseModel):
    """One command of a chain.

    Attributes:
        name: Its name, which later stages use in braces for its output.
        command: A command of ``pipelines``.
        about: What it does, in a line for the user.
        arguments: Its arguments but ``--out``. Names in braces stand for ``--data`` and ``--workers`` of the user, or for the
            output of an earlier stage.
        out: Its output, a path below the folder of the chain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    command: str
    about: str = Field(min_length=1)
    arguments: tuple[str, ...] = ()
    out: str

    @property
    def references(self) -> tuple[str, ...]:
        """All names in braces, each once, in their order."""
        return tuple(dict.fromkeys(name for argument in self.arguments for name in placeholders(argument)))

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield key and fault of everything that is wrong with it by itself."""
        if not _NAME.fullmatch(self.name) or self.name in (DATA, WORKERS):
            yield "name", f"must be of letters, digits, - and _, and not {DATA} or {WORKERS}, got {self.name!r}"
        if self.command not in COMMANDS:
            yield "command", f"must be one of {', '.join(COMMANDS)}, got {self.command!r}"
        elif COMMANDS[self.command] is not None and (not self.arguments or self.arguments[0].startswith("-")):
            yield "arguments", f"must begin with the recipe of {self.command}, got {list(self.arguments[:1])}"
        if any(argument.partition("=")[0] in ("--out", "--dry-run") for argument in self.arguments):
            yield "arguments", "must be without --out and --dry-run, which the chain gives itself"
        parts = PurePosixPath(self.out).parts
        if not parts or parts[0] in ("/", STAGES_NAME) or ".." in parts:
            yield "out", f"must be a path below the folder of the chain, and not {STAGES_NAME}, got {self.out!r}"


class ChainRecipe(BaseModel):
    """A chain of commands, each of which uses what earlier ones made.

    Attributes:
        name: Name of the chain.
        stages: Its stages, in their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    stages: tuple[Stage, ...] = Field(min_length=1)

    @property
    def needs_data(self) -> list[str]:
        """The stages that use ``--data`` of the user."""
        return [stage.name for stage in self.stages if DATA in stage.references]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [
            f"stages.{place}.{key} {fault}"
            for place, stage in enumerate(self.stages)
            for key, fault in (*stage.faults(), *self._reference_faults(place))
        ]
        for key, values in {"name": [s.name for s in self.stages], "out": [s.out for s in self.stages]}.items():
            faults += [f"stages must differ in {key}, got {v!r} {n} times" for v, n in Counter(values).items() if n > 1]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _reference_faults(self, place: int) -> Iterator[tuple[str, str]]:
        names = [stage.name for stage in self.stages]
        known = [DATA, WORKERS, *names[:place]]
        for name in self.stages[place].references:
            if name not in known:
                why = "which does not come before it" if name in names else f"known here: {', '.join(known)}"
                yield "arguments", f"must name earlier stages in braces, got {{{name}}}, {why}"
