"""What a study has found so far, and study.json: everything its pages and reports draw."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.scale_cells import KNOWN_FOLDER, TEST_NAME, Cell, Frames, read_test
from pipelines.scale_curves import ArmCurve, curves_of, ratio_dict, ratios_of, transfers_of
from pipelines.scale_endpoint import Choice, Confirmation, choose, confirm
from pipelines.scale_known import Known, sources_of
from pipelines.scale_labels import LabelRatio
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_table import Group, comparisons_of, groups_of
from pipelines.scale_transfer import TransferJudgement
from pipelines.scale_zero_label import ZeroLabel, zero_labels_of
from pretrain.runtime.run_dir import ENV_NAME
from synth import open_store
from synth.errors import RefusalError
from synth.store.files import read_json


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything a study has found so far.

    Attributes:
        study: The study.
        command: What made it.
        frames: Name of a data set -> its frames.
        groups: All places of the grid.
        curves: Curves over labels.
        ratios: What starts are worth in labels.
        transfers: Data set, budget, and what may be said of the transfer law there.
        choice: What the endpoint chose, why it could not yet, or None without endpoint.
        confirmed: What the confirmation says on each data set; nothing before all of its runs are finished.
        fresh_counts: Its runs finished and planned.
        zero_labels: What pretrained networks find before they are fine-tuned.
        counts: Runs finished and planned.
        known: Files that runs were taken over from.
    """

    study: StudyRecipe
    command: str
    frames: Mapping[str, Frames]
    groups: tuple[Group, ...]
    curves: tuple[ArmCurve, ...]
    ratios: tuple[tuple[ArmCurve, LabelRatio], ...]
    transfers: tuple[tuple[str, str, TransferJudgement], ...]
    choice: Choice | str | None
    confirmed: tuple[Confirmation, ...]
    fresh_counts: tuple[int, int]
    zero_labels: tuple[ZeroLabel, ...]
    counts: tuple[int, int]
    known: tuple[Mapping[str, Any], ...]


def command_of(recipe: str, overrides: Sequence[str]) -> str:
    """Return the command that makes a study, without paths of this machine: of a recipe file its name."""
    sets = "".join(f" --set {shlex.quote(override)}" for override in overrides)
    return f"python -m pipelines.scale {shlex.quote(Path(recipe).name)} --data $SIRST_DATA --out STUDY{sets}"


def read_groups(study: StudyRecipe, frames: Mapping[str, Frames], out: Path, cells: Sequence[Cell]) -> tuple[Group, ...]:
    """Return all places of the grid with what is finished of them."""
    return tuple(groups_of(study, frames, _tests(out, cells)))


def findings(
    study: StudyRecipe, command: str, frames: Mapping[str, Frames], out: Path, cells: Sequence[Cell], fresh: Sequence[Cell]
) -> Findings:
    """Return what a study has found so far.

    An answer that grows seed by seed invites to stop where it looks best: the confirmation is shown whole or not at all.

    Args:
        study: The study.
        command: What made it.
        frames: Name of a data set -> its frames.
        out: Folder of the study.
        cells: Its runs.
        fresh: Runs of the confirmation, none before it is known which.
    """
    groups = read_groups(study, frames, out, cells)
    curves = tuple(curves_of(study, frames, groups))
    tests = _tests(out, fresh)
    endpoint = study.endpoint
    return Findings(
        study=study,
        command=command,
        frames=frames,
        groups=groups,
        curves=curves,
        ratios=tuple(ratios_of(study, curves)),
        transfers=tuple(transfers_of(study, frames, groups)),
        choice=None if endpoint is None else choose(study, endpoint, groups),
        confirmed=tuple(confirm(study, endpoint, fresh, tests)) if endpoint is not None and len(tests) == len(fresh) else (),
        fresh_counts=(len(tests), len(fresh)),
        zero_labels=tuple(zero_labels_of(study, out, [*cells, *fresh])),
        counts=(len(_tests(out, cells)) + len(tests), len(cells) + len(fresh)),
        known=tuple(sources_of(out)),
    )


def _tests(out: Path, cells: Sequence[Cell]) -> dict[Cell, dict[str, Any]]:
    return {cell: record for cell in cells if (record := read_test(out, cell)) is not None}


