"""What the runs of a study do at every operating point: Pd against Fa, and Pd by target size and strength, over label counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from finetune.metrics.operating import pd_at
from pipelines.report.blocks import Block, Cell, Figure, Panels, table
from pipelines.report.cells import difference, finite, interval_of, mean, word
from pipelines.report.charts import Axis, Point, Series, xy_chart
from pipelines.report.study import Group, Study, known, labels_cell, stratum_score
from pipelines.report.study_curves import figure
from pipelines.scale_table import MATCHED_FA, paired

SHOWN_FA = (5.0, MATCHED_FA, 100.0)
"""False-alarm areas, 1e-6, of the table (our choice: published rows lie between 5 and 100)."""
_KEYS = (("by_area", "px"), ("by_scr", "|SCR|"))
_NOTE = (
    "Percent; best Pd at or below each Fa (10\u207b\u2076 of all pixels) over thresholds on log-odds; mean \u00b1 half the 95 % "
    "t interval over seeds. Differences are paired by seed, bold where the interval excludes zero, exploratory."
)


def pd_fa_blocks(studies: Sequence[Study]) -> Iterator[Block]:
    """Yield Pd against Fa of every arm, a panel each label count, and Pd at matched Fa."""
    for study, dataset, budget in _parts(studies):
        groups = [group for group in study.part(dataset, budget) if any(group.operating)]
        counts = list(dict.fromkeys(group.labels for group in study.part(dataset, budget)))
        panels = [_pd_fa(study, [group for group in groups if group.labels == count]) for count in counts]
        title = f"{study.name}: {dataset}, {budget}, mean Pd over seeds"
        yield Panels(title, tuple(panel for panel in panels if panel is not None))
        rows = [_matched(group, _reference(study, group, groups)) for group in groups]
        heads = ["arm", "labels", *(f"Pd at Fa \u2264 {fa:g}" for fa in SHOWN_FA)]
        heads.append(f"Pd at Fa \u2264 {MATCHED_FA:g} minus {study.reference}")
        yield table(f"{study.name}: {dataset}, {budget}, Pd at matched Fa", heads, rows, _NOTE)


def strata_blocks(studies: Sequence[Study]) -> Iterator[Block]:
    """Yield Pd by target size and by SCR, a panel each bin."""
    for study, dataset, budget in _parts(studies):
        for key, unit in _KEYS:
            bins = _bins(study.part(dataset, budget), key)
            figures = tuple(
                figure(study, dataset, budget, stratum_score(key, label), _bin_title(label, unit, number))
                for label, number in bins.items()
                if number
            )
            by = "target area" if key == "by_area" else "|SCR|"
            yield Panels(f"{study.name}: {dataset}, {budget}, Pd by {by}", figures, is_folded=True)


def _parts(studies: Sequence[Study]) -> Iterator[tuple[Study, str, str]]:
    for study in studies:
        for dataset, budget in product(study.datasets, study.budgets):
            if any(any(group.operating) for group in study.part(dataset, budget)):
                yield study, dataset, budget


def _pd_fa(study: Study, groups: Sequence[Group]) -> Figure | None:
    if not groups:
        return None
    labels = labels_cell(groups[0].labels).text
    title = f"{labels} labels"
    lines = [Series(group.arm, study.ink(group.arm), tuple(_points(group)), marks="last") for group in groups]
    axes = Axis("Fa, 10\u207b\u2076 of all pixels", True), Axis("Pd, %", within=(0.0, 100.0))
    svg = xy_chart(lines, *axes, title=f"Pd against Fa, {title}", is_smoke=any(group.is_smoke for group in groups))
    return Figure(
        title, svg, [{"arm": g.arm, "fa": _fa(g), "pd": [points and points["pd"] for points in g.operating]} for g in groups]
    )


def _points(group: Group) -> Iterator[Point]:
    for fa in _fa(group):
        if values := known(_pd_at(group, fa)):
            yield Point(fa, sum(values) / len(values))


def _fa(group: Group) -> list[float]:
    return list(next(points["fa"] for points in group.operating if points))


def _pd_at(group: Group, fa: float) -> tuple[float, ...]:
    return tuple(pd_at(points, fa) for points in group.operating)


def _reference(study: Study, group: Group, groups: Sequence[Group]) -> Group | None:
    found = (other for other in groups if (other.arm, other.labels) == (study.reference, group.labels))
    return None if group.arm == study.reference else next(found, None)


def _matched(group: Group, reference: Group | None) -> list[Cell]:
    cells = [word(group.arm), labels_cell(group.labels), *(mean(_pd_at(group, fa), 1) for fa in SHOWN_FA)]
    if reference is None:
        return [*cells, Cell("", None)]
    pairs = paired(group.seeds, _pd_at(group, MATCHED_FA), reference.seeds, _pd_at(reference, MATCHED_FA))
    differences = [value for value in pairs.values() if finite(value) is not None]
    low, high = interval_of(differences) or (None, None)
    return [*cells, difference(differences, low, high)]


def _bins(groups: Sequence[Group], key: str) -> dict[str, int]:
    """Return each bin with its number of targets, the same for all runs of a test list."""
    points = next(found for group in groups for found in group.operating if found)
    return {label: total for label, _, total in points[key]}


def _bin_title(label: str, unit: str, number: int) -> str:
    name = label if unit in label else f"{unit} {label}"
    return f"{name}: {number} target{'' if number == 1 else 's'}"
