"""One frame of a scene: ``render_scene(config, seed, index)``, pure and with random access.

Order (physics section 9): backdrop with its hard edges in kelvin -> impostors of the scene -> optics and pixel ->
vignetting and responsivity -> targets, integrated over the pixel on their own -> lag -> defects without spread -> noise,
fixed pattern, rails, ADC, correction -> raw -> gain control -> view. Vignetting stands behind the optics instead of before
them: a map this smooth commutes with the blur.

A *scene* is what stands still: backdrop, camera, targets with their amplitudes (:mod:`synth.scene.stage`). A single frame
has a scene of its own; the frames of a sequence share one, and any of them is rendered alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synth.rng import Stream
from synth.sample import FloatImage, MaskLevels
from synth.scene.config import SceneConfig
from synth.scene.detector import digitise, draw_noise
from synth.scene.display import fit_view, show
from synth.scene.labels import Labeller
from synth.scene.site import Standing, hidden_level, insert
from synth.scene.stage import Picture, Scene, Stage
from synth.scene.trajectories import lag_weights
from synth.scene.truth import FrameTruth, ImpostorTruth, ScrMode, TargetTruth


class SceneFrame(NamedTuple):
    """A rendered frame with its labels.

    Attributes:
        levels: uint8 (H, W), the view.
        raw: uint16 (H, W), what the sensor put out, 0..2^bits - 1.
        mask: uint8 (H, W) in {0, 1}.
        truth: Everything else that is known.
    """

    levels: npt.NDArray[np.uint8]
    raw: npt.NDArray[np.uint16]
    mask: MaskLevels
    truth: FrameTruth


class Composed(NamedTuple):
    """A frame before the sensor's noise.

    Attributes:
        background_dn: float32 (H, W) without targets and lag, raw DN.
        signal_dn: float32 (H, W) with both.
        targets: Targets inside the frame.
        impostors: Impostors inside the frame.
    """

    background_dn: FloatImage
    signal_dn: FloatImage
    targets: Sequence[Standing]
    impostors: tuple[ImpostorTruth, ...]


class SceneRenderer:
    """Renders the frames of one source; it keeps cameras, sheets, plates and the last scenes, which changes no frame.

    It belongs to one thread. It holds up to 25 MB of sheets at 256x256, 128 MB of plates and a few MB of cameras.

    Args:
        config: What to render.
        seed: Recipe seed, 0 <= seed < 2^63.

    Raises:
        SourceError: The plate folder cannot be used.
    """

    def __init__(self, config: SceneConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.stage = Stage(config, seed)

    def render(self, index: int) -> SceneFrame:
        """Render one frame; see :func:`render_scene`."""
        number, frame = divmod(index, self.stage.length)
        scene = self.stage.scene(number)
        composed = self._compose_single(scene) if self.config.sequence is None else self._compose(scene, frame)
        noise = draw_noise(scene.camera, rng=self.stage.rngs.of(Stream.NOISE, index))
        exposure = digitise(composed.signal_dn, scene.camera, noise)
        sensor = self.stage.sensor
        view = fit_view(exposure.raw, sensor, rng=self.stage.rngs.of(Stream.VIEW, index))
        levels = show(exposure.raw, view)
        mask = np.zeros(self.config.frame_hw, np.uint8)
        for target in composed.targets:
            target.mark(mask)
        labeller = Labeller(
            composed.background_dn, exposure.raw, levels, mask,
            camera=scene.camera, mode=ScrMode[self.config.scr.mode.upper()], regime=scene.backdrop.regime,
            is_sequence=self.config.sequence is not None,
        )  # fmt: skip
        truth = self._truth(scene, frame, labeller.label(composed.targets), composed.impostors, exposure.saturated_px)
        return SceneFrame(levels, exposure.raw, mask, truth)

    def _compose_single(self, scene: Scene) -> Composed:
        signal = scene.background_dn.copy() if scene.targets else scene.background_dn
        for target in scene.targets:
            insert(signal, target, hidden_level(scene.background_dn, target, scene.targets))
        return Composed(scene.background_dn, signal, scene.targets, scene.passing)

    def _compose(self, scene: Scene, frame: int) -> Composed:
        """Compose a frame of a sequence; with one lag weight and nothing in motion it equals the single frame."""
        picture = self.stage.picture(scene, frame)
        targets = self._targets(scene, frame)
        signal = self._lagged(scene, frame, picture)
        background = picture.frame_dn.copy()
        impostors = self.stage.with_defects(picture, scene.hot_pixels, background, signal)
        return Composed(background, signal, targets, impostors)

    def _lagged(self, scene: Scene, frame: int, picture: Picture) -> FloatImage:
        """Return the picture with its targets, as a bolometer gives it: the weighted sum over this and earlier frames."""
        sequence, sensor = self.config.sequence, self.stage.sensor
        assert sequence is not None
        weights = lag_weights(sensor.frame_rate_hz, sensor.time_constant_ms if sequence.lag else 0.0, frame)
        signal = self._with_targets(scene, frame, picture)
        if len(weights) == 1:
            return signal
        signal *= np.float32(weights[0])
        for back, weight in enumerate(weights[1:], start=1):
            earlier = self._with_targets(scene, frame - back, self.stage.picture(scene, frame - back))
            signal += np.float32(weight) * earlier
        return signal

    def _with_targets(self, scene: Scene, frame: int, picture: Picture) -> FloatImage:
        signal, targets = picture.frame_dn.copy(), self._targets(scene, frame)
        for target in targets:
            insert(signal, target, hidden_level(picture.frame_dn, target, targets))
        return signal

    def _targets(self, scene: Scene, frame: int) -> tuple[Standing, ...]:
        """Return the targets of a frame: those that lie inside it."""
        sight = scene.sight_px[frame] - scene.sight_px[scene.reference]
        moved = []
        for target in scene.targets:
            rows, cols = target.wish.path.offset(frame)
            target = target.moved(rows + float(sight[0]), cols + float(sight[1]))
            if target.is_inside(self.config.frame_hw, self.config.targets.border_px):
                moved.append(target)
        return tuple(moved)

    def _truth(
        self,
        scene: Scene,
        frame: int,
        targets: tuple[TargetTruth, ...],
        impostors: tuple[ImpostorTruth, ...],
        saturated_px: int,
    ) -> FrameTruth:
        return FrameTruth(
            targets=targets,
            impostors=impostors,
            regime=scene.backdrop.regime,
            plate_id=scene.plate_id,
            camera_id=scene.camera_id,
            sequence_id=-1 if self.config.sequence is None else scene.number,
            frame_index=frame,
            time_s=frame / self.stage.sensor.frame_rate_hz,
            num_rejected=scene.num_refused,
            saturated_px=saturated_px,
        )


def render_scene(config: SceneConfig, seed: int, index: int) -> SceneFrame:
    """Render one frame; the same three arguments give the same bytes, in any order and in any process.

    Args:
        config: What to render.
        seed: Recipe seed, 0 <= seed < 2^63.
        index: Frame index, 0 <= index; beyond ``num_frames`` is allowed and gives further frames.

    Returns:
        View, raw frame, mask and truth.

    Raises:
        SourceError: The plate folder cannot be used.
    """
    return _renderer(config, seed).render(index)


def _renderer(config: SceneConfig, seed: int) -> SceneRenderer:
    """Return the renderer of a source from the last two of this thread; whoever renders many frames keeps one."""
    if not hasattr(_KEPT, "renderers"):
        _KEPT.renderers = deque(maxlen=2)
    kept: deque[SceneRenderer] = _KEPT.renderers
    for renderer in kept:
        if renderer.seed == seed and (renderer.config is config or renderer.config == config):
            return renderer
    renderer = SceneRenderer(config, seed)
    kept.append(renderer)
    return renderer


_KEPT = threading.local()
