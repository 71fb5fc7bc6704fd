"""Optics and pixel: energy, position, transfer functions."""

import numpy as np
import pytest

from synth.scene.psf import blur_canvas, gaussian_stamp, transfer

OFFSETS = [(0.0, 0.0), (0.31, -0.17), (-0.5, 0.49)]


def centroid(stamp: np.ndarray) -> tuple[float, float]:
    half = stamp.shape[0] // 2
    grid = np.arange(stamp.shape[0]) - half
    return float((stamp.sum(1) * grid).sum() / stamp.sum()), float((stamp.sum(0) * grid).sum() / stamp.sum())


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("sigma", [0.35, 0.8, 2.4])
def test_gaussian_keeps_flux_and_centre(offset: tuple[float, float], sigma: float) -> None:
    stamp = gaussian_stamp(31, *offset, sigma, sigma * 1.2)
    assert stamp.sum() == pytest.approx(1.0, abs=1e-6)
    # a pixel grid undersamples the sharpest PSF: its centroid is truly off by up to 0.033 px at sigma 0.35
    assert centroid(stamp) == pytest.approx(offset, abs=0.01 if sigma > 0.5 else 0.035)


@pytest.mark.parametrize(
    ("sigma", "centred", "mean_over_phase"),
    [(0.35, 0.72, 0.52), (0.53, 0.43, 0.35), (0.8, 0.22, 0.20), (1.36, 0.08, 0.08)],
)
def test_energy_in_the_brightest_pixel(sigma: float, centred: float, mean_over_phase: float) -> None:
    assert gaussian_stamp(15, 0.0, 0.0, sigma, sigma).max() == pytest.approx(centred, abs=0.006)
    phases = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 2))
    peaks = [gaussian_stamp(15, row, col, sigma, sigma).max() for row, col in phases]
    assert np.mean(peaks) == pytest.approx(mean_over_phase, abs=0.015)


def test_canvas_blur_is_the_pixel_integrated_gaussian() -> None:
    canvas = np.zeros((64, 64), np.float32)
    canvas[32, 32] = 1.0
    blurred = blur_canvas(canvas, 1.0)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(blurred[17:48, 17:48] - gaussian_stamp(31, 0.0, 0.0, 1.0, 1.0)).max() < 0.002


def test_transfer_is_one_at_zero_and_falls() -> None:
    curve = transfer(np.linspace(0.0, 0.5, 20), 0.6)
    assert curve[0] == 1.0
    assert (np.diff(curve) < 0.0).all()
