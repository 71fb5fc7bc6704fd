"""What more labels buy: laws of the error against labels with their refusals, and what a start is worth in labels.

Only seeds that every size of a curve has enter, so that curves compare the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from finetune.metrics.intervals import Interval
from pipelines.scale_cells import Frames
from pipelines.scale_labels import LabelRatio, label_ratio
from pipelines.scale_laws import Law, LearningCurve, extrapolation_errors, log_interval, predict
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_rules import Judgement, judge, refuse_horizon
from pipelines.scale_table import Group
from pipelines.scale_transfer import TransferGrid, TransferJudgement, judge_transfer

ONE_POINT = 0.01
"""Gain in IoU whose price in frames is stated, as a ratio."""
SMALLEST_ERROR = 1e-4
"""Errors enter logarithms: an IoU of 100 % counts as 99.99 %."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one more point of IoU takes.

    Attributes:
        frames: Frames beyond the largest size, or None where that is not stated.
        interval: Its 95 % interval; None where it has none: without some seed no number of frames buys the point.
        refusal: Why it is not stated, or None.
    """

    frames: float | None
    interval: Interval | None
    refusal: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ArmCurve:
    """One arm's test error against labels.

    Attributes:
        dataset: Name of the data set.
        budget: Name of the budget.
        arm: Name of the arm.
        seeds: Seeds that every size has.
        curve: Errors, or None with fewer than 2 sizes or no such seed.
        judgement: What may be said of it, or None without curve.
        law: Law P3 where it may be stated; its parameters only where the judgement has their intervals.
        prediction: 95 % interval of the error at the largest size, by the law fitted without it; None where no law is stated.
        refusals: Why there is no law, or beside a law why its parameters are not stated.
        extrapolation: Law, or "last value" -> its miss in ln e at the largest size, which it was not shown.
        price: What one more point of IoU takes; None without law.
    """

    dataset: str
    budget: str
    arm: str
    seeds: tuple[int, ...]
    curve: LearningCurve | None
    judgement: Judgement | None
    law: Law | None
    prediction: Interval | None
    refusals: tuple[str, ...]
    extrapolation: Mapping[str, float]
    price: Price | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        names = {"dataset": self.dataset, "budget": self.budget, "arm": self.arm, "seeds": list(self.seeds)}
        if self.curve is None or self.judgement is None:
            return names | {"sizes": [], "errors": [], "law": None, "intervals": {}, "refusals": [], "extrapolation": {}}
        price = self.price or Price(None, None, None)
        return names | {
            "sizes": self.curve.sizes.tolist(),
            "errors": self.curve.errors.tolist(),
            "law": None if self.law is None else asdict(self.law),
            "intervals": {"floor": self.judgement.floor, "exponent": self.judgement.exponent},
            "prediction": self.prediction,
            "refusals": list(self.refusals),
            "extrapolation": dict(self.extrapolation),
            "frames_for_one_point": price.frames,
            "price_interval": price.interval,
            "price_refusal": price.refusal,
        }


def curves_of(study: StudyRecipe, frames: Mapping[str, Frames], groups: Sequence[Group]) -> Iterator[ArmCurve]:
    """Yield the curve of every arm under every budget on every data set that has several label counts.

    Args:
        study: The study.
        frames: Name of a data set -> its frames.
        groups: All groups of the study.
    """
    for dataset in study.sets:
        if len(dataset.labels) < 2:
            continue
        for budget in study.budgets:
            for arm in study.arms:
                own = [g for g in groups if (g.dataset, g.budget, g.arm) == (dataset.name, budget.name, arm.name) and g.seeds]
                yield _curve(dataset.name, budget.name, arm.name, own, frames[dataset.name].train)


def _curve(dataset: str, budget: str, arm: str, groups: Sequence[Group], num_train: int) -> ArmCurve:
    common = sorted(set.intersection(*(set(group.seeds) for group in groups))) if groups else []
    if len(groups) < 2 or not common:
        return ArmCurve(dataset, budget, arm, tuple(common), None, None, None, None, (), {}, None)
    sizes = np.array([num_train if group.labels is None else group.labels for group in groups], np.float64)
    values = [dict(zip(group.seeds, group.scores["iou"], strict=True)) for group in groups]
    errors = np.array([[1.0 - of_size[seed] / 100.0 for seed in common] for of_size in values])
    curve = LearningCurve(sizes, np.clip(errors, SMALLEST_ERROR, 1.0))
    collapsed = [group.num_collapsed / len(group.seeds) for group in groups]
    verdict = judge(curve, collapsed=collapsed, convergence=[group.convergence for group in groups])
    law = verdict.law
    misses = dict(extrapolation_errors(curve)) if len(sizes) >= 4 else {}
    seen = None if law is None else predict("P3", curve.up_to(len(sizes) - 1), float(sizes[-1]))
    price = _price(verdict, curve)
    return ArmCurve(dataset, budget, arm, tuple(common), curve, verdict, law, seen, verdict.refusals, misses, price)


def _price(verdict: Judgement, curve: LearningCurve) -> Price | None:
    """Return what one more point of IoU takes at the largest size, or why that is not stated; None without law."""
    if verdict.law is None:
        return None
    if verdict.floor is None:
        return Price(None, None, "one more point of IoU: its price hangs on the floor, which is not identified")
    largest = float(curve.sizes[-1])
    more = verdict.law.frames_for(largest, ONE_POINT)
    if math.isinf(more):
        return Price(None, None, "one more point of IoU lies below the floor: no number of frames buys it")
    if (refusal := refuse_horizon(curve, largest + more)) is not None:
        return Price(None, None, f"one more point of IoU: {refusal}")
    left_out = [law.frames_for(largest, ONE_POINT) for law in verdict.left_out]
    if any(map(math.isinf, left_out)):
        return Price(more, None, None)
    return Price(more, log_interval(math.log(more), [math.log(value) for value in left_out]), None)


def ratios_of(study: StudyRecipe, curves: Sequence[ArmCurve]) -> Iterator[tuple[ArmCurve, LabelRatio]]:
    """Yield what every arm but the reference is worth in labels at each size, on the seeds that both curves have.

    Args:
        study: The study.
        curves: Its curves.
    """
    references = {(c.dataset, c.budget): c for c in curves if c.arm == study.reference}
    for found in curves:
        scratch = references[found.dataset, found.budget]
        common = [seed for seed in found.seeds if seed in scratch.seeds]
        if found.arm == study.reference or found.curve is None or scratch.curve is None or not common:
            continue
        better, reference = (_on_seeds(c, common) for c in (found, scratch))
        for size in better.sizes:
            yield found, label_ratio(better, reference, float(size))


def _on_seeds(found: ArmCurve, seeds: Sequence[int]) -> LearningCurve:
    assert found.curve is not None
    return LearningCurve(found.curve.sizes, found.curve.errors[:, [found.seeds.index(seed) for seed in seeds]])


def ratio_dict(study: StudyRecipe, found: ArmCurve, ratio: LabelRatio) -> dict[str, Any]:
    """Return a label ratio as JSON values."""
    low, high = ratio.interval or (None, None)
    names = {"dataset": found.dataset, "budget": found.budget, "arm": found.arm, "reference": study.reference}
    return names | {"labels": ratio.size, "ratio": ratio.ratio, "bound": ratio.bound, "low": low, "high": high}


def transfers_of(
    study: StudyRecipe, frames: Mapping[str, Frames], groups: Sequence[Group]
) -> Iterator[tuple[str, str, TransferJudgement]]:
    """Yield data set, budget and what may be said of the arms that differ in rendered frames alone.

    Args:
        study: The study.
        frames: Name of a data set -> its frames.
        groups: All groups of the study.
    """
    places = {(g.dataset, g.budget, g.labels, g.arm): g for g in groups}
    for dataset in study.sets if study.transfer else ():
        for budget in study.budgets:
            grid = [[places[dataset.name, budget.name, labels, arm] for labels in dataset.labels] for arm in study.transfer]
            common = sorted(set.intersection(*(set(group.seeds) for row in grid for group in row)))
            if not common:
                continue
            values = [[[group.scores["iou"][group.seeds.index(seed)] for seed in common] for group in row] for row in grid]
            found = frames[dataset.name]
            counts = np.array([found.made[arm] for arm in study.transfer], np.float64)
            sizes = np.array([found.train if labels is None else labels for labels in dataset.labels], np.float64)
            errors = np.clip(1.0 - np.array(values) / 100.0, SMALLEST_ERROR, 1.0)
            verdict = judge_transfer(
                TransferGrid(counts, sizes, errors, tuple(common)),
                collapsed=[[group.num_collapsed / len(group.seeds) for group in row] for row in grid],
                convergence=[[group.convergence for group in row] for row in grid],
            )
            yield dataset.name, budget.name, verdict
