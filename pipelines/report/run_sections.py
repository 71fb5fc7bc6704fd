"""How things were made: training runs, what they cost, and on what machines."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.report.blocks import Block, Cell, Figure, Lines, Omitted, Panels, Section, Text, table
from pipelines.report.cells import NOTHING, count, digest, finite, number, word
from pipelines.report.charts import Axis, Point, Series, xy_chart
from pipelines.report.evaluation_sections import cpu_times
from pipelines.report.inputs import Source
from pipelines.report.study import Study

_MOST_STEPS = 200
"""Most points of a drawn journal: more are less than 2 px apart."""


def runs(sources: Sequence[Source]) -> Section | Omitted:
    """Return training runs with their journals."""
    title = "Training runs"
    if not sources:
        return Omitted(title, "no folder of pretrain_encoder or finetune_detector was given")
    heads = ("run", "recipe", "init", "seed", "steps", "frames", "validation", "threshold", "collapsed", "state", "weights")
    blocks: list[Block] = [table("Runs", heads, [_run_row(source) for source in sources])]
    figures = (_journal(sources, "loss", "training loss"), _journal(sources, "val_iou", "validation IoU, %"))
    if found := tuple(figure for figure in figures if figure is not None):
        blocks.append(Panels("Journals", found))
    for source in sources:
        if warnings := tuple(map(str, source.json_or("result.json", {}).get("warnings", ()))):
            blocks.append(Lines(f"Warnings of {source.name}", warnings))
    return Section("runs", title, "Validation scores in percent, Fa in 10\u207b\u2076; a single run is one seed.", tuple(blocks))


def _run_row(source: Source) -> list[Cell]:
    recipe, result = source.content["recipe"], source.json_or("result.json", None)
    init = source.content.get("init") or (result or {}).get("init") or {"kind": "unknown"}
    frames = sum(int(entry.get("frames", 0)) for entry in source.content.get("sources", {}).get("train", ()))
    cells = [
        word(source.name),
        word(recipe.get("name")),
        word(init["kind"]),
        count(recipe["train"].get("seed")),
        count(recipe["train"].get("steps")),
    ]
    cells.append(count(frames) if frames else NOTHING)
    if result is None:
        return [*cells, NOTHING, NOTHING, NOTHING, word("unfinished"), NOTHING]
    found = result.get("validation") or {}
    shown = ", ".join(
        f"{name} {value:.2f}" for name in ("val_best_iou", "synthetic_iou") if (value := finite(found.get(name))) is not None
    )
    collapsed = {True: "yes", False: "no", None: "unknown"}[result["is_collapsed"]]
    cells += [Cell(shown or "\u2013", found), number(result.get("threshold"), 4), word(collapsed), word("finished")]
    return [*cells, digest(result.get("weights_sha256"))]


def _journal(sources: Sequence[Source], key: str, title: str) -> Figure | None:
    series = []
    for ink, source in enumerate(sources):
        points = tuple(_journal_points(source, key))
        if points:
            series.append(Series(source.name, ink, points[:: -(-len(points) // _MOST_STEPS)], marks="last"))
    if not series:
        return None
    data = [{"run": one.name, "step_value": [[point.x, point.y] for point in one.points]} for one in series]
    return Figure(title, xy_chart(series, Axis("step"), Axis(title), title=f"{title} over steps"), data)


def _journal_points(source: Source, key: str) -> Iterator[Point]:
    for line in source.journal("metrics.jsonl"):
        step, value = finite(line.get("step")), finite({**line, **(line.get("validation") or {})}.get(key))
        if step is not None and value is not None:
            yield Point(step, value)


def compute(studies: Sequence[Study], evaluations: Sequence[Source], sources: Sequence[Source]) -> Section | Omitted:
    """Return what training and testing cost."""
    title = "Speed and compute"
    blocks: list[Block] = []
    if rows := [[word(a), word(b), number(ms["median"], 1), number(ms["mean"], 1)] for a, b, ms in cpu_times(evaluations)]:
        heads = ("evaluation", "detector and frames", "median", "mean")
        blocks.append(table("CPU time of a frame at native size, ms, one thread", heads, rows))
    if rows := [_cost_row(source.name, source, "") for source in sources if source.journal("metrics.jsonl")]:
        blocks.append(table("Training runs", _COST_HEADS, rows, _COST_NOTE))
    blocks += [block for study in studies for block in _of_study(study)]
    if not blocks:
        return Omitted(title, "no evaluation and no training journal was given")
    return Section("compute", title, "What it took, so that arms can be compared at equal cost.", tuple(blocks))


def _of_study(study: Study) -> Iterator[Block]:
    """Yield what the finished runs and pretrainings of a study took, as far as their journals are there."""
    before = [path.removesuffix("/result.json") for path in study.source.paths(r"pretrained/.+/result\.json")]
    names = {path: path.removeprefix("runs/") for path in study.tests}
    names |= {path: f"pretraining {path.removeprefix('pretrained/')}" for path in before}
    there = {path: name for path, name in names.items() if f"{path}/metrics.jsonl" in study.source.files}
    rows = [_cost_row(name, study.source, f"{path}/") for path, name in there.items()]
    if not rows:
        return
    note = f"{_COST_NOTE} {_PRETRAINING_NOTE}" if before else _COST_NOTE
    yield table(f"Runs of {study.name}", _COST_HEADS, _summed(rows), note)
    if known := sum(source["runs"] for source in study.source.content.get("known", ())):
        yield Text(f"{study.name}: {known} runs were done elsewhere; these and their pretrainings are not in the table.")
    pretrained = [arm["name"] for arm in study.recipe["arms"] if arm.get("pretrain")]
    if pretrained and not before:
        text = "no pretraining is there, so that the table lacks what those cost that these arms start from"
        yield Text(f"{study.name}: {text}: {', '.join(pretrained)}.", is_warning=True)


_COST_HEADS = ("run", "runs", "samples seen", "passes", "samples/s", "hours, about")
_COST_NOTE = (
    "Means over runs. Samples/s: median of the journal; hours: samples over that, without validation and start, on the threads "
    "or GPUs that each run's environment names."
)
_PRETRAINING_NOTE = "A pretraining comes on top of each run that starts from it; arms with equal ones share the first one's."


def _cost_row(name: str, source: Source, below: str) -> list[Cell]:
    recipe, journal = source.json_or(f"{below}recipe.json", {}), source.journal(f"{below}metrics.jsonl")
    batch = finite(recipe.get("recipe", {}).get("train", {}).get("batch"))
    step = max((float(line["step"]) for line in journal if finite(line.get("step")) is not None), default=0.0)
    passes = max((float(line["epoch"]) for line in journal if finite(line.get("epoch")) is not None), default=None)
    rates = [rate for line in journal if (rate := finite(line.get("images_per_s"))) is not None and rate > 0]
    samples, rate = None if batch is None else batch * step, statistics.median(rates) if rates else None
    hours = None if samples is None or rate is None else samples / rate / 3600.0
    return [word(name), count(1), count(samples), number(passes, 1), number(rate, 1), number(hours, 3)]


def _summed(rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Return one row for the seeds of each cell."""
    groups: dict[str, list[Sequence[Cell]]] = {}
    for row in rows:
        groups.setdefault(row[0].text.rpartition("/")[0], []).append(row)
    return [
        [word(name), count(len(members)), *(_averaged(members, column) for column in range(2, 6))]
        for name, members in groups.items()
    ]


