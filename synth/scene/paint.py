"""Strokes of impostors: soft bodies added to a plane in place, and the statistics of the plane around a place.

A *plane* is the canvas in kelvin (before the optics) or the frame in raw DN (after them). Nothing is drawn outside it.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.scene import portable

Plane = npt.NDArray[np.float32]

WINDOW_PX = 20
"""Half side of the window of local statistics; the growth of a target's box in the ratio's definition."""

_REACH_SIGMAS = 3.5


@numba.njit(cache=True, nogil=True, error_model="numpy")
def local_mean_sigma(plane: npt.NDArray[np.float32], row: int, col: int, half: int) -> tuple[float, float]:
    """Return mean and population standard deviation of the window of +-half px around a place."""
    centre = np.float64(plane[row, col])
    total = 0.0
    squares = 0.0
    num = 0
    for i in range(max(row - half, 0), min(row + half + 1, plane.shape[0])):
        for j in range(max(col - half, 0), min(col + half + 1, plane.shape[1])):
            value = np.float64(plane[i, j]) - centre
            total += value
            squares += value * value
            num += 1
    mean = total / num
    return centre + mean, np.sqrt(max(squares / num - mean * mean, 0.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_bar(
    plane: npt.NDArray[np.float32],
    row: float,
    col: float,
    half_length: float,
    sigma: float,
    turns: float,
    peak: float,
) -> None:
    """Add a line with a Gaussian cross-section and Gaussian ends; half_length 0 is a round blob, more is a streak.

    Args:
        plane: float32 (H, W), changed.
        row: Row of its middle.
        col: Column of its middle.
        half_length: Half the length of its straight part, px.
        sigma: Its width, px.
        turns: Its direction in turns from the column axis, 0..1.
        peak: Level on its axis, in the plane's unit.
    """
    cosine, sine = portable.cos_sin(turns)
    reach = half_length + _REACH_SIGMAS * sigma + 1.0
    first, last = max(int(col - reach), 0), min(int(col + reach) + 2, plane.shape[1])
    x = np.arange(first, max(last, first)) - col
    exponents, shares, room = np.empty(x.size), np.empty(x.size, np.float32), np.empty(x.size, np.float32)
    scale, most, level = 0.5 / (sigma * sigma), 0.5 * _REACH_SIGMAS * _REACH_SIGMAS, np.float32(peak)
    for i in range(max(int(row - reach), 0), min(int(row + reach) + 2, plane.shape[0])):
        y = i - row
        for j in range(x.size):
            along, across = max(abs(cosine * x[j] + sine * y) - half_length, 0.0), cosine * y - sine * x[j]
            exponents[j] = (across * across + along * along) * scale
            shares[j] = np.float32(min(exponents[j], most))
        portable.decay(shares, room)
        into = plane[i, first : first + x.size]
        for j in range(x.size):
            into[j] += level * shares[j] if exponents[j] < most else np.float32(0.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_corner(
    plane: npt.NDArray[np.float32],
    texture: npt.NDArray[np.float32],
    row: float,
    col: float,
    turns: float,
    half_opening: float,
    reach: float,
    softness: float,
    ragged: float,
    peak: float,
) -> None:
    """Add a corner that fades into the scene behind it: a cloud's tip, the end of a ridge, or, half open, an edge.

    Args:
        plane: float32 (H, W), changed.
        texture: float32 (S, S), mean 0 and deviation 1, S at least 2 * (reach + softness) + 3; its middle is the tip.
        row: Row of the tip.
        col: Column of the tip.
        turns: Direction it opens to, in turns from the column axis, 0..1.
        half_opening: Half its opening angle in turns, 0..0.25; 0.25 is a straight edge.
        reach: Distance from the tip over which it fades to nothing, px.
        softness: Width of its flanks, px.
        ragged: How far texture shifts its flanks, px.
        peak: Level at the tip, in the plane's unit.
    """
    cosine, sine = portable.cos_sin(turns)
    flank_cosine, flank_sine = portable.cos_sin(half_opening)
    middle = texture.shape[0] // 2
    top, left = int(row), int(col)
    span = int(reach + softness) + 1
    for i in range(max(top - span, 0), min(top + span + 1, plane.shape[0])):
        for j in range(max(left - span, 0), min(left + span + 1, plane.shape[1])):
            along = cosine * (j - col) + sine * (i - row)
            across = abs(cosine * (i - row) - sine * (j - col))
            grain = np.float64(texture[middle + i - top, middle + j - left])
            depth = along * flank_sine - across * flank_cosine + ragged * grain
            cover = min(max(0.5 + depth / softness, 0.0), 1.0)
            away = (along * along + across * across) / (reach * reach)
            if cover > 0.0 and away < 1.0:
                fade = (1.0 - away) * (1.0 - away) * (1.0 + 0.15 * grain)
                plane[i, j] += np.float32(peak * cover * cover * (3.0 - 2.0 * cover) * fade)


@numba.njit(cache=True, nogil=True)
def add_box(plane: npt.NDArray[np.float32], row: int, col: int, rows: int, cols: int, level: float) -> None:
    """Add a level to a rectangle of whole pixels: a defect, a facet of water, a piece of a row or column."""
    for i in range(max(row, 0), min(row + rows, plane.shape[0])):
        for j in range(max(col, 0), min(col + cols, plane.shape[1])):
            plane[i, j] += np.float32(level)


@numba.njit(cache=True, nogil=True)
def add_stamp(plane: npt.NDArray[np.float32], stamp: npt.NDArray[np.float64], row: int, col: int, factor: float) -> None:
    """Add a square stamp whose middle pixel lies at (row, col), times a factor."""
    half = stamp.shape[0] // 2
    for i in range(max(row - half, 0), min(row + half + 1, plane.shape[0])):
        for j in range(max(col - half, 0), min(col + half + 1, plane.shape[1])):
            plane[i, j] += np.float32(factor * stamp[i - row + half, j - col + half])


@numba.njit(cache=True, nogil=True)
def cover_stamp(plane: npt.NDArray[np.float32], cover: npt.NDArray[np.float64], row: int, col: int, level: float) -> None:
    """Bring the plane towards a level under a square stamp of coverage: what an opaque target hides."""
    half = cover.shape[0] // 2
    for i in range(max(row - half, 0), min(row + half + 1, plane.shape[0])):
        for j in range(max(col - half, 0), min(col + half + 1, plane.shape[1])):
            share = min(cover[i - row + half, j - col + half], 1.0)
            plane[i, j] += np.float32(share * (level - plane[i, j]))


@numba.njit(cache=True, nogil=True)
def turn_patch(plane: npt.NDArray[np.float32], row: int, col: int, from_row: int, from_col: int, half: int, quarter: int) -> None:
    """Paste a square of the plane elsewhere: turned by quarters, brought to the mean of what it covers, hard edged.

    Args:
        plane: float32 (H, W), changed; both squares lie inside.
        row: Row of the middle of the place.
        col: Column of the middle of the place.
        from_row: Row of the middle of the square that is copied.
        from_col: Column of its middle.
        half: Half the odd side less one half: the side is 2 * half + 1.
        quarter: Quarter turns counter-clockwise, 0..3.
    """
    side = 2 * half + 1
    patch = plane[from_row - half : from_row + half + 1, from_col - half : from_col + half + 1].copy()
    place = plane[row - half : row + half + 1, col - half : col + half + 1]
    before = 0.0
    after = 0.0
    for i in range(side):
        for j in range(side):
            before += np.float64(place[i, j])
            after += np.float64(patch[i, j])
    shift = (before - after) / (side * side)
    for i in range(side):
        for j in range(side):
            a, b = i, j
            for _ in range(quarter):
                a, b = b, side - 1 - a
            place[i, j] = np.float32(patch[a, b] + shift)


@numba.njit(cache=True, nogil=True)
def set_pixels(mask: npt.NDArray[np.uint8], stamp: npt.NDArray[np.bool_], row: int, col: int) -> None:
    """Set the pixels of a mask that a square stamp, its middle pixel at (row, col), covers."""
    half = stamp.shape[0] // 2
    for i in range(max(half - row, 0), min(stamp.shape[0], mask.shape[0] + half - row)):
        for j in range(max(half - col, 0), min(stamp.shape[1], mask.shape[1] + half - col)):
            if stamp[i, j]:
                mask[row - half + i, col - half + j] = 1
