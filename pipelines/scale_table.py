"""The tables of a study: means over seeds, paired differences with t intervals, and what they could have shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetune.metrics.intervals import paired_p, seed_interval, sign_flip_p, smallest_detectable
from finetune.metrics.operating import pd_at
from finetune.metrics.scores import finite
from pipelines.scale_cells import Cell, Frames, cell_of
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_rules import Convergence

SCORES = ("iou", "niou", "pd", "fa")
MIN_SEEDS = 3
MOST_P = 0.05
"""Holm p above which an endpoint is not answered (the usual level)."""
LIMITED_ABOVE = 0.05
"""Share of the whole fall of the loss that the last fifth of training may bring (our choice); single runs scatter by 15 %."""
MATCHED_FA = 20.0
"""False-alarm area, 1e-6, at which arms are compared by Pd (our choice: published rows lie between 5 and 100)."""


@dataclass(frozen=True, slots=True)
class Group:
    """The seeds of one arm with one label count under one budget on one data set.

    Attributes:
        dataset: Name of the data set.
        budget: Name of the budget.
        arm: Name of the arm.
        labels: Training frames whose masks are used, or None for all.
        num_frames: Frames it trains on.
        steps: Optimiser steps.
        seeds: Seeds that are done.
        validation_iou: Best IoU on validation, percent, of each of them.
        scores: Name of a score -> value of each seed on the test list; NaN where undefined, as Pd without a target.
        clean_iou: IoU of each seed on the test frames without near duplicates; NaN where there are none.
        other_iou: Name of another data set -> IoU of each seed on its test list.
        loss_slopes: Share of the whole fall of the loss that the last fifth of training brought, of each seed; NaN if unknown.
        collapsed: Whether each of them says background everywhere; they stay in the means.
        init: Where the weights they start from come from.
        operating: Operating points of each seed on the test list (:mod:`finetune.metrics.operating`); None where its test was
            made before they were kept.
    """

    dataset: str
    budget: str
    arm: str
    labels: int | None
    num_frames: int
    steps: int
    seeds: tuple[int, ...]
    validation_iou: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]
    clean_iou: tuple[float, ...]
    other_iou: Mapping[str, tuple[float, ...]]
    loss_slopes: tuple[float, ...]
    collapsed: tuple[bool, ...]
    init: str
    operating: tuple[Mapping[str, Any] | None, ...]

    def pd_at(self, fa: float) -> tuple[float, ...]:
        """Return the best Pd of each seed at or below an Fa of the ladder (1e-6), percent; NaN where unknown."""
        return tuple(pd_at(points, fa) for points in self.operating)

    @property
    def num_collapsed(self) -> int:
        """Seeds that say background everywhere."""
        return sum(self.collapsed)

    @property
    def convergence(self) -> Convergence:
        """Whether training had converged: not where its end brought more than 5 % of the whole fall, surely more than nothing."""
        known = [slope for slope in self.loss_slopes if math.isfinite(slope)]
        if len(known) < MIN_SEEDS:
            return "unknown"
        low, high = seed_interval(known)
        return "limited" if low > 0.0 and (low + high) / 2.0 > LIMITED_ABOVE else "reached"

    @property
    def is_limited(self) -> bool:
        """Whether training surely had not converged."""
        return self.convergence == "limited"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        content = asdict(self) | {name: list(map(finite, getattr(self, name))) for name in ("clean_iou", "loss_slopes")}
        for name in ("scores", "other_iou"):
            content[name] = {score: list(map(finite, values)) for score, values in getattr(self, name).items()}
        states = {"convergence": self.convergence, "is_limited": self.is_limited, "num_collapsed": self.num_collapsed}
        return content | states


def groups_of(study: StudyRecipe, frames: Mapping[str, Frames], tests: Mapping[Cell, Mapping[str, Any]]) -> Iterator[Group]:
    """Yield the groups of a study in the order of its tables.

    Args:
        study: The study.
        frames: Name of a data set -> its frames.
        tests: Finished cells -> what they recorded.
    """
    for dataset in study.sets:
        for budget in study.budgets:
            for labels in dataset.labels:
                for arm in study.arms:
                    cells = [
                        cell_of(study, budget, dataset.name, frames[dataset.name], labels, arm, seed) for seed in study.seeds
                    ]
                    yield group_of(budget.name, cells, tests)


def group_of(budget: str, cells: Sequence[Cell], tests: Mapping[Cell, Mapping[str, Any]]) -> Group:
    """Return the finished ones of the cells of one place in the grid.

    Args:
        budget: Name of the budget.
        cells: One a seed.
        tests: Finished cells -> what they recorded.
    """
    cell, done = cells[0], {cell.seed: tests[cell] for cell in cells if cell in tests}
    records = list(done.values())
    own = [record["tests"][cell.dataset] for record in records]
    others = sorted({name for record in records for name in record["tests"] if name != cell.dataset})
    slopes = [record.get("loss_slope") for record in records]
    return Group(
        dataset=cell.dataset,
        budget=budget,
        arm=cell.arm,
        labels=cell.labels,
        num_frames=cell.num_frames,
        steps=cell.steps,
        seeds=tuple(done),
        validation_iou=tuple(record["result"]["validation"]["val_best_iou"] for record in records),
        scores={name: tuple(_or_nan(scores["whole"][name]) for scores in own) for name in SCORES},
        clean_iou=tuple(math.nan if scores["clean"] is None else _or_nan(scores["clean"]["iou"]) for scores in own),
        other_iou={name: tuple(_or_nan(record["tests"][name]["whole"]["iou"]) for record in records) for name in others},
        loss_slopes=tuple(map(_or_nan, slopes)),
        collapsed=tuple(bool(record["result"]["is_collapsed"]) for record in records),
        init=", ".join(sorted({_init(record["result"].get("init", {"kind": "random"})) for record in records})),
        operating=tuple(scores.get("operating") for scores in own),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _init(origin: Mapping[str, Any]) -> str:
    return " ".join([origin["kind"], *origin.get("objectives", ())])


def table_of(study: StudyRecipe, dataset: str, groups: Sequence[Group], num_seeds: int) -> Iterator[str]:
    """Yield the Markdown lines of one table.

    Args:
        study: The study.
        dataset: Name of the data set.
        groups: Groups of this data set and of one budget and label count.
        num_seeds: Seeds that were planned.
    """
    others = [name.name for name in study.sets if name.name != dataset]
    reference = next(group for group in groups if group.arm == study.reference)
    heads = ["arm", "frames", "steps", "seeds", "val IoU", "IoU", f"IoU minus {reference.arm}", "could see", "IoU, clean"]
    heads += ["nIoU", "Pd", "Fa", f"Pd at Fa {MATCHED_FA:g}", *(f"IoU on {name}" for name in others), "collapsed"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for group in groups:
        seeds = f"{len(group.seeds)}" + ("" if len(group.seeds) == num_seeds else f" of {num_seeds}")
        mark = {"reached": "", "limited": "*", "unknown": "?"}[group.convergence] if group.seeds else ""
        cells = [group.arm, str(group.num_frames), f"{group.steps}{mark}", seeds]
        cells += [mean_text(group.validation_iou), mean_text(group.scores["iou"]), *_difference(group, reference)]
        cells += [mean_text(group.clean_iou), *(mean_text(group.scores[name]) for name in ("niou", "pd", "fa"))]
        cells += [mean_text(group.pd_at(MATCHED_FA))]
        cells += [mean_text(group.other_iou.get(name, ())) for name in others]
        yield "| " + " | ".join([*cells, f"{group.num_collapsed}/{len(group.seeds)}"]) + " |"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Test IoU of one arm minus that of the reference, percentage points, paired by seed.

    Attributes:
        dataset: Name of the data set.
        budget: Name of the budget.
        labels: Training frames whose masks are used, or None for all.
        arm: The arm.
        reference: The arm it is compared with.
        seeds: Seeds that both have.
        differences: One a seed.
        low: Lower end of the 95 % t interval, None for fewer than 3 seeds.
        high: Upper end.
        p: Two-sided p of the paired t test.
        p_flips: Exact two-sided p over flips of the signs, None below 8 pairs.
        could_see: Smallest mean difference that 80 % of such studies would find.
    """

    dataset: str
    budget: str
    labels: int | None
    arm: str
    reference: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    low: float | None
    high: float | None
    p: float | None
    p_flips: float | None
    could_see: float | None


