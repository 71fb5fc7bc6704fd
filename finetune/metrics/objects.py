"""Objects of a binary map: 8-connected components, labelled in raster order of their first pixel (the order of skimage).

Centroids are never stored: they are the ratio of two integers, and distances between them are compared as such
(:mod:`finetune.metrics.target`), so that no score depends on how a frame is turned or mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from synth.targets import _components as label_pixels

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects of one binary map of H x W.

    Attributes:
        flat: int64 (P,) raster positions of its pixels, ascending (row * W + col).
        labels: int64 (P,) object of each pixel, 0..n-1 in raster order of first pixels.
        sums: int64 (3, n): pixels, sum of rows, sum of columns of each object.
    """

    flat: IntArray
    labels: IntArray
    sums: IntArray

    def __len__(self) -> int:
        """Return the number of objects."""
        return int(self.sums.shape[1])

    @property
    def areas(self) -> IntArray:
        """Pixels of each object, int64 (n,)."""
        areas: IntArray = self.sums[0]
        return areas

    @property
    def num_pixels(self) -> int:
        """Pixels of all objects together."""
        return len(self.flat)


def find_objects(binary: npt.NDArray[np.bool_]) -> Objects:
    """Find the objects of a binary map.

    Args:
        binary: bool (H, W), C-contiguous.
    """
    return Objects(*_label(binary.view(np.uint8)))


def intersections(truth: Objects, prediction: Objects) -> IntArray:
    """Return the pixels that each object of one map shares with each of another.

    Args:
        truth: Objects of the mask, n of them.
        prediction: Objects of the decided map, m of them.

    Returns:
        int64 (n, m).
    """
    shared: IntArray = _count_shared(truth.flat, truth.labels, len(truth), prediction.flat, prediction.labels, len(prediction))
    return shared


def count_shared_pixels(objects: Objects, binary: npt.NDArray[np.bool_]) -> int:
    """Return how many pixels of the objects are true in a map of the same size."""
    return int(np.count_nonzero(binary.ravel()[objects.flat]))


@njit(cache=True, nogil=True)
def _label(mask: npt.NDArray[np.uint8]) -> Any:
    """Label the rows that hold anything, empty rows between them reduced to one, and sum up each object."""
    height, width = mask.shape
    row_of, num_rows = np.empty(2 * height, np.int64), 0
    for r in range(height):
        any_set = np.uint8(0)
        for c in range(width):
            any_set |= mask[r, c]
        if any_set:
            if num_rows > 0 and row_of[num_rows - 1] != r - 1:
                row_of[num_rows] = -1
                num_rows += 1
            row_of[num_rows] = r
            num_rows += 1
    held = np.zeros((num_rows, width), np.uint8)
    for i in range(num_rows):
        if row_of[i] >= 0:
            held[i] = mask[row_of[i]]
    rows, cols, labels, num = label_pixels(held)
    flat, sums = np.empty(rows.size, np.int64), np.zeros((3, num), np.int64)
    for i in range(rows.size):
        row = row_of[rows[i]]
        flat[i] = row * width + cols[i]
        sums[0, labels[i]] += 1
        sums[1, labels[i]] += row
        sums[2, labels[i]] += cols[i]
    return flat, labels, sums


@njit(cache=True, nogil=True)
def _count_shared(flat_a: IntArray, of_a: IntArray, num_a: int, flat_b: IntArray, of_b: IntArray, num_b: int) -> Any:
    shared = np.zeros((num_a, num_b), np.int64)
    j = 0
    for i in range(flat_a.size):
        while j < flat_b.size and flat_b[j] < flat_a[i]:
            j += 1
        if j < flat_b.size and flat_b[j] == flat_a[i]:
            shared[of_a[i], of_b[j]] += 1
    return shared
