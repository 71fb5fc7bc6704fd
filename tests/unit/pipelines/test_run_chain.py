"""``pipelines.run``: stages are checked before any work, run once, skipped while nothing changed, and resumed after a kill."""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import signal
from importlib.resources import files

import pytest
from pydantic import ValidationError

from finetune.recipe import FinetuneRecipe
from pipelines import run_records
from pipelines.command import Parser, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.run_recipe import COMMANDS, ChainRecipe, Stage, fill
from pipelines.run_records import Place
from pipelines.scale_recipe import StudyRecipe
from synth.errors import RecipeError
from synth.recipe import SynthesisRecipe
from tests.support.builders import write_mini_corpus
from tests.support.cli import SMALL, call
from tests.support.stores import file_hashes

SETS = [part for key in SMALL for part in ("--set", key)]
STAGES = [
    {
        "name": "scenes", "command": "synthesize", "about": "copies", "out": "made/scenes.zarr",
        "arguments": ["sirst5k", "--source", "{data}/corpus", "--cluster", "sync", "--workers", "{workers}", *SETS,
                      "--set", "num_synthetic=20"],
    },
    {
        "name": "frames", "command": "export", "about": "folder", "out": "frames",
        "arguments": ["{scenes}", "--format", "folder", "--lists", "train=24"],
    },
    {"name": "audit", "command": "audit", "about": "leaks", "out": "audit", "arguments": ["{frames}"]},
]  # fmt: skip


@pytest.fixture
def recipe(tmp_path):
    """A chain of three stages without torch, over the hand-made corpus in tmp_path/data."""
    write_mini_corpus(tmp_path / "data/corpus")
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps({"name": "tiny", "stages": STAGES}))
    return path


def chain(recipe, out="out", *options):
    return call("run", recipe, "--data", recipe.parent / "data", "--out", recipe.parent / out, "--workers", "1", *options)


def states(ended):
    """Stage -> what its heading says in brackets."""
    heads = [line for line in ended.stdout.splitlines() if line.startswith("[") and "/3] " in line]
    return {line.split("] ")[1].split(":")[0]: line.partition(" (")[2].rstrip(")") for line in heads}


def outputs(recipe):
    """Hashes of everything but the commits of shards, which say when they were made."""
    return {path: sha for path, sha in file_hashes(recipe.parent / "out").items() if "commits/" not in str(path)}


def test_a_chain_runs_once(recipe):
    planned = chain(recipe, "out", "--dry-run")
    assert planned.rc == 0 and not (recipe.parent / "out").exists()
    assert states(planned) == dict.fromkeys(("scenes", "frames", "audit"), "would run")
    assert f"python -m pipelines.export {recipe.parent}/out/made/scenes.zarr --format folder" in planned.stdout
    assert "--workers 1" in planned.stdout and f"--out {recipe.parent}/out/audit" in planned.stdout
    first = chain(recipe)
    assert first.rc == 0 and states(first) == dict.fromkeys(("scenes", "frames", "audit"), ""), first
    made = file_hashes(recipe.parent / "out")
    again = chain(recipe)
    assert again.rc == 0 and states(again) == dict.fromkeys(("scenes", "frames", "audit"), "finished, skipped")
    assert file_hashes(recipe.parent / "out") == made
    assert states(chain(recipe, "out", "--dry-run")) == dict.fromkeys(("scenes", "frames", "audit"), "finished, would be skipped")
    record = json.loads((recipe.parent / "out/stages/frames.json").read_text())
    assert record["arguments"][0] == "{scenes}" and record["stages"].keys() == {"scenes"}
    assert chain(recipe, "out", "--workers", "2").stdout.count("finished, skipped") == 3, "workers change no result"


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_killed_after_a_stage_the_same_command_makes_the_same(recipe, monkeypatch, stage):
    """The worst moment: the output is there, the record is not."""
    assert chain(recipe).rc == 0
    whole = outputs(recipe)
    shutil.rmtree(recipe.parent / "out")
    written = []

    def killed(path, content):
        if len(written) == stage:
            raise KeyboardInterrupt
        written.append(path)
        real(path, content)

    real = run_records.write_json
    with monkeypatch.context() as patch:
        patch.setattr(run_records, "write_json", killed)
        assert chain(recipe).rc == 130
    assert len(list((recipe.parent / "out/stages").iterdir())) == stage
    resumed = chain(recipe)
    assert resumed.rc == 0
    assert list(states(resumed).values()) == ["finished, skipped"] * stage + [""] * (3 - stage)
    assert outputs(recipe) == whole