def _averaged(rows: Sequence[Sequence[Cell]], column: int) -> Cell:
    values = [row[column].value for row in rows if row[column].value is not None]
    if not values:
        return NOTHING
    middle = statistics.fmean(values)
    return count(round(middle)) if column == 2 else number(middle, {3: 1, 4: 1, 5: 3}[column])


def environment(all_sources: Sequence[Source]) -> Section | Omitted:
    """Return on what machines and with what versions things were made; equal ones once."""
    title = "Environment"
    by_text: dict[str, list[str]] = {}
    for name, found in (pair for source in all_sources for pair in _environments(source)):
        names = by_text.setdefault(json.dumps(found, sort_keys=True), [])
        names += [name] if name not in names else []
    if not by_text:
        return Omitted(title, "no folder given records its environment")
    entries = [(json.loads(text), names) for text, names in by_text.items()]
    keys = sorted({key for found, _ in entries for key in found})
    rows = [[word(_shortened(names)), *(word(found.get(key)) for key in keys)] for found, names in entries]
    return Section(
        "environment", title, "As each command recorded it.", (table("Versions and devices", ["made by", *keys], rows),)
    )


def _environments(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield who made something, and where: a study's runs together, the others one by one."""
    if source.kind.name == "study":
        recorded = source.content.get("environments") or [source.json(path) for path in source.paths(r"(.*/)?env\.json")]
        found = [(source.name, content) for content in recorded]
    else:
        paths = source.paths(r"(.*/)?(env|evaluation)\.json")
        found = [("/".join(filter(None, (source.name, path.rpartition("/")[0]))), source.json(path)) for path in paths]
    for name, content in found:
        flat = {key: value for key, value in content.items() if not isinstance(value, Mapping) and key != "format"}
        yield name, flat | dict(content.get("versions", {}))


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"
