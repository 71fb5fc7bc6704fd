"""Which windows of a frame sequence are noise: statistics on a grid, and the acceptance rule.

Source: SIRST-5K (Lu et al., TGRS 2024), luy0222/SIRST-5K codes/Noise_Sampling/Noise_Sampling.py. A window is rejected at
the first frame whose variance reaches the ceiling or whose mean does not exceed the bound; over a sequence the variances
of its means and of its variances must stay small as well. Ours differs: the whole grid is used (the released loops miss
the last row and column), exactly constant windows are dropped (the paper's figure demands Var > 0, its code does not) and
windows that touch a target are dropped; ``legacy`` brings the released behaviour back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from synth.noise.fluctuation import Detrend
from synth.sample import Frame


class NoiseConfig(BaseModel):
    """How noise is sampled and prepared. All levels are grey levels of 0..255; the defaults are the faithful ones.

    Attributes:
        source: ``same`` samples the source frames; otherwise a folder of frames (sub-folders are sequences).
        split_list: Name of the family of lists of that folder, or null for the official one. Like ``max_level`` it is no part
            of what a store records where it is null, so that stores from before there was the key go on.
        max_level: Level that stands for 1.0 in 16-bit files of that folder (16383 for 14-bit data), or null for that of the
            source frames, ``source.max_level``.
        window_px: Side of the square window (released: 32; the paper's figure: h/8).
        stride_px: Step of the grid (released: the side).
        var_min: Variance must exceed this, DN^2 (figure: 0).
        var_max: Variance must stay below this, DN^2 (released: 50).
        mean_min: Mean must exceed this, DN (released: 0).
        mean_max: Mean must stay below this, DN; the figure has such a bound, the code has none.
        seq_var_max: Ceiling of the variance, over a sequence, of the window variances, DN^4 (released: 50).
        seq_mean_max: Ceiling of the variance, over a sequence, of the window means, DN^2 (released: 50).
        peak_max_sigma: Drop windows with a pixel further than this many of their standard deviations from their mean: dots
            and edges, not noise (1024 normal draws pass 5 with probability 0.999). Released: no such test.
        exclude_targets: Drop windows that touch a mask (298 of the 16,876 NUDT windows would otherwise hold targets).
        max_windows: Size of the bank; beyond it a keyed reservoir decides, whatever the order.
        upsample: From window to canvas: ``bilinear`` stretch (released), ``tile``, or ``reflect_quilt`` (drawn pieces of
            the mirrored window: keeps the grain, repeats no pattern).
        dc: ``keep`` the window's mean, so that mixing scales contrast by 1 - alpha and adds a pedestal (released), or
            ``zero_mean``: only the fluctuation is added, to the unscaled image.
        detrend: What is taken from the window besides its mean: nothing (released), its least-squares ``plane``, or its
            ``local_mean``, which leaves the grain and no scene texture.
        gain: Factor on the fluctuation, or ``calibrated``: drawn so that the injected standard deviation is 0.5 to 2
            times that of the source frame's own quiet windows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(default="same", min_length=1)
    split_list: str | None = Field(default=None, exclude_if=lambda name: name is None)
    max_level: int | None = Field(default=None, ge=1, le=65_535, exclude_if=lambda level: level is None)
    window_px: int = Field(default=32, ge=4, le=256)
    stride_px: int = Field(default=32, ge=1, le=256)
    var_min: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    var_max: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    mean_min: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    mean_max: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    seq_var_max: float = Field(default=50.0, ge=0, allow_inf_nan=False)
    seq_mean_max: float = Field(default=50.0, ge=0, allow_inf_nan=False)
    peak_max_sigma: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    exclude_targets: bool = True
    max_windows: int = Field(default=65_536, ge=1, le=1_048_576)
    upsample: Literal["bilinear", "tile", "reflect_quilt"] = "bilinear"
    dc: Literal["keep", "zero_mean"] = "keep"
    detrend: Detrend = "none"
    gain: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] | Literal["calibrated"] = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Accepted windows of one frame.

    Attributes:
        patch: uint8 (n, s, s), grey levels of 0..255.
        row: int64 (n,), first row of each window in its frame.
        col: int64 (n,), first column.
        mean: float64 (n,), DN.
        variance: float64 (n,), population variance, DN^2.
    """

    patch: npt.NDArray[np.uint8]
    row: npt.NDArray[np.int64]
    col: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)


def accept_windows(frames: Sequence[Frame], config: NoiseConfig, *, released_grid: bool = False) -> list[Windows]:
    """Sample the quiet windows of one sequence.

    Args:
        frames: Frames of one scene, equally sized, in time order; a lone image is a sequence of one, for which the two
            sequence tests are 0.
        config: Thresholds.
        released_grid: Stop the grid at size - side exclusive as the released loops do (49 of 64 windows at 256/32).

    Returns:
        One :class:`Windows` a frame, all with the same positions.
    """
    side, stride = config.window_px, config.stride_px
    stacks = [_window_grid(_grey_levels(frame), side, stride, released_grid) for frame in frames]
    grid_hw = stacks[0].shape[:2]
    moments = np.stack([_moments(stack) for stack in stacks])  # (T, 2, rows, cols)
    mean, variance = moments[:, 0], moments[:, 1]
    quiet = ((variance > config.var_min) & (variance < config.var_max) & (mean > config.mean_min)).all(axis=0)
    if config.mean_max is not None:
        quiet &= (mean < config.mean_max).all(axis=0)
    quiet &= (variance.var(axis=0) <= config.seq_var_max) & (mean.var(axis=0) <= config.seq_mean_max)
    if config.peak_max_sigma is not None:
        for stack, (mean_t, variance_t) in zip(stacks, moments, strict=True):
            deviation = np.maximum(stack.max(axis=(2, 3)) - mean_t, mean_t - stack.min(axis=(2, 3)))
            quiet &= deviation <= config.peak_max_sigma * np.sqrt(variance_t)
    if config.exclude_targets:
        for frame in frames:
            if frame.mask is not None:
                quiet &= ~_window_grid(frame.mask, side, stride, released_grid).any(axis=(2, 3)).reshape(grid_hw)
    at = np.nonzero(quiet)
    return [
        Windows(np.ascontiguousarray(stack[at]), at[0] * stride, at[1] * stride, mean[t][at], variance[t][at])
        for t, stack in enumerate(stacks)
    ]


def _grey_levels(frame: Frame) -> npt.NDArray[np.uint8]:
    """Levels on the 8-bit scale, where the thresholds live and the bank stores its patches."""
    if frame.max_level == 255:
        return frame.levels.astype(np.uint8, copy=False)
    scaled = frame.levels.astype(np.uint32) * 255 + frame.max_level // 2
    return np.asarray(scaled // frame.max_level).clip(0, 255).astype(np.uint8)


def _window_grid(levels: npt.NDArray[np.uint8], side: int, stride: int, released_grid: bool) -> npt.NDArray[np.uint8]:
    """View a frame as (rows, cols, side, side) windows; no window where the frame is smaller than one."""
    height, width = levels.shape
    if height < side or width < side:
        return np.empty((0, 0, side, side), np.uint8)
    grid = np.lib.stride_tricks.sliding_window_view(levels, (side, side))[::stride, ::stride]
    if released_grid:
        grid = grid[: -(-(height - side) // stride), : -(-(width - side) // stride)]
    return grid


def _moments(grid: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean and population variance of every window, from exact integer sums: (2, rows, cols).

    Squares are made one row of windows at a time: all windows of a small stride are a thousand times the frame.
    """
    count = grid.shape[2] * grid.shape[3]
    total, squares = grid.sum(axis=(2, 3), dtype=np.int64), np.empty(grid.shape[:2], np.int64)
    for row, windows in zip(squares, grid, strict=True):
        np.square(windows, dtype=np.uint16).sum(axis=(1, 2), dtype=np.int64, out=row)  # 255^2 fits 16 bits
    return np.stack([total / count, (count * squares - total * total) / (count * count)])
