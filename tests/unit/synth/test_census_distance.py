"""Distances of samples and spectra against scipy and against what can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from synth.census.distance import measure_distance, spectrum_band, spectrum_distance

NAN = float("nan")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("integers", [False, True])
def test_equal_to_scipy(seed, integers):
    rng = np.random.default_rng(seed)
    a, b = rng.gamma(2.0, 5.0, rng.integers(5, 200)), rng.gamma(2.5, 5.0, rng.integers(5, 200))
    if integers:  # ties within and between the samples
        a, b = np.rint(a), np.rint(b)
    found = measure_distance(a, b)
    assert found.ks == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)


def test_shift_and_identity():
    a = np.array([3.0, 1.0, 2.0, 5.0])
    same, moved = measure_distance(a, a.copy()), measure_distance(a, a + 100.0)
    assert (same.ks, same.wasserstein) == (0.0, 0.0)
    assert (moved.ks, moved.wasserstein) == (1.0, 100.0)


def test_missing_values_are_left_out():
    a, b = np.array([1.0, NAN, 2.0, np.inf]), np.array([NAN, 1.5, 4.0])
    assert measure_distance(a, b) == measure_distance(np.array([1.0, 2.0]), np.array([1.5, 4.0]))
    empty = measure_distance(np.array([NAN]), b)
    assert np.isnan([empty.ks, empty.ks_chance, empty.wasserstein]).all()


def test_chance_is_exceeded_in_one_case_of_twenty():
    """400 pairs of equal distributions: 4.2 % expected at 150 and 90 values (the large-sample point is on the safe side),
    standard error 1.0 %; 4 of them. A point for one sample instead of two would give 40 %.
    """
    rng = np.random.default_rng(0)
    pairs = [measure_distance(rng.random(150), rng.random(90)) for _ in range(400)]
    assert 0.002 < np.mean([pair.ks > pair.ks_chance for pair in pairs]) < 0.09


def test_spectra_gain_and_shape():
    frequency = np.linspace(0.0, 1.0, 59)
    curves = np.stack([40.0 - 20.0 * frequency + offset for offset in (-3.0, 0.0, 2.0)])
    louder, tilted = curves + 6.0, curves + 12.0 * (frequency - 0.5)
    assert spectrum_distance(louder, curves).rms_db == pytest.approx(6.0)
    assert spectrum_distance(louder, curves).shape_db == pytest.approx(0.0, abs=1e-12)
    tilt = spectrum_distance(tilted, curves)
    assert tilt.rms_db == pytest.approx(tilt.shape_db) == pytest.approx(12.0 * np.std(frequency))


def test_spectra_of_sets_without_any_are_missing():
    nothing, curves = np.full((3, 59), NAN), np.zeros((2, 59))
    assert np.isnan([spectrum_distance(nothing, curves).rms_db, spectrum_distance(np.empty((0, 59)), curves).shape_db]).all()


def test_bands_leave_out_frames_without_a_value():
    curves = np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN]])
    np.testing.assert_array_equal(spectrum_band(curves, 50.0), [2.0, 5.0, NAN])
