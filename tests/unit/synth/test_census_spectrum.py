"""Spectra of the card: level, slope and direction of fields that are known."""

from __future__ import annotations

import numpy as np
import pytest

from synth.census.spectrum import FREQUENCIES, MIN_WINDOW_PX, Spectrum, measure_spectrum

NUM = 24


def noise(seed, shape=(256, 256), sigma=10.0):
    return np.random.default_rng(seed).normal(100.0, sigma, shape)


def power_law(seed, beta, size=512):
    """A Gaussian field of spectrum f^-beta, cropped to a quarter so that opposite borders do not match."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    draws = rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)
    return 1e3 * np.fft.irfft2(draws * frequency ** (-beta / 2), s=(size, size))[: size // 2, : size // 2]


def test_white_noise_has_its_variance_at_every_frequency_and_no_slope():
    """Means over 24 frames. One frame's band mean scatters by 2.9 %, its slope by 0.062, its anisotropy by 0.29 dB (600
    frames): 5 standard errors here. Caught: a wrong window norm (a factor of 2.7) or half plane counted once (6 %).
    """
    spectra = [measure_spectrum(noise(seed)) for seed in range(NUM)]
    power = np.mean([10.0 ** (s.curve_db / 10.0) for s in spectra], axis=0)
    assert power.mean() == pytest.approx(100.0, rel=5 * 0.029 / NUM**0.5)
    assert power == pytest.approx(np.full(len(FREQUENCIES), 100.0), rel=5 * 0.26 / NUM**0.5)  # 26 % at the lowest frequency
    assert np.mean([s.slope for s in spectra]) == pytest.approx(-0.014, abs=5 * 0.062 / NUM**0.5)
    assert np.mean([s.anisotropy_db for s in spectra]) == pytest.approx(0.0, abs=5 * 0.29 / NUM**0.5)


@pytest.mark.parametrize(("beta", "share", "scatter"), [(1.8, 0.971, 0.033), (2.6, 0.977, 0.023), (3.2, 0.979, 0.019)])
def test_slope_of_a_power_law(beta, share, scatter):
    """Ring k is named k/N though its middle is (k + 0.5)/N, so slopes read 2 to 3 % low (100 frames each); 5 standard errors."""
    slopes = [measure_spectrum(power_law(seed, beta)).slope for seed in range(NUM)]
    assert np.mean(slopes) / beta == pytest.approx(share, abs=5 * scatter / NUM**0.5)


@pytest.mark.parametrize("size", [64, 150, 200])
def test_curves_of_small_frames_lie_on_those_of_large_ones(size):
    """Slope 2.6 through a smaller window: at most 1.04 dB more at 64 px, 0.68 at 150 (200 frames), because the window is
    wider in frequency. Caught: a norm that depends on the size (12 dB at 64 px).
    """
    fields = [power_law(seed, 2.6) for seed in range(2 * NUM)]
    whole, part = (np.mean([measure_spectrum(f[:s, :s]).curve_db for f in fields], axis=0) for s in (256, size))
    inside = np.greater(FREQUENCIES, 3.0 / size)
    assert np.abs(whole - part)[inside].max() < 1.6
    assert np.sqrt(np.mean((whole - part)[inside] ** 2)) < 0.5


def test_only_the_central_square_counts():
    wide = noise(1, (300, 500))
    changed = wide.copy()
    changed[:22], changed[278:], changed[:, :122], changed[:, 378:] = 0.0, 255.0, 255.0, 0.0
    assert_equal(measure_spectrum(changed), measure_spectrum(wide))
    assert_equal(measure_spectrum(wide), measure_spectrum(wide[22:278, 122:378]))


def test_direction_of_stripes_and_of_their_transpose():
    """Column stripes vary along rows: power on the horizontal frequency axis."""
    field = noise(2) + 20.0 * np.random.default_rng(3).standard_normal(256)[None, :]
    along, up = measure_spectrum(field).anisotropy_db, measure_spectrum(np.ascontiguousarray(field.T)).anisotropy_db
    assert along > 15.0
    assert up == pytest.approx(-along, abs=1e-9)


def test_gain_moves_the_curve_and_nothing_else():
    field = noise(4, (200, 170))
    one, two = measure_spectrum(field), measure_spectrum(2.0 * field + 7.0)
    assert two.slope == pytest.approx(one.slope, abs=1e-9)
    assert two.anisotropy_db == pytest.approx(one.anisotropy_db, abs=1e-9)
    assert two.curve_db - one.curve_db == pytest.approx(np.full(len(FREQUENCIES), 20 * np.log10(2.0)), abs=1e-9)


@pytest.mark.parametrize("field", [np.full((256, 256), 9.0), noise(0, (MIN_WINDOW_PX - 1, 256))])
def test_flat_and_small_frames_have_none(field):
    spectrum = measure_spectrum(field)
    assert np.isnan([spectrum.slope, spectrum.anisotropy_db, *spectrum.curve_db]).all()


def test_levels_that_change_along_one_axis_only():
    """Equal rows: what is off the horizontal axis is leakage of the window alone, 90 dB down."""
    field = np.ascontiguousarray(np.broadcast_to(np.random.default_rng(0).normal(0.0, 9.0, 256), (256, 256)))
    spectrum = measure_spectrum(field)
    assert np.isfinite(spectrum.slope) and (np.isnan(spectrum.anisotropy_db) or spectrum.anisotropy_db > 60.0)


def assert_equal(a: Spectrum, b: Spectrum) -> None:
    assert (a.slope, a.anisotropy_db) == (b.slope, b.anisotropy_db)
    np.testing.assert_array_equal(a.curve_db, b.curve_db)
