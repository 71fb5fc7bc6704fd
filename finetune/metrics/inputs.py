"""What callers hand over -> arrays that can be counted. Every refusal names the frame and what to do.

Arrays may be numpy or anything with torch's ``detach().cpu()`` (duck-typed: torch is never imported), on any device, of any
size; leading axes of length 1 are dropped. Floating maps are probabilities in [0, 1]; boolean maps are decided masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from synth.errors import SourceError
from synth.sample import BoolMask

ProbabilityMap = npt.NDArray[np.bool_] | npt.NDArray[np.float32] | npt.NDArray[np.float64]
LabelValues = npt.NDArray[np.float32]

ROUNDING = 1e-6
"""How far outside [0, 1] a probability may lie: rounding of float32 sigmoids and resampling (our choice)."""

_BITS: Mapping[int, type[np.unsignedinteger[Any]]] = {4: np.uint32, 8: np.uint64}
_BITS_OF_ONE = {4: np.float32(1.0).view(np.uint32), 8: np.float64(1.0).view(np.uint64)}
"""Bits of IEEE floats in 0..1 are the integers 0..these; negatives, NaN and larger values lie above: one pass tells."""


def as_probability(values: Any, name: str) -> ProbabilityMap:
    """Return one probability map ready to be compared with thresholds.

    Args:
        values: bool or floating (H, W) of any byte order, array or tensor; float16 and bfloat16 become float32, float64 stays.
        name: Id of the frame, for messages.

    Returns:
        C-contiguous bool, float32 or float64 (H, W) in this machine's byte order.

    Raises:
        SourceError: It is no 2-D map, holds NaN, integers, or values outside [0, 1] such as logits.
    """
    array = _as_map(values, name)
    if array.dtype != np.bool_ and array.view(_BITS[array.dtype.itemsize]).max() > _BITS_OF_ONE[array.dtype.itemsize]:
        _check_range(array, name)
    return array


def as_decided(values: Any, name: str, threshold: float) -> BoolMask:
    """Return where a map exceeds a threshold, strictly, checked as by :func:`as_probability`; both in one pass.

    Args:
        values: As in :func:`as_probability`; boolean maps are decided already.
        name: Id of the frame, for messages.
        threshold: Threshold in [0, 1).

    Returns:
        C-contiguous bool (H, W).

    Raises:
        SourceError: As in :func:`as_probability`.
    """
    array = _as_map(values, name)
    if array.dtype == np.bool_:
        return array.astype(np.bool_, copy=False)
    limit, bits = _at_or_below(threshold, array.dtype), _BITS[array.dtype.itemsize]
    highest, decided = _exceed(array.view(bits), limit.view(bits))
    if highest > _BITS_OF_ONE[array.dtype.itemsize]:
        _check_range(array, name)
        return np.asarray(array > limit, dtype=np.bool_)
    result: BoolMask = decided
    return result


def decide(values: ProbabilityMap, threshold: float) -> BoolMask:
    """Return where a map of :func:`as_probability` exceeds a threshold, strictly, as if both were doubles."""
    if values.dtype == np.bool_:
        return values.astype(np.bool_, copy=False)
    return np.asarray(values > _at_or_below(threshold, values.dtype), dtype=np.bool_)


def as_mask(values: Any, name: str, mask_max: int = 255) -> BoolMask:
    """Return one ground-truth mask.

    Args:
        values: (H, W): bool; integer levels, target from half of ``mask_max`` upwards (128 of 255); or float, target > 0.5.
        name: Id of the frame, for messages.
        mask_max: Level that stands for target in integer masks; 1 for 0/1 masks.

    Returns:
        C-contiguous bool (H, W).

    Raises:
        SourceError: It is no 2-D mask, holds NaN, or its highest level does not fit ``mask_max``.
    """
    array = _as_array(values, f"mask of {name}")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        _check_unit_values(array, name)
        return np.ascontiguousarray(array > 0.5)
    _check_levels(array, name, mask_max)
    return np.ascontiguousarray(array >= mask_max // 2 + 1)


def as_label_values(values: Any, name: str, mask_max: int = 255) -> LabelValues:
    """Return a mask as the legacy codes see it: its level divided by 255, grey levels kept.

    Args:
        values: As in :func:`as_mask`.
        name: Id of the frame, for messages.
        mask_max: As in :func:`as_mask`.

    Returns:
        float32 (H, W) in [0, 1].

    Raises:
        SourceError: As in :func:`as_mask`.
    """
    array = _as_array(values, f"mask of {name}")
    if array.dtype.kind == "f":
        _check_unit_values(array, name)
    elif array.dtype != np.bool_:
        _check_levels(array, name, mask_max)
        return array.astype(np.float32) / np.float32(mask_max)
    return array.astype(np.float32)


def check_sizes(prediction: npt.NDArray[Any], mask: npt.NDArray[Any], name: str) -> None:
    """Refuse a map whose size is not that of its mask.

    Raises:
        SourceError: It is not.
    """
    if prediction.shape != mask.shape:
        got, want = ("x".join(map(str, array.shape)) for array in (prediction, mask))
        raise SourceError(
            f"prediction of {name}: must have the size of its mask, {want} px (rows x columns), got {got};"
            " bring the map back to native size, never the mask to the map's"
        )


def _as_map(values: Any, name: str) -> ProbabilityMap:
    """Return a contiguous map, its dtype settled and native (its bits are read), its range unchecked."""
    array = _as_array(values, f"prediction of {name}")
    if array.dtype.kind not in "bf":
        raise SourceError(f"prediction of {name}: must be bool or float in 0..1, got {array.dtype}; divide by its highest level")
    if array.dtype.kind == "f":
        array = array.astype(np.float64 if array.dtype.itemsize >= 8 else np.float32, copy=False)
    contiguous: ProbabilityMap = np.ascontiguousarray(array)
    return contiguous


def _check_range(array: ProbabilityMap, name: str) -> None:
    lowest, highest = float(array.min()), float(array.max())
    if not np.isfinite(lowest + highest):
        raise SourceError(f"prediction of {name}: holds NaN or infinite values; correct the detector's output")
    if lowest < -ROUNDING or highest > 1.0 + ROUNDING:
        raise SourceError(
            f"prediction of {name}: probabilities must be in 0..1, got {lowest:g}..{highest:g};"
            " are these logits? apply the sigmoid first"
        )


def _at_or_below(threshold: float, dtype: np.dtype[Any]) -> Any:
    """Return the largest value of a float type at or below a threshold: it decides maps of that type as doubles would."""
    limit = dtype.type(threshold)
    return np.nextafter(limit, dtype.type(-1.0)) if float(limit) > threshold else limit


@njit(cache=True, nogil=True)
def _exceed(bits: npt.NDArray[np.uint32], limit: np.uint32) -> Any:
    """Return the highest bit pattern and where patterns exceed a limit; valid for floats of 0 and more."""
    flat, highest = bits.ravel(), bits.dtype.type(0)
    above = np.empty(flat.size, np.bool_)
    for i in range(flat.size):
        highest = max(highest, flat[i])
        above[i] = flat[i] > limit
    return highest, above.reshape(bits.shape)


def _as_array(values: Any, what: str) -> npt.NDArray[Any]:
    """Return (H, W), from torch tensors through the host."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
    array: npt.NDArray[Any] = np.asarray(values)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or 0 in array.shape:
        raise SourceError(f"{what}: must be one map of rows x columns, got shape {array.shape}; pass frames one by one")
    return array


def _check_unit_values(array: npt.NDArray[Any], name: str) -> None:
    lowest, highest = float(array.min()), float(array.max())
    if not (lowest >= 0.0 and highest <= 1.0):
        raise SourceError(f"mask of {name}: float masks must be in 0..1, got {lowest:g}..{highest:g}; divide by 255")


def _check_levels(array: npt.NDArray[Any], name: str, mask_max: int) -> None:
    if array.dtype.kind not in "iu":
        raise SourceError(f"mask of {name}: must be bool, integer or float, got {array.dtype}; convert it")
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > mask_max:
        raise SourceError(f"mask of {name}: levels must be in 0..{mask_max}, got {lowest}..{highest}; set mask_max")
    if 0 < highest < mask_max // 2 + 1:
        raise SourceError(
            f"mask of {name}: no level reaches half of {mask_max}, the highest is {highest}; set mask_max (1 for 0/1 masks)"
        )
