"""What one frame is, and the legend of axes, units and ranges for the whole project.

Axes        H rows, W columns, B batch, N samples of a store, K target slots of a sample, M windows of a noise bank.
Positions   always (row, col), 0-based, pixel centres at integers; ``_px`` pixels, ``_subpx`` fractions of a pixel allowed.
Sizes       always ``_hw`` = (rows, columns).
Levels      ``image`` is float32 in [0, 1]; ``levels`` are the integer grey levels of a file, 0..max_level;
            ``_dn`` quantities are in grey levels of the 8-bit scale (0..255) whatever the bit depth they came from.
Masks       bool, or uint8 in {0, 1}; a target is one 8-connected component. ``None`` means unlabelled, which is not empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
Levels = npt.NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16."""
MaskLevels = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]


class SampleKind(IntEnum):
    """What a sample is; the code table of ``sample/kind``."""

    ORIGINAL = 0
    NEGATIVE = 1


class TargetKind(IntEnum):
    """Where a target comes from; the code table of ``target/kind``."""

    REAL = 0
    SCENE = 1


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a sample.

    Attributes:
        row_subpx: Row of the centre, the unweighted centroid of its mask component.
        col_subpx: Column of the centre.
        area_px: Pixels of the component.
        peak_contrast: Highest level inside the component minus the background mean, grey levels of 0..255.
        flux: Sum over the component of level minus background mean, grey levels of 0..255.
        scr_view: Signal-to-clutter ratio on the stored image (definition: :mod:`synth.targets`); NaN when unmeasurable.
        kind: Origin of the target.
        track_id: Track of a sequence, -1 for single frames.
    """

    row_subpx: float
    col_subpx: float
    area_px: int
    peak_contrast: float
    flux: float
    scr_view: float
    kind: TargetKind = TargetKind.REAL
    track_id: int = -1


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a sample comes from.

    Attributes:
        parent_ids: Ids of the frames it was made from, the image first; a frame of a corpus names itself.
        operations: What was done, in order, as short readable phrases.
        seed: Recipe seed, or None for a frame of a corpus.
        index: Index in its store or corpus.
        recipe_hash: sha256 of the recipe, or None for a frame of a corpus.
    """

    parent_ids: tuple[str, ...]
    operations: tuple[str, ...] = ()
    seed: int | None = None
    index: int = 0
    recipe_hash: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One frame with its labels.

    Attributes:
        image: float32 (H, W) in [0, 1].
        mask: bool (H, W), or None when unlabelled.
        targets: Measured on image and mask, in raster order of their first pixel; empty when unlabelled.
        provenance: Where it comes from.
        bit_depth: Bits of the levels the image was made from (8 for 0..255).
        valid_hw: Rows and columns, from the top left, that are not padding.
    """

    image: FloatImage
    mask: BoolMask | None
    targets: tuple[Target, ...]
    provenance: Provenance
    bit_depth: int
    valid_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded source frame in its own integer levels: what readers return and renderers consume.

    Attributes:
        id: Id of the frame in its corpus.
        levels: uint8 or uint16 (H, W).
        max_level: Level that stands for 1.0 (255, 65535, or 16383 for 14-bit data in a 16-bit file).
        mask: uint8 (H, W) in {0, 1}, or None when unlabelled.
    """

    id: str
    levels: Levels
    max_level: int
    mask: MaskLevels | None

    @property
    def hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.levels.shape[0]), int(self.levels.shape[1])

    @property
    def bit_depth(self) -> int:
        """Bits needed for ``max_level``."""
        return int(self.max_level).bit_length()

    def image(self) -> FloatImage:
        """Return the levels as float32 in [0, 1]."""
        scaled: FloatImage = self.levels.astype(np.float32) / np.float32(self.max_level)
        return scaled
