"""Intervals: Wilson, seeds, bootstrap over frames and sequences, noise floor."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.metrics.intervals import (
    bootstrap,
    bootstrap_difference,
    holm,
    noise_floor,
    paired_p,
    seed_interval,
    sign_flip_p,
    wilson,
)
from finetune.metrics.native import NativeTally
from synth.errors import RecipeError
from synth.rng import Stream, keyed_generator
from tests.unit.finetune.metrics.frames import boxes


def rng(index=0):
    return keyed_generator(7, Stream.RESAMPLE, index)


def test_wilson():
    assert wilson(0, 20).low == 0.0 and wilson(20, 20).high == 1.0
    assert wilson(20, 20).low == pytest.approx(20 / (20 + 1.96**2)) and wilson(0, 20).high == pytest.approx(
        1 - 20 / (20 + 1.96**2)
    )
    low, high = wilson(107, 109)  # two misses of NUAA-86
    assert (low, high) == pytest.approx((0.9356, 0.9950), abs=5e-4)
    assert all(math.isnan(bound) for bound in wilson(0, 0))


def test_seed_interval_is_the_t_formula():
    values = [78.1, 77.4, 79.0, 78.6, 77.9]
    half = 2.776445105 * np.std(values, ddof=1) / math.sqrt(5)
    assert seed_interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=1e-7)
    with pytest.raises(RecipeError, match="at least 3 seeds, got 2"):
        seed_interval([1.0, 2.0])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_paired_p_by_hand():
    """Student, two-sided: t = 2.0 with 4 degrees of freedom has p = 0.1161."""
    values = [v + 2.0 * math.sqrt(2.5) / math.sqrt(5) for v in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    assert paired_p(values) == pytest.approx(0.1161, abs=1e-4)
    assert paired_p([0.0] * 3) == 1.0 and paired_p([1.0] * 3) == 0.0
    with pytest.raises(RecipeError, match="at least 3 pairs, got 2"):
        paired_p([1.0, 2.0])


@given(st.lists(st.integers(-5, 5), min_size=8, max_size=9))
def test_sign_flips_are_counted(differences):
    """Against every flip, one by one, in whole numbers."""
    sums = [sum(map(int.__mul__, signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    assert sign_flip_p(differences) == sum(abs(flipped) >= abs(sum(differences)) for flipped in sums) / len(sums)
    assert sign_flip_p([0.1 * d for d in differences]) == sign_flip_p(differences), "ties are ties in floats, too"


def test_sign_flips_need_eight_pairs():
    assert sign_flip_p([1.0] * 7) is None and sign_flip_p([1.0] * 8) == 2 / 256 and sign_flip_p([1.0] * 21) is None


def tally_of(hits):
    """One target a frame, found or not."""
    truth, tally = boxes((12, 12), (5, 5, 7, 7)), NativeTally()
    for number, hit in enumerate(hits):
        tally.update(truth if hit else np.zeros_like(truth), truth, f"f{number:03d}")
    return tally


def test_bootstrap_of_independent_frames_is_the_binomial_one():
    """Pd of 160/200: sd 2.83 points. 2,000 resamples give percentiles within 0.3 points (3 sigma); catches 10 % of width."""
    tally = tally_of([number % 5 != 0 for number in range(200)])
    interval = bootstrap(tally.scores, 200, rng=rng())["pd"]
    assert interval.low == pytest.approx(0.8 - 1.96 * 0.0283, abs=0.006)
    assert interval.high == pytest.approx(0.8 + 1.96 * 0.0283, abs=0.006)
    assert bootstrap(tally.scores, 200, rng=rng()) == bootstrap(tally.scores, 200, rng=rng())


def test_sequences_are_drawn_whole():
    """20 sequences of 10 equal frames carry the information of 20 frames: the interval widens by sqrt(10)."""
    hits = [(number // 10) % 5 != 0 for number in range(200)]
    tally = tally_of(hits)
    single = bootstrap(tally.scores, 200, rng=rng())["pd"]
    whole = bootstrap(tally.scores, 200, rng=rng(), groups=[number // 10 for number in range(200)])["pd"]
    assert whole.half_width / single.half_width == pytest.approx(math.sqrt(10), rel=0.2)
    with pytest.raises(RecipeError, match="200 frames, got 3"):
        bootstrap(tally.scores, 200, rng=rng(), groups=["a", "b", "c"])


def test_paired_difference_is_narrower_than_the_scores():
    """Two methods that differ on 10 of 200 frames, one way: the difference excludes 0, the single intervals overlap."""
    worse, better = ([number % 5 != 0 and number % 20 != 1 for number in range(200)], [number % 5 != 0 for number in range(200)])
    a, b = tally_of(worse), tally_of(better)
    difference = bootstrap_difference(a.scores, b.scores, 200, rng=rng())["pd"]
    assert 0.0 < difference.low < 0.05 < difference.high < 0.1
    assert bootstrap(a.scores, 200, rng=rng())["pd"].high > bootstrap(b.scores, 200, rng=rng())["pd"].low


def test_noise_floor():
    tally = tally_of([number % 5 != 0 for number in range(200)])
    floor = noise_floor(tally.scores, 200, rng=rng())
    assert floor["pd"]["sd"] == pytest.approx(0.0283, rel=0.1)
    assert floor["pd"]["half_width_95"] == pytest.approx(1.96 * 0.0283, rel=0.1)
    assert floor["iou"] == floor["pd"], "each frame is all or nothing"


def test_undefined_scores_have_no_interval():
    tally = NativeTally()
    tally.update(np.zeros((8, 8)), np.zeros((8, 8), np.bool_), "f")
    found = bootstrap(tally.scores, 1, rng=rng())
    assert math.isnan(found["pd"].low) and found["fa"] == (0.0, 0.0)
    assert "pd" not in noise_floor(tally.scores, 1, rng=rng())
