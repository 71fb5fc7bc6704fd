"""SceneConfig: defaults of presets, shares that add up, and a named error for every contradiction."""

import numpy as np
import pytest
from pydantic import ValidationError

from synth.scene import SceneConfig
from synth.scene.presets import SENSOR_PRESETS, sensor_named
from synth.scene.target_config import ImpostorRates, ScrConfig, TargetsConfig
from synth.scene.wishes import draw_count, draw_scr


@pytest.mark.parametrize("name", list(SENSOR_PRESETS))
def test_every_preset_makes_a_scene(name: str) -> None:
    config = SceneConfig(sensor=name)
    assert config.resolved_sensor() == SENSOR_PRESETS[name]


def test_a_preset_brings_its_scene_and_the_recipe_wins() -> None:
    space = SceneConfig(sensor="space_staring")
    assert space.regimes == {"space": 1.0}
    assert space.targets.levels.weights == (1.0, 0.0, 0.0, 0.0)
    assert SceneConfig(sensor="space_staring", regimes={"sky": 1.0}).regimes == {"sky": 1.0}
    mixed = SceneConfig(sensor="space_staring", targets={"levels": {"blob": 0.1}, "empty_share": 0.5}).targets
    assert mixed.levels.weights == (1.0, 0.1, 0.0, 0.0) and mixed.empty_share == 0.5
    stress = SceneConfig(sensor="stress_low_scr")
    assert (stress.scr.low, stress.scr.high) == (0.5, 3.0)
    assert SceneConfig(sensor="stress_low_scr", scr={"high": 2.0}).scr == ScrConfig(low=0.5, high=2.0)
    assert SceneConfig(sensor="stress_low_scr", scr=ScrConfig()).scr == ScrConfig()


def test_it_survives_a_round_trip_through_json() -> None:
    config = SceneConfig(sensor="sirst_like", sequence={"length": 8}, plates={"path": "somewhere"})
    assert SceneConfig.model_validate_json(config.model_dump_json()) == config


def test_overrides_reach_the_sensor() -> None:
    config = SceneConfig(sensor_overrides={"netd_mk": 55.0})
    assert config.resolved_sensor().netd_mk == 55.0
    written_out = SceneConfig(sensor=sensor_named("uncooled_lwir_12um", netd_mk=55.0))
    assert written_out.resolved_sensor() == config.resolved_sensor()


def test_counts_follow_their_shares() -> None:
    config, rng = TargetsConfig(), np.random.default_rng(0)
    assert sum(config.count_weights) == pytest.approx(1.0)
    counts = np.array([draw_count(rng, config.count_weights) for _ in range(20_000)])
    for count, share in zip((0, 1, 2, 3, 4, 5), config.count_weights, strict=True):
        sigma = np.sqrt(share * (1.0 - share) / counts.size)
        assert np.mean(counts == count) == pytest.approx(share, abs=4.0 * sigma)  # catches 0.5 % of a share of 0.2
    assert counts.mean() == pytest.approx(config.mean_count, abs=4.0 * counts.std() / np.sqrt(counts.size))


def test_requested_ratios_follow_their_law() -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([draw_scr(rng, ScrConfig(low=1.0, high=20.0)) for _ in range(4_000)])
    assert drawn.min() >= 1.0
    assert drawn.max() <= 20.0
    logs = np.log(drawn) / np.log(20.0)  # uniform in 0..1: its mean has a deviation of 1/sqrt(12 n)
    assert logs.mean() == pytest.approx(0.5, abs=4.0 / np.sqrt(12 * logs.size))
    matched = np.array([draw_scr(rng, ScrConfig(law="match_sirst", low=1.0, high=50.0)) for _ in range(4_000)])
    for (low, high), share in zip(((1, 2), (3, 5), (10, 50)), (0.05, 0.12, 0.57), strict=True):
        expected = share / 0.99
        sigma = np.sqrt(expected * (1.0 - expected) / matched.size)
        assert np.mean((matched >= low) & (matched < high)) == pytest.approx(expected, abs=4.0 * sigma)


def test_rates_of_zero() -> None:
    none = ImpostorRates.none()
    assert all(getattr(none, name) == 0.0 for name in ImpostorRates.model_fields if name != "scr")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"frame_hw": (32, 256)}, "frame_hw"),
        ({"frame_hw": (256, 4096)}, "frame_hw"),
        ({"num_frames": 0}, "num_frames"),
        ({"num_frames": 20_000_000}, "num_frames"),
        ({"num_frame": 4}, "num_frame"),
        ({"sensor": "cooled_swir"}, "sensor must be one of"),
        ({"sensor_overrides": {"netd_mk": -1.0}}, "sensor_overrides: netd_mk must be > 0"),
        ({"sensor_overrides": {"adc_bits": 0}}, "sensor_overrides: adc_bits must be 1..16"),
        ({"sensor": sensor_named("sirst_like"), "sensor_overrides": {"netd_mk": 30.0}}, "sensor_overrides must be empty"),
        ({"sensor_overrides": {"sigma_optics_px": (12.0, 14.0)}, "frame_hw": (64, 64)}, "frame_hw must be >="),
        ({"regimes": {"moon": 1.0}}, "regimes"),
        ({"regimes": {"sky": 0.0}}, "regimes must have a weight"),
        ({"targets": {"one_share": 0.9, "two_share": 0.2}}, r"targets.one_share \+ two_share must be <= 1"),
        ({"targets": {"levels": {"point": 0, "blob": 0, "extended": 0, "group": 0}}}, "targets.levels"),
        ({"targets": {"sigma_total_px": (2.0, 1.0)}}, "targets.sigma_total_px must rise"),
        ({"targets": {"mask_threshold": 1.2}}, "targets.mask_threshold must rise within"),
        ({"targets": {"border_px": 40}, "frame_hw": (64, 64)}, "targets.border_px"),
        ({"scr": {"low": 9.0, "high": 3.0}}, "scr.low must be <= scr.high"),
        ({"scr": {"low": 0.0}}, "scr.low"),
        ({"scr": {"law": "match_sirst", "low": 60.0, "high": 80.0}}, "scr.low and high must overlap"),
        ({"scr": {"high": 1000.0}, "sensor_overrides": {"adc_bits": 13}}, "scr.high must be <= 407, what lies between"),
        (
            {"scr": {"low": 900, "high": 1000}, "targets": {"dark_share": 1.0}, "sensor_overrides": {"offset_dn": 900.0}},
            "scr.high",
        ),
        ({"impostors": {"scr": (5.0, 1.0)}}, "impostors.scr must rise"),
        ({"impostors": {"seam_patch": 5.0}}, "impostors.seam_patch must be <="),
        ({"sequence": {"length": 900}, "num_frames": 100}, "sequence.length must be <= num_frames"),
        ({"sequence": {"reach_px": 0}}, "sequence.reach_px must be > 0"),
        ({"plates": {"path": "x", "span_kelvin": (9.0, 2.0)}}, "plates.span_kelvin must rise"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        SceneConfig(**values)


def test_exact_poisson_cannot_be_realised() -> None:
    shot = {"exact_poisson": True}
    with pytest.raises(ValidationError, match=r"scr.mode must be expected with shot.exact_poisson"):
        SceneConfig(sensor="cooled_mwir_15um_f4", sensor_overrides={"shot": shot}, scr={"mode": "realised"})
