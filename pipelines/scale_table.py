"""The tables of a study: means over seeds, paired differences with t intervals, and what they could have shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetune.metrics.intervals import seed_interval, smallest_detectable
from pipelines.scale_cells import Cell, steps_of
from pipelines.scale_recipe import Budget, StudyRecipe

SCORES = ("iou", "niou", "pd", "fa")
MIN_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Group:
    """The seeds of one arm under one budget on one data set.

    Attributes:
        dataset: Name of the data set.
        budget: Name of the budget.
        arm: Name of the arm.
        num_frames: Frames it trains on.
        steps: Optimiser steps.
        seeds: Seeds that are done.
        validation_iou: Best IoU on validation, percent, of each of them.
        scores: Name of a score -> value of each seed on the test list.
        clean_iou: IoU of each seed on the test frames without near duplicates.
        other_iou: Name of another data set -> IoU of each seed on its test list.
        num_collapsed: Seeds that say background everywhere; they stay in the means.
    """

    dataset: str
    budget: str
    arm: str
    num_frames: int
    steps: int
    seeds: tuple[int, ...]
    validation_iou: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]
    clean_iou: tuple[float, ...]
    other_iou: Mapping[str, tuple[float, ...]]
    num_collapsed: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def groups_of(
    study: StudyRecipe, num_frames: Mapping[str, Mapping[str, int]], tests: Mapping[Cell, Mapping[str, Any]]
) -> Iterator[Group]:
    """Yield the groups of a study in the order of its tables.

    Args:
        study: The study.
        num_frames: Name of a data set -> name of an arm -> frames it trains on.
        tests: Finished cells -> what they recorded.
    """
    for dataset in study.sets:
        for budget in study.budgets:
            for arm in study.arms:
                frames = num_frames[dataset.name]
                steps = steps_of(study, budget, arm.name, frames)
                cells = [Cell(dataset.name, arm.name, steps, seed, frames[arm.name]) for seed in study.seeds]
                done = {cell.seed: tests[cell] for cell in cells if cell in tests}
                yield _group(dataset.name, budget.name, cells[0], done)


def _group(dataset: str, budget: str, cell: Cell, done: Mapping[int, Mapping[str, Any]]) -> Group:
    records = list(done.values())
    own = [record["tests"][dataset] for record in records]
    others = sorted({name for record in records for name in record["tests"] if name != dataset})
    return Group(
        dataset=dataset,
        budget=budget,
        arm=cell.arm,
        num_frames=cell.num_frames,
        steps=cell.steps,
        seeds=tuple(done),
        validation_iou=tuple(record["result"]["validation"]["val_best_iou"] for record in records),
        scores={name: tuple(scores["whole"][name] for scores in own) for name in SCORES},
        clean_iou=tuple(scores["clean"]["iou"] for scores in own),
        other_iou={name: tuple(record["tests"][name]["whole"]["iou"] for record in records) for name in others},
        num_collapsed=sum(bool(record["result"]["is_collapsed"]) for record in records),
    )


def table_of(study: StudyRecipe, dataset: str, budget: Budget, groups: Sequence[Group]) -> Iterator[str]:
    """Yield the Markdown lines of one table.

    Args:
        study: The study.
        dataset: Name of the data set.
        budget: One of the study's budgets.
        groups: Groups of this data set and budget, the reference arm first.
    """
    others = [name.name for name in study.sets if name.name != dataset]
    heads = ["arm", "frames", "steps", "seeds", "val IoU", "IoU", f"IoU minus {groups[0].arm}", "could see", "IoU, clean"]
    heads += ["nIoU", "Pd", "Fa", *(f"IoU on {name}" for name in others), "collapsed"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for group in groups:
        cells = [group.arm, str(group.num_frames), str(group.steps), str(len(group.seeds))]
        cells += [_mean(group.validation_iou), _mean(group.scores["iou"]), *_difference(group, groups[0])]
        cells += [_mean(group.clean_iou), *(_mean(group.scores[name]) for name in ("niou", "pd", "fa"))]
        cells += [_mean(group.other_iou.get(name, ())) for name in others]
        yield "| " + " | ".join([*cells, f"{group.num_collapsed}/{len(group.seeds)}"]) + " |"


def paired(group: Group, reference: Group) -> list[float]:
    """Return the differences in test IoU of the seeds that both have, percentage points."""
    of_reference = dict(zip(reference.seeds, reference.scores["iou"], strict=True))
    pairs = zip(group.seeds, group.scores["iou"], strict=True)
    return [value - of_reference[seed] for seed, value in pairs if seed in of_reference]


def _difference(group: Group, reference: Group) -> tuple[str, str]:
    """Return the paired difference with its interval, bold when that excludes zero, and the smallest detectable one."""
    values = paired(group, reference)
    if group is reference or len(values) < MIN_SEEDS:
        return "", ""
    low, high = seed_interval(values)
    text = f"{(low + high) / 2:+.2f} [{low:+.2f}, {high:+.2f}]"
    return f"**{text}**" if low > 0 or high < 0 else text, f"{smallest_detectable(values):.1f}"


def _mean(values: Sequence[float]) -> str:
    """Return mean +- half width of the t interval, or the bare values of one or two seeds."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < MIN_SEEDS:
        return ", ".join(f"{value:.2f}" for value in finite) or "-"
    low, high = seed_interval(finite)
    return f"{(low + high) / 2:.2f} ± {(high - low) / 2:.2f}"
