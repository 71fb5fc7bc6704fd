"""Where targets stand and how strong they are.

A target is drawn as a wish; places are tried until one is free, leaves the border alone and can carry the ratio asked for
(:mod:`synth.scene.scr`). Refused places are counted, because refusing biases backgrounds towards quiet ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from synth.scene.shapes import RenderedTarget, render_shape
from synth.scene.site import Site, Standing, paste_seam
from synth.scene.target_config import TargetsConfig
from synth.scene.wishes import Wish

PLACE_TRIES = 60
"""Places tried for one target before it is given up (our choice)."""
PEAK_TRIES = 20
"""Places tried with one peak in the view before another is drawn (our choice)."""

Apart = Callable[[Wish, Sequence[Standing], tuple[float, float]], bool]
"""Further rule for a place, given the wish, the targets placed before and its centre (sequences)."""


def place_targets(
    wishes: Sequence[Wish], site: Site, config: TargetsConfig, *, rng: np.random.Generator, is_apart: Apart | None = None
) -> tuple[list[Standing], int]:
    """Place targets one after another; one that fits nowhere in 60 tries is left out.

    Args:
        wishes: What to place.
        site: Where; it is marked, and changed under seams.
        config: Border and spacing.
        rng: Target stream of the scene.
        is_apart: Further rule for a place.

    Returns:
        The targets in the order of the wishes, and the number of refused places.
    """
    placed: list[Standing] = []
    num_refused = 0
    for wish in wishes:
        rule = None if is_apart is None else functools.partial(is_apart, wish, tuple(placed))
        target, refused = find_place(wish, site, config, rng=rng, track=len(placed), is_apart=rule)
        num_refused += refused
        if target is not None:
            site.take(target)
            placed.append(target)
    return _settled(placed, site), num_refused


def find_place(
    wish: Wish,
    site: Site,
    config: TargetsConfig,
    *,
    rng: np.random.Generator,
    track: int = 0,
    is_apart: Callable[[tuple[float, float]], bool] | None = None,
) -> tuple[Standing | None, int]:
    """Try places for one target, uniform over the frame less the border; its seam stays where it is found one.

    Args:
        wish: What to place.
        site: Where; changed under its seam, not marked.
        config: Border and spacing.
        rng: Source of the places.
        track: Number it gets.
        is_apart: Further rule for its centre.

    Returns:
        The target, or None after 60 refused places, and the number of refused places.
    """
    rendered = render_shape(wish.model, wish.row_subpx, wish.col_subpx)
    margin = max(rendered.reach_px + config.border_px, wish.seam_px)
    spacing = max(config.min_spacing_px, wish.seam_px - rendered.reach_px)
    if 2 * margin >= min(site.background_dn.shape):
        return None, PLACE_TRIES
    for refused in range(PLACE_TRIES):
        if refused and (wish.view_peak_dn is None or refused % PEAK_TRIES == 0):
            wish = site.redraw(rng, wish)
        row, col = (int(rng.integers(margin, side - margin)) for side in site.background_dn.shape)
        if not site.is_free(rendered, row, col, spacing):
            continue
        if is_apart is not None and not is_apart((row + wish.row_subpx, col + wish.col_subpx)):
            continue
        if wish.view_peak_dn is not None:
            wish = wish._replace(scr=site.ratio_of_peak(wish.view_peak_dn, rendered, row, col))
        amplitude = _solve_on_seam(wish, rendered, row, col, site, rng)
        if amplitude is not None:
            return Standing(wish, rendered, row, col, amplitude, track), refused
    return None, PLACE_TRIES


def _solve_on_seam(
    wish: Wish, rendered: RenderedTarget, row: int, col: int, site: Site, rng: np.random.Generator
) -> float | None:
    """Paste the seam a target wants and return its amplitude on it; undo the seam where the place is refused (None)."""
    half = wish.seam_px
    place = site.background_dn[row - half : row + half + 1, col - half : col + half + 1]
    before = place.copy() if half else None
    if half:
        paste_seam(site.background_dn, rng, row, col, half)
    amplitude = site.amplitude_of(wish, rendered, row, col)
    if amplitude is None and before is not None:
        place[...] = before
    return amplitude


def _settled(placed: list[Standing], site: Site) -> list[Standing]:
    """Solve once more where targets are measured in each other's light; in mode ``expected`` light does not count."""
    if site.scr.mode == "expected" or len(placed) < 2:
        return placed
    for _ in range(2):
        for number, target in enumerate(placed):
            near = site.neighbours(target, placed)
            amplitude = site.amplitude(target.rendered, target.row, target.col, target.wish.scr, near) if near else None
            if amplitude is not None:
                placed[number] = target._replace(amplitude_dn=amplitude)
    return placed
