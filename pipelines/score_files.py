"""The files of a score: scores.json, per-frame and per-target tables, curves as CSV and as a picture."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from finetune.metrics.curves import summarise
from finetune.metrics.scores import finite
from finetune.metrics.strata import Stratum
from pipelines.score_figure import draw_curves
from pipelines.score_report import CanonicalPart, Report
from synth.store.files import write_durably

SCORES_NAME = "scores.json"
PICTURE_NAME = "curves.png"
_FRAME_HEADS = ("id", "rows", "cols", "tp", "fp", "fn", "iou", "targets", "matched", "objects", "false_objects", "false_area_px")
_TARGET_HEADS = ("id", "target", "area_px", "scr", "matched")
_CURVE_HEADS = ("threshold", "pd", "fa", "num_false", "iou")
_PIXEL_HEADS = ("score_above", "recall", "precision", "false_positive_rate_1e-6")


def write_report(out: Path, report: Report) -> list[Path]:
    """Write the files of a score; those of an earlier one in the same folder are replaced.

    Args:
        out: Folder, made when missing.
        report: What was found.

    Returns:
        The files written.

    Raises:
        StoreError: A file cannot be written.
    """
    text = json.dumps(_content(report), indent=1, sort_keys=True, allow_nan=False)
    files = {SCORES_NAME: (text + "\n").encode()}  # first: it marks the folder as ours
    if report.canonical is not None:
        files |= _tables(report.canonical)
        files[PICTURE_NAME] = draw_curves(report.canonical, report.rows["native"], str(report.about["truth"]))
    for stale in (*out.glob("*.csv"), out / PICTURE_NAME):
        if stale.name in (*_TABLE_NAMES, PICTURE_NAME):
            stale.unlink(missing_ok=True)
    for name, data in files.items():
        write_durably(out / name, [data])
    return [out / name for name in files]


_TABLE_NAMES = ("frames.csv", "targets.csv", "curves.csv", "pixel_curves.csv")


def _content(report: Report) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format": 1,
        "version": version("sirst-foundry"),
        "units": "percent; fa and pixel_fa in 1e-6; fppi in false objects a frame; intervals are 95 % over frames",
        "inputs": dict(report.about),
        "scores": {name: scores.to_dict() for name, scores in report.rows.items()},
        "warnings": list(report.warnings),
    }
    if report.canonical is not None:
        content |= _canonical_content(report.canonical)
    cleaned: dict[str, Any] = _without_nan(content)
    return cleaned


def _canonical_content(part: CanonicalPart) -> dict[str, Any]:
    hse = {name: (100.0 * getattr(part.hse, name)[0]).tolist() for name in ("iou", "niou", "statistic", "integrated_pd")}
    return {
        "curves": summarise(part.curves),
        "hse": {"formula_sha256": part.hse_hash, **hse},
        "pd_by_area": [_stratum(entry) for entry in part.area],
        "pd_by_scr": [_stratum(entry) for entry in part.scr],
        "scr_definition": "(target mean - background mean) / background sigma; box grown by 20 px, without masks dilated by 3 px",
        "scr50": part.scr50,
        "noise_floor": {name: dict(values) for name, values in part.noise.items()},
    }


def _stratum(entry: Stratum) -> dict[str, Any]:
    values = asdict(entry)
    return {**values, "pd": 100.0 * entry.pd, "interval": [100.0 * bound for bound in entry.interval]}


def _tables(part: CanonicalPart) -> dict[str, bytes]:
    frames, targets = [], []
    for frame_id in part.tally.ids:
        row = part.tally.row(frame_id)
        union, num_matched = row.tp + row.fp + row.fn, row.num_matched
        iou = 100.0 * row.tp / union if union else 100.0
        objects = (len(row.targets), num_matched, row.num_predicted, row.num_predicted - num_matched, row.area_unmatched)
        frames.append((frame_id, *row.hw, row.tp, row.fp, row.fn, iou, *objects))
        targets += [(frame_id, k, t.area_px, t.scr, int(t.is_matched)) for k, t in enumerate(row.targets)]
    curves = part.curves
    by_threshold = (curves.thresholds, 100.0 * curves.pd, 1e6 * curves.fa, curves.num_false, 100.0 * curves.iou)
    above = np.arange(len(curves.recall)) / len(curves.recall)
    by_score = (above, 100.0 * curves.recall, 100.0 * curves.precision, 1e6 * curves.false_positive_rate)
    return {
        "frames.csv": _csv(_FRAME_HEADS, frames),
        "targets.csv": _csv(_TARGET_HEADS, targets),
        "curves.csv": _csv(_CURVE_HEADS, zip(*(column.tolist() for column in by_threshold), strict=True)),
        "pixel_curves.csv": _csv(_PIXEL_HEADS, zip(*(column.tolist() for column in by_score), strict=True)),
    }


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; undefined numbers are empty."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value
    return ("" if math.isnan(value) else f"{value:.10g}") if isinstance(value, float) else value


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return finite(value) if isinstance(value, float) else value
