"""Defective pixels: where they are, what they do, and how a camera hides those it knows.

All strengths are assumptions in the absence of published distributions: a dead pixel is stuck in the lower third of the
range, a hot one has an excess and a blinking one a jump of 10-200 and 5-30 times the temporal noise, log-uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from synth.scene.draws import log_uniform, sign, uniform
from synth.scene.sensor_config import SensorConfig

DEAD, HOT, BLINKING = 0, 1, 2
"""Codes of ``DefectMap.kinds``."""

HOT_EXCESS_SIGMAS = (10.0, 200.0)
BLINK_JUMP_SIGMAS = (5.0, 30.0)
DEAD_LEVELS = (0.0, 1.0 / 3.0)

_REACH_PX = 2  # neighbours up to this distance may replace a defect; clusters of 4 never surround it
_MAX_NEIGHBOURS = 8

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DefectMap:
    """The defects of one camera, in raster order.

    Attributes:
        pixels: int64 (n,), row * W + col, no two alike.
        kinds: int64 (n,), ``DEAD``, ``HOT`` or ``BLINKING``.
        levels_dn: float64 (n,): stuck level of a dead pixel, excess or jump of the others.
        neighbours: int64 (n, 8): good pixels that replace a known defect, nearest first, -1 padded; all -1 where the
            camera does not know the defect.
    """

    pixels: Indices
    kinds: Indices
    levels_dn: npt.NDArray[np.float64]
    neighbours: Indices


def draw_defects(sensor: SensorConfig, hw: tuple[int, int], *, rng: np.random.Generator) -> DefectMap:
    """Draw the defects of a camera.

    Args:
        sensor: Rates and noise.
        hw: Rows and columns.
        rng: Camera stream.

    Returns:
        The map; the number of each kind is Poisson around its rate.
    """
    rates = sensor.bad_pixels
    found: dict[int, tuple[int, float, bool]] = {}
    for kind, rate in ((DEAD, rates.dead_rate), (HOT, rates.hot_rate), (BLINKING, rates.blinking_rate)):
        wanted = int(rng.poisson(rate * hw[0] * hw[1])) + len(found)
        while len(found) < min(wanted, hw[0] * hw[1] // 4):
            known = rates.replacement and rng.random() >= rates.missed_share
            for pixel in _draw_cluster(rng, hw, rates.cluster_share, wanted - len(found)):
                found.setdefault(pixel, (kind, _draw_level(rng, sensor, kind), known))
    pixels = np.array(sorted(found), np.int64)
    known_mask = np.array([found[pixel][2] for pixel in pixels.tolist()], np.bool_)
    return DefectMap(
        pixels=pixels,
        kinds=np.array([found[pixel][0] for pixel in pixels.tolist()], np.int64),
        levels_dn=np.array([found[pixel][1] for pixel in pixels.tolist()], np.float64),
        neighbours=_good_neighbours(pixels, known_mask, hw),
    )


def _draw_cluster(rng: np.random.Generator, hw: tuple[int, int], cluster_share: float, most: int) -> list[int]:
    """Return one pixel, or 2-4 connected ones."""
    row, col = int(rng.integers(hw[0])), int(rng.integers(hw[1]))
    size = min(int(rng.integers(2, 5)) if rng.random() < cluster_share else 1, most)
    pixels = [row * hw[1] + col]
    while len(pixels) < size:
        row = min(max(row + int(rng.integers(-1, 2)), 0), hw[0] - 1)
        col = min(max(col + int(rng.integers(-1, 2)), 0), hw[1] - 1)
        if row * hw[1] + col not in pixels:
            pixels.append(row * hw[1] + col)
    return pixels


def _draw_level(rng: np.random.Generator, sensor: SensorConfig, kind: int) -> float:
    if kind == DEAD:
        return uniform(rng, *DEAD_LEVELS) * sensor.raw_max
    if kind == HOT:
        return log_uniform(rng, *HOT_EXCESS_SIGMAS) * sensor.sigma_tvh_dn
    return sign(rng) * log_uniform(rng, *BLINK_JUMP_SIGMAS) * sensor.sigma_tvh_dn


@numba.njit(cache=True, nogil=True)
def _good_neighbours(pixels: Indices, known: npt.NDArray[np.bool_], hw: tuple[int, int]) -> Indices:
    """Return up to 8 defect-free pixels around each known defect: the 3x3 ring first, then the 5x5 ring."""
    bad = np.zeros(hw, np.bool_)
    for pixel in pixels:
        bad[pixel // hw[1], pixel % hw[1]] = True
    out = np.full((pixels.size, _MAX_NEIGHBOURS), -1, np.int64)
    for k in range(pixels.size):
        row, col = pixels[k] // hw[1], pixels[k] % hw[1]
        num = 0
        for reach in range(1, _REACH_PX + 1):
            for i in range(max(row - reach, 0), min(row + reach + 1, hw[0])):
                for j in range(max(col - reach, 0), min(col + reach + 1, hw[1])):
                    on_ring = max(abs(i - row), abs(j - col)) == reach
                    if known[k] and on_ring and not bad[i, j] and num < _MAX_NEIGHBOURS:
                        out[k, num] = i * hw[1] + j
                        num += 1
            if num >= 3:  # a median of three is already robust; farther pixels would only blur
                break
    return out
