"""The signal-to-clutter ratio of a target: one definition, two ways to request it.

SCR = (mean over the mask of I - mu_b) / sigma_b, mu_b and population sigma_b over the mask's bounding box grown by 20 px,
minus all target masks dilated by 3 px; the definition, window and guard of :mod:`synth.targets`, here on images of any
kind. The two modes are never compared with each other:

- ``expected``: the amplitude follows from clutter and noise statistics, never from the noise draw. For detection curves.
- ``realised``: the amplitude is solved, in raw counts, until the frame carries the requested ratio. For frames.

Physics section 6; its closed formula takes in the clutter under the target and the target's own tail in the ring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numba
import numpy as np

from synth.sample import BoolMask, FloatImage, MaskLevels
from synth.scene.psf import Stamp
from synth.scene.window import Image, Window, window_box, window_parts, window_patch
from synth.targets import SCR_MIN_BACKGROUND_PX, SCR_SIGMA_FLOOR_DN

HEADROOM = 0.02
"""Share of the raw range that stays free above a target (physics section 6)."""

LEAST_RING_CONTRAST = 0.05
"""Least mean_mask(s) - mean_ring(s) of a unit-peak target that can be solved for (our choice; point targets have ~0.6)."""

TOLERANCE = 5e-4
"""Relative error of a realised ratio at which the solver stops; counts are integers, so it cannot always be reached."""

MAX_STEPS = 12

__all__ = [
    "Place", "Ratio", "Refusal", "Solution", "Window", "amplitude_at", "amplitude_expected", "amplitude_realised",
    "has_headroom", "measure_crop", "measure_scr", "window_statistics",
]  # fmt: skip


class Refusal(IntEnum):
    """Why a placement cannot carry its ratio; the caller draws another position and counts it."""

    NEGATIVE = 0  # the clutter under the target alone exceeds the request
    NO_HEADROOM = 1  # the peak would come closer to the rail than HEADROOM
    FEW_BACKGROUND = 2  # fewer than 50 background pixels in the window
    NO_CONTRAST = 3  # the target fills its own ring, or the ring is constant
    NOT_REACHED = 4  # the solver ended farther from the request than 10 %: too few counts to build it from


class Ratio(NamedTuple):
    """A measured ratio; a named tuple because a target takes five of them.

    Attributes:
        level_dn: Mean over the mask, levels of the image.
        contrast_dn: The same minus mu_b.
        sigma_dn: sigma_b, same unit, floored for 8-bit images.
        scr: Their quotient, NaN where unmeasurable.
        peak_scr: (highest level inside the mask - mu_b) / sigma_b.
    """

    level_dn: float
    contrast_dn: float
    sigma_dn: float
    scr: float
    peak_scr: float


class Solution(NamedTuple):
    """An amplitude, or why there is none.

    Attributes:
        amplitude_dn: Peak of the target in raw levels; below 0 for a dark one.
        scr: Ratio it stands for: expected, or measured in the counts.
        refusal: Why the placement is refused, or None.
    """

    amplitude_dn: float
    scr: float
    refusal: Refusal | None = None


def measure_scr(frame: Image, window: Window) -> Ratio:
    """Measure a target on a frame.

    Args:
        frame: (H, W) of any numeric type; uint8 gets the floor of sigma_b for quantised views.
        window: Where.
    """
    return measure_crop(window.crop(frame), window)


def measure_crop(levels: Image, window: Window) -> Ratio:
    """Measure a target on the window's part of a frame; arguments as in :func:`measure_scr`."""
    mean, peak, mean_ring, sigma = window_statistics(levels, window.target, window.ring)
    if levels.dtype == np.uint8:
        sigma = max(sigma, SCR_SIGMA_FLOOR_DN)
    if not sigma > 0.0:
        return Ratio(mean, mean - mean_ring, sigma, np.nan, np.nan)
    return Ratio(mean, mean - mean_ring, sigma, (mean - mean_ring) / sigma, (peak - mean_ring) / sigma)


