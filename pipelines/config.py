"""Recipes: find, read, override, check. Config is data: no imports, no eval, no environment expansion."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pipelines.strict_yaml import MAX_RECIPE_BYTES, parse_yaml
from synth.errors import RecipeError

_Model = TypeVar("_Model", bound=BaseModel)

_Section = tuple[str, ...]
"""Parts of a section's dotted key."""


def recipe_names(stage: str = "") -> list[str]:
    """Return the names of the shipped recipes of a stage: data sets (the top folder), ``finetune``."""
    entries = files("pipelines.recipes").joinpath(stage).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


READERS_SECTION = "calibration"
"""Section of a fragment that is for its reader and no part of a recipe."""
NAMED_RECIPES: Mapping[str, str] = {"finetune": "finetune", "pretrain": "pretrain", "synthesize": ""}
"""Keys under which a recipe names another one -> the stage it is of."""


def load_recipe(
    name_or_path: str,
    model: type[_Model],
    overrides: Sequence[str] = (),
    fragments: Sequence[Path] = (),
    *,
    stage: str = "",
) -> _Model:
    """Read a recipe, lay fragments over it, apply ``a.b=c`` overrides, and check it.

    Args:
        name_or_path: A shipped name, or the path of a YAML file.
        model: The recipe's model.
        overrides: ``dotted.key=value`` strings; the value is YAML. One key of a section that is not written leaves the others
            as they would be without it.
        fragments: YAML files with some of a recipe's keys, later ones over earlier ones. Sections are merged key by key, but
            one that names another ``kind`` replaces the whole section.
        stage: Stage whose shipped recipes are meant; see :func:`recipe_names`.

    Returns:
        The checked recipe.

    Raises:
        RecipeError: With every fault at once, each a line with its dotted key.
    """
    data = parse_yaml(*_find(name_or_path, stage))
    for fragment in fragments:
        content = parse_yaml(*_find(str(fragment.absolute()), stage))
        data = _merged(data, {key: value for key, value in content.items() if key != READERS_SECTION})
    return check_settings(model, data, overrides)


def check_settings(model: type[_Model], data: Mapping[str, Any], overrides: Sequence[str] = ()) -> _Model:
    """Apply ``a.b=c`` overrides to settings and check them.

    Args:
        model: The settings' model.
        data: The settings, as YAML or JSON gives them.
        overrides: ``dotted.key=value`` strings; the value is YAML.

    Raises:
        RecipeError: With every fault at once, each a line with its dotted key.
    """
    data = dict(data)
    begun: dict[_Section, dict[str, Any]] = {}
    for override in overrides:
        _apply(data, override, begun)
    for section, parent in begun.items():
        given = parent.pop(section[-1])
        for key, value in _unwritten(model, data, section).items():
            given.setdefault(key, value)  # in place: sections that begin in it hold on to it
        parent[section[-1]] = given
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RecipeError(*_describe(error, model)) from error


def recipe_texts(name_or_path: str, stage: str = "") -> list[bytes]:
    """Return the text of a recipe and of the recipes it names, which tell a changed one.

    Args:
        name_or_path: A shipped name, or the path of a YAML file.
        stage: Stage whose shipped recipes are meant; see :func:`recipe_names`.

    Raises:
        RecipeError: There is none, one that it names is missing, or it is not readable.
    """
    text, name = _find(name_or_path, stage)
    return [text, *(_find(named, NAMED_RECIPES[key])[0] for key, named in sorted(_named_recipes(parse_yaml(text, name))))]


def _named_recipes(data: Any) -> set[tuple[str, str]]:
    """Return key and name of all recipes named anywhere in a recipe."""
    if isinstance(data, list):
        return {found for value in data for found in _named_recipes(value)}
    if not isinstance(data, dict):
        return set()
    found = {(key, value) for key, value in data.items() if key in NAMED_RECIPES and isinstance(value, str)}
    return found.union(*(_named_recipes(value) for value in data.values()))


def _find(name_or_path: str, stage: str) -> tuple[bytes, str]:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.parent != Path():
        try:
            with path.open("rb") as file:
                return file.read(MAX_RECIPE_BYTES + 1), str(path)
        except OSError as error:
            raise RecipeError(
                f"recipe {path}: {error.strerror}; give a YAML file or one of: {', '.join(recipe_names(stage))}"
            ) from error
    if name_or_path not in recipe_names(stage):
        raise RecipeError(
            f"recipe {name_or_path!r}: no shipped recipe has this name{_nearest(name_or_path, recipe_names(stage))}"
        )
    return files("pipelines.recipes").joinpath(stage, f"{name_or_path}.yaml").read_bytes(), name_or_path


