"""What stands still while frames are taken: a scene's backdrop, camera, impostors and placed targets.

Everything here follows from (config, seed, scene number). Streams: SCENE paints the backdrop, IMPOSTORS the hard
negatives that stay, TARGETS the targets, MOTION the line of sight and the paths, CAMERA the camera; FLICKER and NOISE
belong to single frames.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from synth.rng import KeyedGenerators, Stream
from synth.sample import FloatImage
from synth.scene.backdrops import Backdrop, paint_backdrop
from synth.scene.camera import VirtualCamera
from synth.scene.config import SceneConfig, SequenceConfig
from synth.scene.detector import draw_noise, noise_sigma_dn
from synth.scene.display import fit_view
from synth.scene.draws import chance, weighted
from synth.scene.imaging import half_taps, image_canvas, imaging_taps, respond_in_place
from synth.scene.impostors import (
    DetectorImpostor,
    Easel,
    draw_hot_pixels,
    draw_stripe_stubs,
    paint_glints,
    paint_scene_impostors,
)
from synth.scene.optics import blur_sigmas
from synth.scene.patches import paste_artefacts
from synth.scene.placement import Apart, place_targets
from synth.scene.plates import PlateLibrary
from synth.scene.shapes import reach_px
from synth.scene.sheets import DrawnFields, FieldSource, SheetCabinet
from synth.scene.site import Site, Standing
from synth.scene.trajectories import STANDING, draw_line_of_sight, draw_path
from synth.scene.truth import ImpostorTruth, Regime
from synth.scene.wishes import Wish, draw_count, draw_seam, draw_wish, seam_share

_KEPT_CAMERAS, _KEPT_SCENES = 4, 2
_Value = TypeVar("_Value")


class Scene(NamedTuple):
    """One scene.

    Attributes:
        number: Its number.
        camera_id: Its camera.
        camera: The same.
        backdrop: The canvas in kelvin, impostors of the scene included.
        plate_id: Id of the plate, empty for a painted backdrop.
        sight_px: float64 (length, 2), displacement of the picture in each frame.
        reference: Frame in which targets lie where they were placed.
        background_dn: float32 (H, W), the reference frame without targets: optics, artefacts, defects.
        impostors: Impostors of the canvas, in frame coordinates at rest.
        passing: All impostors of the reference frame.
        hot_pixels: Defects that stay, with their levels in raw DN.
        targets: Targets as they stand in the reference frame.
        num_refused: Places that were refused.
    """

    number: int
    camera_id: int
    camera: VirtualCamera
    backdrop: Backdrop
    plate_id: str
    sight_px: npt.NDArray[np.float64]
    reference: int
    background_dn: FloatImage
    impostors: tuple[ImpostorTruth, ...]
    passing: tuple[ImpostorTruth, ...]
    hot_pixels: tuple[tuple[DetectorImpostor, float], ...]
    targets: tuple[Standing, ...]
    num_refused: int


class Picture(NamedTuple):
    """A noise-free picture without targets and defects.

    Attributes:
        frame_dn: float32 (H, W), raw DN.
        impostors: Impostors of the canvas inside the frame.
        stubs: Stripe stubs of this frame with their levels in raw DN, not drawn yet.
    """

    frame_dn: FloatImage
    impostors: tuple[ImpostorTruth, ...]
    stubs: tuple[tuple[DetectorImpostor, float], ...]


class Stage:
    """Builds scenes and takes noise-free pictures of them.

    Args:
        config: What to render.
        seed: Recipe seed.

    Raises:
        SourceError: The plate folder cannot be used.
    """

    def __init__(self, config: SceneConfig, seed: int) -> None:
        self.config, self.rngs = config, KeyedGenerators(seed)
        self.sensor = config.resolved_sensor()
        self.length = 1 if config.sequence is None else config.sequence.length
        self._reach_px = 0 if config.sequence is None else config.sequence.sight_reach_px
        widest = blur_sigmas(self.sensor.sigma_optics_px[-1], jitter_sigma_px=self.sensor.jitter_sigma_px)[0]
        self.margin_px = half_taps(widest) + 1 + self._reach_px
        self.noise_dn = noise_sigma_dn(self.sensor, self.sensor.offset_dn)
        self.plates = None if config.plates is None else PlateLibrary(config.plates)
        self._sheets = SheetCabinet(seed, max(config.frame_hw) + 2 * self.margin_px, config.clutter_tilt)
        self._regimes = sorted(config.regimes)  # never the order they were written in
        self._regime_weights = tuple(config.regimes[name] for name in self._regimes)
        self._count_weights = config.targets.count_weights
        self._seam_share = seam_share(config)
        self._impostor_scr = config.impostors.scr or (config.scr.low, config.scr.high)
        self._drawn = DrawnFields(config.clutter_tilt)
        self._cameras: OrderedDict[int, VirtualCamera] = OrderedDict()
        self._scenes: OrderedDict[int, Scene] = OrderedDict()

    def scene(self, number: int) -> Scene:
        """Return a scene; the last two are kept for the frames of a sequence, that of a single frame only fills the caches."""
        if self.config.sequence is None:
            return self._build(number)
        return _recall(self._scenes, number, self._build, _KEPT_SCENES)

    def picture(self, scene: Scene, frame: int) -> Picture:
        """Take a noise-free picture of a scene, without targets."""
        return self._picture(scene.camera, scene.backdrop, scene.impostors, scene.sight_px[frame], scene.number, frame)

    def with_defects(
        self, picture: Picture, hot_pixels: Sequence[tuple[DetectorImpostor, float]], *planes: FloatImage
    ) -> tuple[ImpostorTruth, ...]:
        """Add hot pixels and stripe stubs to planes of a picture.

        Args:
            picture: The picture they stand in.
            hot_pixels: Defects of the scene with their levels.
            planes: float32 (H, W) raw DN, changed.

        Returns:
            All impostors of the frame.
        """
        defects = (*hot_pixels, *picture.stubs)
        for defect, level in defects:
            for plane in planes:
                defect.add_to(plane, level)
        return (*picture.impostors, *(defect.truth for defect, _ in defects))

    def _build(self, number: int) -> Scene:
        """Draw a scene: backdrop, line of sight, impostors, targets."""
        sequence = self.config.sequence
        camera_id = number // self.config.frames_per_camera if sequence is None else number
        camera = _recall(self._cameras, camera_id, self._draw_camera, _KEPT_CAMERAS)
        motion = None if sequence is None else self._rng(Stream.MOTION, number)
        sight = np.zeros((1, 2)) if sequence is None or motion is None else draw_line_of_sight(motion, sequence)
        reference = 0 if sequence is None or motion is None else int(motion.integers(sequence.length))
        plate_id, backdrop = self._draw_backdrop(number)
        rng = self._rng(Stream.IMPOSTORS, number)
        easel = self._easel(backdrop, rng)
        impostors = paint_scene_impostors(easel, self.config.impostors, self._fields(number))
        picture = self._picture(camera, backdrop, impostors, sight[reference], number, reference)
        drawn = draw_hot_pixels(rng, self.config.impostors, self._impostor_scr, self.config.frame_hw)
        hot_pixels = tuple((pixel, pixel.level_dn(picture.frame_dn, self.noise_dn)) for pixel in drawn)
        site = self._site(picture.frame_dn, camera, number, reference)  # from here on the picture is the site's
        artefacts = paste_artefacts(site, self.config, camera, rng=rng) if sequence is None else ()
        passing = (*self.with_defects(picture, hot_pixels, site.background_dn), *artefacts)
        for impostor in passing:
            site.avoid(impostor)
        targets, num_refused = self._place(site, camera, number, reference, motion)
        return Scene(
            number, camera_id, camera, backdrop, plate_id, sight, reference, site.background_dn,
            impostors, passing, hot_pixels, tuple(targets), num_refused,
        )  # fmt: skip

    def _draw_backdrop(self, number: int) -> tuple[str, Backdrop]:
        rng, hw = self._rng(Stream.SCENE, number), self.config.frame_hw
        is_plate = chance(rng, 0.0 if self.config.plates is None else self.config.plates.share)
        if self.plates is not None and is_plate:
            return self.plates.draw(rng, hw, self.margin_px, self._reach_px)
        name = self._regimes[weighted(rng, self._regime_weights)]
        canvas_hw = (hw[0] + 2 * self.margin_px, hw[1] + 2 * self.margin_px)
        return "", paint_backdrop(name, rng, canvas_hw, self._fields(number))

    def _picture(
        self,
        camera: VirtualCamera,
        backdrop: Backdrop,
        impostors: Sequence[ImpostorTruth],
        sight_px: npt.NDArray[np.float64],
        number: int,
        frame: int,
    ) -> Picture:
        rng = self._rng(Stream.FLICKER, number * self.length + frame)
        stubs = draw_stripe_stubs(rng, self.config.impostors, self._impostor_scr, self.config.frame_hw)
        glints: tuple[ImpostorTruth, ...] = ()
        if backdrop.water_row is not None:
            if self.config.sequence is not None:
                backdrop = backdrop._replace(kelvin=backdrop.kelvin.copy())  # glints stay on one frame
            glints = paint_glints(self._easel(backdrop, rng), self.config.impostors, backdrop)
        rows, cols = sight_px.tolist()
        frame_dn = self._image(camera, backdrop, rows, cols)
        respond_in_place(frame_dn, *camera.vignetting_profiles, self.sensor.gain_dn_per_k, self.sensor.offset_dn)
        moved = (impostor.moved(rows, cols) for impostor in (*impostors, *glints))
        inside = tuple(impostor for impostor in moved if impostor.is_inside(self.config.frame_hw))
        return Picture(frame_dn, inside, tuple((stub, stub.level_dn(frame_dn, self.noise_dn)) for stub in stubs))

    def _image(self, camera: VirtualCamera, backdrop: Backdrop, down_px: float, right_px: float) -> FloatImage:
        """Apply optics, pixel and line of sight, displaced by some px; a plate carries its own blur."""
        whole = math.floor(down_px + 0.5), math.floor(right_px + 0.5)
        rest = down_px - whole[0], right_px - whole[1]
        top, left = self.margin_px - whole[0], self.margin_px - whole[1]
        rows, cols = self.config.frame_hw
        is_plate = backdrop.regime is Regime.PLATE
        if is_plate and rest == (0.0, 0.0):
            return np.ascontiguousarray(backdrop.kelvin[top : top + rows, left : left + cols])
        sigma = blur_sigmas(camera.sigma_optics_px, jitter_sigma_px=self.sensor.jitter_sigma_px)[0]
        down, right = (imaging_taps(0.0 if is_plate else sigma, shift, pixel=not is_plate) for shift in rest)
        return image_canvas(backdrop.kelvin, down, right, top, left, rows, cols)

    def _site(self, frame_dn: FloatImage, camera: VirtualCamera, number: int, frame: int) -> Site:
        index, noise, view = number * self.length + frame, None, None
        if self.config.scr.mode == "realised":
            noise = draw_noise(camera, rng=self._rng(Stream.NOISE, index))
        if self.config.scr.view_peak_dn is not None:
            counts = np.rint(np.clip(frame_dn, 0.0, self.sensor.raw_max)).astype(np.uint16)
            view = fit_view(counts, self.sensor, rng=self._rng(Stream.VIEW, index))
        return Site(frame_dn, camera, self.config.scr, noise, view)

    def _place(
        self, site: Site, camera: VirtualCamera, number: int, reference: int, motion: np.random.Generator | None
    ) -> tuple[list[Standing], int]:
        rng, sequence = self._rng(Stream.TARGETS, number), self.config.sequence
        wishes = []
        for _ in range(draw_count(rng, self._count_weights)):
            wish = draw_wish(rng, self.config, camera)
            seam_px = draw_seam(rng, self._seam_share, wish)
            path = STANDING if sequence is None or motion is None else draw_path(motion, sequence, reference)
            wishes.append(wish._replace(seam_px=seam_px, path=path) if seam_px or path is not STANDING else wish)
        apart = None if sequence is None else _apart(sequence, self.config.targets.min_spacing_px)
        return place_targets(wishes, site, self.config.targets, rng=rng, is_apart=apart)

    def _fields(self, number: int) -> FieldSource:
        return self._drawn if self.config.textures == "own" else self._sheets.of_scene(number)

    def _easel(self, backdrop: Backdrop, rng: np.random.Generator) -> Easel:
        noise = self.noise_dn / self.sensor.gain_dn_per_k
        return Easel(backdrop.kelvin, self.margin_px, self.config.frame_hw, noise, self._impostor_scr, rng)

    def _draw_camera(self, camera_id: int) -> VirtualCamera:
        return VirtualCamera.draw(self.sensor, self.config.frame_hw, rng=self._rng(Stream.CAMERA, camera_id))

    def _rng(self, stream: Stream, index: int) -> np.random.Generator:
        return self.rngs.of(stream, index)


def _apart(sequence: SequenceConfig, spacing_px: int) -> Apart:
    """Return the rule that targets keep their distance in every frame of a sequence."""

    def is_apart(wish: Wish, placed: Sequence[Standing], centre: tuple[float, float]) -> bool:
        """Tell whether a wish at this centre keeps clear of all that stand, in every frame."""
        for other in placed:
            least = reach_px(wish.model) + reach_px(other.wish.model) + spacing_px
            for frame in range(sequence.length):
                a, b = wish.path.offset(frame), other.wish.path.offset(frame)
                place = other.centre()
                gap = max(abs(centre[0] + a[0] - place[0] - b[0]), abs(centre[1] + a[1] - place[1] - b[1]))
                if gap < least:
                    return False
        return True

    return is_apart


def _recall(kept: OrderedDict[int, _Value], key: int, make: Callable[[int], _Value], most: int) -> _Value:
    """Return a value from a small cache, made when it is not there; the least recently used goes."""
    if key not in kept:
        kept[key] = make(key)
        if len(kept) > most:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]
