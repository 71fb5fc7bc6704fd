"""Gaussians fitted to targets: how wide they are, and which of them are compact.

Model: offset + amplitude * exp(-q/2), q the squared distance in units of the two sigmas, sampled at pixel centres, so that
sigmas are *total* ones, with the pixel's 1/12 (physics section 3). A target is compact when the model misses it by less than
12 % of its amplitude (physics section 3); the others are resolved bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import least_squares

FloatArray = npt.NDArray[np.float64]

COMPACT_RESIDUAL = 0.12
_MARGIN_PX = 4
"""Pixels around the bounding box that the fit sees; the offset needs them (our choice)."""
_MOST_AREA_PX = 400
"""Larger targets are not fitted: they are bodies."""
_EIGHT = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, slots=True)
class Blob:
    """A Gaussian fitted to a target; all NaN where it could not be fitted.

    Attributes:
        sigma_px: Geometric mean of its total sigmas.
        aspect: Ratio of them, >= 1.
        amplitude_dn: Peak over the offset, grey levels; below 0 for a dark target.
        residual: Rms of what the model misses, over the absolute amplitude.
    """

    sigma_px: float
    aspect: float
    amplitude_dn: float
    residual: float

    @property
    def is_compact(self) -> bool:
        """Whether the model fits."""
        return self.residual < COMPACT_RESIDUAL


_NONE = Blob(np.nan, np.nan, np.nan, np.nan)


def fit_blobs(levels_dn: FloatArray, mask: npt.NDArray[np.uint8]) -> tuple[Blob, ...]:
    """Fit every target of a frame.

    Args:
        levels_dn: float64 (H, W), grey levels of 0..255.
        mask: uint8 (H, W) in {0, 1}.

    Returns:
        One blob for each 8-connected component, in raster order of their first pixels.
    """
    labels = ndimage.label(mask, structure=_EIGHT)[0]
    return tuple(_fit(levels_dn, labels, number, box) for number, box in enumerate(ndimage.find_objects(labels), 1))


def _fit(levels_dn: FloatArray, labels: npt.NDArray[np.int32], number: int, box: tuple[slice, slice]) -> Blob:
    rows, cols = (slice(max(side.start - _MARGIN_PX, 0), side.stop + _MARGIN_PX) for side in box)
    component, levels = labels[rows, cols] == number, levels_dn[rows, cols]
    used = component | (labels[rows, cols] == 0)
    if not 1 <= component.sum() <= _MOST_AREA_PX or used.sum() < 16 or used.all() == component.all():
        return _NONE
    down, right = np.nonzero(used)
    values = levels[used]
    around = float(np.median(levels[used & ~component]))
    inside = levels[component] - around
    peak = float(inside[np.abs(inside).argmax()])
    if peak == 0.0:
        return _NONE
    area = float(component.sum())
    centre = (float(np.mean(np.nonzero(component)[0])), float(np.mean(np.nonzero(component)[1])))
    first = np.array((peak, around, *centre, np.log(0.5 * np.sqrt(area)), np.log(0.5 * np.sqrt(area)), 0.0))

    def missed(parameters: FloatArray) -> FloatArray:
        return np.asarray(_model(parameters, down, right) - values)

    fit = least_squares(missed, first, method="lm", max_nfev=400)
    amplitude, first_log, second_log = float(fit.x[0]), float(fit.x[4]), float(fit.x[5])
    inner = component[down, right] | (np.abs(_model(fit.x, down, right) - fit.x[1]) > 0.1 * abs(amplitude))
    rms = float(np.sqrt(np.mean(fit.fun[inner] ** 2)))
    if not np.isfinite(rms) or amplitude * peak <= 0.0 or max(abs(first_log), abs(second_log)) > 4.0:
        return _NONE
    return Blob(
        float(np.exp(0.5 * (first_log + second_log))), float(np.exp(abs(first_log - second_log))), amplitude, rms / abs(amplitude)
    )


def _model(parameters: FloatArray, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]) -> FloatArray:
    amplitude, offset, row, col, first_log, second_log, angle = parameters
    cosine, sine = np.cos(angle), np.sin(angle)
    along = (cosine * (cols - col) + sine * (rows - row)) * np.exp(-np.clip(first_log, -6.0, 6.0))
    across = (cosine * (rows - row) - sine * (cols - col)) * np.exp(-np.clip(second_log, -6.0, 6.0))
    return np.asarray(offset + amplitude * np.exp(-0.5 * np.minimum(along * along + across * across, 200.0)))
