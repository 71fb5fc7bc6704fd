"""Laws of error against data: exact on exact curves, honest on noisy ones, silent where they must be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.scale_labels import label_ratio
from pipelines.scale_laws import LAWS, Law, LearningCurve, extrapolation_errors, fit_law, predict
from pipelines.scale_rules import against_plan, judge, refuse_horizon
from synth.errors import RecipeError
from tests.support.learning_curves import SIZES, covered, drawn_curve, true_error

ROOT = Path(__file__).parents[3]


def exact(law, num_replicates=5):
    return LearningCurve(SIZES, np.repeat(np.asarray(law(SIZES))[:, None], num_replicates, axis=1))


@pytest.mark.parametrize(
    "law", [Law("P3", 0.25, 0.35, 1.2), Law("P3", 0.1, 0.8, 2.0), Law("BD", 0.2, 0.6, 30.0), Law("BD", 0.05, 1.1, 12.0)]
)
def test_exact_curves_give_their_law_back(law):
    found = fit_law(law.name, exact(law))
    assert found(SIZES) == pytest.approx(law(SIZES), rel=1e-3)
    assert float(found(1024.0)) == pytest.approx(float(law(1024.0)), rel=0.01)
    assert found.exponent == pytest.approx(law.exponent, rel=0.05)


def test_bounded_law_is_one_without_data():
    assert float(Law("BD", 0.2, 0.6, 30.0)(1e-12)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("law", [Law("P3", 0.25, 0.35, 1.2), Law("BD", 0.2, 0.6, 30.0)])
def test_frames_for_a_gain_inverts_the_law(law):
    more = law.frames_for(100.0, 0.01)
    assert float(law(100.0 + more)) == pytest.approx(float(law(100.0)) - 0.01, abs=1e-9)
    assert law.frames_for(100.0, 0.9) == math.inf, "below the floor"


def test_intervals_cover_the_truth():
    """30 draws of the 200 in benchmarks/scaling_truth.py; below 25 of 30 would happen once in 300 fresh draws at 95 %."""
    rng = np.random.default_rng(5)
    outcomes = [covered(rng, 5) for _ in range(30)]
    assert sum(prediction for prediction, _ in outcomes) >= 25
    ratios = [ratio for _, ratio in outcomes if ratio is not None]
    assert len(ratios) >= 25 and sum(ratios) >= 0.8 * len(ratios)


def test_more_replicates_narrow_the_interval():
    widths = []
    for number in (5, 20):
        found = [predict("P3", drawn_curve(np.random.default_rng(k), number).up_to(5), 256.0) for k in range(4)]
        widths.append(np.mean([math.log(interval.high / interval.low) for interval in found]))
    assert widths[1] < 0.7 * widths[0]


def test_extrapolation_is_judged_on_the_size_it_did_not_see():
    errors = dict(extrapolation_errors(exact(Law("P3", 0.25, 0.35, 1.2))))
    assert set(errors) == {*LAWS, "last value"}
    assert errors["P3"] < 0.002 < errors["last value"] == pytest.approx(math.log(true_error(170.0) / true_error(256.0)))


def test_label_ratio_by_hand():
    """Scratch falls .8 .6 .4 at 10, 100, 1000; an error of .5 at 100 lies half way between ln 100 and ln 1000."""
    sizes = np.array([10.0, 100.0, 1000.0])
    scratch = LearningCurve(sizes, np.array([[0.8] * 3, [0.6] * 3, [0.4] * 3]))
    found = label_ratio(LearningCurve(sizes, np.array([[0.7] * 3, [0.5] * 3, [0.3] * 3])), scratch, 100.0)
    assert found.ratio == pytest.approx(math.sqrt(10.0)) and found.bound == "="
    assert found.interval == pytest.approx((found.ratio, found.ratio))


@pytest.mark.parametrize(("error", "ratio", "bound"), [(0.3, 100.0, ">="), (0.9, 1.0, "<")])
def test_label_ratio_never_extrapolates(error, ratio, bound):
    sizes = np.array([10.0, 100.0, 1000.0])
    scratch = LearningCurve(sizes, np.array([[0.8] * 3, [0.6] * 3, [0.4] * 3]))
    found = label_ratio(LearningCurve(sizes, np.full((3, 3), error)), scratch, 10.0)
    assert (found.ratio, found.bound, found.interval) == (ratio, bound, None)


def test_bumps_of_the_scratch_curve_are_levelled():
    assert worth_of(0.55) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("error", "labels"),
    [
        (0.675, 10.0 * 2**0.5), (0.551, 10.0 * 2 ** (0.249 / 0.25)), (0.55 + 1e-15, 20.0), (0.55 - 1e-15, 20.0),
        (0.549, 40.0 * 2 ** (0.001 / 0.15)), (0.5, 40.0 * 2 ** (1 / 3)), (0.45, 40.0 * 2 ** (2 / 3)), (0.4, 80.0), (0.8, 10.0),
    ],
)  # fmt: skip
def test_errors_below_a_level_lie_beyond_its_most_labels(error, labels):
    """40.2, 50.4 and 63.5 labels for .549, .50 and .45: what 20 to 40 labels reach says nothing of less error."""
    assert worth_of(error) == pytest.approx(labels, rel=1e-9)


def worth_of(error):
    """Mean errors .8 .5 .6 .4: the middle two count as .55, reached with the fewer labels."""
    sizes = np.array([10.0, 20.0, 40.0, 80.0])
    scratch = LearningCurve(sizes, np.array([[0.8] * 3, [0.5] * 3, [0.6] * 3, [0.4] * 3]))
    found = label_ratio(LearningCurve(sizes, np.array([[error] * 3] + [[0.3] * 3] * 3)), scratch, 10.0)
    assert found.bound == "="
    return 10.0 * found.ratio


def test_committed_label_ratios_are_those_of_the_rule():
    """What results/ says of labels is what the code says today of the errors beside it."""
    content = json.loads((ROOT / "results/label_worth.json").read_text())
    curves = {(curve["dataset"], curve["budget"], curve["arm"]): curve for curve in content["curves"]}
    for entry in content["ratios"]:
        pair = [curves[entry["dataset"], entry["budget"], entry[key]] for key in ("arm", "reference")]
        common = [seed for seed in pair[0]["seeds"] if seed in pair[1]["seeds"]]
        better, scratch = (
            LearningCurve(np.array(c["sizes"]), np.array(c["errors"])[:, [c["seeds"].index(seed) for seed in common]])
            for c in pair
        )
        found = label_ratio(better, scratch, entry["labels"])
        assert (found.ratio, found.bound) == (pytest.approx(entry["ratio"]), entry["bound"])
        assert (found.interval or (None, None)) == (pytest.approx(entry["low"]), pytest.approx(entry["high"]))


NOISY = drawn_curve(np.random.default_rng(1), 8)


@pytest.mark.parametrize(
    ("curve", "options", "message"),
    [
        (NOISY.up_to(4), {}, "not enough sizes to state an exponent: 4 over 1.0 decades, needed: 5 over 1.5"),
        (drawn_curve(np.random.default_rng(1), 4), {}, "not enough seeds to state an exponent: 4 of 5"),
        (NOISY, {"collapsed": [0.25, 0, 0, 0, 0, 0]}, "25% of the seeds collapsed at 8 frames"),
        (NOISY, {"convergence": ["reached"] * 5 + ["limited"]}, "training at 256 frames had not converged"),
        (
            NOISY,
            {"convergence": ["unknown", "reached", "unknown", "reached", "reached", "reached"]},
            "whether training at 8, 34 frames had converged is not known: no law",
        ),
        (LearningCurve(SIZES, NOISY.errors[::-1]), {}, "the error rises from 8 to 17 frames"),
    ],
)
def test_laws_are_refused(curve, options, message):
    found = judge(curve, **options)
    assert found.law is None and found.left_out == () and found.floor is None
    assert any(message in refusal for refusal in found.refusals)


def test_what_a_plan_forbids_is_known_beforehand():
    assert list(against_plan([8.0, 17.0, 34.0, 85.0, 256.0], 5)) == []
    assert list(against_plan([4.0, 6.0], 2)) == [
        "not enough sizes to state an exponent: 2 over 0.2 decades, needed: 5 over 1.5",
        "not enough seeds to state an exponent: 2 of 5",
    ]


def test_floor_is_stated_only_where_it_shows():
    """Almost without noise c and b are found; with the noise of seeds and two decades they are not."""
    quiet = LearningCurve(SIZES, true_error(SIZES)[:, None] + 1e-4 * np.random.default_rng(0).standard_normal((6, 5)))
    found = judge(quiet)
    assert found.floor is not None and found.floor.low < 0.25 < found.floor.high and found.refusals == ()
    assert found.exponent is not None and found.exponent.low < 0.35 < found.exponent.high
    noisy = judge(drawn_curve(np.random.default_rng(4), 5))
    assert noisy.law is not None and noisy.floor is None and noisy.refusals[0].startswith("floor not identified")


def test_horizon():
    assert refuse_horizon(NOISY, 1024.0) is None
    assert "more than 4 times the largest size measured, 256" in str(refuse_horizon(NOISY, 1025.0))


@pytest.mark.parametrize(
    ("sizes", "errors", "message"),
    [
        ([1.0, 2.0], np.full((3, 2), 0.5), "for 2 sizes"),
        ([2.0, 1.0], np.full((2, 2), 0.5), "must rise"),
        ([1.0, 2.0], np.full((2, 2), 50.0), "1 - IoU as a ratio"),
    ],
)
def test_bad_curves_are_named(sizes, errors, message):
    with pytest.raises(RecipeError, match=message):
        LearningCurve(np.array(sizes), errors)
