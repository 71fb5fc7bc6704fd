"""Targets: shape, mask, placement and amplitude.

A target is a blob (Gaussian) or a small silhouette (one or two ellipses), blurred by the optics and integrated over
the pixel. Its mask is the set of pixels of the isolated, noise-free target at or above ``MASK_THRESHOLD`` of its own
maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage, MaskLevels
from synth.scene.draws import chance, log_uniform, uniform, weighted
from synth.scene.portable import cos_sin
from synth.scene.psf import Stamp, gaussian_stamp, rotated_gaussian_stamp, shape_stamp

MASK_THRESHOLD = 0.35
"""Share of the peak that still belongs to the target; fits the boundary levels and areas of SIRST v1 trainval."""

BORDER_PX = 2
"""Free pixels between a mask and the frame border."""

SPACING_PX = 3
"""Free pixels between two masks."""

WINDOW_PX = 20
"""Growth of a mask's bounding box to the window of local background statistics (habit of the low-rank literature)."""

GUARD_PX = 3
"""Growth of the mask that is left out of that window."""

SILHOUETTE_SHARE = 0.3  # our choice: with it areas reach about 110 px at 95 % as in SIRST v1 trainval; blobs alone end at 40
_PLACEMENT_TRIES = 60


@dataclass(frozen=True, slots=True)
class TargetShape:
    """An isolated target of unit peak.

    Attributes:
        stamp: float64 (S, S), S odd, maximum 1; the middle pixel is the integer position.
        mask: bool (S, S).
        reach_px: Largest row or column distance of a mask pixel from the middle.
    """

    stamp: Stamp
    mask: npt.NDArray[np.bool_]
    reach_px: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """What amplitude a target may get; levels in raw DN.

    Attributes:
        scr_range: Requested signal-to-clutter ratio, log-uniform.
        noise_dn: Standard deviation of the sensor noise.
        floor_dn: Smallest peak of a target above its surroundings.
        ceiling_dn: Level no target may exceed.
    """

    scr_range: tuple[float, float]
    noise_dn: float
    floor_dn: float
    ceiling_dn: float


def draw_count(rng: np.random.Generator, empty_share: float, two_share: float, many_share: float) -> int:
    """Return the number of targets of a frame; "many" is 3, 4 or 5 with the shares 10:3:3 of SIRST v1 trainval."""
    num = weighted(rng, (empty_share, 1.0 - empty_share - two_share - many_share, two_share, many_share))
    return 3 + weighted(rng, (10.0, 3.0, 3.0)) if num == 3 else num


def draw_shape(rng: np.random.Generator, sigma_optics_px: float) -> TargetShape:
    """Draw a blob or a silhouette at a sub-pixel position.

    Args:
        rng: Target stream of the frame.
        sigma_optics_px: Blur of the camera; blobs are never sharper.

    Returns:
        The target with unit peak.
    """
    row, col = uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5)
    if chance(rng, SILHOUETTE_SHARE):
        return _finish(_draw_silhouette(rng, row, col, sigma_optics_px))
    sigma = max(sigma_optics_px, log_uniform(rng, 0.85, 2.4))
    root_aspect = float(np.sqrt(uniform(rng, 1.0, 1.5)))
    side = 2 * int(4.5 * sigma * root_aspect + 1.0) + 1
    if chance(rng, 0.4):
        return _finish(gaussian_stamp(side, row, col, sigma / root_aspect, sigma * root_aspect))
    turns = float(rng.random())
    return _finish(rotated_gaussian_stamp(side, row, col, sigma * root_aspect, sigma / root_aspect, turns))


