"""What rendered frames have in common with infrared frames: tails, levels, quiet windows, visible targets."""

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene import SceneConfig, SceneFrame
from synth.scene.backdrops import BACKDROP_WEIGHTS, paint_backdrop
from synth.scene.clutter import power_law_field
from synth.scene.frame import SceneRenderer
from synth.scene.sheets import DrawnFields, SheetFields

NUM_FRAMES = 120


@pytest.fixture(scope="module", params=["uncooled_lwir_12um", "sirst_like"])
def frames(request: pytest.FixtureRequest) -> list[SceneFrame]:
    renderer = SceneRenderer(SceneConfig(sensor=request.param), 7)
    return [renderer.render(index) for index in range(NUM_FRAMES)]


def gradient_kurtosis(image: np.ndarray) -> float:
    gradient = np.diff(image.astype(np.float64), axis=1)
    gradient -= gradient.mean()
    return float((gradient**4).mean() / (gradient**2).mean() ** 2)


def test_frames_differ_in_level_and_contrast(frames: list[SceneFrame]) -> None:
    means = np.array([frame.levels.mean() for frame in frames])
    deviations = np.array([frame.levels.std() for frame in frames])
    assert np.percentile(means, 95) - np.percentile(means, 5) > 60.0
    assert np.percentile(deviations, 5) < 12.0 < 40.0 < np.percentile(deviations, 95)


def test_flat_windows_exist_for_the_noise_bank(frames: list[SceneFrame]) -> None:
    windows = [frame.levels.astype(float).reshape(8, 32, 8, 32).var((1, 3)) for frame in frames]
    flat = np.array([((variance > 0.0) & (variance < 50.0)).sum() for variance in windows])
    assert np.mean(flat >= 4) > 0.7


def test_backdrops_have_heavy_tailed_gradients() -> None:
    """A Gaussian field has a gradient kurtosis of 3.0 whatever its slope; real frames have medians of 20 to 65."""
    field = power_law_field(np.random.default_rng(0), hw=(256, 256), beta=2.5)
    assert gradient_kurtosis(field) == pytest.approx(3.0, abs=0.5)
    fields, kurtosis = SheetFields(0, 0, 288), []
    for name in BACKDROP_WEIGHTS:
        for index in range(12):
            backdrop = paint_backdrop(name, keyed_generator(1, Stream.SCENE, index), (256, 256), fields)
            kurtosis.append(gradient_kurtosis(backdrop.kelvin))
    assert np.median(kurtosis) > 10.0
    assert np.mean(np.array(kurtosis) > 4.0) > 0.7


@pytest.mark.parametrize("name", [*BACKDROP_WEIGHTS, "space"])
def test_backdrops_are_finite_and_within_the_range_of_scenes(name: str) -> None:
    for index in range(20):
        backdrop = paint_backdrop(name, keyed_generator(2, Stream.SCENE, index), (128, 160), SheetFields(0, 0, 160))
        assert backdrop.kelvin.dtype == np.float32
        assert backdrop.kelvin.shape == (128, 160)
        assert np.isfinite(backdrop.kelvin).all()
        assert -60.0 < backdrop.kelvin.min() <= backdrop.kelvin.max() < 90.0  # 14 bit at 100 DN/K and 6000 DN
        assert (backdrop.water_row is not None) == (name == "sea")


def test_own_textures_paint_the_same_regimes() -> None:
    for name in BACKDROP_WEIGHTS:
        backdrop = paint_backdrop(name, keyed_generator(3, Stream.SCENE, 0), (96, 96), DrawnFields())
        assert backdrop.kelvin.std() > 0.0
    own = SceneRenderer(SceneConfig(frame_hw=(64, 64), textures="own"), 0).render(0)
    shared = SceneRenderer(SceneConfig(frame_hw=(64, 64)), 0).render(0)
    assert own.truth.regime is shared.truth.regime


def test_space_is_dark_and_almost_empty() -> None:
    for index in range(10):
        backdrop = paint_backdrop("space", keyed_generator(4, Stream.SCENE, index), (128, 128), SheetFields(0, 0, 128))
        assert np.ptp(backdrop.kelvin) < 0.4  # ten times the noise of the space sensor, over the whole frame
