"""Overcast regime: diffuse cloud that fills the frame, from featureless haze to strands of cirrus.

Half of the published sky frames show no outlined cloud but soft banks and strands (by eye, on the training lists of SIRST
v1 and NUDT). Soft banks are a wide cubic step of a smooth field; strands are the crests of an elongated field, shown
where a patch field lets them.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage
from synth.scene.draws import chance, log_uniform, uniform
from synth.scene.sheets import FieldSource
from synth.scene.sky import elevation_gradient


def overcast(rng: np.random.Generator, hw: tuple[int, int], fields: FieldSource) -> FloatImage:
    """Render banks and strands over a weak gradient.

    Args:
        rng: Scene stream of the frame.
        hw: Rows and columns of the canvas.
        fields: Where textures come from.

    Returns:
        float32 (H, W) apparent temperature, K.
    """
    scene = elevation_gradient(rng, hw, log_uniform(rng, 0.05, 4.0))
    span = log_uniform(rng, 0.2, 14.0)
    turns = float(rng.random())
    bank = fields.field(rng, hw=hw, beta=uniform(rng, 3.3, 4.0), stretch=uniform(rng, 1.0, 2.5), turns=turns)
    patch = fields.field(rng, hw=hw, beta=uniform(rng, 2.9, 3.5), f0=1 / 220, stretch=uniform(rng, 1.0, 2.0), turns=turns)
    strands = bank
    strength = 0.0
    if chance(rng, 0.55):
        lean = (turns + uniform(rng, -0.1, 0.1)) % 1.0
        strands = fields.field(rng, hw=hw, beta=uniform(rng, 3.1, 3.7), f0=1 / 160, stretch=uniform(rng, 2.0, 6.0), turns=lean)
        strength = uniform(rng, 0.1, 0.8)
    onset = uniform(rng, -1.6, 0.4)
    look = np.array(
        (
            onset, 1.0 / uniform(rng, 1.5, 4.0), uniform(rng, 0.05, 0.4), strength,
            uniform(rng, 0.5, 1.6), uniform(rng, -0.6, 0.9), span,
        ),
        dtype=np.float32,
    )  # fmt: skip
    _add_banks(scene, bank, patch, strands, look)
    return scene


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_banks(
    scene: FloatImage, bank: FloatImage, patch: FloatImage, strands: FloatImage, look: npt.NDArray[np.float32]
) -> None:
    onset, slope, mottle, strength, width, patch_onset, kelvin = look
    zero, one, two, three = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(3.0)
    crest = one / width
    for i in range(scene.shape[0]):
        into, soft, rough, lines = scene[i], bank[i], patch[i], strands[i]
        for j in range(into.size):
            cover = min(max((soft[j] - onset) * slope, zero), one)
            cover = cover * cover * (three - two * cover)
            shown = min(max((rough[j] - patch_onset) * np.float32(0.7), zero), one)
            strand = min(max(lines[j] * crest, zero), one)
            strand = strand * strand * (three - two * strand)
            into[j] += kelvin * (cover * (one + mottle * rough[j]) + strength * shown * strand)
