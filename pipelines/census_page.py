"""The realism card as one page of plots: spectra, what gives the subject away, every histogram, and patches to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from synth.census import Comparison, Survey
from synth.census.comparison import NUM_EXHIBITS, Outcome
from synth.census.definitions import AUC_GOAL, STATISTICS, Statistic
from synth.census.distance import Distance, spectrum_band
from synth.census.spectrum import FREQUENCIES
from synth.rng import Stream, keyed_generator

SUBJECT_INK, REFERENCE_INK, QUIET_INK = "#D55E00", "#0072B2", "#6B6B6B"
"""Vermilion and blue of Okabe & Ito's palette, told apart with any colour vision; grey for goals and marks."""
DPI = 100
WIDTH_IN = 16.0
NUM_GIVEAWAYS = 8
NUM_BINS = 30
STRETCH_PERCENT, LEAST_SPAN_DN = (0.5, 99.5), 16.0
"""Grey range of a patch shown: its own percentiles, but never less than this many grey levels."""
EXHIBIT_INDEX = 5
"""Index of the generator that picks patches where there is no reference to rank them by."""
_COLUMNS = 4
_TITLE_IN, _LINE_IN, _TOP_IN, _HISTOGRAM_IN, _STRIP_IN = 0.65, 0.3, 4.8, 2.3, 2.0
_STYLE: Any = {
    "font.size": 12.0,
    "axes.titlesize": 13.0,
    "axes.labelsize": 12.0,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "white",
}

Values = npt.NDArray[np.float64]


def draw_page(subject: Survey, reference: Survey | None, comparison: Comparison | None, seed: int) -> bytes:
    """Draw the page.

    Args:
        subject: The set the card is about.
        reference: The set it is held against, or None.
        comparison: Their comparison, or None.
        seed: Seed of the patches picked where there is no reference.

    Returns:
        A PNG picture, 1600 px wide.
    """
    strips = _strips(subject, reference, comparison, seed)
    num_rows = -(-len(STATISTICS) // _COLUMNS)
    header = _TITLE_IN + _LINE_IN * (1 if reference is None else 2)
    heights = [header, _TOP_IN, num_rows * _HISTOGRAM_IN, *[_STRIP_IN] * len(strips)]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_IN, sum(heights)), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        _draw_header(parts[0], subject, reference, header)
        _draw_top(parts[1], subject, reference, comparison)
        _draw_histograms(parts[2], subject, reference, comparison)
        for part, (title, patches) in zip(parts[3:], strips, strict=True):
            _draw_strip(part, title, patches)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_header(part: SubFigure, subject: Survey, reference: Survey | None, height_in: float) -> None:
    title = f"Realism card of {subject.name}" if reference is None else f"Realism card of {subject.name} against {reference.name}"
    part.text(0.02, 1 - 0.35 / height_in, title, fontsize=20, weight="bold", va="center")
    lines = [(subject, SUBJECT_INK)] if reference is None else [(subject, SUBJECT_INK), (reference, REFERENCE_INK)]
    for number, (entry, ink) in enumerate(lines):
        down = (_TITLE_IN + _LINE_IN * (number + 0.5)) / height_in
        part.text(0.02, 1 - down, _described(entry), fontsize=13, va="center", color=ink)


def _described(entry: Survey) -> str:
    drawn = f"{len(entry)} of {entry.num_found}" if len(entry) < entry.num_found else f"{len(entry)}"
    targets = f", {entry.num_targets} targets" if entry.num_labelled else ", unlabelled"
    return f"\u25a0  {entry.name}: {drawn} frames{targets} ({entry.about})"


def _draw_top(part: SubFigure, subject: Survey, reference: Survey | None, comparison: Comparison | None) -> None:
    """Draw spectra, and beside them what the classifiers found; rectangles in parts of the strip, labels to their left."""
    spectra = part.add_axes((0.055, 0.14, 0.925 if comparison is None else 0.36, 0.70))
    _draw_spectra(spectra, subject, reference)
    title = "Power spectrum: medians, and the middle half of the frames"
    if comparison is not None:
        title += f"\n{comparison.spectrum.rms_db:.1f} dB rms apart, {comparison.spectrum.shape_db:.1f} dB in shape"
        _draw_verdicts(part.add_axes((0.515, 0.14, 0.155, 0.70)), comparison.outcomes)
        part.text(0.445, 0.87, "Patches told apart?\nAUC with 95 % interval", fontsize=13, va="bottom")
        _draw_giveaways(part.add_axes((0.85, 0.14, 0.13, 0.70)), comparison.outcomes)
        part.text(
            0.70,
            0.87,
            f"What gives it away: weights, positive where\nhigher in {_cut(subject.name, 30)}",
            fontsize=13,
            va="bottom",
        )
    part.text(0.02, 0.87, title, fontsize=13, va="bottom")


