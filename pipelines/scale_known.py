"""Runs of a study that were done elsewhere: what study.json says of them counts as if they had been done here.

STUDY/known/sources.json            the files that runs were taken over from, with their environments and data sets
STUDY/known/PATH.json               a run or the test of a pretraining (pipelines.scale_cells)

Numbers come over, weights do not: a report has no journals or pictures of these runs. A confirmation is in study.json, and comes
over, when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.scale_cells import KNOWN_FOLDER, Cell, known_path
from pipelines.scale_folder import differences
from pipelines.scale_table import SCORES
from synth.errors import RefusalError
from synth.store.files import read_json, sha256_of_file, write_json

SOURCES_NAME = "sources.json"


def read_known(file: Path, identity: Mapping[str, Any], lists: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a study.json whose runs are those of a study.

    Args:
        file: study.json of this study from elsewhere, under any name.
        identity: What tells the study from others.
        lists: Name of a data set -> what tells its lists from those of others.

    Raises:
        RefusalError: The file is none, or is of another study: other recipes of an arm, other steps, other frames.
        StoreError: It cannot be read.
    """
    content: dict[str, Any] = read_json(file)
    if not isinstance(content, dict) or not {"identity", "groups", "data", "zero_labels"} <= content.keys():
        raise RefusalError(f"--known {file}: has no runs with what tells their recipes; give a study.json that scale wrote")
    differing = differences(content["identity"], identity)
    differing += [f"frames of {name}" for name in lists if content["data"].get(name, lists[name]) != lists[name]]
    if not identity["arms"].keys() & content["identity"]["arms"].keys():
        differing.append("arms altogether")
    if differing:
        raise RefusalError(f"--known {file}: is of a study with other {', '.join(differing)}; its runs cannot stand in for these")
    return content


def take_over(out: Path, file: Path, content: Mapping[str, Any]) -> int:
    """Let the finished runs of a study.json count in the folder of the study; return how many it has.

    Args:
        out: Folder of the study, begun.
        file: The file, as :func:`read_known` has checked it.
        content: Its content.
    """
    confirmed = [group for result in (content["endpoint"] or {}).get("results", ()) for group in result["groups"].values()]
    paths = set()
    for group in [*content["groups"], *confirmed]:
        for cell, record in _tests(group):
            write_json(known_path(out, cell.path), record)
            paths.add(cell.path)
    for path, record in _zero_labels(content["zero_labels"]):
        write_json(known_path(out, path), record)
    entry = {"name": file.name, "sha256": sha256_of_file(file), "runs": len(paths)}
    entry |= {key: content.get(key) for key in ("environments", "stores")}
    others = [source for source in sources_of(out) if source["sha256"] != entry["sha256"]]
    write_json(out / KNOWN_FOLDER / SOURCES_NAME, [*others, entry])
    return len(paths)


def sources_of(out: Path) -> list[dict[str, Any]]:
    """Return the files that runs were taken over from: name, sha256, runs, environments, stores."""
    path = out / KNOWN_FOLDER / SOURCES_NAME
    found: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    return found


def _tests(group: Mapping[str, Any]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield the runs of a group, each with its record as test.json has it."""
    for i, seed in enumerate(group["seeds"]):
        cell = Cell(group["dataset"], group["arm"], group["labels"], group["steps"], seed, group["num_frames"])
        clean = group["clean_iou"][i]
        own = {
            "whole": {name: group["scores"][name][i] for name in SCORES},
            "clean": None if clean is None else {"iou": clean},
            "operating": group["operating"][i],
        }
        others = {name: {"whole": {"iou": values[i]}} for name, values in group["other_iou"].items()}
        result = {
            "validation": {"val_best_iou": group["validation_iou"][i]},
            "is_collapsed": group["collapsed"][i],
            "init": {"kind": group["init"]},
        }
        tests = {group["dataset"]: own} | others
        yield cell, {"format": 1, "cell": asdict(cell), "result": result, "tests": tests, "loss_slope": group["loss_slopes"][i]}


def _zero_labels(entries: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield run directory and record of every pretraining that was tested as it is, as zero_label.json has it."""
    for entry in entries:
        for i, seed in enumerate(entry["seeds"]):
            halves = {"half": entry["scores"], "chosen": entry["chosen"]}
            thresholds = {name: {score: values[score][i] for score in SCORES} for name, values in halves.items()}
            yield f"pretrained/{entry['dataset']}/{entry['arm']}/seed-{seed}", {"format": 1, "thresholds": thresholds}
