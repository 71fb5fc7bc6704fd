"""Noise with random access: exact distributions, one draw per pixel whatever the rest."""

import math

import numpy as np
import pytest
from scipy import stats

from synth.scene import grain

KEY = grain.GrainKey(np.uint64(0x0123456789ABCDEF), np.uint64(0xFEDCBA9876543210))
NUM = 1_000_000


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    return grain.normal_field((1000, NUM // 1000), 1.0, key=KEY).ravel().astype(np.float64)


def test_moments_are_normal(normals: np.ndarray) -> None:
    # 4 standard errors each: a variance off by 0.6 % or an excess kurtosis of 0.02 would show
    assert abs(normals.mean()) < 4.0 / math.sqrt(NUM)
    assert abs(normals.var() - 1.0) < 4.0 * math.sqrt(2.0 / NUM)
    assert abs((normals**3).mean()) < 4.0 * math.sqrt(15.0 / NUM)
    assert abs((normals**4).mean() - 3.0) < 4.0 * math.sqrt(96.0 / NUM)


@pytest.mark.parametrize("sigmas", [0.5, 1.0, 2.0, 3.0, 3.6541528853610088, 4.0, 4.5])
def test_tails_are_normal(normals: np.ndarray, sigmas: float) -> None:
    expected = NUM * 2.0 * stats.norm.sf(sigmas)
    assert abs(np.count_nonzero(np.abs(normals) > sigmas) - expected) < 4.0 * math.sqrt(expected)


def test_shape_is_normal(normals: np.ndarray) -> None:
    assert stats.kstest(normals[:200_000], "norm").pvalue > 1e-3


def test_neighbours_and_frames_are_independent(normals: np.ndarray) -> None:
    other = grain.normal_field((1000, NUM // 1000), 1.0, key=grain.GrainKey(KEY.low + np.uint64(1), KEY.high))
    for left, right in ((normals[1:], normals[:-1]), (normals[1000:], normals[:-1000]), (normals, other.ravel())):
        assert abs((left * right).mean()) < 4.0 / math.sqrt(NUM)


def test_any_stretch_equals_single_draws() -> None:
    out, scratch = np.empty(300), np.empty(300, np.uint64)
    grain.fill_normals(out, scratch, KEY.low, KEY.high, np.uint64(4321))
    single = [grain.normal_at(KEY.low, KEY.high, np.uint64(4321 + k)) for k in range(300)]
    assert out.tolist() == single


def test_keys_come_from_the_generator() -> None:
    first, again = (grain.draw_key(np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert first != grain.draw_key(np.random.default_rng(6))


@pytest.mark.parametrize("mean", [0.3, 4.0, 9.999, 10.0, 35.0])
def test_poisson_probabilities(mean: float) -> None:
    counts = np.array([grain.poisson_at(mean, KEY.low, KEY.high, np.uint64(k)) for k in range(40_000)])
    top = int(stats.poisson.ppf(0.9995, mean))
    seen = np.bincount(np.minimum(counts, top).astype(int), minlength=top + 1)
    expected = 40_000 * np.append(stats.poisson.pmf(np.arange(top), mean), stats.poisson.sf(top - 1, mean))
    keep = expected > 5.0
    assert stats.chisquare(seen[keep], expected[keep] * seen[keep].sum() / expected[keep].sum()).pvalue > 1e-3


@pytest.mark.parametrize("mean", [1e3, 2e6])
def test_poisson_moments_at_high_counts(mean: float) -> None:
    num = 40_000
    counts = np.array([grain.poisson_at(mean, KEY.low, KEY.high, np.uint64(k)) for k in range(num)])
    scaled = (counts - mean) / math.sqrt(mean)
    assert abs(scaled.mean()) < 4.0 / math.sqrt(num)
    assert abs(scaled.var() - 1.0) < 4.0 * math.sqrt(2.0 / num)
    assert abs((scaled**3).mean() - 1.0 / math.sqrt(mean)) < 4.0 * math.sqrt(15.0 / num)


def test_poisson_of_nothing_is_nothing() -> None:
    assert all(grain.poisson_at(0.0, KEY.low, KEY.high, np.uint64(k)) == 0.0 for k in range(100))
