"""The noise terms of a sensor, one entry each: how it is sampled and the variance it declares.

3-D noise (D'Agostino & Webb, SPIE 1488, 1991): every term is constant along the axes missing from its name, t time,
v rows, h columns. What a camera draws and what an ``expected`` ratio assumes both come from this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import grain
from synth.scene.sensor_config import PhotonShot, SensorConfig
from synth.scene.walk import walk_along

Axis = Literal["pixel", "row", "column", "frame"]
Sampler = Callable[[SensorConfig, float, tuple[int, int], np.random.Generator], FloatImage]
Sigma = Callable[[SensorConfig, float], float]

FRESH_TERMS = ("t", "tv", "th", "column_walk")
"""Members that are one value a frame, row or column and drawn anew for every frame, in the order of their keys."""

THERMAL, GAUSSIAN_COUNTS, POISSON_COUNTS = 0, 1, 2
"""Values of ``PixelLaw.kind``."""


class PixelLaw(NamedTuple):
    """Temporal noise of a pixel as a function of its level; a named tuple because kernels take it.

    Attributes:
        kind: ``THERMAL``, ``GAUSSIAN_COUNTS`` or ``POISSON_COUNTS``.
        sigma_dn: Thermal noise, DN.
        electrons_at_zero: Electrons at raw level 0; negative under a pedestal.
        electrons_per_dn: Electrons per raw level.
        signal_free_variance: Dark and read variance, electrons^2.
    """

    kind: int
    sigma_dn: float
    electrons_at_zero: float
    electrons_per_dn: float
    signal_free_variance: float


@dataclass(frozen=True, slots=True)
class NoiseMember:
    """One noise term.

    Attributes:
        name: Key in :data:`NOISE_MEMBERS`.
        axis: What it has one value for.
        is_fixed: Whether it belongs to the camera (drawn once) or to the frame.
        is_local: Whether it spreads the pixels of a small window; a level of the whole frame or a slow shading does not.
        sigma: (sensor, level in DN) -> declared standard deviation, DN.
        sample: (sensor, level in DN, (H, W), generator) -> float32 DN, (H, W), (H, 1), (1, W) or (1, 1) by axis.
        follows_level: Whether its sigma depends on the level.
    """

    name: str
    axis: Axis
    is_fixed: bool
    is_local: bool
    sigma: Sigma
    sample: Sampler
    follows_level: bool = False

    def variance(self, sensor: SensorConfig, level_dn: float) -> float:
        """Return the declared variance at a noise-free level, DN^2."""
        sigma = self.sigma(sensor, level_dn)
        return sigma * sigma


def noise_sigma_dn(sensor: SensorConfig, level_dn: float) -> float:
    """Return the spread of the pixels of a flat window of one frame, raw levels.

    All local terms, temporal and fixed, and the rounding of the converter; not the level of the whole frame, large-scale
    shading or defects.

    Args:
        sensor: The sensor.
        level_dn: Noise-free raw level of the window.

    Returns:
        Standard deviation, DN.
    """
    return LocalNoise(sensor).sigma_dn(level_dn)


class LocalNoise:
    """:func:`noise_sigma_dn` of one sensor at many levels; what does not follow the level is added up once.

    Args:
        sensor: The sensor.
    """

    def __init__(self, sensor: SensorConfig) -> None:
        local = [member for member in NOISE_MEMBERS.values() if member.is_local]
        self._sensor = sensor
        self._following = tuple(member.sigma for member in local if member.follows_level)
        self._steady = sum(member.variance(sensor, sensor.offset_dn) for member in local if not member.follows_level)

    def sigma_dn(self, level_dn: float) -> float:
        """Return the standard deviation at a noise-free raw level, DN."""
        variance = self._steady
        for sigma in self._following:
            variance += sigma(self._sensor, level_dn) ** 2
        return math.sqrt(variance)


def pixel_law(sensor: SensorConfig) -> PixelLaw:
    """Return the temporal pixel noise in the form of the kernels."""
    shot = sensor.shot
    if not isinstance(shot, PhotonShot):
        return PixelLaw(0, sensor.sigma_tvh_dn, 0.0, 1.0, 0.0)
    at_zero = shot.background_e - sensor.offset_dn * shot.gain_e_per_dn
    signal_free = shot.dark_e + shot.read_e * shot.read_e
    return PixelLaw(2 if shot.exact_poisson else 1, 0.0, at_zero, shot.gain_e_per_dn, signal_free)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_pixel_noise(
    law: PixelLaw,
    signal: npt.NDArray[np.float32],
    low: np.uint64,
    high: np.uint64,
    first: np.uint64,
    out: npt.NDArray[np.float32],
) -> None:
    """Turn standard normals into signal plus temporal pixel noise, for consecutive pixels.

    Args:
        law: Noise law of the sensor.
        signal: float32 (n,), noise-free raw levels.
        low: First word of the frame's key.
        high: Second word of the frame's key.
        first: Index of the first pixel, row * W + col.
        out: float32 (n,), the normals of :func:`synth.scene.grain.fill_normals` for these pixels; overwritten.
    """
    per_dn, zero = np.float32(law.electrons_per_dn), np.float32(0.0)
    at_zero, signal_free = np.float32(law.electrons_at_zero), np.float32(law.signal_free_variance)
    if law.kind == THERMAL:
        sigma = np.float32(law.sigma_dn)
        for k in range(out.size):
            out[k] = signal[k] + sigma * out[k]
    elif law.kind == GAUSSIAN_COUNTS:
        for k in range(out.size):
            electrons = max(at_zero + signal[k] * per_dn, zero)
            out[k] = signal[k] + np.sqrt(electrons + signal_free) / per_dn * out[k]
    else:
        for k in range(out.size):
            electrons = max(law.electrons_at_zero + signal[k] * law.electrons_per_dn, 0.0)
            excess = grain.poisson_at(electrons, low, ~high, first + np.uint64(k)) - electrons
            out[k] = np.float32(signal[k] + (excess + np.sqrt(law.signal_free_variance) * out[k]) / law.electrons_per_dn)


def shading_profiles(sensor: SensorConfig, hw: tuple[int, int], rng: np.random.Generator) -> tuple[FloatImage, FloatImage]:
    """Draw the shading a correction leaves: a gradient plus a bowl (low-order radial + gradient), DN.

    Args:
        sensor: The sensor, its residual non-uniformity.
        hw: Rows and columns.
        rng: Camera stream.

    Returns:
        float32 (H, 1) and (1, W), each of mean 0; their sum has the declared deviation over the frame.
    """
    down, right = (np.linspace(-1.0, 1.0, side) for side in hw)
    mix = rng.standard_normal(4)
    mix /= np.sqrt((mix * mix).sum())
    by_row = mix[0] * _unit(down) + mix[1] * _unit(down * down)
    by_col = mix[2] * _unit(right) + mix[3] * _unit(right * right)
    sigma = _nuc_sigma(sensor, sensor.offset_dn)
    return (sigma * by_row[:, None]).astype(np.float32), (sigma * by_col[None, :]).astype(np.float32)


def _unit(profile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    centred = profile - profile.mean()
    return np.asarray(centred / np.sqrt((centred * centred).mean()))


def _tvh_sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    key = grain.draw_key(rng)
    level, out = np.full(hw[0] * hw[1], level_dn, np.float32), grain.normal_field(hw, 1.0, key=key).reshape(-1)
    add_pixel_noise(pixel_law(sensor), level, key.low, key.high, np.uint64(0), out)
    return (out - level).reshape(hw)


def _tvh_sigma(sensor: SensorConfig, level_dn: float) -> float:
    shot = sensor.shot
    if not isinstance(shot, PhotonShot):
        return sensor.sigma_tvh_dn
    electrons = max(shot.background_e + (level_dn - sensor.offset_dn) * shot.gain_e_per_dn, 0.0)
    return math.sqrt(electrons + shot.dark_e + shot.read_e * shot.read_e) / shot.gain_e_per_dn


def _ratio_member(name: str, axis: Axis, *, is_fixed: bool) -> NoiseMember:
    """Return a white term whose sigma is a ratio of sigma_tvh at T0."""

    def sigma(sensor: SensorConfig, level_dn: float) -> float:
        return float(getattr(sensor.noise, name)) * sensor.sigma_tvh_dn

    def sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
        shape = {"pixel": hw, "row": (hw[0], 1), "column": (1, hw[1]), "frame": (1, 1)}[axis]
        return grain.normal_field(shape, sigma(sensor, level_dn), key=grain.draw_key(rng))

    return NoiseMember(name, axis, is_fixed, axis != "frame", sigma, sample)


def _walk_sigma(sensor: SensorConfig, level_dn: float) -> float:
    return sensor.noise.column_walk * sensor.sigma_tvh_dn


def _walk_sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    return np.float32(_walk_sigma(sensor, level_dn)) * walk_along(hw[1], rng=rng)[None, :]


def _gain_sigma(sensor: SensorConfig, level_dn: float) -> float:
    return sensor.gain_nonuniformity * abs(level_dn - sensor.offset_dn)


def _gain_sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    return grain.normal_field(hw, _gain_sigma(sensor, level_dn), key=grain.draw_key(rng))


def _nuc_sigma(sensor: SensorConfig, level_dn: float) -> float:
    return sensor.nuc_residual_k * sensor.gain_dn_per_k


def _nuc_sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    by_row, by_col = shading_profiles(sensor, hw, rng)
    return by_row + by_col


def _rounding_sigma(sensor: SensorConfig, level_dn: float) -> float:
    return math.sqrt(1.0 / 12.0)


def _rounding_sample(sensor: SensorConfig, level_dn: float, hw: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    exact = level_dn + sensor.sigma_tvh_dn * rng.standard_normal(hw)
    return np.asarray(np.rint(exact) - exact, dtype=np.float32)


NOISE_MEMBERS: Mapping[str, NoiseMember] = MappingProxyType(
    {
        member.name: member
        for member in (
            NoiseMember("tvh", "pixel", False, True, _tvh_sigma, _tvh_sample, follows_level=True),
            _ratio_member("t", "frame", is_fixed=False),
            _ratio_member("tv", "row", is_fixed=False),
            _ratio_member("th", "column", is_fixed=False),
            NoiseMember("column_walk", "column", False, True, _walk_sigma, _walk_sample),
            _ratio_member("vh", "pixel", is_fixed=True),
            _ratio_member("v", "row", is_fixed=True),
            _ratio_member("h", "column", is_fixed=True),
            NoiseMember("gain", "pixel", True, True, _gain_sigma, _gain_sample, follows_level=True),
            NoiseMember("nuc", "pixel", True, False, _nuc_sigma, _nuc_sample),
            NoiseMember("rounding", "pixel", False, True, _rounding_sigma, _rounding_sample),
        )
    }
)
"""Every noise term by name."""
