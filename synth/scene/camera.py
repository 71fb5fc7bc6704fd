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
from synth.scene.noise_members import NOISE_MEMBERS, LocalNoise, PixelLaw, pixel_law
from synth.scene.optics import vignetting_map
from synth.scene.sensor_config import SensorConfig


@dataclass(frozen=True, slots=True, eq=False)
class VirtualCamera:
    """One camera of a sensor type; all maps in raw levels, float32.

    Attributes:
        sensor: Its type.
        frame_hw: Rows and columns of its frames.
        sigma_optics_px: Its optical blur.
        vignetting: (H, W) relative illumination, applied by the scene before the optics.
        pattern_dn: (H, W) fixed pixel pattern (vh).
        row_dn: (H, 1) fixed row pattern (v).
        column_dn: (1, W) fixed column pattern (h).
        gain: (H, W) deviation of each pixel's responsivity, relative; (0, W) where the sensor has none.
        nuc_dn: (H, W) shading the correction leaves; (0, W) where the sensor has none.
        defects: Its bad pixels.
        law: Its temporal pixel noise.
        local_noise: Spread of the pixels of a flat window.
    """

    sensor: SensorConfig
    frame_hw: tuple[int, int]
    sigma_optics_px: float
    vignetting: FloatImage
    pattern_dn: FloatImage
    row_dn: FloatImage
    column_dn: FloatImage
    gain: FloatImage
    nuc_dn: FloatImage
    defects: DefectMap
    law: PixelLaw
    local_noise: LocalNoise

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
        nuc = NOISE_MEMBERS["nuc"].sample(sensor, sensor.offset_dn, frame_hw, rng)
        absent = np.empty((0, frame_hw[1]), np.float32)
        return cls(
            sensor=sensor,
            frame_hw=frame_hw,
            sigma_optics_px=sigma,
            vignetting=vignetting_map(frame_hw, sensor.vignetting),
            pattern_dn=vh,
            row_dn=v,
            column_dn=h,
            gain=gain if sensor.gain_nonuniformity > 0.0 else absent,
            nuc_dn=nuc if sensor.nuc_residual_k > 0.0 else absent,
            defects=draw_defects(sensor, frame_hw, rng=rng),
            law=pixel_law(sensor),
            local_noise=LocalNoise(sensor),
        )
