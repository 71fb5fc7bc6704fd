"""Contact sheets: frames as they are, mask outlines around (never on) the target pixels, an enlarged cut-out beside each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from synth.errors import RefusalError
from synth.sample import BoolMask
from synth.store.files import write_durably

FRAME_PX = 256
"""Side a frame is shown at; larger ones are reduced, smaller ones enlarged by a whole factor."""
ZOOM_PX = 24
"""Side of the cut-out around the target, in pixels of the frame."""
ZOOM_FACTOR = 8
GAP_PX, TEXT_PX, LINE_PX, TITLE_PX = 10, 13, 16, 44
INK, PAPER = (235, 235, 235), (24, 24, 27)
MASK_INK, BOX_INK, IMPOSTOR_INK, PADDING_INK = (90, 235, 120), (255, 170, 60), (235, 90, 160), (70, 110, 190)
PREDICTED_INK = (255, 140, 40)
_MARK = ("Software", "SIRST Foundry sheet")
"""Text in the head of every sheet that is written: one of ours may be drawn again."""
_HEAD_BYTES = 256


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One frame on a sheet.

    Attributes:
        image: uint8 (H, W).
        mask: bool (H, W), outlined.
        lines: Caption.
        box: Half-open (row0, col0, row1, col1) of a square to frame in the cut-out, or None.
        centre: (row, col) the cut-out is about, or None for the middle.
        valid_hw: Rows and columns that are not padding; the rest is marked.
        impostors: Half-open (row0, col0, row1, col1) of what is no target but may look like one, framed.
        predicted: bool (H, W) of what a detector found, outlined in the cut-out, or None.
    """

    image: npt.NDArray[np.uint8]
    mask: BoolMask
    lines: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None
    centre: tuple[float, float] | None = None
    valid_hw: tuple[int, int] | None = None
    impostors: tuple[tuple[int, int, int, int], ...] = ()
    predicted: BoolMask | None = None


