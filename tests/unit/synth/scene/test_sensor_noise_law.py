"""One law over every noise term of every sensor: measured variance = declared variance."""

import math

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene.detector import VirtualCamera, expose
from synth.scene.noise_members import NOISE_MEMBERS, NoiseMember, noise_sigma_dn
from synth.scene.presets import SENSOR_PRESETS, SensorConfig, sensor_named
from synth.scene.walk import walk_along

EXACT = sensor_named("cooled_mwir_15um_f4", name="exact_poisson", shot={"exact_poisson": True})
SENSORS = {**SENSOR_PRESETS, EXACT.name: EXACT}
NO_DEFECTS = {"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0}
DRAWS = {"pixel": (60, (48, 64)), "row": (500, (64, 2)), "column": (500, (2, 64)), "frame": (6000, (1, 2))}


def mean_squares(member: NoiseMember, sensor: SensorConfig, level_dn: float) -> np.ndarray:
    num, hw = DRAWS[member.axis]
    rng = np.random.default_rng(11)
    draws = (member.sample(sensor, level_dn, hw, rng).astype(np.float64) for _ in range(num))
    return np.array([(draw * draw).mean() for draw in draws])


@pytest.mark.parametrize("name", SENSORS)
@pytest.mark.parametrize("member", NOISE_MEMBERS.values(), ids=NOISE_MEMBERS)
def test_measured_variance_is_the_declared(member: NoiseMember, name: str) -> None:
    """The error is that of the draws themselves, so correlated terms are judged fairly.

    4.5 standard errors: of white pixel terms 1.5 %, row and column terms 4 %, the frame term 8 % would show; among 88
    cases one fails by chance in 1,700 runs.
    """
    sensor = SENSORS[name]
    level_dn = sensor.offset_dn + 2000.0
    squares, declared = mean_squares(member, sensor, level_dn), member.variance(sensor, level_dn)
    error = squares.std() / math.sqrt(squares.size)
    assert abs(squares.mean() - declared) <= 4.5 * error + 1e-3 * declared


@pytest.mark.parametrize("member", NOISE_MEMBERS.values(), ids=NOISE_MEMBERS)
def test_samples_have_the_shape_of_their_axis(member: NoiseMember) -> None:
    sample = member.sample(SENSORS["uncooled_lwir_12um"], 7000.0, (5, 7), np.random.default_rng(0))
    assert sample.shape == {"pixel": (5, 7), "row": (5, 1), "column": (1, 7), "frame": (1, 1)}[member.axis]
    assert sample.dtype == np.float32


@pytest.mark.parametrize("name", ["uncooled_lwir_12um", "cooled_mwir_15um_f4", "space_staring", EXACT.name])
def test_a_flat_frame_carries_the_sum_of_the_terms(name: str) -> None:
    """Over cameras and frames, the spread inside a frame is that of all terms but the frame's level."""
    sensor = sensor_named("cooled_mwir_15um_f4" if name == EXACT.name else name, bad_pixels=NO_DEFECTS, nuc_residual_k=0.0)
    if name == EXACT.name:
        sensor = sensor.model_copy(update={"shot": EXACT.shot})
    hw, level_dn = (96, 96), sensor.offset_dn + 1500.0
    flat = np.full(hw, level_dn, np.float32)
    variances = []
    for camera_id in range(40):
        camera = VirtualCamera.draw(sensor, hw, rng=keyed_generator(3, Stream.CAMERA, camera_id))
        variances.append(expose(flat, camera, rng=keyed_generator(3, Stream.NOISE, camera_id)).raw.var())
    error = np.std(variances) / math.sqrt(len(variances))
    declared = noise_sigma_dn(sensor, level_dn) ** 2
    in_mean = declared - sensor.sigma_tvh_dn**2 * 0.9  # row and column means move less than their whole variance
    assert abs(np.mean(variances) - declared) < 4.0 * error + 0.03 * in_mean


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", ["cooled_mwir_15um_f4", "space_staring"])
def test_photon_transfer_slope(name: str, exact: bool) -> None:
    """Temporal variance against mean is a line of slope 1 / gain_e_per_dn that starts from dark and read noise.

    Differences of two frames of one camera take the fixed pattern out; 8 levels of 2 x 16,384 px give the slope to about
    0.7 % (photon-limited) by weighted least squares; 4 standard errors.
    """
    quiet = dict.fromkeys(("t", "tv", "th", "column_walk"), 0.0)
    sensor = sensor_named(name, shot={"exact_poisson": exact}, noise=quiet, bad_pixels=NO_DEFECTS, nuc_residual_k=0.0)
    hw = (128, 128)
    camera = VirtualCamera.draw(sensor, hw, rng=keyed_generator(5, Stream.CAMERA, 0))
    shot = sensor.shot
    electrons_at_zero = shot.background_e - sensor.offset_dn * shot.gain_e_per_dn
    levels = np.linspace(sensor.offset_dn - 0.9 * shot.background_e / shot.gain_e_per_dn, 15500.0, 8)
    means, variances = np.empty(8), np.empty(8)
    for k, level in enumerate(levels):
        flat = np.full(hw, level, np.float32)
        one, two = (expose(flat, camera, rng=keyed_generator(5, Stream.NOISE, 2 * k + n)).raw.astype(float) for n in (0, 1))
        means[k], variances[k] = 0.5 * (one + two).mean(), 0.5 * (one - two).var() - 1.0 / 12.0
    errors = variances * math.sqrt(2.0 / (hw[0] * hw[1]))
    (slope, intercept), covariance = np.polyfit(means, variances, 1, w=1.0 / errors, cov="unscaled")
    assert abs(slope * shot.gain_e_per_dn - 1.0) < 4.0 * math.sqrt(covariance[0, 0]) * shot.gain_e_per_dn
    assert math.sqrt(covariance[0, 0]) * shot.gain_e_per_dn < 0.01
    expected = (electrons_at_zero + shot.dark_e + shot.read_e**2) / shot.gain_e_per_dn**2
    assert abs(intercept - expected) < 4.0 * math.sqrt(covariance[1, 1])


def test_thermal_noise_does_not_depend_on_the_level() -> None:
    sensor = SENSORS["uncooled_lwir_12um"]
    member = NOISE_MEMBERS["tvh"]
    assert member.variance(sensor, 0.0) == member.variance(sensor, 15000.0) == pytest.approx(16.0)


def test_walk_falls_as_one_over_f() -> None:
    """The spectrum between 1/128 and 1/8 cycles/column has slope -1 in the mean of 400 profiles; four relaxations ripple."""
    rng = np.random.default_rng(8)
    profiles = np.stack([walk_along(1024, rng=rng) for _ in range(400)])
    power = (np.abs(np.fft.rfft(profiles * np.hanning(1024))) ** 2).mean(0)
    frequency = np.arange(power.size) / 1024
    band = (frequency > 1 / 128) & (frequency < 1 / 8)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.15)


def test_declared_sigma_leaves_out_what_moves_the_whole_frame() -> None:
    sensor = SENSORS["uncooled_lwir_12um"]
    loud = sensor_named("uncooled_lwir_12um", noise={"t": 3.0}, nuc_residual_k=1.0)
    assert noise_sigma_dn(loud, 6000.0) == noise_sigma_dn(sensor, 6000.0)
    ratios = (1.0, 0.4, 0.25, 0.25, 0.1, 0.05, 0.1)
    assert noise_sigma_dn(sensor, 6000.0) == pytest.approx(math.sqrt(16.0 * sum(r * r for r in ratios) + 1.0 / 12.0))
