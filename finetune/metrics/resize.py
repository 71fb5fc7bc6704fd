"""The geometry that legacy codes work at: maps and masks squashed to a square, as those codes do with their images.

Canonical scores never resize. A resized map is not the map of a resized image: to repeat published rows, predict at that
size; a map that already has it passes unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from finetune.metrics.inputs import LabelValues, ProbabilityMap, check_sizes

NATIVE_GEOMETRY = "native size"


def describe_geometry(num_resized: int, num_frames: int, forced_px: int) -> str:
    """Return in words what happened to sizes: ``Scores.geometry``."""
    if not num_resized:
        return NATIVE_GEOMETRY
    which = "" if num_resized == num_frames else f"{num_resized} of {num_frames} frames "
    return f"{which}resized to {forced_px}x{forced_px}: map bilinear, mask nearest"


def to_square(
    values: ProbabilityMap, labels: LabelValues, name: str, accepted_px: tuple[int, ...], forced_px: int
) -> tuple[ProbabilityMap, LabelValues]:
    """Return map and mask at the square a legacy code works at.

    Args:
        values: Map (H, W), or already at an accepted square.
        labels: Mask values (H, W).
        name: Id of the frame, for messages.
        accepted_px: Sides of squares taken as fed.
        forced_px: Side that everything else is squashed to.

    Raises:
        SourceError: The map has neither the size of its mask nor that of an accepted square.
    """
    side = values.shape[0]
    if values.shape == (side, side) and side in accepted_px:
        return values, _nearest(labels, side)
    check_sizes(values, labels, name)
    return _bilinear(values, forced_px), _nearest(labels, forced_px)


def _bilinear(values: ProbabilityMap, side: int) -> npt.NDArray[np.float32]:
    """Return (side, side), Pillow's bilinear filter (antialiased when it shrinks), on float32."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))


def _nearest(labels: LabelValues, side: int) -> LabelValues:
    """Return (side, side), Pillow's nearest neighbour."""
    if labels.shape == (side, side):
        return labels
    resized: Any = np.asarray(Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST))
    return np.ascontiguousarray(resized)
