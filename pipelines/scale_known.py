"""Runs of a study that were done elsewhere: what study.json says of them counts as if they had been done here.

STUDY/known/sources.json            the files that runs were taken over from, with their environments and data sets
STUDY/known/PATH.json               a run or the test of a pretraining (pipelines.scale_cells)

Numbers come over, weights do not: a report has no journals or pictures of these runs. A confirmation is in study.json, and comes
over, when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.scale_cells import KNOWN_FOLDER, TEST_NAME, Cell, known_path, pretraining_folder
from pipelines.scale_folder import differences, other_frames
from pipelines.scale_table import SCORES
from synth.errors import RefusalError
from synth.store.files import read_json, sha256_of_file, write_json

SOURCES_NAME = "sources.json"


@dataclass(frozen=True, slots=True)
class Known:
    """What a study.json says of finished runs.

    Attributes:
        runs: Run directory below OUT -> its record, as test.json has it.
        zero_labels: Run directory of a pretraining below OUT -> its record, as zero_label.json has it.
        source: Name and sha256 of the file, environments, content hashes of data sets that were made.
    """

    runs: Mapping[str, Mapping[str, Any]]
    zero_labels: Mapping[str, Mapping[str, Any]]
    source: Mapping[str, Any]


def read_known(file: Path, identity: Mapping[str, Any], lists: Mapping[str, Any]) -> Known:
    """Return the runs of a study.json that are those of a study; arms that the study does not have are left out.

    Args:
        file: study.json of this study from elsewhere, under any name.
        identity: What tells the study from others.
        lists: Name of a data set -> what tells its lists from those of others.

    Raises:
        RefusalError: The file is none, is damaged, or is of another study: other recipes of an arm, other steps, other frames.
        StoreError: It cannot be read.
    """
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("identity"), dict):
        raise RefusalError(f"--known {file}: does not say of what recipes its runs are; give a study.json that scale wrote")
    try:
        differing = differences(content["identity"], identity)
        differing += other_frames(content["data"], lists)
        differing += [] if identity["arms"].keys() & content["identity"]["arms"].keys() else ["arms altogether"]
        confirmed = [group for result in (content["endpoint"] or {}).get("results", ()) for group in result["groups"].values()]
        groups = [g for g in (*content["groups"], *confirmed) if g["arm"] in identity["arms"] and g["dataset"] in lists]
        runs = {cell.path: record for group in groups for cell, record in _tests(group)}
        entries = [e for e in content["zero_labels"] if e["arm"] in identity["arms"] and e["dataset"] in lists]
        zero_labels = {path: record for entry in entries for path, record in _zero_labels(entry)}
        source = {"environments": list(content["environments"]), "stores": dict(content["stores"])}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise RefusalError(f"--known {file}: is damaged ({type(error).__name__}: {error}); restore it from a copy") from error
    if differing:
        raise RefusalError(f"--known {file}: is of a study with other {', '.join(differing)}; its runs cannot stand in for these")
    return Known(runs, zero_labels, source | {"name": file.name, "sha256": sha256_of_file(file)})


def take_over(out: Path, known: Known) -> None:
    """Let finished runs count in the folder of a study, begun; a source counts those that no other had brought.

    Where they come from is written first: a record without that would have no source if the command were killed between.
    """
    others = [source for source in sources_of(out) if source["sha256"] != known.source["sha256"]]  # taken over twice, it is one
    brought = {path for source in others for path in source.get("paths", ())}
    new = [path for path in known.runs if path not in brought and not (out / path / TEST_NAME).is_file()]
    entry = {**known.source, "runs": len(new), "paths": new}
    write_json(out / KNOWN_FOLDER / SOURCES_NAME, [*others, entry])
    for path, record in (*known.runs.items(), *known.zero_labels.items()):
        write_json(known_path(out, path), record)


def sources_of(out: Path) -> list[dict[str, Any]]:
    """Return the files that runs were taken over from: name, sha256, environments, stores, and new ``runs``, ``paths``.

    A run is new in the file that was the first to bring it.
    """
    path = out / KNOWN_FOLDER / SOURCES_NAME
    found: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    return found


def _tests(group: Mapping[str, Any]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield the runs of a group, each with its record."""
    labels = None if group["labels"] is None else int(group["labels"])
    for i, seed in enumerate(group["seeds"]):
        cell = Cell(group["dataset"], group["arm"], labels, int(group["steps"]), int(seed), int(group["num_frames"]))
        clean = group["clean_iou"][i]
        own = {
            "whole": {name: _number(group["scores"][name][i]) for name in SCORES},
            "clean": None if clean is None else {"iou": float(clean)},
            "operating": group["operating"][i],
        }
        others = {name: {"whole": {"iou": _number(values[i])}} for name, values in group["other_iou"].items()}
        result = {
            "validation": {"val_best_iou": float(group["validation_iou"][i])},
            "is_collapsed": bool(group["collapsed"][i]),
            "init": {"kind": str(group["init"])},
        }
        tests = {group["dataset"]: own} | others
        yield cell, {"format": 1, "cell": asdict(cell), "result": result, "tests": tests, "loss_slope": group["loss_slopes"][i]}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _zero_labels(entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield run directory and record of every pretraining of an arm that was tested as it is."""
    for i, seed in enumerate(entry["seeds"]):
        halves = {"half": entry["scores"], "chosen": entry["chosen"]}
        thresholds = {name: {score: float(values[score][i]) for score in SCORES} for name, values in halves.items()}
        yield pretraining_folder(entry["dataset"], entry["arm"], None, int(seed)), {"format": 1, "thresholds": thresholds}
