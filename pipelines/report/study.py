"""A study as the report reads it: study.json of either format, with what format 1 left to the runs' own records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.report.blocks import Cell
from pipelines.report.cells import finite, interval_of
from pipelines.report.charts import Point
from pipelines.report.inputs import Source
from synth.errors import RefusalError

Key = tuple[str, str, int | None, str]
"""Data set, budget, labels, arm."""
STRATA = ("by_area", "by_scr")
"""Ways in which targets are binned."""
SMOKE_SEEDS = 2
"""Most seeds that are smoke and no evidence (scaling studies need five, pretraining arms eight)."""


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
        missing: Seeds of the recipe that are not.
        scores: Name of a score -> value of each seed on the test list; ``validation`` and ``clean`` are IoU too, and each
            :func:`stratum_score` is Pd.
        other_iou: Name of another data set -> IoU of each seed on its test list.
        num_collapsed: Seeds that say background everywhere.
        is_limited: Whether training had not converged.
        init: Where initial weights come from.
        operating: Operating points of each seed (:mod:`finetune.metrics.operating`), None where it has none.
    """

    dataset: str
    budget: str
    arm: str
    labels: int | None
    num_frames: int
    steps: int
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    scores: Mapping[str, tuple[Any, ...]]
    other_iou: Mapping[str, tuple[Any, ...]]
    num_collapsed: int
    is_limited: bool
    init: str
    operating: tuple[Mapping[str, Any] | None, ...]

    @property
    def key(self) -> Key:
        """What tells it from the other groups of its study."""
        return self.dataset, self.budget, self.labels, self.arm

    @property
    def is_smoke(self) -> bool:
        """Whether it has seeds, but no more than make smoke."""
        return 0 < len(self.seeds) <= SMOKE_SEEDS


