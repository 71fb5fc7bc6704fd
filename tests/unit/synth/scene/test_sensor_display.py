"""From raw to grey: monotone, as steep as told, and the noise of a flat scene stays small."""

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene.denoise import gaussian_taps, noise_kept
from synth.scene.detector import VirtualCamera, expose
from synth.scene.display import MixedAgc, View, fit_view, show
from synth.scene.presets import SENSOR_PRESETS, SensorConfig, sensor_named

RAMP = np.linspace(5000.0, 7000.0, 65536).astype(np.uint16).reshape(256, 256)
LINEAR = sensor_named("stress_low_scr")
PLATEAU = SENSOR_PRESETS["uncooled_lwir_12um"]
EVERY_LEVEL = np.arange(16384, dtype=np.uint16)[None, :]


def view_of(raw: np.ndarray, sensor: SensorConfig, index: int = 0) -> View:
    return fit_view(raw, sensor, rng=keyed_generator(2, Stream.VIEW, index))


def steep(sensor: SensorConfig) -> SensorConfig:
    """Return the sensor with a gain bound that never bites."""
    return sensor_named(sensor.name, agc={"max_noise_dn": (255.0, 255.0)})


def noisy_flat(sensor: SensorConfig) -> np.ndarray:
    clean = sensor_named(sensor.name, bad_pixels={"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0}, nuc_residual_k=0.0)
    camera = VirtualCamera.draw(clean, (128, 128), rng=keyed_generator(2, Stream.CAMERA, 0))
    return expose(np.full((128, 128), clean.offset_dn, np.float32), camera, rng=keyed_generator(2, Stream.NOISE, 0)).raw


@pytest.mark.parametrize("sensor", SENSOR_PRESETS.values(), ids=SENSOR_PRESETS)
def test_every_view_is_monotone(sensor: SensorConfig) -> None:
    for index in range(8):
        for raw in (RAMP, noisy_flat(sensor), np.full((64, 64), 6000, np.uint16)):
            view = view_of(raw, sensor, index)
            assert view.table.shape == (2**sensor.adc_bits,)
            assert (np.diff(view.table.astype(int)) >= 0).all()


def test_linear_slope_is_the_published_formula() -> None:
    """Slope 255 / (P(99.5) - P(0.5)), ends clipped."""
    view = view_of(RAMP, steep(LINEAR))
    shown = show(EVERY_LEVEL, view)[0].astype(float)
    inside = (shown > 0) & (shown < 255)
    slope = np.polyfit(np.flatnonzero(inside), shown[inside], 1)[0]
    assert slope == pytest.approx(255.0 / (0.99 * 2000.0), rel=2e-3)
    assert (show(RAMP, view) == 0).mean() == pytest.approx(0.005, abs=0.003)
    assert (show(RAMP, view) == 255).mean() == pytest.approx(0.005, abs=0.003)


def test_linear_keeps_ratios() -> None:
    """A linear view keeps (a - b) / (c - d) up to rounding."""
    raw = np.random.default_rng(0).normal(6000.0, 300.0, (128, 128)).astype(np.uint16)
    shown = show(raw, view_of(raw, steep(LINEAR))).astype(float)
    inside = (shown > 0) & (shown < 255)
    fit = np.polyfit(raw[inside], shown[inside], 1)
    assert np.abs(shown[inside] - np.polyval(fit, raw[inside])).max() <= 0.75


@pytest.mark.parametrize("name", SENSOR_PRESETS)
def test_noise_of_a_flat_scene_is_bounded(name: str) -> None:
    sensor = SENSOR_PRESETS[name]
    raw = noisy_flat(sensor)
    for index in range(6):
        view = view_of(raw, sensor, index)
        levels = np.flatnonzero((view.table > 0) & (view.table < 255))
        steepest = np.diff(view.table[levels[0] : levels[-1] + 1].astype(float)).max()
        bound = sensor.agc.max_noise_dn[-1] / (sensor.sigma_tvh_dn * noise_kept(sensor.denoise, view.sigma_px))
        assert steepest <= bound + np.ceil(1.0 / sensor.levels_share[0])  # one level of rounding, in steps of what is used
        assert show(raw, view).std() < 1.5 * sensor.agc.max_noise_dn[-1] + 0.5


def test_low_plateau_tends_to_linear_and_a_high_one_equalises() -> None:
    rng = np.random.default_rng(4)
    two_clumps = np.concatenate([rng.normal(5500.0, 30.0, 60000), rng.normal(6500.0, 30.0, 5536)])
    raw = np.rint(two_clumps).astype(np.uint16).reshape(256, 256)
    agc = {"max_noise_dn": (255.0, 255.0)}
    high = view_of(raw, sensor_named(PLATEAU.name, agc=agc | {"plateau_fraction": 1.0}))
    share_below = int(high.table[6000])
    assert share_below == pytest.approx(255.0 * 60000 / 65536, abs=2.0)  # full equalisation: grey levels by population
    low = view_of(raw, sensor_named(PLATEAU.name, agc=agc | {"plateau_fraction": 1e-5}))
    assert int(low.table[6000]) == pytest.approx(127, abs=25)  # one count a bin: by the number of occupied levels
    assert high.kind == low.kind == "plateau"


def test_plateau_gives_no_grey_levels_to_empty_bins() -> None:
    raw = np.where(np.arange(65536) % 2 == 0, 5000, 9000).astype(np.uint16).reshape(256, 256)
    table = view_of(raw, PLATEAU).table
    assert table[5001] == table[8999]


def test_mixed_control_keeps_its_share() -> None:
    sensor = sensor_named("stress_low_scr", agc={"kind": "mixed"})
    assert isinstance(sensor.agc, MixedAgc)
    kinds = [view_of(RAMP[:16, :16], sensor, index).kind for index in range(600)]
    assert abs(kinds.count("plateau") / 600 - 0.3) < 4.0 * (0.21 / 600) ** 0.5


def test_span_and_lift_place_the_scene() -> None:
    sensor = sensor_named("stress_low_scr", agc={"span_dn": (100.0, 100.0), "lift": (0.2, 0.2), "max_noise_dn": (255.0, 255.0)})
    shown = show(RAMP, view_of(RAMP, sensor))
    assert np.percentile(shown, [0.5, 99.5]) == pytest.approx([31.0, 131.0], abs=1.0)


def test_a_view_is_the_same_again() -> None:
    first, again = (view_of(RAMP, SENSOR_PRESETS["sirst_like"], 9) for _ in range(2))
    np.testing.assert_array_equal(first.table, again.table)


@pytest.mark.parametrize(("denoise", "sigma"), [("median3", 0.0), ("gaussian", 0.3), ("gaussian", 0.7), ("gaussian", 1.5)])
def test_denoisers_keep_edges_levels_and_the_stated_share_of_noise(denoise: str, sigma: float) -> None:
    identity = View(np.arange(256).astype(np.uint8), "linear", denoise, sigma)  # type: ignore[arg-type]
    noise = np.rint(np.random.default_rng(1).normal(128.0, 12.0, (300, 300))).astype(np.uint16)
    shown = show(noise, identity).astype(float)
    assert shown.std() / 12.0 == pytest.approx(noise_kept(denoise, sigma), rel=0.03)  # type: ignore[arg-type]
    assert shown.mean() == pytest.approx(128.0, abs=0.25)
    flat = np.full((9, 9), 77, np.uint16)
    np.testing.assert_array_equal(show(flat, identity), flat)


def test_median_takes_out_single_pixels_and_the_kernel_is_a_gaussian() -> None:
    dot = np.full((13, 13), 16, np.uint16)
    dot[6, 6] = 176
    table = np.arange(256).astype(np.uint8)
    assert (show(dot, View(table, "linear", "median3")) == 16).all()
    blurred = show(dot, View(table, "linear", "gaussian", 1.0)).astype(float) - 16.0
    rows, cols = np.mgrid[-6:7, -6:7]
    np.testing.assert_allclose(blurred, 160.0 * np.exp(-0.5 * (rows**2 + cols**2)) / (2.0 * np.pi), atol=0.6)  # rounding: 0.5


def test_a_kernel_of_no_width_changes_nothing() -> None:
    assert gaussian_taps(0.0).tolist() == gaussian_taps(0.1).tolist() == [0] * 5 + [4096] + [0] * 5
    assert all(int(gaussian_taps(sigma).sum()) == 4096 for sigma in (0.2, 0.7, 1.1, 1.5))
    raw = np.random.default_rng(2).integers(0, 65536, (40, 30)).astype(np.uint16)
    table = (np.arange(65536) // 256).astype(np.uint8)
    np.testing.assert_array_equal(show(raw, View(table, "linear", "gaussian", 0.05)), table[raw])


def test_kernel_and_quality_are_drawn_per_frame() -> None:
    sensor = sensor_named("stress_low_scr", denoise="gaussian", denoise_sigma_px=(0.0, 0.5, 1.2), jpeg_quality=(40, 90))
    views = [view_of(RAMP[:16, :16], sensor, index) for index in range(200)]
    sigmas, qualities = np.array([view.sigma_px for view in views]), np.array([view.quality for view in views])
    assert abs((sigmas < 0.5).mean() - 0.5) < 0.12 and sigmas.max() > 1.1, "the middle point is the median"
    assert qualities.min() < 45 and qualities.max() > 85 and len({view.block_origin for view in views}) > 50


def test_a_view_may_use_fewer_grey_levels() -> None:
    """Video range: 219 steps spread over 255, black and white and the order kept."""
    whole, coarse = (
        view_of(RAMP, sensor_named("stress_low_scr", agc={"max_noise_dn": (255.0, 255.0)}, levels_share=(share, share))).table
        for share in (1.0, 219.0 / 255.0)
    )
    assert (len(np.unique(whole)), len(np.unique(coarse))) == (256, 220)
    assert coarse[0] == 0 and coarse[-1] == 255 and (np.diff(coarse.astype(int)) >= 0).all()
    assert np.abs(whole.astype(int) - coarse.astype(int)).max() <= 1, "half a step of 255 / 219"


def test_codec_is_off_unless_asked_for() -> None:
    assert view_of(RAMP, LINEAR).quality is None
    grey, coded = (show(RAMP, view_of(RAMP, sensor)) for sensor in (LINEAR, sensor_named("stress_low_scr", jpeg_quality=80)))
    assert coded.shape == grey.shape
    assert coded.dtype == np.uint8
    assert 0.0 < np.abs(coded.astype(int) - grey).mean() < 3.0
