"""The camera: responsivity, noise, fixed pattern, 14-bit conversion, and the 8-bit view.

Noise comes after the optics, so it is never blurred; the view is linear, so it keeps ratios up to clipping.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.draws import log_uniform, uniform

RESPONSIVITY_DN_PER_K = 100.0
"""Raw levels per kelvin (our choice: 164 K over 14 bit, and 40 mK of noise is 4 DN, well above quantisation)."""

RAW_MAX = 16383
"""Largest raw level, 14 bit."""

_RAW_ZERO = 6000.0  # raw level of 0 K of a scene; scenes span -20..60 K
_TAIL_SHARE = 0.005  # rejected on each side by the linear gain control (FLIR application note 102-PS242-100-01)


@dataclass(frozen=True, slots=True)
class Camera:
    """What one camera does to a scene.

    Attributes:
        sigma_optics_px: Optical blur, px.
        netd_mk: Noise-equivalent temperature difference, mK.
        column_ratio: Column fixed pattern relative to the noise.
        row_ratio: Row fixed pattern relative to the noise.
        shading_kelvin: Large-scale non-uniformity from the centre to a corner, K.
        view_noise_dn: Noise the view may show at most, grey levels of 0..255; bounds its gain on flat scenes.
        view_span_dn: Grey levels the scene may fill.
        view_lift: Share of the unused grey levels that is put below the scene, 0..1.
    """

    sigma_optics_px: float
    netd_mk: float
    column_ratio: float
    row_ratio: float
    shading_kelvin: float
    view_noise_dn: float
    view_span_dn: float
    view_lift: float

    @property
    def noise_dn(self) -> float:
        """Standard deviation of the noise, raw DN."""
        return self.netd_mk * 1e-3 * RESPONSIVITY_DN_PER_K


@dataclass(frozen=True, slots=True)
class View:
    """A linear map from raw to 8-bit levels: ``gain * (raw - low) + lift``."""

    gain: float
    low: float
    lift: float

    def raw_of(self, level: float) -> float:
        """Return the raw level that is shown as ``level``."""
        return (level - self.lift) / self.gain + self.low


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera: public noise figures of uncooled and cooled cores, our choice where none is published."""
    return Camera(
        sigma_optics_px=log_uniform(rng, 0.45, 1.2),
        netd_mk=log_uniform(rng, 20.0, 60.0),
        column_ratio=log_uniform(rng, 0.05, 0.5),
        row_ratio=log_uniform(rng, 0.03, 0.3),
        shading_kelvin=uniform(rng, -0.6, 0.3),
        view_noise_dn=log_uniform(rng, 0.3, 1.5),
        view_span_dn=uniform(rng, 90.0, 245.0),
        view_lift=uniform(rng, 0.1, 0.8),
    )


def fixed_pattern(rng: np.random.Generator, camera: Camera, hw: tuple[int, int]) -> FloatImage:
    """Return what a camera adds to every frame: column and row offsets and a radial shading.

    Args:
        rng: Camera stream, after :func:`draw_camera`.
        camera: The camera.
        hw: Rows and columns.

    Returns:
        float32 (H, W), raw DN.
    """
    rows, cols = hw
    down = np.linspace(-1.0, 1.0, rows) - uniform(rng, -0.3, 0.3)
    right = np.linspace(-1.0, 1.0, cols) - uniform(rng, -0.3, 0.3)
    bowl = 0.5 * camera.shading_kelvin * RESPONSIVITY_DN_PER_K
    by_row = rng.standard_normal(rows) * (camera.row_ratio * camera.noise_dn) + bowl * down * down
    by_col = rng.standard_normal(cols) * (camera.column_ratio * camera.noise_dn) + bowl * right * right
    return by_row.astype(np.float32)[:, None] + by_col.astype(np.float32)[None, :]


def respond(kelvin: FloatImage) -> FloatImage:
    """Return noise-free raw levels, float32 (H, W), of an apparent temperature in K."""
    return np.float32(RESPONSIVITY_DN_PER_K) * kelvin + np.float32(_RAW_ZERO)


def convert(levels: FloatImage, rng: np.random.Generator, camera: Camera) -> npt.NDArray[np.uint16]:
    """Add the noise and convert to 14 bit.

    Args:
        levels: float32 (H, W) noise-free raw levels.
        rng: Noise stream of the frame.
        camera: The camera.

    Returns:
        uint16 (H, W) in 0..16383; values beyond are clipped, never wrapped.
    """
    noisy = rng.standard_normal(levels.shape, dtype=np.float32)
    noisy *= np.float32(camera.noise_dn)
    noisy += levels
    return np.clip(np.rint(noisy), 0, RAW_MAX).astype(np.uint16)


def fit_view(levels: FloatImage, camera: Camera) -> View:
    """Return the automatic gain for a scene: linear with tail rejection, bounded gain.

    It is fitted to the noise-free scene without targets. Noise and targets hardly move the percentiles, and a
    background then looks the same with and without its targets.

    Args:
        levels: float32 (H, W) noise-free raw levels.
        camera: The camera.

    Returns:
        The map to 8 bit.
    """
    low, high = _tail_levels(levels, _TAIL_SHARE)
    gain = min(camera.view_span_dn / max(high - low, 1.0), camera.view_noise_dn / camera.noise_dn)
    return View(gain=gain, low=low, lift=camera.view_lift * (250.0 - gain * (high - low)))


def show(raw: npt.NDArray[np.uint16], view: View) -> npt.NDArray[np.uint8]:
    """Return the 8-bit view of raw levels through a table; uint8, same shape."""
    table = np.floor(view.gain * (np.arange(RAW_MAX + 1, dtype=np.float64) - view.low) + view.lift + 0.5)
    return np.clip(table, 0, 255).astype(np.uint8)[raw]


@numba.njit(cache=True, nogil=True)
def _tail_levels(levels: FloatImage, share: float) -> tuple[float, float]:
    """Return the levels with ``share`` of the pixels below and above, to 1 DN, by counting."""
    counts = np.zeros(RAW_MAX + 1, np.int64)
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            counts[min(max(int(levels[i, j]), 0), RAW_MAX)] += 1
    cut = int(share * levels.size)
    low, below = 0, counts[0]
    while below <= cut:
        low += 1
        below += counts[low]
    high, above = RAW_MAX, counts[RAW_MAX]
    while above <= cut:
        high -= 1
        above += counts[high]
    return float(low), float(high)