def test_what_changed_is_done_again(recipe):
    assert chain(recipe).rc == 0
    out = recipe.parent / "out"
    (out / "audit/audit.json").write_text("{}")
    assert states(chain(recipe)) == {"scenes": "finished, skipped", "frames": "finished, skipped", "audit": ""}
    assert json.loads((out / "audit/audit.json").read_text())["num_frames"]
    stages = [dict(stage) for stage in STAGES]
    stages[2]["arguments"] = ["{frames}", "--threshold", "0.9"]
    recipe.write_text(json.dumps({"name": "tiny", "stages": stages}))
    assert list(states(chain(recipe)).values()) == ["finished, skipped", "finished, skipped", ""]
    (recipe.parent / "data/corpus/notes.md").write_text("another file")
    assert list(states(chain(recipe)).values()) == ["", "finished, skipped", "finished, skipped"], "the store is as it was"
    stages[1]["arguments"] = ["{scenes}", "--format", "folder", "--lists", "train=10"]
    recipe.write_text(json.dumps({"name": "tiny", "stages": stages}))
    refused = chain(recipe)
    assert refused.rc == 2 and "another store or with other lists" in refused.stderr
    assert "stage frames ended with exit code 2" in refused.stderr and "audit" not in states(refused)


def test_a_signal_during_a_stage_ends_the_chain_after_it(recipe, monkeypatch):
    """Also where the stage had just finished its work when the signal came, and said all is well."""
    real = importlib.import_module("pipelines.export").main

    def hit(argv):
        with stop_on_signal():
            signal.raise_signal(signal.SIGTERM)
        return real(argv)

    monkeypatch.setattr("pipelines.export.main", hit)
    ended = chain(recipe)
    assert ended.rc == 143 and list(states(ended)) == ["scenes", "frames"]
    monkeypatch.undo()
    assert list(states(chain(recipe)).values()) == ["finished, skipped", "finished, skipped", ""]


def test_faults_of_a_stage_end_the_chain(recipe):
    stages = [*STAGES[:2], {**STAGES[2], "arguments": ["{frames}", "--no-such-option"]}]
    recipe.write_text(json.dumps({"name": "tiny", "stages": stages}))
    ended = chain(recipe)
    assert ended.rc == 2 and "unrecognized arguments: --no-such-option" in ended.stderr
    assert "stage audit ended with exit code 2" in ended.stderr
    assert not (recipe.parent / "out/stages/audit.json").exists()


def test_a_chain_may_lie_in_the_data(recipe):
    """What it writes there is no change of the data."""
    stages = [{**STAGES[2], "arguments": ["{data}/corpus"]}]
    recipe.write_text(json.dumps({"name": "tiny", "stages": stages}))
    for state in ("", "finished, skipped"):
        ended = chain(recipe, "data/corpus/out")
        assert ended.rc == 0 and f"[1/1] audit: leaks{f' ({state})' if state else ''}\n" in ended.stdout


def stage(**changes):
    return {"name": "a", "command": "audit", "about": "x", "arguments": ["{data}"], "out": "a"} | changes


@pytest.mark.parametrize(
    ("stages", "messages"),
    [
        ([stage(command="rm")], ["stages.0.command must be one of synthesize,", "got 'rm'"]),
        ([stage(), stage(out="b")], ["stages must differ in name, got 'a' 2 times"]),
        ([stage(), stage(name="b")], ["stages must differ in out, got 'a' 2 times"]),
        ([stage(arguments=["{b}"]), stage(name="b", out="b")], ["{b}, which does not come before it"]),
        ([stage(arguments=["{a}"])], ["{a}, which does not come before it"]),
        ([stage(arguments=["{nobody}"])], ["{nobody}, known here: data, workers"]),
        ([stage(name="data")], ["and not data or workers, got 'data'"]),
        ([stage(out="../a")], ["stages.0.out must be a path below"]),
        ([stage(out="/a")], ["stages.0.out must be a path below"]),
        ([stage(out="stages/a")], ["and not stages, got 'stages/a'"]),
        ([stage(arguments=["--out=x"])], ["must be without --out"]),
        ([stage(command="scale", arguments=["--data", "{data}"])], ["must begin with the recipe of scale"]),
        (
            [stage(command="rm"), stage(arguments=["{c}", "--out", "x"]), stage(name="c d")],
            ["stages.0.command", "stages.1.arguments must name earlier", "stages.1.arguments must be without", "stages.2.name"],
        ),
    ],
)
def test_contradictions_are_all_named(stages, messages):
    with pytest.raises(ValidationError) as caught:
        ChainRecipe.model_validate({"name": "x", "stages": stages})
    assert all(message in str(caught.value) for message in messages), caught.value


def test_braces_of_yaml_are_no_placeholders():
    text = "views.radiometry={gain: 0.2, offset: 0.1}"
    assert fill(text, {}) == text
    assert fill("{a}/x and {a}", {"a": "b"}) == "b/x and b"


