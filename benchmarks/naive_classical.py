"""Classical methods as their released codes have them, with scipy in place of MATLAB's image functions. Run by classical.py.

The low-rank methods cut and join patches as ours do; what differs is the loop, with full singular value decompositions by the
library ours uses and all Fourier slices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from finetune.classical.patches import patch_grid
from finetune.classical.pstnn import corner_prior

Grey = npt.NDArray[np.float64]
Slices = npt.NDArray[np.complex128]


def tllcm(grey: Grey) -> Grey:
    """Return TLLCM of one frame in grey levels: 72 rank filters over 27x27 windows (moradisaed/TLLCM)."""
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    core = ndimage.correlate(grey, kernel, mode="nearest")
    surroundings = np.zeros_like(grey)
    for row, col in ((r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)):
        cell = np.zeros((27, 27), bool)
        cell[9 * row : 9 * row + 9, 9 * col : 9 * col + 9] = True
        ranks = [ndimage.rank_filter(grey, 81 - k, footprint=cell, mode="constant") for k in range(1, 10)]
        surroundings = np.maximum(surroundings, np.mean(ranks, axis=0))
    return np.maximum(core**2 / np.maximum(surroundings, 1e-12) - core, 0.0)


def ipi(grey: Grey) -> Grey:
    """Return IPI of one frame: A, E and both gradient points in full, one economy SVD a step (APG_IR.m)."""
    frames = torch.from_numpy(grey)[None, None]
    grid = patch_grid((grey.shape[0], grey.shape[1]), 50, 10)
    scale = frames.max() - frames.min()
    patches = grid.split((frames - frames.min()) / scale)
    d = patches[0].flatten(1).T.contiguous()
    weight, s = max(grey.shape) ** -0.5, torch.linalg.svdvals(d)
    mu, mu_bound = float(s[1]) * (1 + 1e-6), 0.005 * float(s[3])
    a = a_before = e = e_before = torch.zeros_like(d)
    t = t_before = 1.0
    steady = rank_before = card_before = 0
    for _ in range(1000):
        y_a, y_e = a + (t_before - 1) / t * (a - a_before), e + (t_before - 1) / t * (e - e_before)
        g_a, g_e = y_a - 0.5 * (y_a + y_e - d), y_e - 0.5 * (y_a + y_e - d)
        u, s, vh = torch.linalg.svd(g_a, full_matrices=False)
        a_before, a = a, u @ torch.diag((s - mu / 2).clamp(min=0.0)) @ vh
        e_before, e = e, g_e.sign() * (g_e.abs() - weight * mu / 2).clamp(min=0.0)
        rank, card = int((s > mu / 2).sum()), int((e.abs() > 0).sum())
        both = a + e - y_a - y_e
        gradient = torch.cat([2 * (y_a - a) + both, 2 * (y_e - e) + both]).norm()
        done = bool(gradient <= 2e-6 * max(1.0, float(torch.cat([a, e]).norm()))) or rank > 0.3 * min(d.shape)
        steady, card_before = (steady + 1, card_before) if rank == rank_before else (0, card)
        if done or (steady > 10 and abs(card - card_before) < 20):
            break
        rank_before, mu = rank, max(0.9 * mu, mu_bound)
        t_before, t = t, (1 + (1 + 4 * t * t) ** 0.5) / 2
    target: Grey = (grid.merge(e.T.reshape(patches.shape), "median") * scale)[0, 0].clamp(min=0.0).numpy()
    return target


def pstnn(grey: Grey) -> Grey:
    """Return PSTNN of one frame (trpca_pstnn.m, prox_pstnn.m): full SVDs of all Fourier slices at once."""

    def shrink(slices: Slices, rank: int, threshold: float) -> Slices:
        u, s, vh = torch.linalg.svd(torch.from_numpy(slices), full_matrices=False)
        s[:, rank:] = (s[:, rank:] - threshold).clamp(min=0)
        low: Slices = (u @ (s[:, :, None] * vh)).numpy()
        return low

    return _pstnn(grey, shrink)


def pstnn_slices(grey: Grey) -> Grey:
    """Return PSTNN of one frame: full SVDs slice by slice in numpy, which is faster at small ones."""

    def shrink(slices: Slices, rank: int, threshold: float) -> Slices:
        low = np.empty_like(slices)
        for k in range(len(slices)):
            u, s, vh = np.linalg.svd(slices[k], full_matrices=False)
            rest = np.maximum(s[rank:] - threshold, 0)
            low[k] = u[:, :rank] @ np.diag(s[:rank]) @ vh[:rank] + u[:, rank:] @ np.diag(rest) @ vh[rank:]
        return low

    return _pstnn(grey, shrink)


def _pstnn(grey: Grey, shrink: Callable[[Slices, int, float], Slices]) -> Grey:
    frames = torch.from_numpy(grey)[None, None]
    grid = patch_grid((grey.shape[0], grey.shape[1]), 40, 40)
    x, prior = grid.split(frames)[0].numpy(), grid.split(corner_prior(frames))[0].numpy()
    s = np.linalg.svd(x.reshape(len(x), -1), full_matrices=False)[1]
    rank, weight, mu = int((s >= 0.1 * s[0]).sum()), 0.7 / (40 * len(x)) ** 0.5, 2e-3
    target, y, weights, card_before = np.zeros_like(x), np.zeros_like(x), np.ones_like(x), 0
    for _ in range(500):
        low = np.fft.ifft(shrink(np.fft.fft(x - target - y / mu, axis=0), rank, 1 / mu), axis=0).real
        target = np.maximum(x - low - y / mu - weights * weight / mu, 0)
        with np.errstate(divide="ignore"):
            weights = rank / (np.abs(target) + 0.01) / prior
        card, excess = int((target > 0).sum()), low + target - x
        if np.linalg.norm(excess) <= 1e-3 * np.linalg.norm(x) or card == card_before > 0:
            break
        card_before, y, mu = card, y + mu * excess, min(1.05 * mu, 1e10)
    found: Grey = grid.merge(torch.from_numpy(target)[None], "mean")[0, 0].numpy()
    return found