def content_of(found: Findings, out: Path, identity: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return study.json.

    Args:
        found: What was found.
        out: Folder of the study.
        identity: What tells the study from others, as JSON values.
        data: Name of a data set -> what tells its lists from others, as JSON values.
    """
    study = found.study
    return {
        "format": 2,
        "name": study.name,
        "command": found.command,
        "recipe": study.model_dump(mode="json"),
        "identity": dict(identity),
        "data": dict(data),
        "frames": {name: _frames_dict(frames) for name, frames in found.frames.items()},
        "environments": _environments(out),
        "stores": stores_of(out),
        "runs": {"finished": found.counts[0], "planned": found.counts[1]},
        "known": [{key: source[key] for key in ("name", "sha256", "runs")} for source in found.known],
        "groups": [group.to_dict() for group in found.groups],
        "comparisons": [asdict(comparison) for comparison in comparisons_of(study, found.groups)],
        "curves": [curve.to_dict() for curve in found.curves],
        "ratios": [ratio_dict(study, curve, ratio) for curve, ratio in found.ratios],
        "transfers": [{"dataset": name, "budget": budget} | verdict.to_dict() for name, budget, verdict in found.transfers],
        "endpoint": _endpoint(found),
        "zero_labels": [entry.to_dict() for entry in found.zero_labels],
    }


def _frames_dict(frames: Frames) -> dict[str, Any]:
    """Return how many frames arms have with all labels; what is made from frames may have these among its own."""
    synthetic = {arm: count - frames.originals.get(arm, 0) for arm, count in frames.made.items()}
    return {"train": frames.train, "synthetic": synthetic, "rendered": sorted(frames.rendered)}


def _environments(out: Path) -> list[dict[str, Any]]:
    """Return what the finished runs ran on, each once."""
    found = [read_json(path.with_name(ENV_NAME)) for path in sorted((out / "runs").rglob(TEST_NAME))]
    found += [environment for source in sources_of(out) for environment in source["environments"]]
    return list({json.dumps(content, sort_keys=True): content for content in found}.values())


def stores_of(out: Path) -> dict[str, str]:
    """Return the content hashes of the data sets that runs trained on, by name; on a half-made one nothing was trained.

    Raises:
        RefusalError: Runs that were taken over trained on other data.
    """
    made = {path.name: open_store(path, allow_incomplete=True).manifest for path in sorted((out / "stores").glob("*.zarr"))}
    own = {name: manifest["content_hash"] for name, manifest in made.items() if manifest["state"] == "complete"}
    for source in sources_of(out):
        if strange := _other_stores(own, source):
            folder = out / KNOWN_FOLDER
            raise RefusalError(f"{out}: runs of {source['name']} trained on another {strange}; remove {folder} to go on without")
    return own


def refuse_other_stores(out: Path, known: Iterable[Known]) -> None:
    """Refuse runs from elsewhere that trained on other data than those of the folder or than each other's, before any is taken.

    Raises:
        RefusalError: They did, or those that the folder took over before.
    """
    own = stores_of(out)
    for source in (entry.source for entry in known):
        if strange := _other_stores(own, source):
            raise RefusalError(f"--known {source['name']}: its runs trained on another {strange}; go on without them")


def _other_stores(own: dict[str, str], source: Mapping[str, Any]) -> str | None:
    """Return the first data set of a source that is another here; those that are not here are added."""
    strange = (name for name, digest in source["stores"].items() if own.setdefault(name, digest) != digest)
    return next(strange, None)


def _endpoint(found: Findings) -> dict[str, Any] | None:
    endpoint, choice = found.study.endpoint, found.choice
    if endpoint is None or choice is None:
        return None
    content: dict[str, Any] = {"reference": endpoint.reference, "seeds_a": list(endpoint.selection)}
    content |= {"seeds_b": list(endpoint.seeds), "candidates": list(endpoint.candidates)}
    if isinstance(choice, str):
        return content | {"sets": {}, "chosen": None, "why_not": choice, "results": []}
    results = [confirmation.to_dict() for confirmation in found.confirmed]
    return content | {
        "sets": dict(choice.labels),
        "chosen": choice.arm,
        "validation_iou": dict(choice.validation_iou),
        "results": results,
    }
