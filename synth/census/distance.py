"""Distances between two samples of numbers, and between two sets of spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_KS_5_PERCENT = 1.358
"""5 % point of sqrt(n*m/(n+m)) * KS for large samples (Smirnov 1948)."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two samples lie apart.

    Attributes:
        ks: Kolmogorov-Smirnov distance, 0..1; NaN where a sample is empty.
        ks_chance: KS that equal distributions exceed in 5 % of cases at these sizes, were all values independent.
        wasserstein: Wasserstein-1 distance, in the values' unit.
    """

    ks: float
    ks_chance: float
    wasserstein: float


@dataclass(frozen=True, slots=True)
class SpectrumDistance:
    """How far two median spectra lie apart over the band.

    Attributes:
        rms_db: Rms difference of the two curves, dB.
        shape_db: The same after each curve's mean is removed: what a change of gain cannot mend.
    """

    rms_db: float
    shape_db: float


def measure_distance(values_a: FloatArray, values_b: FloatArray) -> Distance:
    """Compare two samples.

    Args:
        values_a: float64 (n,); NaN are left out.
        values_b: float64 (m,); NaN are left out.
    """
    a, b = (np.sort(values[np.isfinite(values)]) for values in (values_a, values_b))
    if not len(a) or not len(b):
        return Distance(float("nan"), float("nan"), float("nan"))
    at = np.unique(np.concatenate([a, b]))
    gap = np.abs(np.searchsorted(a, at, side="right") / len(a) - np.searchsorted(b, at, side="right") / len(b))
    chance = _KS_5_PERCENT * ((len(a) + len(b)) / (len(a) * len(b))) ** 0.5
    return Distance(float(gap.max()), min(chance, 1.0), float(np.dot(gap[:-1], np.diff(at))))


def spectrum_distance(curves_a: FloatArray, curves_b: FloatArray) -> SpectrumDistance:
    """Compare the median spectra of two sets.

    Args:
        curves_a: float64 (N, F), dB; NaN where a frame has no value.
        curves_b: float64 (M, F).
    """
    difference = spectrum_band(curves_a, 50.0) - spectrum_band(curves_b, 50.0)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return SpectrumDistance(float("nan"), float("nan"))
    return SpectrumDistance(float(np.sqrt(np.mean(difference**2))), float(difference.std()))


def spectrum_band(curves_db: FloatArray, percent: float) -> FloatArray:
    """Return a percentile over frames of spectra, per frequency.

    Args:
        curves_db: float64 (N, F), NaN where a frame has no value.
        percent: 0..100.

    Returns:
        float64 (F,), NaN where no frame has a value.
    """
    band = np.full(curves_db.shape[1], np.nan)
    filled = np.isfinite(curves_db).any(axis=0)
    if filled.any():
        band[filled] = np.nanpercentile(curves_db[:, filled], percent, axis=0)
    return band
