"""What identifies the inputs, and the commands that make them and the report again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.report.blocks import Block, Cell, Lines, Section, table
from pipelines.report.cells import HASH_CHARS, count, digest, word
from pipelines.report.cost_sections import Prices
from pipelines.report.data_sections import without_folders
from pipelines.report.inputs import Source
from pipelines.report.study import Study


def provenance(studies: Sequence[Study], all_sources: Sequence[Source]) -> Section:
    """Return hashes of recipes, data and files."""
    blocks: list[Block] = []
    if rows := [row for study in studies for row in _study_rows(study)] + [row for s in all_sources for row in _rows(s)]:
        note = "The first characters of each SHA-256; report.json has all of them."
        blocks.append(table("Recipes, data and weights", ("input", "what", "sha256"), rows, note))
    rows = [[word(s.name), word(s.kind.about), count(len(s.files)), digest(s.sha256(s.kind.main))] for s in all_sources]
    blocks.append(table("What this report was made from", ("input", "kind", "files read", "sha256 of its main file"), rows))
    return Section("provenance", "Recipes and hashes", "What identifies every input.", tuple(blocks))


def _study_rows(study: Study) -> Iterator[list[Cell]]:
    """Yield data sets that were made, recipes of arms, runs done elsewhere, and the recipes of all seeds of each cell."""
    name = word(study.source.name)
    stores = sorted(study.source.content.get("stores", {}).items())
    yield from ([name, word(f"data set {key}"), digest(value)] for key, value in stores)
    arms = study.source.content.get("identity", {}).get("arms", {})
    yield from ([name, word(f"recipes of arm {arm}, seed aside"), digest(value)] for arm, value in arms.items())
    for known in study.source.content.get("known", ()):
        yield [name, word(f"{known['runs']} runs done elsewhere, {known['name']}"), digest(known["sha256"])]
    recipes: dict[str, list[str]] = {}
    for path, test in study.tests.items():
        if "recipe_sha256" in test["result"]:
            recipes.setdefault(path.rpartition("/")[0], []).append(test["result"]["recipe_sha256"])
    for path, values in recipes.items():
        shown = " ".join(value[:HASH_CHARS] for value in values)
        yield [name, word(f"recipes of {path.removeprefix('runs/')}, seed by seed"), Cell(shown, " ".join(values))]


def _rows(source: Source) -> Iterator[list[Cell]]:
    """Yield every hash that the records of an input carry, once."""
    paths = [source.kind.main] + [path for path in source.paths(r"(.*/)?(evaluation|result)\.json") if path != source.kind.main]
    shown = [path for path in paths if path in source.files and not path.startswith(("runs/", "pretrained/"))]
    found = {(key, value) for path in shown for key, value in _hashes(source.json(path), "") if not key.startswith("known.")}
    yield from ([word(source.name), word(key), digest(value)] for key, value in sorted(found))


def _hashes(content: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping):
        label = (content.get("detector") or {}).get("label") if isinstance(content.get("detector"), Mapping) else None
        for name, value in content.items():
            yield from _hashes(value, ".".join(part for part in (key, label or "", str(name)) if part))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _hashes(value, f"{key}.{number}")
    elif isinstance(content, str) and (key.endswith("sha256") or key.endswith(".store")):
        yield key, content


def commands(studies: Sequence[Study], all_sources: Sequence[Source], prices: Prices | None) -> Section:
    """Return the commands that make the inputs and this report again."""
    lines = [_study_command(study) for study in studies]
    lines += [_COMMANDS[source.kind.name](source) for source in all_sources if source.kind.name in _COMMANDS]
    cost = () if prices is None else ("--cost", shlex.quote(str(prices)))
    lines.append(_joined("report", *(shlex.quote(source.name) for source in all_sources), *cost, "--out report.html"))
    lead = (
        "As recorded, or put together from the records of the folders; paths are yours to fill in. What a training run overrode "
        "in its recipe is in its recipe.json."
    )
    return Section("commands", "Make it again", lead, (Lines("Commands", tuple(lines), is_code=True),))


def _joined(module: str, *parts: str) -> str:
    return " ".join(("python -m", f"pipelines.{module}", *parts))


def _data(name: Any) -> str:
    return f"$SIRST_DATA/{shlex.quote(str(name))}"


def _study_command(study: Study) -> str:
    recorded = study.source.content.get("command")
    if recorded:
        return str(recorded)
    name = shlex.quote(str(study.recipe["name"]))
    return _joined("scale", name, "--data $SIRST_DATA --out", shlex.quote(study.source.name))


def _run_command(source: Source) -> str:
    recipe, start = source.content["recipe"], source.content.get("init", {"kind": "random"})
    module = "pretrain_encoder" if "objectives" in recipe else "finetune_detector"
    num = len(source.content.get("sources", {}).get("train", ())) or 1
    data = " ".join(["DIR"] if num == 1 else [f"DIR{number}" for number in range(1, num + 1)])
    init = () if start["kind"] == "random" else ("--init START",)
    seed = f"train.seed={recipe['train'].get('seed')}"
    name = shlex.quote(str(recipe.get("name")))
    return _joined(module, name, f"--data {data}", *init, "--set", seed, "--out", shlex.quote(source.name))


def _evaluation_command(source: Source) -> str:
    """Return the command with the choices that its detectors record: lists, rule, settings of a classical method."""
    content = source.content
    sets = [entry["data"] for entry in content["sets"]] if "sets" in content else [content["about"]["data"]]
    made = [source.json(path)["about"] for path in source.paths(r"(.*/)?evaluation\.json")]
    own = [about for about in made if about["data"] == sets[0]]
    classical = [about for about in own if about["detector"]["kind"] == "classical"]
    options = [f"--data {_data(sets[0]['name'])}", *_lists(sets[0]), *(f"--other {_data(data['name'])}" for data in sets[1:])]
    rules = {rule for about in classical for rule in about["rules"]}
    options += [f"--rule {rule}" for rule in rules if len(rules) == 1]
    if len(classical) == 1:  # several have their defaults
        settings = classical[0]["detector"]["settings"]
        options += [f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in settings.items()]
    found = content["sets"][0]["rows"] if "sets" in content else [{"name": content["about"]["detector"]["method"]}]
    names = dict.fromkeys(shlex.quote(row["name"]) for row in found)
    return _joined("evaluate", *names, *options, "--out", shlex.quote(source.name))


def _lists(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that name the frames of a data set and how they are read."""
    if data["split"] is not None:
        yield f"--split {data['split']}"
    if data["split_list"] is not None:
        yield f"--split-list {shlex.quote(data['split_list'])}"
    if data.get("mask_scale", "strict") != "strict":
        yield f"--mask-scale {data['mask_scale']}"
    if "max_level" in data:
        yield f"--max-level {data['max_level']}"


