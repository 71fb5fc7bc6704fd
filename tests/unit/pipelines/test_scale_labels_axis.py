"""Studies over labels and starts: curves, prices, label ratios and what training must show before a law is stated."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from finetune.metrics.intervals import Interval
from pipelines import scale_findings
from pipelines.scale_cells import Frames, cell_of, cells_of
from pipelines.scale_curves import ONE_POINT, _price, curves_of, ratios_of, transfers_of
from pipelines.scale_laws import Law, LearningCurve, log_interval
from pipelines.scale_page import _price_text, page_of
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_rules import Judgement
from pipelines.scale_table import comparisons_of, groups_of, table_of
from pipelines.scale_tasks import loss_slope
from tests.support.studies import FRAMES, RECIPE, SIZES, iou_of, record


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


def test_scores_that_were_recorded_as_undefined_stay_so_to_the_page(tests):
    """Clean frames without a target on which a seed predicts nothing, and a list of another set without targets."""
    undefined = copy.deepcopy(tests)
    for cell, test in undefined.items():
        test["tests"][cell.dataset]["clean"] = {"iou": None}
        for name, scores in test["tests"].items():
            scores["whole"] |= {"pd": None} | ({} if name == cell.dataset else {"iou": None})
    groups = tuple(groups_of(RECIPE, FRAMES, undefined))
    content = groups[0].to_dict()
    assert content["clean_iou"] == content["scores"]["pd"] == [None] * 5 and json.dumps(content, allow_nan=False)
    assert all(values == [None] * 5 for values in content["other_iou"].values())
    of_first = [g for g in groups if (g.dataset, g.labels, g.budget) == (groups[0].dataset, groups[0].labels, groups[0].budget)]
    *_, row = table_of(RECIPE, groups[0].dataset, of_first, 5)
    assert row.count(" - ") >= 2


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
