"""The folder of a study: that it holds this study and no other, and what tells one study from another in a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipelines.scale_work import Workplace
from synth import open_corpus
from synth.corpora.lists import hash_ids
from synth.errors import RefusalError
from synth.store.files import hold_folder, is_vacant, read_json, write_json

RECIPE_NAME = "recipe.json"


def parts_of(place: Workplace) -> dict[str, Any]:
    """Return what makes a study what it is, as JSON values: its parts, and name of an arm -> its recipes, resolved.

    More arms, seeds, budgets and, without an endpoint, labels leave it the same study.
    """
    study = place.study
    fixed = {"steps": study.steps, "sets": {dataset.name: dataset.folder for dataset in study.sets}}
    fixed |= {"unlabelled": list(study.unlabelled), "endpoint": None}
    if study.endpoint is not None:  # more label counts would change its choice
        counts = {dataset.name: list(dataset.labels) for dataset in study.sets}
        fixed["endpoint"] = study.endpoint.model_dump(mode="json") | {"labels": counts}
    arms = {
        arm.name: arm.model_dump(mode="json", exclude={"name", "about", "train", "pretraining"})
        | {"finetune": place.recipes[arm.name].model_dump(mode="json") | {"train": place.recipes[arm.name].train.content()}}
        | {"pretraining": place.pretrainings[arm.name].model_dump(mode="json") if arm.name in place.pretrainings else None}
        for arm in study.arms
    }
    return fixed | {"arms": arms}


def begin(place: Workplace, lists: Mapping[str, Any]) -> None:
    """Make the folder of a study, or check that it holds this one; one that does not say of what frames it is takes these.

    Args:
        place: Where the study is done.
        lists: Name of a data set -> what tells its lists from those of others.

    Raises:
        RefusalError: It holds another study, one on other frames, or something else.
    """
    out, own = place.out, parts_of(place)
    path, known = out / RECIPE_NAME, {}
    if path.is_file():
        found = read_json(path)
        if differing := differences(found, own) + other_frames(found.get("data", {}), lists):
            raise RefusalError(f"--out {out}: holds a study with other {', '.join(differing)}; give another folder")
        known = found["arms"]
    elif out.exists() and (not out.is_dir() or not is_vacant(out)):
        raise RefusalError(f"--out {out}: is no study of ours; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, own | {"arms": known | own["arms"], "data": dict(lists)})


def held(out: Path) -> AbstractContextManager[None]:
    """Hold the folder of a study, begun: a second command would share its stop file and its runs. Errors as ``hold_folder``."""
    return hold_folder(out, f"--out {out}: another command works on this study; wait for it or stop it")


def differences(found: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Return what differs between two studies; arms that only one of them has do not.

    Args:
        found: What tells the one: its parts, and name of an arm -> its content or the content's digest.
        own: The same of the other.
    """
    others = found.get("arms", {})
    parts = sorted(key for key in own if key != "arms" and found.get(key, own[key]) != own[key])
    return parts + [f"arm {name}" for name, arm in own["arms"].items() if others.get(name, arm) != arm]


def other_frames(found: Mapping[str, Any], lists: Mapping[str, Any]) -> list[str]:
    """Return the data sets whose lists differ; those that only one study has do not.

    Args:
        found: Name of a data set -> what tells its lists from those of others.
        lists: The same of the other study.
    """
    return [f"frames of {name}" for name in lists if found.get(name, lists[name]) != lists[name]]


def identity_of(place: Workplace) -> dict[str, Any]:
    """Return the parts of a study with sha256 in place of each arm's recipes."""
    parts = parts_of(place)
    arms = {name: hashlib.sha256(json.dumps(arm, sort_keys=True).encode()).hexdigest() for name, arm in parts["arms"].items()}
    return parts | {"arms": arms}


def lists_of(place: Workplace, train: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return what tells the lists of the data sets from those of others: name of a data set -> JSON values.

    Args:
        place: Where the study is done.
        train: Name of a data set -> its training frames.
    """
    found = {}
    for dataset in place.study.sets:
        folder = Path(place.folder(dataset.name))
        lists = {split: hash_ids(ref.id for ref in open_corpus(folder, split).frames) for split in ("train", "val", "test")}
        hashes = {f"{split}_ids_sha256": digest for split, digest in lists.items()}
        found[dataset.name] = {"folder": dataset.folder, "train": train[dataset.name], **hashes}
    return found
