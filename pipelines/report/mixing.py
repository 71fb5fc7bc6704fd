"""Refuse to put side by side what was made from different data: every input says what its lists and data sets hash to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.report.cells import HASH_CHARS
from pipelines.report.inputs import Source
from pipelines.report.study import Study
from synth.errors import RefusalError

Claim = tuple[str, str, str]
"""What, its hash, and who says so."""


def refuse_mixed(sources: Sequence[Source], studies: Sequence[Study]) -> None:
    """Refuse inputs that say different things of the same list or data set.

    Raises:
        RefusalError: They do; it names the inputs.
    """
    seen: dict[str, tuple[str, str]] = {}
    for what, value, by in _claims(sources, studies):
        first, first_by = seen.setdefault(what, (value, by))
        if first != value:
            raise RefusalError(
                f"DIR must be made from the same data, got {what} as {first[:HASH_CHARS]} in {first_by} and {value[:HASH_CHARS]} "
                f"in {by}; report them apart"
            )


def _claims(sources: Sequence[Source], studies: Sequence[Study]) -> Iterator[Claim]:
    for study in studies:
        yield from _study_claims(study)
    for source in sources:
        if source.kind.name == "evaluation":
            for path in source.paths(r"(.*/)?evaluation\.json"):
                data = source.json(path)["about"]["data"]
                yield _list(data["split"], data["name"]), data["ids_sha256"], f"{source.name}/{path}"
        elif source.kind.name == "score":
            inputs = source.content["inputs"]
            yield _list(inputs["split"], _set_name(inputs["truth"])), inputs["ids_sha256"], source.name
        elif source.kind.name == "probe":
            data = source.content["data"]
            yield _list(data["split"], _set_name(data["about"])), data["ids_sha256"], source.name
        elif source.kind.name == "run":
            yield from _pixels(source.content, source.name)


def _study_claims(study: Study) -> Iterator[Claim]:
    name, content = study.source.name, study.source.content
    folders = {entry["name"]: entry["folder"] for entry in study.recipe["sets"]}
    for store, value in sorted(content.get("stores", {}).items()):
        yield f"data set {store}", value, name
    for dataset, entry in sorted(content.get("data", {}).items()):
        for split in ("train", "val", "test"):  # older studies name the test list alone
            if (digest := entry.get(f"{split}_ids_sha256")) is not None:
                yield _list(split, folders[dataset]), digest, name
        if "train" in entry:
            yield f"the number of training frames of {folders[dataset]}", f"{entry['train']}", name
    for path, test in study.tests.items():
        cell, identity = test["cell"], study.source.json_or(f"{path}/recipe.json", {})
        validation = identity.get("sources", {}).get("validation")
        if validation is not None:
            yield _list("val", folders[cell["dataset"]]), validation["ids_sha256"], f"{name}/{path}"
        choice = _choice(identity.get("recipe", {}))
        yield from _trained(
            f"the training frames of {name}, {cell['dataset']}, {cell['arm']}{choice}", identity, f"{name}/{path}"
        )


def _pixels(identity: dict[str, Any], by: str) -> Iterator[Claim]:
    """Yield what frames of the same ids hold; runs of other lists, other data sets or other stores may stand side by side.

    Pretrainings claim nothing: their ids name the list in use, not what is left of it to train on, and most are hashed without
    masks.
    """
    if "objectives" in identity["recipe"]:
        return
    for entry in identity.get("sources", {}).get("train", ()):
        if "ids_sha256" in entry and "pixels_sha256" in entry:
            yield f"the pixels of the training frames of ids {entry['ids_sha256'][:HASH_CHARS]}", entry["pixels_sha256"], by


def _trained(what: str, identity: dict[str, Any], by: str) -> Iterator[Claim]:
    for number, entry in enumerate(identity.get("sources", {}).get("train", ()), start=1):
        for key in ("store", "ids_sha256", "pixels_sha256"):
            if key in entry:
                yield f"{what} ({key.removesuffix('_sha256')} of source {number})", entry[key], by


def _choice(recipe: dict[str, Any]) -> str:
    """Return what tells a draw of frames from other draws, which may differ."""
    data = recipe.get("data", {})
    if data.get("num_frames") is None:
        return ""
    return f", {data['num_frames']} of subset seed {data.get('subset_seed')}"


def _list(split: str | None, name: str) -> str:
    return f"the {split or 'whole'} list of {name}"


def _set_name(about: str) -> str:
    return about.split(" (", maxsplit=1)[0]
