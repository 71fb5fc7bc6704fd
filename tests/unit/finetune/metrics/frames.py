"""Small maps for the tests of the metrics."""

from __future__ import annotations

import numpy as np


def points(hw, *pixels):
    """Return a bool map with single pixels set."""
    values = np.zeros(hw, np.bool_)
    for row, col in pixels:
        values[row, col] = True
    return values


def boxes(hw, *corners):
    """Return a bool map with half-open boxes (row0, col0, row1, col1) set."""
    values = np.zeros(hw, np.bool_)
    for row0, col0, row1, col1 in corners:
        values[row0:row1, col0:col1] = True
    return values


def discs(hw, *centres, radius=2):
    """Return a bool map with discs set."""
    rows, cols = np.mgrid[: hw[0], : hw[1]]
    values = np.zeros(hw, np.bool_)
    for row, col in centres:
        values |= (rows - row) ** 2 + (cols - col) ** 2 <= radius * radius
    return values


class FakeTensor:
    """What torch offers and the metrics use; the data is on a device until ``cpu()``."""

    def __init__(self, values, where="cuda", dtype=None):
        self._values, self._where, self.dtype = values, where, dtype or f"torch.{values.dtype}"

    def detach(self):
        """As torch."""
        return self

    def cpu(self):
        """As torch."""
        return FakeTensor(self._values, "cpu", self.dtype)

    def float(self):
        """As torch."""
        return FakeTensor(self._values.astype(np.float32), self._where)

    def numpy(self):
        """As torch: refuses what numpy lacks, and data on a device."""
        if "bfloat16" in self.dtype or self._where != "cpu":
            raise TypeError(f"cannot convert {self.dtype} on {self._where}")
        return self._values
