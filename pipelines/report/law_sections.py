"""What a study says about scale in numbers: fitted laws with their refusals, and what a start is worth in labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune.metrics.intervals import Interval
from pipelines.report.blocks import Block, Cell, Figure, Lines, Omitted, Panels, Section, table
from pipelines.report.cells import DASH, NOTHING, bounded, count, finite, mean, show, span, word
from pipelines.report.charts import Axis, Point, Row, Series, strip_chart, xy_chart
from pipelines.report.study import SMOKE_SEEDS, Study, dots_of, labels_cell
from pipelines.scale_laws import Law

_LAW_POINTS = 24
"""Points a law is drawn through: a smooth line at this width."""
_NOTE = (
    "P3: error = c + a n^(\u2212b); BD: bounded, 1 without data. Missed by, best first: |ln e| off at the largest size, by a fit "
    "that was not shown it; last value: the size before it carried on. Frames: beyond the largest size. Brackets: 95 %. "
    "What a refusal forbids to state is withheld."
)
_HELD_NOTE = (
    "Each law is fitted without the largest size and predicts it: bar, its 95 % interval. Marker: the mean measured there; small "
    "dots: its seeds. That mean scatters too, so one miss among many may be chance. Only where a law is stated."
)
_WITHHELD = Cell("withheld")
_PARAMETERS = ("floor", "exponent")


def law_series(study: Study, dataset: str, budget: str) -> list[Series]:
    """Return fitted laws as lines of IoU, over the sizes measured and no further; dashed where something is refused."""
    found = []
    for curve in study.entries("curves"):
        if (curve["dataset"], curve["budget"]) == (dataset, budget) and (law := _law(curve)) is not None:
            low, high = math.log(curve["sizes"][0]), math.log(curve["sizes"][-1])
            sizes = [math.exp(low + (high - low) * k / (_LAW_POINTS - 1)) for k in range(_LAW_POINTS)]
            points = tuple(Point(size, 100.0 * (1.0 - float(law(size)))) for size in sizes)
            found.append(Series("", study.ink(curve["arm"]), points, is_dashed=not states_law(curve), marks="none"))
    return found


def stated(study: Study, dataset: str, budget: str, arm: str) -> bool:
    """Return whether an arm has a law whose numbers are stated."""
    wanted = (dataset, budget, arm)
    of_arm = [c for c in study.entries("curves") if (c["dataset"], c["budget"], c["arm"]) == wanted]
    return any(states_law(curve) for curve in of_arm)


def states_law(curve: Mapping[str, Any]) -> bool:
    """Return whether the numbers of a curve's law are stated: a price that is refused leaves the law as it is."""
    intervals = curve.get("intervals") or {}
    return curve.get("law") is not None and all(intervals.get(name) is not None for name in _PARAMETERS)


def laws(studies: Sequence[Study]) -> Section | Omitted:
    """Return laws, how well they extrapolate, and what is refused, word for word."""
    title = "Laws of scale"
    if not any(study.entries("curves") for study in studies):
        return Omitted(title, "no study with several label counts was given; a law needs 5 sizes over 1.5 decades, and 5 seeds")
    blocks = [block for study in studies if study.entries("curves") for block in _law_blocks(study)]
    return Section("laws", title, "How errors fall with labels, as far as the rules allow to say it.", tuple(blocks))


def _law_blocks(study: Study) -> Iterator[Block]:
    curves = study.entries("curves")
    heads = ("data set", "budget", "arm", "law", "floor c", "exponent b", "frames for +1 IoU", "missed by", "seeds", "sizes")
    yield table(f"{study.name}: fits of error = 1 \u2212 IoU", heads, [_law_row(curve) for curve in curves], _NOTE)
    if refusals := tuple(f"{_place(curve)}: {line}" for curve in curves for line in _refusals(curve)):
        yield Lines(f"{study.name}: refused, and why", refusals)
    yield from _predictions(study)
    if figures := tuple(_residuals(study)):
        yield Panels(f"{study.name}: what the fits leave", figures, is_folded=True)


def _law(curve: Mapping[str, Any]) -> Law | None:
    entry = curve.get("law")
    return None if entry is None else Law(entry["name"], entry["floor"], entry["exponent"], entry["scale"])


def _place(curve: Mapping[str, Any]) -> str:
    return f"{curve['dataset']}, {curve['budget']}, {curve['arm']}"


