"""Surveys held against each other: the null, a known difference, plates on one side, reasons for what was not run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synth.census import FrameSet, compare_surveys, realism_card, survey_frames
from synth.census.comparison import NUM_EXHIBITS
from synth.census.definitions import STATISTICS
from synth.census.sources import SourceFrame
from synth.census.twosample import MIN_GROUPS, cross_validate, prepare_test, two_sample_test
from synth.sample import Frame

NEEDS = "needs the train extra"


def textured(name, seed, *, blur=1.5, side=128, mask=True):
    """A frame of smooth texture and grain with one target near the corner of one patch."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((side, side)), 8.0 * rng.uniform(0.7, 1.4)) * 300
    field += gaussian_filter(rng.standard_normal((side, side)), blur) * 12
    levels = np.rint(np.clip(field + rng.uniform(90, 150), 0, 255)).astype(np.uint8)
    truth = np.zeros((side, side), np.uint8)
    truth[5:8, 5:8] = 1
    levels[truth == 1] = 255
    return Frame(name, levels, 255, truth if mask else None)


def survey_of(name, frames, links=None, painted=None):
    links = links or [(f"{name}:{frame.id}",) for frame in frames]
    painted = painted if painted is not None else [True] * len(frames)
    sources = [SourceFrame(*row) for row in zip(frames, links, painted, strict=True)]
    reads = tuple(lambda source=source: source for source in sources)
    return survey_frames(FrameSet(name, "in memory", None, len(frames), 0, reads))


def set_of(name, num, *, first=0, **keys):
    return [textured(f"{name}{number}", first + number, **keys) for number in range(num)]


@pytest.fixture(scope="module")
def sets():
    """Two sets of one distribution, and one of blurred grain, 60 frames each."""
    alike = survey_of("alike", set_of("a", 60)), survey_of("twin", set_of("t", 60, first=1000))
    return *alike, survey_of("blurred", set_of("b", 60, first=2000, blur=2.2))


def test_sets_of_one_distribution_cannot_be_told_apart(sets):
    """180 against 180 patches: 20 pairs of such sets gave AUC 0.516 with a spread of 0.045; 3.5 of it."""
    test = prepare_test(sets[0], sets[1], seed=0)
    outcome = two_sample_test(test)
    assert (outcome.num_subject, outcome.num_reference, outcome.num_groups) == (180, 180, 120)
    assert outcome.auc.value == pytest.approx(0.5, abs=0.16)
    assert outcome.auc.low < 0.56 and outcome.auc.high > 0.44


def test_a_difference_is_found_and_named(sets):
    outcome = two_sample_test(prepare_test(sets[2], sets[0], seed=0))
    assert outcome.auc.low > 0.9
    named = [entry.name for entry in outcome.giveaways[:8]]
    assert any("residual" in name or "cyc/px" in name for name in named), named
    weights = [abs(entry.weight) for entry in outcome.giveaways]
    assert weights == sorted(weights, reverse=True) and len(weights) == 34
    fine = next(entry for entry in outcome.giveaways if entry.name == "log fine residual")
    assert fine.auc_alone < 0.2, "blurred grain has less of it"


def test_swapping_the_sets_mirrors_the_outcome(sets):
    here, there = (two_sample_test(prepare_test(a, b, seed=0)) for a, b in ((sets[2], sets[0]), (sets[0], sets[2])))
    alone = {entry.name: entry.auc_alone for entry in here.giveaways}
    assert {entry.name: 1 - entry.auc_alone for entry in there.giveaways} == pytest.approx(alone)
    assert here.auc.value == pytest.approx(there.auc.value, abs=0.05)


def test_plates_shared_by_both_sets_stay_on_one_side():
    """Every plate is in both sets: whatever a learner memorises of plates must not help it."""
    frames = set_of("p", 30)
    ours = survey_of("ours", frames, [(f"plate:{number}",) for number in range(30)])
    theirs = survey_of("theirs", frames, [(f"plate:{number}",) for number in range(30)])
    test = prepare_test(ours, theirs, seed=0)
    assert len(np.unique(test.groups)) == 30
    for group in np.unique(test.groups):
        assert len(np.unique(test.folds[test.groups == group])) == 1

    def memorise(patches, is_subject, held_out):
        seen = {patch.tobytes(): float(label) for patch, label in zip(patches, is_subject, strict=True)}
        return np.array([seen.get(patch.tobytes(), 0.5) for patch in held_out])

    np.testing.assert_array_equal(cross_validate(test, memorise), 0.5)


def test_look_alike_real_frames_are_one_group():
    frames = set_of("n", 24)
    twins = [Frame(f"twin{frame.id}", (frame.levels * 0.9).astype(np.uint8), 255, frame.mask) for frame in frames]
    real = [False] * 24
    ours, theirs = survey_of("ours", frames, painted=real), survey_of("theirs", twins, painted=real)
    test = prepare_test(ours, theirs, seed=0)
    groups = [set(test.groups[test.is_subject == side]) for side in (True, False)]
    assert groups[0] == groups[1]


