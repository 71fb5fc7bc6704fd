"""What a score concludes, as one object, and its table: the field's columns in the field's units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from finetune.metrics import Scores
from finetune.metrics.curves import Curves, summarise
from finetune.metrics.hse import HseResult, HseTally
from finetune.metrics.intervals import Interval, bootstrap, noise_floor, wilson
from finetune.metrics.native import NativeTally
from finetune.metrics.scores import FACTORS, hse_values, legacy_scores, native_scores
from finetune.metrics.strata import Stratum, by_area, by_scr, scr50
from finetune.metrics.sums import FloatArray
from pipelines.score_counts import Counts
from pipelines.score_inputs import Predictions
from pipelines.score_truth import Truth
from synth.rng import Stream, keyed_generator

_COLUMNS = ("iou", "niou", "pd", "fa", "f1", "hiou", "hse_r", "fppi")
_NONE = Interval(math.nan, math.nan)
_HEADS = ("IoU %", "nIoU %", "Pd %", "Fa 1e-6", "F1 %", "hIoU %", "HSE-r %", "false/frame")


@dataclass(frozen=True, slots=True)
class CanonicalPart:
    """What only maps at native size give.

    Attributes:
        tally: Per-frame counts.
        curves: Curves over thresholds.
        hse: HSE-r with its parts.
        hse_hash: Hash of its formula.
        area: Detection by target area.
        scr: Detection by |SCR|.
        scr50: |SCR| of half the targets detected, NaN where undefined.
        noise: Score -> how far it moves when frames are drawn anew, in its unit.
    """

    tally: NativeTally
    curves: Curves
    hse: HseResult
    hse_hash: str
    area: tuple[Stratum, ...]
    scr: tuple[Stratum, ...]
    scr50: float
    noise: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a score found.

    Attributes:
        about: What was scored, by name, as JSON values.
        rows: Name of a row of the table -> its scores.
        canonical: Curves, strata and noise floor, or None without maps at native size.
        warnings: What makes comparisons unfair, one line each.
    """

    about: Mapping[str, Any]
    rows: Mapping[str, Scores]
    canonical: CanonicalPart | None
    warnings: tuple[str, ...]


def build_report(
    truth: Truth,
    predictions: Predictions,
    counts: Counts,
    clean_ids: Sequence[str] | None,
    warnings: tuple[str, ...],
    *,
    num_resamples: int,
    seed: int,
) -> Report:
    """Compute scores, subsets, intervals and strata from counts.

    Args:
        truth: Frames that were scored.
        predictions: Their maps.
        counts: What was counted.
        clean_ids: Ids without near duplicates among known frames, or None when not searched for.
        warnings: Passed on.
        num_resamples: Bootstrap resamples, 0 for no intervals.
        seed: Seed of the resamples.
    """
    rows: dict[str, Scores] = {}
    canonical: CanonicalPart | None = None
    if counts.is_native_complete:
        resampling = _Resampling(truth.groups(), num_resamples, seed)
        rows["native"] = _with_intervals(counts.native, counts.hse, resampling)
        canonical = _canonical_part(counts, resampling)
    if clean_ids is not None and canonical is not None and 0 < len(clean_ids) < len(truth.ids):
        rows["native, de-duplicated"] = native_scores(counts.native.subset(clean_ids), counts.hse.subset(clean_ids))
    if counts.legacy is not None:
        rows[counts.legacy.config["mode"]] = legacy_scores(counts.legacy)
        if clean_ids is not None and 0 < len(clean_ids) < len(truth.ids):
            rows[f"{counts.legacy.config['mode']}, de-duplicated"] = legacy_scores(counts.legacy.subset(clean_ids))
    about = {
        "truth": truth.about,
        "split": truth.split,
        "split_list": truth.corpus.split_list,
        "ids_sha256": truth.ids_sha256,
        "predictions": predictions.about,
        "num_near_duplicates": None if clean_ids is None else len(truth.ids) - len(clean_ids),
        "resamples": num_resamples,
        "seed": seed,
    }
    return Report(about, rows, canonical, warnings)


def print_report(report: Report) -> None:
    """Print the table, the strata and the figures of the curves."""
    print(f"truth: {report.about['truth']}\npredictions: {report.about['predictions']}\n")
    print_table(report.rows)
    for name, scores in report.rows.items():
        if name == scores.mode != "native":
            print(f"{name}: {scores.geometry}, recall (pixAcc) {_number(scores.recall)} %")
    if report.canonical is not None:
        _print_canonical(report.rows["native"], report.canonical)
    num_near = report.about["num_near_duplicates"]
    if num_near is not None:
        print(f"{num_near} scored frames have an equal or near-duplicate frame (32x32 NCC >= 0.95) in the other lists")


