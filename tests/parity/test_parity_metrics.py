"""Metrics against literal forms on random scenes, and against values measured independently on real frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from finetune.metrics import CurveTally, HseTally, LegacyTally, NativeTally
from finetune.metrics.matching import match_objects
from finetune.metrics.objects import find_objects
from synth.corpora import open_corpus
from tests.parity.reference_metrics import best_matching, canonical, centroid, components, legacy

SEEDS = st.integers(0, 2**32 - 1)


def scene(rng, hw, num=4):
    """Return a map and a mask with a few small blobs each, some of them close to one another."""
    mask, probability = np.zeros(hw, np.bool_), (0.5 * rng.random(hw)).astype(np.float32)
    for _ in range(rng.integers(0, num)):
        r, c = rng.integers(0, hw[0] - 3), rng.integers(0, hw[1] - 3)
        side = rng.integers(1, 4, 2)
        mask[r : r + side[0], c : c + side[1]] = True
        if rng.random() < 0.8:
            r, c = np.maximum(0, np.array([r, c]) + rng.integers(-2, 3, 2))
            probability[r : r + rng.integers(1, 5), c : c + rng.integers(1, 5)] = 0.9
    for _ in range(rng.integers(0, 2)):
        r, c = rng.integers(0, hw[0]), rng.integers(0, hw[1])
        probability[r : r + 2, c : c + 3] = 0.8
    return probability, mask


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 24), st.integers(1, 24), st.integers(1, 5), st.sampled_from([0.01, 0.03, 0.1]))
def test_matching_is_the_brute_force_optimum(seed, rows, cols, gate, density):
    """Number, total distance (to 1e-3 px) and areas of the best matching over all permutations, up to 5 objects a side."""
    rng = np.random.default_rng(seed)
    truth_map, predicted_map = (rng.random((rows, cols)) < density for _ in range(2))
    truth, predicted = components(truth_map), components(predicted_map)
    if len(truth) > 5 or len(predicted) > 5:
        return
    expected = best_matching(truth, predicted, gate)
    a, b = find_objects(truth_map), find_objects(predicted_map)
    pairs = list(zip(*(indices.tolist() for indices in match_objects(a, b, gate)), strict=True))
    assert len(pairs) == len(expected)

    def total(chosen):
        ends = [(centroid(truth[t]), centroid(predicted[p])) for t, p in chosen]
        return sum(float((x[0] - y[0]) ** 2 + (x[1] - y[1]) ** 2) ** 0.5 for x, y in ends)

    assert total(pairs) == pytest.approx(total(expected), abs=1e-3)
    for objects, side in ((truth, 0), (predicted, 1)):
        assert sum(len(objects[pair[side]]) for pair in pairs) == sum(len(objects[pair[side]]) for pair in expected)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_canonical_scores_are_the_literal_ones(seed):
    rng = np.random.default_rng(seed)
    frames = [scene(rng, tuple(rng.integers(6, 22, 2))) for _ in range(3)]
    if not any(mask.any() for _, mask in frames):
        return
    tally = NativeTally(opdc="strict")
    for number, (probability, mask) in enumerate(frames):
        tally.update(probability, mask, str(number))
    scores = {name: value[0] for name, value in tally.scores().items()}
    for name, value in canonical(*zip(*frames, strict=True)).items():
        assert scores[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("mode", ["basicirstd", "dnanet256", "irsam", "simir"])
@settings(max_examples=40, deadline=None)
@given(SEEDS, st.booleans())
def test_legacy_modes_are_the_named_codes(mode, seed, is_grey):
    """Bit-equal counts: native sizes, squares the codes take as fed, and grey mask levels."""
    rng = np.random.default_rng(seed)
    sizes = [(256, 256), tuple(rng.integers(30, 90, 2).tolist())] if mode != "basicirstd" else [(50, 60), (40, 30)]
    probabilities, masks = [], []
    for hw in sizes:
        probability, mask = scene(rng, hw, num=7)
        levels = mask * np.uint8(255)
        if is_grey:
            levels[mask] = rng.choice(np.array([255, 254, 128, 127, 3], np.uint8), int(mask.sum()))
            levels.flat[0] = 255  # a mask needs one clear pixel
        probabilities.append(probability)
        masks.append(levels)
    if not any((levels == 255).any() for levels in masks):
        return
    tally = LegacyTally(mode)
    for number, (probability, levels) in enumerate(zip(probabilities, masks, strict=True)):
        tally.update(probability, levels, str(number))
    scores = {name: value[0] for name, value in tally.scores().items()}
    try:
        expected = legacy(mode, probabilities, masks)
    except ZeroDivisionError:  # every target vanished in the resize: the code crashes, we say NaN
        assert np.isnan(scores["pd"])
        return
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-14), name


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_curves_and_hse_are_plain_scores_at_every_threshold(seed):
    """The one-pass sweep against labelling and matching each threshold anew, on maps of few and of many levels."""
    rng = np.random.default_rng(seed)
    probability, mask = scene(rng, tuple(rng.integers(6, 24, 2)))
    probability = np.maximum(probability, ndimage.gaussian_filter(mask.astype(np.float32), 0.8))
    if rng.random() < 0.3:
        probability = np.round(probability * 4) / 4
    curve, hse = CurveTally(), HseTally()
    curve.update(probability, mask, "f")
    hse.update(probability, mask, "f")
    curves, row = curve.result(), hse.row("f")
    for k in range(0, 256, 17):
        plain = NativeTally(threshold=k / 256)
        counts = plain.update(probability, mask, "f")
        assert curves.fa[k] == counts.area_unmatched / mask.size
        assert not mask.any() or curves.pd[k] == counts.num_matched / row.num_truth
    for j, threshold in enumerate(hse.formula.thresholds):
        for r, gate in enumerate(hse.formula.target.gates_px):
            counts = NativeTally(threshold=threshold, gate_px=gate).update(probability, mask, "f")
            assert (row.tp[j], row.fp[j], row.fn[j]) == (counts.tp, counts.fp, counts.fn)
            assert (row.num_predicted[j], row.num_matched[j, r]) == (counts.num_predicted, counts.num_matched)


def tophat(levels):
    """Return image minus its opening with 5x5 ones, outside pixels ignored (symmetric padding)."""
    eroded = ndimage.minimum_filter(levels, 5, mode="reflect")
    return np.maximum(levels - ndimage.maximum_filter(eroded, 5, mode="reflect"), 0.0)


def maxmedian(levels):
    """Return image minus the largest of the medians along row, column and diagonals, 5 pixels each."""
    footprints = [np.zeros((5, 5), bool) for _ in range(4)]
    footprints[0][2, :], footprints[1][:, 2] = True, True
    footprints[2][np.arange(5), np.arange(5)], footprints[3][np.arange(5), np.arange(4, -1, -1)] = True, True
    return np.maximum(levels - np.max([ndimage.median_filter(levels, footprint=f, mode="reflect") for f in footprints], 0), 0.0)


RULES = {"adaptive": lambda g: max(0.7 * g.max(), 0.5 * g.std() + g.mean()), "mean10": lambda g: g.mean() + 10 * g.std()}
MEASURED = {  # independently measured on NUDT-SIRST 50_50 test: IoU, nIoU, targets, Fa in three modes, pixel FP, F1, FP objects
    (tophat, "adaptive"): (20.833, 25.729, 741, 166.35, 162.01, 166.24, 134.13, 34.483, 1549),
    (tophat, "mean10"): (33.046, 40.849, 824, 367.66, 357.27, 367.64, 402.43, 49.676, 2289),
    (maxmedian, "adaptive"): (4.222, 6.902, 552, 35.94, 32.20, 35.94, 26.45, 8.102, 1082),
    (maxmedian, "mean10"): (3.903, 6.404, 772, 1322.50, 1038.38, 1322.23, 1291.57, 7.513, 31691),
}


@pytest.mark.real_data
def test_rows_measured_on_real_frames(sirst_data):
    """To the last printed digit: four maps of very different noise, in three modes."""
    corpus = open_corpus(sirst_data / "nudt-sirst", "test")
    names = ("basicirstd", "dnanet256")
    tallies = {key: (NativeTally(), *map(LegacyTally, names)) for key in MEASURED}
    for ref in corpus.frames:
        frame = corpus.read(ref)
        for method in (tophat, maxmedian):
            saliency = method(frame.levels.astype(np.float64))
            for rule, threshold_of in RULES.items():
                for tally in tallies[method, rule]:
                    tally.update(saliency > threshold_of(saliency), frame.mask * np.uint8(255), ref.id)
    for key, expected in MEASURED.items():
        native, basic, dnanet = ({name: float(v[0]) for name, v in tally.scores().items()} for tally in tallies[key])
        columns = tallies[key][0].columns()
        matched, predicted = (int(columns[name].sum()) for name in ("num_matched", "num_predicted"))
        got = (
            100 * native["iou"], 100 * native["niou"], matched, 1e6 * basic["fa"], 1e6 * dnanet["fa"], 1e6 * native["fa"],
            1e6 * native["pixel_fa"], 100 * native["f1"], predicted - matched,
        )  # fmt: skip
        digits = (3, 3, 0, 2, 2, 2, 2, 3, 0)
        rounded = tuple(round(value, digit) for value, digit in zip(got, digits, strict=True))
        assert rounded == pytest.approx(expected, abs=1e-9), key
        assert basic["pd"] == dnanet["pd"] == native["pd"] == matched / 945
