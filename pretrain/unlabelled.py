"""Pools without their labels: masks are left at the door, and what may be an unlabelled target is marked instead.

A label-free frame may hold real targets, which nobody must learn as background. The highest local peaks of every frame are
doubtful; a disc around each travels in the place of the mask through crops and turns, and losses ignore it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from pretrain.compose.peaks import discs, find_peaks, top_hat
from pretrain.frames import Fetched, FramePixels, FramePool, Indices

_AT_ONCE = {"cpu": 8, "cuda": 128}
"""Frames searched at once (our choice): 60 MB of work at 512x640 px, 1 GB on a GPU, where every part costs its launches."""


class DoubtConfig(BaseModel):
    """What of an unlabelled frame losses ignore.

    Attributes:
        peaks: Highest peaks of local contrast of each frame that may be targets; 0 for sources known to hold none. Default: as
            many as 98 % of the NUAA and 99 % of the NUDT training frames hold targets at most (measured).
        radius_px: Radius of the disc around each (default: the area of a target of 150 px).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peaks: int = Field(3, ge=0, le=32)
    radius_px: float = Field(7.0, ge=1.0, le=32.0)


def part_of(pool: FramePool, rows: Indices) -> FramePool:
    """Return some frames of a pool as a pool over the same pixels.

    Args:
        pool: The pool.
        rows: int64, indices of the frames, rising.
    """
    owner = np.repeat(np.arange(len(pool)), np.diff(pool.first_target))
    return replace(
        pool,
        pixels=_Part(pool.pixels, rows),
        valid_hw=pool.valid_hw[rows],
        is_labelled=pool.is_labelled[rows],
        centres_rc=pool.centres_rc[np.isin(owner, rows)],
        first_target=np.concatenate([[0], np.cumsum(np.diff(pool.first_target)[rows])]).astype(np.int64),
        ids=tuple(pool.ids[row] for row in rows) if pool.ids else (),
    )


def without_labels(pool: FramePool, config: DoubtConfig) -> FramePool:
    """Return a pool whose frames are all unlabelled; its masks are the discs around doubtful peaks.

    Args:
        pool: The pool.
        config: How many peaks of a frame, and how much around each.
    """
    return replace(
        pool,
        pixels=_Doubtful(pool, config),
        is_labelled=np.zeros(len(pool), bool),
        centres_rc=np.empty((0, 2)),
        first_target=np.zeros(len(pool) + 1, np.int64),
    )


class _Part:
    """Pixels of some frames of a pool."""

    def __init__(self, pixels: FramePixels, rows: Indices) -> None:
        self._pixels, self._rows = pixels, rows
        self.is_streamed = pixels.is_streamed

    def is_on(self, device: torch.device | str) -> bool:
        """Tell whether they are kept on a kind of device."""
        return self._pixels.is_on(device)

    def fetch(self, indices: Indices) -> Fetched:
        """Return the pixels of frames, int64 (B,)."""
        return self._pixels.fetch(self._rows[indices])


class _Doubtful:
    """Pixels of a pool with discs around their peaks for masks: made once where pixels are resident, else when fetched."""

    def __init__(self, pool: FramePool, config: DoubtConfig) -> None:
        self._pixels, self._valid_hw, self._max_level, self._config = pool.pixels, pool.valid_hw, pool.max_level, config
        self.is_streamed = pool.pixels.is_streamed
        self._discs_NHW: Tensor | None = None

    def is_on(self, device: torch.device | str) -> bool:
        """Tell whether they are kept on a kind of device."""
        return self._pixels.is_on(device)

    def fetch(self, indices: Indices) -> Fetched:
        """Return the pixels of frames, int64 (B,), and their doubtful discs."""
        found = self._pixels.fetch(indices)
        if self.is_streamed:
            return Fetched(found.images_NHW, self._search(found.images_NHW, self._valid_hw[indices]), found.rows)
        if self._discs_NHW is None:
            self._discs_NHW = self._search(found.images_NHW, self._valid_hw)
        return Fetched(found.images_NHW, self._discs_NHW, found.rows)

    def _search(self, images_NHW: Tensor, valid_hw: Indices) -> Tensor:
        """Return the union of discs around the highest peaks of each frame, uint8 in {0, 1}."""
        result = torch.zeros(images_NHW.shape, dtype=torch.uint8, device=images_NHW.device)
        hw = images_NHW.shape[1], images_NHW.shape[2]
        at_once = _AT_ONCE[images_NHW.device.type]
        for first in range(0, len(images_NHW), at_once):
            part = slice(first, first + at_once)
            valid = _valid(valid_hw[part], hw).to(images_NHW.device, non_blocking=True)
            levels = images_NHW[part].to(torch.float32) / self._max_level
            places, is_found = find_peaks(top_hat(levels), valid, self._config.peaks, self._config.radius_px)
            centres = torch.where(is_found[:, :, None], places.float(), torch.nan)
            result[part] = discs(centres, hw, self._config.radius_px).to(torch.uint8)
        return result


def _valid(valid_hw: Indices, hw: tuple[int, int]) -> Tensor:
    """Return where frames of given sizes stand on the canvas, bool (B, H, W)."""
    rows, cols = (torch.arange(size) < torch.from_numpy(valid_hw[:, axis, None]) for axis, size in enumerate(hw))
    return rows[:, :, None] & cols[:, None, :]
