"""Statistics of the targets of one frame, from its mask and levels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from synth.census.definitions import RING_PX
from synth.sample import BoolMask, Frame
from synth.targets import MEASURES, measure_table

FloatArray = npt.NDArray[np.float64]

TARGET_STATISTICS = (
    "area_px", "area_percent", "aspect", "scr", "peak_dn", "edge_level", "row_position", "col_position",
)  # fmt: skip
"""Columns of :func:`measure_frame_targets`."""
MIN_RING_PX = 4
"""With fewer ring pixels (crowded or cornered targets) peak and edge level are NaN (our choice)."""

_EIGHT = np.ones((3, 3), np.bool_)
_FOUR = ndimage.generate_binary_structure(2, 1)


def measure_frame_targets(frame: Frame, levels_dn: FloatArray) -> FloatArray:
    """Measure every target of a labelled frame.

    Args:
        frame: Frame with a mask.
        levels_dn: float64 (H, W), its grey levels of 0..255.

    Returns:
        float64 (n, 8), columns :data:`TARGET_STATISTICS`, in raster order of the components' first pixels.
    """
    assert frame.mask is not None
    table = measure_table(np.ascontiguousarray(frame.levels), np.ascontiguousarray(frame.mask), frame.max_level)
    row, col, area, scr = (table[:, MEASURES.index(name)] for name in ("row_subpx", "col_subpx", "area_px", "scr_view"))
    labels = ndimage.label(frame.mask, structure=_EIGHT)[0]
    shapes = [_shape(levels_dn, frame.mask, labels, number, box) for number, box in enumerate(ndimage.find_objects(labels), 1)]
    aspect, peak, edge = np.array(shapes, dtype=np.float64).reshape(-1, 3).T
    height, width = frame.hw
    percent = 100.0 * area / (height * width)
    columns = (area, percent, aspect, np.abs(scr), peak, edge, (row + 0.5) / height, (col + 0.5) / width)
    return np.stack(columns, axis=1)


def _shape(
    levels_dn: FloatArray,
    mask: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    number: int,
    box: tuple[slice, slice],
) -> tuple[float, float, float]:
    """Return aspect, peak over the ring and edge level of one component."""
    sides = [side.stop - side.start for side in box]
    margin = RING_PX[1]
    rows, cols = (slice(max(side.start - margin, 0), side.stop + margin) for side in box)
    component, levels = labels[rows, cols] == number, levels_dn[rows, cols]
    ring = _ring(component) & (mask[rows, cols] == 0)
    peak = edge = float("nan")
    if np.count_nonzero(ring) >= MIN_RING_PX:
        around = float(np.median(levels[ring]))
        peak = float(levels[component].max()) - around
        boundary = component & ~ndimage.binary_erosion(component, _FOUR)
        if peak > 0.0:
            edge = (float(np.median(levels[boundary])) - around) / peak
    return max(sides) / min(sides), peak, edge


def _ring(component: BoolMask) -> BoolMask:
    """Return the pixels at a city-block distance within :data:`RING_PX` of a component."""
    first, last = RING_PX
    near = ndimage.binary_dilation(component, _FOUR, iterations=first - 1)
    ring: BoolMask = ndimage.binary_dilation(near, _FOUR, iterations=last - first + 1) & ~near
    return ring
