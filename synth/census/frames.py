"""Statistics of one frame as a whole: level, spread, tails, noise, spectrum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synth.census.spectrum import Spectrum

FloatArray = npt.NDArray[np.float64]

_MAD_TO_SIGMA = 1.4826  # of a Gaussian (Rousseeuw & Croux, JASA 1993)
_MASK_NORM = 6.0  # root of the sum of squares of [1 -2 1] x [1 -2 1] (Immerkaer, CVIU 1996)


def measure_frame(levels_dn: FloatArray, spectrum: Spectrum) -> dict[str, float]:
    """Measure one frame.

    Args:
        levels_dn: float64 (H, W), at least 3x3, grey levels of 0..255.
        spectrum: Its spectrum.

    Returns:
        The frame statistics of the card but the number of targets, by name; NaN where a frame has none (flat frames have
        no kurtosis).
    """
    return {
        "mean_dn": float(levels_dn.mean()),
        "std_dn": float(levels_dn.std()),
        "kurtosis": kurtosis(levels_dn),
        "gradient_kurtosis": kurtosis(np.diff(levels_dn, axis=1)),
        "noise_dn": noise_sigma(levels_dn),
        "psd_slope": spectrum.slope,
        "anisotropy_db": spectrum.anisotropy_db,
    }


def kurtosis(values: FloatArray) -> float:
    """Return the fourth standardised moment, 3 for a Gaussian; NaN where all values are equal.

    Args:
        values: float64, any shape.
    """
    squares = (values - values.mean()) ** 2
    variance = float(squares.mean())
    return float((squares**2).mean()) / variance**2 if variance > 0.0 else float("nan")


def noise_sigma(levels_dn: FloatArray) -> float:
    """Return the noise level by the median absolute deviation of second differences along both axes.

    The mask cancels planes and leaves fine texture in, so it is an upper bound; on integer levels it moves in steps of
    0.247 DN.

    Args:
        levels_dn: float64 (H, W), at least 3x3, grey levels of 0..255.
    """
    along = levels_dn[:, :-2] - 2.0 * levels_dn[:, 1:-1] + levels_dn[:, 2:]
    both = along[:-2] - 2.0 * along[1:-1] + along[2:]
    deviation = np.abs(both - np.median(both))
    return float(_MAD_TO_SIGMA * np.median(deviation) / _MASK_NORM)
