"""Sky regimes: clear sky with faint cirrus, and cumulus with bright ragged edges.

Temperatures are relative to the darkest sky, K. Spans are our choice, set so that views resemble published frames.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.clutter import moments
from synth.scene.draws import chance, log_uniform, uniform
from synth.scene.sheets import FieldSource


def clear_sky(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render a smooth elevation gradient with faint, stretched cloud.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.02, 8.0))
    if chance(rng, 0.35):
        return scene
    turns = _near_level(rng) if chance(rng, 0.4) else float(rng.random())
    veil = fields.field(rng, hw=hw, beta=uniform(rng, 3.0, 4.0), stretch=uniform(rng, 1.0, 3.0), turns=turns)
    onset = uniform(rng, -1.0, 1.2)
    end = onset + uniform(rng, 0.7, 3.0)
    _add_veil(scene, veil, np.float32(onset), np.float32(1.0 / (end - onset)), np.float32(log_uniform(rng, 0.05, 4.0)))
    return scene


def cumulus(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render broken cloud: a thresholded field with a ragged rim, relief shading and thickness.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.3, 4.0))
    zoom = log_uniform(rng, 1.0, 5.0)
    shape = fields.field(
        rng,
        hw=hw,
        beta=uniform(rng, 3.3, 4.1),
        f0=1 / (140 * zoom),
        stretch=uniform(rng, 1.0, 2.2),
        turns=_near_level(rng),
    )
    detail = fields.field(rng, hw=hw, beta=uniform(rng, 2.8, 3.5), f0=1 / (25 * zoom))
    onset = uniform(rng, -0.5, 0.9)
    ragged = log_uniform(rng, 0.02, 0.15)
    cover_end = onset + log_uniform(rng, 0.15, 2.5)
    thick_end = onset + uniform(rng, 0.8, 2.5)
    shadow, mean, scale = _relief(shape, detail, 0.2, rng, zoom * uniform(rng, 1.5, 5.0))
    base, by_thickness, by_relief = uniform(rng, 0.25, 0.7), uniform(rng, -0.15, 0.9), uniform(rng, 0.02, 0.2)
    look = np.array(
        (
            ragged, onset, 1.0 / (cover_end - onset), 1.0 / (thick_end - onset),
            mean, scale, base, by_thickness, by_relief, log_uniform(rng, 2.0, 25.0),
        ),
        dtype=np.float32,
    )  # fmt: skip
    _add_cloud(scene, shape, detail, shadow, look)
    return scene


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_cloud(
    scene: FloatImage, shape: FloatImage, detail: FloatImage, shadow: FloatImage, look: npt.NDArray[np.float32]
) -> None:
    """Add cover * (base + by_thickness * thickness + by_relief * relief) * kelvin in one pass; ``look`` as in cumulus."""
    ragged, onset, cover_slope, thick_slope, mean, scale, base, by_thickness, by_relief, kelvin = look
    zero, one, two, three, limit = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0), np.float32(2.5)
    for i in range(scene.shape[0]):
        into, form, fine, dark = scene[i], shape[i], detail[i], shadow[i]
        for j in range(into.size):
            height = form[j] + ragged * fine[j] - onset
            cover = min(max(height * cover_slope, zero), one)
            cover = cover * cover * (three - two * cover)
            thick = min(max(height * thick_slope, zero), one)
            thick = thick * thick * (three - two * thick)
            relief = min(max((dark[j] - mean) * scale, -limit), limit)
            into[j] += cover * (base + by_thickness * thick + by_relief * relief) * kelvin


@numba.njit(cache=True, nogil=True)
def _add_veil(scene: FloatImage, veil: FloatImage, onset: np.float32, slope: np.float32, kelvin: np.float32) -> None:
    """Add the cubic step of a field times a temperature, in place."""
    zero, one, two, three = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0)
    for i in range(scene.shape[0]):
        into, form = scene[i], veil[i]
        for j in range(into.size):
            t = min(max((form[j] - onset) * slope, zero), one)
            into[j] += t * t * (three - two * t) * kelvin


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
    bend, tilt = uniform(rng, 0.2, 1.0), uniform(rng, -0.35, 0.35)
    gradient: FloatImage = _gradient(rows, cols, span_kelvin, bend, tilt)
    return gradient


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gradient(rows: int, cols: int, span: float, bend: float, tilt: float) -> FloatImage:
    """Return span * ((1 - bend) * y + bend * y^2 + tilt * x) for y and x rising from 0 to 1 over the frame."""
    out, right = np.empty((rows, cols), np.float32), np.empty(cols, np.float32)
    for j in range(cols):
        right[j] = np.float32(span * tilt * j / cols)
    for i in range(rows):
        into, down = out[i], i / rows
        level = np.float32(span * ((1.0 - bend) * down + bend * down * down))
        for j in range(cols):
            into[j] = level + right[j]
    return out


def lit_relief(
    height: FloatImage, rng: np.random.Generator, reach_px: float, growth: FloatImage, growth_share: float
) -> FloatImage:
    """Shade a height field as if lit from the upper left or right, and add what grows on it.

    The relief is the height less its copy that trails along the light.

    Args:
        height: float32 (H, W), any unit.
        rng: Source of the side.
        reach_px: Length over which the shadow trails off, px.
        growth: float32 (H, W), standard deviation 1.
        growth_share: Factor on it.

    Returns:
        float32 (H, W): relief of mean 0 and deviation 1, limited to 2.5, plus the growth.
    """
    shadow, mean, scale = _relief(height, height, 0.0, rng, reach_px)
    _add_growth(shadow, growth, np.float32(mean), np.float32(scale), np.float32(growth_share))
    return shadow


@numba.njit(cache=True, nogil=True)
def _add_growth(shadow: FloatImage, growth: FloatImage, mean: np.float32, scale: np.float32, share: np.float32) -> None:
    limit = np.float32(2.5)
    for i in range(shadow.shape[0]):
        into, fine = shadow[i], growth[i]
        for j in range(into.size):
            into[j] = min(max((into[j] - mean) * scale, -limit), limit) + share * fine[j]


def _relief(
    height: FloatImage, detail: FloatImage, share: float, rng: np.random.Generator, reach_px: float
) -> tuple[FloatImage, float, float]:
    """Return the relief of height + share * detail, its mean, and the inverse of its deviation (0 for a flat one)."""
    shadow = _less_trail(height, detail, np.float32(share), 1.0 / (1.0 + reach_px), 1 if chance(rng, 0.5) else -1)
    mean, deviation = moments(shadow)
    return shadow, mean, 1.0 / deviation if deviation > 0.0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _less_trail(height: FloatImage, detail: FloatImage, share: np.float32, pull: float, side: int) -> FloatImage:
    rows, cols = height.shape
    out = np.empty_like(height)
    last = np.empty(cols + 2)  # the trail of the row above, its ends doubled
    here = np.empty(cols)
    for j in range(cols):
        last[j + 1] = np.float64(height[0, j] + share * detail[0, j])
    for i in range(rows):
        last[0], last[cols + 1] = last[1], last[cols]
        before = last[1 - side : 1 - side + cols]
        level, fine, into = height[i], detail[i], out[i]
        for j in range(cols):
            top = np.float64(level[j] + share * fine[j])
            here[j] = before[j] + pull * (top - before[j])
            into[j] = np.float32(top - here[j])
        last[1 : cols + 1] = here
    return out


def _near_level(rng: np.random.Generator) -> float:
    return uniform(rng, -0.06, 0.06) % 1.0
