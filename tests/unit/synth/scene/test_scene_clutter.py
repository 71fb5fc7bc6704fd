"""Random textures: spectrum, seams and shading."""

import itertools

import numpy as np
import pytest

from synth.scene.clutter import even_fast_length, periodic_field, power_law_field, power_law_profile, smoothstep
from synth.scene.sea import perspective


def radial_slope(field: np.ndarray) -> float:
    """Return minus the log-log slope of the Hann-windowed power spectrum over 0.02-0.25 cycles/px."""
    side = field.shape[0]
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((field - field.mean()) * window * window[:, None])) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(0.02, 0.25, 13)
    rings = [(f >= low) & (f < high) for low, high in itertools.pairwise(edges)]
    level = [np.log(power[ring].mean()) for ring in rings]
    return float(-np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), level, 1)[0])


@pytest.mark.parametrize("beta", [1.8, 2.6, 3.2, 3.6])
def test_spectral_slope_is_as_asked(beta: float) -> None:
    rng = np.random.default_rng(0)
    slopes = [radial_slope(power_law_field(rng, hw=(256, 256), beta=beta, f0=1 / 256)) for _ in range(6)]
    assert np.mean(slopes) == pytest.approx(beta, abs=0.2)  # beta is rounded to 1/8; f0 and window take up to 0.1


@pytest.mark.parametrize("hw", [(64, 64), (65, 201), (300, 128)])
def test_field_is_standardised_at_any_size(hw: tuple[int, int]) -> None:
    field = power_law_field(np.random.default_rng(1), hw=hw, beta=3.0)
    assert field.shape == hw
    assert field.dtype == np.float32
    assert abs(float(field.mean(dtype=np.float64))) < 1e-4
    assert float(field.std(dtype=np.float64)) == pytest.approx(1.0, abs=1e-4)


def test_opposite_borders_do_not_match() -> None:
    rng = np.random.default_rng(2)
    fields = [power_law_field(rng, hw=(128, 128), beta=3.5) for _ in range(30)]
    seam = np.mean([np.abs(field[0] - field[-1]).mean() for field in fields])
    neighbour = np.mean([np.abs(field[0] - field[1]).mean() for field in fields])
    assert seam > 5.0 * neighbour


def test_periodic_field_is_seamless() -> None:
    tile = periodic_field(np.random.default_rng(3), hw=(96, 96), beta=3.5, f0=1 / 64)
    seam = np.abs(tile[0] - tile[-1]).mean()
    assert seam < 2.0 * np.abs(tile[0] - tile[1]).mean()


def test_stretch_elongates_along_its_direction() -> None:
    rng = np.random.default_rng(4)
    field = power_law_field(rng, hw=(256, 256), beta=2.5, stretch=4.0, turns=0.0)
    along, across = np.abs(np.diff(field, axis=1)).mean(), np.abs(np.diff(field, axis=0)).mean()
    assert across > 1.5 * along
    turned = power_law_field(rng, hw=(256, 256), beta=2.5, stretch=4.0, turns=0.25)
    assert np.abs(np.diff(turned, axis=1)).mean() > 1.5 * np.abs(np.diff(turned, axis=0)).mean()


def test_profile_is_standardised() -> None:
    profile = power_law_profile(np.random.default_rng(5), length=301, beta=2.5, f0=1 / 200)
    assert profile.shape == (301,)
    assert float(profile.std()) == pytest.approx(1.0, abs=1e-3)


def test_smoothstep_runs_from_zero_to_one() -> None:
    step = smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32), 0.0, 1.0)
    np.testing.assert_array_equal(step, np.array([0.0, 0.0, 0.5, 1.0, 1.0], np.float32))


def test_even_fast_length_is_even_and_long_enough() -> None:
    assert all(even_fast_length(n) >= n and even_fast_length(n) % 2 == 0 for n in range(64, 400))


def test_perspective_shrinks_towards_the_horizon() -> None:
    tile = periodic_field(np.random.default_rng(6), hw=(256, 256), beta=2.5, f0=1 / 32)
    surface = perspective(tile, 256, 256, 0.0, 0.2)
    far, near = surface[5:60], surface[-55:]
    assert np.abs(np.diff(far, axis=1)).mean() > 1.2 * np.abs(np.diff(near, axis=1)).mean()
