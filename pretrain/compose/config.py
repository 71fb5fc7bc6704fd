"""What is inserted into label-free views, how strong, and what of a view losses leave out."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pretrain.view_config import Radiometry

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ImpostorName = Literal["pixel", "streak", "blob", "noise", "moved", "shuffled"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_range(name: str, values: tuple[float, float], low: float, high: float) -> None:
    if not low <= values[0] <= values[1] <= high:
        raise ValueError(f"{name} must be a range within {low:g}..{high:g}, got {values}")


class BodyConfig(_Config):
    """Targets with an extent of their own, as aircraft, ships and vehicles have: one to three blurred bars, evenly bright.

    Attributes:
        probability: Share of targets that are such bodies, the rest is compact.
        sigma_px: Range of the optical sigma, log-uniform; with it the half width of a bar.
        half_length_px: Range of half the length of the first bar, uniform.
        wings: Share of bodies with a second bar across the first.
        tail: Share of these with a third, shorter one, at the end that is further from the second.
    """

    probability: Share = 0.5
    sigma_px: tuple[float, float] = (0.6, 2.2)
    half_length_px: tuple[float, float] = (2.0, 7.0)
    wings: Share = 0.65
    tail: Share = 0.4

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _check_range("sigma_px", self.sigma_px, 0.4, 2.5)
        _check_range("half_length_px", self.half_length_px, 0.5, 7.0)
        return self


class TargetConfig(_Config):
    """Synthetic targets: pixel-integrated anisotropic Gaussians with sub-pixel centres, and bodies.

    Attributes:
        num: Fewest and most targets of a view, uniform.
        sigma_px: Range of the optical sigma, log-uniform (the pixel's own box is in the integral). Default: 5 to 95 % of compact
            targets have a total sigma of 0.81 to 2.29 px in NUAA, 0.79 to 2.53 in NUDT (training lists, measured), less the box.
        aspect: Range of the ratio of the two sigmas, uniform.
        contrast: Range of the peak excess over the background, in local standard deviations of a 17-px window, log-uniform.
            Default: 5 to 95 % of compact targets are 4.2 to 51 on the training list of NUAA, 2.6 to 41 on NUDT's (measured).
        floor: Least standard deviation that ``contrast`` counts in, so that targets on flat sky can be seen at all.
        mask_level: Range of the share of its own peak above which a target's pixels are its mask, uniform (0.35 fits the masks of
            SIRST, 0.40 those of NUDT).
        dark_probability: Share of targets darker than their background (0 of 424 in SIRST, 0.3 % in NUDT).
        bodies: Targets with an extent of their own, null for none. Targets above 40 px, which hardly a compact one is, hold
            57 % of the target pixels of NUAA's training list and 62 % of NUDT's (measured).
    """

    num: tuple[int, int] = (1, 4)
    sigma_px: tuple[float, float] = (0.7, 2.4)
    aspect: tuple[float, float] = (1.0, 1.4)
    contrast: tuple[float, float] = (2.5, 40.0)
    floor: float = Field(0.008, gt=0, le=0.5)
    mask_level: tuple[float, float] = (0.30, 0.42)
    dark_probability: Share = 0.0
    bodies: BodyConfig | None = Field(None, exclude_if=lambda bodies: bodies is None)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _check_range("num", self.num, 0, 8)
        _check_range("sigma_px", self.sigma_px, 0.4, 3.0)
        _check_range("aspect", self.aspect, 1.0, 2.0)
        _check_range("contrast", self.contrast, 0.1, 100.0)
        _check_range("mask_level", self.mask_level, 0.05, 0.95)
        return self


class ImpostorConfig(_Config):
    """Synthetic negatives, pasted by the code that pastes targets, with contrasts drawn as theirs.

    Attributes:
        num: Fewest and most impostors of a view, uniform.
        kinds: Which ones, drawn with equal chances: ``pixel`` (hot or dead, no point spread), ``streak`` (sigma 3 to 4 px along,
            0.5 to 0.9 px across), ``blob`` (sigma 5 to 12 px), ``noise`` (a cloud of noise of a target's size), ``moved`` (the
            background of another place, blended in: a paste without a target), ``shuffled`` (a target whose pixels changed
            places: its energy without its shape).
    """

    num: tuple[int, int] = (1, 4)
    kinds: tuple[ImpostorName, ...] = Field(get_args(ImpostorName), min_length=1)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _check_range("num", self.num, 0, 8)
        return self


class InsertionConfig(_Config):
    """What is done to a view after its lossless geometry: insertion, sensor noise, radiometry, in this order.

    Attributes:
        targets: Synthetic targets.
        impostors: Synthetic negatives.
        spacing_px: Least distance of the centres of two of them.
        margin_px: Least distance of a centre from the border of the view.
        grain: Standard deviation of the sensor noise added after insertion, drawn from 0 to this; units of [0, 1].
        radiometry: Changes of levels, drawn anew for each of the two views of a composed frame.
    """

    targets: TargetConfig = TargetConfig()
    impostors: ImpostorConfig = ImpostorConfig()
    spacing_px: float = Field(10.0, ge=3.0, le=64.0)
    margin_px: int = Field(3, ge=2, le=16)
    grain: float = Field(0.01, ge=0, le=0.5)
    radiometry: Radiometry = Radiometry(gain=0.2, offset=0.05, grain=0.01)
