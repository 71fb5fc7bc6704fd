"""The files of an audit: audit.json, pairs.png (the most alike pairs side by side) and de-duplicated test lists."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synth.corpora import Overlap
from synth.corpora.exposure import Exposure, GroupCount, part_of
from synth.corpora.leakage import NearDuplicate
from synth.errors import RefusalError
from synth.sample import Frame
from synth.store.files import write_durably

REPORT_NAME = "audit.json"
PICTURE_NAME = "pairs.png"
_NUM_PICTURES = 12
_NUM_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Everything an audit found.

    Attributes:
        threshold: Least NCC of a near duplicate.
        sources: Name of a data set -> what it is.
        num_frames: "set/split" -> its frames.
        overlaps: Every comparison, the group to be protected as ``b``.
        exposures: Test lists against everything outside the test lists.
        groups: Near-duplicate groups of each set.
    """

    threshold: float
    sources: Mapping[str, str]
    num_frames: Mapping[str, int]
    overlaps: tuple[Overlap, ...]
    exposures: tuple[Exposure, ...]
    groups: tuple[GroupCount, ...]


@dataclass(frozen=True, slots=True)
class _Shown:
    """One pair of the picture: the names of its two groups, and the pair."""

    a: str
    b: str
    pair: NearDuplicate


def write_report(out: Path, report: AuditReport, read: Callable[[str, str], Frame]) -> list[Path]:
    """Write the files of an audit.

    Args:
        out: Folder, made when missing.
        report: What was found.
        read: (set, id) -> frame, for the picture.

    Returns:
        The files written.

    Raises:
        StoreError: A file cannot be written.
    """
    text = json.dumps({"format": 1, **asdict(report)}, indent=1, sort_keys=True, allow_nan=False)
    paths = [write_text(out / REPORT_NAME, text + "\n", replace=True)]  # first: it marks the folder as ours
    for stale in (*out.glob("test_dedup*.txt"), out / PICTURE_NAME):
        stale.unlink(missing_ok=True)
    for exposure in report.exposures:
        clean = "".join(f"{frame_id}\n" for frame_id in exposure.clean)
        paths.append(write_text(out / _dedup_name(exposure, report), clean, replace=True))
    if shown := _most_alike(report):
        paths.append(_write(out / PICTURE_NAME, _draw(shown, read, report.threshold)))
    return paths


def write_text(path: Path, text: str, *, replace: bool = False) -> Path:
    """Write a text file whole or not at all.

    Args:
        path: File; its folder is made when missing.
        text: Content.
        replace: Whether an existing file of other content may be replaced.

    Returns:
        ``path``.

    Raises:
        RefusalError: The file exists with other content.
        StoreError: It cannot be written.
    """
    data = text.encode()
    if not replace and path.exists() and path.read_bytes() != data:
        raise RefusalError(f"file {path}: exists with other content; move it away or name another folder")
    return _write(path, data)


def _write(path: Path, data: bytes) -> Path:
    write_durably(path, [data])
    return path


def _dedup_name(exposure: Exposure, report: AuditReport) -> str:
    source = exposure.name.rpartition("/")[0]
    return "test_dedup.txt" if len(report.sources) == 1 else f"test_dedup_{source}.txt"


def _most_alike(report: AuditReport) -> list[_Shown]:
    """Return the pairs to show, test lists first, then by NCC; each frame to be protected with its closest partner."""
    shown = [_Shown(overlap.a, overlap.b, pair) for overlap in report.overlaps for pair in overlap.near_duplicates]
    shown.sort(key=lambda entry: (part_of(entry.b) != "test", -entry.pair.ncc, entry.pair.id_a, entry.pair.id_b))
    closest: dict[tuple[str, str], _Shown] = {}
    for entry in shown:
        closest.setdefault((entry.b, entry.pair.id_b), entry)
    return list(closest.values())[:_NUM_PICTURES]


def _draw(shown: list[_Shown], read: Callable[[str, str], Frame], threshold: float) -> bytes:
    """Return a PNG contact sheet: two pairs a row, both frames of a pair side by side."""
    num_rows = -(-len(shown) // _NUM_COLUMNS)
    figure = Figure(figsize=(6.4 * _NUM_COLUMNS, 0.7 + 3.0 * num_rows), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subfigures(num_rows + 1, _NUM_COLUMNS, height_ratios=[0.7, *[3.0] * num_rows], squeeze=False)
    figure.text(0.02, 1 - 0.3 / figure.get_figheight(), _headline(shown, threshold), fontsize=13, va="center")
    for entry, panel in zip(shown, grid[1:].ravel(), strict=False):
        panel.suptitle(f"NCC {entry.pair.ncc:.3f}", fontsize=12, y=0.97)
        axes = panel.subplots(1, 2, gridspec_kw={"wspace": 0.06, "left": 0.03, "right": 0.97, "top": 0.8, "bottom": 0.02})
        for axis, group, frame_id in zip(axes, (entry.b, entry.a), (entry.pair.id_b, entry.pair.id_a), strict=True):
            levels = read(group.rpartition("/")[0], frame_id).levels
            low, high = np.percentile(levels, (0.5, 99.9))
            axis.imshow(levels, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="nearest")
            axis.set_title(f"{group}\n{frame_id}", fontsize=10)
            axis.set_anchor("N")
            axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _headline(shown: list[_Shown], threshold: float) -> str:
    rule = f"32x32 NCC >= {threshold:g}, test lists first"
    return f"{len(shown)} frames with their closest partner in another split ({rule})"
