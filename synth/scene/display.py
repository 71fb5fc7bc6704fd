"""From raw levels to the 8-bit view: denoiser, automatic gain control, JPEG.

Two gain controls, after FLIR application note 102-PS242-100-01 (2014): *linear*, ``8bit = m * raw + b`` with
m = 255 / (P(100 - t) - P(t)); and *plateau equalisation*, the cumulative histogram with every 1-level bin cut at the
plateau. Both have a largest gain, as cores do, which keeps the noise of a flat scene from filling the range. A view is a
table with one grey level per raw level: monotone whatever the control.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numba
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.scene.draws import chance, log_uniform, uniform

if TYPE_CHECKING:
    from synth.scene.sensor_config import SensorConfig

RawLevels = npt.NDArray[np.uint16]
GreyLevels = npt.NDArray[np.uint8]
Denoiser = Literal["none", "median3", "gaussian"]

NOISE_KEPT: dict[Denoiser, float] = {"none": 1.0, "median3": 0.4075, "gaussian": 0.375}
"""Standard deviation of white noise after each denoiser, relative: the median of nine normals; sqrt(6*6)/16 of the
binomial kernel (both computed)."""


class _AgcBase(BaseModel):
    """What both gain controls share.

    Attributes:
        span_dn: Bounds of the grey levels a scene fills, drawn uniformly; 255 is a core's own full range.
        lift: Bounds of the share of the unused grey levels that lies below the scene, drawn uniformly; it moves the
            "ITT midpoint" of the application note, 127 of 255 by default.
        max_noise_dn: Bounds of the noise the view may show, grey levels, drawn log-uniformly; the largest gain follows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    span_dn: tuple[float, float] = (255.0, 255.0)
    lift: tuple[float, float] = (0.5, 0.5)
    max_noise_dn: tuple[float, float] = (0.5, 4.0)  # MAD sigmas of the 145 target-free frames, 5-95 %: physics section 11

    @model_validator(mode="after")
    def _bounds_rise(self) -> Self:
        limits = {"span_dn": (1.0, 255.0), "lift": (0.0, 1.0), "max_noise_dn": (1e-3, 255.0)}
        for key, (least, most) in limits.items():
            low, high = getattr(self, key)
            if not least <= low <= high <= most:
                raise ValueError(f"{key} must be two rising numbers in {least:g}..{most:g}, got {low:g}, {high:g}")
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


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the camera's display does to one frame.

    Attributes:
        table: uint8 (2^bits,), grey level of each raw level; never falls.
        kind: Gain control that made it.
        denoise: Filter applied to the raw levels before the table.
    """

    table: GreyLevels
    kind: Literal["linear", "plateau"]
    denoise: Denoiser


def fit_view(raw: RawLevels, sensor: SensorConfig, *, rng: np.random.Generator) -> View:
    """Fit the gain control to a frame.

    The statistics are those of the frame before the denoiser, which moves percentiles by less than its own noise.

    Args:
        raw: uint16 (H, W).
        sensor: The sensor, its ``agc`` and ``denoise``.
        rng: View stream of the frame; always four draws.

    Returns:
        The view.
    """
    agc = sensor.agc
    plateau_turn = chance(rng, agc.plateau_share if isinstance(agc, MixedAgc) else 0.5)
    span, lift = uniform(rng, *agc.span_dn), uniform(rng, *agc.lift)
    max_gain = log_uniform(rng, *agc.max_noise_dn) / (sensor.sigma_tvh_dn * NOISE_KEPT[sensor.denoise])
    counts = _histogram(raw, sensor.raw_max)
    if isinstance(agc, PlateauAgc) or (isinstance(agc, MixedAgc) and plateau_turn):
        plateau = max(1, int(agc.plateau_fraction * raw.size))
        return View(_plateau_table(counts, plateau, span, lift, max_gain), "plateau", sensor.denoise)
    low, high = _tail_levels(counts, int(agc.tail_percent / 100.0 * raw.size))
    return View(_linear_table(counts.size, low, high, span, lift, max_gain), "linear", sensor.denoise)


def show(raw: RawLevels, view: View) -> GreyLevels:
    """Return the 8-bit view of raw levels: denoiser, then table; uint8, same shape.

    Args:
        raw: uint16 (H, W), at most the largest level the view was fitted for.
        view: What :func:`fit_view` returned.
    """
    if view.denoise == "gaussian":
        raw = _binomial3(raw)
    elif view.denoise == "median3":
        raw = _median3(raw)
    return view.table[raw]


def post(grey: GreyLevels, sensor: SensorConfig) -> GreyLevels:
    """Return the view after the sensor's JPEG pass, or the view itself where there is none.

    The bytes of a JPEG pass depend on the version of the codec.

    Args:
        grey: uint8 (H, W).
        sensor: The sensor, its ``jpeg_quality``.
    """
    if sensor.jpeg_quality is None:
        return grey
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=sensor.jpeg_quality)
    return np.asarray(Image.open(buffer))


@numba.njit(cache=True, nogil=True)
def _histogram(raw: RawLevels, raw_max: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(raw_max + 1, np.int64)
    for i in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            counts[raw[i, j]] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _tail_levels(counts: npt.NDArray[np.int64], cut: int) -> tuple[int, int]:
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


@numba.njit(cache=True, nogil=True)
def _linear_table(size: int, low: int, high: int, span: float, lift: float, max_gain: float) -> GreyLevels:
    gain = min(span / max(high - low, 1), max_gain)
    floor = lift * (255.0 - gain * (high - low))
    table = np.empty(size, np.uint8)
    for level in range(size):
        table[level] = np.uint8(min(max(np.floor(gain * (level - low) + floor + 0.5), 0.0), 255.0))
    return table


@numba.njit(cache=True, nogil=True)
def _plateau_table(counts: npt.NDArray[np.int64], plateau: int, span: float, lift: float, max_gain: float) -> GreyLevels:
    """Cumulate the cut histogram from the middle of each bin; a bin rises by at most ``max_gain`` grey levels."""
    total = 0
    for count in counts:
        total += min(count, plateau)
    used = 0.0
    for count in counts:
        used += min(span * min(count, plateau) / total, max_gain)
    table = np.empty(counts.size, np.uint8)
    level_dn = lift * (255.0 - used)
    for level in range(counts.size):
        rise = min(span * min(counts[level], plateau) / total, max_gain)
        table[level] = np.uint8(min(max(np.floor(level_dn + 0.5 * rise + 0.5), 0.0), 255.0))
        level_dn += rise
    return table


@numba.njit(cache=True, nogil=True)
def _binomial3(raw: RawLevels) -> RawLevels:
    """Filter with [1 2 1] x [1 2 1] / 16 (sigma 0.71 px), edges repeated, rounded half up in integers."""
    rows, cols = raw.shape
    across = np.empty((rows, cols), np.uint32)
    for i in range(rows):
        for j in range(cols):
            left, right = raw[i, max(j - 1, 0)], raw[i, min(j + 1, cols - 1)]
            across[i, j] = np.uint32(left) + np.uint32(2) * np.uint32(raw[i, j]) + np.uint32(right)
    out = np.empty((rows, cols), np.uint16)
    for i in range(rows):
        above, below = across[max(i - 1, 0)], across[min(i + 1, rows - 1)]
        for j in range(cols):
            out[i, j] = np.uint16((above[j] + np.uint32(2) * across[i, j] + below[j] + np.uint32(8)) >> np.uint32(4))
    return out


@numba.njit(cache=True, nogil=True)
def _median3(raw: RawLevels) -> RawLevels:
    """Return the median of each 3x3 neighbourhood, edges repeated."""
    rows, cols = raw.shape
    out = np.empty((rows, cols), np.uint16)
    near = np.empty(9, np.uint16)
    for i in range(rows):
        for j in range(cols):
            for k in range(9):
                near[k] = raw[min(max(i + k // 3 - 1, 0), rows - 1), min(max(j + k % 3 - 1, 0), cols - 1)]
            for k in range(1, 9):  # insertion sort
                value, m = near[k], k
                while m > 0 and near[m - 1] > value:
                    near[m] = near[m - 1]
                    m -= 1
                near[m] = value
            out[i, j] = near[4]
    return out
