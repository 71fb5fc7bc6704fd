"""The comparison of several evaluations: one row a detector and rule, means over seeds, and the classical floor.

Runs are seeds of one experiment when recipe and sources are equal, and those of the pretraining they start from, seeds left out.
Where every run has initial weights of its own, those are the replicates, and runs that share them are averaged first: seeds
of one pretraining are not independent. Otherwise the training seeds are the replicates. Means carry Student's t interval over
replicates from three on (:func:`finetune.metrics.intervals.seed_interval`); it says nothing of the choice of test frames. So an
experiment beats the classical floor, or stays below it, where two intervals say so: that one, and the paired bootstrap over
frames (:func:`finetune.metrics.intervals.bootstrap_difference`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finetune.metrics import NativeTally, Scores
from finetune.metrics.intervals import Interval, bootstrap_difference, seed_interval
from finetune.metrics.scores import finite
from finetune.metrics.sums import FloatArray
from pipelines.evaluate_plan import Evaluation
from pipelines.evaluate_scores import CLEAN, Evaluated
from pipelines.evaluate_trained import Exposure, Run
from synth.rng import Stream, keyed_generator

METRICS = ("iou", "niou", "pd", "fa")
_LEAST_SEEDS = 3  # what seed_interval asks for: with two the t quantile is 12.7, an interval of nothing


@dataclass(frozen=True, slots=True)
class Row:
    """One detector under one rule on one set.

    Attributes:
        name: Name of the detector.
        rule: Threshold rule.
        native: Canonical scores.
        counts: What they were made from.
        clean: Scores of the frames without near duplicates; None when these were not searched for, or there are none.
        run: The run; None for a classical method.
        exposure: What the run has seen of the set; None for a classical method.
        operating: Pd at false-alarm areas and by target size and SCR (:mod:`finetune.metrics.operating`).
    """

    name: str
    rule: str
    native: Scores
    counts: NativeTally
    clean: Scores | None
    run: Run | None = None
    exposure: Exposure | None = None
    operating: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        scores = {"native": self.native.to_dict()} | ({} if self.clean is None else {CLEAN: self.clean.to_dict()})
        about: dict[str, Any] = {"name": self.name, "rule": self.rule, "scores": scores, "operating": dict(self.operating)}
        if self.run is not None and self.exposure is not None:
            about |= {"init": self.run.init, "seed": self.run.seed, "is_collapsed": self.run.is_collapsed}
            about |= {"trained_on": self.exposure.about, "num_trained": self.exposure.num_trained}
        return about


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over replicates, in the unit of its score.

    Attributes:
        mean: The mean.
        half_width: Of its 95 % t interval; None below three replicates.
    """

    mean: float
    half_width: float | None


@dataclass(frozen=True, slots=True)
class SeedMean:
    """The mean of runs that are seeds of one experiment.

    Attributes:
        rows: Their rows.
        num_seeds: Independent replicates among them.
        native: Score -> mean, canonical.
        clean: Score -> mean on the frames without near duplicates; None as in :class:`Row`.
    """

    rows: tuple[Row, ...]
    num_seeds: int
    native: Mapping[str, Estimate]
    clean: Mapping[str, Estimate] | None

    @property
    def num_collapsed(self) -> int | None:
        """Runs that say background everywhere; None where nothing was left to validate on."""
        found = [row.run.is_collapsed for row in self.rows if row.run is not None]
        return None if None in found else found.count(True)

    @property
    def collapsed(self) -> str:
        """How many of them have collapsed, for the reader."""
        return "unknown" if self.num_collapsed is None else f"{self.num_collapsed} of {len(self.rows)}"

    @property
    def label(self) -> str:
        """What it is, for the reader."""
        runs = "" if self.num_seeds == len(self.rows) else f" in {len(self.rows)} runs"
        doubt = "" if self.num_seeds >= _LEAST_SEEDS else ", no interval worth quoting"
        return f"mean of {self.num_seeds} seed{'s' * (self.num_seeds > 1)}{runs} ({', '.join(r.name for r in self.rows)}){doubt}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        parts = {"native": self.native} | ({} if self.clean is None else {CLEAN: self.clean})
        scores = {
            part: {name: {"mean": finite(e.mean), "half_width_95": e.half_width} for name, e in estimates.items()}
            for part, estimates in parts.items()
        }
        names = [row.name for row in self.rows]
        return {"runs": names, "num_seeds": self.num_seeds, "num_collapsed": self.num_collapsed, "scores": scores}


@dataclass(frozen=True, slots=True)
class SetComparison:
    """All detectors on one set.

    Attributes:
        title: The set.
        is_other: Whether it was asked for with ``--other``.
        data: What the frames are, as JSON values.
        num_near_duplicates: Frames with near duplicates; None when not searched for.
        rows: One a detector and rule.
        means: Of runs that are seeds of one experiment.
        floor: Lines on experiments against the best classical row.
    """

    title: str
    is_other: bool
    data: Mapping[str, Any]
    num_near_duplicates: int | None
    rows: tuple[Row, ...]
    means: tuple[SeedMean, ...]
    floor: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "data": dict(self.data),
            "is_other": self.is_other,
            "num_near_duplicates": self.num_near_duplicates,
            "rows": [row.to_dict() for row in self.rows],
            "means": [mean.to_dict() for mean in self.means],
            "floor": list(self.floor),
        }


