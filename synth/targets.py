# mypy: disable-error-code="assignment"
"""Targets found from masks and measured on images: 8-connected components, centroid, area, contrast and SCR.

SCR = (mean over the component - mu_b) / sigma_b, with mu_b and sigma_b (population) over the component's bounding box
grown by ``SCR_MARGIN_PX`` on each side, minus every mask pixel dilated by ``SCR_GUARD_PX`` (8-neighbourhood). The margin
follows the low-rank literature's habit (d = 20 in the TensorISTD scripts, which however divide by the variance and keep
the target in the window); guard and floor are our choice. Only pixels of the valid region count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from synth.sample import Levels, MaskLevels, Target, TargetKind

Positions = npt.NDArray[np.int64]

SCR_MARGIN_PX = 20
SCR_GUARD_PX = 3
SCR_MIN_BACKGROUND_PX = 50
"""With fewer background pixels than this, contrast, flux and SCR are NaN: nothing to compare with."""
SCR_SIGMA_FLOOR_DN = 0.5
"""Floor of sigma_b for 8-bit levels only, in grey levels: below it the quantisation is all there is."""

MEASURES = ("row_subpx", "col_subpx", "area_px", "peak_contrast", "flux", "scr_view")
"""Columns of :func:`measure_table`; positions in pixels, contrast and flux in grey levels of 0..255."""


def find_targets(mask: MaskLevels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Find the 8-connected components of a mask.

    Args:
        mask: uint8 (H, W) in {0, 1}.

    Returns:
        ``centres`` float64 (n, 2), unweighted centroids (row, col), and ``boxes`` int64 (n, 4), half-open bounding boxes
        (row0, col0, row1, col1), both in raster order of the components' first pixels.
    """
    rows, cols, labels, num = _components(np.ascontiguousarray(mask))
    centres = np.empty((num, 2))
    boxes = np.empty((num, 4), np.int64)
    for j in range(num):
        r, c = rows[labels == j], cols[labels == j]
        centres[j] = r.sum() / len(r), c.sum() / len(c)
        boxes[j] = r.min(), c.min(), r.max() + 1, c.max() + 1
    return centres, boxes


def measure_table(
    levels: Levels, mask: MaskLevels, max_level: int, valid_hw: tuple[int, int] | None = None
) -> npt.NDArray[np.float64]:
    """Measure every target of a frame.

    Args:
        levels: uint8 or uint16 (H, W), C-contiguous.
        mask: uint8 (H, W) in {0, 1}, C-contiguous.
        max_level: Level that stands for 1.0.
        valid_hw: Rows and columns from the top left that are not padding; default: all.

    Returns:
        float64 (n, 6), columns :data:`MEASURES`, in raster order of the components' first pixels.
    """
    valid_h, valid_w = valid_hw or mask.shape
    rows, cols, labels, num = _components(mask)
    sigma_floor = SCR_SIGMA_FLOOR_DN if max_level == 255 else 0.0
    table: npt.NDArray[np.float64] = _measure(levels, rows, cols, labels, num, valid_h, valid_w, 255.0 / max_level, sigma_floor)
    return table


def measure_targets(
    levels: Levels,
    mask: MaskLevels,
    max_level: int,
    valid_hw: tuple[int, int] | None = None,
    kind: TargetKind = TargetKind.REAL,
) -> tuple[Target, ...]:
    """Return :func:`measure_table` as :class:`Target` objects of one kind."""
    table = measure_table(np.ascontiguousarray(levels), np.ascontiguousarray(mask), max_level, valid_hw)
    return tuple(Target(row, col, int(area), peak, flux, scr, kind) for row, col, area, peak, flux, scr in table.tolist())


@njit(cache=True, nogil=True)
def _mask_pixels(mask: npt.NDArray[np.uint8]) -> tuple[Positions, Positions]:
    """Return rows and cols of the non-zero pixels, skipping empty stretches eight pixels at a time."""
    flat = mask.ravel()
    num_words = flat.size // 8
    words = flat[: num_words * 8].view(np.uint64)
    found = np.empty(64, np.int64)
    n = 0
    for w in range(num_words + 1):
        if w < num_words and words[w] == 0:
            continue
        for p in range(w * 8, min(w * 8 + 8, flat.size)):
            if flat[p] != 0:
                if n == found.size:
                    grown = np.empty(2 * n, np.int64)
                    grown[:n] = found
                    found = grown
                found[n] = p
                n += 1
    width = mask.shape[1]
    return found[:n] // width, found[:n] % width


