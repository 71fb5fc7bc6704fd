"""Accuracy against scale: every seed, mean and band of a study, over label counts or arm by arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.report.blocks import Block, Figure, Lines, Omitted, Panels, Section, Text
from pipelines.report.cells import finite, interval_of, mean
from pipelines.report.charts import Axis, Point, Row, Series, strip_chart, xy_chart
from pipelines.report.law_sections import law_series, stated
from pipelines.report.study import Group, Study, dots_of, known, point_of

AXES = {
    "iou": Axis("test IoU, %", within=(0.0, 100.0)),
    "niou": Axis("test nIoU, %", within=(0.0, 100.0)),
    "pd": Axis("Pd, %", within=(0.0, 100.0)),
    "fa": Axis("Fa, 10\u207b\u2076 of all pixels"),
}
_LEAD = "Small dots are single seeds, markers their means, bands or bars 95 % t intervals over seeds, from three seeds on."
_LAW_NOTE = (
    "Smooth lines: fitted laws over the sizes measured, where the rules allow them; dashed: a fit of which something is refused. "
    "Straight lines join means. Ringed: training had not converged, or is not known to have; the marker's tip says which."
)


def curves(studies: Sequence[Study]) -> Section | Omitted:
    """Return accuracy against scale."""
    title = "Accuracy against scale"
    if not studies:
        return Omitted(title, "no folder of pipelines.scale was given")
    blocks: list[Block] = []
    for study in studies:
        missing = sum(len(group.missing) for group in study.groups)
        planned = missing + sum(len(group.seeds) for group in study.groups)
        if missing:
            text = f"{study.name}: {missing} of {planned} seed results are missing; the table of arms names them."
            blocks.append(Text(text, is_warning=True))
        blocks += [panels for dataset in study.datasets for panels in _panels(study, dataset)]
        blocks.append(Lines(f"Arms of {study.name}", tuple(f"{name}: {about}" for name, about in study.arms.items())))
    return Section("curves", title, _LEAD, tuple(blocks))


def _panels(study: Study, dataset: str) -> Iterator[Block]:
    budgets = [budget for budget in study.budgets if any(group.seeds for group in study.part(dataset, budget))]
    if not budgets:
        yield Text(f"{study.name}: no run on {dataset} is finished.", is_warning=True)
        return
    note = _LAW_NOTE if study.has_ladder(dataset) else ""
    titles = {budget: f"{budget}: {study.budgets[budget]}" for budget in budgets}
    iou = tuple(figure(study, dataset, budget, "iou", title) for budget, title in titles.items())
    yield Panels(f"{study.name}: tested on {dataset}", iou, note)
    others = tuple(
        figure(study, dataset, budget, score, title) for score in ("niou", "pd", "fa") for budget, title in titles.items()
    )
    yield Panels(f"{dataset}: nIoU, Pd and Fa", others, is_folded=True)


def figure(study: Study, dataset: str, budget: str, score: str, title: str) -> Figure:
    """Return one score of every arm, over label counts where there are several."""
    groups = study.part(dataset, budget)
    draw = _ladder if study.has_ladder(dataset) else _strips
    svg = draw(study, groups, score, f"{_axis(score).label} on {dataset}, {title}")
    return Figure(title, svg, [_data(group, score) for group in groups])


def _axis(score: str) -> Axis:
    return AXES.get(score, AXES["pd"])


def _ladder(study: Study, groups: Sequence[Group], score: str, title: str) -> str:
    """Draw arms over label counts."""
    sizes = tuple(sorted({study.size(group) for group in groups}))
    lines = [_series(study, arm, [group for group in groups if group.arm == arm], score) for arm in study.arms]
    if score == "iou":
        lines += law_series(study, groups[0].dataset, groups[0].budget)
    shown = [line for line in lines if line.points]
    is_smoke = any(group.is_smoke for group in groups)
    return xy_chart(shown, Axis("labelled real frames", True, ticks=sizes), _axis(score), title=title, is_smoke=is_smoke)


def _strips(study: Study, groups: Sequence[Group], score: str, title: str) -> str:
    """Draw arms in rows, beside the reference."""
    rows = [_row(study, group, score) for group in groups]
    level = next((row.value for row, group in zip(rows, groups, strict=True) if group.arm == study.reference), None)
    name = "" if level is None else f"mean of {study.reference}"
    is_smoke = any(group.is_smoke for group in groups)
    return strip_chart(rows, _axis(score), title=title, is_smoke=is_smoke, level=level, level_name=name)


def _series(study: Study, arm: str, groups: Sequence[Group], score: str) -> Series:
    points = (_point(study, group, score) for group in groups if known(group.scores[score]))
    is_law_drawn = score == "iou" and any(stated(study, group.dataset, group.budget, arm) for group in groups)
    return Series(arm, study.ink(arm), tuple(sorted(points, key=lambda point: point.x)), has_line=not is_law_drawn)


def _point(study: Study, group: Group, score: str) -> Point:
    return point_of(study.size(group), group.seeds, group.scores[score], group.doubt)


def _row(study: Study, group: Group, score: str) -> Row:
    values = known(group.scores[score])
    low, high = interval_of(values) or (None, None)
    text = mean(group.scores[score], 1).text if group.seeds else "not run"
    name = f"{group.arm}, {group.num_frames:,} frames, {group.steps:,} steps"
    middle, dots = sum(values) / len(values) if values else None, dots_of(group.seeds, group.scores[score])
    return Row(name, study.ink(group.arm), middle, low, high, dots, text)


def _data(group: Group, score: str) -> dict[str, object]:
    values = [finite(value) for value in group.scores[score]]
    return {"arm": group.arm, "labels": group.labels, "frames": group.num_frames, "seeds": list(group.seeds), score: values}
