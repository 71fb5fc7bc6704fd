"""The realism card as data: plain dictionaries of finite numbers, ready for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synth.census.auc import COVERAGE, NUM_BOOTSTRAPS
from synth.census.comparison import Comparison, Exhibits, Outcome
from synth.census.definitions import (
    AUC_GOAL,
    BY_NAME,
    KS_DEFINITION,
    PERCENTILES,
    PSD_DEFINITION,
    STATISTICS,
    W1_DEFINITION,
)
from synth.census.distance import Distance, spectrum_band
from synth.census.patches import PATCH_PX, PATCHES_PER_FRAME
from synth.census.spectrum import FREQUENCIES
from synth.census.survey import Survey
from synth.census.twosample import MAX_PATCHES, NUM_FOLDS

CARD_FORMAT = 1
CLASSIFIER_DEFINITION = (
    f"AUC of telling {PATCH_PX}x{PATCH_PX}-px target-free patches of the two sets apart (up to {PATCHES_PER_FRAME} a frame, "
    f"{MAX_PATCHES} a set) in {NUM_FOLDS} folds by source frame, near duplicates and frames of one plate in one fold; pairs "
    f"within folds; {100 * COVERAGE:.0f} % interval of {NUM_BOOTSTRAPS} resamples of groups of frames; 0.5 cannot be told apart"
)


def realism_card(subject: Survey, reference: Survey | None, comparison: Comparison | None, seed: int) -> dict[str, Any]:
    """Return the card.

    Args:
        subject: The set it is about.
        reference: The set it is held against, or None.
        comparison: Their comparison, or None.
        seed: Seed of every draw.

    Returns:
        Strings, integers, finite floats, None for what has no value, lists and dictionaries of these.
    """
    return {
        "format": CARD_FORMAT,
        "seed": seed,
        "definitions": _definitions(),
        "subject": _set_entry(subject),
        "reference": None if reference is None else _set_entry(reference),
        "comparison": None if comparison is None else _comparison_entry(comparison),
    }


def _definitions() -> dict[str, Any]:
    statistics = {
        statistic.name: {
            "label": statistic.label,
            "unit": statistic.unit,
            "one_per": statistic.per,
            "definition": statistic.definition,
            "ks_goal": statistic.goal,
        }
        for statistic in STATISTICS
    }
    return {
        "statistics": statistics,
        "ks": KS_DEFINITION,
        "wasserstein": W1_DEFINITION,
        "psd_distance": PSD_DEFINITION,
        "classifiers": CLASSIFIER_DEFINITION,
        "linear": "logistic regression on a fixed, named filter-bank descriptor",
        "network": "small convolutional network, three layers, trained from random weights in every fold",
        "procedural": "frames on a painted background: no image file and no plate behind them",
        "goals": "wanted, reported whatever they are, never a gate",
    }


def _set_entry(survey: Survey) -> dict[str, Any]:
    per_frame = survey.columns["targets_per_frame"].astype(np.int64)
    bands = {f"p{percent}_db": [_finite(value) for value in spectrum_band(survey.curves_db, percent)] for percent in (25, 50, 75)}
    return {
        "name": survey.name,
        "about": survey.about,
        "split": survey.split,
        "num_frames_found": survey.num_found,
        "num_frames": len(survey),
        "num_labelled": survey.num_labelled,
        "num_procedural": int(np.count_nonzero(survey.painted)),
        "num_targets": survey.num_targets,
        "frames_with_n_targets": {str(n): int(num) for n, num in enumerate(np.bincount(per_frame)) if num},
        "statistics": {statistic.name: _column_entry(survey, statistic.name) for statistic in STATISTICS},
        "psd": {"frequency_cycles_per_px": [float(f) for f in FREQUENCIES], **bands},
    }


def _column_entry(survey: Survey, name: str) -> dict[str, Any]:
    column = survey.columns[name]
    values = column[np.isfinite(column)]
    percentiles = np.percentile(values, PERCENTILES) if len(values) else [None] * len(PERCENTILES)
    return {
        "num": len(values),
        "num_missing": len(column) - len(values),
        "mean": _finite(values.mean()) if len(values) else None,
        "percentiles": {str(percent): _finite(value) for percent, value in zip(PERCENTILES, percentiles, strict=True)},
    }


def _comparison_entry(comparison: Comparison) -> dict[str, Any]:
    return {
        "distances": {name: _distance_entry(name, distance) for name, distance in comparison.distances.items()},
        "psd_distance_db": _finite(comparison.spectrum.rms_db),
        "psd_shape_distance_db": _finite(comparison.spectrum.shape_db),
        "classifiers": [_outcome_entry(outcome) for outcome in comparison.outcomes],
        "exhibits": None if comparison.exhibits is None else _exhibits_entry(comparison.exhibits),
    }


def _distance_entry(name: str, distance: Distance) -> dict[str, Any]:
    goal = BY_NAME[name].goal
    return {
        "ks": _finite(distance.ks),
        "ks_chance": _finite(distance.ks_chance),
        "ks_goal": goal,
        "goal_met": None if goal is None or math.isnan(distance.ks) else distance.ks <= goal,
        "wasserstein": _finite(distance.wasserstein),
    }


def _outcome_entry(outcome: Outcome) -> dict[str, Any]:
    auc = outcome.auc
    return {
        "classifier": outcome.classifier,
        "frames": outcome.frames,
        "not_run": outcome.not_run or None,
        "auc": None if auc is None else _finite(auc.value),
        "auc_interval": None if auc is None else [_finite(auc.low), _finite(auc.high)],
        "auc_goal": AUC_GOAL,
        "goal_met": None if auc is None else auc.value <= AUC_GOAL,
        "num_patches_subject": outcome.num_subject,
        "num_patches_reference": outcome.num_reference,
        "num_groups": outcome.num_groups,
        "giveaways": [
            {"name": entry.name, "weight": _finite(entry.weight), "auc_alone": _finite(entry.auc_alone)}
            for entry in outcome.giveaways
        ],
    }


def _exhibits_entry(exhibits: Exhibits) -> dict[str, Any]:
    return {"most_real": list(exhibits.most_real_ids), "least_real": list(exhibits.least_real_ids)}


def _finite(value: Any) -> float | None:
    """Return a float of six significant digits, or None for what JSON cannot hold."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
