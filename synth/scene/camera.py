"""A virtual camera: everything that stays the same from frame to frame.

Drawn once from ``keyed_generator(seed, Stream.CAMERA, camera_id)`` and shared by all frames of that camera, a fixed
pattern is what makes the noise of a sequence sequential.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from synth.sample import FloatImage
from synth.scene.badpixels import DefectMap, draw_defects
from synth.scene.draws import log_spread
from synth.scene.noise_members import FRESH_TERMS, NOISE_MEMBERS, LocalNoise, PixelLaw, pixel_law, shading_profiles
from synth.scene.optics import vignetting_map, vignetting_profiles
from synth.scene.sensor_config import SensorConfig


@dataclass(frozen=True, slots=True, eq=False)
class VirtualCamera:
    """One camera of a sensor type; all maps in raw levels, float32.

    Attributes:
        sensor: Its type.
        frame_hw: Rows and columns of its frames.
        sigma_optics_px: Its optical blur.
        vignetting: (H, W) relative illumination.
        vignetting_profiles: (H,) and (W,), the same as :func:`synth.scene.optics.vignetting_profiles` gives it: quicker to
            compute from than a map is to read.
        pattern_dn: (H, W) fixed pixel pattern (vh).
        row_dn: (H, 1) fixed row pattern (v).
        column_dn: (1, W) fixed column pattern (h).
        gain: (H, W) deviation of each pixel's responsivity, relative; (1, W) of zeros where the sensor
            has none.
        nuc_row_dn: (H, 1) and
        nuc_column_dn: (1, W), the shading the correction leaves is their sum; zeros where the sensor has none.
        defects: Its bad pixels.
        law: Its temporal pixel noise.
        local_noise: Spread of the pixels of a flat window.
        fresh_sigmas_dn: Standard deviation of each of the terms drawn for every frame, DN.
    """

    sensor: SensorConfig
    frame_hw: tuple[int, int]
    sigma_optics_px: float
    vignetting: FloatImage
    vignetting_profiles: tuple[FloatImage, FloatImage]
    pattern_dn: FloatImage
    row_dn: FloatImage
    column_dn: FloatImage
    gain: FloatImage
    nuc_row_dn: FloatImage
    nuc_column_dn: FloatImage
    defects: DefectMap
    law: PixelLaw
    local_noise: LocalNoise
    fresh_sigmas_dn: tuple[float, float, float, float]

    @property
    def nuc_dn(self) -> FloatImage:
        """The shading the correction leaves, (H, W)."""
        return self.nuc_row_dn + self.nuc_column_dn

    @classmethod
    def draw(cls, sensor: SensorConfig, frame_hw: tuple[int, int], *, rng: np.random.Generator) -> Self:
        """Draw a camera.

        Args:
            sensor: Its type.
            frame_hw: Rows and columns, a window of the sensor's array.
            rng: Camera stream.
        """
        sigma = log_spread(rng, sensor.sigma_optics_px)
        vh, v, h = (NOISE_MEMBERS[name].sample(sensor, sensor.offset_dn, frame_hw, rng) for name in ("vh", "v", "h"))
        gain = NOISE_MEMBERS["gain"].sample(sensor, sensor.offset_dn + 1.0, frame_hw, rng)  # per level of distance
        nuc_row, nuc_column = shading_profiles(sensor, frame_hw, rng)
        t, tv, th, walk = (NOISE_MEMBERS[name].sigma(sensor, sensor.offset_dn) for name in FRESH_TERMS)
        absent = np.zeros((1, frame_hw[1]), np.float32)
        return cls(
            sensor=sensor,
            frame_hw=frame_hw,
            sigma_optics_px=sigma,
            vignetting=vignetting_map(frame_hw, sensor.vignetting),
            vignetting_profiles=vignetting_profiles(frame_hw, sensor.vignetting),
            pattern_dn=vh,
            row_dn=v,
            column_dn=h,
            gain=gain if sensor.gain_nonuniformity > 0.0 else absent,
            nuc_row_dn=nuc_row,
            nuc_column_dn=nuc_column,
            defects=draw_defects(sensor, frame_hw, rng=rng),
            law=pixel_law(sensor),
            local_noise=LocalNoise(sensor),
            fresh_sigmas_dn=(t, tv, th, walk),
        )
