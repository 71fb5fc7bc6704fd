"""Sequences: one camera, fresh noise, tracks, line of sight, lag; and the single frame as their special case."""

import numpy as np
import pytest

from synth.scene import SceneConfig, render_scene
from synth.scene.config import SequenceConfig
from synth.scene.detector import lag_share
from synth.scene.frame import SceneRenderer
from synth.scene.presets import sensor_named
from synth.scene.target_config import ImpostorRates
from synth.scene.trajectories import Path, draw_line_of_sight, lag_weights
from synth.scene.truth import ImpostorKind

HW = (96, 96)
STILL = {"drift_px": 0.0, "jitter_px": 0.0, "lag": False, "speed_px": (0.0, 0.0)}
BUSY = {"empty_share": 0.0, "one_share": 0.2, "two_share": 0.5}
CLEAN = {"bad_pixels": {"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0}}


def config(length: int, motion: dict[str, object] | None = None, **values: object) -> SceneConfig:
    sequence = {"length": length, **(STILL if motion is None else motion)}
    return SceneConfig(**({"frame_hw": HW, "sequence": sequence, "targets": BUSY} | values))


# the single frame ----------------------------------------------------------------------------------------------------


def test_a_sequence_of_one_frame_is_the_single_frame() -> None:
    """Same streams, same order: only the paste artefacts of single frames are missing, so they are switched off."""
    rates = ImpostorRates(seam_patch=0.0, rotated_patch=0.0, removed_twin=0.0, hot_pixel=2.0, streak=1.0, stripe_stub=1.0)
    shared = {"frame_hw": HW, "impostors": rates, "frames_per_camera": 1}
    for index in range(12):
        single = render_scene(SceneConfig(**shared), 3, index)
        frame = render_scene(SceneConfig(**shared, sequence={"length": 1, **STILL}), 3, index)
        np.testing.assert_array_equal(frame.raw, single.raw)
        np.testing.assert_array_equal(frame.levels, single.levels)
        np.testing.assert_array_equal(frame.mask, single.mask)
        assert [t.scr_raw for t in frame.truth.targets] == [t.scr_raw for t in single.truth.targets]
        assert frame.truth.impostors == single.truth.impostors
        assert (frame.truth.sequence_id, single.truth.sequence_id) == (index, -1)


def test_without_motion_and_lag_only_noise_changes() -> None:
    source = config(6, impostors=ImpostorRates.none())
    renderer = SceneRenderer(source, 1)
    frames = [renderer.render(index) for index in range(12)]
    stage = renderer.stage
    for number in (0, 1):
        scene = stage.scene(number)
        pictures = [stage.picture(scene, frame).frame_dn for frame in range(6)]
        for picture in pictures[1:]:
            np.testing.assert_array_equal(picture, pictures[0])
        masks = [frame.mask for frame in frames[6 * number : 6 * number + 6]]
        assert all((mask == masks[0]).all() for mask in masks)
    assert (frames[0].raw != frames[1].raw).mean() > 0.5


# random access -------------------------------------------------------------------------------------------------------


def test_any_frame_is_rendered_alone() -> None:
    moving = config(8, {"drift_px": 0.3, "jitter_px": 0.1, "speed_px": (0.5, 2.0)})
    in_order = [SceneRenderer(moving, 2).render(index) for index in range(16)]
    renderer = SceneRenderer(moving, 2)
    for index in (13, 2, 7, 8, 0):
        again = renderer.render(index)
        np.testing.assert_array_equal(again.raw, in_order[index].raw)
        assert again.truth == in_order[index].truth


def test_index_is_sequence_and_frame() -> None:
    source = config(5, sensor_overrides={"frame_rate_hz": 25.0})
    truth = render_scene(source, 0, 13).truth
    assert (truth.sequence_id, truth.frame_index, truth.camera_id) == (2, 3, 2)
    assert truth.time_s == pytest.approx(3 / 25.0)


# camera and noise ----------------------------------------------------------------------------------------------------


def test_fixed_pattern_stays_and_temporal_noise_is_fresh() -> None:
    """The difference of two frames has twice the temporal variance; their common part has the fixed pattern."""
    flat = {"regimes": {"space": 1.0}, "impostors": ImpostorRates.none(), "targets": {"empty_share": 1.0}}
    renderer = SceneRenderer(config(40, **flat, sensor_overrides=CLEAN | {"nuc_residual_k": 0.0}), 0)
    stack = np.array([renderer.render(index).raw for index in range(40)], float)
    stack -= stack.mean(axis=(1, 2), keepdims=True)
    temporal = stack.std(axis=0, ddof=1).mean()
    fixed = np.sqrt(stack.mean(axis=0).var() - stack.var(axis=0, ddof=1).mean() / 40)
    # sigma_tvh = 4 DN with tv .1, th .05 and the walk .1 of it; fixed terms .4, .25, .25 of it and the space glow
    assert temporal == pytest.approx(4.0 * np.sqrt(1.0 + 0.1**2 + 0.05**2 + 0.1**2), rel=0.03)
    assert fixed == pytest.approx(4.0 * np.sqrt(0.4**2 + 2 * 0.25**2), rel=0.25)
    other = np.array([renderer.render(index).raw for index in range(40, 60)], float)
    between = np.corrcoef(stack.mean(axis=0).ravel(), (other - other.mean()).mean(axis=0).ravel())[0, 1]
    within = np.corrcoef(stack[:20].mean(axis=0).ravel(), stack[20:].mean(axis=0).ravel())[0, 1]
    assert within > 0.6 > 0.3 > abs(between)  # another sequence is another camera


def test_hot_pixels_stay_and_stubs_do_not() -> None:
    rates = ImpostorRates.none().model_copy(update={"hot_pixel": 3.0, "stripe_stub": 3.0})
    moving = config(6, {"drift_px": 0.5}, impostors=rates)
    frames = [render_scene(moving, 1, index).truth.impostors for index in range(6)]
    hot = [{i for i in frame if i.kind is ImpostorKind.HOT_PIXEL} for frame in frames]
    assert hot[0]
    assert all(found == hot[0] for found in hot)
    stubs = {tuple(i for i in frame if i.kind is ImpostorKind.STRIPE_STUB) for frame in frames}
    assert len(stubs) > 3


# motion --------------------------------------------------------------------------------------------------------------


def test_tracks_keep_their_numbers_and_follow_their_paths() -> None:
    moving = config(20, STILL | {"speed_px": (0.5, 1.0), "turn_share": 0.5})
    renderer = SceneRenderer(moving, 6)
    frames = [renderer.render(index).truth for index in range(20)]
    scene = renderer.stage.scene(0)
    starts = {target.track: target for target in scene.targets}
    seen: dict[int, list[int]] = {}
    for truth in frames:
        for target in truth.targets:
            if target.level.name == "GROUP":
                continue
            path = starts[target.track_id].wish.path
            row, col = starts[target.track_id].centre()
            rows, cols = path.offset(truth.frame_index)
            if target.level.name in ("POINT", "BLOB"):
                assert (target.row_subpx, target.col_subpx) == (pytest.approx(row + rows), pytest.approx(col + cols))
            seen.setdefault(target.track_id, []).append(truth.frame_index)
    assert len(seen) >= 2
    for steps in seen.values():
        assert len(steps) > 5
    fluxes = {t: [target.flux for truth in frames for target in truth.targets if target.track_id == t] for t in seen}
    for values in fluxes.values():
        assert np.ptp(values) < 0.01 * np.mean(values)  # the signal stays; only its phase in the pixel changes


def test_the_line_of_sight_moves_everything_together() -> None:
    blobs = ImpostorRates.none().model_copy(update={"large_blob": 2.0})
    drifting = config(6, STILL | {"drift_px": 0.8}, impostors=blobs, sensor_overrides=CLEAN)
    renderer = SceneRenderer(drifting, 1)
    num_targets = num_impostors = 0
    for number in range(6):
        scene = renderer.stage.scene(number)
        first, later = (renderer.render(6 * number + frame).truth for frame in (0, 5))
        moved = scene.sight_px[5] - scene.sight_px[0]
        tracks = {t.track_id: t for t in first.targets if t.level.name != "GROUP"}
        for target in (t for t in later.targets if t.track_id in tracks):
            before = tracks[target.track_id]
            assert target.row_subpx - before.row_subpx == pytest.approx(moved[0], abs=0.03)
            assert target.col_subpx - before.col_subpx == pytest.approx(moved[1], abs=0.03)
            num_targets += 1
        if len(first.impostors) == len(later.impostors):
            for a, b in zip(first.impostors, later.impostors, strict=True):
                assert (b.row - a.row, b.col - a.col) == (pytest.approx(moved[0]), pytest.approx(moved[1]))
                num_impostors += 1
    assert min(num_targets, num_impostors) > 3


def test_the_picture_moves_by_fractions_of_a_pixel() -> None:
    """A drift of (r, c) multiplies the picture's spectrum by a phase: its centroid follows to 0.04 px,
    which is the rounding of float32 at 6000 DN on a blob of some DN, and its tail beyond the frame (worst of 23 blobs: 0.040)."""
    rates = ImpostorRates.none().model_copy(update={"large_blob": 1.0})
    flat = {"regimes": {"space": 1.0}, "targets": {"empty_share": 1.0}}
    shifted = config(4, STILL | {"drift_px": 0.7}, impostors=rates, **flat)
    empty = config(4, STILL | {"drift_px": 0.7}, impostors=ImpostorRates.none(), **flat)
    rows, cols = np.indices(HW)
    checked = 0
    stages = [SceneRenderer(source, 3).stage for source in (shifted, empty)]
    for number in range(200):  # about one in forty has a single blob, in the middle
        scenes = [stage.scene(number) for stage in stages]
        places = [(impostor.row, impostor.col) for impostor in scenes[0].impostors]
        if len(places) != 1 or not all(36.0 < place < 60.0 for place in places[0]):
            continue
        centroids = []
        for frame in range(4):
            blob = np.subtract(*(s.picture(scene, frame).frame_dn for s, scene in zip(stages, scenes, strict=True)))
            centroids.append(((rows * blob).sum() / blob.sum(), (cols * blob).sum() / blob.sum()))
        np.testing.assert_allclose(np.diff(centroids, axis=0), np.diff(scenes[0].sight_px, axis=0), atol=0.06)
        checked += 1
    assert checked > 1


def test_targets_leave_the_picture_and_are_then_unlabelled() -> None:
    fast = config(40, STILL | {"speed_px": (3.0, 4.0)})
    renderer = SceneRenderer(fast, 0)
    frames = [renderer.render(index) for index in range(40)]
    counts = [len(frame.truth.targets) for frame in frames]
    assert min(counts) < max(counts)
    for frame in frames:
        assert bool(frame.truth.targets) == bool(frame.mask.any())
        assert frame.mask[2:-2, 2:-2].sum() == frame.mask.sum()


def test_tracks_keep_their_distance_in_every_frame() -> None:
    crowded = config(12, STILL | {"speed_px": (1.0, 2.0)}, targets={"empty_share": 0.0, "one_share": 0.0, "two_share": 0.0})
    for index in range(48):
        truth = render_scene(crowded, 4, index).truth
        by_component: dict[int, set[int]] = {}
        for target in truth.targets:
            by_component.setdefault(target.component, set()).add(target.track_id)
        assert all(len(tracks) == 1 for tracks in by_component.values())


def test_paths() -> None:
    straight = Path(2.0, 0.25, 0.0, 3)
    assert straight.offset(3) == (0.0, 0.0)
    assert straight.offset(5) == (pytest.approx(4.0), pytest.approx(0.0, abs=1e-12))
    circle = Path(1.0, 0.0, 0.01, 0)
    assert circle.offset(100) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))  # one full turn
    steps = np.diff([circle.offset(frame) for frame in range(101)], axis=0)
    # chords of equal length, shorter than the arc of 1 px by (pi * 0.01)^2 / 6
    np.testing.assert_allclose(np.hypot(*steps.T), 1.0 - (np.pi * 0.01) ** 2 / 6.0, atol=1e-6)
    slow = Path(1.0, 0.1, 1e-9, 0)
    assert slow.offset(10) == pytest.approx(Path(1.0, 0.1, 0.0, 0).offset(10), abs=1e-5)


