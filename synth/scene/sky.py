"""Sky regimes: clear sky with faint cirrus, and cumulus with bright ragged edges.

Temperatures are relative to the darkest sky, K. Spans are our choice, set so that views resemble published frames.
"""

from __future__ import annotations

import numba
import numpy as np

from synth.sample import FloatImage
from synth.scene.clutter import power_law_field, smoothstep, standardise
from synth.scene.draws import chance, log_uniform, uniform


def clear_sky(rng: np.random.Generator, hw: tuple[int, int]) -> FloatImage:
    """Render a smooth elevation gradient with faint, stretched cloud.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.2, 8.0))
    if chance(rng, 0.35):
        return scene
    veil = power_law_field(rng, hw=hw, beta=uniform(rng, 3.0, 4.0), stretch=uniform(rng, 1.0, 4.0), turns=_near_level(rng))
    onset = uniform(rng, -1.0, 1.2)
    scene += smoothstep(veil, onset, onset + uniform(rng, 0.7, 3.0)) * np.float32(log_uniform(rng, 0.15, 4.0))
    return scene


def cumulus(rng: np.random.Generator, hw: tuple[int, int]) -> FloatImage:
    """Render broken cloud: a thresholded field with a ragged rim, relief shading and thickness.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.3, 4.0))
    zoom = log_uniform(rng, 1.0, 3.0)
    shape = power_law_field(
        rng,
        hw=hw,
        beta=uniform(rng, 3.0, 3.6),
        f0=1 / (140 * zoom),
        stretch=uniform(rng, 1.0, 2.2),
        turns=_near_level(rng),
    )
    detail = power_law_field(rng, hw=hw, beta=uniform(rng, 2.6, 3.2), f0=1 / (25 * zoom))
    onset = uniform(rng, -0.5, 0.9)
    ragged = shape + np.float32(log_uniform(rng, 0.06, 0.22)) * detail
    cover = smoothstep(ragged, onset, onset + log_uniform(rng, 0.15, 1.2))
    thick = smoothstep(ragged, onset, onset + uniform(rng, 0.8, 2.5))
    relief = lit_relief(shape + np.float32(0.2) * detail, rng, zoom * uniform(rng, 1.5, 5.0))
    brightness = (
        np.float32(uniform(rng, 0.25, 0.7))
        + np.float32(uniform(rng, -0.15, 0.6)) * thick
        + np.float32(uniform(rng, 0.02, 0.13)) * relief
    )
    scene += cover * brightness * np.float32(log_uniform(rng, 2.0, 25.0))
    return scene


def elevation_gradient(rng: np.random.Generator, hw: tuple[int, int], span_kelvin: float) -> FloatImage:
    """Return a sky that warms towards the horizon, bent and slightly tilted.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns.
        span_kelvin: Temperature difference from top to bottom, K.

    Returns:
        float32 (H, W), K.
    """
    rows, cols = hw
    bend = uniform(rng, 0.2, 1.0)
    down = np.arange(rows, dtype=np.float32) / np.float32(rows)
    right = np.arange(cols, dtype=np.float32) / np.float32(cols) * np.float32(uniform(rng, -0.35, 0.35))
    column = np.float32(span_kelvin) * (np.float32(1.0 - bend) * down + np.float32(bend) * down * down)
    return column[:, None] + np.float32(span_kelvin) * right[None, :]


def lit_relief(height: FloatImage, rng: np.random.Generator, reach_px: float) -> FloatImage:
    """Shade a height field as if lit from the upper left or right: height less its copy that trails along the light.

    Args:
        height: float32 (H, W), any unit.
        rng: Source of the side.
        reach_px: Length over which the shadow trails off, px.

    Returns:
        float32 (H, W) with mean 0 and standard deviation 1, limited to 2.5 standard deviations.
    """
    side = 1 if chance(rng, 0.5) else -1
    shaded: FloatImage = np.clip(standardise(_less_trail(height, 1.0 / (1.0 + reach_px), side)), -2.5, 2.5)
    return shaded


@numba.njit(cache=True, nogil=True)
def _less_trail(height: FloatImage, share: float, side: int) -> FloatImage:
    rows, cols = height.shape
    out = np.empty_like(height)
    trail = height[0].astype(np.float64)
    last = trail.copy()
    for i in range(rows):
        for j in range(cols):
            before = last[min(max(j - side, 0), cols - 1)]
            trail[j] = before + share * (height[i, j] - before)
            out[i, j] = height[i, j] - trail[j]
        last[:] = trail
    return out


def _near_level(rng: np.random.Generator) -> float:
    return uniform(rng, -0.06, 0.06) % 1.0