def test_missing_inputs_are_refused_before_any_work(recipe):
    stages = [
        {**STAGES[0], "arguments": ["sirst5kk", "--source", "{data}/corpus"]},
        {**STAGES[1], "arguments": ["{scenes}", "--format", "folder"]},
        {**STAGES[2], "arguments": ["{data}/elsewhere", "{frames}"]},
    ]
    recipe.write_text(json.dumps({"name": "tiny", "stages": stages}))
    ended = chain(recipe)
    assert ended.rc == 2 and not (recipe.parent / "out").exists()
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "stage scenes: recipe 'sirst5kk'" in errors[0] and "did you mean sirst5k" in errors[0]
    place = recipe.parent / "data/elsewhere"
    assert errors[1] == f"error: --data: {place} is not there; put frames into it, masks are not needed (for audit)"


def test_a_missing_folder_is_one_line_that_says_what_belongs_there(tmp_path):
    ended = call("run", "my_sensor", "--data", tmp_path / "x/..", "--out", tmp_path / "out", "--dry-run")
    assert ended.rc == 2
    unlabelled, labelled = ended.stderr.splitlines()
    assert unlabelled.startswith(f"error: --data: {tmp_path}/unlabelled is not there; put frames into it, masks are not needed")
    assert "(for sensor, card, encoder)" in unlabelled
    assert labelled.startswith(f"error: --data: {tmp_path}/labelled is not there; put labelled frames into it: images/, masks/")


def test_a_recipe_named_in_a_recipe_is_part_of_what_a_stage_promises(tmp_path):
    study, network = tmp_path / "study.yaml", tmp_path / "network.yaml"
    study.write_text(f"arms: [{{name: a, pretrain: pretrain_tiny}}, {{name: b, extra: {{finetune: {network}}}}}]")
    place = Place(tmp_path / "out", None)
    scale = Stage.model_validate(stage(command="scale", arguments=[str(study)]))
    with pytest.raises(RecipeError, match=f"stage a: recipe {network}: No such file"):
        place.check([scale])
    network.write_text("name: wide")
    place.check([scale])
    before = place.promise(scale, {})["recipe"]
    assert place.promise(scale, {})["recipe"] == before
    network.write_text("name: narrow")
    assert place.promise(scale, {})["recipe"] != before


def test_refusals_of_the_command(recipe):
    out = ("--out", recipe.parent / "out")
    call("run", recipe, *out).refused(2, "--data must be given for tiny: stage scenes uses it")
    call("run", "quickstrat", *out).refused(2, "did you mean quickstart?")
    chain(recipe, "out", "--workers", "0").refused(2, "--workers must be >= 1, got 0")
    (recipe.parent / "foreign").mkdir()
    (recipe.parent / "foreign/file").touch()
    chain(recipe, "foreign").refused(2, "is no chain of ours")
    chain(recipe, "foreign/file").refused(2, "is no chain of ours")


SETS_OF_USERS = ("sirst-v1", "nudt-sirst", "sirst-backgrounds", "unlabelled", "labelled")
MODELS = {"": SynthesisRecipe, "pretrain": PretrainRecipe, "finetune": FinetuneRecipe, "scaling": StudyRecipe}


@pytest.mark.parametrize("name", recipe_names("chain"))
def test_shipped_chains_resolve(name, tmp_path, monkeypatch):
    """Every one is printed whole by --dry-run, and each of its stages is a command line that its command takes."""
    text = files("pipelines.recipes").joinpath("chain", f"{name}.yaml").read_text()
    assert all(f"# {part}:" in text for part in ("Source", "Expect", "Time", "Run"))
    for folder in SETS_OF_USERS:
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "frame.png").touch()
    recipe = load_recipe(name, ChainRecipe, stage="chain")
    assert recipe.name == name and recipe.stages[-1].command == "report"
    planned = call("run", name, "--data", tmp_path / "data", "--out", tmp_path / "out", "--dry-run")
    assert planned.rc == 0 and planned.stdout.count("would run") == len(recipe.stages), planned
    values = {stage.name: stage.out for stage in recipe.stages} | {"data": "data", "workers": "2"}
    for stage in recipe.stages:
        parsed = parse(stage.command, [fill(a, values) for a in stage.arguments] + ["--out", stage.out], monkeypatch)
        if (kind := COMMANDS[stage.command]) is not None:
            load_recipe(parsed.recipe, MODELS[kind], parsed.overrides, stage=kind)


def parse(command: str, argv: list[str], monkeypatch) -> argparse.Namespace:
    """Return what a command reads from its arguments, without running it."""
    module = importlib.import_module(f"pipelines.{command}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"pipelines.{command}.__main__")
    found = []

    def read(_body: object, parser: Parser, given: list[str]) -> int:
        found.append(parser.parse_args(given))
        return 0

    monkeypatch.setattr(module, "run_command", read)
    assert module.main(argv) == 0
    return found[0]
