"""What a sensor is: its numbers with units, checked against each other before any work starts.

``netd_mk`` is the standard deviation of the temporal pixel noise sigma_tvh of one frame, in apparent temperature, and
must be read with f-number, frame rate and scene temperature, which stand beside it. The noise ratios are relative to
sigma_tvh (3-D noise, D'Agostino & Webb, SPIE 1488, 1991) and describe the *corrected* raw frame. ``presets`` names ready
sensors with the source of every number.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synth.scene.denoise import MOST_SIGMA_PX, Denoiser
from synth.scene.display import Agc, LinearAgc
from synth.scene.draws import Points, rising

LEAST_NOISE_DN = 2.0
"""Least sigma_tvh in raw levels: below it the 1/12 DN^2 of rounding would add over 1 % (2 % of the variance)."""

PSF_REACH_SIGMAS = 6.0
"""Width of a PSF in optical sigmas, +-3, against the frame's shorter side (our choice: 99.7 % of the flux per axis)."""

CHAIN_TOLERANCE = 0.03
"""Relative disagreement allowed between stated NETD or gain and those of the electrons (our choice: rounding of presets)."""

Ratio = Annotated[float, Field(ge=0.0, le=3.0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0.0, le=0.05, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class ThermalShot(BaseModel):
    """Noise that does not depend on the signal: a bolometer, or any chain whose NETD is all one knows."""

    model_config = _FROZEN

    kind: Literal["thermal"] = "thermal"


class PhotonShot(BaseModel):
    """Noise of counted electrons: N = background_e at ``offset_dn``, and ``gain_e_per_dn`` more per raw level.

    Attributes:
        kind: Always "photon".
        background_e: Electrons of the background at ``offset_dn``.
        read_e: Standard deviation of everything that does not depend on the signal, electrons.
        dark_e: Dark electrons per frame; they add variance, their mean is taken out by the correction.
        gain_e_per_dn: Electrons per raw level.
        contrast_per_k: dlnN/dT of the background, 1/K: c2/(lambda*T^2), 0.040 at 4 um and 300 K (physics section 1);
            null where the scene's unit is no temperature (space): gain and NETD are then only tied to the electrons.
        exact_poisson: Draw true Poisson counts instead of the Gaussian of equal variance, which is off by 1/sqrt(N) in
            skewness; about ten times slower.
    """

    model_config = _FROZEN

    kind: Literal["photon"] = "photon"
    background_e: Positive
    read_e: float = Field(ge=0.0, le=1e6, allow_inf_nan=False)
    dark_e: float = Field(default=0.0, ge=0.0, le=1e9, allow_inf_nan=False)
    gain_e_per_dn: Positive
    contrast_per_k: Positive | None = 0.040
    exact_poisson: bool = False

    @property
    def sigma_dn(self) -> float:
        """Standard deviation at ``offset_dn``, raw levels."""
        return math.sqrt(self.background_e + self.dark_e + self.read_e * self.read_e) / self.gain_e_per_dn


Shot = Annotated[ThermalShot | PhotonShot, Field(discriminator="kind")]


class NoiseRatios(BaseModel):
    """Standard deviations of the noise terms beside sigma_tvh, relative to it; all assumptions (physics section 2).

    Attributes:
        vh: Fixed pixel pattern.
        v: Fixed row pattern.
        h: Fixed column pattern.
        t: Level of the whole frame, fresh in every frame.
        tv: Rows, fresh in every frame.
        th: Columns, fresh in every frame.
        column_walk: 1/f wandering along the columns, fresh in every frame; part of th in a 3-D decomposition.
    """

    model_config = _FROZEN

    vh: Ratio = 0.4
    v: Ratio = 0.25
    h: Ratio = 0.25
    t: Ratio = 0.05
    tv: Ratio = 0.1
    th: Ratio = 0.05
    column_walk: Ratio = 0.0


class BadPixels(BaseModel):
    """Defects as shares of all pixels, before replacement; all assumptions (operability 99-99.9 %, physics section 2).

    Attributes:
        dead_rate: Pixels stuck at one low level.
        hot_rate: Pixels with a constant excess.
        blinking_rate: Pixels that jump by a fixed amount in a random half of the frames.
        cluster_share: Share of the defects that come as clusters of 2-4 px.
        replacement: Whether the camera replaces the defects it knows by the median of good neighbours.
        missed_share: Share of the defects it does not know.
    """

    model_config = _FROZEN

    dead_rate: Rate = 0.0
    hot_rate: Rate = 0.0
    blinking_rate: Rate = 0.0
    cluster_share: float = Field(default=0.2, ge=0.0, le=1.0)
    replacement: bool = True
    missed_share: float = Field(default=0.05, ge=0.0, le=1.0)


class SensorConfig(BaseModel):
    """One sensor, from the focal plane to the view.

    Attributes:
        name: Name shown in manifests and tables.
        frame_hw: Rows and columns of the array; a scene may use a window of it.
        sigma_optics_px: Bounds or quantiles of the optical blur, px, without the pixel's own 1/12; log-uniform per camera.
        netd_mk: Temporal pixel noise sigma_tvh at ``offset_dn``, mK.
        f_number: F-number the NETD holds for, or null.
        frame_rate_hz: Frame rate the NETD holds for; also the rate of sequences.
        scene_temperature_k: Scene temperature T0 the NETD holds for; it lies at ``offset_dn``.
        gain_dn_per_k: Responsivity G: raw level = offset_dn + G*(T - T0).
        adc_bits: Bits of the raw levels, 1..16.
        offset_dn: Raw level of T0.
        shot: Noise law of the signal.
        noise: Other noise terms, relative to sigma_tvh.
        gain_nonuniformity: Residual spread of the pixels' responsivity, relative; acts on the distance from offset_dn.
        nuc_residual_k: Large-scale error the non-uniformity correction leaves, standard deviation over the frame, K; from
            end to end it is about four times as much.
        bad_pixels: Defects.
        vignetting: Loss of scene contrast in the corner, 0..0.2.
        jitter_sigma_px: Line-of-sight jitter within the integration time, px; widens the blur.
        well_fraction: Share of the ADC's range at which the signal saturates.
        time_constant_ms: Thermal time constant of a bolometer; 0 for photon detectors.
        agc: How raw levels become grey levels.
        denoise: Filter of the view path, between raw and AGC.
        levels_share: Bounds or quantiles of the share of the 255 grey steps a view uses, uniform per frame: 1 for all of them,
            219/255 for frames that went through video range, less for frames stretched after they had been rounded.
        denoise_sigma_px: Bounds or quantiles of the kernel of the Gaussian filter, uniform per frame; 0.7 px is about the
            binomial kernel 1 2 1.
        jpeg_quality: Quality of a block codec on the view (:mod:`synth.scene.codec`), or bounds or quantiles of a uniform
            draw per frame, or null.
    """

    model_config = _FROZEN

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    frame_hw: tuple[Annotated[int, Field(ge=16, le=8192)], Annotated[int, Field(ge=16, le=8192)]]
    sigma_optics_px: Points
    netd_mk: float
    f_number: Positive | None = None
    frame_rate_hz: Positive = 50.0
    scene_temperature_k: Positive = 300.0
    gain_dn_per_k: Positive = 100.0
    adc_bits: int = 14
    offset_dn: float = Field(default=6000.0, ge=0.0, le=65535.0)
    shot: Shot = ThermalShot()
    noise: NoiseRatios = NoiseRatios()
    gain_nonuniformity: float = Field(default=0.0, ge=0.0, le=0.1)
    nuc_residual_k: float = Field(default=0.0, ge=0.0, le=5.0)
    bad_pixels: BadPixels = BadPixels()
    vignetting: float = Field(default=0.0, ge=0.0, le=0.2)
    jitter_sigma_px: float = Field(default=0.0, ge=0.0, le=3.0)
    well_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    time_constant_ms: float = Field(default=0.0, ge=0.0, le=1000.0)
    agc: Agc = LinearAgc()
    denoise: Denoiser = "none"
    denoise_sigma_px: Points = (0.7, 0.7)
    levels_share: Points = (1.0, 1.0)
    jpeg_quality: Points | None = None

    @property
    def raw_max(self) -> int:
        """Largest raw level."""
        return int(2**self.adc_bits) - 1

    @property
    def rail_dn(self) -> float:
        """Raw level at which the signal saturates."""
        return self.well_fraction * self.raw_max

    @property
    def sigma_tvh_dn(self) -> float:
        """Temporal pixel noise at ``offset_dn``, raw levels: gain * NETD, or that of the electrons."""
        return self.shot.sigma_dn if isinstance(self.shot, PhotonShot) else self.gain_dn_per_k * self.netd_mk * 1e-3

    @field_validator("jpeg_quality", mode="before")
    @classmethod
    def _one_quality(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int | float) else value

    @field_validator("netd_mk")
    @classmethod
    def _netd_is_a_deviation(cls, value: float) -> float:
        if not 0.0 < value < 1e6:
            raise ValueError(f"must be > 0 mK and finite, got {value:g}")
        return value

    @field_validator("adc_bits")
    @classmethod
    def _adc_has_bits(cls, value: int) -> int:
        if not 1 <= value <= 16:
            raise ValueError(f"must be 1..16, got {value}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_optics()
        self._check_levels()
        if isinstance(self.shot, PhotonShot):
            self._check_electrons(self.shot)
        elif self.sigma_tvh_dn < LEAST_NOISE_DN * (1.0 - 1e-9):
            raise ValueError(
                f"gain_dn_per_k * netd_mk must be >= {LEAST_NOISE_DN:g} raw levels, or rounding adds over 1 % of noise, "
                f"got {self.sigma_tvh_dn:.3g}"
            )
        return self

    def _check_optics(self) -> None:
        rising("denoise_sigma_px", self.denoise_sigma_px, 0.0, MOST_SIGMA_PX)
        rising("levels_share", self.levels_share, 0.02, 1.0)
        rising("jpeg_quality", self.jpeg_quality or (100,), 1, 100)
        rising("sigma_optics_px", self.sigma_optics_px, 0.01, 100.0)
        high = self.sigma_optics_px[-1]
        widest = PSF_REACH_SIGMAS * math.hypot(high, self.jitter_sigma_px)
        if widest > min(self.frame_hw):
            raise ValueError(
                f"sigma_optics_px must give a PSF ({PSF_REACH_SIGMAS:g} sigma) no larger than the frame "
                f"({min(self.frame_hw)} px), got {widest:.0f} px"
            )

    def _check_levels(self) -> None:
        if self.offset_dn >= self.rail_dn:
            raise ValueError(f"offset_dn must be below the saturation level {self.rail_dn:g}, got {self.offset_dn:g}")
        if self.time_constant_ms > 0.0 and isinstance(self.shot, PhotonShot):
            raise ValueError(f"time_constant_ms must be 0 with shot.kind photon, got {self.time_constant_ms:g}")

    def _check_electrons(self, shot: PhotonShot) -> None:
        if shot.sigma_dn < LEAST_NOISE_DN * (1.0 - CHAIN_TOLERANCE):
            raise ValueError(f"shot must give noise of >= {LEAST_NOISE_DN:g} raw levels, got {shot.sigma_dn:.3g}")
        if shot.background_e > self.offset_dn * shot.gain_e_per_dn:
            raise ValueError(
                f"shot.background_e must be <= offset_dn * gain_e_per_dn = {self.offset_dn * shot.gain_e_per_dn:g}, "
                f"or no electrons lies below raw level 0, got {shot.background_e:g}"
            )
        _agree("netd_mk", self.netd_mk, shot.sigma_dn / self.gain_dn_per_k * 1e3)
        if shot.contrast_per_k is not None:
            of_electrons = shot.background_e * shot.contrast_per_k / shot.gain_e_per_dn
            _agree("gain_dn_per_k", self.gain_dn_per_k, of_electrons)


def _agree(key: str, stated: float, of_electrons: float) -> None:
    if not abs(stated / of_electrons - 1.0) <= CHAIN_TOLERANCE:
        raise ValueError(
            f"{key} must be {of_electrons:.4g}, as the electrons of shot say (or change shot with it), got {stated:.4g}"
        )
