"""A study as the report reads it: study.json of either format, with what format 1 left to the runs' own records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.report.blocks import Cell
from pipelines.report.cells import MIN_SEEDS, finite, interval_of
from pipelines.report.charts import Point
from pipelines.report.inputs import Source
from synth.errors import RefusalError

Key = tuple[str, str, int | None, str]
"""Data set, budget, labels, arm."""
STRATA = ("by_area", "by_scr")
"""Ways in which targets are binned."""
SMOKE_SEEDS = 2
"""Most seeds that are smoke and no evidence (scaling studies need five, pretraining arms eight)."""
_DOUBTS = {"reached": "", "limited": "optimisation-limited", "unknown": "convergence unknown"}


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
        missing: Planned seeds that are not.
        scores: Name of a score -> value of each seed on the test list; ``validation`` and ``clean`` are IoU too, and each
            :func:`stratum_score` is Pd.
        other_iou: Name of another data set -> IoU of each seed on its test list.
        num_collapsed: Seeds that say background everywhere.
        convergence: Whether training had converged: ``reached``, ``limited`` or ``unknown``.
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
    convergence: str
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

    @property
    def doubt(self) -> str:
        """What a reader must know of its training; empty where it had converged, and before there is any."""
        return _DOUBTS[self.convergence] if self.seeds else ""


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

    @cached_property
    def budgets(self) -> Mapping[str, str]:
        """Name of each budget -> what it is."""
        return {entry["name"]: self._budget(entry) for entry in self.recipe["budgets"]}

    def has_equal_steps(self, budget: str) -> bool:
        """Return whether all arms take equally many optimiser steps under a budget, wherever it is compared."""
        found = {(group.dataset, group.labels, group.steps) for group in self.groups if group.budget == budget}
        return len({place[:2] for place in found}) == len(found)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(entry["name"] for entry in self.recipe["sets"])

    @property
    def comparisons(self) -> Mapping[Key, Mapping[str, Any]]:
        """Paired differences; format 1 has none."""
        return {(c["dataset"], c["budget"], c.get("labels"), c["arm"]): c for c in self.entries("comparisons")}

    @property
    def reference(self) -> str:
        """The arm that differences are taken against: the endpoint's, else the first one."""
        endpoint = self.recipe.get("endpoint")
        return str(endpoint["reference"]) if endpoint else next(iter(self.arms))

    def entries(self, key: str) -> list[dict[str, Any]]:
        """Return a list of its file, empty in format 1: ``curves``, ``ratios`` or ``comparisons``."""
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
        groups = tuple(self._group(entry, self.seeds) for entry in self.source.content["groups"])
        budgets = {entry["name"] for entry in self.recipe["budgets"]}
        for group in groups:
            if group.arm not in self.arms or group.dataset not in self.datasets or group.budget not in budgets:
                raise RefusalError(
                    f"{self.source.name}/study.json: group {group.dataset}, {group.budget}, {group.arm} is not of its recipe"
                )
        return groups

    @cached_property
    def fresh(self) -> Mapping[str, Mapping[str, Group]]:
        """Data set -> ``reference`` and ``chosen`` of its endpoint with fresh seeds; older files do not have them."""
        endpoint = self.source.content.get("endpoint") or {"results": ()}
        found = {result["dataset"]: result.get("groups") or {} for result in endpoint["results"]}
        return {
            name: {role: self._group(groups[role], endpoint["seeds_b"]) for role in ("reference", "chosen") if role in groups}
            for name, groups in found.items()
        }

    def part(self, dataset: str, budget: str) -> tuple[Group, ...]:
        """Return the groups of a data set under a budget."""
        return tuple(group for group in self.groups if (group.dataset, group.budget) == (dataset, budget))

    def size(self, group: Group) -> float:
        """Return the real labelled frames of a group; all are the training list, in format 1 the frames of the smallest arm."""
        if group.labels is not None:
            return float(group.labels)
        for key in ("frames", "data"):
            if (train := (self.source.content.get(key) or {}).get(group.dataset, {}).get("train")) is not None:
                return float(train)
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

    def _budget(self, entry: Mapping[str, Any]) -> str:
        """Return what a budget is, in words that hold for arms with extra steps too."""
        if entry["kind"] == "epochs":
            extra = ", ".join(arm["name"] for arm in self.recipe["arms"] if arm.get("extra_steps"))
            return f"as many passes over its frames as {entry['like']}" + (f", and extra steps for {extra}" if extra else "")
        if self.has_equal_steps(entry["name"]):
            return "equal optimiser steps"
        found = dict.fromkeys((group.steps, group.arm) for group in self.groups if group.budget == entry["name"])
        fewest, *more = sorted({steps for steps, _ in found})
        arms = {steps: ", ".join(arm for own, arm in found if own == steps) for steps in more}
        return f"{fewest:,} optimiser steps" + "".join(f"; {steps:,} for {names}" for steps, names in arms.items())

    def _group(self, entry: Mapping[str, Any], planned: Sequence[int]) -> Group:
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
            missing=tuple(seed for seed in planned if seed not in seeds),
            scores=scores | iou | strata,
            other_iou={name: tuple(values) for name, values in entry["other_iou"].items()},
            num_collapsed=int(entry["num_collapsed"]),
            convergence=_convergence(entry),
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


def _convergence(entry: Mapping[str, Any]) -> str:
    """Return the convergence of a group; older files say whether it is limited, which takes slopes of three seeds to know."""
    num_known = len(known(tuple(entry.get("loss_slopes", ()))))
    older = "limited" if entry.get("is_limited", False) else "reached" if num_known >= MIN_SEEDS else "unknown"
    return str(entry.get("convergence", older))


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
