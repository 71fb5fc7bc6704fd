"""Legacy modes: every row of the table of differences, by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from finetune.metrics.legacy import LEGACY_RULES, LegacyTally
from finetune.metrics.scores import legacy_scores
from synth.errors import RecipeError, SourceError
from tests.unit.finetune.metrics.frames import boxes, points

HW = (64, 64)
MODES = sorted(LEGACY_RULES)


def tally_of(mode, *frames, **options):
    tally = LegacyTally(mode, **options)
    for number, (prediction, truth) in enumerate(frames):
        tally.update(prediction, truth, f"f{number}")
    return tally


def scores_of(mode, *frames, **options):
    return legacy_scores(tally_of(mode, *frames, **options))


def square(side):
    """A frame of the size that every mode takes as fed, with three equal blobs of which one is a target."""
    truth = boxes((side, side), (5, 5, 6, 10))
    return boxes((side, side), (5, 5, 6, 10), (40, 5, 41, 10), (60, 5, 61, 10)), truth


def test_area_in_list_forgives_equal_areas():
    frame = square(256)
    assert scores_of("basicirstd", frame).fa == 1e6 * 10 / 256**2
    for mode in ("dnanet256", "irsam", "simir"):
        scores = scores_of(mode, frame)
        assert scores.fa == 0.0 and scores.num_false == 2 and scores.pd == 100.0


@pytest.mark.parametrize("mode", MODES)
def test_greedy_takes_the_first_object_and_depends_on_the_mirror(mode):
    truth, prediction = points((256, 256), (2, 10), (2, 14)), points((256, 256), (1, 12), (3, 8))
    assert scores_of(mode, (prediction, truth)).pd == 50.0
    assert scores_of(mode, (prediction[::-1], truth[::-1])).pd == 100.0


def test_denominators():
    """False area 4 in each of two frames: own pixels, 256^2 N, 512^2 N, last frame N."""
    blob = boxes((256, 256), (100, 100, 102, 102))
    small = boxes((256, 256), (30, 30, 32, 32))
    frames = ((blob, np.zeros_like(blob)), (small, np.zeros_like(small)))
    assert scores_of("basicirstd", *frames).fa == pytest.approx(1e6 * 8 / (2 * 256**2))
    assert scores_of("dnanet256", *frames).fa == pytest.approx(1e6 * 8 / (2 * 256**2))
    assert scores_of("irsam", *frames).fa == pytest.approx(1e6 * 8 / (2 * 512**2)), "4 times too small on 256x256"
    assert scores_of("simir", *frames).fa == pytest.approx(1e6 * 8 / (2 * 256**2))


def test_simir_divides_by_the_last_frame():
    first, last = boxes((40, 50), (5, 5, 7, 7)), boxes((10, 20), (5, 5, 7, 7))
    scores = scores_of("simir", (first, np.zeros_like(first)), (last, np.zeros_like(last)))
    assert scores.fa == pytest.approx(1e6 * 8 / (2 * 200))
    native_like = scores_of("basicirstd", (first, np.zeros_like(first)), (last, np.zeros_like(last)))
    assert native_like.fa == pytest.approx(1e6 * 8 / 2200)


def test_grey_mask_levels():
    """Level 254 is no target anywhere; it enters the union, except where labels are cast before the IoU."""
    prediction = boxes((256, 256), (10, 10, 12, 14))
    truth = (boxes((256, 256), (10, 10, 12, 12)) * np.uint8(255)) + boxes((256, 256), (10, 12, 12, 14)) * np.uint8(254)
    for mode in MODES:
        scores = scores_of(mode, (prediction, truth))
        assert scores.num_truth == 1
        union = 8 if mode == "irsam" else 8 + 8 - 4  # predicted grey pixels count twice
        assert scores.iou == pytest.approx(100 * 4 / union), mode
        assert scores.recall == pytest.approx(100 * 4 / 8), mode
    below = boxes((256, 256), (10, 12, 12, 14)) * np.uint8(127)
    truth[:, :] = np.where(below, below, truth * (truth == 255))
    assert scores_of("basicirstd", (prediction, truth)).iou == pytest.approx(100 * 4 / 8), "127/255 is below the histogram's 0.5"


@pytest.mark.parametrize("mode", MODES)
def test_empty_frames_score_0(mode):
    empty = np.zeros((256, 256), np.bool_)
    scores = scores_of(mode, (empty, empty))
    assert scores.niou == 0.0 and scores.iou == 0.0 and math.isnan(scores.pd) and "no mask holds a target" in scores.notes[-1]


@pytest.mark.parametrize("mode", MODES)
def test_exactly_half_is_background(mode):
    frame = np.full((256, 256), 0.5, np.float32), np.zeros((256, 256), np.bool_)
    assert scores_of(mode, frame).fa == 0.0


def test_what_the_codes_do_not_compute_is_undefined():
    scores = scores_of("dnanet256", square(256))
    assert all(math.isnan(getattr(scores, name)) for name in ("precision", "f1", "hiou", "hse_r", "niou_pos", "pixel_fa"))


def test_native_frame_is_resized_in_dnanet256_and_said():
    truth = boxes((220, 325), (100, 100, 106, 108))
    scores = scores_of("dnanet256", (truth, truth))
    assert scores.geometry == "resized to 256x256: map bilinear, mask nearest"
    assert scores.notes == ("mode dnanet256: resized to 256x256: map bilinear, mask nearest",)
    assert scores.pd == 100.0 and scores.num_frames == 1
    both = scores_of("dnanet256", (truth, truth), square(256))
    assert both.geometry == "1 of 2 frames resized to 256x256: map bilinear, mask nearest"
    assert scores_of("dnanet256", square(256)).geometry == "native size"
    assert scores_of("basicirstd", (truth, truth)).geometry == "native size"


def test_map_at_the_codes_size_passes_unchanged():
    truth = boxes((220, 325), (100, 100, 120, 130))
    prediction = boxes((256, 256), (116, 79, 140, 102))
    tally = tally_of("dnanet256", (prediction, truth))
    row = tally.row("f0")
    assert row.num_pixels == 256**2 and row.is_resized == 1 and row.num_matched == 1
    assert row.union - row.inter < 0.2 * row.union, "the mask came to the size of the map"


@pytest.mark.parametrize(("side", "judged"), [(512, 512), (384, 384), (256, 256), (300, 512)])
def test_irsam_squares(side, judged):
    frame = square(side)
    assert tally_of("irsam", frame).row("f0").num_pixels == judged**2
    assert tally_of("irsam", frame, irsam_geometry=512).row("f0").num_pixels == 512**2


def test_carried_targets_inflate_the_denominator():
    assert scores_of("dnanet256", square(256), carried_targets=1).pd == 50.0


def test_threshold_only_where_the_code_has_one():
    frame = np.full(HW, 0.4, np.float32), np.ones(HW, np.bool_)
    assert scores_of("basicirstd", frame, threshold=0.3).iou == pytest.approx(100.0)
    with pytest.raises(RecipeError, match=r"threshold must be 0.5 in mode dnanet256, .*, got 0.3"):
        LegacyTally("dnanet256", threshold=0.3)


@pytest.mark.parametrize(
    ("call", "needle"),
    [
        (lambda: LegacyTally("acm"), "mode must be one of native, basicirstd"),
        (lambda: LegacyTally("dnanet256", irsam_geometry=512), "irsam_geometry must be 512 and mode irsam"),
        (lambda: LegacyTally("basicirstd", threshold=1.5), "threshold must be in"),
    ],
)
def test_bad_arguments(call, needle):
    with pytest.raises(RecipeError, match=needle):
        call()


def test_sizes_that_disagree():
    for mode in MODES:
        with pytest.raises(SourceError, match=r"must have the size of its mask, 64x64 px .*, got 60x64"):
            LegacyTally(mode).update(np.zeros((60, 64)), np.zeros(HW, np.bool_), "f")


@pytest.mark.parametrize("mode", MODES)
def test_state_merge_and_order(mode):
    frames = [square(256), (points((256, 256), (9, 9)), points((256, 256), (9, 10))), square(256)]
    whole, parts = tally_of(mode, *frames), [LegacyTally(mode), LegacyTally(mode)]
    for number in (2, 0, 1):
        parts[number % 2].update(*frames[number], f"f{number}")
    merged = LegacyTally.from_state(json.loads(json.dumps(parts[1].state()))).merge(parts[0])
    assert merged.state() == whole.state() and legacy_scores(merged).to_dict() == legacy_scores(whole).to_dict()
