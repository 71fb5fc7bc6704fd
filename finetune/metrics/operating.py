"""What one detector does at every operating point, small enough to keep with each run and to average over runs.

Best Pd at or below a ladder of false-alarm areas, and the targets found in bins of size and SCR. Curves over thresholds of test
frames describe and choose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.metrics.curves import Curves
from finetune.metrics.native import TargetOutcome
from finetune.metrics.strata import Stratum, by_area, by_scr, scr50

FA_LADDER = tuple(round(digit * 10.0**power, 1) for power in range(-1, 4) for digit in (1, 2, 3, 5, 7))
"""False-alarm areas, 1e-6: five a decade, 0.1 to 7,000 (our choice); 7e-3 of all pixels is no operating point any more."""


def operating_points(curves: Curves, targets: Sequence[TargetOutcome]) -> dict[str, Any]:
    """Return the operating points of a detector on a list of frames as JSON values.

    Args:
        curves: Over thresholds of all frames.
        targets: Outcome of every target at the threshold in use.

    Returns:
        ``fa``: false-alarm areas in 1e-6. ``pd``: best Pd at or below each, percent, None without a target. ``by_area`` and
        ``by_scr``: bin, targets found, and targets there, bins rising. ``scr50``: SCR of half the targets found, None where
        undefined.
    """
    half = scr50(targets)
    return {
        "fa": list(FA_LADDER),
        "pd": [100.0 * curves.best_pd(limit / 1e6) if targets else None for limit in FA_LADDER],
        "by_area": _counts(by_area(targets)),
        "by_scr": _counts(by_scr(targets)),
        "scr50": None if math.isnan(half) else half,
    }


def pd_at(points: Mapping[str, Any] | None, fa: float) -> float:
    """Return the best Pd at or below an Fa of the ladder, percent; NaN without points, or without a target.

    Args:
        points: What :func:`operating_points` returned, or None.
        fa: False-alarm area, 1e-6.
    """
    found = None if points is None else points["pd"][points["fa"].index(fa)]
    return math.nan if found is None else float(found)


def _counts(strata: Sequence[Stratum]) -> list[tuple[str, int, int]]:
    return [(entry.label, entry.num_matched, entry.num_truth) for entry in strata]
