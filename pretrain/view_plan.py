"""The geometry of views, drawn on the host: where each is cut, how it is turned, and which square of it is rotated.

A view is an index map: output pixel (y, x) shows pixel ``first[y] + second[x]`` of its frame, where the two vectors hold what the
crop, the flips, the quarter turn and the reflected border make of rows and columns. Image and mask are gathered through the
same map, so that no value changes and no 1-px target is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pretrain.frames import FramePool
from synth.rng import Stream, keyed_uniforms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


class Draw(IntEnum):
    """Number of each draw in the key of its value; new ones go to the end, so that no other changes."""

    TARGET = 0
    CENTRED = 1
    CROP_ROW = 2
    CROP_COL = 3
    FLIP_ROWS = 4
    FLIP_COLS = 5
    TURN = 6
    PATCH = 7
    PATCH_TURN = 8
    MIX = 9
    MIX_WINDOW = 10
    MIX_ALPHA = 11
    PASTE = 12
    PASTE_DONOR = 13
    PASTE_ROW = 14
    PASTE_COL = 15
    AFFINE = 16
    AFFINE_ANGLE = 17
    AFFINE_SCALE = 18
    GAIN = 19
    OFFSET = 20
    GAMMA = 21
    BLUR = 22
    GRAIN = 23
    GRAIN_KEY = 24
    COLUMNS = 25
    COLUMNS_KEY = 26


def draw_uniforms(seed: int, positions: Integers) -> Floats:
    """Return all draws of samples, float64 (B, number of draws) in [0, 1), columns by :class:`Draw`."""
    return keyed_uniforms(seed, Stream.VIEW, positions[:, None], np.array(list(Draw)))


@dataclass(frozen=True, slots=True, eq=False)
class CutPlan:
    """Where the views of some frames are cut.

    Attributes:
        first: int64 (B, H), share of an output row in the index of a frame's pixel.
        second: int64 (B, W), share of an output column.
        first_valid: bool (B, H), false on padding.
        second_valid: bool (B, W).
        focus_rc: float64 (B, 2), where the view shows the target it was drawn for; NaN when it does not.
        origin_rc: int64 (B, 2), first pixel of the crop in the frame.
        frame_hw: int64 (B, 2), size of the frames.
    """

    first: Integers
    second: Integers
    first_valid: Booleans
    second_valid: Booleans
    focus_rc: Floats
    origin_rc: Integers
    frame_hw: Integers


def plan_cuts(
    pool: FramePool,
    indices: Integers,
    draws: Floats,
    crop_hw: tuple[int, int],
    *,
    centre_probability: float,
    margin_px: int,
    flip: bool,
    rot90: bool,
) -> CutPlan:
    """Draw crops, flips and turns.

    A centred crop is uniform over the places that keep the centre of the drawn target ``margin_px`` inside, as
    ``synth.canvas.crop_origin``; any other is uniform over the frame. Frames smaller than the crop are continued by reflection
    (the border pixel is not repeated) at the bottom and right.

    Args:
        pool: The pool.
        indices: int64 (B,), frames of it.
        draws: float64 (B, draws), of :func:`draw_uniforms`.
        crop_hw: Size of the views; a square when ``rot90``.
        centre_probability: Chance that a crop is centred on a target of a frame that has any.
        margin_px: Least distance of that target's centre from the border of the crop.
        flip: Whether rows and columns are reversed, each in half of the samples.
        rot90: Whether views are turned by 0 to 3 quarters.
    """
    valid_hw, num_targets = pool.valid_hw[indices], np.diff(pool.first_target)[indices]
    target = pool.first_target[indices] + (draws[:, Draw.TARGET] * num_targets).astype(np.int64)
    has_target = num_targets > 0
    centre_rc = np.full((len(indices), 2), np.nan)
    centre_rc[has_target] = pool.centres_rc[target[has_target]]
    is_centred = has_target & (draws[:, Draw.CENTRED] < centre_probability)
    columns = draws[:, [Draw.CROP_ROW, Draw.CROP_COL]]
    origin_rc = np.stack(
        [_origins(valid_hw[:, a], crop_hw[a], centre_rc[:, a], is_centred, margin_px, columns[:, a]) for a in (0, 1)], axis=1
    )
    turn = (draws[:, Draw.TURN] * 4).astype(np.int64) if rot90 else np.zeros(len(indices), np.int64)
    rows_reversed = (turn >= 2) ^ (flip & (draws[:, Draw.FLIP_ROWS] < 0.5))
    cols_reversed = ((turn == 1) | (turn == 2)) ^ (flip & (draws[:, Draw.FLIP_COLS] < 0.5))
    is_transposed = turn % 2 == 1
    rows, rows_valid = _lines(origin_rc[:, 0], valid_hw[:, 0], crop_hw[0], rows_reversed)
    cols, cols_valid = _lines(origin_rc[:, 1], valid_hw[:, 1], crop_hw[1], cols_reversed)
    rows *= pool.hw[1]
    if rot90:
        swap = is_transposed[:, None]
        rows, cols = np.where(swap, cols, rows), np.where(swap, rows, cols)
        rows_valid, cols_valid = np.where(swap, cols_valid, rows_valid), np.where(swap, rows_valid, cols_valid)
    focus_rc = _focus(centre_rc - origin_rc, crop_hw, (rows_reversed, cols_reversed), is_transposed)
    return CutPlan(rows, cols, rows_valid, cols_valid, focus_rc, origin_rc, valid_hw)


def plan_patch_turns(plan: CutPlan, side: int, turns: Integers) -> tuple[Integers, Integers]:
    """Return which pixels of flattened views change places when the square around each focus target is rotated.

    Args:
        plan: The views.
        side: Side of the square, px.
        turns: int64 (B,), quarter turns, counter-clockwise; 0 leaves a view alone.

    Returns:
        Two int64 arrays (B, side^2), target and source pixel; equal where the focus is out of view or the square does not fit
        into the valid region.
    """
    box = valid_extent(plan)
    room = box[:, 2:] - side
    fits = ~np.isnan(plan.focus_rc[:, 0]) & (room >= 0).all(axis=1)
    nearest = np.floor(np.nan_to_num(plan.focus_rc) + 0.5).astype(np.int64)
    start_rc = np.clip(nearest - side // 2, box[:, :2], box[:, :2] + np.maximum(room, 0))
    row, col = np.where(fits[:, None], start_rc, 0).T[:, :, None]
    tables = np.stack([np.rot90(np.arange(side * side).reshape(side, side), k).ravel() for k in range(4)])
    taken, width = tables[np.where(fits, turns, 0)], plan.second.shape[1]
    own = np.arange(side * side)[None, :]
    target, source = ((row + cell // side) * width + col + cell % side for cell in (own, taken))
    return target, source


def valid_extent(plan: CutPlan) -> Integers:
    """Return first row, first column, rows and columns of the valid region of each view, int64 (B, 4)."""
    parts = plan.first_valid, plan.second_valid
    return np.stack([part.argmax(axis=1) for part in parts] + [part.sum(axis=1) for part in parts], axis=1)


def _origins(sizes: Integers, crop: int, centres: Floats, is_centred: Booleans, margin_px: int, uniforms: Floats) -> Integers:
    """Draw the first row (or column) of each crop."""
    last = np.maximum(sizes - crop, 0)
    centre = np.floor(np.nan_to_num(centres) + 0.5).astype(np.int64)
    margin = min(margin_px, (crop - 1) // 2)
    low = np.where(is_centred, np.clip(centre + margin + 1 - crop, 0, last), 0)
    high = np.where(is_centred, np.clip(centre - margin, low, last), last)
    return np.asarray(low + (uniforms * (high - low + 1)).astype(np.int64))


def _lines(origins: Integers, sizes: Integers, crop: int, is_reversed: Booleans) -> tuple[Integers, Booleans]:
    """Return the line of the frame that each line of the views shows, (B, crop), and whether it is no padding."""
    steps = np.arange(crop)
    lines = origins[:, None] + np.where(is_reversed[:, None], crop - 1 - steps, steps)
    size = sizes[:, None]
    is_valid = lines < size
    if is_valid.all():
        return lines, is_valid
    period = np.maximum(2 * (size - 1), 1)
    folded = lines % period
    return np.where(size > 1, np.minimum(folded, period - folded), 0), is_valid


def _focus(crop_rc: Floats, crop_hw: tuple[int, int], is_reversed: tuple[Booleans, Booleans], swap: Booleans) -> Floats:
    """Return where views show a point given in their crop, NaN outside."""
    height_width = np.array(crop_hw)
    with np.errstate(invalid="ignore"):
        inside = np.all((crop_rc > -0.5) & (crop_rc < height_width - 0.5), axis=1)
    turned = np.where(np.stack(is_reversed, axis=1), height_width - 1 - crop_rc, crop_rc)
    turned = np.where(swap[:, None], turned[:, ::-1], turned)
    return np.where(inside[:, None], turned, np.nan)