def print_table(rows: Mapping[str, Scores]) -> None:
    """Print scores as the field's columns; intervals, where a row has them, below it.

    Args:
        rows: Name of a row -> its scores.
    """
    lines: list[tuple[str, ...]] = [("", "frames", "targets", *_HEADS)]
    for name, scores in rows.items():
        numbers = (_number(getattr(scores, column)) for column in _COLUMNS)
        lines.append((name, str(scores.num_frames), str(scores.num_truth), *numbers))
        if scores.intervals:
            lines.append(("95 % over frames", "", "", *(_span(scores.intervals.get(c, _NONE)) for c in _COLUMNS)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for head, *cells in lines:
        print(f"{head:<{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)))


def _print_canonical(scores: Scores, part: CanonicalPart) -> None:
    figures = summarise(part.curves)
    print(
        f"\n{scores.num_matched} of {scores.num_truth} targets detected, {scores.num_false} false objects,"
        f" {scores.num_empty} frames without target (nIoU over the others {_number(scores.niou_pos)} %)"
    )
    print(
        f"pixels: precision {_number(scores.precision)} %, recall {_number(scores.recall)} %,"
        f" false positives {_number(scores.pixel_fa)} in 1e-6, AP {_number(figures['average_precision'])} %,"
        f" ROC-AUC {_number(figures['roc_auc'])} % (saturated: no ranking)"
    )
    limits = ", ".join(f"{limit}: {_number(pd)}" for limit, pd in figures["best_pd_at_fa"].items())
    print(f"best Pd % at Fa (1e-6) of at most {limits}; area of the Pd-Fa curve {_number(figures['pd_fa_area'])} %")
    print(
        f"HSE-r {_number(scores.hse_r)} % from PIX {_number(scores.hse_pix)}, TGT {_number(scores.hse_tgt)} (our reconstruction)"
    )
    for title, strata in (("Pd by target area", part.area), ("Pd by |SCR| (box +20 px, guard 3 px)", part.scr)):
        cells = [f"{s.label}: {_share(s)}" for s in strata if s.num_truth]
        print(f"{title}: {'; '.join(cells) or 'no target'}")
    if not math.isnan(part.scr50):
        print(f"SCR50 (logistic in ln |SCR|): {part.scr50:.2f}")
    if part.noise and scores.num_truth:
        spans = ", ".join(f"{name} {_number(part.noise[name]['half_width_95'])}" for name in ("iou", "niou", "pd", "fa"))
        floor = wilson(scores.num_matched, scores.num_truth).half_width * 100.0
        print(f"noise floor of these frames, half width of 95 %: {spans}; Wilson of Pd {_number(floor)}")
        print(f"one target is {_number(100.0 / scores.num_truth)} points of Pd")


@dataclass(frozen=True, slots=True)
class _Resampling:
    groups: Sequence[str] | None
    num: int
    seed: int

    def rng(self) -> np.random.Generator:
        """Return the same draws for every tally: scores of one resample belong together."""
        return keyed_generator(self.seed, Stream.RESAMPLE, 0)


def _with_intervals(native: NativeTally, hse: HseTally, resampling: _Resampling) -> Scores:
    scores = native_scores(native, hse)
    if not resampling.num:
        return scores
    found = bootstrap(
        lambda weights: _all_scores(native, hse, weights),
        len(native),
        rng=resampling.rng(),
        groups=resampling.groups,
        num_resamples=resampling.num,
    )
    return replace(scores, intervals=found)


def _canonical_part(counts: Counts, resampling: _Resampling) -> CanonicalPart:
    native, targets = counts.native, counts.native.targets()
    noise: Mapping[str, Mapping[str, float]] = {}
    if resampling.num:
        noise = noise_floor(
            lambda weights: _all_scores(native, None, weights),
            len(native),
            rng=resampling.rng(),
            groups=resampling.groups,
            num_resamples=resampling.num,
        )
    curves, hse = counts.curves.result(), counts.hse.result()
    return CanonicalPart(native, curves, hse, counts.hse.formula.hash(), by_area(targets), by_scr(targets), scr50(targets), noise)


def _all_scores(native: NativeTally, hse: HseTally | None, weights: FloatArray) -> dict[str, FloatArray]:
    """Return scores in reported units for each weighting."""
    values = native.scores(weights) | ({} if hse is None else hse_values(hse, weights))
    return {name: value * FACTORS[name] for name, value in values.items()}


def _share(stratum: Stratum) -> str:
    low, high = (100.0 * bound for bound in stratum.interval)
    return f"{100.0 * stratum.pd:.1f} ({low:.1f}-{high:.1f}, n={stratum.num_truth})"


def _span(interval: Interval) -> str:
    return "-" if math.isnan(interval.low) else f"{interval.low:.1f}..{interval.high:.1f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"
