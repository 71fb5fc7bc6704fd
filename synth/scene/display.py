"""From raw levels to the 8-bit view: denoiser, automatic gain control, block codec.

Two gain controls, after FLIR application note 102-PS242-100-01 (2014): *linear*, ``8bit = m * raw + b`` with
m = 255 / (P(100 - t) - P(t)); and *plateau equalisation*, the cumulative histogram with every 1-level bin cut at the
plateau. Both have a largest gain, as cores do, which keeps the noise of a flat scene from filling the range. A view is a
table with one grey level per raw level: monotone whatever the control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

import numba
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.scene.codec import code_blocks
from synth.scene.denoise import Denoiser, denoise, noise_kept
from synth.scene.draws import Points, chance, log_spread, rising, spread

if TYPE_CHECKING:
    from synth.scene.sensor_config import SensorConfig

RawLevels = npt.NDArray[np.uint16]
GreyLevels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int32]


class _AgcBase(BaseModel):
    """What both gain controls share.

    Attributes:
        span_dn: Bounds or quantiles of the grey levels a scene fills, drawn uniformly; 255 is a core's own full range.
        lift: Bounds or quantiles of the share of the unused grey levels that lies below the scene, drawn uniformly; it moves
            the "ITT midpoint" of the application note, 127 of 255 by default.
        max_noise_dn: Bounds or quantiles of the noise the view may show, grey levels, drawn log-uniformly; the largest gain
            follows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    span_dn: Points = (255.0, 255.0)
    lift: Points = (0.5, 0.5)
    max_noise_dn: Points = (0.5, 4.0)  # MAD sigmas of the 145 target-free frames, 5-95 %: physics section 11

    @model_validator(mode="after")
    def _bounds_rise(self) -> Self:
        limits = {"span_dn": (1.0, 255.0), "lift": (0.0, 1.0), "max_noise_dn": (1e-3, 255.0)}
        for key, (least, most) in limits.items():
            rising(key, getattr(self, key), least, most)
        return self


Tail = Annotated[float, Field(ge=0.0, lt=50.0, description="Share of pixels rejected on each side, percent.")]
Plateau = Annotated[float, Field(gt=0.0, le=1.0, description="Largest count of a bin as a share of all pixels.")]

_PLATEAU_SHARE_OF_PIXELS = 150.0 / (640.0 * 512.0)  # plateau value 150, published default of a 640x512 core (Videotec manual)


class LinearAgc(_AgcBase):
    """Linear gain with tail rejection.

    Attributes:
        kind: Always "linear".
        tail_percent: Share of pixels rejected on each side (our choice: .5, physics section 9).
    """

    kind: Literal["linear"] = "linear"
    tail_percent: Tail = 0.5


class PlateauAgc(_AgcBase):
    """Plateau equalisation; a low plateau tends to linear.

    Attributes:
        kind: Always "plateau".
        plateau_fraction: Largest count of a raw level, as a share of all pixels.
    """

    kind: Literal["plateau"] = "plateau"
    plateau_fraction: Plateau = _PLATEAU_SHARE_OF_PIXELS


class MixedAgc(_AgcBase):
    """Plateau equalisation for some frames, linear for the rest.

    Attributes:
        kind: Always "mixed".
        plateau_share: Share of frames with plateau equalisation (our choice: .3, physics section 9).
        tail_percent: As in :class:`LinearAgc`.
        plateau_fraction: As in :class:`PlateauAgc`.
    """

    kind: Literal["mixed"] = "mixed"
    plateau_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    tail_percent: Tail = 0.5
    plateau_fraction: Plateau = _PLATEAU_SHARE_OF_PIXELS


Agc = Annotated[LinearAgc | PlateauAgc | MixedAgc, Field(discriminator="kind")]


class View(NamedTuple):
    """What the camera's display does to one frame.

    Attributes:
        table: uint8 (2^bits,), grey level of each raw level; never falls.
        kind: Gain control that made it.
        denoise: Filter applied to the raw levels before the table.
        sigma_px: Kernel of the Gaussian filter.
        quality: Quality of the block codec behind the table, or None.
        block_origin: First row and column of the frame within a block of it.
    """

    table: GreyLevels
    kind: Literal["linear", "plateau"]
    denoise: Denoiser
    sigma_px: float = 0.0
    quality: int | None = None
    block_origin: tuple[int, int] = (0, 0)