def amplitude_expected(
    patch: Stamp,
    window: Window,
    *,
    scr: float,
    sigma_clutter_dn: float,
    sigma_noise_dn: float,
    level_dn: float = 0.0,
    rail_dn: float = np.inf,
) -> Solution:
    """Return the amplitude by expected statistics, A = SCR * E[sigma_b] / (mean_mask(s) - mean_ring(s)).

    Args:
        patch: float64 (h, w), the unit-peak target on the window (:meth:`Window.patch`).
        window: Where.
        scr: Requested ratio; below 0 for a dark target.
        sigma_clutter_dn: Expected deviation of the clutter class (of a plate: of its own window), raw levels.
        sigma_noise_dn: :func:`synth.scene.detector.noise_sigma_dn` at the local level.
        level_dn: Noise-free level under the target, for the headroom.
        rail_dn: Level at which the sensor saturates; default: none.

    Returns:
        The amplitude, the same for every noise draw.
    """
    place = Place(window.num_ring, level_dn, level_dn, sigma_clutter_dn, _contrast(patch, window))
    return amplitude_at(place, scr=scr, sigma_noise_dn=sigma_noise_dn, rail_dn=rail_dn)


class Place(NamedTuple):
    """What an expected ratio needs to know of a place.

    Attributes:
        num_ring: Number of background pixels.
        level_dn: Mean over the mask of the frame without the target.
        around_dn: mu_b of it.
        sigma_dn: sigma_b of it.
        contrast: mean_mask(s) - mean_ring(s) of the unit-peak target.
    """

    num_ring: int
    level_dn: float
    around_dn: float
    sigma_dn: float
    contrast: float

    @classmethod
    def of(cls, frame: FloatImage, mask: BoolMask, stamp: Stamp, row: int, col: int, masks: MaskLevels) -> Place:
        """Survey a place without building a window: the same numbers at a fifth of the cost.

        Args:
            frame: float32 (H, W) frame without the target.
            mask: bool (S, S), the target's mask.
            stamp: float64 (S, S), the unit-peak target.
            row: Frame row of the stamp's middle pixel.
            col: Frame column of it.
            masks: uint8 (H, W), masks of all other targets.
        """
        return cls(*_survey(frame, mask, stamp, row, col, masks))


def amplitude_at(place: Place, *, scr: float, sigma_noise_dn: float, rail_dn: float) -> Solution:
    """Return :func:`amplitude_expected` for a place that is surveyed already."""
    refusal = _geometry_refusal(place.num_ring, place.contrast)
    if refusal is not None:
        return Solution(0.0, np.nan, refusal)
    amplitude = scr * math.sqrt(place.sigma_dn * place.sigma_dn + sigma_noise_dn * sigma_noise_dn) / place.contrast
    return Solution(amplitude, scr, None if has_headroom(place.level_dn + amplitude, rail_dn) else Refusal.NO_HEADROOM)


def amplitude_realised(
    counts: Callable[[float], Image] | Image, patch: Stamp, window: Window, *, scr: float, rail_dn: float = np.inf
) -> Solution:
    """Solve the amplitude until the counts carry the requested ratio.

    Starts from A = (SCR*sigma_b - (mean_mask(B) - mu_b)) / (mean_mask(s) - mean_ring(s)), B the frame without the target,
    and goes on with secant steps, or halvings once the request is enclosed, on the re-measured counts.

    Args:
        counts: What the sensor returns on the window for an amplitude, always under the same noise, as
            ``lambda a: digitise(clean + a * patch, camera, noise, window.box).raw``; or the background's counts B
            (h, w), to which the target is then added and rounded.
        patch: float64 (h, w), the unit-peak target on the window.
        window: Where.
        scr: Requested ratio; below 0 for a dark target.
        rail_dn: Level at which the sensor saturates; default: none.

    Returns:
        The amplitude and the ratio measured with it.
    """
    contrast = _contrast(patch, window)
    refusal = _geometry_refusal(window.num_ring, contrast)
    if refusal is not None:
        return Solution(0.0, np.nan, refusal)
    at = counts if callable(counts) else _rounded_sum(counts, patch)
    bare = measure_crop(at(0.0), window)
    if not bare.sigma_dn > 0.0:
        return Solution(0.0, np.nan, Refusal.NO_CONTRAST)
    start = (scr * bare.sigma_dn - bare.contrast_dn) / contrast
    if start * scr <= 0.0:
        return Solution(start, np.nan, Refusal.NEGATIVE)
    solution = _search(at, window, start, scr, contrast)
    if solution.amplitude_dn * scr <= 0.0:
        return Solution(solution.amplitude_dn, solution.scr, Refusal.NEGATIVE)
    has_room = has_headroom(float(at(solution.amplitude_dn)[window.target].max()), rail_dn)
    refusal = None if has_room else Refusal.NO_HEADROOM
    if refusal is None and not abs(solution.scr / scr - 1.0) <= 0.1:
        refusal = Refusal.NOT_REACHED
    return Solution(solution.amplitude_dn, solution.scr, refusal)