def test_the_line_of_sight_is_a_walk_with_jitter() -> None:
    sequence = SequenceConfig(length=4000, drift_px=0.1, jitter_px=0.0, reach_px=200)
    walk = draw_line_of_sight(np.random.default_rng(0), sequence)
    assert (walk[0] == 0.0).all()
    assert np.diff(walk, axis=0).std() == pytest.approx(0.1, rel=0.05)  # 8000 steps: 4 sigmas are 3 %
    jitter = draw_line_of_sight(np.random.default_rng(1), sequence.model_copy(update={"drift_px": 0.0, "jitter_px": 0.2}))
    assert jitter.std() == pytest.approx(0.2, rel=0.05)
    held = draw_line_of_sight(np.random.default_rng(2), sequence.model_copy(update={"drift_px": 3.0, "reach_px": 5}))
    assert np.abs(held).max() <= 5.0
    assert held.std() > 2.0  # it goes on walking between its bounds: a uniform place has 5/sqrt(3)


# lag -----------------------------------------------------------------------------------------------------------------


def test_lag_weights_are_the_recursion() -> None:
    sensor = sensor_named("uncooled_lwir_12um")
    share = lag_share(sensor)
    signal = np.random.default_rng(0).normal(size=30)
    state = signal[0]
    for frame, value in enumerate(signal):
        state += share * (value - state)
        weights = lag_weights(sensor.frame_rate_hz, sensor.time_constant_ms, frame)
        assert sum(weights) == pytest.approx(1.0)
        summed = sum(weight * signal[frame - back] for back, weight in enumerate(weights))
        assert summed == pytest.approx(state, abs=5e-3)
    assert lag_weights(50.0, 0.0, 20) == (1.0,)


