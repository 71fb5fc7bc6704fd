"""The page of a comparison: two tables a set, the second without near duplicates; one text for screen and Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from finetune.metrics import Scores
from pipelines.evaluate_compare import METRICS, Estimate, Row, SeedMean, SetComparison

HEAD = """\
# Detectors compared

IoU, nIoU, Pd in percent, Fa in 1e-6; canonical scores at native size. Runs decide at the threshold their validation chose,
classical methods by the rule named. *Mean +- half width*: Student's t, 95 %, over seeds; intervals over frames and legacy
modes are in each detector's scores.json. *init*: the weights a run started from; of what trained those, see the warnings.
*Trained on*: seen from this set, by the lists in the run's record. *Near duplicate*: 32x32 correlation >= 0.95 with a frame
outside the test lists of the set, and of the first set.
"""
_HEADS = ("detector", "rule", "init", "trained on", "IoU", "nIoU", "Pd", "Fa", "targets hit", "false objects", "collapsed")


def section_of(found: SetComparison) -> Iterator[str]:
    """Yield the lines of one set: all frames, the clean ones, and runs against the classical floor."""
    yield f"## {'Other set: ' if found.is_other else ''}{found.title}"
    yield ""
    yield from _table(found, clean=False)
    yield ""
    num_frames, num_near = found.data["num_frames"], found.num_near_duplicates
    if num_near is None:
        yield "Near duplicates: not searched for, or no training list tells which frames may have trained."
    elif num_near in (0, num_frames):
        yield f"{num_near} of {num_frames} frames have near duplicates among frames that may have trained."
    else:
        remain = num_frames - num_near
        yield f"Without the {num_near} frames that have near duplicates among frames that may have trained, {remain} remain:"
        yield ""
        yield from _table(found, clean=True)
    if found.floor:
        yield ""
        yield from (f"- {line}" for line in found.floor)


def page_of(comparisons: Sequence[SetComparison], warnings: Sequence[str]) -> str:
    """Return the page."""
    lines = HEAD.splitlines()
    for found in comparisons:
        lines += ["", *section_of(found)]
    if warnings:
        lines += ["", "## Warnings", "", *(f"- {warning}" for warning in warnings)]
    return "\n".join([*lines, ""])


def _table(found: SetComparison, *, clean: bool) -> Iterator[str]:
    cells: list[tuple[str, ...]] = [_HEADS]
    for row in found.rows:
        if (scores := row.clean if clean else row.native) is not None:
            cells.append(_row(row, scores))
    for mean in found.means:
        if (estimates := mean.clean if clean else mean.native) is not None:
            cells.append(_mean_row(mean, [estimates[metric] for metric in METRICS]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]
    yield from (lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:])


def _row(row: Row, scores: Scores) -> tuple[str, ...]:
    numbers = (_show(Estimate(getattr(scores, metric), None)) for metric in METRICS)
    counts = f"{scores.num_matched} of {scores.num_truth}", str(scores.num_false)
    if row.run is None or row.exposure is None:
        return row.name, row.rule, "-", "-", *numbers, *counts, "-"
    collapsed = {True: "yes", False: "no", None: "unknown"}[row.run.is_collapsed]
    return row.name, row.rule, row.run.init, row.exposure.about, *numbers, *counts, collapsed


def _mean_row(mean: SeedMean, estimates: Sequence[Estimate]) -> tuple[str, ...]:
    first = mean.rows[0]
    assert first.run is not None and first.exposure is not None
    return mean.label, first.rule, first.run.init, first.exposure.about, *map(_show, estimates), "", "", mean.collapsed


def _show(value: Estimate) -> str:
    if math.isnan(value.mean):
        return "-"
    return f"{value.mean:.2f}" + ("" if value.half_width is None else f" +- {value.half_width:.2f}")
