"""What was put into a rendered set is found again, within what the calibration says of its own uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from synth.calibrate import fit, shapes
from synth.calibrate.evidence import gather_evidence
from synth.calibrate.fragment import parameter_intervals
from synth.calibrate.measures import NUM_RESAMPLES, TABLE_PERCENTS, measure, measure_set
from synth.calibrate.mixture import frame_features, match_mixture
from synth.calibrate.shapes import as_lists, match_shapes
from synth.calibrate.tables import FOLLOWERS, follow, value_at, with_value
from synth.scene.config import SceneConfig
from tests.support.builders import frame_of, scene
from tests.unit.synth.calibrate.test_calibrate_readings import frame_set

QUIET = {
    "name": "put_in", "frame_hw": (256, 256), "sigma_optics_px": (0.8, 0.8), "netd_mk": 400.0,
    "noise": dict.fromkeys(("vh", "v", "h", "t", "tv", "th"), 0.0), "agc": {"kind": "linear", "max_noise_dn": (1.5, 1.5)},
}  # fmt: skip
"""A sensor so noisy against a clear sky that the gain limit holds: 1.5 grey levels of noise in every view."""
POINTS = {"empty_share": 0.0, "levels": {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}}
NO_IMPOSTORS = dict.fromkeys(
    ("hot_pixel", "glint", "cloud_corner", "streak", "large_blob", "stripe_stub", "seam_patch", "removed_twin", "rotated_patch"),
    0.0,
)


def put_in(num=24, **keys):
    base = {"kind": "scenes", "frame_hw": (128, 128), "sensor": QUIET, "regimes": {"sky": 1.0}, "impostors": NO_IMPOSTORS}
    return fit.render_evidence(base | {"targets": POINTS} | keys, num, 7)


def covers(measured, truth, slack=0.0):
    """Tell whether the interval holds a value, with a share of slack for what is known to bias the reading."""
    return (measured.low <= truth * (1.0 + slack)).all() and (measured.high >= truth * (1.0 - slack)).all()


@pytest.fixture(scope="module")
def points():
    """Evidence and measures of 24 frames of points at 100 grey levels before noisy sky."""
    scr = {"law": "view_peak", "view_peak_dn": (100.0, 100.0), "low": 0.05, "high": 200.0}
    evidence = put_in(scr=scr)
    return evidence, measure_set(evidence, 0)


def test_noise_is_recovered(points):
    """Slack 4 %: the reading's own error on 64 blocks (measured 2 %)."""
    median = len(TABLE_PERCENTS) // 2
    assert points[1]["noise_dn"].value[median] == pytest.approx(1.5, rel=0.06)
    assert covers(points[1]["noise_dn"], 1.5, 0.12), "every decile, the outermost of 24 readings with it"


def test_blur_is_recovered(points):
    """All widths are those of the optics, but for the error of a noisy fit (measured 2 %)."""
    assert covers(points[1]["blur_px"], 0.8, 0.05)
    assert points[1]["blur_px"].value == pytest.approx(np.full(11, 0.8), rel=0.05)


def test_peaks_and_counts_are_recovered(points):
    evidence, measured = points
    assert measured["peak_dn"].value[1:-1] == pytest.approx(np.full(9, 100.0), rel=0.08), "noise and rounding of one pixel"
    assert measured["counts"].value[0] == 0.0 and covers(measured["counts"], np.array([0.0, 0.84, 0.115]))
    assert measured["dark_share"].value[0] == 0.0 and measured["compact_share"].value[0] > 0.9
    assert measured["counts"].num == len(evidence) == 24


def test_dark_targets_are_counted():
    scr = {"low": 8.0, "high": 20.0}
    measured = measure(put_in(targets=POINTS | {"dark_share": 0.5}, scr=scr))
    assert 0.2 < measured["dark_share"][0] < 0.8


@pytest.mark.parametrize("tilt", [-0.6, 0.6])
def test_tilted_clutter_reads_steeper_or_flatter(tilt):
    """Exponents of painted clutter move with the tilt; its steps sharpen it (measured 1.06 and 1.20 of the tilt)."""
    clear = QUIET | {"netd_mk": 20.0, "agc": {"kind": "linear", "max_noise_dn": (255.0, 255.0)}}
    keys = {"regimes": {"overcast": 1.0}, "targets": {"empty_share": 1.0}, "textures": "own", "sensor": clear}
    plain, tilted = (measure(put_in(clutter_tilt=t, **keys))["clutter_slope"][0] for t in (0.0, tilt))
    assert 0.7 < (tilted - plain) / tilt < 1.5


