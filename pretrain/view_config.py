"""How frames are seen in training: the settings of views, each off unless it is lossless."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pretrain.material import DONOR_PX

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatchTurn(_Config):
    """Local patch rotation, online: the square around one target turns by a drawn number of quarters.

    Source: SIRST-5K (Lu et al., TGRS 2024), as ``synth.negatives``. There the turn comes after the mixing, here before: the two
    differ by the slope of the stretched noise within the square.

    Attributes:
        probability: Chance of a turn of 0 to 3 quarters, when the view shows the target.
        side: Side of the square, px.
    """

    probability: Share = 0.0
    side: Literal[2, 4, 6, 8, 32] = 2


class NoiseMix(_Config):
    """Noise mixing, online: a quiet window, stretched to the frame, mixed into it. Source: SIRST-5K, as ``synth.noise``.

    Attributes:
        probability: Chance of a mixing.
        alphas: Weights of the noise to choose from (published grid: 0.1 to 0.5; released default 0.1).
        dc: ``keep``: alpha * noise + (1 - alpha) * image (released); ``zero_mean``: the image plus alpha * the fluctuation.
    """

    probability: Share = 0.0
    alphas: tuple[Share, ...] = Field(default=(0.1,), min_length=1)
    dc: Literal["keep", "zero_mean"] = "keep"


class Radiometry(_Config):
    """Radiometric changes; each sample draws its own. All off by default. Values in units of [0, 1].

    Attributes:
        gain: Factor drawn from 1 - gain to 1 + gain.
        offset: Addend drawn from -offset to offset.
        gamma: Exponent drawn from 1 / (1 + gamma) to 1 + gamma, uniform in its logarithm.
        blur_px: Sigma of a blur drawn from 0 to this, px (above 0.5 small targets lose their contrast).
        grain: Standard deviation of white noise drawn from 0 to this.
        columns: Standard deviation of column noise drawn from 0 to this.
    """

    gain: float = Field(default=0.0, ge=0, lt=1)
    offset: float = Field(default=0.0, ge=0, le=1)
    gamma: float = Field(default=0.0, ge=0, le=4)
    blur_px: float = Field(default=0.0, ge=0, le=0.5)
    grain: float = Field(default=0.0, ge=0, le=1)
    columns: float = Field(default=0.0, ge=0, le=1)


class Warp(_Config):
    """Interpolating geometry, never the default: it blurs targets of one pixel (the peak keeps 56 %).

    Attributes:
        probability: Chance of a warp, at most 0.3.
        degrees: Turn drawn from -degrees to degrees.
        scale: Magnification drawn from 1 / scale to scale, uniform in its logarithm.
    """

    probability: float = Field(default=0.0, ge=0, le=0.3)
    degrees: float = Field(default=15.0, ge=0, le=45)
    scale: float = Field(default=1.2, ge=1, le=2)


class ViewConfig(_Config):
    """How frames are seen in training.

    Attributes:
        crop_px: Side of the square crop, or null for whole frames (which must then share one size).
        centre_probability: Chance that a crop is placed around a target of its frame rather than anywhere (0.8 in the CPU
            trials that this project's defaults come from).
        margin_px: Least distance of that target's centre from the border of the crop.
        flip: Reverse rows and columns at random.
        rot90: Turn by a random number of quarters.
        patch_turn: Rotation of the square around one target.
        noise_mix: Mixing of noise windows.
        paste_probability: Chance that a target of another frame is added with its contrast, where no target is.
        radiometry: Changes of levels.
        warp: Interpolating geometry.
    """

    crop_px: int | None = Field(default=256, ge=16, le=4096)
    centre_probability: Share = 0.8
    margin_px: int = Field(default=8, ge=0)
    flip: bool = True
    rot90: bool = True
    patch_turn: PatchTurn = PatchTurn()
    noise_mix: NoiseMix = NoiseMix()
    paste_probability: Share = 0.0
    radiometry: Radiometry = Radiometry()
    warp: Warp = Warp()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.crop_px is not None and self.crop_px < self.smallest_px:
            raise ValueError(f"crop_px must be >= {self.smallest_px}, the largest square moved in it, got {self.crop_px}")
        return self

    @property
    def smallest_px(self) -> int:
        """Smallest side of a view that holds the largest square moved in it."""
        return max(DONOR_PX if self.paste_probability else 1, self.patch_turn.side if self.patch_turn.probability else 1)

    @property
    def is_lossless(self) -> bool:
        """Whether views only move pixels."""
        others = self.paste_probability, self.warp.probability, self.noise_mix.probability
        return not any(others) and self.radiometry == Radiometry()

    @property
    def needs_targets(self) -> bool:
        """Whether anything asked for needs targets."""
        return self.patch_turn.probability > 0 or self.paste_probability > 0
