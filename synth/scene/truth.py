"""What is known about a rendered frame: its targets, its impostors, and how it came about.

Codes are stored in columns, so numbers are never reused. Levels are raw DN of the sensor unless a name says otherwise.
Here and in the modules beside, records made anew for every frame are named tuples: a frozen dataclass sets each of its
fields by a call of its own, which took 3 % of the time of a frame.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple


class TargetLevel(IntEnum):
    """How a target is modelled (physics section 4); the code table of ``target/level``."""

    POINT = 0
    BLOB = 1
    EXTENDED = 2
    GROUP = 3


class ScrMode(IntEnum):
    """How an amplitude was found (:mod:`synth.scene.scr`); the code table of ``target/scr_mode``."""

    EXPECTED = 0
    REALISED = 1


class Regime(IntEnum):
    """Kind of background; the code table of ``sample/regime``."""

    SKY = 0
    CLOUD = 1
    SEA = 2
    HILLS = 3
    FARMLAND = 4
    URBAN = 5
    SPACE = 6
    PLATE = 7
    OVERCAST = 8


class ImpostorKind(IntEnum):
    """Kinds of hard negatives (physics section 8); the code table of ``impostor/kind``."""

    HOT_PIXEL = 0
    GLINT = 1
    CLOUD_CORNER = 2
    STREAK = 3
    LARGE_BLOB = 4
    STRIPE_STUB = 5
    SEAM_PATCH = 6
    REMOVED_TWIN = 7
    ROTATED_PATCH = 8


class TargetTruth(NamedTuple):
    """One target, or one member of a closely spaced group, as it stands in one frame.

    Attributes:
        row_subpx: Row of the flux centre.
        col_subpx: Column of the flux centre.
        flux: Sum of the target's signal over its pixels, raw DN, negative for dark targets.
        peak_dn: Signal in its strongest pixel, raw DN, negative for dark targets.
        sigma_row_px: Total sigma (target, optics and pixel) along its own first axis, which is the rows at theta 0.
        sigma_col_px: Total sigma along its second axis.
        theta_turns: Turn of the second axis away from the columns, 0..1 turns.
        level: How it is modelled.
        polarity: 1 bright, -1 dark.
        area_px: Pixels of its own mask.
        mask_threshold: Share of its peak from which a pixel belongs to the mask.
        component: Which 8-connected component of the frame's mask it lies in, in raster order of first pixels.
        scr_mode: How its amplitude was found.
        scr_requested: Signal-to-clutter ratio asked for, negative for dark targets; NaN where it follows from the range.
        scr_expected: Mean signal over the mask over the expected background sigma.
        scr_raw: Ratio measured on the raw frame; NaN where it cannot be.
        scr_view: Ratio measured on the 8-bit view; NaN where it cannot be.
        snr_matched: sqrt(sum of squared signal) over the noise sigma of a pixel.
        background: Regime of the frame.
        is_on_seam: Whether it stands on a patch pasted by the code of seam patches.
        track_id: Number of its track in the sequence, constant along it; -1 in single frames.
        range_km: Its range; NaN where it was asked for by its ratio.
        intensity_w_sr: Its contrast radiant intensity; NaN where it is not known.
    """

    row_subpx: float
    col_subpx: float
    flux: float
    peak_dn: float
    sigma_row_px: float
    sigma_col_px: float
    theta_turns: float
    level: TargetLevel
    polarity: int
    area_px: int
    mask_threshold: float
    component: int
    scr_mode: ScrMode
    scr_requested: float
    scr_expected: float
    scr_raw: float
    scr_view: float
    snr_matched: float
    background: Regime
    is_on_seam: bool
    track_id: int = -1
    range_km: float = math.nan
    intensity_w_sr: float = math.nan


class ImpostorTruth(NamedTuple):
    """One hard negative: something a detector may take for a target, never labelled.

    Attributes:
        kind: What it is.
        row: Row of its middle.
        col: Column of its middle.
        height: Rows of its bounding box, px.
        width: Columns of its bounding box, px.
    """

    kind: ImpostorKind
    row: float
    col: float
    height: float
    width: float

    def moved(self, rows: float, cols: float) -> ImpostorTruth:
        """Return it displaced by some px."""
        return self if rows == cols == 0.0 else self._replace(row=self.row + rows, col=self.col + cols)

    def is_inside(self, hw: tuple[int, int]) -> bool:
        """Tell whether its middle lies inside a frame."""
        return -0.5 <= self.row < hw[0] - 0.5 and -0.5 <= self.col < hw[1] - 0.5


class FrameTruth(NamedTuple):
    """Everything known about a frame.

    Attributes:
        targets: Targets in raster order of their components, members of one component by row.
        impostors: Impostors inside the frame.
        regime: Kind of background.
        plate_id: Id of the real frame behind it, empty for a painted one.
        camera_id: Virtual camera; frames of one camera share its fixed pattern.
        sequence_id: Sequence, -1 for a single frame.
        frame_index: Number in the sequence, 0 for a single frame.
        time_s: Time since the sequence began, s.
        num_rejected: Target positions that were drawn and refused, by taken place or by amplitude.
        saturated_px: Pixels clipped at the well or at a rail.
    """

    targets: tuple[TargetTruth, ...]
    impostors: tuple[ImpostorTruth, ...]
    regime: Regime
    plate_id: str
    camera_id: int
    sequence_id: int
    frame_index: int
    time_s: float
    num_rejected: int
    saturated_px: int
