"""Everything random about one frame, decided before any signal is seen."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene import grain
from synth.scene.badpixels import BLINKING
from synth.scene.camera import VirtualCamera
from synth.scene.noise_members import FRESH_TERMS
from synth.scene.walk import WALK_STAY, relax

Line = npt.NDArray[np.float32]


class FrameNoise(NamedTuple):
    """All draws of one frame.

    Attributes:
        key: Decides the draw of every pixel.
        row_dn: float32 (H,), frame level and row terms, fixed ones included.
        column_dn: float32 (W,), column terms, 1/f walk included.
        defect_dn: float64 (n,), stuck level or excess of each defect in this frame.
    """

    key: grain.GrainKey
    row_dn: Line
    column_dn: Line
    defect_dn: npt.NDArray[np.float64]


def draw_noise(camera: VirtualCamera, *, rng: np.random.Generator) -> FrameNoise:
    """Draw the noise of one frame: fresh temporal terms on the camera's fixed ones.

    The fresh terms are those of :data:`synth.scene.noise_members.NOISE_MEMBERS`, sampled in the order of
    :data:`~synth.scene.noise_members.FRESH_TERMS`, all in one call.

    Args:
        camera: The camera.
        rng: Noise stream of the frame.
    """
    words = rng.bit_generator.random_raw(2 + 2 * len(FRESH_TERMS))
    key = grain.GrainKey(words[0], words[1])
    row_dn, column_dn = _sum_terms(words[2:].reshape(-1, 2), camera.fresh_sigmas_dn, camera.row_dn, camera.column_dn)
    return FrameNoise(key, row_dn, column_dn, _defects_now(camera.defects.kinds, camera.defects.levels_dn, key.high, key.low))


@numba.njit(cache=True, nogil=True)
def _sum_terms(
    keys: npt.NDArray[np.uint64], sigmas: tuple[float, float, float, float], v: FloatImage, h: FloatImage
) -> tuple[Line, Line]:
    """Return all that belongs to rows (H,) and all that belongs to columns (W,).

    Args:
        keys: uint64 (4, 2), a key for each of the terms t, tv, th and column_walk.
        sigmas: Their standard deviations, DN.
        v: float32 (H, 1), fixed row pattern.
        h: float32 (1, W), fixed column pattern.
    """
    level, rows, cols = np.empty(1, np.float32), np.empty(v.shape[0], np.float32), np.empty(h.shape[1], np.float32)
    steps = np.empty((len(WALK_STAY), cols.size), np.float32)
    grain.fill_field(level, sigmas[0], keys[0, 0], keys[0, 1])
    grain.fill_field(rows, sigmas[1], keys[1, 0], keys[1, 1])
    grain.fill_field(cols, sigmas[2], keys[2, 0], keys[2, 1])
    grain.fill_field(steps.reshape(-1), 1.0, keys[3, 0], keys[3, 1])
    walk, scale = relax(steps), np.float32(sigmas[3])
    for i in range(rows.size):
        rows[i] = v[i, 0] + rows[i] + level[0]
    for j in range(cols.size):
        cols[j] = h[0, j] + cols[j] + scale * walk[j]
    return rows, cols


@numba.njit(cache=True, nogil=True)
def _defects_now(
    kinds: npt.NDArray[np.int64], levels_dn: npt.NDArray[np.float64], low: np.uint64, high: np.uint64
) -> npt.NDArray[np.float64]:
    """Return the level of every defect; a blinking one is off in half of the frames. No pixel uses the key in this order."""
    out = levels_dn.copy()
    for k in range(out.size):
        if kinds[k] == BLINKING and grain.unit(grain.bits_at(low, high, np.uint64(k))) < 0.5:
            out[k] = 0.0
    return out
