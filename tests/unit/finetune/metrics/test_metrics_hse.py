"""HSE-r: the exact rows of its definition, its properties, and other formulas through its config."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from finetune.metrics.hse import THRESHOLDS, HseConfig, HseTally, PixelTerm, TargetTerm
from finetune.metrics.native import NativeTally
from synth.errors import SourceError
from tests.unit.finetune.metrics.frames import boxes, discs

TRUTHS = [discs((64, 64), (16, 12 + 7 * i), *[(48, 20)] * (i % 2)) for i in range(6)]


def result_of(change, truths=TRUTHS, dtype=np.float64, formula=None):
    tally = HseTally(formula)
    for number, truth in enumerate(truths):
        tally.update(np.asarray(change(truth.astype(np.float64)), dtype), truth, f"f{number}")
    return tally.result()


def parts(change, **options):
    result = result_of(change, **options)
    return float(result.pix[0]), float(result.tgt[0]), float(result.value[0])


def test_thresholds_are_the_exact_quotients():
    assert tuple(k / 20 for k in range(1, 20)) == THRESHOLDS and 0.15 in THRESHOLDS and 3 * 0.05 not in THRESHOLDS


def test_exact_rows():
    assert parts(lambda m: m) == (1.0, 1.0, 100.0)
    assert parts(lambda m: 0 * m) == (0.0, 0.0, 0.0)
    for factor, value in ((0.6, 0.525 / 0.9), (0.5, 0.425 / 0.9)):
        assert parts(lambda m, factor=factor: factor * m) == pytest.approx((value, value, 100 * value), abs=1e-12)
    empty = [np.zeros((64, 64), np.bool_)] * 3
    assert parts(lambda m: m, truths=empty) == (1.0, 1.0, 100.0)


def test_measured_rows():
    """Rows of the definition with the same discs: shifts by 1 and 2 px, and a blur of sigma 1."""
    for shift, pix, tgt, value in ((1, 0.444, 0.80, 59.6), (2, 0.238, 0.60, 37.8)):
        got = parts(lambda m, shift=shift: np.roll(m, shift, axis=1))
        assert got == pytest.approx((pix, tgt, value), abs=0.05)
        assert got[1] == pytest.approx(np.mean([r > shift for r in range(1, 6)]))
    pix, tgt, value = parts(lambda m: gaussian_filter(m, 1.0))
    assert (pix, tgt, value) == pytest.approx((0.487, 0.917, 66.8), abs=0.05)


def test_equality_is_strict_in_every_dtype():
    for dtype in (np.float16, np.float32, np.float64):
        assert parts(lambda m: 0.5 * m, dtype=dtype)[0] == pytest.approx(0.425 / 0.9, abs=1e-12)


def test_binary_map_gives_the_mean_of_iou_and_niou():
    native = NativeTally()
    tally = HseTally()
    for number, truth in enumerate(TRUTHS):
        prediction = np.roll(truth, number % 2, axis=0)
        native.update(prediction, truth, str(number))
        tally.update(prediction, truth, str(number))
    scores = native.scores()
    assert tally.result().pix[0] == pytest.approx((scores["iou"][0] + scores["niou"][0]) / 2, abs=1e-15)


def test_a_false_blob_never_raises_it():
    clean = result_of(lambda m: gaussian_filter(m, 0.7))
    for level in (0.04, 0.3, 0.77, 1.0):
        spoilt = result_of(lambda m, level=level: np.maximum(gaussian_filter(m, 0.7), level * boxes((64, 64), (58, 58, 61, 61))))
        assert spoilt.value[0] <= clean.value[0] and spoilt.pix[0] <= clean.pix[0] and spoilt.tgt[0] <= clean.tgt[0]


def test_config_of_one_threshold_is_plain_iou_and_f1():
    formula = HseConfig(thresholds=(0.5,), pixel=PixelTerm(iou=1, niou=0), target=TargetTerm(gates_px=(3,), gate_weights=(1.0,)))
    native, tally = NativeTally(), HseTally(formula)
    for number, truth in enumerate(TRUTHS):
        prediction = np.roll(truth, number % 4, axis=0) * 0.9
        native.update(prediction, truth, str(number))
        tally.update(prediction, truth, str(number))
    counts, result = native.columns(), tally.result()
    num = {name: counts[f"num_{name}"].sum() for name in ("matched", "truth", "predicted")}
    assert result.pix[0] == native.scores()["iou"][0]
    assert result.tgt[0] == 2 * num["matched"] / (num["truth"] + num["predicted"])


def test_combinations_change_only_the_last_step():
    change = lambda m: 0.6 * np.roll(m, 1, axis=0)  # noqa: E731
    base = result_of(change)
    pix, tgt = float(base.pix[0]), float(base.tgt[0])
    expected = {
        "arithmetic": 50 * (pix + tgt),
        "harmonic": 100 * 2 * pix * tgt / (pix + tgt),
        "geometric": 100 * math.sqrt(pix * tgt),
    }
    for kind, value in expected.items():
        other = result_of(change, formula=HseConfig.model_validate({"combine": {"kind": kind}}))
        assert (other.pix[0], other.tgt[0]) == (pix, tgt)
        assert other.value[0] == pytest.approx(value, rel=1e-12)
    assert len({HseConfig.model_validate({"combine": {"kind": kind}}).hash() for kind in expected}) == 3


def test_statistic_pd_and_mean_quadrature():
    formula = HseConfig.model_validate({"quadrature": "mean", "target": {"statistic": "pd"}})
    assert parts(lambda m: m, formula=formula) == (1.0, 1.0, 100.0)
    spoilt = parts(lambda m: np.maximum(m, boxes((64, 64), (58, 58, 61, 61))), formula=formula)
    assert spoilt[1] == 1.0 and spoilt[0] < 1.0, "Pd ignores false blobs"
    assert parts(lambda m: 0.6 * m, formula=formula)[0] == pytest.approx(11 / 19)


@pytest.mark.parametrize(
    "settings",
    [
        {"thresholds": []},
        {"thresholds": [0.5, 0.4]},
        {"thresholds": [0.0, 0.4]},
        {"range": 0},
        {"target": {"gates_px": [2, 1], "gate_weights": [0.5, 0.5]}},
        {"target": {"gates_px": [1, 2]}},
        {"nope": 1},
    ],
)
def test_bad_formulas_are_refused(settings):
    with pytest.raises(ValidationError):
        HseConfig.model_validate(settings)


def test_merge_state_and_weights():
    whole, left, right = HseTally(), HseTally(), HseTally()
    for number, truth in enumerate(TRUTHS):
        prediction = gaussian_filter(truth.astype(np.float32), 0.8)
        for tally in (whole, left if number % 2 else right):
            tally.update(prediction, truth, f"f{number}")
    merged = HseTally.from_state(json.loads(json.dumps(right.state()))).merge(left)
    assert merged.state() == whole.state()
    assert merged.result().value.tolist() == whole.result().value.tolist()
    weights = np.array([[1.0] * 6, [2, 0, 0, 1, 1, 0]])
    subset = HseTally()
    for copy, number in enumerate((0, 0, 3, 4)):
        subset.update(gaussian_filter(TRUTHS[number].astype(np.float32), 0.8), TRUTHS[number], str(copy))
    values = whole.result(weights).value
    assert values[0] == pytest.approx(whole.result().value[0], rel=1e-14)
    assert values[1] == pytest.approx(subset.result().value[0], rel=1e-14)


def test_bad_frames_are_named():
    with pytest.raises(SourceError, match="logits"):
        HseTally().update(np.full((4, 4), 7.0), np.zeros((4, 4), np.bool_), "f")