@dataclass(frozen=True, eq=False)
class Study:
    """A study.

    Attributes:
        source: Its folder.
        name: What it is called.
    """

    source: Source
    name: str

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Its recipe."""
        found: Mapping[str, Any] = self.source.content["recipe"]
        return found

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that were planned."""
        return tuple(self.recipe["seeds"])

    @property
    def arms(self) -> Mapping[str, str]:
        """Name of each arm -> what it is."""
        return {arm["name"]: str(arm.get("about", "")) for arm in self.recipe["arms"]}

    @property
    def budgets(self) -> Mapping[str, str]:
        """Name of each budget -> what it is."""
        about = {"steps": "equal optimiser steps", "epochs": "as many passes over its frames as"}
        return {b["name"]: f"{about[b['kind']]} {b.get('like') or ''}".strip() for b in self.recipe["budgets"]}

    def has_equal_steps(self, budget: str) -> bool:
        """Return whether all arms take equally many optimiser steps under a budget."""
        return any(entry["name"] == budget and entry["kind"] == "steps" for entry in self.recipe["budgets"])

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(entry["name"] for entry in self.recipe["sets"])

    @property
    def comparisons(self) -> Mapping[Key, Mapping[str, Any]]:
        """Paired differences; format 1 has none."""
        found = self.source.content.get("comparisons", ())
        return {(c["dataset"], c["budget"], c.get("labels"), c["arm"]): c for c in found}

    @property
    def reference(self) -> str:
        """The arm that differences are taken against: the endpoint's, else the first one."""
        endpoint = self.recipe.get("endpoint")
        return str(endpoint["reference"]) if endpoint else next(iter(self.arms))

    def entries(self, key: str) -> list[dict[str, Any]]:
        """Return a list of its file, empty in format 1: ``curves`` or ``ratios``."""
        return list(self.source.content.get(key) or ())

    def ink(self, arm: str) -> int:
        """Return the number of an arm's colour, the same in every chart."""
        return list(self.arms).index(arm)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All groups, in the order of the study.

        Raises:
            RefusalError: One names an arm or a set that the recipe does not have.
        """
        groups = tuple(self._group(entry) for entry in self.source.content["groups"])
        for group in groups:
            if group.arm not in self.arms or group.dataset not in self.datasets or group.budget not in self.budgets:
                raise RefusalError(
                    f"{self.source.name}/study.json: group {group.dataset}, {group.budget}, {group.arm} is not of its recipe"
                )
        return groups

    def part(self, dataset: str, budget: str) -> tuple[Group, ...]:
        """Return the groups of a data set under a budget."""
        return tuple(group for group in self.groups if (group.dataset, group.budget) == (dataset, budget))

    def size(self, group: Group) -> float:
        """Return the real labelled frames of a group; all of them are what the arm with the fewest frames trains on."""
        if group.labels is not None:
            return float(group.labels)
        return float(min(other.num_frames for other in self.part(group.dataset, group.budget) if other.labels is None))

    def has_ladder(self, dataset: str) -> bool:
        """Return whether arms were trained with several label counts."""
        return len({group.labels for group in self.groups if group.dataset == dataset}) > 1

    @cached_property
    def tests(self) -> Mapping[str, Mapping[str, Any]]:
        """Run directory -> what its run recorded, of finished runs."""
        paths = self.source.paths(r"runs/.+/test\.json")
        return {path.removesuffix("/test.json"): self.source.json(path) for path in paths}

    @cached_property
    def _strata(self) -> tuple[tuple[str, str], ...]:
        """Return kind and label of every bin of targets that some run tells of."""
        points = (found for entry in self.source.content["groups"] for found in entry.get("operating") or () if found is not None)
        return tuple(dict.fromkeys((key, label) for found in points for key in STRATA for label, *_ in found[key]))

    def _group(self, entry: Mapping[str, Any]) -> Group:
        seeds = tuple(entry["seeds"])
        scores = {name: tuple(entry["scores"][name]) for name in ("iou", "niou", "pd", "fa")}
        for name, values in scores.items():
            if len(values) != len(seeds):
                where = f"{self.source.name}/study.json: scores.{name} of {entry['arm']}"
                raise RefusalError(f"{where} must be one a seed, got {len(values)} of {len(seeds)}")
        iou = {"validation": tuple(entry["validation_iou"]), "clean": tuple(entry["clean_iou"])}
        operating = tuple(entry.get("operating") or [None] * len(seeds))
        strata = {stratum_score(*place): tuple(_share(points, *place) for points in operating) for place in self._strata}
        return Group(
            dataset=entry["dataset"],
            budget=entry["budget"],
            arm=entry["arm"],
            labels=entry.get("labels"),
            num_frames=int(entry["num_frames"]),
            steps=int(entry["steps"]),
            seeds=seeds,
            missing=tuple(seed for seed in self.seeds if seed not in seeds),
            scores=scores | iou | strata,
            other_iou={name: tuple(values) for name, values in entry["other_iou"].items()},
            num_collapsed=int(entry["num_collapsed"]),
            is_limited=bool(entry.get("is_limited", False)),
            init=str(entry["init"]) if "init" in entry else self._init(entry),
            operating=operating,
        )

    def _init(self, entry: Mapping[str, Any]) -> str:
        """Return the initial weights of a group of format 1, as its runs recorded them."""
        wanted = (entry["dataset"], entry["arm"], entry["steps"])
        cells = [test for test in self.tests.values() if _cell(test) == wanted]
        return ", ".join(sorted({test["result"].get("init", {}).get("kind", "unknown") for test in cells})) or "unknown"


def studies_of(sources: Sequence[Source]) -> list[Study]:
    """Return the studies, called after their recipes, and after their folders too where two have one recipe."""
    found = [source for source in sources if source.kind.name == "study"]
    names = [str(source.content["recipe"]["name"]) for source in found]
    return [Study(s, name if names.count(name) == 1 else f"{name} ({s.name})") for s, name in zip(found, names, strict=True)]


def stratum_score(key: str, label: str) -> str:
    """Return the name of Pd in one bin of targets: ``by_area`` or ``by_scr``, and its label."""
    return f"{key} {label}"


def _share(points: Mapping[str, Any] | None, key: str, label: str) -> float | None:
    """Return Pd of one seed in one bin, percent; None where it has no operating points or the bin no target."""
    found = () if points is None else (100.0 * hits / total for name, hits, total in points[key] if name == label and total)
    return next(iter(found), None)


def _cell(test: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(test["cell"][key] for key in ("dataset", "arm", "steps"))


def seeds_cell(group: Group) -> Cell:
    """Return how many seeds are done and which are missing."""
    value = {"done": list(group.seeds), "missing": list(group.missing)}
    if not group.missing:
        return Cell(str(len(group.seeds)), value)
    missing = ", ".join(map(str, group.missing))
    return Cell(f"{len(group.seeds)} of {len(group.seeds) + len(group.missing)}, missing {missing}", value)


def labels_cell(labels: float | None) -> Cell:
    """Return a label count; none stands for all."""
    return Cell("all" if labels is None else f"{labels:,.0f}", labels)


def known(values: tuple[Any, ...]) -> list[float]:
    """Return the finite values."""
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def dots_of(seeds: Sequence[int], values: Sequence[Any]) -> tuple[tuple[str, float], ...]:
    """Return the dots of the seeds that have a finite value."""
    pairs = zip(seeds, values, strict=True)
    return tuple((f"seed {seed}", float(value)) for seed, value in pairs if finite(value) is not None)


def point_of(x: float, seeds: Sequence[int], values: Sequence[Any], flag: str = "") -> Point:
    """Return mean, t interval and dots of the seeds that have a finite value; at least one has."""
    dots = dots_of(seeds, values)
    low, high = interval_of(values) or (None, None)
    return Point(x, sum(value for _, value in dots) / len(dots), low, high, dots, flag)