def test_target_laws_are_recovered():
    """Widths of 1.1-1.9 px, round, masked at 0.4: areas, and the laws themselves. Phase and whole pixels hide the rest."""
    targets = POINTS | {"levels": {"point": 0.0, "blob": 1.0, "extended": 0.0, "group": 0.0}} | {
        "sigma_total_px": (1.1, 1.9), "aspect": (1.0, 1.0), "mask_threshold": (0.4, 0.4), "one_share": 0.0, "two_share": 0.0,
    }  # fmt: skip
    scr = {"law": "view_peak", "view_peak_dn": (60.0, 160.0), "low": 0.05, "high": 200.0}
    measured = measure_set(put_in(30, targets=targets, scr=scr), 0)
    laws = match_shapes(measured, (0.8, 0.8), 0)
    truth = 1.1 * (1.9 / 1.1) ** np.linspace(0.0, 1.0, 11)
    intervals = parameter_intervals({"targets": as_lists(laws)}, measured)["targets.sigma_total_px"]
    assert laws.sigma_total_px[2:-2] == pytest.approx(truth[2:-2], rel=0.12)
    inside = (np.array(intervals["low"]) <= 1.05 * truth) & (np.array(intervals["high"]) >= 0.95 * truth)
    assert inside.sum() >= 9, "11 deciles, 95 % each, at one pixel's grain"
    assert np.median(laws.mask_threshold) == pytest.approx(0.4, abs=0.08)
    drawn = measure(put_in(30, targets=targets | as_lists(laws), scr=scr))
    assert drawn["area_px"][1:-1] == pytest.approx(measured["area_px"].value[1:-1], rel=0.2)


def test_intervals_shrink_with_the_number_of_frames():
    widths = []
    for num in (6, 48):
        noise = measure_set(put_in(num, targets={"empty_share": 1.0}), 0)["mean_dn"]
        widths.append(float((noise.high - noise.low)[5]))
    assert widths[1] < 0.7 * widths[0], "a root of 8 apart"


def test_one_frame_has_values_and_no_intervals():
    measured = measure_set(put_in(1), 0)
    assert measured["noise_dn"].value == pytest.approx(np.full(11, 1.5), rel=0.15)
    assert np.isnan(measured["noise_dn"].low).all() and np.isnan(measured["counts"].high).all()


def test_linked_frames_are_resampled_together():
    """Two groups give three sets, the first twice, both, or the second twice: the bounds are those of one group."""
    frames = [scene(f"s{n}", (48, 48), level=40 + 20 * n) for n in range(6)]
    evidence = gather_evidence(frame_set(frames, [(f"a{n // 3}",) for n in range(6)]))
    mean_dn = measure_set(evidence, 0)["mean_dn"]
    assert mean_dn.low == pytest.approx(measure(evidence, np.array([0, 1, 2] * 2))["mean_dn"])
    assert mean_dn.high == pytest.approx(measure(evidence, np.array([3, 4, 5] * 2))["mean_dn"])
    assert np.isnan(measure_set(gather_evidence(frame_set(frames, [("one",)] * 6)), 0)["mean_dn"].low).all()


def test_frames_that_tell_nothing():
    frames = [frame_of(np.full((20, 20), 60 + n), name=f"f{n}") for n in range(3)]
    measured = measure_set(gather_evidence(frame_set(frames)), 0)
    assert {"mean_dn", "std_dn", "span_dn", "low_dn"} <= set(measured)
    assert not {"noise_dn", "psd_slope", "clutter_slope", "area_px", "peak_dn", "blur_px", "counts"} & set(measured)


def test_the_mix_of_backgrounds_is_recovered():
    """Half sky, half towns, no sea: the pull towards equal shares leaves some of it (measured 0.20, 0.36, 0.44)."""

    def features(name, frames):
        return frame_features(put_in(60, regimes={name: 1.0}, targets={"empty_share": 1.0}).survey)[frames]

    real = np.concatenate([features(name, slice(30, 60)) for name in ("sky", "urban")])
    weights = match_mixture(real, [features(name, slice(0, 30)) for name in ("sea", "sky", "urban")], np.full(3, 1 / 3))
    assert weights.sum() == pytest.approx(1.0) and (weights >= 0.0).all()
    assert weights[0] < 0.25 and weights[1:].min() > 0.3


def test_laws_move_towards_what_they_follow():
    keys = [follower.key for follower in FOLLOWERS]
    assert keys == sorted(set(keys), key=keys.index)
    source = {"sensor": {"agc": {"span_dn": [50.0, 60.0]}}}
    measured = measure_set(put_in(2), 0)
    wanted = {"std_dn": measured["std_dn"]}
    moved = follow(with_value(source, "sensor.agc.span_dn", [60.0] * 11), wanted, {"std_dn": measured["std_dn"].value * 2.0})
    assert all(20.0 < span < 60.0 for span in value_at(moved, "sensor.agc.span_dn"))
    assert follow(source, {}, {}) == source and value_at(source, "scr.view_peak_dn") is None


def test_a_fitted_source_is_a_scene_source(monkeypatch, points):
    for name, few in (("NUM_RENDERED", 8), ("NUM_OF_CLASS", 2), ("NUM_ROUNDS", 2), ("MIX_ROUNDS", (1,))):
        monkeypatch.setattr(fit, name, few)
    monkeypatch.setattr(shapes, "NUM_DRAWN", 100)
    steps = []
    source = fit.fit_source(points[0], points[1], seed=0, on_step=steps.append)
    config = SceneConfig.model_validate(source)
    assert config.resolved_sensor().name == "calibrated" and config.scr.law == "view_peak"
    assert config.targets.empty_share == 0.0 and sum(config.regimes.values()) == pytest.approx(1.0, abs=1e-3)
    assert len(steps) == 4 and "background mix" in steps[2]
    assert source == fit.fit_source(points[0], points[1], seed=0), "the same evidence and seed give the same numbers"
    assert NUM_RESAMPLES == 200
