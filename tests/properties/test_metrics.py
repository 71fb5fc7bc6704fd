"""Laws of the metrics that hold for any prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from finetune.metrics import CurveTally, HseTally, LegacyTally, NativeTally
from finetune.metrics.scores import legacy_scores, native_scores

SEEDS = st.integers(0, 2**32 - 1)
TURNS = {
    "flip_rows": np.flipud,
    "flip_cols": np.fliplr,
    "transpose": np.transpose,
    "rot90": np.rot90,
    "rot180": lambda a: np.rot90(a, 2),
}
HEADLINE = ("iou", "niou", "pd", "precision", "recall", "f1", "hiou", "hse_r")


def lattice(rng, hw):
    """Return a map and a mask of single pixels and upright bars, 2 px apart in turn: equal distances everywhere."""
    rows, cols = np.mgrid[: hw[0], : hw[1]]
    mask = (rows % 4 == 1) & (cols % 4 == 0) & (rng.random(hw) < 0.6)
    values = (rows % 4 == 1) & (cols % 4 == 2) & (rng.random(hw) < 0.6)
    bars = values & (rng.random(hw) < 0.4)
    values |= np.roll(bars, 1, axis=0) | np.roll(bars, -1, axis=0)
    return values.astype(np.float32), mask


@st.composite
def frames(draw, most=4):
    """Draw a few frames of any size: a map, binary or of many levels, and a mask; dense enough for conflicts and ties."""
    drawn = []
    for number in range(draw(st.integers(1, most))):
        rng = np.random.default_rng(draw(SEEDS))
        hw = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
        if draw(st.integers(0, 2)) == 0:
            drawn.append((f"f{number}", *lattice(rng, hw)))
            continue
        mask = rng.random(hw) < draw(st.sampled_from([0.0, 0.02, 0.08, 0.3]))
        if draw(st.booleans()):
            values = (rng.random(hw) < draw(st.sampled_from([0.0, 0.02, 0.08, 0.3]))).astype(np.float32)
        else:
            values = np.clip(gaussian_filter(mask.astype(np.float32), 0.6) + 0.6 * rng.random(hw) - 0.2, 0, 1).astype(np.float32)
        drawn.append((f"f{number}", values, mask))
    return drawn


def count(drawn, opdc="released"):
    native, hse, curves = NativeTally(opdc=opdc), HseTally(), CurveTally()
    for frame_id, values, mask in drawn:
        for tally in (native, hse, curves):
            tally.update(values, mask, frame_id)
    return native, hse, curves


def scores_of(drawn, opdc="released"):
    native, hse, _ = count(drawn, opdc)
    return native_scores(native, hse)


@settings(max_examples=120, deadline=None)
@given(frames(), st.sampled_from(sorted(TURNS)), st.sampled_from(["released", "strict"]))
def test_canonical_scores_do_not_depend_on_how_frames_are_turned(drawn, turn, opdc):
    turned = [(frame_id, TURNS[turn](values), TURNS[turn](mask)) for frame_id, values, mask in drawn]
    before, after = (scores_of(entry, opdc).to_dict() for entry in (drawn, turned))
    assert before == after
    points, turned_points = count(drawn)[2].result(), count(turned)[2].result()
    np.testing.assert_array_equal(points.fa, turned_points.fa)
    np.testing.assert_array_equal(points.pd, turned_points.pd)


@settings(max_examples=80, deadline=None)
@given(frames(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_any_order_and_partition_gives_the_same_bits(drawn, random, num_parts):
    whole = count(drawn)
    shuffled = list(drawn)
    random.shuffle(shuffled)
    parts = [count([frame for number, frame in enumerate(shuffled) if number % num_parts == part]) for part in range(num_parts)]
    random.shuffle(parts)
    for kind, expected in enumerate(whole):
        merged = type(expected).from_state(json.loads(json.dumps(parts[0][kind].state())))
        for part in parts[1:]:
            merged.merge(part[kind])
        assert json.dumps(merged.state()) == json.dumps(expected.state())
    merged_native = whole[0].subset(whole[0].ids)
    assert native_scores(merged_native, whole[1]).to_dict() == native_scores(whole[0], whole[1]).to_dict()


@pytest.mark.parametrize("mode", ["basicirstd", "dnanet256", "irsam", "simir"])
@settings(max_examples=20, deadline=None)
@given(drawn=frames(), random=st.randoms(use_true_random=False))
def test_legacy_counts_merge_too(mode, drawn, random):
    shuffled = list(drawn)
    random.shuffle(shuffled)
    whole, left, right = LegacyTally(mode), LegacyTally(mode), LegacyTally(mode)
    for frame_id, values, mask in drawn:
        whole.update(values, mask, frame_id)
    for number, (frame_id, values, mask) in enumerate(shuffled):
        (left, right)[number % 2].update(values, mask, frame_id)
    merged = right.merge(left)
    assert merged.state() == whole.state() and legacy_scores(merged).to_dict() == legacy_scores(whole).to_dict()


@settings(max_examples=60, deadline=None)
@given(frames())
def test_perfect_is_100_and_nothing_is_0(drawn):
    perfect = scores_of([(frame_id, mask.astype(np.float32), mask) for frame_id, _, mask in drawn])
    nothing = scores_of([(frame_id, np.zeros(mask.shape), mask) for frame_id, _, mask in drawn])
    if perfect.num_truth:
        assert {getattr(perfect, name) for name in HEADLINE} == {100.0}
        assert {getattr(nothing, name) for name in HEADLINE if name not in ("niou", "hse_r")} == {0.0}
    assert perfect.fa == nothing.fa == 0.0 and perfect.num_false == 0
    assert nothing.niou == pytest.approx(100.0 * nothing.num_empty / nothing.num_frames)


@settings(max_examples=80, deadline=None)
@given(frames(), st.floats(0.51, 1.0))
def test_a_far_false_blob_raises_nothing_but_false_alarms(drawn, level):
    """A blob in a margin of its own, 7 px from everything else.

    hIoU in its strict reading: the released one assigns every object to some target in stage 1, so in dense scenes one more
    object can change which pairs are found, and raise it.
    """
    padded = [(frame_id, np.pad(v, ((0, 9), (0, 0))), np.pad(m, ((0, 9), (0, 0)))) for frame_id, v, m in drawn]
    spoilt = [(frame_id, values.copy(), mask) for frame_id, values, mask in padded]
    spoilt[0][1][-2:, :2] = level
    before, after = scores_of(padded, "strict"), scores_of(spoilt, "strict")
    for name in HEADLINE:
        old, new = getattr(before, name), getattr(after, name)
        assert np.isnan(old) or new <= old + 1e-12, name
    assert after.fa > before.fa and after.num_false == before.num_false + 1 and after.fppi > before.fppi


@settings(max_examples=60, deadline=None)
@given(frames(), st.floats(0.0, 0.99), st.floats(0.0, 0.99))
def test_recall_falls_and_predicted_area_shrinks_as_the_threshold_rises(drawn, first, second):
    low, high = sorted((first, second))
    tallies = [NativeTally(threshold=threshold) for threshold in (low, high)]
    for frame_id, values, mask in drawn:
        for tally in tallies:
            tally.update(values, mask, frame_id)
    loose, tight = (tally.columns() for tally in tallies)
    assert (tight["tp"] <= loose["tp"]).all() and (tight["fp"] <= loose["fp"]).all() and (tight["fn"] >= loose["fn"]).all()


@settings(max_examples=60, deadline=None)
@given(frames())
def test_pd_grows_with_the_gate(drawn):
    hits = []
    for gate in range(1, 6):
        tally = NativeTally(gate_px=gate)
        for frame_id, values, mask in drawn:
            tally.update(values, mask, frame_id)
        hits.append(tally.columns()["num_matched"])
    assert all((hits[k] <= hits[k + 1]).all() for k in range(4))
    assert (np.minimum(tally.columns()["num_truth"], tally.columns()["num_predicted"]) >= hits[-1]).all()


@settings(max_examples=60, deadline=None)
@given(frames())
def test_scores_lie_in_their_ranges(drawn):
    scores = scores_of(drawn)
    for name in (*HEADLINE, "niou_pos", "seg_iou", "loc_iou", "hse_pix", "hse_tgt"):
        value = getattr(scores, name)
        assert np.isnan(value) or -1e-12 <= value <= 100.0 + 1e-12, name
    assert 0.0 <= scores.fa <= 1e6 and 0.0 <= scores.pixel_fa <= 1e6
    assert np.isnan(scores.iou) or scores.f1 == pytest.approx(200.0 * scores.iou / (100.0 + scores.iou))


@settings(max_examples=40, deadline=None)
@given(frames(most=3), st.floats(0.01, 0.99))
def test_best_pd_grows_with_the_allowed_fa(drawn, share):
    curves = count(drawn)[2].result()
    if np.isnan(curves.pd).any():
        return
    limits = np.array([0.0, share * curves.fa.max(), curves.fa.max(), 1.0])
    best = [curves.best_pd(limit) for limit in limits]
    assert best == sorted(best) and best[-1] == curves.pd.max()
    assert 0.0 <= curves.partial_area() <= 1.0
