"""The question of a study that fresh seeds decide: which label count, which arm, and what the confirmation says.

Label count and arm come from validation alone, with the selection seeds; test lists have no part in the choice. The confirmation
trains reference and chosen arm anew with the endpoint's seeds and compares them on test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetune.metrics.intervals import holm
from pipelines.scale_cells import Cell, Frames, cell_of
from pipelines.scale_recipe import Endpoint, StudyRecipe
from pipelines.scale_table import MATCHED_FA, Comparison, Group, compare, group_of, paired


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


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What fresh seeds say on one data set.

    Attributes:
        reference: The reference with fresh seeds.
        chosen: The chosen arm with them.
        comparison: The answer: test IoU of the one minus that of the other.
        p_holm: Its p, Holm over data sets; None before all have one.
    """

    reference: Group
    chosen: Group
    comparison: Comparison
    p_holm: float | None

    def secondary(self) -> dict[str, tuple[float, ...]]:
        """Return what was asked beside the answer: differences paired by seed, percentage points, of the seeds that have both."""
        pairs = {f"Pd at Fa {MATCHED_FA:g}": [group.pd_at(MATCHED_FA) for group in (self.chosen, self.reference)]}
        pairs["IoU, clean"] = [self.chosen.clean_iou, self.reference.clean_iou]
        for name in self.reference.other_iou.keys() & self.chosen.other_iou.keys():
            pairs[f"IoU on {name}"] = [self.chosen.other_iou[name], self.reference.other_iou[name]]
        return {name: self._paired(*values) for name, values in sorted(pairs.items())}

    def _paired(self, chosen: Sequence[float], reference: Sequence[float]) -> tuple[float, ...]:
        found = paired(self.chosen.seeds, chosen, self.reference.seeds, reference)
        return tuple(difference for difference in found.values() if math.isfinite(difference))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        groups = {"reference": self.reference.to_dict(), "chosen": self.chosen.to_dict()}
        secondary = {name: list(values) for name, values in self.secondary().items()}
        return asdict(self.comparison) | {"p_holm": self.p_holm, "secondary": secondary, "groups": groups}


def places(study: StudyRecipe, endpoint: Endpoint, groups: Sequence[Group]) -> dict[str, int | None] | str:
    """Return the label count of the endpoint on every data set, from the reference's curve alone, or why there is none.

    Args:
        study: The study.
        endpoint: Its endpoint.
        groups: All groups of the study.
    """
    curve = {(g.dataset, g.labels): g for g in groups if (g.budget, g.arm) == (study.budgets[0].name, endpoint.reference)}
    if missing := _lacking(endpoint, curve.values()):
        return f"{missing} places of {endpoint.reference} lack selection seeds; the choice waits for them"
    found: dict[str, int | None] = {}
    for dataset in study.sets:
        scores = [_score(endpoint, curve[dataset.name, count]) for count in dataset.labels]
        low = [count for count, score in zip(dataset.labels, scores, strict=True) if score <= scores[-1] - endpoint.headroom]
        if not low:
            return (
                f"{dataset.name}: {endpoint.reference} is nowhere {endpoint.headroom:g} points below its value with most labels"
            )
        found[dataset.name] = low[-1]
    return found


def choose(study: StudyRecipe, endpoint: Endpoint, groups: Sequence[Group]) -> Choice | str:
    """Return what validation chooses with the selection seeds, or why it cannot choose.

    Args:
        study: The study.
        endpoint: Its endpoint.
        groups: All groups of the study.
    """
    labels = places(study, endpoint, groups)
    if isinstance(labels, str):
        return labels
    budget = study.budgets[0].name
    there = {
        (g.dataset, g.arm): g
        for g in groups
        if g.budget == budget and g.arm in endpoint.candidates and g.labels == labels[g.dataset]
    }
    if missing := _lacking(endpoint, there.values()):
        return f"{missing} candidates lack selection seeds at the endpoint; the choice waits for them"
    scores = {arm: _mean([_score(endpoint, there[name, arm]) for name in labels]) for arm in endpoint.candidates}
    return Choice(max(scores, key=lambda arm: scores[arm]), labels, scores)


def choosing_cells(study: StudyRecipe, cells: Sequence[Cell], labels: Mapping[str, int | None] | None) -> list[Cell]:
    """Return the runs that the choice of the endpoint needs next; none without one.

    Args:
        study: The study.
        cells: All its runs.
        labels: Name of a data set -> label count of the endpoint there, for the runs of the candidates; before it is known None,
            for those of the reference.
    """
    endpoint = study.endpoint
    if endpoint is None:
        return []
    own = [cell for cell in cells if cell.seed in endpoint.selection]
    if labels is None:
        return [cell for cell in own if cell.arm == endpoint.reference]
    return [cell for cell in own if cell.arm in endpoint.candidates and cell.labels == labels[cell.dataset]]


def confirmation_cells(study: StudyRecipe, endpoint: Endpoint, choice: Choice, frames: Mapping[str, Frames]) -> Iterator[Cell]:
    """Yield the runs of the confirmation, seed by seed."""
    for seed in endpoint.seeds:
        for dataset, labels in choice.labels.items():
            for arm in (endpoint.reference, choice.arm):
                yield cell_of(study, study.budgets[0], dataset, frames[dataset], labels, study.arm(arm), seed)


def confirm(
    study: StudyRecipe, endpoint: Endpoint, cells: Sequence[Cell], tests: Mapping[Cell, Mapping[str, Any]]
) -> list[Confirmation]:
    """Return what fresh seeds say on each data set.

    Args:
        study: The study.
        endpoint: Its endpoint.
        cells: Cells of the confirmation.
        tests: Finished cells -> what they recorded.
    """
    budget, pairs = study.budgets[0].name, []
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        own = [cell for cell in cells if cell.dataset == dataset]
        reference = group_of(budget, [cell for cell in own if cell.arm == endpoint.reference], tests)
        chosen = group_of(budget, [cell for cell in own if cell.arm != endpoint.reference], tests)
        pairs.append((reference, chosen, compare(chosen, reference)))
    p_values = [comparison.p for *_, comparison in pairs if comparison.p is not None]
    corrected: Sequence[float | None] = holm(p_values) if len(p_values) == len(pairs) else [None] * len(pairs)
    return [Confirmation(*pair, p_holm) for pair, p_holm in zip(pairs, corrected, strict=True)]


def _lacking(endpoint: Endpoint, groups: Iterable[Group]) -> int:
    return sum(not set(endpoint.selection) <= set(group.seeds) for group in groups)


def _score(endpoint: Endpoint, group: Group) -> float:
    """Return the mean validation IoU over the selection seeds, percent."""
    return _mean([group.validation_iou[group.seeds.index(seed)] for seed in endpoint.selection])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
