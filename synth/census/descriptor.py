"""The fixed filter bank a 64x64 patch is described by: 34 named numbers, none learnt.

They cover what a real frame and a simulated one may differ in: levels and their tails, what the display and codec left
(unused levels, equal neighbours, 8-px blocks), the power spectrum and its directions, how heavy-tailed band-pass responses
are, how noise and structure are spread over the patch, and stripes. Heavy-tailed ones are logarithms, so that a linear
classifier can use them. The choice of filters is ours; the protocol is that of physics section 12.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from synth.census.patches import PATCH_PX

FloatArray = npt.NDArray[np.float64]
Features = dict[str, FloatArray]

_CHUNK = 256  # patches described at once: 8 MiB a work array
_QUANTUM_VARIANCE = 1.0 / 12.0  # DN^2, round-off of 8-bit levels: keeps logarithms of flat patches finite
_RADII = (0.02, 0.04, 0.08, 0.125, 0.18, 0.25, 0.35, 0.5)
"""Edges of the radial bands, cycles/px: about half an octave to an octave each."""
_DIRECTED = ((0.02, 0.08), (0.08, 0.25), (0.25, 0.5))
"""Bands whose direction is told, cycles/px."""
_SCALES_PX = (0.7, 1.4, 2.8)
"""Inner sigmas of the differences of Gaussians, octaves; the outer sigma is 1.6 times as large (Marr & Hildreth 1980)."""
_BLOCK_PX = 8
"""Side of a JPEG block and of the blocks that local spread is told by."""


def describe(patches: npt.NDArray[np.float32]) -> FloatArray:
    """Describe patches.

    Args:
        patches: float32 (P, 64, 64), grey levels of 0..255.

    Returns:
        float64 (P, D), finite, columns :func:`descriptor_names`.
    """
    chunks = [_describe_chunk(patches[start : start + _CHUNK]) for start in range(0, len(patches), _CHUNK)]
    return np.concatenate(chunks) if chunks else np.empty((0, len(descriptor_names())))


def descriptor_names() -> tuple[str, ...]:
    """Return the name of each column, readable as it is."""
    noise = np.random.Generator(np.random.Philox(0)).normal(100.0, 10.0, (1, PATCH_PX, PATCH_PX))
    return tuple(_features(noise))


def _describe_chunk(patches: npt.NDArray[np.float32]) -> FloatArray:
    return np.stack(list(_features(patches.astype(np.float64)).values()), axis=1)


def _features(levels: FloatArray) -> Features:
    members: tuple[Callable[[FloatArray], Features], ...] = (
        _levels, _quantisation, _spectrum, _directions, _responses, _noise, _spread, _stripes,
    )  # fmt: skip
    features: Features = {}
    for member in members:
        features |= member(levels)
    return features


def _levels(levels: FloatArray) -> Features:
    centred = levels - _mean(levels)[:, None, None]
    return {
        "mean level": _mean(levels),
        "log spread of levels": _log_std(centred),
        "skewness of levels": _skewness(centred),
        "log kurtosis of levels": _log_kurtosis(centred),
    }


def _quantisation(levels: FloatArray) -> Features:
    flat = np.sort(np.rint(levels).reshape(len(levels), -1), axis=1)
    num_used = 1 + np.count_nonzero(np.diff(flat, axis=1), axis=1)
    across, within = _block_steps(levels)
    return {
        "share of levels used": num_used / (flat[:, -1] - flat[:, 0] + 1.0),
        "share of equal neighbours": _mean(np.diff(levels, axis=2) == 0.0),
        "log step at 8-px blocks": np.log((across + 0.1) / (within + 0.1)),  # 0.1 DN keeps flat patches finite
    }


def _block_steps(levels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean absolute step across, and within, the columns of 8-px blocks."""
    steps = np.abs(np.diff(levels, axis=2))
    is_across = np.arange(1, levels.shape[2]) % _BLOCK_PX == 0
    return _mean(steps[:, :, is_across]), _mean(steps[:, :, ~is_across])


def _spectrum(levels: FloatArray) -> Features:
    power, radius, _ = _power(levels)
    features: Features = {}
    for low, high in pairwise(_RADII):
        ring = (radius >= low) & (radius < high)
        features[f"log power {low:g}-{high:g} cyc/px"] = np.log(power[:, ring].mean(axis=1) + _QUANTUM_VARIANCE)
    total = np.logaddexp.reduce(list(features.values()), axis=0)
    return {name: value - total for name, value in features.items()}


