"""YAML as data: mappings of plain names, without aliases, tags that make objects, or documents that are deep or huge."""

from __future__ import annotations

from typing import Any

import yaml

from synth.errors import RecipeError

MAX_RECIPE_BYTES = 2**20
MAX_DEPTH = 16
MAX_NODES = 20_000


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without aliases, duplicate keys, deep or huge documents."""

    num_nodes = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node as PyYAML does, unless it is an alias, too deep, or one too many."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", self._mark())
        self.num_nodes += 1
        self.depth += 1
        if self.depth > MAX_DEPTH or self.num_nodes > MAX_NODES:
            limits = f"a recipe may nest {MAX_DEPTH} deep and hold {MAX_NODES} nodes"
            raise yaml.constructor.ConstructorError(None, None, limits, self._mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _mark(self) -> Any:
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping as PyYAML does, unless a key is no plain name or stands twice."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "keys must be plain names", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What PyYAML lets escape: bad dates, undecodable bytes, and values that do not fit their explicit tag (``!!int ""``)."""


def parse_yaml(text: bytes, name: str) -> dict[str, Any]:
    """Return a YAML mapping.

    Args:
        text: UTF-8.
        name: Of the recipe, for messages.

    Raises:
        RecipeError: It is too large, no YAML, or no mapping of plain names.
    """
    if len(text) > MAX_RECIPE_BYTES:
        raise RecipeError(f"recipe {name}: larger than {MAX_RECIPE_BYTES} bytes; this is not a recipe")
    try:
        data = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(
            f"recipe {name}{where}: {getattr(error, 'problem', None) or 'not readable as YAML'}; correct the file"
        ) from error
    except _UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise RecipeError(f"recipe {name}: not readable as YAML ({why}); correct the file") from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise RecipeError(f"recipe {name}: must be a mapping of names to values, got {type(data).__name__}")
    return data
