"""Small resolved bodies: discs, winged bodies, hulls and plumes, made of ellipses, rectangles and tails.

The mix and its proportions are our choice, by eye on the extended targets of SIRST v1 and NUDT training lists.
"""

from __future__ import annotations

import numpy as np

from synth.scene.draws import chance, log_spread, uniform, weighted
from synth.scene.portable import cos_sin
from synth.scene.shapes import Silhouette
from synth.scene.stamps import ELLIPSE, RECTANGLE, TAIL

Part = tuple[float, ...]
"""A row of the table of :func:`synth.scene.stamps.silhouette_stamp`."""


def draw_silhouette(rng: np.random.Generator, sigma_optics_px: float, half_length_px: tuple[float, ...]) -> Silhouette:
    """Draw a disc, a winged or stepped body, or a plume; the mix and its proportions are our choice.

    Args:
        rng: Target stream of the scene.
        sigma_optics_px: Optical blur of the camera.
        half_length_px: Bounds or quantiles of half its length, log-uniform.
    """
    half = log_spread(rng, half_length_px)
    turns = float(rng.random()) if chance(rng, 0.5) else uniform(rng, -0.04, 0.04) % 1.0
    draw = (_disc, _winged, _hull, _plume)[weighted(rng, (0.15, 0.4, 0.25, 0.2))]
    parts = np.array(draw(rng, half, turns), dtype=np.float64)
    # no part of a real body is uniformly warm, and published frames are blurred on their way: at least 8 % of its length
    softness = max(sigma_optics_px, half * uniform(rng, 0.08, 0.2))
    reach = float(np.abs(parts[:, :2]).max()) + float((parts[:, 2] * np.where(parts[:, 6] == TAIL, 2.0, 1.0)).max())
    return Silhouette(parts, softness, reach + 4.0 * softness + 0.5)


def _part(row: float, col: float, half: float, width: float, turns: float, warmth: float, shape: float = ELLIPSE) -> Part:
    return (row, col, max(half, 0.4), max(width, 0.4), turns % 1.0, warmth, shape, 0.0)


def _disc(rng: np.random.Generator, half: float, turns: float) -> list[Part]:
    return [_part(0.0, 0.0, 0.6 * half, 0.6 * half * uniform(rng, 0.8, 1.0), turns, 1.0)]


def _winged(rng: np.random.Generator, half: float, turns: float) -> list[Part]:
    """A slim body with up to two parts across it: wings, tail, engines."""
    cosine, sine = cos_sin(turns)
    parts = [_part(0.0, 0.0, half, half * uniform(rng, 0.15, 0.6), turns, uniform(rng, 0.6, 1.0))]
    for _ in range(int(rng.integers(0, 3))):
        shift, size = half * uniform(rng, -0.7, 0.7), half * uniform(rng, 0.3, 0.75)
        lean = turns + 0.25 + uniform(rng, -0.12, 0.12)
        parts.append(_part(sine * shift, cosine * shift, size, size * uniform(rng, 0.2, 0.6), lean, uniform(rng, 0.7, 1.0)))
    return parts


def _hull(rng: np.random.Generator, half: float, turns: float) -> list[Part]:
    """A low body with one or two boxes on it: a ship, a vehicle, a house."""
    cosine, sine = cos_sin(turns)
    low = half * uniform(rng, 0.12, 0.3)
    parts = [_part(0.0, 0.0, half, low, turns, uniform(rng, 0.5, 0.9), RECTANGLE)]
    for _ in range(int(rng.integers(1, 3))):
        shift, size = half * uniform(rng, -0.6, 0.6), half * uniform(rng, 0.12, 0.4)
        tall = half * uniform(rng, 0.12, 0.35)
        row, col = sine * shift - cosine * (low + tall), cosine * shift + sine * (low + tall)
        parts.append(_part(row, col, size, tall + 0.3, turns, uniform(rng, 0.7, 1.0), RECTANGLE))
    return parts


def _plume(rng: np.random.Generator, half: float, turns: float) -> list[Part]:
    """A hot core with a tail that widens and cools."""
    core = half * uniform(rng, 0.15, 0.3)
    width = half * uniform(rng, 0.15, 0.4)
    tail = (0.0, 0.0, half, max(width, 0.5), turns % 1.0, uniform(rng, 0.4, 0.9), TAIL, uniform(rng, 0.8, 2.5))
    return [_part(0.0, 0.0, core * 1.3, core, turns, 1.0), tail]
