"""Targets by what they radiate instead of by a ratio: size, contrast and range, through the air, onto a pixel.

The signal of an unresolved target in kelvin times pixels is ``A / (R*IFOV)^2 * dT_app``: the share of a pixel it fills
times its apparent contrast (physics section 1). Its amplitude follows from nothing else, so a target may well be invisible;
the ratio it comes to is measured and stored beside its range. This is what curves of Pd over range are made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.scene.atmosphere import AttenuationConfig, apparent_contrast, apparent_kelvin, fill_factor
from synth.scene.draws import log_uniform, rising, uniform
from synth.scene.target_config import Interval

_FROZEN = ConfigDict(frozen=True, extra="forbid")

Positive = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]


class KelvinContrast(BaseModel):
    """A target before a background at its own range, which shares its path: the contrast is dT * tau(R).

    Attributes:
        kind: Always "kelvin".
        kelvin: Bounds of the target's temperature less the background's, uniform; below 0 for a dark target.
        radiance_per_k: Band radiance derivative dL/dT, W/(m^2 sr K), for the stored radiant intensity; or null.
    """

    model_config = _FROZEN

    kind: Literal["kelvin"] = "kelvin"
    kelvin: Interval
    radiance_per_k: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising("ranges.contrast.kelvin", self.kelvin, -300.0, 3000.0)
        return self


class RadianceContrast(BaseModel):
    """A target before a background farther away, such as sky: tau(R)*L_t + L_path(R) - L_b, which may change sign with range.

    Attributes:
        kind: Always "radiance".
        target_radiance: Bounds of L_t at the target, W/(m^2 sr), uniform.
        background_radiance: L_b as it appears at the sensor, W/(m^2 sr).
        radiance_per_k: Band radiance derivative dL/dT at the scene temperature, W/(m^2 sr K).
    """

    model_config = _FROZEN

    kind: Literal["radiance"] = "radiance"
    target_radiance: Interval
    background_radiance: float = Field(ge=0.0, le=1e9, allow_inf_nan=False)
    radiance_per_k: Positive

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising("ranges.contrast.target_radiance", self.target_radiance, 0.0, 1e9)
        return self


class RangesConfig(BaseModel):
    """Unresolved targets at drawn ranges.

    Attributes:
        range_km: Bounds of the range, uniform.
        area_m2: Bounds of the target's projected area, log-uniform.
        ifov_mrad: Field of view of a pixel.
        contrast: Temperature or radiance of target and background.
        path: The air between: a table of one's own, or exp(-k*R).
    """

    model_config = _FROZEN

    range_km: Interval
    area_m2: Interval
    ifov_mrad: Positive
    contrast: Annotated[KelvinContrast | RadianceContrast, Field(discriminator="kind")]
    path: AttenuationConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising("ranges.range_km", self.range_km, 1e-3, 1e6)
        rising("ranges.area_m2", self.area_m2, 1e-6, 1e6)
        for end in self.range_km:
            if not self.path.covers(end):
                raise ValueError(f"ranges.range_km must lie within the path table, got {end:g} km")
        footprint_m = self.range_km[0] * self.ifov_mrad
        if self.area_m2[1] > footprint_m * footprint_m:
            raise ValueError(
                f"ranges.area_m2 must be <= the pixel's footprint at the nearest range, {footprint_m * footprint_m:.3g} m^2, "
                f"because these targets are unresolved, got {self.area_m2[1]:g}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Emitter:
    """An unresolved target as the sensor receives it.

    Attributes:
        range_km: Its range.
        flux_kelvin: Its signal summed over pixels, K*px, negative where it is dark.
        intensity_w_sr: Its contrast radiant intensity without the air, (L_t - L_b) * A, W/sr; NaN without radiances.
    """

    range_km: float
    flux_kelvin: float
    intensity_w_sr: float


def draw_emitter(rng: np.random.Generator, config: RangesConfig) -> Emitter:
    """Draw range, area and contrast of a target: three draws.

    Args:
        rng: Target stream of the scene.
        config: Their bounds.
    """
    range_km, area_m2 = uniform(rng, *config.range_km), log_uniform(rng, *config.area_m2)
    fill = fill_factor(area_m2=area_m2, range_km=range_km, ifov_mrad=config.ifov_mrad)
    contrast = config.contrast
    if isinstance(contrast, KelvinContrast):
        kelvin = uniform(rng, *contrast.kelvin)
        intensity = np.nan if contrast.radiance_per_k is None else contrast.radiance_per_k * kelvin * area_m2
        return Emitter(range_km, apparent_kelvin(config.path, range_km=range_km, fill=fill, kelvin=kelvin), intensity)
    radiance, behind = uniform(rng, *contrast.target_radiance), contrast.background_radiance
    received = apparent_contrast(config.path, range_km=range_km, fill=fill, target_radiance=radiance, background_radiance=behind)
    return Emitter(range_km, received / contrast.radiance_per_k, (radiance - behind) * area_m2)
