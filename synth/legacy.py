"""The known bugs of the released SIRST-5K scripts, fixed by default and reproducible one by one.

Source: luy0222/SIRST-5K, codes/Noise_Sampling and codes/Mix_Rot with their git history. Not reproduced: the mosaic the scripts
write when given several noise files, and the hard-coded 256.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from synth.errors import SourceError
from synth.noise import Windows

MAX_CENTRES_BYTES = 16 * 2**20
_PAIR = re.compile(r"[\[(]\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*[\])]")


class LegacyConfig(BaseModel):
    """Bugs of the released SIRST-5K scripts, each off by default.

    Attributes:
        grid: Window loops stop before the last row and column (49 instead of 64 windows at 256/32).
        overwrite: Later windows of a frame overwrite earlier ones: one window per frame survives.
        include_targets: Noise windows may hold target pixels.
        border: Near borders the box snaps to the border, for sides 8 and 32 already at twice the half side.
        flip_first: Side 32 flips the patch left-right before rotating, so that no rotation leaves it alone.
        centres_file: Text file of target centres, one line a frame in the order of their ids, pairs "column, row" in
            brackets; read instead of the masks. Relative paths start at the current folder.
        duplicate_lines: With ``centres_file``: a line that stands in the file again gives no output the second time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: bool = False
    overwrite: bool = False
    include_targets: bool = False
    border: bool = False
    flip_first: bool = False
    centres_file: str | None = None
    duplicate_lines: bool = False


def keep_last_window(windows: Windows) -> Windows:
    """Keep what survives when every window of a frame is saved under one name: the last accepted one."""
    return Windows(*(getattr(windows, name)[-1:] for name in ("patch", "row", "col", "mean", "variance")))


def read_centres(path: Path, num_frames: int, *, drop_duplicate_lines: bool) -> list[list[tuple[float, float]]]:
    """Read target centres from a coordinate file; nothing in it is evaluated.

    Args:
        path: Text file, one line a frame in the order of their ids, pairs ``(column, row)`` or ``[column, row]``.
        num_frames: Number of lines expected.
        drop_duplicate_lines: Give no centres to a line that stood in the file before, as the released driver does.

    Returns:
        For every line its (row, col) centres.

    Raises:
        SourceError: The file is missing, too large, or has another number of lines.
    """
    try:
        data = path.read_bytes()[: MAX_CENTRES_BYTES + 1]
        lines = data.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"legacy.centres_file {path}: cannot be read ({error}); give a text file of centres") from error
    if len(lines) != num_frames or len(data) > MAX_CENTRES_BYTES:
        raise SourceError(f"legacy.centres_file {path}: must hold one line for each of the {num_frames} frames, got {len(lines)}")
    seen: set[str] = set()
    centres: list[list[tuple[float, float]]] = []
    for line in lines:
        skip = drop_duplicate_lines and line in seen
        seen.add(line)
        pairs = _PAIR.findall(line)
        if _PAIR.sub("", line).strip(" \t,;[]"):
            raise SourceError(
                f"legacy.centres_file {path} line {len(centres) + 1}: must hold pairs (column, row), got {line[:60]!r}"
            )
        centres.append([] if skip else [(float(row), float(col)) for col, row in pairs])
    return centres


def boxes_around(centres: Sequence[tuple[float, float]], frame_hw: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return the one-pixel box at each centre, clipped into the frame."""
    boxes = []
    for centre in centres:
        row, col = (int(np.clip(c, 0, size - 1)) for c, size in zip(centre, frame_hw, strict=True))
        boxes.append((row, col, row + 1, col + 1))
    return boxes