def test_a_moving_target_trails_in_a_bolometer() -> None:
    levels = {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}
    point = {"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0, "levels": levels}
    motion = STILL | {"speed_px": (8.0, 8.0), "turn_share": 0.0}
    shared = {"targets": point, "impostors": ImpostorRates.none(), "regimes": {"space": 1.0}}
    with_lag, without = (config(8, motion | {"lag": lag}, **shared) for lag in (True, False))
    checked = 0
    for number in range(6):
        a, b = (SceneRenderer(source, 2) for source in (with_lag, without))
        scene = a.stage.scene(number)
        for frame in range(1, 8):
            lagged, sharp = (r._compose(r.stage.scene(number), frame).signal_dn for r in (a, b))
            here, before = a._targets(scene, frame), a._targets(scene, frame - 1)
            if not (here and before):
                continue
            share = lag_share(a.stage.sensor)
            excess = lagged - b.stage.picture(scene, frame).frame_dn
            clean = sharp - b.stage.picture(scene, frame).frame_dn
            flux = {}
            for name, target in (("here", here[0]), ("before", before[0])):
                place = np.s_[target.row - 2 : target.row + 3, target.col - 2 : target.col + 3]
                flux[name] = float(excess[place].sum()) / float(clean.sum())
            assert flux["here"] == pytest.approx(share, abs=0.03)
            assert flux["before"] == pytest.approx(share * (1.0 - share), abs=0.03)  # 0.12 stays behind
            checked += 1
    assert checked > 5