def _rounded_sum(background: Image, patch: Stamp) -> Callable[[float], Image]:
    return lambda amplitude: np.rint(background + amplitude * patch)


def _search(at: Callable[[float], Image], window: Window, start: float, scr: float, contrast: float) -> Solution:
    """Return the best of the amplitudes tried: fixed-slope secants while unenclosed, then halvings."""
    amplitude, low, high = start, -np.inf, np.inf
    best = Solution(start, np.nan)
    for _ in range(MAX_STEPS):
        measured = measure_crop(at(amplitude), window)
        if not np.isnan(measured.scr) and not abs(best.scr - scr) <= abs(measured.scr - scr):
            best = Solution(amplitude, measured.scr)
        missing = scr * measured.sigma_dn - measured.contrast_dn
        if abs(measured.scr / scr - 1.0) <= TOLERANCE or missing == 0.0:
            break
        if missing > 0.0:
            low = max(low, amplitude)
        else:
            high = min(high, amplitude)
        step = amplitude + missing / contrast
        amplitude = step if low < step < high else 0.5 * (low + high)
    return best


def _contrast(patch: Stamp, window: Window) -> float:
    """Return mean_mask(s) - mean_ring(s)."""
    mean, _, mean_ring, _ = window_statistics(patch, window.target, window.ring)
    return float(mean - mean_ring)


def _geometry_refusal(num_ring: int, contrast: float) -> Refusal | None:
    if num_ring < SCR_MIN_BACKGROUND_PX:
        return Refusal.FEW_BACKGROUND
    return None if contrast >= LEAST_RING_CONTRAST else Refusal.NO_CONTRAST


def has_headroom(peak_dn: float, rail_dn: float) -> bool:
    """Tell whether a peak keeps :data:`HEADROOM` from both ends of the range; it does where there is no rail."""
    return HEADROOM * rail_dn <= peak_dn <= (1.0 - HEADROOM) * rail_dn if math.isfinite(rail_dn) else True


@numba.njit(cache=True, nogil=True)
def window_statistics(levels: Image, target: BoolMask, ring: BoolMask) -> tuple[float, float, float, float]:
    """Return mean and maximum over the target, mean and population deviation over the ring."""
    origin = float(levels[0, 0])  # sums of differences keep their digits on a high level
    inside, peak, num_inside = 0.0, -np.inf, 0
    total, squares, num_ring = 0.0, 0.0, 0
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            value = float(levels[i, j]) - origin
            if target[i, j]:
                inside += value
                peak = max(peak, value)
                num_inside += 1
            elif ring[i, j]:
                total += value
                squares += value * value
                num_ring += 1
    mean = total / max(num_ring, 1)
    variance = max(squares / max(num_ring, 1) - mean * mean, 0.0)
    return origin + inside / max(num_inside, 1), origin + peak, origin + mean, np.sqrt(variance)


@numba.njit(cache=True, nogil=True)
def _survey(
    frame: FloatImage, mask: BoolMask, stamp: Stamp, row: int, col: int, masks: MaskLevels
) -> tuple[int, float, float, float, float]:
    """Return the fields of :class:`Place`."""
    box = window_box(mask, row, col, frame.shape[0], frame.shape[1])
    target, ring = window_parts(mask, row, col, masks, box)
    mean, _, around, sigma = window_statistics(frame[box[0] : box[2], box[1] : box[3]], target, ring)
    inside, _, outside, _ = window_statistics(window_patch(stamp, row, col, box), target, ring)
    return int(ring.sum()), mean, around, sigma, inside - outside
