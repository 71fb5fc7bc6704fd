"""Imaging: the separable taps are the spectral product of optics, pixel and shift."""

import numpy as np
import pytest

from synth.scene.clutter import power_law_field
from synth.scene.imaging import half_taps, image_canvas, imaging_taps, respond_in_place
from synth.scene.psf import blur_canvas, transfer

FREQUENCIES = np.linspace(0.0, 0.5, 201)


def response(taps: np.ndarray) -> np.ndarray:
    places = np.arange(taps.size) - taps.size // 2
    return (taps[:, None] * np.exp(2j * np.pi * places[:, None] * FREQUENCIES)).sum(axis=0)


@pytest.mark.parametrize("sigma", [0.0, 0.35, 0.45, 0.6, 1.0, 1.7, 2.3, 4.0])
def test_taps_are_the_product_of_the_transfer_functions(sigma: float) -> None:
    error = np.abs(response(imaging_taps(sigma)) - transfer(FREQUENCIES, sigma))
    assert error.max() < 0.025  # worst measured 0.023, at the Nyquist frequency, sigma 0.35
    assert error[FREQUENCIES < 0.4].max() < 0.005  # worst measured 0.0032, sigma 2.3: the tails cut at 4.5 sigma


@pytest.mark.parametrize("sigma", [0.35, 0.6, 1.5])
@pytest.mark.parametrize("shift", [0.5, -0.3, 0.05])
def test_a_shift_delays_and_does_not_blur(sigma: float, shift: float) -> None:
    exact = transfer(FREQUENCIES, sigma) * np.exp(-2j * np.pi * FREQUENCIES * shift)
    error = np.abs(response(imaging_taps(sigma, shift)) - exact)
    assert error[FREQUENCIES < 0.25].max() < 0.01
    assert error[FREQUENCIES < 0.4].max() < 0.03  # half a pixel has no exact kernel near the Nyquist frequency


def test_no_optics_no_pixel_no_shift_is_the_canvas() -> None:
    canvas = np.random.default_rng(0).standard_normal((64, 70)).astype(np.float32)
    taps = imaging_taps(0.0, pixel=False)
    np.testing.assert_allclose(image_canvas(canvas, taps, taps, 10, 12, 40, 44), canvas[10:50, 12:56], atol=1e-6)


def test_it_equals_the_spectral_product_on_clutter() -> None:
    canvas = power_law_field(np.random.default_rng(1), hw=(192, 200), beta=2.4)
    for sigma in (0.45, 1.2):
        taps = imaging_taps(sigma)
        direct = image_canvas(canvas, taps, taps, 16, 16, 160, 168)
        spectral = blur_canvas(canvas, sigma)[16:176, 16:184]
        assert np.abs(direct - spectral).max() < 0.02  # clutter of deviation 1; worst measured 0.012
        assert np.sqrt(np.mean((direct - spectral) ** 2)) < 0.003


def test_clutter_keeps_its_spectrum_times_both_transfer_functions() -> None:
    """White clutter: the spectrum behind the optics is the product of both, within the estimator's error."""
    rng, sigma, side, num = np.random.default_rng(2), 0.55, 128, 24
    taps, power = imaging_taps(sigma), np.zeros((side, side // 2 + 1))
    for _ in range(num):
        canvas = rng.standard_normal((side + 32, side + 32)).astype(np.float32)
        picture = image_canvas(canvas, taps, taps, 16, 16, side, side)
        power += np.abs(np.fft.rfft2(picture)) ** 2 / (num * side * side)
    f_row, f_col = np.abs(np.fft.fftfreq(side)), np.fft.rfftfreq(side)
    expected = (transfer(f_row, sigma)[:, None] * transfer(f_col, sigma)[None, :]) ** 2
    radius = np.hypot(f_row[:, None], f_col[None, :])
    for low in np.arange(0.02, 0.4, 0.04):
        ring = (radius >= low) & (radius < low + 0.04)
        # each of the n coefficients is exponential: relative error 1/sqrt(n * num), 5 sigma; the window leaks 2 % more
        tolerance = 5.0 / np.sqrt(ring.sum() * num) + 0.02
        assert power[ring].mean() == pytest.approx(expected[ring].mean(), rel=tolerance)


def test_reach_and_margin() -> None:
    for sigma in (0.0, 0.5, 2.3, 4.0):
        assert half_taps(sigma) % 2 == 0
        assert half_taps(sigma) >= 4 * sigma
        assert imaging_taps(sigma).size == 2 * half_taps(sigma) + 1
        assert imaging_taps(sigma).sum() == pytest.approx(1.0, abs=1e-6)


def test_response_applies_vignetting_gain_and_offset() -> None:
    frame = np.array([[1.0, 2.0]], np.float32)
    rows, columns = np.array([0.5], np.float32), np.array([0.5, np.sqrt(2.0) - 0.5], np.float32)  # illuminated by 1 and 1/2
    respond_in_place(frame, rows, columns, 100.0, 6000.0)
    assert frame.tolist() == [[6100.0, 6100.0]]
