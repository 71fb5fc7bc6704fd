"""The picture of a score: Pd against Fa, precision against recall, and Pd by target area and by SCR."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from finetune.metrics import Scores
from finetune.metrics.curves import summarise
from finetune.metrics.strata import Stratum
from pipelines.score_report import CanonicalPart

_INK, _QUIET, _ACCENT = "#1b3a57", "#9aa7b2", "#c8553d"
_FA_RANGE = (0.1, 1e4)  # 1e-6; smaller values, zero among them, are drawn at the left edge


def draw_curves(part: CanonicalPart, scores: Scores, title: str) -> bytes:
    """Return a PNG of the curves and strata.

    Args:
        part: Curves and strata.
        scores: Canonical scores, for the operating point.
        title: What was scored.
    """
    figure = Figure(figsize=(11.0, 8.2), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(2, 2)
    _draw_pd_fa(axes[0, 0], part, scores)
    _draw_precision_recall(axes[0, 1], part, scores)
    _draw_strata(axes[1, 0], part.area, "Pd by target area", "pixels of the target")
    half = "" if math.isnan(part.scr50) else f", SCR50 {part.scr50:.1f}"
    _draw_strata(axes[1, 1], part.scr, f"Pd by |SCR|{half}", "|SCR| (box grown by 20 px, guard 3 px)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_pd_fa(axis: Any, part: CanonicalPart, scores: Scores) -> None:
    curves = part.curves
    fa = np.clip(curves.fa * 1e6, *_FA_RANGE)
    axis.plot(fa, 100.0 * curves.pd, ".", color=_QUIET, markersize=4, label="thresholds k/256")
    order = np.argsort(curves.fa, kind="stable")
    best = np.maximum.accumulate(curves.pd[order])
    axis.step(fa[order], 100.0 * best, where="post", color=_INK, linewidth=1.6, label="best Pd at or below Fa")
    at = min(max(scores.fa, _FA_RANGE[0]), _FA_RANGE[1])
    label = f"threshold {scores.threshold:g}: Pd {scores.pd:.1f} %, Fa {scores.fa:.1f}"
    axis.plot([at], [scores.pd], "o", color=_ACCENT, markersize=7, label=label)
    axis.set(xscale="log", xlim=_FA_RANGE, ylim=(0, 102), xlabel="Fa, false area in 1e-6 of all pixels", ylabel="Pd, %")
    axis.set_title(f"Detection against false alarms, area {summarise(curves)['pd_fa_area']:.1f} %", fontsize=10)
    axis.legend(fontsize=8, loc="lower right")
    axis.grid(color="#e6eaee")


def _draw_precision_recall(axis: Any, part: CanonicalPart, scores: Scores) -> None:
    curves = part.curves
    axis.plot(100.0 * curves.recall, 100.0 * curves.precision, color=_INK, linewidth=1.6)
    axis.plot([scores.recall], [scores.precision], "o", color=_ACCENT, markersize=7, label=f"threshold {scores.threshold:g}")
    axis.set(xlim=(0, 102), ylim=(0, 102), xlabel="pixel recall, %", ylabel="pixel precision, %")
    axis.set_title(f"Pixels, average precision {100.0 * curves.average_precision:.1f} %", fontsize=10)
    axis.legend(fontsize=8, loc="lower left")
    axis.grid(color="#e6eaee")


def _draw_strata(axis: Any, strata: Sequence[Stratum], title: str, label: str) -> None:
    places = np.arange(len(strata))
    for place, entry in zip(places, strata, strict=True):
        if not entry.num_truth:
            continue
        low, high = (100.0 * bound for bound in entry.interval)
        axis.plot([place, place], [low, high], color=_INK, linewidth=2.0)
        axis.plot([place], [100.0 * entry.pd], "o", color=_INK, markersize=7, clip_on=False)
    ticks = [f"{entry.label}\nn={entry.num_truth}" for entry in strata]
    axis.set(xticks=places, xticklabels=ticks, xlim=(-0.6, len(strata) - 0.4), ylim=(0, 102), xlabel=label, ylabel="Pd, %")
    axis.set_title(f"{title}, Wilson 95 %", fontsize=10)
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="#e6eaee")
