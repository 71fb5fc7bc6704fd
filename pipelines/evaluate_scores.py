"""The scores of an evaluation: every threshold rule in canonical mode and in each legacy mode, and what a frame costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from finetune.metrics import CurveTally, LegacyTally, NativeTally, Scores
from finetune.metrics.intervals import bootstrap
from finetune.metrics.legacy import LegacyMode
from finetune.metrics.native import TargetOutcome
from finetune.metrics.operating import operating_points
from finetune.metrics.scores import FACTORS, legacy_scores, native_scores
from finetune.metrics.sums import FloatArray
from pipelines.evaluate_job import MAP_LEVELS, Job, read_record
from pipelines.score_report import print_table
from pipelines.score_truth import Truth, TruthFrame
from synth.corpora import FrameRef, fingerprint
from synth.corpora.decode import decode_levels, read_bytes
from synth.errors import RefusalError, StoreError
from synth.rng import Stream, keyed_generator
from synth.sample import BoolMask, Frame

SCORES_NAME = "scores.json"
CLEAN = "native, de-duplicated"
"""Canonical scores of the frames without near duplicates among the frames that may have trained, as pipelines.score has them."""


@dataclass(slots=True)
class RuleTally:
    """Counts of one threshold rule in every mode."""

    native: NativeTally = field(default_factory=NativeTally)
    legacy: dict[LegacyMode, LegacyTally] = field(default_factory=lambda: {m: LegacyTally(m) for m in get_args(LegacyMode)})
    targets: list[TargetOutcome] = field(default_factory=list)

    def add(self, frame_id: str, mask: BoolMask, truth: TruthFrame) -> None:
        """Count one frame."""
        self.targets += self.native.update(mask, truth.mask, frame_id, scr=truth.scr).targets
        for tally in self.legacy.values():
            tally.update(mask, truth.mask_levels, frame_id)

    def scores(self, truth: Truth, num_resamples: int, clean_ids: Sequence[str] | None) -> dict[str, Scores]:
        """Return the scores of each mode, canonical ones with intervals over frames; and of clean frames where some are not."""
        canonical = native_scores(self.native)
        if num_resamples:
            rng = keyed_generator(0, Stream.RESAMPLE, 0)
            found = bootstrap(self._reported, len(self.native), rng=rng, groups=truth.groups(), num_resamples=num_resamples)
            canonical = replace(canonical, intervals=found)
        clean = {}
        if clean_ids is not None and 0 < len(clean_ids) < len(truth.ids):
            clean[CLEAN] = native_scores(self.native.subset(clean_ids))
        return {"native": canonical, **clean, **{mode: legacy_scores(tally) for mode, tally in self.legacy.items()}}

    def _reported(self, weights: FloatArray) -> dict[str, FloatArray]:
        return {name: value * FACTORS[name] for name, value in self.native.scores(weights).items()}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        scores: Rule -> mode, or :data:`CLEAN` -> scores.
        operating: Rule -> Pd at false-alarm areas and by target size and SCR (:mod:`finetune.metrics.operating`).
        cpu_s: CPU seconds of each frame, in id order.
        num_near_duplicates: Frames that are not clean; None when not searched for.
        counts: Rule -> canonical counts of every frame.
    """

    scores: Mapping[str, Mapping[str, Scores]]
    operating: Mapping[str, Mapping[str, Any]]
    cpu_s: tuple[float, ...]
    num_near_duplicates: int | None
    counts: Mapping[str, NativeTally]

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Median and mean CPU time of a frame, ms."""
        return {"median": 1e3 * statistics.median(self.cpu_s), "mean": 1e3 * statistics.fmean(self.cpu_s)}

    def to_dict(self) -> dict[str, Any]:
        """Return scores and cost as JSON values."""
        scores = {rule: {mode: found.to_dict() for mode, found in modes.items()} for rule, modes in self.scores.items()}
        found = {"scores": scores, "operating": dict(self.operating), "num_near_duplicates": self.num_near_duplicates}
        return found | {"cpu_ms_per_frame": self.cpu_ms}


def find_clean_ids(truth: Truth, data: Truth, advance: Callable[[int], None]) -> tuple[str, ...] | None:
    """Return the ids without an equal or near-duplicate frame that may have trained a detector.

    These are the frames outside the scored list and outside the test list, of the set itself and, for another set, of
    ``--data``, where the detectors were trained (criterion: ``synth.corpora.leakage``).

    Args:
        truth: The scored frames.
        data: The set of ``--data``; the same, or another.
        advance: Called with 1 after each frame read, :func:`count_compared` times.

    Returns:
        The ids, or None where no list tells such frames.
    """
    known = [part for part in dict.fromkeys((truth, data)) if part.known_parts()]
    if not known:
        return None

    def hashed(ref: FrameRef) -> tuple[Frame, str]:
        frame, hashes = truth.corpus.read_hashed(ref)
        advance(1)
        return frame, hashes.pixels_sha256

    prints = fingerprint("scored", map(hashed, truth.corpus.frames))
    clean = frozenset.intersection(*(frozenset(part.clean_ids(prints, advance)) for part in known))
    return tuple(frame_id for frame_id in truth.ids if frame_id in clean)


def count_compared(truth: Truth, data: Truth) -> int:
    """Return how many frames :func:`find_clean_ids` reads."""
    parts = [part.known_parts() for part in dict.fromkeys((truth, data))]
    return len(truth.ids) + sum(len(refs) for part in parts for refs in part.values())


def score_frames(
    job: Job,
    truth: Truth,
    num_resamples: int,
    clean_ids: Sequence[str] | None,
    *,
    on_mask: Callable[[str, str, BoolMask, TruthFrame], None],
    should_stop: Callable[[], bool],
) -> Evaluated | None:
    """Read the masks of every frame back and score them.

    Args:
        job: What was run.
        truth: Frames and masks.
        num_resamples: Bootstrap resamples of the canonical intervals, 0 for none.
        clean_ids: Ids without near duplicates, or None when not searched for.
        on_mask: Called with rule, id, mask and truth for every mask.
        should_stop: Asked before each frame.

    Returns:
        What was found, or None when stopped.

    Raises:
        RefusalError: A frame has changed since it was predicted.
        StoreError: A map is missing or damaged.
    """
    tallies, curves, cpu_s = {rule: RuleTally() for rule in job.rules}, CurveTally(), []
    for frame_id in truth.ids:
        if should_stop():
            return None
        record, frame = read_record(job, frame_id), truth.read(frame_id)
        if record is None:
            raise StoreError(f"{job.out}: the maps of frame {frame_id} have changed meanwhile; run the same command again")
        if record["pixels_sha256"] != frame.pixels_sha256:
            raise RefusalError(f"{job.out}: frame {frame_id} of the data set has changed since; give another --out")
        cpu_s.append(float(record["cpu_s"]))
        path = job.path(job.map_name, frame_id)
        curves.update(decode_levels(read_bytes(path), path) / MAP_LEVELS, frame.mask, frame_id)
        for rule, tally in tallies.items():
            mask = read_mask(job.path(rule, frame_id))
            tally.add(frame_id, mask, frame)
            on_mask(rule, frame_id, mask, frame)
    scores = {rule: tally.scores(truth, num_resamples, clean_ids) for rule, tally in tallies.items()}
    found = curves.result()
    operating = {rule: operating_points(found, tally.targets) for rule, tally in tallies.items()}
    num_near = None if clean_ids is None else len(truth.ids) - len(clean_ids)
    counts = {rule: tally.native for rule, tally in tallies.items()}
    return Evaluated(scores, operating, tuple(cpu_s), num_near, counts)


def read_mask(path: Path) -> BoolMask:
    """Return a mask file of ours, bool (H, W)."""
    return np.asarray(decode_levels(read_bytes(path), path) > 127)


def print_scores(found: Evaluated) -> None:
    """Print one row a rule and mode, and the cost."""
    print()
    print_table({f"{rule}, {mode}": scores for rule, modes in found.scores.items() for mode, scores in modes.items()})
    for rule, modes in found.scores.items():
        native = modes["native"]
        print(f"{rule}: {native.num_matched} of {native.num_truth} targets detected, {native.num_false} false objects")
    if found.num_near_duplicates is not None:
        print(
            f"{found.num_near_duplicates} scored frames have an equal or near-duplicate frame (32x32 NCC >= 0.95) in other lists"
        )
    cost = found.cpu_ms
    print(f"CPU time a frame: median {cost['median']:.3g} ms, mean {cost['mean']:.3g} ms (one thread)")
