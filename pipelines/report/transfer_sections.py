"""What rendered frames buy beside labelled ones: every seed over both counts, and the transfer law as far as it may be stated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from pipelines.report.blocks import Block, Cell, Figure, Lines, Omitted, Panels, Section, Table, Text, table
from pipelines.report.cells import count, finite, mean, number, show, span, word
from pipelines.report.charts import Axis, Point, Series, xy_chart
from pipelines.report.study import SMOKE_SEEDS, Study, labels_cell, point_of
from pipelines.scale_transfer import TransferLaw

_TITLE = "Synthetic frames against labels"
_LAW_POINTS = 24
"""Points a law is drawn through: a smooth line at this width."""
_LEAD = (
    "Does rendering more frames still help, and how much of the error can they never remove? Small dots are single seeds, "
    "markers their means, bands or bars 95 % t intervals over seeds, from three seeds on."
)
_FIGURE_NOTE = (
    "Smooth lines: the fitted law, over the counts measured and no further; dashed: a fit of which something is refused. "
    "Straight lines join means; there no law is stated."
)
_NOTE = (
    "error = 1 \u2212 IoU = \u03b4 (\u03b3 + n^\u2212\u03b1) s^\u2212\u03b2 with n synthetic and s labelled frames. \u03b3, the"
    " transfer gap, is what frames of this generator cannot teach: where n^\u2212\u03b1 has become small beside it, more of "
    "them change little. Brackets: 95 % interval over seeds. What a refusal forbids to state is withheld."
)
_LAW_HEADS = (
    "data set", "budget", "transfer gap \u03b3", "exponent of synthetic frames \u03b1", "exponent of labels \u03b2",
    "scale \u03b4", "seeds", "synthetic frames", "labels",
)  # fmt: skip
_WITHHELD = Cell("withheld")


def transfers(studies: Sequence[Study]) -> Section | Omitted:
    """Return error against synthetic frames and labels, with the law or why none is stated."""
    found = [study for study in studies if study.recipe.get("transfer")]
    if not found:
        return Omitted(
            _TITLE, "no study with arms that differ in the number of rendered frames alone (transfer in its recipe) was given"
        )
    return Section("transfer", _TITLE, _LEAD, tuple(block for study in found for block in _blocks(study)))


def _blocks(study: Study) -> Iterator[Block]:
    entries = study.entries("transfers")
    there = {(entry["dataset"], entry["budget"]) for entry in entries}
    for dataset, budget in product(study.datasets, study.budgets):
        if (dataset, budget) not in there:
            why = "no seed has finished every count of synthetic frames and of labels; nothing is shown yet"
            yield Text(f"{study.name}: {dataset}, {budget}: {why}.", is_warning=True)
    if not entries:
        return
    yield Panels(f"{study.name}: IoU over synthetic frames", tuple(_figure(entry) for entry in entries), _FIGURE_NOTE)
    lines = tuple(f"{entry['dataset']}, {entry['budget']}: {line}" for entry in entries for line in entry["sentences"])
    yield Lines(f"{study.name}: what the transfer law says, or why it is not stated", lines)
    rows = [_law_row(entry) for entry in entries]
    yield table(f"{study.name}: the transfer law", _LAW_HEADS, rows, _NOTE)
    for entry in entries:
        yield _means(study, entry)


def _figure(entry: Mapping[str, Any]) -> Figure:
    title, law = f"{entry['dataset']}, {entry['budget']}", _law(entry)
    lines = [_series(entry, place, has_line=law is None or entry["gap"] is None) for place in range(len(entry["labels"]))]
    if law is not None:
        lines += [_law_series(entry, law, place) for place in range(len(entry["labels"]))]
    axes = Axis("synthetic frames", True, ticks=tuple(entry["synthetic"])), Axis("test IoU, %", within=(0.0, 100.0))
    is_smoke = len(entry["seeds"]) <= SMOKE_SEEDS
    svg = xy_chart(lines, *axes, title=f"IoU over synthetic frames, {title}", is_smoke=is_smoke)
    return Figure(title, svg, {key: entry[key] for key in ("synthetic", "labels", "seeds", "errors")})


def _series(entry: Mapping[str, Any], place: int, *, has_line: bool) -> Series:
    """Return the points of one label count."""
    points = tuple(
        point_of(float(n), entry["seeds"], _iou(by_labels[place]))
        for n, by_labels in zip(entry["synthetic"], entry["errors"], strict=True)
    )
    return Series(_labels_text(entry["labels"][place]), place, points, has_line=has_line)


def _law_series(entry: Mapping[str, Any], law: TransferLaw, place: int) -> Series:
    low, high = math.log(entry["synthetic"][0]), math.log(entry["synthetic"][-1])
    counts = [math.exp(low + (high - low) * k / (_LAW_POINTS - 1)) for k in range(_LAW_POINTS)]
    errors = law(np.array(counts), np.array(entry["labels"][place], np.float64))
    points = tuple(Point(n, 100.0 * (1.0 - float(error))) for n, error in zip(counts, errors, strict=True))
    return Series("", place, points, is_dashed=entry["gap"] is None, marks="none")


def _law(entry: Mapping[str, Any]) -> TransferLaw | None:
    found = entry["law"]
    return None if found is None else TransferLaw(found["delta"], found["gamma"], found["alpha"], found["beta"])


def _law_row(entry: Mapping[str, Any]) -> list[Cell]:
    law, gap = _law(entry), entry["gap"]
    cells = [_WITHHELD] * 4
    if law is not None and gap is not None:
        low, high = (finite(value) for value in gap)
        value = {"value": law.gamma, "low": low, "high": high}
        cells = [Cell(f"{show(law.gamma, 3)} {span(low, high, 3)}", value)]
        cells += [number(value, 3) for value in (law.alpha, law.beta, law.delta)]
    counts = (", ".join(f"{value:g}" for value in entry[key]) for key in ("synthetic", "labels"))
    return [word(entry["dataset"]), word(entry["budget"]), *cells, count(len(entry["seeds"])), *map(word, counts)]


def _means(study: Study, entry: Mapping[str, Any]) -> Table:
    """Return the mean IoU at every place of the grid, and without synthetic frames: n = 0 has no place in the law."""
    rows = []
    for arm in _bare(study):
        groups = {study.size(g): g for g in study.part(entry["dataset"], entry["budget"]) if g.arm == arm}
        rows.append([Cell(f"0 ({arm})", 0), *(mean(groups[labels].scores["iou"], 1) for labels in entry["labels"])])
    for n, by_labels in zip(entry["synthetic"], entry["errors"], strict=True):
        rows.append([count(n), *(mean(_iou(errors), 1) for errors in by_labels)])
    heads = ("synthetic frames", *(_labels_text(labels) for labels in entry["labels"]))
    return table(f"{study.name}: test IoU on {entry['dataset']}, {entry['budget']}, percent", heads, rows)


def _bare(study: Study) -> list[str]:
    """Return the arms that differ from those of the law in having no synthetic frames at all."""
    arms = {arm["name"]: arm for arm in study.recipe["arms"]}
    first = arms[study.recipe["transfer"][0]]
    alike = ("pretrain", "pretraining", "extra_steps", "train")
    return [n for n, arm in arms.items() if arm["synthesize"] is None and all(arm[key] == first[key] for key in alike)]


def _iou(errors: Sequence[float]) -> list[float]:
    """Return errors as IoU, percent."""
    return [100.0 * (1.0 - error) for error in errors]


def _labels_text(labels: float) -> str:
    return f"{labels_cell(labels).text} labels"
