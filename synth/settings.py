"""Settings given as keywords: a name out of a registry, a pydantic config; every fault is one line with its dotted key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from synth.errors import RecipeError

Settings = TypeVar("Settings", bound=BaseModel)


def check_choice(key: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is none of the known ones.

    Args:
        key: What the name is of, for the message.
        name: The name.
        known: The names there are.

    Raises:
        RecipeError: It is none of them; the message names the nearest.
    """
    names = list(known)
    if name in names:
        return
    close = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise RecipeError(f"{key} must be one of {', '.join(names)}, got {name!r}{hint}")


def checked_settings(key: str, config_type: type[Settings], values: dict[str, Any]) -> Settings:
    """Return a config made of keyword values.

    Args:
        key: What it configures, for the messages.
        config_type: Its class.
        values: Settings by name.

    Raises:
        RecipeError: Some are unknown or out of range; all faults are listed.
    """
    try:
        return config_type(**values)
    except ValidationError as error:
        raise RecipeError(*(_describe(key, config_type, fault) for fault in error.errors())) from error


def _describe(key: str, config_type: type[BaseModel], fault: Any) -> str:
    where = ".".join((key, *map(str, fault["loc"])))
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such setting; known: {', '.join(config_type.model_fields)}"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}"