def place(
    rng: np.random.Generator, background: FloatImage, shapes: list[TargetShape], contrast: Contrast
) -> tuple[FloatImage, MaskLevels]:
    """Insert targets at free positions that leave room for their contrast.

    Args:
        rng: Target stream of the frame.
        background: float32 (H, W) noise-free levels, raw DN; not changed.
        shapes: Targets to insert; one that fits at none of 60 positions goes, cut, where it stands out most.
        contrast: Bounds of the amplitude.

    Returns:
        The background with targets, float32 (H, W), and the mask, uint8 (H, W) in {0, 1}.
    """
    frame = background.copy()
    mask: MaskLevels = np.zeros(background.shape, np.uint8)
    for shape in shapes:
        scr = log_uniform(rng, *contrast.scr_range)
        best = (0.0, 0, 0)
        for _ in range(_PLACEMENT_TRIES):
            row, col = _draw_position(rng, background.shape, shape.reach_px)
            if _is_taken(mask, shape, row, col):
                continue
            amplitude, fits = solve_amplitude(background, shape, row=row, col=col, scr=scr, contrast=contrast)
            best = max(best, (amplitude, row, col))
            if fits:
                best = (amplitude, row, col)
                break
        if best[0] > 0.0:
            _insert(frame, mask, shape.stamp, shape.mask, best[1], best[2], best[0])
    return frame, mask


def solve_amplitude(
    background: FloatImage, shape: TargetShape, *, row: int, col: int, scr: float, contrast: Contrast
) -> tuple[float, bool]:
    """Return the peak, raw DN, for the requested ratio at a position, and whether the position can carry it.

    A = (SCR*sigma_b - (mean_mask(B) - mu_b)) / (mean_mask(s) - mean_ring(s)), with sigma_b from the local clutter and
    the sensor noise together. Where the ratio asks for less than ``floor_dn`` (flat sky), the floor wins.

    Args:
        background: float32 (H, W) noise-free levels.
        shape: The target.
        row: Row of its middle pixel.
        col: Column of its middle pixel.
        scr: Requested signal-to-clutter ratio, mean over the mask.
        contrast: Bounds of the amplitude.

    Returns:
        The peak, cut to what ``ceiling_dn`` leaves, and False where it had to be cut.
    """
    under, mean, deviation, gain = _local_statistics(background, shape.stamp, shape.mask, row, col)
    sigma = float(np.sqrt(deviation * deviation + contrast.noise_dn * contrast.noise_dn))
    amplitude = max((scr * sigma - (under - mean)) / gain, contrast.floor_dn)
    room = contrast.ceiling_dn - under
    return min(amplitude, room), amplitude <= room


def _draw_silhouette(rng: np.random.Generator, row: float, col: float, sigma_px: float) -> Stamp:
    """Return a body with up to two parts (wing, tail, superstructure) centred on its axis, so that they overlap."""
    half = log_uniform(rng, 2.2, 10.0)
    turns = float(rng.random()) if chance(rng, 0.4) else uniform(rng, -0.04, 0.04) % 1.0
    cosine, sine = cos_sin(turns)
    parts = [(row, col, half, max(half * uniform(rng, 0.18, 0.65), 0.9), turns, uniform(rng, 0.6, 1.0))]
    for _ in range(int(rng.integers(0, 3))):
        shift = half * uniform(rng, -0.7, 0.7)
        size = half * uniform(rng, 0.3, 0.75)
        slim = max(size * uniform(rng, 0.3, 0.9), 0.8)
        warmth = uniform(rng, 0.7, 1.0)
        parts.append((row + sine * shift, col + cosine * shift, size, slim, float(rng.random()), warmth))
    softness = max(sigma_px, half * uniform(rng, 0.08, 0.2))  # no part of a real silhouette is uniformly warm
    side = 2 * int(1.6 * half + 3.0 * softness + 2.0) + 1
    return shape_stamp(side, np.array(parts, dtype=np.float64), softness)


def _finish(stamp: Stamp) -> TargetShape:
    stamp = stamp / stamp.max()
    mask = _component_of_peak(stamp >= MASK_THRESHOLD, int(stamp.argmax()))
    rows, cols = np.nonzero(mask)
    middle = stamp.shape[0] // 2
    reach = max(int(np.abs(rows - middle).max()), int(np.abs(cols - middle).max()))
    return TargetShape(stamp, mask, reach)


