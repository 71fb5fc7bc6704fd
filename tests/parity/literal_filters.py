"""Top-Hat, Max-Median, TLLCM and WSLCM pixel by pixel, as their formulas are written. Grey levels in, response out; numpy."""

from __future__ import annotations

import numpy as np

GAUSS = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
AROUND = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0)]


def per_pixel(grey, value_at):
    """Return value_at(row, col) for every pixel."""
    return np.array([[value_at(row, col) for col in range(grey.shape[1])] for row in range(grey.shape[0])])


def inside(grey, row, col, reach):
    """Return the pixels of a square that lie in the frame."""
    return grey[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1]


def tophat(grey, side):
    eroded = per_pixel(grey, lambda row, col: inside(grey, row, col, side // 2).min())
    return grey - per_pixel(grey, lambda row, col: inside(eroded, row, col, side // 2).max())


def maxmedian(grey):
    padded = np.pad(grey, 2, mode="symmetric")

    def value(row, col):
        lines = [[padded[row + 2 + k * d_row, col + 2 + k * d_col] for k in range(-2, 3)] for d_row, d_col in AROUND[4:]]
        return max(grey[row, col] - max(np.median(line) for line in lines), 0)

    return per_pixel(grey, value)


def smoothed(grey):
    padded = np.pad(grey, 1, mode="edge")
    return per_pixel(grey, lambda row, col: (padded[row : row + 3, col : col + 3] * GAUSS).sum())


def cell(padded, margin, row, col, side):
    """Return the cell of a side about a pixel, from a frame grown by ``margin``."""
    top, left = row + margin - side // 2, col + margin - side // 2
    return padded[top : top + side, left : left + side]


def top9(values):
    return np.sort(values.ravel())[-9:].mean()


def tllcm(grey):
    padded, core = np.pad(grey, 13), smoothed(grey)

    def value(row, col):
        means = [top9(cell(padded, 13, row + 9 * d_row, col + 9 * d_col, 9)) for d_row, d_col in AROUND]
        return max(core[row, col] ** 2 / max(*means, 1e-12) - core[row, col], 0)

    return per_pixel(grey, value)


def wslcm(grey, prefilter):
    if prefilter:
        black = np.pad(grey, 1)
        grey = per_pixel(grey, lambda row, col: np.median(black[row : row + 3, col : col + 3]))
    core = smoothed(grey)
    return np.max([wslcm_scale(grey, core, side) for side in (5, 7, 9, 11)], axis=0).clip(0)


def wslcm_scale(grey, core, side):
    margin = side + side // 2
    black, copied = np.pad(grey, margin), np.pad(grey, margin, mode="edge")

    def value(row, col):
        places = [(row + side * d_row, col + side * d_col) for d_row, d_col in [(0, 0), *AROUND]]
        bright = [top9(cell(black, margin, *place, side)) for place in places]
        excess = np.array([m - cell(copied, margin, *at, side).mean() for m, at in zip(bright, places, strict=True)])
        around = max(bright[1:])
        contrast = max(core[row, col] ** 2 / around - core[row, col], 0) if around > 0 else 0
        spread = excess[1:].std(ddof=1)
        weight = excess[0] * max(excess[0] - excess[1:].max(), 0) / (spread if spread > 5 else 5)
        return weight * contrast

    return per_pixel(grey, value)