def draw_sheet(tiles: Sequence[Tile], title: str, subtitle: str, *, num_columns: int = 4) -> Image.Image:
    """Lay tiles out on one picture.

    Args:
        tiles: What to show, row by row.
        title: First line of the sheet.
        subtitle: Second line, smaller.
        num_columns: Tiles side by side.

    Returns:
        An RGB picture.
    """
    num_columns = min(num_columns, len(tiles))
    num_rows = -(-len(tiles) // num_columns)
    num_lines = max(len(tile.lines) for tile in tiles)
    width, height = FRAME_PX + ZOOM_PX * ZOOM_FACTOR + 2 * GAP_PX, FRAME_PX + GAP_PX * 2 + num_lines * LINE_PX
    sheet = Image.new("RGB", (num_columns * width + GAP_PX, num_rows * height + TITLE_PX + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, 8), title, fill=INK, font=ImageFont.load_default(17))
    draw.text((GAP_PX, 28), subtitle, fill=(150, 150, 155), font=ImageFont.load_default(11))
    for slot, tile in enumerate(tiles):
        left, top = GAP_PX + slot % num_columns * width, TITLE_PX + GAP_PX + slot // num_columns * height
        sheet.paste(_frame(tile), (left, top))
        sheet.paste(_zoom(tile), (left + FRAME_PX + 4, top))
        for number, line in enumerate(tile.lines):
            at = (left, top + FRAME_PX + 3 + number * LINE_PX)
            draw.text(at, line, fill=INK, font=ImageFont.load_default(TEXT_PX))
    return sheet


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a sheet as a marked PNG.

    Args:
        path: Where; its folder is there.
        sheet: The picture.

    Raises:
        StoreError: It cannot be written.
    """
    mark, buffer = PngInfo(), io.BytesIO()
    mark.add_text(*_MARK)
    sheet.save(buffer, format="png", pnginfo=mark)
    write_durably(path, [buffer.getvalue()])


def refuse_other_picture(option: str, path: Path, *, force: bool = False) -> None:
    """Refuse a place for a sheet that cannot be written or holds something else, before any work.

    Args:
        option: Option that names the place, for the message.
        path: The place.
        force: Whether a file that is no sheet may be written over.

    Raises:
        RefusalError: It is a folder, or a file that is no sheet, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise RefusalError(f"{option} {path}: its folder does not exist; make it, or correct the path")
    if path.is_dir():
        raise RefusalError(f"{option} {path}: is a folder; name a file")
    if path.exists() and not force and not _is_sheet(path):
        raise RefusalError(f"{option} {path}: exists and is no sheet of ours; name another file, or move it away")


def _is_sheet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return "\0".join(_MARK).encode() in file.read(_HEAD_BYTES)


def outline(mask: BoolMask) -> BoolMask:
    """Return the pixels that touch a mask from outside (8-neighbourhood)."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for row in range(3):
        for col in range(3):
            grown |= padded[row : row + height, col : col + width]
    return grown & ~mask


def _frame(tile: Tile) -> Image.Image:
    """Draw the frame at its display size, outlines two pixels clear of the target so that it stays visible."""
    picture = np.repeat(tile.image[:, :, None], 3, axis=2)
    near = outline(tile.mask) | tile.mask
    picture[outline(outline(near) | near)] = MASK_INK
    for box in tile.impostors:
        picture[_border(box, near.shape)] = IMPOSTOR_INK
    if tile.valid_hw is not None:
        _mark_padding(picture, tile.valid_hw)
    height, width = tile.image.shape
    scale = FRAME_PX / max(height, width)
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = Image.new("RGB", (FRAME_PX, FRAME_PX), PAPER)
    shown.paste(Image.fromarray(picture).resize(size, resampling))
    return shown


def _border(box: tuple[int, int, int, int], hw: tuple[int, ...]) -> BoolMask:
    """Return the pixels of a rectangle two pixels outside a box."""
    inside = np.zeros(hw, bool)
    row0, col0, row1, col1 = box
    inside[max(row0 - 2, 0) : max(row1 + 2, 0), max(col0 - 2, 0) : max(col1 + 2, 0)] = True
    return outline(inside)


def _mark_padding(picture: npt.NDArray[np.uint8], valid_hw: tuple[int, int]) -> None:
    rows, cols = valid_hw
    for region in (picture[rows:], picture[:rows, cols:]):
        region[...] = (region // 2 + np.array(PADDING_INK, np.uint8) // 2).astype(np.uint8)


def _zoom(tile: Tile) -> Image.Image:
    """Enlarge the surroundings of the target, contrast stretched, mask edges and turned square drawn as lines."""
    height, width = tile.image.shape
    row, col = tile.centre or (height / 2, width / 2)
    top, left = (int(np.clip(round(c) - ZOOM_PX // 2, 0, max(size - ZOOM_PX, 0))) for c, size in ((row, height), (col, width)))
    cut = np.s_[top : top + ZOOM_PX, left : left + ZOOM_PX]
    levels = tile.image[cut].astype(np.float64)
    low, high = levels.min(), max(levels.max(), levels.min() + 16)
    grey = ((levels - low) / (high - low) * 255).astype(np.uint8)
    picture = Image.fromarray(grey).convert("RGB").resize((grey.shape[1] * ZOOM_FACTOR, grey.shape[0] * ZOOM_FACTOR), 0)
    draw = ImageDraw.Draw(picture)
    if tile.predicted is not None:
        _draw_edges(draw, tile.predicted[cut], PREDICTED_INK, 4)
    _draw_edges(draw, tile.mask[cut], MASK_INK, 2)
    if tile.box is not None:
        r0, c0, r1, c1 = ((b - o) * ZOOM_FACTOR for b, o in zip(tile.box, (top, left, top, left), strict=True))
        draw.rectangle((c0, r0, c1 - 1, r1 - 1), outline=BOX_INK, width=2)
    return picture


def _draw_edges(draw: ImageDraw.ImageDraw, mask: BoolMask, ink: tuple[int, int, int], width: int) -> None:
    """Draw the border between mask and background along the pixel edges."""
    padded = np.pad(mask, 1)
    f = ZOOM_FACTOR
    for row, col in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]).tolist():
        draw.line((col * f, row * f, (col + 1) * f, row * f), fill=ink, width=width)
    for row, col in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]).tolist():
        draw.line((col * f, row * f, col * f, (row + 1) * f), fill=ink, width=width)