@njit(cache=True, nogil=True)
def _root(parent: Positions, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _components(mask: npt.NDArray[np.uint8]) -> tuple[Positions, Positions, Positions, int]:
    """Label the mask pixels (union-find over the raster-ordered pixel list): rows, cols, label of each, number."""
    rows, cols = _mask_pixels(mask)
    n = rows.size
    parent = np.arange(n)
    above = 0  # first pixel that can still touch the current one from the row above
    for i in range(n):
        r, c = rows[i], cols[i]
        if i > 0 and rows[i - 1] == r and cols[i - 1] == c - 1:
            parent[i] = _root(parent, i - 1)
        while above < i and (rows[above] < r - 1 or (rows[above] == r - 1 and cols[above] < c - 1)):
            above += 1
        j = above
        while j < i and rows[j] == r - 1 and cols[j] <= c + 1:
            a, b = _root(parent, i), _root(parent, j)
            parent[max(a, b)] = min(a, b)
            j += 1
    labels = np.empty(n, np.int64)
    num = 0
    for i in range(n):  # a root is the first pixel of its component, so its label exists before its members ask
        root = _root(parent, i)
        if root == i:
            labels[i] = num
            num += 1
        else:
            labels[i] = labels[root]
    return rows, cols, labels, num


@njit(cache=True, nogil=True)
def _measure(
    levels: Levels, rows: Positions, cols: Positions, labels: Positions, num: int,
    valid_h: int, valid_w: int, to_dn: float, sigma_floor: float,
) -> npt.NDArray[np.float64]:  # fmt: skip
    table = np.empty((num, 6))
    for t in range(num):
        area, sum_row, sum_col, sum_level, peak = 0, 0, 0, 0, 0
        r0, c0, r1, c1 = levels.shape[0], levels.shape[1], -1, -1
        for i in range(rows.size):
            if labels[i] != t:
                continue
            r, c = rows[i], cols[i]
            level = np.int64(levels[r, c])
            area += 1
            sum_row += r
            sum_col += c
            sum_level += level
            peak = max(peak, level)
            r0, c0, r1, c1 = min(r0, r), min(c0, c), max(r1, r), max(c1, c)
        mean_b, sigma_b = _background(levels, rows, cols, r0, c0, r1, c1, valid_h, valid_w)
        contrast = (sum_level / area - mean_b) * to_dn
        table[t, 0] = sum_row / area
        table[t, 1] = sum_col / area
        table[t, 2] = area
        table[t, 3] = (peak - mean_b) * to_dn
        table[t, 4] = contrast * area
        spread = max(sigma_b * to_dn, sigma_floor)
        table[t, 5] = contrast / spread if spread > 0.0 else np.nan
    return table


@njit(cache=True, nogil=True)
def _background(
    levels: Levels, rows: Positions, cols: Positions, r0: int, c0: int, r1: int, c1: int, valid_h: int, valid_w: int
) -> tuple[float, float]:
    """Mean and population sigma of the surroundings of one bounding box (inclusive), NaN when too small."""
    top, left = max(r0 - SCR_MARGIN_PX, 0), max(c0 - SCR_MARGIN_PX, 0)
    bottom, right = min(r1 + SCR_MARGIN_PX + 1, valid_h), min(c1 + SCR_MARGIN_PX + 1, valid_w)
    if bottom <= top or right <= left:
        return np.nan, np.nan
    guarded = np.zeros((bottom - top, right - left), np.bool_)
    for i in range(rows.size):
        lo_r, hi_r = max(rows[i] - SCR_GUARD_PX, top), min(rows[i] + SCR_GUARD_PX + 1, bottom)
        lo_c, hi_c = max(cols[i] - SCR_GUARD_PX, left), min(cols[i] + SCR_GUARD_PX + 1, right)
        for r in range(lo_r, hi_r):
            for c in range(lo_c, hi_c):
                guarded[r - top, c - left] = True
    count, total, squares = 0, 0, 0.0
    for r in range(top, bottom):
        for c in range(left, right):
            if not guarded[r - top, c - left]:
                level = np.int64(levels[r, c])
                count += 1
                total += level
                squares += np.float64(level * level)
    if count < SCR_MIN_BACKGROUND_PX:
        return np.nan, np.nan
    mean = total / count
    return mean, np.sqrt(max(squares / count - mean * mean, 0.0))
