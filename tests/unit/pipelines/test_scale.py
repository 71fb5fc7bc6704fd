"""Studies: which runs there are, what their tables say, and the command from start to resumed end."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import pytest

pytest.importorskip("torch")

from pydantic import ValidationError

from finetune.metrics.intervals import seed_interval, smallest_detectable
from finetune.recipe import FinetuneRecipe
from pipelines import synthesize
from pipelines.config import load_recipe, recipe_names
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.scale_cells import Cell, Frames, cells_of, pretraining_path, steps_of, store_path
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_table import groups_of, table_of
from pipelines.scale_work import synthesis_of
from pretrain.compose import TargetConfig
from synth.errors import RecipeError
from tests.support.builders import scene, write_corpus
from tests.support.cli import call

SETS = [{"name": "a", "folder": "a"}, {"name": "b", "folder": "b"}]
ARMS = [{"name": "plain", "about": "as is"}, {"name": "many", "about": "copies", "synthesize": "sirst5k"}]
BUDGETS = [{"name": "steps", "kind": "steps"}, {"name": "passes", "kind": "epochs", "like": "many"}]
FRAMES = {"a": Frames(10, {"many": 50}), "b": Frames(20, {"many": 60})}


def study(**changes):
    fields = {"name": "s", "finetune": "acm_nano_study", "sets": SETS, "arms": ARMS, "budgets": BUDGETS}
    fields |= {"steps": 100, "seeds": [0, 1, 2]}
    return StudyRecipe.model_validate(fields | changes)


@pytest.mark.parametrize("name", recipe_names("scaling"))
def test_shipped_studies_resolve(name):
    text = files("pipelines.recipes").joinpath("scaling", f"{name}.yaml").read_text()
    assert all(f"# {part}:" in text for part in ("Source", "Expect", "Time", "Run"))
    recipe = load_recipe(name, StudyRecipe, stage="scaling")
    for arm in recipe.arms:
        load_recipe(recipe.finetune, FinetuneRecipe, [*recipe.shared, *arm.train], stage="finetune")
        if arm.synthesize is not None:
            source, overrides = synthesis_of(arm, "folder")
            synthesize.resolve_recipe(arm.synthesize, source, overrides)
        if arm.pretrain is not None:
            load_recipe(arm.pretrain, PretrainRecipe, list(arm.pretraining), stage="pretrain")


@pytest.mark.parametrize("name", ["label_worth", "label_worth_long"])
def test_studies_from_before_bodies_go_on_with_compact_targets(name):
    """Their committed results and unfinished runs were made so; pretrain_tiny has changed since."""
    arms = [arm for arm in load_recipe(name, StudyRecipe, stage="scaling").arms if arm.pretrain is not None]
    for arm in arms:
        recipe = load_recipe(str(arm.pretrain), PretrainRecipe, list(arm.pretraining), stage="pretrain")
        assert recipe.insertion.targets == TargetConfig(), arm.name
    assert load_recipe("pretrain_tiny", PretrainRecipe, stage="pretrain").insertion.targets != TargetConfig()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"arms": [ARMS[0], ARMS[0]]}, "arms must have names of their own, got plain twice"),
        ({"arms": [{"name": "x", "about": "y", "synthesis": ["seed=1"]}]}, "synthesis and real_share must stand with synthesize"),
        ({"budgets": [{"name": "p", "kind": "epochs"}]}, "like must stand with kind epochs"),
        ({"budgets": [{"name": "p", "kind": "epochs", "like": "nobody"}]}, "must be one of plain, many, got nobody"),
        ({"sets": [{"name": "../x", "folder": "a"}]}, "pattern"),
        ({"sets": [{"name": "x", "folder": "a", "labels": []}]}, "at least 1 item"),
        ({"sets": [{"name": "x", "folder": "a", "labels": [8, 4]}]}, "labels must rise"),
        ({"sets": [{"name": "x", "folder": "a", "labels": [None, 4]}]}, "labels must rise, null"),
        ({"arms": [{"name": "x", "about": "y", "real_share": 0.5}]}, "real_share must stand with synthesize"),
        ({"arms": [{"name": "x", "about": "y", "pretraining": ["a=1"]}]}, "pretraining must stand with pretrain"),
        (
            {"endpoint": {"reference": "plain", "candidates": ["many"], "selection": [0], "seeds": [2, 3]}},
            "those of endpoint too",
        ),
        (
            {"endpoint": {"reference": "plain", "candidates": ["many"], "selection": [5], "seeds": [9]}},
            "must be of the study's seeds",
        ),
        (
            {"endpoint": {"reference": "plain", "candidates": ["much"], "selection": [0], "seeds": [9]}},
            "must be of plain, many, got much",
        ),
        (
            {"endpoint": {"reference": "plain", "candidates": ["plain"], "selection": [0], "seeds": [9]}},
            "must differ, and from the reference",
        ),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        study(**changes)


def test_equal_passes_scale_steps_with_frames():
    recipe = study()
    steps, passes = recipe.budgets
    assert [steps_of(recipe, steps, arm, FRAMES["a"]) for arm in recipe.arms] == [100, 100]
    assert [steps_of(recipe, passes, arm, FRAMES["a"]) for arm in recipe.arms] == [20, 100]
    assert [steps_of(recipe, passes, arm, FRAMES["a"], labels=2) for arm in recipe.arms] == [4, 20], "a fifth of the labels"
    longer = recipe.arms[0].model_copy(update={"extra_steps": 7})
    assert [steps_of(recipe, budget, longer, FRAMES["a"]) for budget in recipe.budgets] == [107, 27]


def test_frames_of_an_arm_follow_its_labels():
    many = study().arms[1]
    beside = many.model_copy(update={"real_share": 0.5})
    assert [FRAMES["a"].of(many, labels) for labels in (None, 10, 2)] == [50, 50, 10]
    assert [FRAMES["a"].of(beside, labels) for labels in (None, 2)] == [60, 12]
    rendered = Frames(10, {"many": 50}, frozenset({"many"}))
    assert [rendered.of(beside, labels) for labels in (None, 2)] == [60, 52], "scenes do not follow labels"


def test_arms_with_equal_pretrainings_share_it(tmp_path):
    start = {"pretrain": "pretrain_tiny"}
    arms = [
        {"name": name, "about": "x", **start, **more} for name, more in (("p", {}), ("q", {}), ("r", {"pretraining": ["a=1"]}))
    ]
    recipe = study(arms=[*ARMS, *arms])
    cells = [Cell("a", name, 8, 100, 3, 8) for name in ("plain", "p", "q", "r")]
    paths = [pretraining_path(tmp_path, recipe, cell, uses_labels=False) for cell in cells]
    assert paths[0] is None and paths[1] == paths[2] == tmp_path / "pretrained/a/p/seed-3" and paths[3] != paths[1]
    assert pretraining_path(tmp_path, recipe, cells[2], uses_labels=True) == tmp_path / "pretrained/a/p/labels-8/seed-3"


def test_arms_that_make_the_same_share_it(tmp_path):
    more = [ARMS[1] | {"name": "same", "train": ["train.amp=off"]}, ARMS[1] | {"name": "other", "synthesis": ["seed=1"]}]
    paths = [store_path(tmp_path, study(arms=[*ARMS, *more]), "a", name) for name in ("many", "same", "other")]
    assert [path.name for path in paths] == ["a-many.zarr", "a-many.zarr", "a-other.zarr"]


def test_budgets_share_runs_of_equal_length():
    cells = list(cells_of(study(), FRAMES))
    assert len(cells) == len(set(cells)) == 3 * (3 + 3)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells), "whole seeds first"
    assert {cell.steps for cell in cells if (cell.dataset, cell.arm) == ("b", "plain")} == {100, 33}
    assert len({cell.path for cell in cells}) == len(cells)


def record(own, iou, *, clean, other, collapsed=False):
    scores = {"iou": iou, "niou": iou + 1, "pd": 90.0, "fa": 5.0}
    tests = {own: {"whole": scores, "clean": {"iou": clean}}, "ab".replace(own, ""): {"whole": {"iou": other}, "clean": None}}
    return {"result": {"validation": {"val_best_iou": iou + 2}, "is_collapsed": collapsed}, "tests": tests}


def test_table_shows_means_and_paired_differences():
    plain, many = (50.0, 53.0, 56.0), (54.0, 56.0, 61.0)
    tests, recipe = {}, study()
    for arm, values in (("plain", plain), ("many", many)):
        for seed, iou in enumerate(values):
            cell = Cell("a", arm, None, 100, seed, FRAMES["a"].of(recipe.arm(arm), None))
            tests[cell] = record("a", iou, clean=iou - 1, other=7.0, collapsed=(arm, seed) == ("many", 2))
    groups = [g for g in groups_of(recipe, FRAMES, tests) if (g.dataset, g.budget) == ("a", "steps")]
    lines = list(table_of(recipe, "a", groups, len(recipe.seeds)))
    of_plain, of_many = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    half = 4.302652729911275 * 3.0 / math.sqrt(3)
    assert of_plain[:6] == ["plain", "10", "100?", "3", f"55.00 ± {half:.2f}", f"53.00 ± {half:.2f}"]
    low, high = seed_interval([4.0, 3.0, 5.0])
    assert (low, high) == pytest.approx((4 - 4.302652729911275 / math.sqrt(3), 4 + 4.302652729911275 / math.sqrt(3)))
    assert of_many[6] == f"**+4.00 [{low:+.2f}, {high:+.2f}]**" and of_many[7] == f"{smallest_detectable([4.0, 3.0, 5.0]):.1f}"
    assert of_many[8].startswith("56.00") and of_many[-2:] == ["7.00 ± 0.00", "1/3"] and of_plain[6:8] == ["", ""]


def test_missing_seeds_are_shown_not_hidden():
    """Seed 1 of the reference is missing: differences pair the seeds that both have, too few here for an interval."""
    recipe = study(sets=SETS[:1])
    done = {("plain", 0): 50.0, ("plain", 2): 51.0, ("many", 0): 52.0, ("many", 1): 60.0, ("many", 2): 52.0}
    tests = {
        Cell("a", arm, None, 100, seed, FRAMES["a"].of(recipe.arm(arm), None)): record("a", iou, clean=iou, other=1.0)
        for (arm, seed), iou in done.items()
    }
    plain, many, _, _ = groups_of(recipe, FRAMES, tests)
    lines = list(table_of(recipe, "a", [plain, many], len(recipe.seeds)))
    assert "| 2 of 3 | 52.00, 53.00 | 50.00, 51.00 |" in lines[2] and plain.seeds == (0, 2)
    assert lines[3].split("|")[7].strip() == "", "two pairs have no interval"


@pytest.mark.parametrize(("num", "factor"), [(5, 1.68), (8, 1.16), (16, 0.75)])
def test_smallest_detectable_difference(num, factor):
    """In standard deviations of the differences, at 80 % power and 5 % (facts: computed for this project)."""
    values = [float(i) for i in range(num)]
    deviation = math.sqrt(sum((v - (num - 1) / 2) ** 2 for v in values) / (num - 1))
    assert smallest_detectable(values) / deviation == pytest.approx(factor, abs=0.005)


def test_smallest_detectable_needs_three():
    with pytest.raises(RecipeError, match="at least 3 seeds, got 2"):
        smallest_detectable([1.0, 2.0])


TINY = {
    "name": "tiny", "finetune": "acm_nano_smoke", "sets": [{"name": "demo", "folder": "demo"}],
    "shared": [
        "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4",
        "train.validate_every=null",
    ],
    "arms": [ARMS[0], ARMS[1] | {"synthesis": ["canvas_hw=[64, 64]", "noise.window_px=16", "noise.stride_px=16"]}],
    "budgets": BUDGETS, "steps": 3, "seeds": [0, 1],
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    names = {"train": ("a", "b", "c", "d"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "demo", frames, names)


def test_command_from_start_to_resumed_end(corpus, tmp_path):
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    arguments = ["scale", tmp_path / "tiny.yaml", "--data", corpus.parent, "--out", tmp_path / "study", "--cluster", "sync"]
    planned = call(*arguments, "--dry-run")
    assert planned.rc == 0 and "6 runs, 0 done" in planned.stdout and not (tmp_path / "study").exists()
    assert "hours of one worker" in planned.stdout and "measured by a run of 20 steps" in planned.stdout
    assert "as planned, demo: not enough sizes to state an exponent: 1 over 0.0 decades" in planned.stdout
    alone = call(*arguments, "--set", "seeds=[0]", "--arms", "plain")
    assert alone.rc == 0 and not (tmp_path / "study/stores").exists(), "nothing is made for arms that wait"
    first = call(*arguments, "--set", "seeds=[0]")
    assert first.rc == 0, first
    assert "3 of 3 runs are finished" in first.stdout
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "study/runs").rglob("test.json")}
    assert len(kept) == 3
    second = call(*arguments)
    assert second.rc == 0 and "6 runs, 3 done" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "finished runs are not touched"
    content = json.loads((tmp_path / "study/study.json").read_text())
    assert [(g["arm"], g["budget"], g["seeds"]) for g in content["groups"]] == [
        (arm, budget, [0, 1]) for budget in ("steps", "passes") for arm in ("plain", "many")
    ]
    assert all(math.isfinite(value) for g in content["groups"] for value in g["scores"]["iou"])
    page = (tmp_path / "study/study.md").read_text()
    assert "## demo, passes: as many passes over its frames as many" in page
    changed = ("--set", "arms.1.train=[train.batch=2]")
    call(*arguments, *changed).refused(2, "holds a study with other arm many", "give another folder")
    other_list = ("--set", "shared=[data.split_list=other]")
    call(*arguments, *other_list).refused(2, "data.split_list null in a study, got train and other")
    fewer = call(*arguments[:5], tmp_path / "new", *arguments[6:], "--set", "shared=[data.num_frames=3]", "--dry-run")
    assert "plain: 3 frames" in fewer.stdout
    call(*arguments, "--set", "steps=4").refused(2, "holds a study with other steps", "give another folder")
    call(*arguments[:-1], "threads").refused(2, "--cluster must be local, sync or a scheduler")
