"""What is in front of the background: targets, how strong they are, and the hard negatives beside them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.scene.draws import Points, rising

_FROZEN = ConfigDict(frozen=True, extra="forbid")

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
Rate = Annotated[float, Field(ge=0.0, le=50.0)]
Interval = tuple[float, float]

MANY_COUNTS = (3, 4, 5)
MANY_WEIGHTS = (10.0, 3.0, 3.0)
"""Frames with 3, 4 and 5 or more targets in SIRST v1 trainval (physics section 11)."""


class TargetLevels(BaseModel):
    """Relative frequencies of the target models (physics section 4).

    Attributes:
        point: Unresolved targets.
        blob: Anisotropic Gaussians.
        extended: Small silhouettes; with 0.25 the areas reach beyond 100 px at 95 %, as in SIRST v1 trainval (measured).
        group: Two to four closely spaced blobs (5 %: our choice).
    """

    model_config = _FROZEN

    point: Weight = 0.1
    blob: Weight = 0.6
    extended: Weight = 0.25
    group: Weight = 0.05

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not sum(self.weights) > 0.0:
            raise ValueError("targets.levels must have a weight > 0, got none")
        return self

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """Weights in the order of :class:`synth.scene.truth.TargetLevel`."""
        return self.point, self.blob, self.extended, self.group


class TargetsConfig(BaseModel):
    """How many targets, of what kind, where.

    Attributes:
        empty_share: Share of frames without targets (our choice).
        one_share: Of the others, share with one target (SIRST v1 trainval: 286 of 341).
        two_share: Share with two (39 of 341); the rest has three to five.
        levels: Frequencies of the target models.
        sigma_total_px: Bounds or quantiles of a blob's total sigma, log-uniform; never below the camera's blur (physics
            section 2).
        aspect: Bounds or quantiles of the ratio of its sigmas, uniform (physics section 2).
        half_length_px: Bounds or quantiles of half the length of extended targets, log-uniform (our choice).
        mask_threshold: Share of the peak from which a pixel belongs to the mask: a number, or bounds or quantiles of a
            uniform draw per target (physics section 5: 0.35 fits SIRST v1, 0.40 NUDT).
        dark_share: Share of targets darker than their surroundings (physics section 2: opt-in at 0.03-0.1).
        border_px: Free pixels between a mask and the frame's border.
        min_spacing_px: Free pixels between masks of different targets.
    """

    model_config = _FROZEN

    empty_share: Share = 0.2
    one_share: Share = 0.84
    two_share: Share = 0.115
    levels: TargetLevels = TargetLevels()
    sigma_total_px: Points = (0.45, 2.4)
    aspect: Points = (1.0, 1.4)
    half_length_px: Points = (2.2, 10.0)
    mask_threshold: float | Points = (0.30, 0.42)
    dark_share: Share = 0.0
    border_px: int = Field(default=2, ge=0, le=64)
    min_spacing_px: int = Field(default=3, ge=1, le=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.one_share + self.two_share > 1.0 + 1e-9:
            raise ValueError(f"targets.one_share + two_share must be <= 1, got {self.one_share + self.two_share:g}")
        rising("targets.sigma_total_px", self.sigma_total_px, 0.3, 5.0)
        rising("targets.aspect", self.aspect, 1.0, 4.0)
        rising("targets.half_length_px", self.half_length_px, 1.0, 16.0)
        rising("targets.mask_threshold", self.thresholds, 0.05, 0.95)
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Bounds or quantiles of the mask threshold."""
        return self.mask_threshold if isinstance(self.mask_threshold, tuple) else (self.mask_threshold,) * 2

    @property
    def count_weights(self) -> tuple[float, ...]:
        """Weights of 0, 1, 2 and of each of ``MANY_COUNTS`` targets; they sum to 1."""
        filled, many = 1.0 - self.empty_share, max(1.0 - self.one_share - self.two_share, 0.0)
        rest = tuple(filled * many * weight / sum(MANY_WEIGHTS) for weight in MANY_WEIGHTS)
        return self.empty_share, filled * self.one_share, filled * self.two_share, *rest

    @property
    def mean_count(self) -> float:
        """Expected number of targets a frame, groups counted once."""
        counts = (0, 1, 2, *MANY_COUNTS)
        return sum(count * weight for count, weight in zip(counts, self.count_weights, strict=True))


