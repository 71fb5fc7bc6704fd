"""The rows of report.csv: one tested model on one list of frames each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.report.cells import finite
from pipelines.report.evaluation_sections import CLEAN, NATIVE, Tested, interval_in
from pipelines.report.study import Group, Study

_SCORES, _ENDS = ("iou", "niou", "pd", "fa"), ("low", "high")
COLUMNS = (
    "input", "tested_on", "frames_tested", "trained_on", "budget", "arm", "rule", "labels", "frames", "steps", "seed", "init",
    "iou", "niou", "pd", "fa", "validation_iou",
    *(f"{name}_{end}" for name in _SCORES for end in _ENDS), "part",
)  # fmt: skip
"""Scores in percent, fa in 1e-6; labels empty: all; frames_tested: all, or clean of near duplicates; low and high: of the 95 %
interval over frames; part of a study: grid, or endpoint, whose runs have the fresh seeds that decide."""


def points_of(studies: Sequence[Study], tested: Sequence[Tested]) -> tuple[dict[str, Any], ...]:
    """Return the points of studies, then those of evaluations."""
    rows = [row for study in studies for row in _of_study(study)]
    rows += [row for entry in tested for row in _of_tested(entry)]
    return tuple({column: row.get(column) for column in COLUMNS} for row in rows)


def _of_study(study: Study) -> Iterator[dict[str, Any]]:
    fresh = [group for groups in study.fresh.values() for group in groups.values()]
    for part, groups in (("grid", study.groups), ("endpoint", fresh)):
        yield from (row | {"part": part} for group in groups for row in _of_group(study, group))


def _of_group(study: Study, group: Group) -> Iterator[dict[str, Any]]:
    about = {
        "input": study.source.name,
        "trained_on": group.dataset,
        "budget": group.budget,
        "arm": group.arm,
        "labels": group.labels,
    }
    about |= {"frames": group.num_frames, "steps": group.steps, "init": group.init}
    for place, seed in enumerate(group.seeds):
        own = about | {"seed": seed, "tested_on": group.dataset}
        scores = {name: finite(group.scores[name][place]) for name in _SCORES}
        yield own | scores | {"frames_tested": "all", "validation_iou": finite(group.scores["validation"][place])}
        yield own | {"frames_tested": "clean", "iou": finite(group.scores["clean"][place])}
        for name, values in sorted(group.other_iou.items()):
            yield own | {"tested_on": name, "frames_tested": "all", "iou": finite(values[place])}


def _of_tested(tested: Tested) -> Iterator[dict[str, Any]]:
    for row in tested.rows:
        about = {
            "input": tested.source.name,
            "tested_on": tested.data["name"],
            "trained_on": row.get("trained_on"),
            "arm": row["name"],
        }
        about |= {"rule": row["rule"], "seed": row.get("seed"), "init": row.get("init")}
        for mode, frames in ((NATIVE, "all"), (CLEAN, "clean")):
            if mode in row["scores"]:
                found = row["scores"][mode]
                scores = {name: finite(found[name]) for name in _SCORES}
                yield about | {"frames_tested": frames} | scores | _intervals(found)


def _intervals(scores: Mapping[str, Any]) -> dict[str, float | None]:
    found = {name: interval_in(scores, name) for name in _SCORES}
    return {f"{name}_{end}": value for name, pair in found.items() for end, value in zip(_ENDS, pair, strict=True)}


def csv_of(points: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the points as CSV; what has no value is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: "" if value is None else value for key, value in point.items()} for point in points])
    return buffer.getvalue().encode()
