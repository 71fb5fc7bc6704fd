"""The scores of an evaluation: every threshold rule in canonical mode and in each legacy mode, and what a frame costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from finetune.metrics import LegacyTally, Mode, NativeTally, Scores
from finetune.metrics.intervals import bootstrap
from finetune.metrics.legacy import LegacyMode
from finetune.metrics.scores import FACTORS, legacy_scores, native_scores
from finetune.metrics.sums import FloatArray
from pipelines.evaluate_job import Job, read_record
from pipelines.score_report import print_table
from pipelines.score_truth import Truth, TruthFrame
from synth.corpora.decode import decode_levels, read_bytes
from synth.errors import RefusalError, StoreError
from synth.rng import Stream, keyed_generator
from synth.sample import BoolMask

SCORES_NAME = "scores.json"


@dataclass(slots=True)
class RuleTally:
    """Counts of one threshold rule in every mode."""

    native: NativeTally = field(default_factory=NativeTally)
    legacy: dict[LegacyMode, LegacyTally] = field(default_factory=lambda: {m: LegacyTally(m) for m in get_args(LegacyMode)})

    def add(self, frame_id: str, mask: BoolMask, truth: TruthFrame) -> None:
        """Count one frame."""
        self.native.update(mask, truth.mask, frame_id, scr=truth.scr)
        for tally in self.legacy.values():
            tally.update(mask, truth.mask_levels, frame_id)

    def scores(self, truth: Truth, num_resamples: int) -> dict[Mode, Scores]:
        """Return the scores of each mode; the canonical ones with intervals over frames."""
        canonical = native_scores(self.native)
        if num_resamples:
            rng = keyed_generator(0, Stream.RESAMPLE, 0)
            found = bootstrap(self._reported, len(self.native), rng=rng, groups=truth.groups(), num_resamples=num_resamples)
            canonical = replace(canonical, intervals=found)
        return {"native": canonical, **{mode: legacy_scores(tally) for mode, tally in self.legacy.items()}}

    def _reported(self, weights: FloatArray) -> dict[str, FloatArray]:
        return {name: value * FACTORS[name] for name, value in self.native.scores(weights).items()}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        scores: Rule -> mode -> scores.
        cpu_s: CPU seconds of each frame, in id order.
    """

    scores: Mapping[str, Mapping[Mode, Scores]]
    cpu_s: tuple[float, ...]

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Median and mean CPU time of a frame, ms."""
        return {"median": 1e3 * statistics.median(self.cpu_s), "mean": 1e3 * statistics.fmean(self.cpu_s)}

    def to_dict(self) -> dict[str, Any]:
        """Return scores and cost as JSON values."""
        scores = {rule: {mode: found.to_dict() for mode, found in modes.items()} for rule, modes in self.scores.items()}
        return {"scores": scores, "cpu_ms_per_frame": self.cpu_ms}


def score_frames(
    job: Job,
    truth: Truth,
    num_resamples: int,
    *,
    on_mask: Callable[[str, str, BoolMask, TruthFrame], None],
    should_stop: Callable[[], bool],
) -> Evaluated | None:
    """Read the masks of every frame back and score them.

    Args:
        job: What was run.
        truth: Frames and masks.
        num_resamples: Bootstrap resamples of the canonical intervals, 0 for none.
        on_mask: Called with rule, id, mask and truth for every mask.
        should_stop: Asked before each frame.

    Returns:
        What was found, or None when stopped.

    Raises:
        RefusalError: A frame has changed since it was predicted.
        StoreError: A map is missing or damaged.
    """
    tallies, cpu_s = {rule: RuleTally() for rule in job.rules}, []
    for frame_id in truth.ids:
        if should_stop():
            return None
        record, frame = read_record(job, frame_id), truth.read(frame_id)
        if record is None:
            raise StoreError(f"{job.out}: the maps of frame {frame_id} have changed meanwhile; run the same command again")
        if record["pixels_sha256"] != frame.pixels_sha256:
            raise RefusalError(f"{job.out}: frame {frame_id} of the data set has changed since; give another --out")
        cpu_s.append(float(record["cpu_s"]))
        for rule, tally in tallies.items():
            mask = read_mask(job.path(rule, frame_id))
            tally.add(frame_id, mask, frame)
            on_mask(rule, frame_id, mask, frame)
    return Evaluated({rule: tally.scores(truth, num_resamples) for rule, tally in tallies.items()}, tuple(cpu_s))


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
    cost = found.cpu_ms
    print(f"CPU time a frame: median {cost['median']:.3g} ms, mean {cost['mean']:.3g} ms (one thread)")