class ScrConfig(BaseModel):
    """How strong targets are; definition and modes in :mod:`synth.scene.scr`.

    Attributes:
        mode: ``expected``: from expected statistics, never from the noise draw; ``realised``: the measured ratio of the
            raw frame is the requested one. Results of the two modes never share a figure.
        low: Least ratio asked for.
        high: Largest.
        law: ``log_uniform``; ``match_sirst``: the shares of SIRST v1 trainval within the bounds (physics section 11); or
            ``view_peak``: whatever shows the peak drawn from ``view_peak_dn`` at the place. Annotators saw grey levels, so
            this is the law that frames with masks give (:mod:`synth.calibrate`).
        view_peak_dn: Bounds or quantiles of a target's peak over its surroundings in the view, grey levels, or null. With
            the other laws, place and ratio are drawn again where the view would show a target fainter, stronger or
            clipped: published targets are visible and not clipped, so high ratios belong to quiet places.
    """

    model_config = _FROZEN

    mode: Literal["expected", "realised"] = "expected"
    low: float = Field(default=1.0, gt=0.0, le=1000.0)
    high: float = Field(default=20.0, gt=0.0, le=1000.0)
    law: Literal["log_uniform", "match_sirst", "view_peak"] = "log_uniform"
    view_peak_dn: Points | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.view_peak_dn is not None:
            rising("scr.view_peak_dn", self.view_peak_dn, 0.0, 255.0)
        if self.law == "view_peak" and (self.view_peak_dn is None or self.view_peak_dn[0] <= 0.0):
            raise ValueError(f"scr.view_peak_dn must be > 0 with law view_peak, got {self.view_peak_dn}")
        if self.low > self.high:
            raise ValueError(f"scr.low must be <= scr.high, got {self.low:g} > {self.high:g}")
        if self.law == "match_sirst" and not (self.low < 50.0 and self.high > 1.0):
            raise ValueError(f"scr.low and high must overlap 1..50 with law match_sirst, got {self.low:g}..{self.high:g}")
        return self


class ImpostorRates(BaseModel):
    """Mean number of each hard negative per frame (Poisson; our choice), and how strong they are.

    Attributes:
        hot_pixel: Single pixels or pairs without any spread; an impostor's own, beside the camera's defects.
        glint: Sun glints, where there is water.
        cloud_corner: Corners and fragments of edges, in the texture of the background.
        streak: Lines, sigma 0.6-1.5 px, 10-40 px long.
        large_blob: Blobs of sigma 5-12 px.
        stripe_stub: Pieces of a row or column with another level.
        seam_patch: Patches turned and pasted with no target on them. As many targets stand on a patch pasted by the
            same code, so that a seam tells nothing; single frames only.
        removed_twin: Places of would-be targets with their energy as resampled background.
        rotated_patch: Patches turned in place; single frames only.
        scr: Bounds of their strength in background sigmas, log-uniform; null takes those of the targets.
    """

    model_config = _FROZEN

    hot_pixel: Rate = 0.3
    glint: Rate = 6.0
    cloud_corner: Rate = 0.2
    streak: Rate = 0.08
    large_blob: Rate = 0.12
    stripe_stub: Rate = 0.06
    seam_patch: Rate = 0.08
    removed_twin: Rate = 0.1
    rotated_patch: Rate = 0.08
    scr: Interval | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scr is not None:
            rising("impostors.scr", self.scr, 0.01, 1000.0)
        return self

    @classmethod
    def none(cls) -> Self:
        """Return rates of zero."""
        return cls(**{name: 0.0 for name in cls.model_fields if name != "scr"})
