"""What views mix into frames: quiet noise windows and donor targets, collected from the pools that are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from pretrain.frames import FramePool
from synth.errors import SourceError
from synth.noise import NoiseConfig, Reservoir, accept_windows
from synth.rng import Stream, keyed_hash
from synth.sample import Frame
from synth.targets import SCR_GUARD_PX

DONOR_PX = 32
"""Side of a donor's square (our choice): 99 % of the targets of the NUDT and NUAA training lists fit."""
DONOR_SKIRT_PX = 2
"""How far around its mask a target's light is taken along (our choice: two sigmas of a common point-spread function)."""
MAX_DONORS = 4096
"""Donors kept, by keyed hash (our choice): 17 MB, more targets than any real set trains on."""
MAX_NOISE_FRAMES = 2048
"""Frames of a pool that are searched for noise windows when its store keeps none (our choice)."""

_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True, eq=False)
class Donors:
    """Targets to paste.

    Attributes:
        excess_KSS: float32, image minus the mean of the target's surroundings, in [0, 1] units; 0 off the target.
        masks_KSS: float32 in {0, 1}.
    """

    excess_KSS: Tensor
    masks_KSS: Tensor

    def __len__(self) -> int:
        return len(self.excess_KSS)


def collect_donors(pools: Sequence[FramePool], seed: int, device: torch.device | str) -> Donors:
    """Cut the targets of pools out of their backgrounds.

    Targets that do not fit into a square of ``DONOR_PX`` are left out; of more than ``MAX_DONORS`` a keyed choice is taken.

    Args:
        pools: The pools.
        seed: Seed of the choice.
        device: Where the donors go.

    Raises:
        SourceError: There is none.
    """
    found = []
    for number, pool in enumerate(pools):
        owner = np.repeat(np.arange(len(pool)), np.diff(pool.first_target))
        hashes = keyed_hash(seed, Stream.RESERVOIR, np.int64(number), np.arange(pool.num_targets))
        chosen = np.sort(np.argsort(hashes, kind="stable")[: MAX_DONORS // len(pools)])
        for index in np.unique(owner[chosen]).tolist():
            frame = pool.frame(index)
            found += [donor for t in chosen[owner[chosen] == index] if (donor := _cut_out(frame, pool.centres_rc[t])) is not None]
    if not found:
        raise SourceError(f"{', '.join(pool.name for pool in pools)}: no target fits a square of {DONOR_PX} px; nothing to paste")
    excess, masks = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*found, strict=True))
    return Donors(excess, masks)


def collect_noise(pools: Sequence[FramePool], device: torch.device | str) -> Tensor:
    """Return the noise windows of pools: those their stores keep, else those the released rule finds in their frames.

    Args:
        pools: The pools.
        device: Where the windows go.

    Returns:
        float32 (M, s, s) in [0, 1].

    Raises:
        SourceError: There is none, or stores keep windows of other sides.
    """
    banks = [pool.noise_MSS if len(pool.noise_MSS) else _sample_noise(pool) for pool in pools]
    sides = {bank.shape[1] for bank in banks if len(bank)}
    if not sides:
        raise SourceError(f"{', '.join(pool.name for pool in pools)}: no quiet noise window in any frame; turn noise mixing off")
    if len(sides) > 1:
        raise SourceError(f"noise windows must have one side, got {sorted(sides)} px; use stores with the same noise.window_px")
    windows = np.concatenate([bank for bank in banks if len(bank)])
    return torch.from_numpy(windows).to(device).to(torch.float32) / 255.0


def _sample_noise(pool: FramePool) -> npt.NDArray[np.uint8]:
    config = NoiseConfig()
    reservoir = Reservoir(0, config.window_px, config.max_windows)
    for index in range(min(len(pool), MAX_NOISE_FRAMES)):
        reservoir.add(0, index, accept_windows([pool.frame(index)], config)[0])
    return reservoir.bank().patch


def _cut_out(frame: Frame, centre_rc: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return excess and mask of the target nearest to a centre, or None when it reaches out of the square or frame."""
    assert frame.mask is not None
    row, col = (int(np.clip(round(c) - DONOR_PX // 2, 0, max(n - DONOR_PX, 0))) for c, n in zip(centre_rc, frame.hw, strict=True))
    square = slice(row, row + DONOR_PX), slice(col, col + DONOR_PX)
    mask, levels = frame.mask[square] > 0, frame.levels[square].astype(np.float32) / np.float32(frame.max_level)
    if mask.shape != (DONOR_PX, DONOR_PX) or not mask.any():
        return None
    labels, _ = ndimage.label(mask, _EIGHT)
    at = np.argwhere(mask)
    own = labels == labels[tuple(at[((at - (centre_rc - (row, col))) ** 2).sum(axis=1).argmin()])]
    lit = ndimage.binary_dilation(own, _EIGHT, DONOR_SKIRT_PX) & ~(mask & ~own)
    background = ~ndimage.binary_dilation(mask, _EIGHT, SCR_GUARD_PX)
    edge = np.ones_like(own)
    edge[1:-1, 1:-1] = False
    if (own & edge).any() or not background.any():
        return None
    return np.where(lit, levels - levels[background].mean(), 0).astype(np.float32), own.astype(np.float32)
