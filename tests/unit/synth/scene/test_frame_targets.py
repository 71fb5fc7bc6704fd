"""Targets of a frame: placement rules, ratios in both modes, occlusion, truth (physics sections 4-6 and 14)."""

import numpy as np
import pytest
from scipy import ndimage

from synth.scene import SceneConfig, SceneFrame
from synth.scene.frame import SceneRenderer
from synth.scene.presets import SENSOR_PRESETS
from synth.scene.scr import Window, measure_scr
from synth.scene.site import insert
from synth.scene.target_config import ImpostorRates
from synth.scene.truth import ScrMode, TargetLevel

EIGHT = np.ones((3, 3))
BUSY = {"empty_share": 0.0, "one_share": 0.3, "two_share": 0.3}


def render(num: int, **values: object) -> list[SceneFrame]:
    config = SceneConfig(**({"frame_hw": (128, 128), "targets": BUSY, "impostors": ImpostorRates.none()} | values))
    renderer = SceneRenderer(config, 11)
    return [renderer.render(index) for index in range(num)]


@pytest.fixture(scope="module")
def frames() -> list[SceneFrame]:
    return render(120)


def test_masks_keep_off_border_and_each_other(frames: list[SceneFrame]) -> None:
    for frame in frames:
        inner = frame.mask[2:-2, 2:-2]
        assert inner.sum() == frame.mask.sum()
        groups = {t.component for t in frame.truth.targets if t.level is TargetLevel.GROUP}
        labels, num = ndimage.label(frame.mask, EIGHT)
        assert num == 1 + max(t.component for t in frame.truth.targets)
        for a in range(1, num + 1):
            near = ndimage.binary_dilation(labels == a, EIGHT, iterations=3)
            touched = set(np.unique(labels[near])) - {0, a}
            if touched:  # only members of a group come closer than 3 px
                assert {b - 1 for b in touched} | {a - 1} <= groups


def test_truth_points_at_the_mask(frames: list[SceneFrame]) -> None:
    for frame in frames:
        labels, _ = ndimage.label(frame.mask, EIGHT)
        for target in frame.truth.targets:
            inside = labels == target.component + 1  # components count in raster order, as in synth.targets
            rows, cols = np.nonzero(inside)
            assert rows.min() - 1 <= target.row_subpx <= rows.max() + 1
            assert cols.min() - 1 <= target.col_subpx <= cols.max() + 1
            assert target.area_px <= inside.sum()
            assert 0.30 <= target.mask_threshold < 0.42
            assert (target.polarity, target.track_id) == (1, -1)
            assert 0.0 < target.peak_dn < target.flux
            assert target.background is frame.truth.regime
        areas = [t.area_px for t in frame.truth.targets if t.level is not TargetLevel.GROUP]
        assert sum(areas) <= frame.mask.sum()


