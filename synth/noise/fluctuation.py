"""What of a window is noise: its fluctuation about the mean, the plane, or the local mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

Detrend = Literal["none", "plane", "local_mean"]

LOCAL_MEAN_PX = 5
"""Side of the local mean's box: wider than the grain of a sensor, narrower than scene texture (our choice)."""


def fluctuation(patches: npt.NDArray[np.uint8], detrend: Detrend) -> npt.NDArray[np.float64]:
    """Return the zero-mean fluctuation of windows.

    Args:
        patches: uint8 (n, s, s), grey levels of 0..255.
        detrend: What is taken away besides the mean: nothing, the least-squares plane (42 % of the variance of accepted
            NUDT windows), or the local mean, which leaves the grain alone.

    Returns:
        float64 (n, s, s), DN.
    """
    values = patches.astype(np.float64)
    if detrend == "local_mean":
        values -= uniform_filter(values, size=(1, LOCAL_MEAN_PX, LOCAL_MEAN_PX), mode="reflect")
    values -= values.mean(axis=(1, 2), keepdims=True)
    if detrend == "plane":
        values -= _plane(values)
    return values


def fluctuation_std(patches: npt.NDArray[np.uint8], detrend: Detrend) -> npt.NDArray[np.float64]:
    """Return the standard deviation of each window's fluctuation, float64 (n,), DN."""
    values = fluctuation(patches, detrend)
    return np.asarray(np.sqrt(np.mean(values * values, axis=(1, 2))))


def _plane(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least-squares plane of zero-mean square windows (the centred axes are orthogonal, so two sums solve it)."""
    side = values.shape[-1]
    axis = np.arange(side) - (side - 1) / 2
    down, across = axis[:, None], axis[None, :]
    norm = (axis * axis).sum() * side
    slope_down, slope_across = ((values * ramp).sum(axis=(1, 2), keepdims=True) / norm for ramp in (down, across))
    return np.asarray(slope_down * down + slope_across * across)
