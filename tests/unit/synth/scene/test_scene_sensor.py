"""Camera: noise, fixed pattern, conversion and view."""

import numpy as np
import pytest

from synth.scene.sensor import RAW_MAX, Camera, convert, draw_camera, fit_view, fixed_pattern, respond, show

CAMERA = Camera(
    sigma_optics_px=0.6,
    netd_mk=40.0,
    column_ratio=0.25,
    row_ratio=0.1,
    shading_kelvin=0.0,
    view_noise_dn=1.0,
    view_span_dn=200.0,
    view_lift=0.5,
)


def test_noise_is_netd_times_responsivity() -> None:
    raw = convert(np.full((256, 256), 5000.0, np.float32), np.random.default_rng(0), CAMERA)
    assert raw.dtype == np.uint16
    assert raw.std() == pytest.approx(4.0, rel=0.02)
    assert raw.mean() == pytest.approx(5000.0, abs=0.1)


def test_conversion_clips_and_never_wraps() -> None:
    levels = np.array([[-500.0, 0.0, 20000.0, 70000.0]], np.float32)
    raw = convert(levels, np.random.default_rng(1), CAMERA)
    assert raw[0, 0] == 0
    assert (raw[0, 2:] == RAW_MAX).all()


def test_fixed_pattern_has_its_column_and_row_strength() -> None:
    pattern = fixed_pattern(np.random.default_rng(2), CAMERA, (512, 640))
    assert pattern.mean(0).std() == pytest.approx(0.25 * 4.0, rel=0.12)
    assert pattern.mean(1).std() == pytest.approx(0.1 * 4.0, rel=0.12)


def test_view_is_monotone_and_rejects_tails() -> None:
    ramp = np.linspace(5000.0, 7000.0, 65536, dtype=np.float32).reshape(256, 256)
    view = fit_view(ramp, CAMERA)
    shown = show(np.arange(RAW_MAX + 1, dtype=np.uint16), view).astype(int)
    assert (np.diff(shown) >= 0).all()
    assert (view.raw_of(255.0) - view.raw_of(55.0)) == pytest.approx(200.0 / view.gain)
    assert view.low == pytest.approx(5010.0, abs=1.5)
    assert view.gain == pytest.approx(200.0 / 1980.0, rel=0.01)


def test_gain_is_bounded_on_flat_scenes() -> None:
    view = fit_view(np.full((64, 64), 6000.0, np.float32), CAMERA)
    assert view.gain * CAMERA.noise_dn == pytest.approx(1.0)


def test_respond_is_linear() -> None:
    kelvin = np.array([[0.0, 1.0, -2.0]], np.float32)
    assert np.diff(respond(kelvin)).ravel() == pytest.approx([100.0, -300.0])


def test_cameras_stay_in_their_ranges() -> None:
    rng = np.random.default_rng(3)
    cameras = [draw_camera(rng) for _ in range(200)]
    assert all(0.45 <= camera.sigma_optics_px < 1.2 and 20.0 <= camera.netd_mk < 60.0 for camera in cameras)
    assert all(camera.noise_dn >= 2.0 for camera in cameras)  # below, quantisation would add over 1 % of noise