def _merged(data: dict[str, Any], fragment: dict[str, Any]) -> dict[str, Any]:
    """Return nested sections with those of a fragment laid over them."""
    if "kind" in fragment and fragment["kind"] != data.get("kind", fragment["kind"]):
        return fragment
    both = {key: (data.get(key), value) for key, value in fragment.items()}
    return data | {
        key: _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new for key, (old, new) in both.items()
    }


def _apply(data: dict[str, Any], override: str, begun: dict[_Section, dict[str, Any]]) -> None:
    """Set one key; sections that it begins are put down in ``begun`` with what holds them."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {override!r}: must be key=value, as in --set noise.var_max=40")
    parsed = parse_yaml(f"value: {text}".encode(errors="surrogateescape"), f"--set {override}")
    if parsed.keys() != {"value"}:
        raise RecipeError(f"--set {override!r}: must set one key; repeat --set for another")
    value = parsed["value"]
    parts = tuple(key.split("."))
    for section in [section for section in begun if section[: len(parts)] == parts]:
        del begun[section]  # it is set as a whole
    at: Any = data
    for number, part in enumerate(parts[:-1], 1):
        if isinstance(at, dict) and part not in at:
            begun[parts[:number]] = at
        at = _step_into(at, part, override)
    if isinstance(at, list):
        at[_list_index(at, parts[-1], override)] = value
    else:
        at[parts[-1]] = value


def _step_into(at: Any, part: str, override: str) -> Any:
    if isinstance(at, list):
        return at[_list_index(at, part, override)]
    inner = at.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise RecipeError(f"--set {override!r}: {part} is a value, not a section; set it as a whole")
    return inner


def _unwritten(model: type[BaseModel], data: Mapping[str, Any], section: _Section) -> dict[str, Any]:
    """Return what holds where a section is not written and would be lost by writing one of its keys.

    That is its ``kind``, or all of a mapping whose keys are free, such as weights; declared keys keep their defaults anyway.
    """
    try:
        found: Any = model.model_validate(data)
    except ValidationError:  # its faults are told when everything is in place
        return {}
    for part in section:
        found = getattr(found, part) if part in getattr(type(found), "model_fields", ()) else None
    if isinstance(found, BaseModel):
        return found.model_dump(include={"kind"})
    return dict(found) if isinstance(found, Mapping) else {}


def _list_index(at: list[Any], part: str, override: str) -> int:
    if not part.isdecimal() or len(part) > 9 or int(part) >= len(at):
        raise RecipeError(f"--set {override!r}: {part} must be a position in 0..{len(at) - 1}; set the list as a whole")
    return int(part)


def _describe(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Turn pydantic's faults into one line each: dotted key, rule, value, nearest name."""
    faults = error.errors()
    for fault in faults:
        if fault["type"] == "too_short" and any(f["loc"][: len(fault["loc"])] == fault["loc"] != f["loc"] for f in faults):
            continue  # a list whose items are faulty counts as empty; their own lines say what is wrong
        key = ".".join(str(part) for part in fault["loc"] if part not in _union_tags(model)) or "recipe"
        if fault["type"] == "extra_forbidden":
            known = _known_names(model, fault["loc"][:-1])
            yield f"{key}: no such key{_nearest(str(fault['loc'][-1]), known)}"
        elif fault["type"] == "value_error":
            yield str(fault["ctx"]["error"]) if key == "recipe" else f"{key}: {fault['ctx']['error']}"
        elif fault["type"] == "missing":
            yield f"{key}: must be given"
        else:
            rule = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
            yield f"{key} {rule[0].lower() + rule[1:]}, got {fault['input']!r}"


def _union_tags(model: type[BaseModel]) -> set[str]:
    """Names pydantic puts into a location for the member of a union; they are no part of a dotted key."""
    tags = {"int", "float", "constrained-int", "constrained-float", "function-after", "literal"}
    for name in _all_models(model):
        kind = name.model_fields.get("kind")
        tags |= set(get_args(kind.annotation)) if kind is not None else set()
    return tags | {f"literal[{','.join(repr(v) for v in values)}]" for values in (("all", "published"), ("calibrated",))}


def _all_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            yield from _all_models(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _known_names(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    models = [model]
    for part in location:
        steps = [m.model_fields[part].annotation for m in models if isinstance(part, str) and part in m.model_fields]
        models = [inner for step in steps for inner in _models_in(step)] or models
    return sorted({name for m in models for name in m.model_fields})


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