def _draw_position(rng: np.random.Generator, hw: tuple[int, ...], reach_px: int) -> tuple[int, int]:
    margin = reach_px + BORDER_PX
    return int(rng.integers(margin, hw[0] - margin)), int(rng.integers(margin, hw[1] - margin))


def _is_taken(mask: MaskLevels, shape: TargetShape, row: int, col: int) -> bool:
    reach = shape.reach_px + SPACING_PX
    return bool(mask[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1].any())


@numba.njit(cache=True, nogil=True)
def _insert(
    frame: FloatImage,
    mask: MaskLevels,
    stamp: Stamp,
    stamp_mask: npt.NDArray[np.bool_],
    row: int,
    col: int,
    peak: float,
) -> None:
    half = stamp.shape[0] // 2
    for i in range(max(row - half, 0), min(row + half + 1, frame.shape[0])):
        for j in range(max(col - half, 0), min(col + half + 1, frame.shape[1])):
            frame[i, j] += peak * stamp[i - row + half, j - col + half]
            if stamp_mask[i - row + half, j - col + half]:
                mask[i, j] = 1


@numba.njit(cache=True, nogil=True)
def _component_of_peak(above: npt.NDArray[np.bool_], peak_index: int) -> npt.NDArray[np.bool_]:
    """Return the 8-connected component that holds the brightest pixel, so that a target is one component."""
    side = above.shape[0]
    out = np.zeros_like(above)
    out.ravel()[peak_index] = True
    growing = True
    while growing:
        growing = False
        for i in range(1, side - 1):
            for j in range(1, side - 1):
                if above[i, j] and not out[i, j] and out[i - 1 : i + 2, j - 1 : j + 2].any():
                    out[i, j] = True
                    growing = True
    return out


@numba.njit(cache=True, nogil=True)
def _local_statistics(
    background: FloatImage, stamp: Stamp, mask: npt.NDArray[np.bool_], row: int, col: int
) -> tuple[float, float, float, float]:
    """Return mean_mask(B), mu_b, sigma_b and mean_mask(s) - mean_ring(s)."""
    half = stamp.shape[0] // 2
    near = _dilate(mask, GUARD_PX)
    rows, cols = np.nonzero(mask)
    top, bottom = row - half + rows.min() - WINDOW_PX, row - half + rows.max() + WINDOW_PX
    left, right = col - half + cols.min() - WINDOW_PX, col - half + cols.max() + WINDOW_PX
    under, under_shape, num_under = 0.0, 0.0, 0
    total, squares, ring_shape, num_ring = 0.0, 0.0, 0.0, 0
    centre = float(background[row, col])
    for i in range(max(top, 0), min(bottom + 1, background.shape[0])):
        for j in range(max(left, 0), min(right + 1, background.shape[1])):
            value = float(background[i, j]) - centre
            a, b = i - row + half, j - col + half
            inside = 0 <= a < stamp.shape[0] and 0 <= b < stamp.shape[1]
            if inside and mask[a, b]:
                under += value
                under_shape += stamp[a, b]
                num_under += 1
            elif (
                not (0 <= a + GUARD_PX < near.shape[0] and 0 <= b + GUARD_PX < near.shape[1])
                or not near[a + GUARD_PX, b + GUARD_PX]
            ):
                total += value
                squares += value * value
                ring_shape += stamp[a, b] if inside else 0.0
                num_ring += 1
    mean = total / num_ring
    variance = max(squares / num_ring - mean * mean, 0.0)
    gain = under_shape / num_under - ring_shape / num_ring
    return centre + under / num_under, centre + mean, np.sqrt(variance), gain


@numba.njit(cache=True, nogil=True)
def _dilate(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    """Return the mask grown by ``radius`` (8-neighbours) on an array larger by ``radius`` on every side."""
    out = np.zeros((mask.shape[0] + 2 * radius, mask.shape[1] + 2 * radius), np.bool_)
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if mask[i, j]:
                out[i : i + 2 * radius + 1, j : j + 2 * radius + 1] = True
    return out
