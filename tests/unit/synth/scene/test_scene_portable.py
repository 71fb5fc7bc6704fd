"""The portable functions agree with the standard library to its own accuracy."""

import math

import numpy as np
import pytest

from synth.scene import draws, portable


@pytest.mark.parametrize("x", [-600.0, -40.5, -1.0, -1e-9, 0.0, 0.3, 2.5, 50.0])
def test_exp_matches_the_library(x: float) -> None:
    assert portable.exp(x) == pytest.approx(math.exp(x), rel=2e-14)


def test_exp_ends_in_zero() -> None:
    assert portable.exp(-1e5) == 0.0
    assert portable.exp(-705.0) == pytest.approx(math.exp(-705.0), rel=1e-12)


def test_decay_matches_the_library_to_single_precision() -> None:
    """Worst measured 1e-7 of the value up to 7, 4e-6 at 80: there the argument itself is rounded to 4e-6."""
    arguments = np.linspace(0.0, 80.0, 10_001).astype(np.float32)
    values = arguments.copy()
    portable.decay(values, np.empty_like(values))
    error = np.abs(values / np.exp(-arguments.astype(np.float64)) - 1.0)
    assert error[arguments < 7.0].max() < 3e-7 and error.max() < 1e-5


@pytest.mark.parametrize("x", [1e-9, 0.1, 0.67, 1.0, 1.5, 20.0, 1e6])
def test_log_matches_the_library(x: float) -> None:
    assert portable.log(x) == pytest.approx(math.log(x), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("x", [-7.0, -3.1, -0.2, 0.0, 1e-8, 0.9, 2.0, 5.9, 6.1])
def test_erf_matches_the_library(x: float) -> None:
    assert portable.erf(x) == pytest.approx(math.erf(x), rel=1e-13, abs=1e-16)


def test_cos_sin_match_the_library() -> None:
    for turns in np.linspace(0.0, 1.0, 101):
        angle = 2.0 * math.pi * turns
        assert portable.cos_sin(turns) == pytest.approx((math.cos(angle), math.sin(angle)), abs=1e-14)


def test_sinc_matches_the_library() -> None:
    for x in np.linspace(-1.0, 1.0, 41):
        assert portable.sinc(x) == pytest.approx(float(np.sinc(x)), abs=1e-14)


def test_log_uniform_has_equal_share_per_octave() -> None:
    rng = np.random.default_rng(3)
    values = np.array([draws.log_uniform(rng, 1.0, 16.0) for _ in range(4000)])
    counts, _ = np.histogram(values, [1.0, 2.0, 4.0, 8.0, 16.0])
    assert counts.sum() == 4000
    assert np.abs(counts - 1000).max() < 130  # 4.7 binomial sigmas


def test_weighted_keeps_its_shares_and_never_picks_zero() -> None:
    rng = np.random.default_rng(4)
    counts = np.bincount([draws.weighted(rng, (0.0, 0.7, 0.3)) for _ in range(4000)], minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] / 4000 - 0.7) < 0.035
