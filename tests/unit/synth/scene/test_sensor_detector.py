"""The detector: order of the chain, what noise may and may not depend on, rails, defects."""

from dataclasses import replace

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene.badpixels import BLINKING, DEAD, HOT, DefectMap, draw_defects
from synth.scene.detector import VirtualCamera, digitise, draw_noise, expose, lag_share, respond
from synth.scene.grain import draw_key
from synth.scene.noise_members import FRESH_TERMS, NOISE_MEMBERS
from synth.scene.presets import SENSOR_PRESETS, SensorConfig, sensor_named
from synth.scene.psf import gaussian_stamp

HW = (96, 128)
UNCOOLED = SENSOR_PRESETS["uncooled_lwir_12um"]
CLEAN = sensor_named("uncooled_lwir_12um", bad_pixels={"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0})
EXACT = sensor_named("cooled_mwir_15um_f4", shot={"exact_poisson": True})
ALL = [*SENSOR_PRESETS.values(), EXACT.model_copy(update={"name": "exact_poisson"})]
SILENT = sensor_named("sirst_like", netd_mk=20.0, gain_dn_per_k=100.0, adc_bits=14, offset_dn=6000.0, noise={"v": 0.0, "h": 0.0})
"""Two raw levels of temporal noise and nothing else, at the presets' gain."""


def camera_of(sensor: SensorConfig, camera_id: int = 0, hw: tuple[int, int] = HW) -> VirtualCamera:
    return VirtualCamera.draw(sensor, hw, rng=keyed_generator(1, Stream.CAMERA, camera_id))


def noise_rng(index: int) -> np.random.Generator:
    return keyed_generator(1, Stream.NOISE, index)


def ramp(sensor: SensorConfig, hw: tuple[int, int] = HW) -> np.ndarray:
    return respond(np.linspace(-3.0, 8.0, hw[0] * hw[1], dtype=np.float32).reshape(hw), sensor)


def with_defects(camera: VirtualCamera, pixels: list[int], kinds: list[int], levels: list[float]) -> VirtualCamera:
    unknown = np.full((len(pixels), 8), -1, np.int64)
    defects = DefectMap(np.array(pixels), np.array(kinds), np.array(levels, float), unknown)
    return replace(camera, defects=defects)


@pytest.mark.parametrize("sensor", ALL, ids=lambda sensor: sensor.name)
def test_same_draws_same_frame(sensor: SensorConfig) -> None:
    first, again = (expose(ramp(sensor), camera_of(sensor), rng=noise_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.raw, again.raw)
    assert first.raw.dtype == np.uint16
    assert first.raw.max() <= sensor.raw_max
    assert (first.raw != expose(ramp(sensor), camera_of(sensor), rng=noise_rng(4)).raw).mean() > 0.5


@pytest.mark.parametrize("sensor", ALL, ids=lambda sensor: sensor.name)
def test_noise_is_the_same_with_and_without_a_target(sensor: SensorConfig) -> None:
    """Outside the target's support not one count changes; replaced defects may look one or two pixels into it."""
    camera, signal = camera_of(sensor), ramp(sensor)
    lit = signal.copy()
    lit[40:61, 50:71] += 900.0 * gaussian_stamp(21, 0.2, -0.1, 1.5, 1.5).astype(np.float32) / 0.07
    bare, seen = (expose(frame, camera, rng=noise_rng(0)).raw.astype(int) for frame in (signal, lit))
    changed = np.argwhere(bare != seen)
    assert changed.min(0).tolist() >= [38, 48]
    assert changed.max(0).tolist() <= [62, 72]
    assert (seen - bare)[50, 60] > 500


@pytest.mark.parametrize("sensor", ALL, ids=lambda sensor: sensor.name)
def test_a_window_is_exposed_under_the_same_noise(sensor: SensorConfig) -> None:
    camera, signal = camera_of(sensor), ramp(sensor)
    noise = draw_noise(camera, rng=noise_rng(7))
    whole = digitise(signal, camera, noise).raw
    for window in ((0, 0, 20, 30), (31, 17, 72, 58), (80, 90, 96, 128)):
        r0, c0, r1, c1 = window
        part = digitise(signal[r0:r1, c0:c1], camera, noise, window).raw
        np.testing.assert_array_equal(part[2:-2, 2:-2], whole[r0 + 2 : r1 - 2, c0 + 2 : c1 - 2])


def test_a_window_must_fit_its_signal() -> None:
    camera = camera_of(UNCOOLED)
    with pytest.raises(ValueError, match=r"signal_dn must have the shape of its window \(10, 10\), got \(9, 10\)"):
        digitise(np.zeros((9, 10), np.float32), camera, draw_noise(camera, rng=noise_rng(0)), (0, 0, 10, 10))


def test_cameras_keep_their_pattern_and_differ_from_each_other() -> None:
    """The mean of 64 frames of a camera is its pattern; another camera's is another. Correlations to 0.03 and 0.1."""
    sensor = sensor_named("uncooled_lwir_12um", nuc_residual_k=0.0, bad_pixels=CLEAN.bad_pixels.model_dump())
    flat = np.full(HW, sensor.offset_dn, np.float32)
    means = [
        np.mean([expose(flat, camera_of(sensor, camera_id), rng=noise_rng(1000 * start + k)).raw for k in range(64)], axis=0)
        for camera_id, start in ((0, 0), (0, 1), (1, 2))
    ]
    camera = camera_of(sensor, 0)
    pattern = (camera.pattern_dn + camera.row_dn + camera.column_dn).ravel()
    # pattern variance 16 * (.4^2 + 2 * .25^2) = 4.56; 64 frames leave 16 / 64 = 0.25 of noise and ~0.005 of rows
    assert np.corrcoef(means[0].ravel(), pattern)[0, 1] == pytest.approx((4.56 / 4.83) ** 0.5, abs=0.03)
    assert np.corrcoef(means[0].ravel(), means[1].ravel())[0, 1] == pytest.approx(4.56 / 4.83, abs=0.03)
    assert abs(np.corrcoef(means[0].ravel(), means[2].ravel())[0, 1]) < 0.25  # rows and columns: few independent values


def test_one_ratio_changes_one_pattern() -> None:
    other = camera_of(sensor_named("uncooled_lwir_12um", noise={"vh": 0.8}))
    camera = camera_of(UNCOOLED)
    np.testing.assert_allclose(other.pattern_dn, 2.0 * camera.pattern_dn, rtol=1e-6)
    np.testing.assert_array_equal(other.row_dn, camera.row_dn)
    np.testing.assert_array_equal(other.gain, camera.gain)
    np.testing.assert_array_equal(other.defects.pixels, camera.defects.pixels)
    assert other.sigma_optics_px == camera.sigma_optics_px


def test_counts_clip_at_the_rails_and_never_wrap() -> None:
    camera = camera_of(CLEAN)
    signal = np.full(HW, 6000.0, np.float32)
    signal[:10], signal[10:30] = -1e6, 1e6
    exposure = expose(signal, camera, rng=noise_rng(0))
    assert exposure.saturated_px == 30 * HW[1]
    shading = np.abs(camera.nuc_dn).max() + 1.0  # the correction comes after the rails
    assert (np.abs(exposure.raw[10:30] - CLEAN.rail_dn) <= shading).all()
    assert exposure.raw[:10].max() <= shading
    assert expose(np.full(HW, 6000.0, np.float32), camera, rng=noise_rng(0)).saturated_px == 0


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_levels_stay_inside_the_adc(bits: int) -> None:
    sensor = sensor_named("sirst_like", adc_bits=bits, offset_dn=100.0, well_fraction=1.0)
    raw = expose(np.linspace(-1e4, 1e5, HW[0] * HW[1], dtype=np.float32).reshape(HW), camera_of(sensor), rng=noise_rng(0)).raw
    assert raw.min() == 0
    assert raw.max() == 2**bits - 1


def test_rounding_is_to_the_nearest_even() -> None:
    camera = camera_of(SILENT, hw=(16, 16))
    noise = draw_noise(camera, rng=noise_rng(0))
    silent = replace(camera, law=camera.law._replace(sigma_dn=0.0))
    half = np.float32([100.5, 101.5, 102.5, 103.49, -0.5, 16383.5] + [0.0] * 10)
    raw = digitise(np.tile(half, (16, 1)), silent, noise).raw[0]
    assert raw[:6].tolist() == [100, 102, 102, 103, 0, 16383]


def test_gain_spread_grows_with_the_distance_from_the_calibration() -> None:
    sensor = SILENT.model_copy(update={"gain_nonuniformity": 0.01})
    camera = camera_of(sensor)
    noise = draw_noise(camera, rng=noise_rng(0))
    at_zero, at_ten, at_twenty = (
        digitise(respond(np.full(HW, k, np.float32), sensor), camera, noise).raw for k in (0.0, 10.0, 20.0)
    )
    ten, twenty = (frame.astype(float) - at_zero for frame in (at_ten, at_twenty))
    assert np.allclose(twenty, 2.0 * ten, atol=2.0)  # two roundings
    assert (ten - 1000.0).std() == pytest.approx(10.0, rel=0.03)  # 1 % of 1000 levels; 12,288 px: 4.7 sigma


def test_correction_residual_is_smooth_and_as_large_as_told() -> None:
    camera = camera_of(SILENT.model_copy(update={"nuc_residual_k": 0.1}))
    assert camera.nuc_dn.std() == pytest.approx(10.0, rel=1e-3)
    assert max(np.abs(np.diff(camera.nuc_dn, axis=axis)).max() for axis in (0, 1)) < 2.0


def test_blur_of_a_camera_lies_in_its_range() -> None:
    low, high = UNCOOLED.sigma_optics_px
    sigmas = [camera_of(UNCOOLED, k, (16, 16)).sigma_optics_px for k in range(50)]
    assert low <= min(sigmas) < max(sigmas) <= high


# defects ------------------------------------------------------------------------------------------------------------


def test_a_hot_pixel_touches_one_pixel() -> None:
    """It comes after optics and noise: no PSF, no neighbour changes."""
    camera, signal = camera_of(CLEAN), ramp(CLEAN)
    spoiled = with_defects(camera, [50 * HW[1] + 60], [HOT], [400.0])
    good, bad = (expose(signal, one, rng=noise_rng(0)).raw.astype(int) for one in (camera, spoiled))
    assert np.argwhere(good != bad).tolist() == [[50, 60]]
    assert (bad - good)[50, 60] == pytest.approx(400, abs=1)


def test_dead_pixels_do_not_see_and_hot_ones_saturate() -> None:
    camera = with_defects(camera_of(CLEAN), [3, 500], [DEAD, HOT], [1234.0, 1e5])
    for kelvin in (0.0, 20.0):
        exposure = expose(respond(np.full(HW, kelvin, np.float32), CLEAN), camera, rng=noise_rng(0))
        assert exposure.raw[0, 3] == 1234
        assert exposure.raw.ravel()[500] == pytest.approx(CLEAN.rail_dn, abs=float(np.abs(camera.nuc_dn).max()) + 1.0)
        assert exposure.saturated_px == 1
    blinding = expose(np.full(HW, 1e6, np.float32), camera, rng=noise_rng(0))
    assert blinding.saturated_px == HW[0] * HW[1] - 1  # all but the stuck one, the hot one once


def test_blinking_pixels_blink() -> None:
    camera = with_defects(camera_of(CLEAN), [200], [BLINKING], [300.0])
    flat = np.full(HW, 6000.0, np.float32)
    plain = camera_of(CLEAN)
    jumps = [
        int(expose(flat, camera, rng=noise_rng(k)).raw.ravel()[200]) - int(expose(flat, plain, rng=noise_rng(k)).raw.ravel()[200])
        for k in range(100)
    ]
    assert all(jump == 0 or abs(jump - 300) <= 1 for jump in jumps)
    assert 30 <= sum(jump > 0 for jump in jumps) <= 70  # 4 binomial sigmas of 100 halves


def test_known_defects_are_replaced_and_missed_ones_stay() -> None:
    rates = {"dead_rate": 2e-3, "hot_rate": 2e-3, "blinking_rate": 0.0, "missed_share": 0.0}
    sensor = sensor_named("uncooled_lwir_12um", bad_pixels=rates, nuc_residual_k=0.0)
    signal = ramp(sensor)
    camera = camera_of(sensor)
    assert camera.defects.pixels.size > 20
    error = np.abs(expose(signal, camera, rng=noise_rng(0)).raw - signal)
    assert error.max() < 8.0 * 4.6 + 100.0 * 11.0 / HW[0]  # noise, and one row of the ramp where neighbours differ
    blind = camera_of(sensor_named("uncooled_lwir_12um", bad_pixels=rates | {"replacement": False}))
    assert np.abs(expose(signal, blind, rng=noise_rng(0)).raw - signal).max() > 500.0


def test_defect_rates_and_clusters() -> None:
    """Poisson numbers around the rate: 4 sigmas over 40 cameras; clusters are connected and never isolate a pixel."""
    sensor = sensor_named("uncooled_lwir_12um")
    rng = np.random.default_rng(3)
    maps = [draw_defects(sensor, (256, 320), rng=rng) for _ in range(40)]
    num = sum(one.pixels.size for one in maps)
    expected = 40 * 256 * 320 * 1e-3
    assert abs(num - expected) < 4.0 * expected**0.5
    by_kind = np.sum([np.bincount(one.kinds, minlength=3) for one in maps], axis=0)
    for kind, share in ((DEAD, 0.4), (HOT, 0.4), (BLINKING, 0.2)):
        assert abs(by_kind[kind] - share * expected) < 4.0 * (share * expected) ** 0.5
    known = np.concatenate([one.neighbours[:, 0] >= 0 for one in maps])
    assert np.mean(~known) == pytest.approx(0.05, abs=4.5 * (0.05 * 0.95 / num) ** 0.5 * 1.6)  # clusters share their fate
    for one in maps:
        assert (np.diff(one.pixels) > 0).all()
        bad = set(one.pixels.tolist())
        assert all(neighbour not in bad for neighbour in one.neighbours[one.neighbours >= 0].tolist())


def test_residual_of_the_presets_is_the_published_one() -> None:
    for name in ("uncooled_lwir_12um", "cooled_mwir_15um_f4"):
        rates = SENSOR_PRESETS[name].bad_pixels
        residual = (rates.dead_rate + rates.hot_rate + rates.blinking_rate) * rates.missed_share
        assert 1e-5 <= residual <= 1e-4  # physics section 2


# lag ----------------------------------------------------------------------------------------------------------------


def test_lag_follows_the_time_constant() -> None:
    assert lag_share(UNCOOLED) == pytest.approx(1.0 - np.exp(-2.0))  # 50 Hz, 10 ms: two time constants a frame
    assert lag_share(SENSOR_PRESETS["cooled_mwir_15um_f4"]) == 1.0


@pytest.mark.parametrize("sensor", ALL, ids=lambda sensor: sensor.name)
def test_the_noise_of_a_frame_is_that_of_the_registry(sensor: SensorConfig) -> None:
    """All terms are drawn in one call: to the bit what the members give one by one, whose variance is tested."""
    camera, rng = camera_of(sensor), noise_rng(3)
    noise = draw_noise(camera, rng=noise_rng(3))
    assert noise.key == draw_key(rng)
    t, tv, th, walk = (NOISE_MEMBERS[name].sample(sensor, 0.0, HW, rng) for name in FRESH_TERMS)
    np.testing.assert_array_equal(noise.row_dn, (camera.row_dn + tv + t)[:, 0])
    np.testing.assert_array_equal(noise.column_dn, (camera.column_dn + th + walk)[0])
