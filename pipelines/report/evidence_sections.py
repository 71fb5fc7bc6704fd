"""Curves over thresholds, detection by target strength and size, and probes: what pipelines.score and pipelines.probe found."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from finetune.metrics.strata import AREA_EDGES_PX, SCR_EDGES
from pipelines.report.blocks import Block, Cell, Figure, Omitted, Panels, Section, Table, table
from pipelines.report.cells import count, finite, number, word
from pipelines.report.charts import Axis, Point, Row, Series, strip_chart, xy_chart
from pipelines.report.evaluation_operating import Line, evaluation_lines, evaluation_strata, hits_cell
from pipelines.report.evaluation_sections import Tested
from pipelines.report.inputs import Source
from pipelines.report.study import Study
from pipelines.report.study_operating import pd_fa_blocks, strata_blocks

_FA_LEAST = 0.1
"""Fa in 1e-6 at the left edge of the chart: zero has no logarithm (as in the picture of pipelines.score)."""
_FA_MOST = 1e4
"""Fa in 1e-6 at its right edge: a hundredth of all pixels is no operating point."""


def pd_fa(
    studies: Sequence[Study], tested: Sequence[Tested], scores: Sequence[Source], probes: Sequence[Source]
) -> Section | Omitted:
    """Return detection against false alarms over all thresholds."""
    title = "Detection against false alarms"
    blocks = list(pd_fa_blocks(studies))
    lines = list(evaluation_lines(tested))
    lines += [_score_line(source) for source in scores if "curves.csv" in source.files]
    lines += [_probe_line(source) for source in probes]
    if not lines and not blocks:
        return Omitted(
            title, "no study or evaluation that keeps operating points, output of pipelines.score with curves, or probe was given"
        )
    frames = sorted({line.frames for line in lines})
    figures = tuple(_pd_fa_figure(name, [line for line in lines if line.frames == name]) for name in frames)
    lead = (
        "Best Pd at or below each Fa, over thresholds of all frames alike; marked: the operating point, which lies off the curve "
        "where a rule decides frame by frame. Such curves of test frames describe and choose nothing. IoU can rise while Fa "
        "doubles: read both."
    )
    if lines:
        blocks.append(Panels("Pd against Fa", figures))
    if scores or probes:
        blocks.append(_matched_fa(scores, probes))
    return Section("pd-fa", title, lead, tuple(blocks))


def _frames_of(source: Source) -> str:
    about = source.content["inputs"]["truth"] if source.kind.name == "score" else source.content["data"]["about"]
    return str(about)


def _score_line(source: Source) -> Line:
    rows = csv.DictReader(io.StringIO(source.files["curves.csv"].decode()))
    native = source.content["scores"]["native"]
    points = [(float(row["fa"]), float(row["pd"])) for row in rows]
    return Line(source.name, _frames_of(source), points, (native["fa"], native["pd"]))


def _probe_line(source: Source) -> Line:
    detection = source.content["detection"]
    over, at = detection["over_thresholds"], detection["thresholds"]["chosen"]
    return Line(source.name, _frames_of(source), list(zip(over["fa"], over["pd"], strict=True)), (at["fa"], at["pd"]))


def _pd_fa_figure(frames: str, lines: Sequence[Line]) -> Figure:
    series = []
    for ink, line in enumerate(lines):
        series.append(Series(line.name, ink, tuple(_best(line.points)), marks="none"))
        series += [Series("", ink, (Point(_on_chart(fa), pd),)) for fa, pd in [line.at] if finite(fa) is not None]
    axes = Axis("Fa, 10\u207b\u2076 of all pixels", True), Axis("Pd, %", within=(0.0, 100.0))
    data = [{"name": line.name, "fa_pd": [list(point) for point in line.points], "operating": list(line.at)} for line in lines]
    return Figure(frames, xy_chart(series, *axes, title=f"Pd against Fa, {frames}"), data)


def _on_chart(fa: float) -> float:
    return min(max(fa, _FA_LEAST), _FA_MOST)


def _best(points: Sequence[tuple[float, float]]) -> Iterator[Point]:
    """Yield the corners of the best Pd at or below each Fa."""
    known = sorted((_on_chart(fa), pd) for fa, pd in points if finite(fa) is not None and finite(pd) is not None)
    last: float | None = None
    for (fa, _), best in zip(known, accumulate((pd for _, pd in known), max), strict=True):
        if last is None or best > last:
            if last is not None:
                yield Point(fa, last)
            yield Point(fa, best)
            last = best
    if last is not None:
        yield Point(known[-1][0], last)


def _matched_fa(scores: Sequence[Source], probes: Sequence[Source]) -> Table:
    curves = [(source, source.content["curves"]) for source in scores if "curves" in source.content]
    curves += [(source, source.content["detection"]["curves"]) for source in probes]
    limits = list(curves[0][1]["best_pd_at_fa"]) if curves else []
    limits.sort(key=float)
    heads = ["input", "frames", *(f"Pd at Fa \u2264 {limit}" for limit in limits), "pixel AP", "area of Pd-Fa"]
    rows = []
    for source, found in curves:
        cells = [number(found["best_pd_at_fa"].get(limit)) for limit in limits]
        rows.append(
            [word(source.name), word(_frames_of(source)), *cells, number(found["average_precision"]), number(found["pd_fa_area"])]
        )
    return table("At matched Fa", heads, rows, "Percent; Fa in 10\u207b\u2076 of all pixels.")


def strata(studies: Sequence[Study], tested: Sequence[Tested], scores: Sequence[Source]) -> Section | Omitted:
    """Return detection by SCR and size."""
    title = "Detection by target strength and size"
    found = [source for source in scores if "pd_by_scr" in source.content]
    blocks = [*strata_blocks(studies), *evaluation_strata(tested)]
    if not found and not blocks:
        return Omitted(
            title,
            "no study or evaluation that keeps operating points, and no output of pipelines.score at native size, was given",
        )
    for ink, source in enumerate(found):
        figures = [
            _strata_figure(source, key, name, ink) for key, name in (("pd_by_scr", "by |SCR|"), ("pd_by_area", "by target area"))
        ]
        blocks.append(Panels(f"{source.name}: {_frames_of(source)}", tuple(figures), _scr50(source)))
        if (crossed := _crossed(source)) is not None:
            blocks.append(crossed)
    if found:
        blocks.append(_noise(found))
    lead = (
        "Share of targets detected: of studies with t intervals over seeds; of single scores with Wilson 95 % intervals, which "
        "hold if targets are independent. Easy targets lead the average."
    )
    return Section("strata", title, lead, tuple(blocks))


def _scr50(source: Source) -> str:
    value = finite(source.content.get("scr50"))
    half = (
        "SCR50 is not stated: the targets do not determine it."
        if value is None
        else f"SCR50, half of the targets detected: {value:.2f}."
    )
    return f"{half} SCR: {source.content.get('scr_definition', 'definition not recorded')}."


def _strata_figure(source: Source, key: str, name: str, ink: int) -> Figure:
    rows = []
    for entry in source.content[key]:
        low, high = (finite(bound) for bound in entry["interval"])
        text = f"{entry['num_matched']} of {entry['num_truth']}"
        rows.append(Row(str(entry["label"]), ink, finite(entry["pd"]) if entry["num_truth"] else None, low, high, text=text))
    return Figure(
        name, strip_chart(rows, Axis("Pd, %", within=(0.0, 100.0)), title=f"Pd {name}, {source.name}"), source.content[key]
    )


def _crossed(source: Source) -> Table | None:
    """Return hits of targets of each SCR and size, counted from the table of targets."""
    text = source.files.get("targets.csv")
    if text is None:
        return None
    counts: dict[tuple[int, int], list[int]] = {}
    for row in csv.DictReader(io.StringIO(text.decode())):
        scr, area = finite(_float(row["scr"])), float(row["area_px"])
        if scr is not None:
            hits = counts.setdefault((_bin(abs(scr), SCR_EDGES), _bin(area, AREA_EDGES_PX)), [0, 0])
            hits[0] += int(row["matched"])
            hits[1] += 1
    areas = [str(entry["label"]) for entry in source.content["pd_by_area"]]
    scrs = [str(entry["label"]) for entry in source.content["pd_by_scr"] if entry["label"] != "unknown"]
    rows = [[word(f"SCR {scr}"), *(hits_cell(counts.get((i, j))) for j in range(len(areas)))] for i, scr in enumerate(scrs)]
    return table(f"{source.name}: hits of targets, SCR by size", ["", *areas], rows, "Detected of all; darker: a larger share.")


def _float(text: str) -> float | None:
    return float(text) if text else None


def _bin(value: float, edges: Sequence[float]) -> int:
    return max(sum(value >= edge for edge in edges) - 1, 0)


def _noise(found: Sequence[Source]) -> Table:
    heads = ("input", "IoU \u00b1", "nIoU \u00b1", "Pd \u00b1", "Fa \u00b1", "one target is, points of Pd")
    rows = []
    for source in found:
        floor, targets = source.content.get("noise_floor", {}), source.content["scores"]["native"]["num_truth"]
        cells = [number(floor.get(name, {}).get("half_width_95")) for name in ("iou", "niou", "pd", "fa")]
        rows.append([word(source.name), *cells, number(100.0 / targets if targets else None)])
    note = "Half width of 95 % when frames are drawn anew: unpaired differences below it, between single models, are noise."
    return table("Noise floor of the test frames", heads, rows, note)


def probes(sources: Sequence[Source]) -> Section | Omitted:
    """Return what networks find without labels and what frozen features tell."""
    title = "Probes of features"
    if not sources:
        return Omitted(title, "no folder of pipelines.probe was given")
    rows = [
        _probe_row(source, threshold) for source in sources for threshold in source.content["detection"]["thresholds"].items()
    ]
    heads = ("input", "network", "init", "frames", "threshold", "IoU", "nIoU", "Pd", "Fa")
    blocks: list[Block] = [table("Own maps, no label used", heads, rows, "Percent; Fa in 10\u207b\u2076 of all pixels.")]
    feature_heads = ("input", "features", "linear probe, pixel AP", "chance", "neighbours, AUROC", "targets", "hard background")
    blocks.append(table("Frozen features", feature_heads, [_feature_row(source) for source in sources], "Percent."))
    lead = "What a network finds before anyone tunes it on labels, and how far its frozen features separate targets."
    return Section("probes", title, lead, tuple(blocks))


def _probe_row(source: Source, threshold: tuple[str, Mapping[str, Any]]) -> list[Cell]:
    (name, found), content = threshold, source.content
    network = content["network"]
    init = network.get("init", {}).get("kind", network["kind"])
    cells = [word(source.name), word(f"{network['name']} ({network['kind']})"), word(init), word(content["data"]["about"])]
    return [*cells, word(f"{name}, {found['threshold']:.4f}"), *(number(found[key]) for key in ("iou", "niou", "pd", "fa"))]


def _feature_row(source: Source) -> list[Cell]:
    linear, near = source.content.get("linear", {}), source.content.get("neighbours", {})
    cells = [
        word(source.name),
        count(linear.get("num_features")),
        number(linear.get("average_precision")),
        number(linear.get("prevalence")),
    ]
    return [*cells, number(near.get("auroc")), count(near.get("asked_targets")), count(near.get("asked_background"))]
