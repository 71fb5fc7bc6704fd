"""Strata by area and SCR, SCR50."""

from __future__ import annotations

import math

import numpy as np

from finetune.metrics.native import TargetOutcome
from finetune.metrics.strata import by_area, by_scr, scr50
from synth.targets import measure_table
from tests.unit.finetune.metrics.frames import discs


def outcomes(*rows):
    return [TargetOutcome(area, hit, scr) for area, hit, scr in rows]


def test_area_bins():
    strata = by_area(outcomes(*((area, area != 9, math.nan) for area in (1, 4, 5, 9, 10, 25, 26, 80, 81, 500))))
    assert [(s.label, s.num_truth, s.num_matched) for s in strata] == [
        ("1-4 px", 2, 2), ("5-9 px", 2, 1), ("10-25 px", 2, 2), ("26-80 px", 2, 2), ("> 80 px", 2, 2),
    ]  # fmt: skip
    assert strata[1].pd == 0.5 and 0.09 < strata[1].interval.low < strata[1].interval.high < 0.91


def test_scr_bins_take_the_magnitude_and_keep_the_unknown():
    strata = by_scr(outcomes(*((9, True, scr) for scr in (0.0, 0.99, -1.0, 2.0, -4.9, 5.0, 10.0, 300.0, math.nan))))
    assert [(s.label, s.num_truth) for s in strata] == [
        ("0-1", 2), ("1-2", 1), ("2-3", 1), ("3-5", 1), ("5-10", 1), (">= 10", 2), ("unknown", 1),
    ]  # fmt: skip
    empty = by_scr([])
    assert len(empty) == 6 and all(math.isnan(s.pd) and s.num_truth == 0 for s in empty)


def drawn(num, half, slope, seed=0):
    rng = np.random.default_rng(seed)
    scr = np.exp(rng.uniform(math.log(0.5), math.log(20.0), num))
    p = 1.0 / (1.0 + np.exp(-slope * np.log(scr / half)))
    sign = np.where(rng.random(num) < 0.3, -1.0, 1.0)
    return outcomes(*((9, bool(hit), value) for hit, value in zip(rng.random(num) < p, scr * sign, strict=True)))


def test_scr50_recovers_the_truth():
    """4,000 targets, slope 3: the standard error of ln SCR50 is 0.026 (inverse information); 4 sigma, catches 11 %."""
    for half in (1.5, 3.0, 6.0):
        assert abs(math.log(scr50(drawn(4000, half, 3.0)) / half)) < 4 * 0.026


def test_scr50_is_undefined_where_it_says_nothing():
    assert math.isnan(scr50([]))
    assert math.isnan(scr50(outcomes(*((9, True, 1.0 + k) for k in range(50)))))
    assert math.isnan(scr50(outcomes(*((9, k >= 25, 1.0 + k) for k in range(50))))), "separable"
    assert math.isnan(scr50(outcomes(*((9, bool(k % 2), 2.0) for k in range(9))))), "too few"
    falling = [TargetOutcome(t.area_px, not t.is_matched, t.scr) for t in drawn(500, 3.0, 3.0)]
    assert math.isnan(scr50(falling))


def test_scr_of_a_disc_in_noise():
    """Contrast 80 over sigma 8: SCR 10 within 5 %, 3.3 standard errors (sigma of 2,800 px 1.3 %, mean of 197 px 0.7 %).

    An offset changes nothing, scaling only the rounding of levels (0.2 %).
    """
    rng = np.random.default_rng(3)
    disc = discs((71, 71), (35, 35), radius=8)
    base = rng.normal(0.0, 8.0, disc.shape)
    values = []
    for offset, gain in ((60.0, 1.0), (90.0, 1.0), (60.0, 1.5)):
        levels = np.rint(offset + gain * (base + 80.0 * disc)).astype(np.uint8)
        values.append(measure_table(levels, disc.astype(np.uint8), 255)[0, -1])
    assert abs(values[0] / 10.0 - 1.0) < 0.05
    np.testing.assert_allclose(values[1:], values[0], rtol=0.005)
