"""Target models: point, blob, extended silhouette and closely spaced group, as parameters without a position.

A model is drawn once; :func:`render_shape` gives its pixels at any sub-pixel centre, so that a track shows the same
target in every frame. Masks follow physics section 5: pixels of the isolated, noise-free, blurred target at or above a
share of its own maximum, connected to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synth.scene.draws import log_spread, spread, uniform
from synth.scene.portable import cos_sin
from synth.scene.psf import Stamp, gaussian_stamp
from synth.scene.stamp_masks import connected_to, mask_reach, peak_component, stamp_moments, unit_peak
from synth.scene.stamps import silhouette_stamp, turned_gaussian_stamp
from synth.scene.truth import TargetLevel

PIXEL_VARIANCE = 1.0 / 12.0
"""Variance of the pixel's box, px^2: sigma_total^2 = sigma_optical^2 + 1/12 (physics section 3)."""

_STAMP_SIGMAS = 4.5  # 7e-6 of the flux lies beyond
_MEMBER_SPACING_PX = (1.5, 6.0)  # physics section 4, level d
_MEMBER_FLUX = (0.3, 1.0)  # physics section 4, level d


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A point or blob.

    Attributes:
        sigma_row_px: Optical sigma along its first axis, without the pixel's box.
        sigma_col_px: Optical sigma along its second axis.
        turns: Turn of the second axis away from the columns, 0..1.
    """

    sigma_row_px: float
    sigma_col_px: float
    turns: float = 0.0

    @property
    def reach_px(self) -> float:
        """Distance beyond which nothing is drawn."""
        return _STAMP_SIGMAS * max(self.sigma_row_px, self.sigma_col_px) + 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """A small resolved body.

    Attributes:
        parts: float64 (K, PART_COLUMNS), see :mod:`synth.scene.stamps`.
        sigma_px: Blur: the optics, or its own softness where that is larger.
        reach_px: Distance beyond which nothing is drawn.
    """

    parts: npt.NDArray[np.float64]
    sigma_px: float
    reach_px: float


class Member(NamedTuple):
    """One body of a target.

    Attributes:
        row: Row offset from the target's centre, px.
        col: Column offset.
        flux: Flux relative to the strongest member, 0..1.
        body: Its model.
    """

    row: float
    col: float
    flux: float
    body: Gaussian | Silhouette


@dataclass(frozen=True, slots=True, eq=False)
class TargetModel:
    """What a target is, wherever it is.

    Attributes:
        level: Rung of the target ladder.
        members: Bodies; one, or two to four of a group, the strongest first.
        mask_threshold: Share of its peak from which a pixel belongs to a member's mask.
    """

    level: TargetLevel
    members: tuple[Member, ...]
    mask_threshold: float


class RenderedMember(NamedTuple):
    """One body at its place.

    Attributes:
        row: Row offset of its flux centre from the stamp's middle pixel.
        col: Column offset.
        sigma_row_px: Total sigma along its first axis; of its second moments for silhouettes.
        sigma_col_px: Total sigma along its second axis.
        turns: Turn of the second axis away from the columns.
        stamp: float64 (S, S), its part of the target's stamp.
        mask: bool (S, S).
    """

    row: float
    col: float
    sigma_row_px: float
    sigma_col_px: float
    turns: float
    stamp: Stamp
    mask: npt.NDArray[np.bool_]


class RenderedTarget(NamedTuple):
    """A target of unit peak at one sub-pixel centre.

    Attributes:
        stamp: float64 (S, S), S odd, maximum 1; the middle pixel is the integer position.
        cover: float64 (S, S), share of each pixel's scene it hides; None where it hides nothing.
        mask: bool (S, S), union of the members' masks.
        lead: bool (S, S), the component of the mask that holds the strongest member; ratios are solved on it.
        members: Bodies in the model's order.
        reach_px: Largest row or column distance of a mask pixel from the middle.
    """

    stamp: Stamp
    cover: Stamp | None
    mask: npt.NDArray[np.bool_]
    lead: npt.NDArray[np.bool_]
    members: tuple[RenderedMember, ...]
    reach_px: int


def draw_point(sigma_optics_px: float) -> Gaussian:
    """Return an unresolved target: the optics alone."""
    return Gaussian(sigma_optics_px, sigma_optics_px)


def draw_blob(
    rng: np.random.Generator,
    sigma_optics_px: float,
    *,
    sigma_total_px: tuple[float, ...],
    aspect: tuple[float, ...],
) -> Gaussian:
    """Draw an anisotropic Gaussian in any direction, never sharper than the optics.

    Args:
        rng: Target stream of the scene.
        sigma_optics_px: Optical blur of the camera.
        sigma_total_px: Bounds or quantiles of the geometric mean of its total sigmas, log-uniform (physics section 2);
            those below the blur of the camera give way to it.
        aspect: Bounds or quantiles of the ratio of its sigmas, uniform.
    """
    least = math.sqrt(sigma_optics_px * sigma_optics_px + PIXEL_VARIANCE)
    sigma = log_spread(rng, [max(point, least) for point in sigma_total_px])
    root = math.sqrt(spread(rng, aspect))
    along, across = (_optical(sigma * factor, sigma_optics_px) for factor in (root, 1.0 / root))
    return Gaussian(across, along, float(rng.random()))


def draw_group(rng: np.random.Generator, body: Gaussian) -> tuple[Member, ...]:
    """Draw two to four equal bodies at 1.5-6 px, with flux ratios of 0.3-1 (physics section 4, level d).

    Args:
        rng: Target stream of the scene.
        body: Model of every member.
    """
    places = [(0.0, 0.0)]
    for _ in range(int(rng.integers(1, 4))):
        for _ in range(20):
            around = places[int(rng.integers(len(places)))]
            cosine, sine = cos_sin(float(rng.random()))
            spacing = uniform(rng, *_MEMBER_SPACING_PX)
            place = (around[0] + sine * spacing, around[1] + cosine * spacing)
            if all(_distance(place, other) >= _MEMBER_SPACING_PX[0] for other in places):
                places.append(place)
                break
    fluxes = [1.0, *(uniform(rng, *_MEMBER_FLUX) for _ in places[1:])]
    row, col = (sum(place[axis] for place in places) / len(places) for axis in (0, 1))
    return tuple(Member(r - row, c - col, flux, body) for (r, c), flux in zip(places, fluxes, strict=True))


def render_shape(model: TargetModel, row: float, col: float) -> RenderedTarget:
    """Integrate a target over the pixels.

    Args:
        model: The target.
        row: Row offset of its centre from the middle pixel, -0.5..0.5.
        col: Column offset.
    """
    side = 2 * int(reach_px(model) + 1.0) + 1
    if len(model.members) > 1:
        return _render_group(model, side, row, col)
    (member,) = model.members
    drawn, cover = _render_body(member.body, side, row + member.row, col + member.col)
    stamp, mask, reach = unit_peak(drawn, model.mask_threshold)
    return RenderedTarget(stamp, cover, mask, mask, (_describe(member, stamp, mask, row, col),), reach)


def _render_group(model: TargetModel, side: int, row: float, col: float) -> RenderedTarget:
    """Add up the bodies of a group; none of them hides anything."""
    drawn = [member.flux * _render_body(member.body, side, row + member.row, col + member.col)[0] for member in model.members]
    total: Stamp = sum(drawn[1:], drawn[0])
    scale = 1.0 / float(total.max())
    stamps = [stamp * scale for stamp in drawn]
    masks = [peak_component(stamp, model.mask_threshold) for stamp in stamps]
    mask = np.logical_or.reduce(masks)
    members = (_describe(*body, row, col) for body in zip(model.members, stamps, masks, strict=True))
    lead = connected_to(mask, int(stamps[0].argmax()))
    return RenderedTarget(total * scale, None, mask, lead, tuple(members), mask_reach(mask))


def reach_px(model: TargetModel) -> float:
    """Return the distance from its centre beyond which nothing of a target is drawn, px."""
    return max(max(abs(member.row), abs(member.col)) + member.body.reach_px for member in model.members)


def _render_body(body: Gaussian | Silhouette, side: int, row: float, col: float) -> tuple[Stamp, Stamp | None]:
    if isinstance(body, Silhouette):
        return silhouette_stamp(side, body.parts, row, col, body.sigma_px)
    if body.sigma_row_px == body.sigma_col_px or body.turns == 0.0:
        return gaussian_stamp(side, row, col, body.sigma_row_px, body.sigma_col_px), None
    return turned_gaussian_stamp(side, row, col, body.sigma_row_px, body.sigma_col_px, body.turns), None


def _describe(member: Member, stamp: Stamp, mask: npt.NDArray[np.bool_], row: float, col: float) -> RenderedMember:
    """Return a rendered body with its centre and sigmas; a silhouette's are those of its pixels, along rows and columns."""
    body = member.body
    if isinstance(body, Silhouette):
        return RenderedMember(*stamp_moments(stamp), 0.0, stamp, mask)
    sigma_row, sigma_col = (math.sqrt(s * s + PIXEL_VARIANCE) for s in (body.sigma_row_px, body.sigma_col_px))
    return RenderedMember(row + member.row, col + member.col, sigma_row, sigma_col, body.turns, stamp, mask)


def _optical(total_px: float, least_px: float) -> float:
    squared = total_px * total_px - PIXEL_VARIANCE
    return max(least_px, math.sqrt(max(squared, 0.0)))


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)