def _law_row(curve: Mapping[str, Any]) -> list[Cell]:
    law = _law(curve)
    misses = dict(sorted((curve.get("extrapolation") or {}).items(), key=lambda miss: (finite(miss[1]) is None, miss[1])))
    sizes = ", ".join(f"{size:g}" for size in curve["sizes"])
    cells = [word(curve["dataset"]), word(curve["budget"]), word(curve["arm"]), NOTHING if law is None else word(law.name)]
    cells += [_parameter(curve, law, name) for name in _PARAMETERS]
    cells.append(_price(curve))
    cells.append(Cell("; ".join(f"{name} {show(value, 3)}" for name, value in misses.items()) or DASH, misses))
    return [*cells, count(len(curve["errors"][0]) if curve["errors"] else 0), word(sizes)]


def _parameter(curve: Mapping[str, Any], law: Law | None, name: str) -> Cell:
    if law is None:
        return NOTHING
    return bounded(getattr(law, name), *curve["intervals"][name], digits=3) if states_law(curve) else _WITHHELD


def _price(curve: Mapping[str, Any]) -> Cell:
    """Return the labelled frames that one more point of IoU takes, with their interval where the study has one."""
    more = finite(curve.get("frames_for_one_point"))
    if more is not None and states_law(curve):
        return bounded(more, *(curve.get("price_interval") or (None, None)), digits=0)
    return _WITHHELD if _refusals(curve) else NOTHING


def _refusals(curve: Mapping[str, Any]) -> list[str]:
    """Return what is refused of a curve; in older files what forbids a price alone stands among what forbids the law."""
    return [*curve["refusals"], *filter(None, [curve.get("price_refusal")])]


def _predictions(study: Study) -> Iterator[Block]:
    """Yield what laws predict at the largest size, which they were not shown, beside what was measured there."""
    found = [(curve, iou) for curve in study.entries("curves") if _law(curve) is not None and (iou := _predicted(curve))]
    if not found:
        return
    figures = []
    for place in dict.fromkeys((curve["dataset"], curve["budget"]) for curve, _ in found):
        rows = [_prediction_strip(study, *pair) for pair in found if (pair[0]["dataset"], pair[0]["budget"]) == place]
        title = ", ".join(place)
        svg = strip_chart(rows, Axis("test IoU, %", within=(0.0, 100.0)), title=f"prediction at the largest size, {title}")
        figures.append(Figure(title, svg, [{"arm": r.name, "measured": r.value, "predicted": [r.low, r.high]} for r in rows]))
    yield Panels(f"{study.name}: does the law foresee the largest size?", tuple(figures), _HELD_NOTE)
    heads = ("data set", "budget", "arm", "labels", "IoU predicted", "IoU measured", "seeds", "prediction")
    yield table(f"{study.name}: predicted and measured, percent", heads, [_prediction_row(*pair) for pair in found])


def _predicted(curve: Mapping[str, Any]) -> Interval | None:
    """Return the predicted interval as IoU, percent."""
    low, high = (finite(error) for error in curve.get("prediction") or (None, None))
    return None if low is None or high is None else Interval(100.0 * (1.0 - high), 100.0 * (1.0 - low))


def _measured(curve: Mapping[str, Any]) -> tuple[list[float], float]:
    """Return the IoU of each seed at the largest size and their mean, percent."""
    values = [100.0 * (1.0 - error) for error in curve["errors"][-1]]
    return values, math.fsum(values) / len(values)


def _verdict(predicted: Interval, middle: float) -> str:
    if predicted.low <= middle <= predicted.high:
        return "held"
    return "missed: better" if middle > predicted.high else "missed: worse"


def _prediction_strip(study: Study, curve: Mapping[str, Any], predicted: Interval) -> Row:
    values, middle = _measured(curve)
    dots = dots_of(curve["seeds"], values)
    name = f"{curve['arm']} at {labels_cell(curve['sizes'][-1]).text} labels"
    return Row(name, study.ink(curve["arm"]), middle, *predicted, dots, text=_verdict(predicted, middle))


def _prediction_row(curve: Mapping[str, Any], predicted: Interval) -> list[Cell]:
    values, middle = _measured(curve)
    names = [word(curve[key]) for key in ("dataset", "budget", "arm")]
    span_ = Cell(f"{show(predicted.low, 1)} to {show(predicted.high, 1)}", list(predicted))
    return [
        *names,
        labels_cell(curve["sizes"][-1]),
        span_,
        mean(values, 1),
        count(len(values)),
        word(_verdict(predicted, middle)),
    ]


