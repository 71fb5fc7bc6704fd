"""Artefacts of construction without a target: seams, turned patches and target-removed twins, in single frames.

What the placement of a target does to a frame is done here once more for a target that is then left out, by the same code
(:func:`synth.scene.placement.find_place`), so that only the target tells the two apart (physics section 8).
"""

from __future__ import annotations

import numpy as np

from synth.scene.camera import VirtualCamera
from synth.scene.config import SceneConfig
from synth.scene.impostors import poisson
from synth.scene.paint import add_stamp
from synth.scene.placement import find_place
from synth.scene.psf import Stamp
from synth.scene.shapes import render_shape
from synth.scene.site import Site, Standing, paste_seam
from synth.scene.truth import ImpostorKind, ImpostorTruth
from synth.scene.wishes import draw_wish, seam_half_px

_TWIN_SIGMAS = 3.0  # ratio whose energy a twin has at most (our choice, by eye: stronger noise looks painted on)
_TURNED_HALF_PX = (3, 13)  # half sides of patches turned in place; the published passes turn sides of 2-32 px


def paste_artefacts(
    site: Site, config: SceneConfig, camera: VirtualCamera, *, rng: np.random.Generator
) -> tuple[ImpostorTruth, ...]:
    """Draw turned patches, seams and twins.

    Args:
        site: The frame before any target; changed and marked.
        config: Mean numbers, and the targets that are left out.
        camera: The camera.
        rng: Impostor stream of the frame.

    Returns:
        What was drawn.
    """
    rates = config.impostors
    found = [_turn_in_place(site, rng) for _ in range(poisson(rng, rates.rotated_patch))]
    for kind, rate in ((ImpostorKind.SEAM_PATCH, rates.seam_patch), (ImpostorKind.REMOVED_TWIN, rates.removed_twin)):
        for _ in range(poisson(rng, rate)):
            ghost = _ghost(kind, site, config, camera, rng)
            if ghost is not None:
                found.append(_leave_out(kind, ghost, site, rng))
    return tuple(found)


def _turn_in_place(site: Site, rng: np.random.Generator) -> ImpostorTruth:
    half = int(rng.integers(*_TURNED_HALF_PX))
    row, col = (int(rng.integers(half, side - half)) for side in site.background_dn.shape)
    paste_seam(site.background_dn, rng, row, col, half, reach_px=0)
    return _square(ImpostorKind.ROTATED_PATCH, row, col, half, site)


def _ghost(
    kind: ImpostorKind, site: Site, config: SceneConfig, camera: VirtualCamera, rng: np.random.Generator
) -> Standing | None:
    """Return a target that found its place, its seam pasted, and that nobody inserts."""
    wish = draw_wish(rng, config, camera)
    if kind is ImpostorKind.SEAM_PATCH:
        rendered = render_shape(wish.model, wish.row_subpx, wish.col_subpx)
        wish = wish._replace(seam_px=seam_half_px(rng, rendered))
    return find_place(wish, site, config.targets, rng=rng)[0]


def _leave_out(kind: ImpostorKind, ghost: Standing, site: Site, rng: np.random.Generator) -> ImpostorTruth:
    if kind is ImpostorKind.SEAM_PATCH:
        return _square(kind, ghost.row, ghost.col, ghost.wish.seam_px, site)
    add_stamp(site.background_dn, _twin_stamp(ghost, site, rng), ghost.row, ghost.col, 1.0)
    return _square(kind, ghost.row, ghost.col, ghost.rendered.reach_px + 1, site)


def _twin_stamp(ghost: Standing, site: Site, rng: np.random.Generator) -> Stamp:
    """Return noise with the place, footprint and energy of a target and no net flux, resampled from its surroundings."""
    stamp = ghost.rendered.stamp
    window = site.window(ghost.rendered, ghost.row, ghost.col)
    ring = window.crop(site.background_dn)[window.ring].astype(np.float64)
    sample = ring[rng.integers(ring.size, size=stamp.size)].reshape(stamp.shape)
    if not np.ptp(sample) > 0.0:  # a constant background has nothing to resample
        sample = rng.random(stamp.shape)
    noise = stamp * (sample - (stamp * sample).sum() / stamp.sum())
    energy = (stamp * stamp).sum() / (noise * noise).sum()
    cut = min(1.0, _TWIN_SIGMAS / abs(ghost.wish.scr))
    return np.asarray(cut * ghost.amplitude_dn * np.sqrt(energy) * noise, dtype=np.float64)


def _square(kind: ImpostorKind, row: int, col: int, half: int, site: Site) -> ImpostorTruth:
    site.take_box(row - half, col - half, row + half + 1, col + half + 1)
    return ImpostorTruth(kind, float(row), float(col), 2.0 * half + 1.0, 2.0 * half + 1.0)
