"""Sensors: presets agree with physics, contradictions are named before any work starts."""

import pytest
from pydantic import ValidationError

from synth.errors import RecipeError
from synth.scene.config import SceneConfig
from synth.scene.optics import airy_sigma_px, total_sigma_px
from synth.scene.presets import SENSOR_PRESETS, PhotonShot, SensorConfig, sensor_named

UNCOOLED = SENSOR_PRESETS["uncooled_lwir_12um"]


@pytest.mark.parametrize("name", SENSOR_PRESETS)
def test_presets_are_named_and_survive_a_round_trip(name: str) -> None:
    sensor = SENSOR_PRESETS[name]
    assert sensor.name == name
    assert SensorConfig.model_validate(sensor.model_dump(mode="json")) == sensor
    assert sensor_named(name) == sensor
    assert sensor.sigma_tvh_dn >= 1.99  # below 2 levels, rounding would show


@pytest.mark.parametrize(
    ("name", "wavelength_um", "f_number", "pitch_um"),
    [
        ("uncooled_lwir_12um", 10.0, 1.0, 12.0),
        ("uncooled_lwir_17um_legacy", 10.0, 1.2, 17.0),
        ("cooled_mwir_15um_f4", 4.0, 4.0, 15.0),
        ("cooled_mwir_f5p5", 4.0, 5.5, 15.0),
    ],
)
def test_blur_starts_at_the_diffraction_limit(name: str, wavelength_um: float, f_number: float, pitch_um: float) -> None:
    low, high = SENSOR_PRESETS[name].sigma_optics_px
    limit = airy_sigma_px(wavelength_um=wavelength_um, f_number=f_number, pitch_um=pitch_um)
    assert low - 0.01 <= limit <= high
    assert limit - low < 0.03
    assert SENSOR_PRESETS[name].f_number == f_number


def test_published_blurs() -> None:
    # physics section 3: 0.35 -> 0.45, 0.45 -> 0.53, 0.62 -> 0.68
    assert [round(total_sigma_px(sigma), 2) for sigma in (0.35, 0.448, 0.616)] == [0.45, 0.53, 0.68]


def test_the_fitted_blur_stays_below_the_widths_of_targets_in_all_deciles() -> None:
    scene = SceneConfig(sensor="sirst_like")
    blurs, widths = SENSOR_PRESETS["sirst_like"].sigma_optics_px, scene.targets.sigma_total_px
    assert all(total_sigma_px(blur) <= 1.05 * width for blur, width in zip(blurs, widths, strict=True))
    assert scene.calibrated_on.startswith("sirst-v1") and "split trainval" in scene.calibrated_on


@pytest.mark.parametrize(("name", "netd_mk"), [("cooled_mwir_15um_f4", 20.0), ("cooled_mwir_f5p5", 25.0)])
def test_cooled_netd_follows_from_its_electrons(name: str, netd_mk: float) -> None:
    shot = SENSOR_PRESETS[name].shot
    assert isinstance(shot, PhotonShot)
    assert shot.contrast_per_k is not None
    electrons_per_k = shot.background_e * shot.contrast_per_k
    assert shot.sigma_dn * shot.gain_e_per_dn / electrons_per_k * 1e3 == pytest.approx(netd_mk, rel=0.005)
    assert 1e3 / (shot.background_e**0.5 * shot.contrast_per_k) < netd_mk  # the shot limit alone is lower
    well_e = (SENSOR_PRESETS[name].rail_dn - SENSOR_PRESETS[name].offset_dn) * shot.gain_e_per_dn + shot.background_e
    assert 1e6 < well_e < 1.05e7  # physics section 2


def test_shot_limit_of_physics() -> None:
    shot = PhotonShot(background_e=5e6, read_e=0.0, gain_e_per_dn=1.0)
    assert shot.sigma_dn / (shot.background_e * 0.040) * 1e3 == pytest.approx(11.0, abs=0.2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"netd_mk": -5.0}, "netd_mk must be > 0 mK and finite, got -5"),
        ({"netd_mk": float("nan")}, "netd_mk must be > 0 mK and finite, got nan"),
        ({"netd_mk": 19.0}, "gain_dn_per_k * netd_mk must be >= 2 raw levels"),
        ({"adc_bits": 0}, "adc_bits must be 1..16, got 0"),
        ({"adc_bits": 8}, "offset_dn must be below the saturation level"),
        (
            {"sigma_optics_px": (1.0, 100.0)},
            "sigma_optics_px must give a PSF (6 sigma) no larger than the frame (512 px), got 600",
        ),
        ({"sigma_optics_px": (2.0, 1.0)}, "sigma_optics_px must rise within 0.01..100, got 2, 1"),
        ({"noise": {"vh": -1.0}}, "noise.vh must be greater than or equal to 0, got -1"),
        ({"well_fraction": 0.1}, "offset_dn must be below the saturation level"),
        ({"vignetting": 0.5}, "vignetting must be less than or equal to 0.2, got 0.5"),
        ({"agc": {"kind": "logarithmic"}}, "agc.kind must be one of 'linear', 'plateau', 'mixed', got 'logarithmic'"),
        ({"agc": {"span_dn": (0.0, 300.0)}}, "agc.span_dn must rise within 1..255, got 0, 300"),
        ({"shot": {"kind": "photon"}}, "shot.background_e must be given"),
        ({"ned_mk": 40.0}, "ned_mk must be a field of a sensor"),
    ],
)
def test_faults_are_named(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as fault:
        sensor_named("uncooled_lwir_12um", **overrides)
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"netd_mk": 40.0}, "netd_mk must be 19.98, as the electrons"),
        ({"gain_dn_per_k": 50.0}, "must be"),
        ({"time_constant_ms": 10.0}, "time_constant_ms must be 0 with shot.kind photon, got 10"),
        ({"offset_dn": 1000.0}, "shot.background_e must be <= offset_dn * gain_e_per_dn"),
        ({"shot": {"background_e": 1e4, "read_e": 0.0}}, "shot must give noise of >= 2 raw levels"),
    ],
)
def test_contradictions_of_a_photon_sensor_are_named(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as fault:
        sensor_named("cooled_mwir_15um_f4", **overrides)
    assert message in str(fault.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(RecipeError) as fault:
        sensor_named("uncooled_lwir_12um", netd_mk=-1.0, adc_bits=99)
    assert len(fault.value.faults) == 2


def test_overrides_change_only_what_they_name() -> None:
    changed = sensor_named("uncooled_lwir_12um", netd_mk=60.0, noise={"vh": 0.1})
    assert changed.noise == UNCOOLED.noise.model_copy(update={"vh": 0.1})
    assert changed.sigma_tvh_dn == pytest.approx(6.0)
    assert changed.model_copy(update={"netd_mk": 40.0, "noise": UNCOOLED.noise}) == UNCOOLED


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(RecipeError, match="stress_low_scr, got 'stres'"):
        sensor_named("stres")


def test_sensors_are_frozen() -> None:
    with pytest.raises(ValidationError):
        UNCOOLED.netd_mk = 1.0  # type: ignore[misc]
