"""The canvas rule: how a frame of any size becomes a canvas of one size without touching its pixels.

Larger frames are cropped around the target, smaller ones are reflect-padded at the bottom and right with the valid size
recorded. Resizing exists only as the released SIRST-5K behaviour (``fit: resize``): it changes target sizes and can
erase 1-px targets.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from synth.sample import Frame, Levels, MaskLevels

_Scalar = TypeVar("_Scalar", bound=np.generic)
Fit = Literal["native_crop", "resize"]

CROP_MARGIN_PX = 8
"""Pixels kept between the target's bounding box and the crop's border where the frame allows (our choice)."""


def crop_origin(
    frame_hw: tuple[int, int], canvas_hw: tuple[int, int], box: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Draw the top-left corner of a crop that contains a box.

    Uniform over the corners that keep the box and ``CROP_MARGIN_PX`` around it inside, so that targets do not sit at the
    centre of every canvas; 0 along an axis where the frame is not larger than the canvas.

    Args:
        frame_hw: Size of the frame.
        canvas_hw: Size of the canvas.
        box: Half-open bounding box (row0, col0, row1, col1) that must stay inside.
        rng: Generator of the draw.

    Returns:
        (row, col) of the crop's first pixel in the frame.
    """
    origin = []
    for axis in (0, 1):
        size, canvas = frame_hw[axis], canvas_hw[axis]
        if size <= canvas:
            origin.append(0)
            continue
        first, last = box[axis], box[axis + 2]
        margin = min(CROP_MARGIN_PX, max(canvas - (last - first), 0) // 2)
        low = min(max(last + margin - canvas, 0), size - canvas)
        high = max(min(first - margin, size - canvas), low)
        origin.append(int(rng.integers(low, high, endpoint=True)))
    return origin[0], origin[1]


def place(
    array: npt.NDArray[_Scalar],
    origin_rc: tuple[int, int],
    canvas_hw: tuple[int, int],
    *,
    fill: Literal["reflect", "zero"],
) -> npt.NDArray[_Scalar]:
    """Cut a canvas out of a frame, padding at the bottom and right where the frame is smaller.

    Args:
        array: (H, W).
        origin_rc: First pixel of the crop.
        canvas_hw: Size of the result.
        fill: ``reflect`` for levels (the border pixel is not repeated), ``zero`` for masks.

    Returns:
        C-contiguous (canvas H, canvas W).
    """
    (row, col), (height, width) = origin_rc, canvas_hw
    crop = array[row : row + height, col : col + width]
    pad = ((0, height - crop.shape[0]), (0, width - crop.shape[1]))
    if pad != ((0, 0), (0, 0)):
        crop = np.pad(crop, pad, mode="reflect") if fill == "reflect" else np.pad(crop, pad)
    return np.ascontiguousarray(crop)


def resize_frame(frame: Frame, hw: tuple[int, int]) -> Frame:
    """Squash a frame to a size as the released scripts do: bilinear levels, nearest mask, aspect ratio not kept.

    Args:
        frame: The source.
        hw: New size.

    Returns:
        The resized frame; itself when it has that size already.
    """
    if frame.hw == hw:
        return frame
    size_wh = (hw[1], hw[0])
    levels: Levels
    if frame.levels.dtype == np.uint8:
        levels = np.asarray(Image.fromarray(frame.levels).resize(size_wh, Image.Resampling.BILINEAR))
    else:  # Pillow resizes 16-bit levels only as float
        floats = Image.fromarray(frame.levels.astype(np.float32)).resize(size_wh, Image.Resampling.BILINEAR)
        levels = np.rint(np.asarray(floats)).clip(0, frame.max_level).astype(np.uint16)
    mask: MaskLevels | None = None
    if frame.mask is not None:
        mask = np.asarray(Image.fromarray(frame.mask).resize(size_wh, Image.Resampling.NEAREST))
    return Frame(frame.id, levels, frame.max_level, mask)
