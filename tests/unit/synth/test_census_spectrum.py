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
    """Mean over 24 frames; the worst of 200 repeats was 0.31 dB off in level and 0.03 in slope. A wrong window norm is 4 dB."""
    spectra = [measure_spectrum(noise(seed)) for seed in range(NUM)]
    level = np.mean([s.curve_db for s in spectra], axis=0)
    assert np.abs(level - 20.0).max() < 0.5  # 10*log10(sigma^2)
    assert np.mean([s.slope for s in spectra]) == pytest.approx(0.0, abs=0.06)
    assert np.mean([s.anisotropy_db for s in spectra]) == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize("beta", [1.8, 2.6, 3.2])
def test_slope_of_a_power_law(beta):
    """Ring k is named k/N though its middle is (k + 0.5)/N, so the slope reads up to 4 % low; one frame scatters by 0.06."""
    slope = np.mean([measure_spectrum(power_law(seed, beta)).slope for seed in range(NUM)])
    assert 0.94 * beta < slope < 1.01 * beta


@pytest.mark.parametrize("size", [64, 150, 200])
def test_curves_of_small_frames_lie_on_those_of_large_ones(size):
    """A power law of slope 2.6 seen through a smaller window; ring names instead of middles would be 1.5 dB off at 64 px."""
    fields = [power_law(seed, 2.6) for seed in range(4 * NUM)]
    whole, part = (np.mean([measure_spectrum(f[:s, :s]).curve_db for f in fields], axis=0) for s in (256, size))
    inside = FREQUENCIES > 3.0 / size  # below, the window's own width blurs a steep spectrum
    assert np.abs(whole - part)[inside].max() < 1.0


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
    """A frame of equal rows: the power off the horizontal axis is window leakage alone."""
    field = np.broadcast_to(np.linspace(0.0, 255.0, 256), (256, 256))
    spectrum = measure_spectrum(field)
    assert np.isfinite(spectrum.slope) and (np.isnan(spectrum.anisotropy_db) or spectrum.anisotropy_db > 30.0)


def assert_equal(a: Spectrum, b: Spectrum) -> None:
    assert (a.slope, a.anisotropy_db) == (b.slope, b.anisotropy_db)
    np.testing.assert_array_equal(a.curve_db, b.curve_db)