def fit_view(raw: RawLevels, sensor: SensorConfig, *, rng: np.random.Generator) -> View:
    """Fit the gain control to a frame.

    The statistics are those of the frame before the denoiser, which moves percentiles by less than its own noise.

    Args:
        raw: uint16 (H, W).
        sensor: The sensor, its ``agc`` and ``denoise``.
        rng: View stream of the frame; always eight draws.

    Returns:
        The view.
    """
    agc = sensor.agc
    plateau_turn = chance(rng, agc.plateau_share if isinstance(agc, MixedAgc) else 0.5)
    span, lift, max_noise = spread(rng, agc.span_dn), spread(rng, agc.lift), log_spread(rng, agc.max_noise_dn)
    sigma, quality = spread(rng, sensor.denoise_sigma_px), spread(rng, sensor.jpeg_quality or (100.0, 100.0))
    max_gain = max_noise / (sensor.sigma_tvh_dn * noise_kept(sensor.denoise, sigma))
    origin = divmod(int(64.0 * float(rng.random())), 8)
    path = (sensor.denoise, sigma, None if sensor.jpeg_quality is None else int(quality + 0.5), origin)
    num_levels = int(255.0 * spread(rng, sensor.levels_share) + 0.5)
    counts = _histogram(raw, sensor.raw_max)
    if isinstance(agc, PlateauAgc) or (isinstance(agc, MixedAgc) and plateau_turn):
        plateau = max(1, int(agc.plateau_fraction * raw.size))
        return View(_coarse(_plateau_table(counts, plateau, span, lift, max_gain), num_levels), "plateau", *path)
    low, high = _tail_levels(counts, int(agc.tail_percent / 100.0 * raw.size))
    return View(_coarse(_linear_table(counts.size, low, high, span, lift, max_gain), num_levels), "linear", *path)


def _coarse(table: GreyLevels, num_levels: int) -> GreyLevels:
    """Return a table that uses every grey level, or fewer and evenly spaced ones."""
    if num_levels >= 255:
        return table
    stretched = (np.arange(num_levels + 1) * 510 + num_levels) // (2 * num_levels)  # 255 * k / num_levels, rounded half up
    steps = (np.arange(256) * 2 * num_levels + 255) // 510  # the step each level falls to
    coarse: GreyLevels = stretched[steps].astype(np.uint8)[table]
    return coarse


def show(raw: RawLevels, view: View) -> GreyLevels:
    """Return the 8-bit view of raw levels: denoiser, table, codec; uint8, same shape.

    Args:
        raw: uint16 (H, W), at most the largest level the view was fitted for.
        view: What :func:`fit_view` returned.
    """
    grey = _look_up(view.table, denoise(raw, view.denoise, view.sigma_px))
    return grey if view.quality is None else code_blocks(grey, view.quality, view.block_origin)


@numba.njit(cache=True, nogil=True)
def _look_up(table: GreyLevels, raw: RawLevels) -> GreyLevels:
    out = np.empty(raw.shape, np.uint8)
    for i in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            out[i, j] = table[raw[i, j]]
    return out


@numba.njit(cache=True, nogil=True)
def _histogram(raw: RawLevels, raw_max: int) -> Counts:
    counts = np.zeros(raw_max + 1, np.int32)
    for i in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            counts[raw[i, j]] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _tail_levels(counts: Counts, cut: int) -> tuple[int, int]:
    """Return the levels with at most ``cut`` pixels below and above."""
    low, below = 0, counts[0]
    while below <= cut:
        low += 1
        below += counts[low]
    high, above = counts.size - 1, counts[-1]
    while above <= cut:
        high -= 1
        above += counts[high]
    return low, max(high, low)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # a check for division by zero would keep the loops scalar
def _linear_table(size: int, low: int, high: int, span: float, lift: float, max_gain: float) -> GreyLevels:
    gain = min(span / max(high - low, 1), max_gain)
    floor = lift * (255.0 - gain * (high - low))
    table = np.empty(size, np.uint8)
    for level in range(size):
        table[level] = np.uint8(min(max(np.floor(gain * (level - low) + floor + 0.5), 0.0), 255.0))
    return table


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _plateau_table(counts: Counts, plateau: int, span: float, lift: float, max_gain: float) -> GreyLevels:
    """Cumulate the cut histogram from the middle of each bin; a bin rises by at most ``max_gain`` grey levels."""
    low, high = _tail_levels(counts, 0)
    total = 0
    for count in counts[low : high + 1]:
        total += min(count, plateau)
    used = 0.0
    for count in counts[low : high + 1]:
        used += min(span * min(count, plateau) / total, max_gain)
    table = np.empty(counts.size, np.uint8)
    level_dn = lift * (255.0 - used)
    table[:low] = np.uint8(min(max(np.floor(level_dn + 0.5), 0.0), 255.0))
    for level in range(low, high + 1):
        rise = min(span * min(counts[level], plateau) / total, max_gain)
        table[level] = np.uint8(min(max(np.floor(level_dn + 0.5 * rise + 0.5), 0.0), 255.0))
        level_dn += rise
    table[high + 1 :] = np.uint8(min(max(np.floor(level_dn + 0.5), 0.0), 255.0))
    return table