def _residuals(study: Study) -> Iterator[Figure]:
    by_place: dict[tuple[str, str], list[Series]] = {}
    for curve in study.entries("curves"):
        if (law := _law(curve)) is not None:
            pairs = zip(curve["sizes"], curve["errors"], strict=True)
            points = tuple(_residual(size, errors, float(law(size))) for size, errors in pairs)
            series = Series(curve["arm"], study.ink(curve["arm"]), points)
            by_place.setdefault((curve["dataset"], curve["budget"]), []).append(series)
    for (dataset, budget), lines in by_place.items():
        title = f"{dataset}, {budget}"
        sizes = tuple(sorted({point.x for line in lines for point in line.points}))
        axes = Axis("labelled real frames", True, ticks=sizes), Axis("ln (error / law)")
        data = [{"arm": line.name, "size_residual": [[p.x, p.y] for p in line.points]} for line in lines]
        yield Figure(title, xy_chart(lines, *axes, title=f"residuals, {title}", level=0.0), data)


def _residual(size: float, errors: Sequence[float], expected: float) -> Point:
    dots = tuple((f"seed {k + 1} of {len(errors)}", math.log(error / expected)) for k, error in enumerate(errors))
    return Point(float(size), math.log(math.fsum(errors) / len(errors) / expected), dots=dots)


def ratios(studies: Sequence[Study]) -> Section | Omitted:
    """Return what starts are worth in labels."""
    title = "What a start is worth in labels"
    if not any(study.entries("ratios") for study in studies):
        return Omitted(title, "no study compares starts over several label counts")
    blocks: list[Block] = []
    for study in studies:
        entries = study.entries("ratios")
        if not entries:
            continue
        places = list(dict.fromkeys((entry["dataset"], entry["budget"]) for entry in entries))
        parts = [[entry for entry in entries if (entry["dataset"], entry["budget"]) == place] for place in places]
        figures = tuple(_ratio_figure(study, ", ".join(place), part) for place, part in zip(places, parts, strict=True))
        blocks.append(Panels(f"{study.name}: times the labels that the reference needs", figures))
        heads = ("data set", "budget", "arm", "reference", "labels", "ratio", "reading")
        rows = [_ratio_row(entry) for entry in entries]
        blocks.append(table(f"{study.name}: label ratios", heads, rows))
    lead = (
        "How many times the labels the reference needs to come as far: isotonic inversion of its curve, never extrapolated. "
        "Where its curve ends, a bound without an interval. A ratio whose interval holds 1 is no evidence."
    )
    return Section("ratios", title, lead, tuple(blocks))


def _reading(entry: Mapping[str, Any]) -> str:
    """Return a ratio in words, no more than it says."""
    ratio, low, high = finite(entry["ratio"]), finite(entry.get("low")), finite(entry.get("high"))
    if ratio is None:
        return "not known"
    start = f"at {labels_cell(entry['labels']).text} labels {entry['arm']} is worth"
    if entry["bound"] != "=":
        return f"{start} {'at least' if entry['bound'] == '>=' else 'less than'} {ratio:.2g} times the labels"
    if low is None or high is None:
        return f"{start} {ratio:.2g} times the labels; no interval"
    return f"{start} {ratio:.2g} times the labels" + ("; no evidence: 1 lies inside" if low <= 1.0 <= high else "")


def _ratio_row(entry: Mapping[str, Any]) -> list[Cell]:
    names = [word(entry[key]) for key in ("dataset", "budget", "arm", "reference")]
    return [*names, labels_cell(entry["labels"]), _ratio_cell(entry), word(_reading(entry))]


def _ratio_cell(entry: Mapping[str, Any]) -> Cell:
    low, high = finite(entry.get("low")), finite(entry.get("high"))
    sign = {"=": "", ">=": "\u2265 ", "<": "< "}[entry["bound"]]
    text = f"{sign}{show(entry['ratio'])}" + (f" {span(low, high)}" if low is not None else "")
    value = {key: entry.get(key) for key in ("ratio", "bound", "low", "high")}
    return Cell(text, value, is_strong=low is not None and high is not None and not low <= 1.0 <= high)


def _ratio_figure(study: Study, title: str, entries: Sequence[Mapping[str, Any]]) -> Figure:
    rows, is_smoke = [_ratio_strip(study, entry) for entry in entries], len(study.seeds) <= SMOKE_SEEDS
    name = f"label ratios, {title}"
    svg = strip_chart(rows, Axis("label ratio", True), title=name, is_smoke=is_smoke, level=1.0, level_name="1, worth nothing")
    return Figure(title, svg, [dict(entry) for entry in entries])


def _ratio_strip(study: Study, entry: Mapping[str, Any]) -> Row:
    name, number_ = f"{entry['arm']} at {labels_cell(entry['labels']).text} labels", study.ink(entry["arm"])
    low, high = finite(entry.get("low")), finite(entry.get("high"))
    return Row(name, number_, finite(entry["ratio"]), low, high, text=_ratio_cell(entry).text, bound=entry["bound"])
