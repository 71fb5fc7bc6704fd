"""Targets by range: what arrives at the sensor is the radiometry, whatever the background, and it is recorded."""

import numpy as np
import pytest
from pydantic import ValidationError

from synth.scene import SceneConfig, SceneFrame
from synth.scene.frame import SceneRenderer
from synth.scene.ranges import RangesConfig, draw_emitter
from synth.scene.target_config import ImpostorRates

POINT = {"levels": {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}}
ONE = POINT | {"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0}
KELVIN = {"kind": "kelvin", "kelvin": (4.0, 4.0)}
BEER = {"kind": "beer", "extinction_per_km": 0.2}
NEAR = {"range_km": (3.0, 3.0), "area_m2": (0.1, 0.1), "ifov_mrad": 0.2, "contrast": KELVIN, "path": BEER}


def render(num: int, ranges: dict[str, object], **values: object) -> list[SceneFrame]:
    config = SceneConfig(
        **({"frame_hw": (96, 96), "impostors": ImpostorRates.none(), "targets": ONE, "ranges": NEAR | ranges} | values)
    )
    renderer = SceneRenderer(config, 8)
    return [renderer.render(index) for index in range(num)]


def test_the_flux_is_the_radiometry() -> None:
    """A / (R*IFOV)^2 * dT * tau * gain * vignetting: 0.1 m^2 at 3 km and 0.2 mrad fills 0.28 px."""
    fluxes = []
    for frame in render(20, {}):
        (target,) = frame.truth.targets
        fluxes.append(target.flux)
        assert target.range_km == 3.0
        assert np.isnan(target.scr_requested)
        assert np.isfinite(target.scr_expected)
        assert np.isnan(target.intensity_w_sr)  # nothing says what a kelvin radiates
    expected = 0.1 / 0.6**2 * 4.0 * np.exp(-0.6) * 100.0
    assert max(fluxes) <= expected * (1.0 + 1e-6)
    assert min(fluxes) >= expected * 0.97  # the preset's vignetting, 3 % in the corner


def test_the_signal_falls_with_range_and_its_ratio_with_it() -> None:
    targets = [t for f in render(60, {"range_km": (2.0, 10.0), "area_m2": (0.05, 0.15)}) for t in f.truth.targets]
    ranges, fluxes = np.array([t.range_km for t in targets]), np.array([t.flux for t in targets])
    assert ranges.min() < 3.0
    assert ranges.max() > 9.0
    share = fluxes * ranges**2 * np.exp(0.2 * ranges) / (4.0 * 100.0 / 0.2**2)  # the area, up to vignetting
    assert (share > 0.05 * 0.97).all()
    assert (share < 0.15 * 1.001).all()


def test_a_table_of_the_fallback_gives_the_same_frames() -> None:
    ends = (1.0, 3.0, 20.0)
    table = {
        "kind": "table",
        "range_km": ends,
        "transmission": tuple(np.exp(-0.2 * r) for r in ends),
        "path_radiance": (0.0,) * 3,
    }
    for a, b in zip(render(4, {}), render(4, {"path": table}), strict=True):
        np.testing.assert_array_equal(a.raw, b.raw)


def test_a_target_before_the_sky_changes_its_sign_with_range() -> None:
    """tau*L_t + L_path - L_b: 0.95 * 33 + 1 > 30.5 near by, 0.3 * 33 + 20 < 30.5 far away."""
    table = {"kind": "table", "range_km": (1.0, 10.0), "transmission": (0.95, 0.3), "path_radiance": (1.0, 20.0)}
    contrast = {"kind": "radiance", "target_radiance": (33.0, 33.0), "background_radiance": 30.5, "radiance_per_k": 0.7}
    sky = {"path": table, "contrast": contrast, "area_m2": (0.02, 0.02)}
    for range_km, polarity in ((1.0, 1), (10.0, -1)):
        for frame in render(5, sky | {"range_km": (range_km, range_km)}):
            (target,) = frame.truth.targets
            assert target.polarity == polarity
            assert target.intensity_w_sr == pytest.approx((33.0 - 30.5) * 0.02)


def test_a_user_table_reaches_the_recipe_with_its_hash(tmp_path) -> None:
    file = tmp_path / "my_path.csv"
    file.write_text("range_km,transmission,path_radiance\n1,0.9,0\n5,0.5,0\n")
    config = RangesConfig(**NEAR | {"path": {"kind": "table", "file": str(file)}})
    file.unlink()
    assert RangesConfig.model_validate_json(config.model_dump_json()) == config
    assert draw_emitter(np.random.default_rng(0), config).flux_kelvin == pytest.approx(
        0.1 / 0.36 * 4.0 * 0.9 * (0.5 / 0.9) ** 0.5
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targets": {}}, "targets.levels must be point alone with ranges"),
        ({"targets": ONE | {"dark_share": 0.1}}, "targets.dark_share must be 0 with ranges"),
        ({"scr": {"mode": "realised"}}, "scr.mode must be expected"),
        ({"ranges": NEAR | {"area_m2": (0.1, 1.0)}}, r"ranges.area_m2 must be <= the pixel's footprint .* 0.36 m\^2"),
        ({"ranges": NEAR | {"range_km": (5.0, 3.0)}}, "ranges.range_km must rise"),
        ({"ranges": NEAR | {"ifov_mrad": 0.0}}, "ifov_mrad"),
        (
            {"ranges": NEAR | {"path": {"kind": "table", "range_km": (1, 2), "transmission": (1, 1), "path_radiance": (0, 0)}}},
            "ranges.range_km must lie within the path table, got 3 km",
        ),
    ],
)
def test_contradictions_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SceneConfig(**({"targets": ONE, "ranges": NEAR} | values))
