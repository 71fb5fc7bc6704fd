"""render_scene: contract, purity, portability, and what the presence of targets may change."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage

from synth.scene import SceneConfig, SceneFrame, render_scene
from synth.scene.backdrops import BACKDROP_WEIGHTS
from synth.scene.config import DEFAULT_SENSOR
from synth.scene.frame import _KEPT, SceneRenderer
from synth.scene.presets import SENSOR_PRESETS
from synth.scene.target_config import ImpostorRates
from synth.scene.truth import Regime

SMALL = SceneConfig(frame_hw=(96, 120))
EIGHT = np.ones((3, 3))
DIGEST = "; ".join(
    (
        "import hashlib",
        "from synth.scene import SceneConfig, render_scene",
        "kinds = [SceneConfig(frame_hw=(96, 120), sensor=s) for s in ('sirst_like', 'cooled_mwir_15um_f4')]",
        "kinds += [SceneConfig(frame_hw=(96, 120)), SceneConfig(frame_hw=(96, 120), sequence={'length': 5})]",
        "frames = [render_scene(c, 5, i) for c in kinds for i in range(20)]",
        "parts = [f.levels.tobytes() + f.raw.tobytes() + f.mask.tobytes() + repr(f.truth).encode() for f in frames]",
        "print(hashlib.sha256(b''.join(parts)).hexdigest())",
    )
)


@pytest.fixture(scope="module")
def frames() -> list[SceneFrame]:
    return [render_scene(SMALL, 7, index) for index in range(80)]


def digest(frame: SceneFrame) -> str:
    pixels = frame.levels.tobytes() + frame.raw.tobytes() + frame.mask.tobytes()
    return hashlib.sha256(pixels + repr(frame.truth).encode()).hexdigest()


def test_frame_contract(frames: list[SceneFrame]) -> None:
    for frame in frames:
        assert frame.levels.shape == frame.raw.shape == frame.mask.shape == (96, 120)
        assert (frame.levels.dtype, frame.raw.dtype, frame.mask.dtype) == (np.uint8, np.uint16, np.uint8)
        assert frame.raw.max() < 2**14
        assert frame.mask.max() <= 1
        assert frame.truth.saturated_px >= 0
        assert (frame.truth.sequence_id, frame.truth.frame_index, frame.truth.time_s) == (-1, 0, 0.0)
        assert bool(frame.truth.targets) == bool(frame.mask.any())


def test_any_order_and_any_renderer_give_the_same_frames(frames: list[SceneFrame]) -> None:
    for index in (61, 3, 40, 3):
        assert digest(render_scene(SMALL, 7, index)) == digest(frames[index])
    fresh = SceneRenderer(SceneConfig(frame_hw=(96, 120), num_frames=5), 7)
    for index in (79, 0):  # neither the number of frames nor what was rendered before decides a frame
        assert digest(fresh.render(index)) == digest(frames[index])
    assert digest(render_scene(SMALL, 8, 3)) != digest(frames[3])


def test_bytes_do_not_depend_on_the_instruction_set() -> None:
    outputs = set()
    for features in ("", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"):
        env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
        command = [sys.executable, "-W", "ignore", "-c", DIGEST]
        outputs.add(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(outputs) == 1


@pytest.mark.parametrize("hw", [(64, 64), (65, 131), (300, 512)])
@pytest.mark.parametrize("regime", [*BACKDROP_WEIGHTS, "space"])
def test_every_regime_at_any_size(regime: str, hw: tuple[int, int]) -> None:
    frame = render_scene(SceneConfig(frame_hw=hw, regimes={regime: 1.0}), 1, 2)
    assert frame.levels.shape == hw
    assert frame.truth.regime is Regime[regime.upper()]
    assert frame.levels.std() > 0.0


@pytest.mark.parametrize("name", list(SENSOR_PRESETS))
def test_every_preset(name: str) -> None:
    config = SceneConfig(sensor=name, frame_hw=(128, 128))
    frames = [render_scene(config, 2, index) for index in range(6)]
    assert any(frame.truth.targets for frame in frames)
    assert all(frame.raw.std() > 1.0 for frame in frames)


def test_regimes_and_counts_follow_their_weights() -> None:
    renderer = SceneRenderer(SceneConfig(frame_hw=(64, 64)), 0)
    scenes = [renderer.stage.scene(number) for number in range(600)]
    for name, weight in BACKDROP_WEIGHTS.items():
        share = weight / sum(BACKDROP_WEIGHTS.values())
        found = np.mean([scene.backdrop.regime is Regime[name.upper()] for scene in scenes])
        assert found == pytest.approx(share, abs=4.0 * np.sqrt(share * (1.0 - share) / 600))
    counts = np.array([len(scene.targets) for scene in scenes])
    assert np.mean(counts == 0) == pytest.approx(0.2, abs=4.0 * 0.4 / np.sqrt(600) + 0.01)  # a few find no place


def test_empty_frames_have_empty_masks() -> None:
    config = SceneConfig(frame_hw=(64, 64), targets={"empty_share": 1.0})
    for index in range(10):
        frame = render_scene(config, 0, index)
        assert not frame.mask.any()
        assert frame.truth.targets == ()


@pytest.mark.parametrize("mode", ["expected", "realised"])
def test_targets_change_nothing_beyond_their_support(mode: str) -> None:
    quiet = ImpostorRates.none()
    shared = {"frame_hw": (128, 128), "impostors": quiet, "scr": {"mode": mode, "low": 5.0, "high": 20.0}}
    with_targets = SceneConfig(**shared, targets={"empty_share": 0.0})
    without = SceneConfig(**shared, targets={"empty_share": 1.0})
    num = 0
    for index in range(12):
        frame, bare = render_scene(with_targets, 3, index), render_scene(without, 3, index)
        reach = 2 + max(int(5.0 * max(t.sigma_row_px, t.sigma_col_px) + 12.0) for t in frame.truth.targets)
        far = ~ndimage.binary_dilation(frame.mask, EIGHT, iterations=reach)
        num += int(far.sum())
        np.testing.assert_array_equal(frame.raw[far], bare.raw[far])
        assert (frame.raw != bare.raw).any()
    assert num > 1000


def test_noise_does_not_follow_the_targets() -> None:
    """In the thermal chain the difference of two frames is the target alone, to within rounding."""
    sensor = {"bad_pixels": {"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0}, "gain_nonuniformity": 0.0}
    shared = {"frame_hw": (64, 64), "impostors": ImpostorRates.none(), "sensor_overrides": sensor}
    levels = {"point": 0.0, "blob": 1.0, "extended": 0.0, "group": 0.0}
    shared["scr"] = {"low": 10.0, "high": 10.0}
    one = {"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0, "levels": levels}
    frame = render_scene(SceneConfig(**shared, targets=one), 1, 4)
    bare = render_scene(SceneConfig(**shared, targets={"empty_share": 1.0}), 1, 4)
    difference = frame.raw.astype(float) - bare.raw.astype(float)
    (target,) = frame.truth.targets
    assert difference.min() >= -1.0
    assert difference.sum() == pytest.approx(target.flux, rel=0.02)
    assert difference.max() == pytest.approx(target.peak_dn, abs=1.0)


def test_frames_of_a_camera_share_their_pattern() -> None:
    config = SceneConfig(frame_hw=(64, 64), frames_per_camera=4)
    assert [render_scene(config, 0, index).truth.camera_id for index in range(6)] == [0, 0, 0, 0, 1, 1]
    stage = SceneRenderer(config, 0).stage
    first, second, other = (stage.scene(number).camera for number in (0, 3, 4))
    assert first is second
    assert not np.array_equal(first.pattern_dn, other.pattern_dn)


def test_bright_scenes_saturate_and_never_wrap() -> None:
    hot = {"offset_dn": 15900.0, "adc_bits": 14, "well_fraction": 1.0}
    config = SceneConfig(frame_hw=(64, 64), regimes={"urban": 1.0}, sensor=DEFAULT_SENSOR, sensor_overrides=hot)
    frames = [render_scene(config, 0, index) for index in range(20)]
    assert max(frame.truth.saturated_px for frame in frames) > 50
    for frame in frames:
        assert frame.raw.max() <= 16383
        if frame.truth.saturated_px > 50:
            assert (frame.raw > 16000).sum() > 40  # clipped at the top, not back at 0


def test_two_renderers_are_remembered() -> None:
    render_scene(SMALL, 7, 0)
    kept = list(_KEPT.renderers)
    render_scene(SMALL.model_copy(), 7, 1)  # an equal recipe is the same source
    assert list(_KEPT.renderers) == kept
    for seed in range(4):
        render_scene(SceneConfig(frame_hw=(64, 64)), seed, 0)
    assert len(_KEPT.renderers) == 2


def test_threads_render_the_same_frames(frames: list[SceneFrame]) -> None:
    with ThreadPoolExecutor(3) as pool:
        rendered = list(pool.map(lambda index: render_scene(SMALL, 7, index), range(24)))
    assert [digest(frame) for frame in rendered] == [digest(frame) for frame in frames[:24]]