def test_levels_follow_their_weights() -> None:
    levels = [t.level for f in render(300, frame_hw=(64, 64), targets={"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0})
              for t in f.truth.targets[:1]]  # fmt: skip
    for level, share in zip(TargetLevel, (0.1, 0.6, 0.25, 0.05), strict=True):
        sigma = np.sqrt(share * (1.0 - share) / len(levels))
        assert np.mean([found is level for found in levels]) == pytest.approx(share, abs=4.0 * sigma + 0.01)


def test_expected_amplitudes_do_not_see_the_noise() -> None:
    """Another noise draw (a camera with other offsets, another noise index) leaves every amplitude bit-identical."""
    config = SceneConfig(frame_hw=(96, 96), targets=BUSY)
    renderer = SceneRenderer(config, 4)
    for number in range(8):
        scene = renderer.stage.scene(number)
        again = SceneRenderer(config, 4).stage.scene(number)
        assert [t.amplitude_dn for t in scene.targets] == [t.amplitude_dn for t in again.targets]
        assert renderer.stage._site(scene.background_dn, scene.camera, number, 0).noise is None
    louder = SceneConfig(frame_hw=(96, 96), targets=BUSY, sensor_overrides={"bad_pixels": {"hot_rate": 1e-3}})
    quiet = renderer.stage.scene(2).targets
    assert [t.amplitude_dn for t in quiet] == [t.amplitude_dn for t in SceneRenderer(louder, 4).stage.scene(2).targets]


def test_expected_ratios_are_met_on_average(frames: list[SceneFrame]) -> None:
    """Lone targets: the expected ratio is the requested one, and noise moves the measured one by its own error."""
    lone = [f.truth.targets[0] for f in frames if len(f.truth.targets) == 1 and f.truth.targets[0].level is not TargetLevel.GROUP]
    assert len(lone) > 15
    for target in lone:
        assert target.scr_expected == pytest.approx(target.scr_requested, rel=1e-6)
        assert target.scr_mode is ScrMode.EXPECTED


@pytest.mark.parametrize("name", list(SENSOR_PRESETS))
def test_realised_ratios_are_the_requested_ones(name: str) -> None:
    """|measured - requested| / requested <= 1 % at the 95 % and <= 2 % at the 99 % quantile, over 1..20."""
    scr = {"mode": "realised", "low": 1.0, "high": 20.0, "law": "log_uniform", "view_peak_dn": None}
    levels = {"point": 0.2, "blob": 0.5, "extended": 0.3, "group": 0.0}
    found = render(100, sensor=name, scr=scr, targets=BUSY | {"levels": levels})
    targets = [target for frame in found for target in frame.truth.targets]
    errors = np.abs([t.scr_raw / t.scr_requested - 1.0 for t in targets])
    assert len(errors) > 150
    assert np.quantile(errors, 0.95) <= 0.01
    assert np.quantile(errors, 0.99) <= 0.02


def test_dark_targets_are_dark() -> None:
    found = render(20, targets=BUSY | {"dark_share": 1.0}, scr={"mode": "realised", "low": 5.0, "high": 9.0})
    for target in (target for frame in found for target in frame.truth.targets):
        assert target.polarity == -1
        assert max(target.scr_requested, target.scr_raw, target.flux, target.peak_dn) < 0.0


def test_measured_ratios_are_those_of_the_images(frames: list[SceneFrame]) -> None:
    for frame in frames[:30]:
        labels, _ = ndimage.label(frame.mask, EIGHT)
        for target in frame.truth.targets:
            if target.level is TargetLevel.GROUP:
                continue
            rows, cols = np.nonzero(labels == target.component + 1)
            row, col = (rows.min() + rows.max()) // 2, (cols.min() + cols.max()) // 2
            half = max(int(np.abs(rows - row).max()), int(np.abs(cols - col).max()))
            own = np.zeros((2 * half + 1, 2 * half + 1), bool)
            own[rows - row + half, cols - col + half] = True
            window = Window.around(own, row=int(row), col=int(col), frame_hw=(128, 128), masks=frame.mask)
            assert measure_scr(frame.raw, window).scr == pytest.approx(target.scr_raw, nan_ok=True)
            assert measure_scr(frame.levels, window).scr == pytest.approx(target.scr_view, nan_ok=True)


def test_resolved_targets_hide_what_is_behind_them() -> None:
    levels = {"point": 0.0, "blob": 0.0, "extended": 1.0, "group": 0.0}
    targets = {"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0, "levels": levels, "half_length_px": (9.0, 10.0)}
    config = SceneConfig(frame_hw=(96, 96), regimes={"cloud": 1.0}, impostors=ImpostorRates.none(), targets=targets)
    stage = SceneRenderer(config, 2).stage
    num = 0
    for number in range(30):
        scene = stage.scene(number)
        for target in scene.targets:
            opaque = target.rendered.cover > 0.99
            if not opaque.any():
                continue
            num += 1
            half = opaque.shape[0] // 2
            rows, cols = np.nonzero(opaque)
            pixels = np.s_[rows + target.row - half, cols + target.col - half]
            flat = np.full_like(scene.background_dn, 5000.0)
            for plane in (scene.background_dn.copy(), flat):  # what was there does not show through
                insert(plane, target, 5000.0)
                signal = 5000.0 + target.amplitude_dn * target.rendered.stamp[opaque]
                behind = 0.01 * np.abs(scene.background_dn[pixels] - 5000.0) + 0.01
                assert (np.abs(plane[pixels] - signal) <= behind).all()
    assert num > 5


def test_the_view_band_keeps_targets_visible_and_unclipped() -> None:
    agc = {"kind": "linear", "span_dn": (90.0, 245.0), "lift": (0.1, 0.8), "max_noise_dn": (0.2, 0.8)}
    scr = {"mode": "realised", "law": "match_sirst", "low": 1.0, "high": 50.0, "view_peak_dn": (20.0, 200.0)}
    found = render(60, sensor="stress_low_scr", sensor_overrides={"agc": agc, "denoise": "gaussian"}, scr=scr)
    peaks = []
    for frame in found:
        for target in frame.truth.targets:
            if target.level is TargetLevel.GROUP:
                continue
            row, col = round(target.row_subpx), round(target.col_subpx)
            ring = frame.levels[max(row - 25, 0) : row + 26, max(col - 25, 0) : col + 26]
            peaks.append(int(frame.levels[row - 1 : row + 2, col - 1 : col + 2].max()) - float(np.median(ring)))
    assert np.mean(np.array(peaks) > 8.0) > 0.95  # 20 grey levels before the denoiser
    assert np.mean([frame.levels[frame.mask > 0].max() == 255 for frame in found if frame.mask.any()]) < 0.1


def test_refused_places_are_counted() -> None:
    crowded = {"empty_share": 0.0, "one_share": 0.0, "two_share": 0.0, "min_spacing_px": 30}
    found = render(40, frame_hw=(64, 64), targets=crowded)
    assert sum(frame.truth.num_rejected for frame in found) > 100
    wanted = sum(len({t.component for t in f.truth.targets}) for f in render(40, targets=crowded | {"min_spacing_px": 3}))
    assert sum(len({t.component for t in frame.truth.targets}) for frame in found) < wanted


def test_targets_too_large_for_the_frame_are_left_out() -> None:
    long = {"levels": {"point": 0.0, "blob": 0.0, "extended": 1.0, "group": 0.0}, "half_length_px": (14.0, 15.0), "border_px": 1}
    for frame in render(10, frame_hw=(64, 64), targets=BUSY | long):
        assert frame.mask[1:-1, 1:-1].sum() == frame.mask.sum()