def _directions(levels: FloatArray) -> Features:
    power, radius, angle = _power(levels)
    features: Features = {}
    for low, high in _DIRECTED:
        ring = (radius >= low) & (radius < high)
        along, up = (power[:, ring & (np.abs(angle - centre) <= np.pi / 8)].mean(axis=1) for centre in (0.0, np.pi / 2))
        features[f"row over column power {low:g}-{high:g} cyc/px"] = np.log(
            (along + _QUANTUM_VARIANCE) / (up + _QUANTUM_VARIANCE)
        )
    ring = (radius >= _DIRECTED[1][0]) & (radius < _DIRECTED[-1][1])
    oblique = ring & (np.abs(angle - np.pi / 4) <= np.pi / 8)
    whole = power[:, ring].mean(axis=1) + _QUANTUM_VARIANCE
    return features | {"oblique power": np.log((power[:, oblique].mean(axis=1) + _QUANTUM_VARIANCE) / whole)}


def _responses(levels: FloatArray) -> Features:
    features: Features = {}
    for scale in _SCALES_PX:
        fine, coarse = (ndimage.gaussian_filter(levels, (0.0, s, s), mode="reflect") for s in (scale, 1.6 * scale))
        response = fine - coarse
        features[f"log kurtosis at {scale:g} px"] = _log_kurtosis(response)
        features[f"bright over dark spots at {scale:g} px"] = _skewness(response)
    for name, axis in (("horizontal", 2), ("vertical", 1)):
        features[f"log kurtosis of {name} gradient"] = _log_kurtosis(np.diff(levels, axis=axis))
    return features


def _noise(levels: FloatArray) -> Features:
    residual = levels - ndimage.uniform_filter(levels, (0, 3, 3), mode="reflect")
    variance = _mean(residual**2) + _QUANTUM_VARIANCE
    return {
        "log fine residual": 0.5 * np.log(variance),
        "correlation of residual along rows": _mean(residual[:, :, 1:] * residual[:, :, :-1]) / variance,
        "correlation of residual along columns": _mean(residual[:, 1:] * residual[:, :-1]) / variance,
    }


def _spread(levels: FloatArray) -> Features:
    """How evenly fine residual and structure are spread over 8x8-px blocks."""
    residual = levels - ndimage.uniform_filter(levels, (0, 3, 3), mode="reflect")
    logs = {
        name: 0.5 * np.log(_block_variance(values) + _QUANTUM_VARIANCE)
        for name, values in (("residual", residual), ("levels", levels))
    }
    return {
        "quietest block's log residual": logs["residual"].min(axis=1),
        "variation of residual over blocks": logs["residual"].std(axis=1),
        "variation of spread over blocks": logs["levels"].std(axis=1),
    }


def _stripes(levels: FloatArray) -> Features:
    """Means along rows and columns of the fine residual, against what independent pixels would leave of them."""
    features: Features = {}
    for name, axis in (("row", 1), ("column", 2)):
        fine = levels - ndimage.uniform_filter1d(levels, 5, axis=axis, mode="reflect")
        lines = fine.mean(axis=3 - axis)
        independent = _mean(fine**2) / levels.shape[3 - axis]
        features[f"log {name} stripes"] = np.log((np.mean(lines**2, axis=1) + 1e-3) / (independent + 1e-3))
    return features


def _power(levels: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the windowed power (P, 64, 64), and the radius (cycles/px) and folded angle of its bins (0: along rows)."""
    size = levels.shape[1]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / (size - 1))
    window = np.outer(hann, hann)
    transform = scipy.fft.fft2((levels - _mean(levels)[:, None, None]) * window, workers=1)
    vertical, horizontal = np.abs(np.fft.fftfreq(size))[:, None], np.abs(np.fft.fftfreq(size))[None, :]
    radius, angle = np.hypot(vertical, horizontal), np.arctan2(vertical, horizontal)
    return (transform.real**2 + transform.imag**2) / np.sum(window**2), radius, angle


def _block_variance(values: FloatArray) -> FloatArray:
    side = values.shape[1] // _BLOCK_PX
    blocks = values.reshape(len(values), side, _BLOCK_PX, side, _BLOCK_PX)
    return np.asarray(blocks.var(axis=(2, 4)).reshape(len(values), -1))


def _mean(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(values.mean(axis=(1, 2)), dtype=np.float64)


def _log_std(centred: FloatArray) -> FloatArray:
    return np.asarray(0.5 * np.log(_mean(centred**2) + _QUANTUM_VARIANCE))


def _skewness(values: FloatArray) -> FloatArray:
    """Return the third standardised moment, compressed: sign(s) * log(1 + |s|)."""
    centred = values - _mean(values)[:, None, None]
    skewness = _mean(centred**3) / (_mean(centred**2) + _QUANTUM_VARIANCE) ** 1.5
    return np.asarray(np.sign(skewness) * np.log1p(np.abs(skewness)))


def _log_kurtosis(values: FloatArray) -> FloatArray:
    """Return the logarithm of the fourth standardised moment, 0 for a flat patch."""
    squares = (values - _mean(values)[:, None, None]) ** 2
    return np.log((_mean(squares**2) + _QUANTUM_VARIANCE**2) / (_mean(squares) + _QUANTUM_VARIANCE) ** 2)
