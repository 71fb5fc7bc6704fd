"""The canonical counts and scores: the unit cases of the definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from finetune.metrics.native import NativeTally
from finetune.metrics.scores import native_scores
from synth.errors import RecipeError, RefusalError, SourceError
from tests.unit.finetune.metrics.frames import boxes, points

HW = (40, 40)
EMPTY = np.zeros(HW, np.bool_)


def scores_of(*frames, **options):
    tally = NativeTally(**options)
    for number, (prediction, truth) in enumerate(frames):
        tally.update(prediction, truth, f"f{number}")
    return native_scores(tally)


def test_counts_by_hand():
    truth = boxes(HW, (5, 5, 8, 8), (30, 30, 32, 32))
    prediction = boxes(HW, (5, 6, 8, 9), (20, 5, 21, 9))
    scores = scores_of((prediction, truth))
    assert (scores.num_truth, scores.num_matched, scores.num_predicted, scores.num_false) == (2, 1, 2, 1)
    assert scores.iou == 100 * 6 / (6 + 7 + 7) and scores.niou == scores.iou
    assert scores.precision == 100 * 6 / 13 and scores.recall == 100 * 6 / 13 and scores.f1 == 100 * 12 / 26
    assert scores.pd == 50.0 and scores.fa == 1e6 * 4 / 1600 and scores.pixel_fa == 1e6 * 7 / 1600 and scores.fppi == 1.0


def test_equal_areas_are_told_apart():
    """Areas [5, 5, 5], one matched: 10 px are false; the area-in-list rule of published codes says 0."""
    truth = boxes(HW, (5, 5, 6, 10))
    prediction = boxes(HW, (5, 5, 6, 10), (20, 5, 21, 10), (30, 5, 31, 10))
    assert scores_of((prediction, truth)).fa == pytest.approx(1e6 * 10 / 1600)


def test_fa_is_not_the_pixel_rate():
    """Surplus pixels of a matched blob are free; true pixels of a blob 3 px off are false."""
    truth = boxes(HW, (10, 10, 12, 12))
    grown = scores_of((boxes(HW, (9, 9, 13, 13)), truth))
    assert grown.fa == 0.0 and grown.pixel_fa == 1e6 * 12 / 1600
    shifted = scores_of((boxes(HW, (10, 11, 12, 19)), truth))
    assert shifted.pd == 0.0 and shifted.fa == 1e6 * 16 / 1600 and shifted.pixel_fa == 1e6 * 14 / 1600


def test_empty_frames():
    target = boxes(HW, (10, 10, 12, 12))
    assert scores_of((target, target), (EMPTY, EMPTY)).niou == 100.0
    scores = scores_of((target, target), (target, EMPTY))
    assert (scores.niou, scores.niou_pos, scores.num_empty) == (50.0, 100.0, 1)


def test_perfect_and_nothing():
    truth = boxes(HW, (10, 10, 12, 12), (20, 20, 25, 23))
    perfect = scores_of((truth, truth))
    assert {perfect.iou, perfect.niou, perfect.pd, perfect.f1, perfect.hiou, perfect.precision} == {100.0}
    assert perfect.fa == perfect.fppi == perfect.pixel_fa == 0.0
    nothing = scores_of((EMPTY, truth))
    assert {nothing.iou, nothing.niou, nothing.pd, nothing.f1, nothing.hiou, nothing.precision, nothing.fa} == {0.0}


def test_all_ones():
    """One blob over the frame, its centroid far from the target: nothing detected, every pixel false."""
    scores = scores_of((np.ones(HW, np.bool_), boxes(HW, (2, 2, 4, 4))))
    assert (scores.pd, scores.fa, scores.num_false) == (0.0, 1e6, 1)


def test_no_target_at_all_is_said():
    scores = scores_of((EMPTY, EMPTY))
    assert all(math.isnan(getattr(scores, name)) for name in ("iou", "precision", "recall", "f1", "pd", "hiou", "niou_pos"))
    assert scores.niou == 100.0 and scores.fa == 0.0
    assert "no mask holds a target" in scores.notes[0]
    assert scores.to_dict()["pd"] is None
    json.dumps(scores.to_dict(), allow_nan=False)


def test_ragged_sizes_pool_over_true_pixels():
    small, large = boxes((10, 20), (1, 1, 2, 2)), boxes((40, 50), (30, 30, 31, 31))
    scores = scores_of((small, np.zeros_like(small)), (np.zeros_like(large), large))
    assert scores.fa == 1e6 / (200 + 2000) and scores.iou == 0.0 and scores.niou == 0.0


def test_threshold_is_strict_and_gate_is_in_effect():
    truth = points(HW, (10, 10))
    assert scores_of((np.where(truth, 0.5, 0.0), truth)).pd == 0.0
    assert scores_of((np.where(truth, 0.5, 0.0), truth), threshold=0.49).pd == 100.0
    beside = points(HW, (10, 12))
    assert [scores_of((beside, truth), gate_px=gate).pd for gate in (1, 2, 3, 4, 5)] == [0.0, 0.0, 100.0, 100.0, 100.0]


def test_grey_mask_of_254_counts():
    truth = boxes(HW, (10, 10, 12, 12)) * np.uint8(254)
    assert scores_of((truth > 0, truth)).iou == 100.0


def test_targets_carry_area_scr_and_outcome():
    truth = boxes(HW, (5, 5, 8, 8), (30, 30, 32, 32))
    tally = NativeTally()
    tally.update(boxes(HW, (5, 5, 8, 8)), truth, "f", scr=[4.5, np.nan])
    first, second = tally.targets()
    assert (first.area_px, first.is_matched, first.scr) == (9, True, 4.5)
    assert (second.area_px, second.is_matched) == (4, False) and math.isnan(second.scr)


def test_state_is_json_and_comes_back():
    tally = NativeTally(threshold=0.3, gate_px=2, opdc="strict")
    tally.update(boxes(HW, (5, 6, 8, 9)), boxes(HW, (5, 5, 8, 8), (30, 30, 32, 32)), "a", scr=[2.0, np.nan])
    tally.update(EMPTY, EMPTY, "b")
    text = json.dumps(tally.state(), allow_nan=False)
    again = NativeTally.from_state(json.loads(text))
    assert again.state() == tally.state() and native_scores(again) == native_scores(tally)
    with pytest.raises(RefusalError, match="kind 'native'"):
        NativeTally.from_state({"format": 1, "kind": "hse", "config": {}, "frames": {}})


def test_merge_and_subset():
    truth = boxes(HW, (10, 10, 12, 12))
    left, right = NativeTally(), NativeTally()
    left.update(truth, truth, "a")
    right.update(EMPTY, truth, "b")
    merged = left.merge(right)
    assert merged is left and merged.ids == ("a", "b") and native_scores(merged).pd == 50.0
    assert native_scores(merged.subset(["a"])).pd == 100.0
    with pytest.raises(KeyError):
        merged.subset(["nope"])


def test_refused_merges_and_duplicates():
    truth = boxes(HW, (10, 10, 12, 12))
    tally, other = NativeTally(), NativeTally()
    tally.update(truth, truth, "a")
    other.update(truth, truth, "a")
    with pytest.raises(SourceError, match=r"1 frames are in both \('a'\)"):
        tally.merge(other)
    with pytest.raises(RefusalError, match="one config"):
        tally.merge(NativeTally(threshold=0.4))
    with pytest.raises(SourceError, match="'a': was counted already"):
        tally.update(truth, truth, "a")


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        ({"threshold": 1.0}, r"threshold must be in \[0, 1\), got 1.0"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"gate_px": 0}, "gate_px must be a whole number in 1..5, got 0"),
        ({"gate_px": 2.5}, "gate_px must be a whole number"),
        ({"opdc": "loose"}, "opdc must be one of released, strict"),
    ],
)
def test_bad_arguments(options, needle):
    with pytest.raises(RecipeError, match=needle):
        NativeTally(**options)


def test_weights_are_a_recount():
    """Frames that count twice give the scores of a set that holds them twice."""
    truth = boxes(HW, (10, 10, 12, 12), (20, 20, 23, 24))
    frames = [(truth, truth), (boxes(HW, (10, 10, 12, 13)), truth), (EMPTY, EMPTY), (truth, EMPTY)]
    tally, doubled = NativeTally(), NativeTally()
    for number, (prediction, mask) in enumerate(frames):
        tally.update(prediction, mask, f"f{number}")
        for copy in range((2, 0, 1, 3)[number]):
            doubled.update(prediction, mask, f"f{number}-{copy}")
    weighted = tally.scores(np.array([[2.0, 0.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0]]))
    for name, value in doubled.scores().items():
        assert weighted[name][0] == pytest.approx(value[0], rel=1e-15), name
        assert weighted[name][1] == pytest.approx(tally.scores()[name][0], rel=1e-15), name