def _score_command(source: Source) -> str:
    inputs, native = source.content["inputs"], source.content["scores"].get("native", {})
    maps, truth = (without_folders(str(inputs[key])).partition(" (")[0] for key in ("predictions", "truth"))
    threshold = "" if "threshold" not in native else f"--threshold {native['threshold']} "
    return _joined("score", shlex.quote(maps), f"--truth {_data(truth)}", f"{threshold}--out", shlex.quote(source.name))


def _probe_command(source: Source) -> str:
    data, network = source.content["data"], shlex.quote(str(source.content["network"]["name"]))
    name = str(data["about"]).partition(" (")[0]
    return _joined("probe", network, f"--data {_data(name)} --split", data["split"], "--out", shlex.quote(source.name))


def _card_command(source: Source) -> str:
    reference = source.content.get("reference")
    against = () if reference is None else (f"--against {shlex.quote(reference['name'])}",)
    return _joined("census", shlex.quote(source.content["subject"]["name"]), *against, "--out", shlex.quote(source.name))


def _audit_command(source: Source) -> str:
    return _joined("audit", *(_data(entry["name"]) for entry in source.content["groups"]), "--out", shlex.quote(source.name))


_COMMANDS: Mapping[str, Callable[[Source], str]] = {
    "evaluation": _evaluation_command,
    "score": _score_command,
    "probe": _probe_command,
    "card": _card_command,
    "audit": _audit_command,
    "run": _run_command,
}
