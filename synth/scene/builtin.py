"""The built-in source: labelled infrared-like frames for whoever has no data.

Order of the chain: clutter in kelvin, optics and pixel, responsivity and fixed pattern, targets (integrated over the
pixel on their own), noise, 14-bit conversion, 8-bit view.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.rng import Stream, keyed_generator
from synth.sample import FloatImage, Frame
from synth.scene.clutter import even_fast_length
from synth.scene.draws import log_uniform, weighted
from synth.scene.psf import blur_canvas
from synth.scene.regimes import PAINTERS, WEIGHTS, RegimeName
from synth.scene.sensor import Camera, View, convert, draw_camera, fit_view, fixed_pattern, respond, show
from synth.scene.targets import Contrast, draw_count, draw_shape, place

MARGIN_PX = 16
"""Border of the canvas that is cropped after the optics, whose transform wraps round; 13 sigma of the widest blur."""

_BRIGHTEST_VIEW_DN = 252.0  # targets stay below, so that they are not clipped flat
_FLOOR_VIEW_DN = (
    16.0,
    100.0,
)  # least peak, drawn per frame; SIRST v1 and NUDT peaks start at 28 and 36 (5 % quantiles)

Side = Annotated[int, Field(ge=64, le=2048)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class BuiltinConfig(BaseModel):
    """Frames rendered from nothing but a seed.

    Attributes:
        kind: Always "builtin".
        num_frames: Frames in the source.
        frame_hw: Rows and columns of a frame, each 64..2048 px.
        regimes: Backgrounds to choose from, with the relative frequencies of :data:`synth.scene.regimes.WEIGHTS`.
        empty_share: Share of frames without a target.
        two_target_share: Share of frames with two targets (default: SIRST v1 trainval).
        many_target_share: Share of frames with three to five targets; the rest has one.
        scr_range: Bounds of the requested signal-to-clutter ratio, log-uniform; on flat sky, where it would ask for a
            contrast that no published target has, a least contrast replaces it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["builtin"] = "builtin"
    num_frames: int = Field(default=400, ge=1, le=1_000_000)
    frame_hw: tuple[Side, Side] = (256, 256)
    regimes: tuple[RegimeName, ...] = Field(default=tuple(PAINTERS), min_length=1)
    empty_share: Share = 0.0
    two_target_share: Share = 0.115
    many_target_share: Share = 0.045
    scr_range: tuple[float, float] = (2.0, 20.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.empty_share + self.two_target_share + self.many_target_share > 1.0:
            raise ValueError("empty_share + two_target_share + many_target_share must be at most 1")
        if not 0.0 < self.scr_range[0] <= self.scr_range[1] <= 1000.0:
            raise ValueError(f"scr_range must rise and lie in (0, 1000], got {self.scr_range}")
        return self


def render_builtin(config: BuiltinConfig, seed: int, index: int) -> Frame:
    """Render one frame; the same three arguments give the same bytes, in any order and on any machine.

    Args:
        config: What to render.
        seed: Recipe seed, 0 <= seed < 2^64.
        index: Frame index, 0 <= index; beyond ``num_frames`` is allowed and gives further frames.

    Returns:
        Frame ``builtin-<index>`` with uint8 levels (H, W), ``max_level`` 255 and mask uint8 (H, W) in {0, 1}.
    """
    camera_rng = keyed_generator(seed, Stream.CAMERA, index)
    camera = draw_camera(camera_rng)
    kelvin = paint_scene(config, keyed_generator(seed, Stream.SCENE, index), camera.sigma_optics_px)
    background = respond(kelvin) + fixed_pattern(camera_rng, camera, config.frame_hw)
    view = fit_view(background, camera)
    target_rng = keyed_generator(seed, Stream.TARGETS, index)
    num_targets = draw_count(target_rng, config.empty_share, config.two_target_share, config.many_target_share)
    contrast = _contrast(config, target_rng, camera, view)
    shapes = [draw_shape(target_rng, camera.sigma_optics_px) for _ in range(num_targets)]
    levels, mask = place(target_rng, background, shapes, contrast)
    raw = convert(levels, keyed_generator(seed, Stream.NOISE, index), camera)
    return Frame(id=f"builtin-{index:06d}", levels=show(raw, view), max_level=255, mask=mask)


def draw_regime(config: BuiltinConfig, rng: np.random.Generator) -> RegimeName:
    """Return the background of a frame: the first draw of its scene stream."""
    return config.regimes[weighted(rng, [WEIGHTS[name] for name in config.regimes])]


def paint_scene(config: BuiltinConfig, rng: np.random.Generator, sigma_optics_px: float) -> FloatImage:
    """Paint a background on a larger canvas, blur it with optics and pixel, and crop.

    Args:
        config: Frame size and regimes.
        rng: Scene stream of the frame.
        sigma_optics_px: Optical blur of the camera.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    rows, cols = config.frame_hw
    canvas_hw = (even_fast_length(rows + 2 * MARGIN_PX), even_fast_length(cols + 2 * MARGIN_PX))
    painter = PAINTERS[draw_regime(config, rng)]
    canvas = blur_canvas(painter(rng, canvas_hw), sigma_optics_px)
    return canvas[MARGIN_PX : MARGIN_PX + rows, MARGIN_PX : MARGIN_PX + cols]


def _contrast(config: BuiltinConfig, rng: np.random.Generator, camera: Camera, view: View) -> Contrast:
    return Contrast(
        scr_range=config.scr_range,
        noise_dn=camera.noise_dn,
        floor_dn=log_uniform(rng, *_FLOOR_VIEW_DN) / view.gain,
        ceiling_dn=view.raw_of(_BRIGHTEST_VIEW_DN),
    )
