"""Curves: every threshold equals a plain score, histograms give exact areas, states add."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from finetune.metrics.curves import Curves, CurveTally, summarise
from finetune.metrics.native import NativeTally
from synth.errors import RefusalError, SourceError
from tests.unit.finetune.metrics.frames import boxes, discs


def frames(num=5, hw=(32, 40), dtype=np.float32):
    for seed in range(num):
        rng = np.random.default_rng(seed)
        truth = discs(hw, *((int(rng.integers(2, hw[0] - 2)), int(rng.integers(2, hw[1] - 2))) for _ in range(seed % 4)))
        noise = gaussian_filter(rng.random(hw), 0.8)
        values = np.clip(0.7 * gaussian_filter(truth.astype(float), 0.7) + noise - noise.mean() + 0.05, 0, 1)
        yield f"f{seed}", values.astype(dtype), truth


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_threshold_is_a_plain_score(dtype):
    tally = CurveTally()
    for frame_id, values, truth in frames(dtype=dtype):
        tally.update(values, truth, frame_id)
    curves = tally.result()
    assert curves.thresholds.tolist() == [k / 256 for k in range(256)]
    for k in range(0, 256, 5):
        plain = NativeTally(threshold=k / 256)
        for frame_id, values, truth in frames(dtype=dtype):
            plain.update(values, truth, frame_id)
        scores = {name: value[0] for name, value in plain.scores().items()}
        assert curves.pd[k] == scores["pd"] and curves.fa[k] == scores["fa"] and curves.iou[k] == scores["iou"], k
        assert curves.num_false[k] == round(scores["fppi"] * len(plain))
        if k:
            above = slice(k * 4, k * 4 + 1)
            assert curves.recall[above] == scores["recall"]


def test_8_bit_levels_are_all_kept():
    """Levels v/255 are above t_k exactly where v/255 > k/256, for every v and k."""
    values = (np.arange(256) / 255.0)[None, :]
    truth = np.zeros((1, 256), np.bool_)
    truth[0, 250] = True
    tally = CurveTally()
    tally.update(values, truth, "f")
    curves = tally.result()
    expected = [(values > k / 256).sum() for k in range(256)]
    num_above = np.round(curves.false_positive_rate[::4] * 255) + curves.recall[::4]
    assert num_above.tolist() == expected


def test_areas_by_hand():
    """Two target pixels scored .9 and .4, three background pixels .6, .4 and 0; the tie at .4 is one point."""
    values, truth = np.array([[0.9, 0.4, 0.6, 0.4, 0.0]]), np.array([[True, True, False, False, False]])
    tally = CurveTally()
    tally.update(values, truth, "f")
    curves = tally.result()
    assert curves.average_precision == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 4)
    assert curves.roc_auc == pytest.approx((1 / 3) * 0.5 + (1 / 3) * 0.75 + (1 / 3) * 1.0)


def test_perfect_map():
    truth = discs((32, 32), (10, 10), (20, 25))
    tally = CurveTally()
    tally.update(truth.astype(np.float32), truth, "f")
    curves = tally.result()
    assert curves.roc_auc == 1.0 and curves.average_precision == 1.0
    assert set(curves.pd.tolist()) == {1.0} and set(curves.fa.tolist()) == {0.0} and set(curves.iou.tolist()) == {1.0}
    figures = summarise(curves)
    assert figures["pd_fa_area"] == 100.0 and set(figures["best_pd_at_fa"].values()) == {100.0}
    assert list(figures["best_pd_at_fa"]) == ["1", "5", "10", "50", "100"]


def curves_of(pd, fa):
    none = np.zeros(0)
    return Curves(none, np.array(pd), np.array(fa), none.astype(np.int64), none, none, none, none, 0.0, 0.0)


def test_partial_area_is_stepwise():
    """Pd 0 below Fa 1e-5, then 0.5 up to 1e-4: half of the two decades at 0.5; a worse point farther out changes nothing."""
    assert curves_of([0.5, 0.2], [1e-5, 5e-5]).partial_area() == pytest.approx(0.25)
    assert curves_of([0.5, 0.9], [0.0, 1.0]).partial_area() == pytest.approx(0.5)
    assert curves_of([0.5], [1e-3]).partial_area() == 0.0
    assert curves_of([0.4, 0.8], [1e-6, 1e-5]).partial_area() == pytest.approx(0.6)
    assert curves_of([0.4, 0.8], [1e-6, 1e-5]).best_pd(0.99e-6) == 0.0


def test_nothing_to_detect():
    tally = CurveTally()
    tally.update(np.zeros((8, 8)), np.zeros((8, 8), np.bool_), "f")
    curves = tally.result()
    assert math.isnan(curves.average_precision) and math.isnan(curves.roc_auc) and np.isnan(curves.pd).all()


def test_merge_and_state():
    whole, parts = CurveTally(), [CurveTally(), CurveTally()]
    for number, (frame_id, values, truth) in enumerate(frames()):
        whole.update(values, truth, frame_id)
        parts[number % 2].update(values, truth, frame_id)
    merged = CurveTally.from_state(json.loads(json.dumps(parts[1].state()))).merge(parts[0])
    assert merged.state() == whole.state() and len(merged) == 5
    with pytest.raises(SourceError, match="in both"):
        merged.merge(parts[1])
    with pytest.raises(RefusalError, match="gate"):
        merged.merge(CurveTally(gate_px=2))
    with pytest.raises(RefusalError, match="kind"):
        CurveTally.from_state(NativeTally().state())
    with pytest.raises(SourceError, match="counted already"):
        whole.update(np.zeros((8, 8)), boxes((8, 8), (1, 1, 2, 2)), "f0")
