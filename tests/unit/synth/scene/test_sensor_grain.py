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


@pytest.mark.parametrize(("first", "num"), [(4320, 300), (4321, 300), (4321, 299), (4320, 1), (4321, 1)])
def test_any_stretch_equals_single_draws(first: int, num: int) -> None:
    """Pairs share their bits, so stretches begin and end in the middle of one."""
    out, one = np.empty(num, np.float32), np.empty(1, np.float32)
    grain.fill_normals(out, grain.bench_for(num), KEY.low, KEY.high, np.uint64(first))
    for k in range(num):
        grain.fill_normals(one, grain.bench_for(1), KEY.low, KEY.high, np.uint64(first + k))
        assert out[k] == one[0]


def test_normals_are_those_of_box_and_muller_to_single_precision() -> None:
    """Against the formula in double precision: 3e-7 of the radius measured, which is at most 6.7."""
    num = 20_000
    out = np.empty(2 * num, np.float32)
    grain.fill_normals(out, grain.bench_for(2 * num), KEY.low, KEY.high, np.uint64(0))
    bits = np.array([grain.bits_at(KEY.low, KEY.high, np.uint64(k)) for k in range(num)], np.uint64)
    radius = np.sqrt(-2.0 * np.log(((bits >> np.uint64(33)).astype(np.float64) + 0.5) / 2.0**31))
    word = (bits & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)
    angle = 0.5 * np.pi * (word >> 2) / 2.0**30
    pair = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pair = np.where((word & 1)[:, None] == 1, pair[:, ::-1], pair) * (1 - (word & 2))[:, None] * radius[:, None]
    np.testing.assert_allclose(out.reshape(-1, 2), pair, rtol=0.0, atol=3e-6)


def test_extreme_bits_stay_finite() -> None:
    """The largest and smallest radius: 6.66, and 0 instead of the root of a rounding error below it."""
    bits = np.array([0, 2**64 - 1, 2**63, 2**33 - 1], np.uint64)
    radius, halvings = np.empty(4, np.float32), np.empty(4, np.float32)
    grain._fill_radii(radius, halvings, bits)
    assert radius[0] == pytest.approx(np.sqrt(2.0 * 32.0 * np.log(2.0)), rel=1e-6)
    assert radius[1] == pytest.approx(0.0, abs=4e-4)
    assert radius[2] == pytest.approx(np.sqrt(2.0 * np.log(2.0)), rel=1e-6)


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
