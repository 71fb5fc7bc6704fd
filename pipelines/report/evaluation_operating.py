"""What evaluations found at every operating point: Pd against Fa, and targets hit by size and strength."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.blocks import Cell, Table, table
from pipelines.report.cells import NOTHING, finite, number, word
from pipelines.report.evaluation_sections import NATIVE, Tested
from pipelines.report.study import STRATA

_NOTE = "Targets hit of all, at the threshold in use; darker: a larger share. SCR50: half of the targets are hit."


@dataclass(frozen=True, slots=True)
class Line:
    """Pd and Fa over thresholds.

    Attributes:
        name: What was scored.
        frames: On what.
        points: Fa in 1e-6 and Pd in percent of every threshold.
        at: Those of the operating point, NaN where there is none.
    """

    name: str
    frames: str
    points: Sequence[tuple[float, float]]
    at: tuple[float, float]


def evaluation_lines(tested: Sequence[Tested]) -> Iterator[Line]:
    """Yield the line of every detector on every test list, with the operating point of its first rule."""
    for entry in tested:
        first = {row["name"]: row for row in reversed(entry.rows) if row.get("operating")}
        for name, row in reversed(first.items()):
            points, scores = row["operating"], row["scores"][NATIVE]
            pairs = [(fa, pd) for fa, pd in zip(points["fa"], points["pd"], strict=True) if pd is not None]
            yield Line(name, entry.title, pairs, (_or_nan(scores["fa"]), _or_nan(scores["pd"])))


def evaluation_strata(tested: Sequence[Tested]) -> Iterator[Table]:
    """Yield hits by target size and SCR of all detectors, a table each test list."""
    for entry in tested:
        rows = [row for row in entry.rows if row.get("operating")]
        if rows:
            bins = [(key, label) for key in STRATA for label, _, total in rows[0]["operating"][key] if total]
            heads = ("detector", "rule", *(label if "px" in label else f"SCR {label}" for _, label in bins), "SCR50")
            cells = [[word(row["name"]), word(row["rule"]), *_hits(row["operating"], bins)] for row in rows]
            yield table(f"{entry.source.name}: {entry.title}, hits by size and SCR", heads, cells, _NOTE)


def _hits(points: Mapping[str, Any], bins: Sequence[tuple[str, str]]) -> Iterator[Cell]:
    counts = {(key, label): (hits, total) for key in STRATA for label, hits, total in points[key]}
    for place in bins:
        yield hits_cell(counts.get(place))
    yield number(points["scr50"], 1)


def hits_cell(found: Sequence[int] | None) -> Cell:
    """Return hits and targets, shaded by their share; a dash without targets."""
    if found is None or not found[1]:
        return NOTHING
    return Cell(f"{found[0]} of {found[1]}", {"hits": found[0], "targets": found[1]}, shade=found[0] / found[1])


def _or_nan(value: Any) -> float:
    found = finite(value)
    return math.nan if found is None else found