def test_comparison_has_every_distance_and_four_outcomes(sets):
    comparison = compare_surveys(sets[2], sets[0], network=NEEDS, seed=0)
    assert set(comparison.distances) == {statistic.name for statistic in STATISTICS}
    assert comparison.distances["psd_slope"].ks > 0.5
    kinds = [(outcome.classifier, outcome.frames) for outcome in comparison.outcomes]
    assert kinds == [("linear", "all"), ("network", "all"), ("linear", "procedural"), ("network", "procedural")]
    linear, network, *procedural = comparison.outcomes
    assert linear.auc is not None and not linear.not_run
    assert network.auc is None and network.not_run == NEEDS
    assert all("all frames of blurred are procedural" in outcome.not_run for outcome in procedural)


def test_procedural_frames_are_judged_apart():
    """Half of the frames are copies of the reference's distribution on real plates, half blurred and painted."""
    frames = [*set_of("r", 40, first=500), *set_of("q", 40, first=700, blur=2.2)]
    painted = [False] * 40 + [True] * 40
    mixed = survey_of("mixed", frames, painted=painted)
    real = survey_of("real", set_of("s", 60, first=900), painted=[False] * 60)
    outcomes = compare_surveys(mixed, real, network=NEEDS, seed=0).outcomes
    whole, procedural = outcomes[0].auc, outcomes[2].auc
    assert outcomes[2].num_subject == 120 and procedural.value > 0.9 > whole.value > 0.6


def test_any_learner_takes_part(sets):
    calls = []

    def mean_grain(patches, is_subject, held_out):
        calls.append((len(patches), len(held_out), is_subject.mean()))
        return -np.diff(held_out, axis=2).std(axis=(1, 2)).astype(np.float64)

    outcome = compare_surveys(sets[2], sets[0], network=mean_grain, seed=0).outcomes[1]
    assert outcome.auc.value > 0.65 and outcome.num_subject == outcome.num_reference == 180
    assert len(calls) == 5 and sum(held for _, held, _ in calls) == 360 and all(num + held == 360 for num, held, _ in calls)


def test_exhibits_are_of_different_frames_and_in_order(sets):
    shown = compare_surveys(sets[2], sets[0], network=NEEDS, seed=0).exhibits
    assert len(shown.most_real) == len(shown.least_real) == len(shown.reference) == NUM_EXHIBITS
    assert len(set(shown.most_real_ids)) == len(set(shown.least_real_ids)) == NUM_EXHIBITS
    grain = [np.diff(patches, axis=2).std() for patches in (shown.most_real, shown.least_real)]
    assert grain[0] > grain[1], "the least real of the blurred frames have least grain"


@pytest.mark.parametrize("num", [0, MIN_GROUPS - 1])
def test_too_few_frames_give_a_reason(sets, num):
    few = survey_of("few", set_of("f", num)) if num else survey_of("few", set_of("f", 12, side=40))
    reason = prepare_test(few, sets[0], seed=0)
    assert reason == f"needs target-free 64-px patches of {MIN_GROUPS} unrelated frames, few has {num}"
    outcomes = compare_surveys(sets[0], few, network=NEEDS, seed=0).outcomes
    assert outcomes[0].not_run == reason and outcomes[1].not_run == reason


def test_card_of_odd_sets_is_finite_json():
    """Flat, unlabelled and empty sets: null, never NaN."""
    flat = [Frame(f"flat{number}", np.full((64, 64), 9, np.uint8), 255, None) for number in range(12)]
    odd = survey_of("odd", flat), survey_of("none", []), survey_of("real", set_of("c", 12))
    for subject in odd:
        for reference in odd:
            comparison = compare_surveys(subject, reference, network=NEEDS, seed=0)
            card = realism_card(subject, reference, comparison, 0)
            assert json.loads(json.dumps(card, allow_nan=False)) == card
    alone = realism_card(odd[0], None, None, 0)
    assert alone["reference"] is None and alone["comparison"] is None
    assert alone["subject"]["statistics"]["psd_slope"] == {
        "num": 0, "num_missing": 12, "mean": None, "percentiles": {"5": None, "25": None, "50": None, "75": None, "95": None}
    }  # fmt: skip


def test_card_names_definitions_goals_and_numbers(sets):
    card = realism_card(sets[2], sets[0], compare_surveys(sets[2], sets[0], network=NEEDS, seed=0), 0)
    assert set(card["definitions"]["statistics"]) == set(card["subject"]["statistics"])
    assert all(entry["definition"] for entry in card["definitions"]["statistics"].values())
    area, slope = (card["comparison"]["distances"][name] for name in ("area_px", "psd_slope"))
    assert (area["ks"], area["ks_goal"], area["goal_met"]) == (0.0, 0.1, True)
    assert slope["ks"] > 0.5 and slope["goal_met"] is False
    assert card["subject"]["frames_with_n_targets"] == {"1": 60} and card["subject"]["num_procedural"] == 60
    linear = card["comparison"]["classifiers"][0]
    assert linear["auc_goal"] == 0.75 and linear["goal_met"] is False and len(linear["giveaways"]) == 34


def test_same_seed_same_card(sets):
    cards = [realism_card(sets[0], sets[1], compare_surveys(sets[0], sets[1], network=NEEDS, seed=3), 3) for _ in range(2)]
    assert cards[0] == cards[1]
