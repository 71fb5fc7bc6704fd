"""Studies over labels and starts: curves, label ratios, the question that fresh seeds decide, and the command that does them."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from finetune.metrics.intervals import Interval, holm
from pipelines import scale_findings
from pipelines.scale_cells import Frames, cell_of, cells_of
from pipelines.scale_curves import ONE_POINT, _price, curves_of, ratios_of, transfers_of
from pipelines.scale_endpoint import Choice, choose, choosing_cells, confirm, confirmation_cells, places
from pipelines.scale_laws import Law, LearningCurve, log_interval
from pipelines.scale_page import _price_text, page_of
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_rules import Judgement
from pipelines.scale_table import comparisons_of, groups_of, table_of
from pipelines.scale_tasks import loss_slope
from synth.corpora.lists import hash_ids
from synth.store.files import sha256_of_file
from tests.support.builders import scene, write_corpus
from tests.support.cli import call

SIZES = (8, 17, 34, 85, None)
FRAMES = {name: Frames(256, {}) for name in "ab"}
RECIPE = StudyRecipe.model_validate(
    {
        "name": "s", "finetune": "acm_nano_study", "steps": 100, "seeds": [0, 1, 2, 3, 4],
        "sets": [{"name": name, "folder": name, "labels": SIZES} for name in "ab"],
        "arms": [{"name": name, "about": "x"} for name in ("scratch", "start", "other")],
        "budgets": [{"name": "steps", "kind": "steps"}],
        "endpoint": {"reference": "scratch", "candidates": ["start", "other"], "selection": [0, 1, 2], "seeds": [10, 11, 12]},
    }
)  # fmt: skip


def iou_of(arm, labels, seed):
    """Scratch follows e = 0.2 + 1.2 labels^-0.5; the others are worth 3 and 1.5 times the labels."""
    worth = {"scratch": 1.0, "start": 3.0, "other": 1.5}[arm]
    return 100.0 * (0.8 - 1.2 * (worth * (labels or 256)) ** -0.5) + 0.3 * math.sin(9.0 * seed + (labels or 256))


def record(cell, slope=0.01):
    iou = iou_of(cell.arm, cell.labels, cell.seed)
    scores = {"iou": iou, "niou": iou, "pd": 90.0, "fa": 5.0}
    operating = None if cell.seed == 4 else {"fa": [5.0, 20.0], "pd": [iou, iou + 10.0]}  # seed 4: of before they were kept
    tests = {name: {"whole": scores, "clean": {"iou": iou}, "operating": operating} for name in "ab"}
    init = {"kind": "ssl", "objectives": ["seg"]} if cell.arm == "start" else {"kind": "random"}
    result = {"validation": {"val_best_iou": iou + 2}, "is_collapsed": False, "init": init}
    return {"result": result, "tests": tests, "loss_slope": slope}


@pytest.fixture(scope="module")
def tests():
    return {cell: record(cell) for cell in cells_of(RECIPE, FRAMES)}


@pytest.fixture(scope="module")
def groups(tests):
    return tuple(groups_of(RECIPE, FRAMES, tests))


def test_grid_is_complete_and_whole_seeds_come_first(tests, groups):
    cells = list(tests)
    assert len(cells) == 2 * 5 * 3 * 5 and len(groups) == 2 * 5 * 3
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert len({cell.path for cell in cells}) == len(cells)
    assert {cell.path for cell in cells if cell.seed == 0 and cell.arm == "start" and cell.dataset == "a"} >= {
        "runs/a/start/labels-8/100/seed-0", "runs/a/start/100/seed-0",
    }  # fmt: skip
    assert {group.init for group in groups if group.arm == "start"} == {"ssl seg"}


def test_curves_are_judged_and_priced(groups):
    curves = list(curves_of(RECIPE, FRAMES, groups))
    assert [(c.dataset, c.arm) for c in curves] == [(name, arm.name) for name in "ab" for arm in RECIPE.arms]
    scratch = curves[0]
    assert scratch.curve is not None and scratch.curve.sizes.tolist() == [8, 17, 34, 85, 256]
    assert scratch.law is not None and scratch.law.exponent == pytest.approx(0.5, abs=0.05)
    assert scratch.law.floor == pytest.approx(0.2, abs=0.02)
    price = (1.2 / (1.2 * 256**-0.5 - 0.01)) ** 2 - 256
    assert scratch.price is not None and scratch.price.refusal is None and scratch.price.interval is not None
    assert scratch.price.frames == pytest.approx(price, rel=0.15), "what its law says at 256 labels"
    assert scratch.price.interval.low < scratch.price.frames < scratch.price.interval.high < 3 * scratch.price.frames
    assert scratch.prediction is not None and scratch.prediction.low < scratch.curve.means[-1] < scratch.prediction.high
    content = json.loads(json.dumps(scratch.to_dict(), allow_nan=False))
    assert content["prediction"] == list(scratch.prediction) and content["refusals"] == []
    assert content["frames_for_one_point"] == scratch.price.frames and content["price_refusal"] is None
    assert content["price_interval"] == list(scratch.price.interval)
    assert content["intervals"]["floor"][0] < 0.2 < content["intervals"]["floor"][1]
    assert set(content["extrapolation"]) == {"P3", "BD", "last value"}


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Law("P3", 0.2, 0.5, 0.1), "no number of frames buys it"),
        (Law("P3", 0.2, 0.1, 0.02), "more than 4 times the largest size measured"),
    ],
)
def test_prices_beyond_the_horizon_are_refused(law, message):
    curve = LearningCurve(np.array((*SIZES[:4], 256), float), np.tile(law([8, 17, 34, 85, 256])[:, None], (1, 5)))
    price = _price(Judgement(law, (law,) * 5, Interval(0.1, 0.3), Interval(0.1, 0.2), ()), curve)
    assert price is not None and price.frames is None and price.interval is None and message in str(price.refusal)


def test_prices_have_the_interval_of_their_seeds():
    """Of the jackknife laws alone; a seed without which the floor forbids the point leaves no interval."""
    law, sizes = Law("P3", 0.2, 0.5, 1.2), np.array((*SIZES[:4], 256), float)
    curve, limits = LearningCurve(sizes, np.tile(law(sizes)[:, None], (1, 3))), Interval(0.1, 0.3)
    others = tuple(Law("P3", 0.2, 0.5, scale) for scale in (1.1, 1.2, 1.3))
    price = _price(Judgement(law, others, limits, limits, ()), curve)
    values = [other.frames_for(256.0, ONE_POINT) for other in others]
    assert price.interval == log_interval(math.log(price.frames), [math.log(value) for value in values])
    assert price.interval.low < min(values) < price.frames < max(values) < price.interval.high
    without = _price(Judgement(law, (*others[:2], Law("P3", 0.2, 0.5, 0.1)), limits, limits, ()), curve)
    assert without.frames == price.frames and without.interval is None and without.refusal is None
    assert _price_text(without).endswith("no interval: without some seed no number of them buys it")
    assert _price_text(price) == f"{_price_text(without).partition(',')[0]} [{price.interval.low:.0f}, {price.interval.high:.0f}]"
    vague = _price(Judgement(law, others, None, None, ("floor not identified",)), curve)
    assert vague.frames is None and "the floor, which is not identified" in _price_text(vague)
    assert _price(Judgement(None, (), None, None, ("not enough seeds",)), curve) is None


def test_a_price_that_is_refused_leaves_the_law_stated(tests, tmp_path, monkeypatch):
    """Scratch at a thousandth of its slope: the law is there, one more point lies below its floor."""
    flat = {cell: copy.deepcopy(test) for cell, test in tests.items()}
    for cell, test in flat.items():
        error = 0.2 + 0.1 * (cell.labels or 256) ** -0.5 + 1e-5 * math.sin(9.0 * cell.seed + (cell.labels or 256))
        test["tests"][cell.dataset]["whole"]["iou"] = 100.0 * (1.0 - error)
    monkeypatch.setattr(scale_findings, "_tests", lambda _, asked: {cell: flat[cell] for cell in asked if cell in flat})
    found = scale_findings.findings(RECIPE.model_copy(update={"endpoint": None}), "command", FRAMES, tmp_path, list(tests), [])
    content = found.curves[0].to_dict()
    assert content["law"] is not None and content["refusals"] == [] and content["frames_for_one_point"] is None
    assert content["price_refusal"] == "one more point of IoU lies below the floor: no number of frames buys it"
    assert f"  - {content['price_refusal']}" in list(page_of(found))


def test_scores_that_do_not_exist_are_null_in_the_file(tests):
    empty = {
        cell: test | {"tests": {name: t | {"clean": None} for name, t in test["tests"].items()}} for cell, test in tests.items()
    }
    content = next(groups_of(RECIPE, FRAMES, empty)).to_dict()
    assert content["clean_iou"] == [None] * 5 and json.dumps(content, allow_nan=False)


def test_training_that_had_not_converged_states_no_law(tests):
    limited = {cell: record(cell, 0.2 if cell.labels == 17 else 0.0) for cell in tests}
    curve = next(curves_of(RECIPE, FRAMES, tuple(groups_of(RECIPE, FRAMES, limited))))
    assert curve.law is None and curve.judgement is not None
    assert curve.judgement.refusals == ("training at 17 frames had not converged: no law",)


def test_training_of_which_it_is_not_known_states_no_law_either(tests):
    silent = {cell: record(cell, None if cell.labels in (8, 34) else 0.0) for cell in tests}
    groups = tuple(groups_of(RECIPE, FRAMES, silent))
    curve = next(curves_of(RECIPE, FRAMES, groups))
    assert curve.law is None and curve.refusals == ("whether training at 8, 34 frames had converged is not known: no law",)
    shown = next(group for group in groups if group.labels == 8)
    assert shown.to_dict()["convergence"] == "unknown" and not shown.to_dict()["is_limited"]
    assert "| 100? |" in list(table_of(RECIPE, "a", [shown], 5))[2]


@pytest.mark.parametrize(
    ("extra", "text"), [(0, "all arms take equally many steps"), (7, "100 steps, and an arm's extra steps on top")]
)
def test_pages_say_how_long_arms_train(extra, text, tmp_path):
    arms = [RECIPE.arms[0], RECIPE.arms[1].model_copy(update={"extra_steps": extra})]
    recipe = RECIPE.model_copy(update={"arms": tuple(arms), "endpoint": None})
    found = scale_findings.findings(recipe, "command", FRAMES, tmp_path, list(cells_of(recipe, FRAMES)), [])
    assert f"## a, steps: {text}" in list(page_of(found))


def test_starts_are_worth_labels(groups):
    curves = tuple(curves_of(RECIPE, FRAMES, groups))
    found = {(c.dataset, c.arm, r.size): r for c, r in ratios_of(RECIPE, curves)}
    assert len(found) == 2 * 2 * 5 and not any(arm == "scratch" for _, arm, _ in found)
    at_17 = found["a", "start", 17.0]
    assert at_17.bound == "=" and at_17.ratio == pytest.approx(3.0, rel=0.15), "linear between sizes"
    assert at_17.interval is not None and at_17.interval.low > 2
    assert found["a", "start", 256.0].bound == ">="


def test_only_seeds_that_every_size_has_make_a_curve(tests):
    some = {cell: test for cell, test in tests.items() if not (cell.labels == 34 and cell.seed == 3)}
    curve = next(curves_of(RECIPE, FRAMES, tuple(groups_of(RECIPE, FRAMES, some))))
    assert curve.seeds == (0, 1, 2, 4) and curve.curve is not None and curve.curve.num_replicates == 4
    none = next(curves_of(RECIPE, FRAMES, tuple(groups_of(RECIPE, FRAMES, {}))))
    assert none.curve is None and none.to_dict()["sizes"] == []


def test_differences_are_taken_against_the_reference(groups):
    found = list(comparisons_of(RECIPE, groups))
    assert len(found) == 2 * 5 * 2 and {c.reference for c in found} == {"scratch"}
    first = next(c for c in found if (c.dataset, c.labels, c.arm) == ("a", 8, "start"))
    assert first.differences == pytest.approx([iou_of("start", 8, s) - iou_of("scratch", 8, s) for s in range(5)])
    assert first.low is not None and first.p is not None and first.low > 0 and first.p < 0.05


def test_pd_at_matched_fa_is_kept_by_seed(groups):
    group = next(g for g in groups if (g.dataset, g.labels, g.arm) == ("a", 8, "start"))
    found = group.pd_at(20.0)
    assert found[:4] == pytest.approx([iou_of("start", 8, seed) + 10.0 for seed in range(4)]) and math.isnan(found[4])
    assert group.to_dict()["operating"][4] is None and group.to_dict()["operating"][0]["pd"] == [found[0] - 10.0, found[0]]


def test_validation_chooses_count_and_arm(groups):
    """Scratch at all labels: 72.5; at 85: 67.0; at 34: 59.4, the largest count 10 points below."""
    found = choose(RECIPE, RECIPE.endpoint, groups)
    assert isinstance(found, Choice) and found.arm == "start" and found.labels == {"a": 34, "b": 34}
    assert found.validation_iou["start"] > found.validation_iou["other"]


def test_choice_waits_for_its_seeds_and_needs_headroom(tests, groups):
    def chosen_without(arm, seed, labels):
        some = {cell: test for cell, test in tests.items() if (cell.arm, cell.seed, cell.labels) != (arm, seed, labels)}
        return choose(RECIPE, RECIPE.endpoint, tuple(groups_of(RECIPE, FRAMES, some)))

    whole = choose(RECIPE, RECIPE.endpoint, groups)
    assert chosen_without("scratch", 1, 8) == "2 places of scratch lack selection seeds; the choice waits for them"
    assert chosen_without("other", 2, 34) == "2 candidates lack selection seeds at the endpoint; the choice waits for them"
    assert chosen_without("other", 2, 8) == whole, "candidates compete at the endpoint alone"
    assert chosen_without("other", 4, 34) == chosen_without("scratch", 4, 8) == whole, "seed 4 has no say"
    wide = RECIPE.endpoint.model_copy(update={"headroom": 60.0})
    assert choose(RECIPE, wide, groups) == "a: scratch is nowhere 60 points below its value with most labels"


def test_label_counts_of_the_endpoint_come_from_the_reference_alone(tests, groups):
    of_reference = tuple(groups_of(RECIPE, FRAMES, {cell: test for cell, test in tests.items() if cell.arm == "scratch"}))
    assert places(RECIPE, RECIPE.endpoint, of_reference) == places(RECIPE, RECIPE.endpoint, groups) == {"a": 34, "b": 34}


def test_what_the_choice_needs_is_done_first(tests):
    first = choosing_cells(RECIPE, list(tests), None)
    assert {cell.arm for cell in first} == {"scratch"} and len(first) == 3 * 2 * 5
    then = choosing_cells(RECIPE, list(tests), {"a": 34, "b": 17})
    assert {(cell.dataset, cell.labels) for cell in then} == {("a", 34), ("b", 17)} and len(then) == 2 * 2 * 3
    assert {cell.seed for cell in [*first, *then]} == {0, 1, 2} and {cell.arm for cell in then} == {"start", "other"}
    assert choosing_cells(RECIPE.model_copy(update={"endpoint": None}), list(tests), None) == []


def test_fresh_seeds_decide(groups):
    choice = choose(RECIPE, RECIPE.endpoint, groups)
    cells = list(confirmation_cells(RECIPE, RECIPE.endpoint, choice, FRAMES))
    assert {cell.seed for cell in cells} == {10, 11, 12} and len(cells) == 3 * 2 * 2
    assert {(cell.arm, cell.labels) for cell in cells} == {("scratch", 34), ("start", 34)}
    some = {cell: record(cell) for cell in cells if cell.dataset == "a"}
    on_a, on_b = confirm(RECIPE, RECIPE.endpoint, cells, some)
    assert on_a.comparison.low is not None and on_b.comparison.low is None
    assert on_a.p_holm is on_b.p_holm is None, "Holm waits for both data sets"
    whole = confirm(RECIPE, RECIPE.endpoint, cells, {cell: record(cell) for cell in cells})
    assert [found.p_holm for found in whole] == pytest.approx(holm([found.comparison.p for found in whole]))
    secondary = whole[0].secondary()
    assert list(secondary) == ["IoU on b", "IoU, clean", "Pd at Fa 20"]
    for differences in secondary.values():  # the records give all of them the difference in IoU
        assert differences == pytest.approx(whole[0].comparison.differences)
    assert json.loads(json.dumps(whole[0].to_dict()))["groups"]["chosen"]["seeds"] == [10, 11, 12]


def test_nothing_of_a_confirmation_is_shown_before_it_is_whole(tests, groups, monkeypatch, tmp_path):
    cells = list(confirmation_cells(RECIPE, RECIPE.endpoint, choose(RECIPE, RECIPE.endpoint, groups), FRAMES))
    known = tests | {cell: record(cell) for cell in cells}
    monkeypatch.setattr(scale_findings, "_tests", lambda _, asked: {cell: known[cell] for cell in asked if cell in known})

    def shown():
        found = scale_findings.findings(RECIPE, "command", FRAMES, tmp_path, list(tests), cells)
        return scale_findings.content_of(found, tmp_path, {}, {})["endpoint"], "\n".join(page_of(found))

    endpoint, page = shown()
    assert [result["dataset"] for result in endpoint["results"]] == ["a", "b"] and "- standard deviation of IoU" in page
    del known[cells[-1]]
    endpoint, page = shown()
    assert endpoint["chosen"] == "start" and endpoint["results"] == [] and "- standard deviation of IoU" not in page
    assert "11 of 12 runs with fresh seeds are finished; what they say is shown when all are." in page


def test_transfer_law_is_fitted_to_the_arms_named():
    arms = [
        {"name": f"n{n}", "about": "x", "synthesize": "scenes", "real_share": 0.5, "synthesis": [f"source.num_frames={n}"]}
        for n in (250, 1000, 4000)
    ]
    recipe = StudyRecipe.model_validate(
        RECIPE.model_dump() | {"arms": [*RECIPE.arms, *arms], "transfer": [a["name"] for a in arms]}
    )
    made = {f"n{n}": n for n in (250, 1000, 4000)}
    frames = {name: Frames(256, made, frozenset(made)) for name in "ab"}

    def error(cell):
        return 2.0 * (0.1 + made[cell.arm] ** -0.4) * (cell.labels or 256) ** -0.15

    tests = {cell: record(replace(cell, arm="scratch")) for cell in cells_of(recipe, frames)}
    for cell, test in tests.items():
        if cell.arm in made:
            test["tests"][cell.dataset]["whole"]["iou"] = 100.0 * (1.0 - error(cell))
    (_, budget, verdict), _ = transfers_of(recipe, frames, tuple(groups_of(recipe, frames, tests)))
    assert budget == "steps" and verdict.law is not None and verdict.law.gamma == pytest.approx(0.1, rel=0.02)
    assert verdict.grid.synthetic.tolist() == [250, 1000, 4000] and verdict.grid.labels.tolist() == [8, 17, 34, 85, 256]
    assert verdict.grid.seeds == RECIPE.seeds
    limited = {cell: test | {"loss_slope": 0.2 if cell.arm == "n1000" else 0.0} for cell, test in tests.items()}
    (_, _, refused), _ = transfers_of(recipe, frames, tuple(groups_of(recipe, frames, limited)))
    assert refused.law is None and "1000 synthetic frames and 8 labels had not converged" in refused.sentences[0]
    assert list(transfers_of(recipe, frames, tuple(groups_of(recipe, frames, {})))) == []


def test_loss_slope_is_the_share_of_the_fall_that_the_end_brings():
    """From 5 to 2 (the middle of the last fifth), and still 0.2 down within it."""
    falling = [{"step": step, "loss": 5.0 if step <= 80 else 2.0 - 0.01 * (step - 91)} for step in range(10, 101, 2)]
    assert loss_slope(falling) == pytest.approx(0.2 / 3.0, rel=1e-6)
    flat = [{"step": step, "loss": 1.0 if step > 80 else 3.0} for step in range(1, 101)]
    assert loss_slope(flat) == pytest.approx(0.0, abs=1e-12)
    assert loss_slope([]) is None and loss_slope(falling[:3]) is None
    assert loss_slope([{"step": step, "loss": 1.0} for step in range(1, 101)]) is None, "nothing was learnt"


def test_convergence_is_judged_over_seeds():
    """Single runs scatter: a mean above 5 % counts only where its interval excludes zero."""
    group = next(groups_of(RECIPE, FRAMES, {}))
    slopes = (0.2, 0.21, 0.2), (0.5, -0.3, 0.1), (0.02,) * 3, (0.9,), (math.nan,) * 5, (0.2, 0.21, math.nan)
    found = [replace(group, loss_slopes=of_seeds).convergence for of_seeds in slopes]
    assert found == ["limited", "reached", "reached", "unknown", "unknown", "unknown"]
    assert [replace(group, loss_slopes=of_seeds).is_limited for of_seeds in slopes] == [True] + [False] * 5


def test_budgets_and_labels_multiply():
    cell = cell_of(RECIPE, RECIPE.budgets[0], "a", FRAMES["a"], 17, RECIPE.arms[0], 3)
    assert (cell.labels, cell.num_frames, cell.steps) == (17, 17, 100)


NETWORK = ["detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]"]
TINY = {
    "name": "tiny", "finetune": "acm_nano_smoke", "sets": [{"name": "demo", "folder": "demo", "labels": [4, None]}],
    "shared": [*NETWORK, "views.crop_px=32", "train.batch=4", "train.validate_every=null", "train.log_every=1"],
    "unlabelled": ["other"],
    "arms": [
        {"name": "scratch", "about": "longer", "extra_steps": 2},
        {"name": "seg", "about": "pretrained", "pretrain": "pretrain_tiny", "pretraining": [
            *NETWORK, "train.steps=2", "train.batch=2", "views.crop_px=32", "held_out={frames: 1, crops: 2}",
            "train.validate_every=null",
        ]},
        {"name": "lneg", "about": "on its labels", "pretrain": "lneg_tiny", "pretraining": [
            *NETWORK, "train.steps=2", "train.batch=2", "views.crop_px=32", "held_out={frames: 1, crops: 2}",
            "train.validate_every=null", "views.noise_mix.probability=0",
        ]},
        {"name": "joint", "about": "beside made ones", "synthesize": "sirst5k", "real_share": 0.5,
         "synthesis": ["canvas_hw=[64, 64]", "noise.window_px=16", "noise.stride_px=16"]},
    ],
    "budgets": [{"name": "steps", "kind": "steps"}], "steps": 5, "seeds": [0, 1],
    "endpoint": {"reference": "scratch", "candidates": ["seg", "joint"], "selection": [0], "seeds": [7], "headroom": 0},
}  # fmt: skip


def test_command_does_grid_choice_and_confirmation(tmp_path):
    names = {"train": tuple("abcdef"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    write_corpus(tmp_path / "data/demo", frames, names)
    write_corpus(tmp_path / "data/other", [scene(name, (40, 48), []) for name in "wxyz"], {})
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    arguments = ["scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", "--cluster", "sync"]
    planned = call(*arguments, "--dry-run").stdout
    assert "(with 7 pretrainings, counted at that rate of fine-tuning: theirs was not measured)" in planned
    assert "(with 2 runs with fresh seeds; before validation has chosen, counted as the longest" in planned
    part = call(*arguments, "--arms", "scratch,seg")
    assert part.rc == 0 and "11 of 18 runs are finished" in part.stdout, part.stderr
    assert "of them 8 runs and 48 steps of the arms asked for" in part.stdout
    first = call(*arguments)
    assert first.rc == 0, first.stderr
    assert "labels: 4, all" in first.stdout and "after 2 of pretrain_tiny" in first.stdout
    content = json.loads((tmp_path / "study/study.json").read_text())
    assert content["format"] == 2 and len(content["groups"]) == 2 * 4
    inits = {group["arm"]: group["init"] for group in content["groups"]}
    assert inits == {"scratch": "random", "seg": "ssl seg dense", "lneg": "lneg lneg", "joint": "random"}
    assert {group["steps"] for group in content["groups"] if group["arm"] == "scratch"} == {7}
    assert content["data"]["demo"]["test_ids_sha256"] == hash_ids("tu") and content["data"]["demo"]["train"] == 6
    assert content["frames"] == {"demo": {"train": 6, "synthetic": {"joint": 24}, "rendered": []}}, "six targets, four copies"
    endpoint = content["endpoint"]
    assert endpoint["chosen"] in ("seg", "joint") and endpoint["seeds_b"] == [7]
    assert [len(result["seeds"]) for result in endpoint["results"]] == [1] and "1 pairs: too few for an interval" in (
        tmp_path / "study/study.md"
    ).read_text()
    assert sorted(p.name for p in (tmp_path / "study/pretrained/demo/seg").iterdir())[:2] == ["seed-0", "seed-1"]
    page = (tmp_path / "study/study.md").read_text()
    (untuned,) = content["zero_labels"]
    assert (untuned["dataset"], untuned["arm"]) == ("demo", "seg") and set(untuned["seeds"]) <= {0, 1, 7}, "lneg uses labels"
    assert {0, 1} <= set(untuned["seeds"]) and all(len(values) == len(untuned["seeds"]) for values in untuned["chosen"].values())
    assert all(0 <= value <= 100 for value in untuned["scores"]["iou"])
    assert "## Before any fine-tuning" in page and f"| demo | seg | {len(untuned['seeds'])} |" in page
    assert (
        "**4 labels**" in page and "**2 seeds: smoke, not evidence.**" in page and "not enough sizes to state an exponent" in page
    )
    call(*arguments, "--arms", "seg,none").refused(2, "--arms must be of scratch, seg, lneg, joint", "got none")
    later = ("--set", "endpoint.headroom=1")
    call(*arguments, *later).refused(2, "holds a study with other endpoint", "give another folder")
    again = call(*arguments)
    assert again.rc == 0 and "16 runs, 16 done" in again.stdout
    assert json.loads((tmp_path / "study/study.json").read_text()) == content
    goes_on_elsewhere(arguments, tmp_path, content)


def goes_on_elsewhere(arguments, folder, content):
    """What study.json says of finished runs counts in a new folder; what it lacks is trained, with the same result."""
    (folder / "part.json").write_text(json.dumps(content | {"groups": [g for g in content["groups"] if g["arm"] != "lneg"]}))
    there = [*arguments[:5], folder / "elsewhere", *arguments[6:], "--known", folder / "part.json"]
    call(*there, "--set", "arms.0.extra_steps=3").refused(2, "is of a study with other arm scratch")
    call(*there, "--set", "unlabelled=[]").refused(2, "is of a study with other unlabelled")
    call(*there, "--dry-run").refused(2, "--known writes into --out")
    strange = ({}, "does not say of what recipes"), (content | {"groups": [{"arm": "seg", "dataset": "demo"}]}, "is damaged")
    climbing = content["groups"][0] | {"steps": "../../.."}
    for damaged, message in (*strange, (content | {"groups": [climbing]}, "is damaged")):
        (folder / "none.json").write_text(json.dumps(damaged))
        call(*there, "--known", folder / "none.json").refused(2, f"none.json: {message}")
    assert not (folder / "elsewhere").exists(), "a refusal leaves nothing behind"
    moved = call(*there)
    assert moved.rc == 0 and "part.json: 14 finished runs" in moved.stdout and "16 runs, 12 done" in moved.stdout, moved.stderr
    assert [path.name for path in (folder / "elsewhere/runs/demo").iterdir()] == ["lneg"], "nothing else is trained"
    found = json.loads((folder / "elsewhere/study.json").read_text())
    assert found.pop("known") == [{"name": "part.json", "sha256": sha256_of_file(folder / "part.json"), "runs": 14}]
    assert found == {key: value for key, value in content.items() if key != "known"}
    assert "14 runs were done elsewhere: part.json, sha256" in (folder / "elsewhere/study.md").read_text()


def test_more_labels_than_frames_are_named(tmp_path):
    frames = [scene(name, (40, 48), [(5, 8, 8, 12)]) for name in "abvt"]
    write_corpus(tmp_path / "data/demo", frames, {"train": ("a", "b"), "val": ("v",), "test": ("t",)})
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY | {"unlabelled": []}))
    call("scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study").refused(
        2, "sets.demo.labels must be <= 2", "got 4"
    )
    twice = ("--set", "sets.0.labels=[2, null]")
    call("scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", *twice).refused(
        2, "must not name all 2 training frames twice"
    )