def _draw_spectra(axes: Axes, subject: Survey, reference: Survey | None) -> None:
    for entry, ink in ((reference, REFERENCE_INK), (subject, SUBJECT_INK)):
        if entry is not None and np.isfinite(entry.curves_db).any():
            low, middle, high = (spectrum_band(entry.curves_db, percent) for percent in (25.0, 50.0, 75.0))
            axes.fill_between(FREQUENCIES, low, high, color=ink, alpha=0.2, linewidth=0)
            axes.plot(FREQUENCIES, middle, color=ink, linewidth=2.2, label=entry.name)
    axes.set_xscale("log")
    axes.set_xlim(FREQUENCIES[0], FREQUENCIES[-1])
    ticks = [0.025, 0.05, 0.1, 0.2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("spatial frequency [cycles/px]")
    axes.set_ylabel("power [dB re 1 DN\u00b2 px\u00b2]")
    axes.grid(color="#E4E4E4")
    if axes.lines:
        axes.legend(frameon=False, loc="lower left")


def _draw_verdicts(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw each AUC with its interval, or say why there is none."""
    axes.axvspan(0.5, AUC_GOAL, color="#E3EFE7", linewidth=0)
    for number, outcome in enumerate(outcomes):
        if outcome.auc is None:
            axes.text(0.51, number, _wrapped(f"not run: {outcome.not_run}", 26), va="center", fontsize=9.5, color=QUIET_INK)
            continue
        auc = outcome.auc
        ends = [[max(auc.value - auc.low, 0.0)], [max(auc.high - auc.value, 0.0)]]
        axes.errorbar([auc.value], [number], xerr=ends, fmt="o", color="black", markersize=7, capsize=4, linewidth=2)
        axes.annotate(f"{auc.value:.2f}", (auc.value, number), (0, 10), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(outcomes)), [f"{outcome.classifier},\n{outcome.frames}" for outcome in outcomes])
    axes.set_ylim(len(outcomes) - 0.4, -0.6)
    least = min((outcome.auc.low for outcome in outcomes if outcome.auc is not None), default=0.5)
    axes.set_xlim(min(0.45, least - 0.02), 1.03)
    axes.set_xticks([0.5, AUC_GOAL, 1.0], ["0.5\nalike", f"{AUC_GOAL:g}\ngoal", "1\napart"])


def _draw_giveaways(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw the largest weights of the linear classifier on the most frames it was run on."""
    shown = next((outcome.giveaways for outcome in outcomes if outcome.giveaways), ())[:NUM_GIVEAWAYS]
    if not shown:
        axes.text(0.0, 0.5, "no linear test was run", ha="center", va="center", transform=axes.transAxes, color=QUIET_INK)
        axes.set_axis_off()
        return
    weights = [entry.weight for entry in shown]
    inks = [SUBJECT_INK if weight > 0 else REFERENCE_INK for weight in weights]
    axes.barh(range(len(shown)), weights, color=inks, height=0.65)
    axes.axvline(0.0, color="black", linewidth=1)
    axes.set_yticks(range(len(shown)), [_wrapped(entry.name, 24) for entry in shown], fontsize=10.5)
    axes.invert_yaxis()
    axes.set_xlabel("log odds per\nstandard deviation")


def _draw_histograms(part: SubFigure, subject: Survey, reference: Survey | None, comparison: Comparison | None) -> None:
    num_rows = -(-len(STATISTICS) // _COLUMNS)
    grid = {"left": 0.03, "right": 0.98, "top": 0.92, "bottom": 0.045, "hspace": 0.8, "wspace": 0.14}
    panels: Any = part.subplots(num_rows, _COLUMNS, gridspec_kw=grid, squeeze=False).ravel()
    part.text(
        0.02, 0.985, "Share of frames or targets; dashed: medians; the outer bins hold what lies beyond", fontsize=13, va="center"
    )
    for axes, statistic in zip(panels, STATISTICS, strict=False):
        columns = [(subject.columns[statistic.name], SUBJECT_INK)]
        if reference is not None:
            columns.insert(0, (reference.columns[statistic.name], REFERENCE_INK))
        distance = None if comparison is None else comparison.distances[statistic.name]
        _draw_histogram(axes, statistic, columns, distance)
    for axes in panels[len(STATISTICS) :]:
        axes.set_axis_off()


def _draw_histogram(axes: Axes, statistic: Statistic, columns: Sequence[tuple[Values, str]], distance: Distance | None) -> None:
    axes.set_title(_histogram_title(statistic, distance), loc="left", fontsize=12)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    finite = [(values[np.isfinite(values)], ink) for values, ink in columns]
    pooled = np.concatenate([values for values, _ in finite])
    if not len(pooled):
        axes.text(0.5, 0.5, "nothing to measure", ha="center", va="center", transform=axes.transAxes, color=QUIET_INK)
        axes.set_xticks([])
        return
    edges, log = _edges(statistic, pooled)
    for values, ink in finite:
        if len(values):
            shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
            axes.stairs(shares, edges, fill=True, color=ink, alpha=0.25)
            axes.stairs(shares, edges, color=ink, linewidth=1.8)
            axes.axvline(float(np.clip(np.median(values), edges[0], edges[-1])), color=ink, linestyle=(0, (4, 2)), linewidth=1.4)
    axes.set_xlim(edges[0], edges[-1])
    if log:
        _log_axis(axes, edges)


def _histogram_title(statistic: Statistic, distance: Distance | None) -> str:
    if distance is None:
        return statistic.title
    if not np.isfinite(distance.ks):
        return f"{statistic.title}\nin one set only"
    goal = "" if statistic.goal is None else f" (goal \u2264 {statistic.goal:g})"
    return f"{statistic.title}\nKS {distance.ks:.2f}{goal}"


def _edges(statistic: Statistic, pooled: Values) -> tuple[Values, bool]:
    """Return bin edges for both sets, and whether they are logarithmic; the outer 0.5 % go to the outer bins."""
    if statistic.name == "targets_per_frame":
        return np.arange(-0.5, max(float(pooled.max()), 1.0) + 1.0), False
    if statistic.name in ("row_position", "col_position"):
        return np.linspace(0.0, 1.0, NUM_BINS // 2 + 1), False
    low, high = np.percentile(pooled, (0.5, 99.5))
    if statistic.log and (positive := pooled[pooled > 0.0]).size:
        low, high = np.percentile(positive, (0.5, 99.5))
        return np.geomspace(low, max(high, low * 1.1), NUM_BINS + 1), True
    return np.linspace(low, max(high, low + 1e-3 * (1.0 + abs(low))), NUM_BINS + 1), False


def _log_axis(axes: Axes, edges: Values) -> None:
    """Label a logarithmic axis with at most six plain numbers."""
    axes.set_xscale("log")
    decades = range(int(np.floor(np.log10(edges[0]))), int(np.ceil(np.log10(edges[-1]))) + 1)
    ticks: list[float] = []
    for steps in ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if edges[0] <= tick <= edges[-1]]
        if len(ticks) <= 6:
            break
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)


def _strips(
    subject: Survey, reference: Survey | None, comparison: Comparison | None, seed: int
) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return title and patches of each strip; patches are ranked by the linear classifier where there is one."""
    if comparison is not None and reference is not None and comparison.exhibits is not None:
        shown = comparison.exhibits
        return [
            (f"{subject.name}: patches judged most real", shown.most_real),
            (f"{subject.name}: patches judged least real", shown.least_real),
            (f"{reference.name}: patches from judged most real to least", shown.reference),
        ]
    return [
        (f"{entry.name}: patches drawn at random", patches)
        for entry in (subject, reference)
        if entry is not None and len(patches := _random_patches(entry, seed))
    ]


def _random_patches(entry: Survey, seed: int) -> npt.NDArray[np.float32]:
    """Return patches of different frames."""
    first = np.unique(entry.patch_frame, return_index=True)[1]
    chosen = keyed_generator(seed, Stream.CENSUS, EXHIBIT_INDEX).permutation(first)[:NUM_EXHIBITS]
    return np.asarray(entry.patches[chosen], dtype=np.float32)


def _draw_strip(part: SubFigure, title: str, patches: npt.NDArray[np.float32]) -> None:
    grid = {"left": 0.02, "right": 0.98, "top": 0.8, "bottom": 0.02, "wspace": 0.06}
    part.text(0.02, 0.9, f"{title} (64x64 px, each stretched to its own range)", fontsize=13, va="center")
    panels: Any = part.subplots(1, NUM_EXHIBITS, gridspec_kw=grid)
    for slot, axes in enumerate(panels):
        axes.set_axis_off()
        if slot < len(patches):
            low, high = np.percentile(patches[slot], STRETCH_PERCENT)
            middle, span = (low + high) / 2, max(float(high - low), LEAST_SPAN_DN)
            axes.imshow(patches[slot], cmap="gray", vmin=middle - span / 2, vmax=middle + span / 2, interpolation="nearest")


def _wrapped(text: str, width: int) -> str:
    """Break a text into lines at spaces."""
    lines: list[str] = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\u2026"
