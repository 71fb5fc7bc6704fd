"""The question of a study that fresh seeds decide: which label count, which arm, and what the confirmation says.

Label count and arm come from validation alone, with the selection seeds; test lists have no part in the choice. The confirmation
trains reference and chosen arm anew with the endpoint's seeds and compares them on test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.metrics.intervals import holm
from pipelines.scale_cells import Cell, Frames, cell_of
from pipelines.scale_recipe import Endpoint, StudyRecipe
from pipelines.scale_table import Comparison, Group, compare, group_of


@dataclass(frozen=True, slots=True)
class Choice:
    """What validation chose.

    Attributes:
        arm: The candidate.
        labels: Name of a data set -> label count of the endpoint there.
        validation_iou: Name of a candidate -> its mean validation IoU over data sets at these counts, percent.
    """

    arm: str
    labels: Mapping[str, int | None]
    validation_iou: Mapping[str, float]


def choose(study: StudyRecipe, endpoint: Endpoint, groups: Sequence[Group]) -> Choice | str:
    """Return what validation chooses with the selection seeds, or why it cannot choose.

    Args:
        study: The study.
        endpoint: Its endpoint.
        groups: All groups of the study.
    """
    budget, labels = study.budgets[0].name, {}
    asked = [g for g in groups if g.budget == budget and g.arm in (endpoint.reference, *endpoint.candidates)]
    if missing := [group for group in asked if not set(endpoint.selection) <= set(group.seeds)]:
        return f"{len(missing)} places of the grid lack selection seeds; the choice waits for them"
    means = {(g.dataset, g.labels, g.arm): _mean(_of_seeds(g, endpoint.selection)) for g in asked}
    for dataset in study.sets:
        top = means[dataset.name, dataset.labels[-1], endpoint.reference]
        low = [n for n in dataset.labels if means[dataset.name, n, endpoint.reference] <= top - endpoint.headroom]
        if not low:
            return (
                f"{dataset.name}: {endpoint.reference} is nowhere {endpoint.headroom:g} points below its value with most labels"
            )
        labels[dataset.name] = low[-1]
    scores = {arm: _mean([means[name, count, arm] for name, count in labels.items()]) for arm in endpoint.candidates}
    return Choice(max(scores, key=lambda arm: scores[arm]), labels, scores)


def choosing_cells(study: StudyRecipe, cells: Sequence[Cell]) -> list[Cell]:
    """Return the runs that the choice of the endpoint needs; none without one.

    Args:
        study: The study.
        cells: All its runs.
    """
    if study.endpoint is None:
        return []
    asked = (study.endpoint.reference, *study.endpoint.candidates)
    return [cell for cell in cells if cell.seed in study.endpoint.selection and cell.arm in asked]


def confirmation_cells(study: StudyRecipe, endpoint: Endpoint, choice: Choice, frames: Mapping[str, Frames]) -> Iterator[Cell]:
    """Yield the runs of the confirmation, seed by seed."""
    for seed in endpoint.seeds:
        for dataset, labels in choice.labels.items():
            for arm in (endpoint.reference, choice.arm):
                yield cell_of(study, study.budgets[0], dataset, frames[dataset], labels, study.arm(arm), seed)


def confirm(
    study: StudyRecipe, endpoint: Endpoint, cells: Sequence[Cell], tests: Mapping[Cell, Mapping[str, Any]]
) -> list[tuple[Comparison, float | None]]:
    """Return the comparison on each data set with its p, Holm over the data sets; None before all have one.

    Args:
        study: The study.
        endpoint: Its endpoint.
        cells: Cells of the confirmation.
        tests: Finished cells -> what they recorded.
    """
    budget, found = study.budgets[0].name, []
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        own = [cell for cell in cells if cell.dataset == dataset]
        reference = group_of(budget, [cell for cell in own if cell.arm == endpoint.reference], tests)
        chosen = group_of(budget, [cell for cell in own if cell.arm != endpoint.reference], tests)
        found.append(compare(chosen, reference))
    p_values = [comparison.p for comparison in found if comparison.p is not None]
    is_whole = len(p_values) == len(found)
    return list(zip(found, holm(p_values) if is_whole else [None] * len(found), strict=True))


def _of_seeds(group: Group, seeds: Sequence[int]) -> list[float]:
    return [group.validation_iou[group.seeds.index(seed)] for seed in seeds]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