def paired(
    seeds: Sequence[int], values: Sequence[float], reference_seeds: Sequence[int], reference: Sequence[float]
) -> dict[int, float]:
    """Return seed -> value minus that of the reference, of the seeds that both have."""
    there = dict(zip(reference_seeds, reference, strict=True))
    return {seed: value - there[seed] for seed, value in zip(seeds, values, strict=True) if seed in there}


def compare(group: Group, reference: Group) -> Comparison:
    """Compare an arm with the reference, on the seeds that both have."""
    differences = paired(group.seeds, group.scores["iou"], reference.seeds, reference.scores["iou"])
    names = (group.dataset, group.budget, group.labels, group.arm, reference.arm)
    values = tuple(differences.values())
    if len(values) < MIN_SEEDS:
        return Comparison(*names, tuple(differences), values, None, None, None, None, None)
    low, high = seed_interval(values)
    p_values = paired_p(values), sign_flip_p(values)
    return Comparison(*names, tuple(differences), values, low, high, *p_values, smallest_detectable(values))


def comparisons_of(study: StudyRecipe, groups: Sequence[Group]) -> Iterator[Comparison]:
    """Yield every arm against the reference with the same labels and budget."""
    places = {(g.dataset, g.budget, g.labels): g for g in groups if g.arm == study.reference}
    for group in groups:
        if group.arm != study.reference:
            yield compare(group, places[group.dataset, group.budget, group.labels])


def _difference(group: Group, reference: Group) -> tuple[str, str]:
    """Return the paired difference with its interval, bold when that excludes zero, and the smallest detectable one."""
    found = compare(group, reference)
    if group is reference or found.low is None or found.high is None or found.could_see is None:
        return "", ""
    return difference_text(found.low, found.high), f"{found.could_see:.1f}"


def difference_text(low: float, high: float) -> str:
    """Return a mean difference with its interval, bold when that excludes zero."""
    text = interval_text(low, high)
    return f"**{text}**" if low > 0 or high < 0 else text


def answer_text(low: float, high: float, p_holm: float | None) -> str:
    """Return the answer of an endpoint, bold when it stands after the correction for the number of data sets."""
    text = interval_text(low, high)
    return f"**{text}**" if p_holm is not None and p_holm < MOST_P else text


def interval_text(low: float, high: float) -> str:
    """Return a mean difference with its interval."""
    return f"{(low + high) / 2:+.2f} [{low:+.2f}, {high:+.2f}]"


def mean_text(values: Sequence[float]) -> str:
    """Return mean +- half width of the t interval, or the bare values of one or two seeds."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < MIN_SEEDS:
        return ", ".join(f"{value:.2f}" for value in finite) or "-"
    low, high = seed_interval(finite)
    return f"{(low + high) / 2:.2f} ± {(high - low) / 2:.2f}"