def compare_evaluations(done: Sequence[tuple[Evaluation, Evaluated]], num_resamples: int) -> tuple[SetComparison, ...]:
    """Return one comparison a set, in the order of the evaluations.

    Args:
        done: Evaluations with what they found.
        num_resamples: Bootstrap resamples of differences over frames, 0 for none.
    """
    by_set = {evaluation.truth: list[tuple[Evaluation, Evaluated]]() for evaluation, _ in done}
    for evaluation, found in done:
        by_set[evaluation.truth].append((evaluation, found))
    return tuple(_compare(entries, num_resamples) for entries in by_set.values())


def means_over_seeds(rows: Sequence[Row]) -> Iterator[SeedMean]:
    """Yield the mean of every two or more runs that are seeds of one experiment."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        if row.run is not None:
            families.setdefault(row.run.family, []).append(row)
    for members in families.values():
        if len(members) > 1:
            replicates = _replicates(members)
            clean = None if any(row.clean is None for row in members) else _estimates(replicates, "clean")
            yield SeedMean(tuple(members), len(replicates), _estimates(replicates, "native"), clean)


def against_floor(
    rows: Sequence[Row], means: Sequence[SeedMean], groups: Sequence[str] | None, num_resamples: int
) -> Iterator[str]:
    """Yield one line for every experiment but those trained on these frames: its canonical IoU against the best classical row.

    Args:
        rows: All rows.
        means: Of runs among them.
        groups: Sequence of each frame in id order, or None where frames come singly.
        num_resamples: Bootstrap resamples of the differences over frames; without any, none is stated as more than seen.
    """
    floors = [row for row in rows if row.run is None and not math.isnan(row.native.iou)]
    if not floors:
        return
    best = max(floors, key=lambda row: row.native.iou)
    averaged = {row.name for mean in means for row in mean.rows}
    single = (row for row in rows if row.run is not None and row.name not in averaged)
    experiments = [(mean.label, mean.native["iou"], mean.rows) for mean in means]
    experiments += [(f"{row.name} (one run)", Estimate(row.native.iou, None), (row,)) for row in single]
    for label, iou, members in experiments:
        if not any(row.exposure is not None and row.exposure.num_trained for row in members):
            over_frames = _difference_over_frames(members, best, groups, num_resamples) if num_resamples else None
            yield f"{label}: {_verdict(iou, over_frames, best)}"


def _difference_over_frames(rows: Sequence[Row], best: Row, groups: Sequence[str] | None, num_resamples: int) -> Interval:
    """Return the interval over frames of the mean IoU of runs minus that of a classical row, percent."""

    def iou(members: Sequence[Row]) -> Callable[[FloatArray], dict[str, FloatArray]]:
        return lambda weights: {"iou": 100.0 * np.mean([row.counts.scores(weights)["iou"] for row in members], axis=0)}

    rng = keyed_generator(0, Stream.RESAMPLE, 0)
    num = len(best.counts)
    return bootstrap_difference(iou([best]), iou(rows), num, rng=rng, groups=groups, num_resamples=num_resamples)["iou"]


def _verdict(iou: Estimate, over_frames: Interval | None, best: Row) -> str:
    gain, half = iou.mean - best.native.iou, iou.half_width
    floor = f"the classical floor ({best.name}, {best.rule}: IoU {best.native.iou:.2f} %)"
    seeds = "" if half is None else f" +- {half:.2f}"
    frames = "" if over_frames is None else f", over frames [{over_frames.low:+.2f}, {over_frames.high:+.2f}]"
    amount = f"{gain:+.2f}{seeds} IoU{frames}"
    if half is None:
        return f"{amount} from {floor}; below three seeds that is no claim"
    is_shown = abs(gain) > half and over_frames is not None and (over_frames.low > 0.0 or over_frames.high < 0.0)
    verb = ("beats" if gain > 0 else "stays below") if is_shown else "cannot be told from"
    return f"{verb} {floor}: {amount}"


def _compare(entries: Sequence[tuple[Evaluation, Evaluated]], num_resamples: int) -> SetComparison:
    first, found = entries[0]
    rows = tuple(row for evaluation, result in entries for row in _rows(evaluation, result))
    means = tuple(means_over_seeds(rows))
    floor = tuple(against_floor(rows, means, first.truth.groups(), num_resamples))
    return SetComparison(first.truth.about, first.is_other, first.about["data"], found.num_near_duplicates, rows, means, floor)


def _rows(evaluation: Evaluation, found: Evaluated) -> Iterator[Row]:
    contender = evaluation.contender
    for rule, modes in found.scores.items():
        clean = modes["native"] if found.num_near_duplicates == 0 else modes.get(CLEAN)
        scores, counts = modes["native"], found.counts[rule]
        yield Row(contender.name, rule, scores, counts, clean, contender.run, evaluation.exposure, found.operating[rule])


def _replicates(rows: Sequence[Row]) -> list[list[Row]]:
    """Divide runs into independent replicates: by their initial weights where these differ, else by seed."""
    runs = [row.run for row in rows if row.run is not None]
    has_one_start = len({run.init_sha256 for run in runs}) == 1
    found: dict[object, list[Row]] = {}
    for row, run in zip(rows, runs, strict=True):
        found.setdefault(run.seed if has_one_start else run.init_sha256, []).append(row)
    return list(found.values())


def _estimates(replicates: Sequence[Sequence[Row]], part: str) -> dict[str, Estimate]:
    means = {metric: [_mean([getattr(getattr(row, part), metric) for row in rows]) for rows in replicates] for metric in METRICS}
    return {metric: _estimate(values) for metric, values in means.items()}


def _estimate(values: Sequence[float]) -> Estimate:
    defined = len(values) >= _LEAST_SEEDS and not any(map(math.isnan, values))
    return Estimate(_mean(values), seed_interval(values).half_width if defined else None)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
