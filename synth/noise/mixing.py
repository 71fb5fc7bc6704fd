"""Noise displacement: a window of the bank, enlarged to the canvas, mixed into an image at weight alpha.

Source: SIRST-5K, luy0222/SIRST-5K codes/Mix_Rot/add_noise.py: ``I_mix = alpha * N + (1 - alpha) * I``, both in [0, 1],
clipped and rounded to 8 bit. Ours works in float32 from the native levels and rounds once, on export; it never resizes the
image; the options of :class:`~synth.noise.windows.NoiseConfig` change how N is made. All arithmetic is exactly rounded
(+, -, *, /, sqrt), so the bytes do not depend on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from synth.noise.windows import NoiseConfig
from synth.sample import Levels

CALIBRATED_RATIO = (0.5, 2.0)
"""Injected over own standard deviation under ``gain: calibrated`` (our choice)."""


@dataclass(frozen=True, slots=True)
class MixPlan:
    """The draws of one mixing.

    Attributes:
        gain: Factor on the window's fluctuation.
        offset_rc: Phase of the mirrored tiles; (0, 0) for the other enlargements.
    """

    gain: float
    offset_rc: tuple[int, int]


class NoiseMixer:
    """Mixes noise windows into canvases of one size.

    Args:
        config: How windows are prepared.
        canvas_hw: Size of the canvases.
    """

    def __init__(self, config: NoiseConfig, canvas_hw: tuple[int, int]) -> None:
        self._config, self._hw = config, canvas_hw
        self._wide = np.empty((config.window_px, canvas_hw[1]), np.float32)
        self._plain_taps = self._taps((0, 0))

    def draw(self, patch: npt.NDArray[np.uint8], alpha: float, own_std: float, rng: np.random.Generator) -> MixPlan:
        """Draw gain and phase for one mixing.

        Args:
            patch: uint8 (s, s), the window.
            alpha: Weight of the noise, in [0, 1].
            own_std: Standard deviation of the source frame's own quiet windows, DN.
            rng: Generator of the draws.
        """
        offset, gain = (0, 0), self._config.gain
        if self._config.upsample == "reflect_quilt":
            row, col = rng.integers(0, 2 * self._config.window_px, size=2).tolist()
            offset = (row, col)
        if gain == "calibrated":
            low, high = CALIBRATED_RATIO
            ratio = low + (high - low) * rng.random()
            std = self._fluctuation(patch)[1]
            gain = ratio * own_std / (alpha * std) if alpha * std > 0 else 0.0
        return MixPlan(float(gain), offset)

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
        taps = self._plain_taps if plan.offset_rc == (0, 0) else self._taps(plan.offset_rc)
        top = float(np.iinfo(out.dtype).max)
        image_weight = 1.0 if self._config.dc == "zero_mean" else 1.0 - alpha
        weights = np.float32(image_weight * top / max_level), np.float32(alpha * top / 255.0), np.float32(top)
        _mix(levels, prepared, *taps, *weights, self._wide, out)  # type: ignore[call-arg]

    def _fluctuation(self, patch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], float]:
        """Return the zero-mean (and detrended) window and its standard deviation."""
        values = patch.astype(np.float64)
        values -= values.mean()
        if self._config.detrend == "plane":
            values -= _plane(values)
        return values, float(np.sqrt(np.mean(values * values)))

    def _prepare(self, patch: npt.NDArray[np.uint8], gain: float) -> npt.NDArray[np.float32]:
        """Return mean (if kept) + gain * fluctuation, DN."""
        if gain == 1.0 and self._config.dc == "keep" and self._config.detrend == "none":
            return patch.astype(np.float32)
        mean = patch.mean() if self._config.dc == "keep" else 0.0
        return np.asarray(mean + gain * self._fluctuation(patch)[0], dtype=np.float32)

    def _taps(self, offset_rc: tuple[int, int]) -> tuple[npt.NDArray[np.generic], ...]:
        """Return, for rows then columns, the two window lines each canvas line blends and the second's weight."""
        side, taps = self._config.window_px, []
        for size, offset in zip(self._hw, offset_rc, strict=True):
            if self._config.upsample == "bilinear":  # half-pixel centres, edges clamped
                position = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
                first = position.astype(np.int64)
                taps += [first, np.minimum(first + 1, side - 1), (position - first).astype(np.float32)]
                continue
            line = (np.arange(size) + offset) % (2 * side)
            line = line % side if self._config.upsample == "tile" else np.minimum(line, 2 * side - 1 - line)
            taps += [line, line, np.zeros(size, np.float32)]
        return tuple(taps)


def _plane(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least-squares plane of a zero-mean square window (its axes are orthogonal, so two sums solve it)."""
    axis = np.arange(len(values)) - (len(values) - 1) / 2
    norm = (axis * axis).sum() * len(values)
    slope_row, slope_col = (values * axis[:, None]).sum() / norm, (values * axis[None, :]).sum() / norm
    return np.asarray(slope_row * axis[:, None] + slope_col * axis[None, :])


@njit(cache=True, nogil=True)
def _mix(levels, patch, row0, row1, row_w, col0, col1, col_w, image_weight, noise_weight, top, wide, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
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
