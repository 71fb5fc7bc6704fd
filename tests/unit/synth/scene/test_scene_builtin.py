"""The built-in source: purity, contract, and resemblance to infrared frames."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from synth.rng import Stream, keyed_generator
from synth.sample import Frame
from synth.scene import BuiltinConfig, render_builtin
from synth.scene.builtin import draw_regime
from synth.scene.regimes import PAINTERS

NUM_FRAMES = 120
DEFAULT = BuiltinConfig()
DIGEST = "; ".join(
    (
        "import hashlib",
        "from synth.scene import BuiltinConfig, render_builtin",
        "frames = [render_builtin(BuiltinConfig(frame_hw=(96, 120)), 5, i) for i in range(30)]",
        "parts = [f.levels.tobytes() + f.mask.tobytes() for f in frames]",
        "print(hashlib.sha256(b''.join(parts)).hexdigest())",
    )
)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [render_builtin(DEFAULT, 7, index) for index in range(NUM_FRAMES)]


def digest(frames: Sequence[Frame]) -> str:
    return hashlib.sha256(b"".join(f.levels.tobytes() + f.mask.tobytes() for f in frames)).hexdigest()


def horizontal_gradient_kurtosis(levels: np.ndarray) -> float:
    gradient = np.diff(levels.astype(np.float64), axis=1)
    gradient -= gradient.mean()
    return float((gradient**4).mean() / (gradient**2).mean() ** 2)


def test_frame_contract(frames: list[Frame]) -> None:
    for index, frame in enumerate(frames):
        assert frame.id == f"builtin-{index:06d}"
        assert frame.levels.shape == frame.mask.shape == (256, 256)
        assert frame.levels.dtype == frame.mask.dtype == np.uint8
        assert frame.max_level == 255
        assert set(np.unique(frame.mask)) == {0, 1}


def test_any_order_gives_the_same_frames(frames: list[Frame]) -> None:
    for index in (17, 3, 90):
        again = render_builtin(DEFAULT, 7, index)
        np.testing.assert_array_equal(again.levels, frames[index].levels)
        np.testing.assert_array_equal(again.mask, frames[index].mask)


def test_num_frames_and_seed() -> None:
    first = render_builtin(DEFAULT, 7, 0)
    assert digest([first]) == digest([render_builtin(BuiltinConfig(num_frames=3), 7, 0)])
    assert digest([first]) != digest([render_builtin(DEFAULT, 8, 0)])


def test_bytes_do_not_depend_on_the_instruction_set() -> None:
    weak = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
    outputs = set()
    for features in ("", weak):
        env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
        command = [sys.executable, "-W", "ignore", "-c", DIGEST]
        outputs.add(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(outputs) == 1


@pytest.mark.parametrize("hw", [(64, 64), (65, 131), (300, 512)])
@pytest.mark.parametrize("regime", list(PAINTERS))
def test_every_regime_at_any_size(regime: str, hw: tuple[int, int]) -> None:
    frame = render_builtin(BuiltinConfig(frame_hw=hw, regimes=(regime,)), 1, 2)
    assert frame.levels.shape == hw
    assert frame.levels.std() > 0.0


def test_regimes_are_all_drawn() -> None:
    names = {draw_regime(DEFAULT, keyed_generator(7, Stream.SCENE, index)) for index in range(NUM_FRAMES)}
    assert names == set(PAINTERS)


def test_target_counts(frames: list[Frame]) -> None:
    counts = np.array([ndimage.label(frame.mask, np.ones((3, 3)))[1] for frame in frames])
    assert counts.min() >= 1
    assert np.mean(counts == 1) == pytest.approx(0.84, abs=0.1)  # 3 binomial sigmas of 120 frames
    empty = BuiltinConfig(empty_share=1.0, two_target_share=0.0, many_target_share=0.0)
    assert not any(render_builtin(empty, 1, index).mask.any() for index in range(5))


def test_targets_do_not_change_the_background_elsewhere() -> None:
    shares = {"two_target_share": 0.0, "many_target_share": 0.0}
    with_target = render_builtin(BuiltinConfig(**shares), 3, 4)
    without = render_builtin(BuiltinConfig(empty_share=1.0, **shares), 3, 4)
    far = ~ndimage.binary_dilation(with_target.mask, np.ones((3, 3)), iterations=24)
    assert far.any()
    np.testing.assert_array_equal(with_target.levels[far], without.levels[far])


def test_targets_are_brighter_than_their_surroundings(frames: list[Frame]) -> None:
    peaks = []
    for frame in frames:
        ring = ndimage.binary_dilation(frame.mask, np.ones((3, 3)), iterations=8)
        ring &= ~ndimage.binary_dilation(frame.mask, np.ones((3, 3)), iterations=3)
        peaks.append(float(frame.levels[frame.mask > 0].max()) - float(np.median(frame.levels[ring])))
    assert np.median(peaks) > 25.0
    assert np.mean(np.array(peaks) > 5.0) > 0.97


def test_gradients_are_heavy_tailed(frames: list[Frame]) -> None:
    kurtosis = np.array([horizontal_gradient_kurtosis(frame.levels) for frame in frames])
    assert np.median(kurtosis) > 10.0
    assert np.mean(kurtosis > 6.0) > 0.65  # a Gaussian field alone gives 3.0


def test_flat_windows_exist_for_the_noise_bank(frames: list[Frame]) -> None:
    windows = [frame.levels.astype(float).reshape(8, 32, 8, 32).var((1, 3)) for frame in frames]
    flat = np.array([((w > 0.0) & (w < 50.0)).sum() for w in windows])
    assert np.mean(flat >= 4) > 0.75


def test_frames_differ_in_level_and_contrast(frames: list[Frame]) -> None:
    means = np.array([frame.levels.mean() for frame in frames])
    deviations = np.array([frame.levels.std() for frame in frames])
    assert np.percentile(means, 95) - np.percentile(means, 5) > 90.0
    assert np.percentile(deviations, 5) < 12.0 < 45.0 < np.percentile(deviations, 95)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"frame_hw": (32, 256)}, "frame_hw"),
        ({"num_frames": 0}, "num_frames"),
        ({"regimes": ()}, "regimes"),
        ({"regimes": ("moon",)}, "regimes"),
        ({"empty_share": 0.9, "two_target_share": 0.3}, "empty_share"),
        ({"scr_range": (5.0, 2.0)}, "scr_range"),
        ({"num_frame": 4}, "num_frame"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        BuiltinConfig(**values)
