"""Noise displacement: a window of the bank, enlarged to the canvas, mixed into an image at weight alpha.

Source: SIRST-5K, luy0222/SIRST-5K codes/Mix_Rot/add_noise.py: ``I_mix = alpha * N + (1 - alpha) * I``, both in [0, 1],
clipped and rounded to 8 bit. Ours works in float32 from the native levels and rounds once, on export; it never resizes the
image; the options of :class:`~synth.noise.windows.NoiseConfig` change how N is made. All arithmetic is exactly rounded
(+, -, *, /, sqrt), so the bytes do not depend on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from synth.noise.fluctuation import fluctuation, fluctuation_std
from synth.noise.windows import NoiseConfig
from synth.sample import Levels

Grain = npt.NDArray[np.float32]
Lines = npt.NDArray[np.int64]

CALIBRATED_RATIO = (0.5, 2.0)
"""Injected over own standard deviation under ``gain: calibrated`` (our choice)."""


@dataclass(frozen=True, slots=True)
class MixPlan:
    """The draws of one mixing.

    Attributes:
        gain: Factor on the window's fluctuation.
        tiles: int64 (tile rows, tile cols, 3): for every tile of the quilt the row and col it starts at in the mirrored
            window, and 1 where it is transposed; empty for the other enlargements.
    """

    gain: float
    tiles: npt.NDArray[np.int64]


class NoiseMixer:
    """Mixes noise windows into canvases of one size.

    Args:
        config: How windows are prepared.
        canvas_hw: Size of the canvases.
    """

    def __init__(self, config: NoiseConfig, canvas_hw: tuple[int, int]) -> None:
        self._config, self._hw = config, canvas_hw
        is_quilt = config.upsample == "reflect_quilt"
        self._quilt = np.empty(canvas_hw if is_quilt else (0, 0), np.float32)
        self._wide = np.empty((canvas_hw[0] if is_quilt else config.window_px, canvas_hw[1]), np.float32)
        self._taps = tuple(tap for size in canvas_hw for tap in self._axis_taps(size))

    def draw(self, patch: npt.NDArray[np.uint8], alpha: float, own_std: float, rng: np.random.Generator) -> MixPlan:
        """Draw gain and quilt for one mixing.

        Args:
            patch: uint8 (s, s), the window.
            alpha: Weight of the noise, in [0, 1].
            own_std: Standard deviation of the source frame's own noise, DN.
            rng: Generator of the draws.
        """
        gain = self._config.gain
        tiles = np.empty((0, 0, 3), np.int64)
        if self._config.upsample == "reflect_quilt":
            side = self._config.window_px
            num_rows, num_cols = (-(-size // side) for size in self._hw)
            tiles = rng.integers(0, (2 * side, 2 * side, 2), size=(num_rows, num_cols, 3))
        if gain == "calibrated":
            low, high = CALIBRATED_RATIO
            ratio = low + (high - low) * rng.random()
            std = float(fluctuation_std(patch[None], self._config.detrend)[0])
            gain = ratio * own_std / (alpha * std) if alpha * std > 0 else 0.0
        return MixPlan(float(gain), tiles)

    def mix(self, levels: Levels, max_level: int, patch: npt.NDArray[np.uint8], alpha: float, plan: MixPlan, out: Levels) -> None:
        """Write the mixed image.

        Args:
            levels: uint8 or uint16 canvas (H, W).
            max_level: Level that stands for 1.0 in ``levels``.
            patch: uint8 (s, s), the window, grey levels of 0..255.
            alpha: Weight of the noise, in [0, 1].
            plan: The draws of :meth:`draw`.
            out: uint8 or uint16 canvas (H, W), overwritten; its full range stands for 1.0.
        """
        prepared = self._prepare(patch, plan.gain)
        if self._config.upsample == "reflect_quilt":
            _sew(prepared, plan.tiles, self._quilt)
            prepared = self._quilt
        top = float(np.iinfo(out.dtype).max)
        image_weight = 1.0 if self._config.dc == "zero_mean" else 1.0 - alpha
        weights = np.float32(image_weight * top / max_level), np.float32(alpha * top / 255.0), np.float32(top)
        _mix(levels, prepared, *self._taps, *weights, self._wide, out)  # type: ignore[arg-type, call-arg]

    def _prepare(self, patch: npt.NDArray[np.uint8], gain: float) -> npt.NDArray[np.float32]:
        """Return mean (if kept) + gain * fluctuation, DN."""
        if gain == 1.0 and self._config.dc == "keep" and self._config.detrend == "none":
            return patch.astype(np.float32)
        mean = patch.mean() if self._config.dc == "keep" else 0.0
        return np.asarray(mean + gain * fluctuation(patch[None], self._config.detrend)[0], dtype=np.float32)

    def _axis_taps(self, size: int) -> tuple[npt.NDArray[Any], ...]:
        """Return, along one axis, the two lines of the noise each canvas line blends and the second's weight."""
        side = self._config.window_px
        if self._config.upsample == "bilinear":  # half-pixel centres, edges clamped
            position = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
            first = position.astype(np.int64)
            return first, np.minimum(first + 1, side - 1), (position - first).astype(np.float32)
        line = np.arange(size) % side if self._config.upsample == "tile" else np.arange(size)
        return line, line, np.zeros(size, np.float32)


@njit(cache=True, nogil=True)
def _sew(patch: Grain, tiles: npt.NDArray[np.int64], out: Grain) -> None:
    """Fill a canvas with pieces of the mirrored, endlessly repeated window; only grain survives, no pattern repeats."""
    side = patch.shape[0]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            tile = tiles[y // side, x // side]
            row, col = (tile[0] + y % side) % (2 * side), (tile[1] + x % side) % (2 * side)
            row, col = min(row, 2 * side - 1 - row), min(col, 2 * side - 1 - col)
            out[y, x] = patch[col, row] if tile[2] else patch[row, col]


@njit(cache=True, nogil=True)
def _mix(
    levels: Levels, patch: Grain, row0: Lines, row1: Lines, row_w: Grain, col0: Lines, col1: Lines, col_w: Grain,
    image_weight: np.float32, noise_weight: np.float32, top: np.float32, wide: Grain, out: npt.NDArray[np.uint16],
) -> None:  # fmt: skip
    height, width = out.shape
    for r in range(patch.shape[0]):
        for x in range(width):
            left = patch[r, col0[x]]
            wide[r, x] = (left + col_w[x] * (patch[r, col1[x]] - left)) * noise_weight
    half, zero = np.float32(0.5), np.float32(0.0)
    for y in range(height):
        upper, lower, weight = wide[row0[y]], wide[row1[y]], row_w[y]
        line, target = levels[y], out[y]
        for x in range(width):
            noise = upper[x] + weight * (lower[x] - upper[x])
            value = image_weight * np.float32(line[x]) + noise
            target[x] = np.uint16(min(max(value, zero), top) + half)
