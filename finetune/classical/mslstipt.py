"""MSLSTIPT: spatial-temporal patch tensor with several subspaces. A reconstruction: its code was never published.

Source: Sun, Yang and An, "Infrared Dim and Small Target Detection via Multiple Subspace Learning and Spatial-Temporal
Patch-Tensor Model", IEEE TGRS 59(5), 2021. Public are the ideas: L consecutive frames become one tensor X of patches; X = A * Z
+ T with the t-product *, a dictionary A, coefficients Z of low rank (several subspaces) under a weighted Schatten-p norm, and a
sparse T:

    min  sum_k w_k ||Z_k||_Sp^p + lambda ||T||_1        s.t.  X = A * Z + T

over the Fourier slices k. All numbers, the dictionary and the solver (ADMM with a second copy J = Z) are our choice, so neither
agreement with the published rows nor disagreement means anything. The model lives on motion between frames; on single frames
(L = 1) it is degenerate. ADMM runs in float64 whatever the frames are.

Slices are divided by L, and T counts by its mean over the frames of a window: L copies of a frame give what the frame gives.

Suffixes: B frames, W windows of L consecutive frames, N patches of a frame, M = L N patches of a window, P rows and columns of
a patch, K Fourier slices, D singular values, H and W rows and columns of a frame.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from finetune.classical.base import MAX_LEVEL, ClassicalConfig, ClassicalMethod
from finetune.classical.iterate import Outcome, iterate, norms, per_frame
from finetune.classical.patches import covering_starts, patch_grid
from finetune.classical.pstnn import corner_prior, low_rank_part
from finetune.classical.shrinkage import TINY, map_spectrum, soft_threshold
from finetune.classical.structure import span

FIRST_MU, MU_GROWTH, MAX_MU = 1e-3, 1.1, 1e10
"""Penalty of ADMM for frames in [0, 1], its growth an iteration, and its bound (our choice)."""
TOLERANCE, MAX_ITERATIONS = 1e-4, 500
"""Relative residual of both constraints that ends the loop, and iterations that do (our choice)."""
EXPONENT = 0.8
"""p of the Schatten-p norm (our choice)."""
WEIGHT_FLOOR = 1e-2
"""Added to the singular values in their weights 1 / (s + floor) (our choice)."""
NUM_ROUNDS = 30
"""Fixed-point rounds of the generalised threshold (our choice): the error falls by p / 2 a round or faster, to 1e-12."""


class MSLSTIPTConfig(ClassicalConfig):
    """Settings of MSLSTIPT.

    Attributes:
        num_frames: Consecutive frames in one tensor, L. A batch is taken as one sequence; the last window ends with it, and
            may overlap the one before.
        dictionary: A: the low-rank part that PSTNN finds in the patches of each frame (``denoised``), or the patches themselves
            (``frames``), which hold the target as well and want a sparsity of 1 to 3.
        patch_px: Rows and columns of a patch, px.
        step_px: Distance of patches, px.
        sparsity: Weight of the sparse part; lambda is this over sqrt(P N). Set on simulated sequences: 1 finds the same bright
            targets, but more frames raise the gain of faint ones no further.
    """

    kind: Literal["mslstipt"] = "mslstipt"
    num_frames: int = Field(1, ge=1)
    dictionary: Literal["denoised", "frames"] = "denoised"
    patch_px: int = Field(40, ge=2)
    step_px: int = Field(40, ge=1)
    sparsity: float = Field(10.0, gt=0.0)


class Separation(NamedTuple):
    """State of ADMM: X, the slices of A and of (A^H A + I)^-1, Z, T, A * Z + T - X, the multipliers over mu, and mu."""

    patches: Tensor
    dictionary: Tensor
    inverse: Tensor
    coefficients: Tensor
    target: Tensor
    excess: Tensor
    multiplier: Tensor
    split_multiplier: Tensor
    mu: Tensor


class MSLSTIPT(ClassicalMethod[MSLSTIPTConfig]):
    """Reconstruction of MSLSTIPT; frames of a batch are consecutive frames of one sequence."""

    config_type = MSLSTIPTConfig

    @property
    def label(self) -> str:
        """What result tables add to its name."""
        return "reconstruction, degenerate: L = 1" if self.config.num_frames == 1 else "reconstruction"

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the target part of frames, (B, 1, H, W), grey levels of either sign."""
        num_frames = min(self.config.num_frames, len(grey_B1HW))
        grid = patch_grid((grey_B1HW.shape[2], grey_B1HW.shape[3]), self.config.patch_px, self.config.step_px)
        frames_B1HW = grey_B1HW.double()
        patches_BNPP = dictionary_BNPP = grid.split(frames_B1HW)
        if self.config.dictionary == "denoised":
            dictionary_BNPP = low_rank_part(patches_BNPP, grid.split(corner_prior(frames_B1HW)))
        starts_W = torch.tensor(covering_starts(len(frames_B1HW), num_frames, num_frames))
        index_WL = starts_W[:, None] + torch.arange(num_frames)
        windows = (part[index_WL].flatten(1, 2) / MAX_LEVEL for part in (patches_BNPP, dictionary_BNPP))
        target_WMPP = separate(*windows, num_frames=num_frames, sparsity=self.config.sparsity).target
        target_BNPP = torch.empty_like(patches_BNPP)
        for index_L, target_MPP in zip(index_WL, target_WMPP, strict=True):
            target_BNPP[index_L] = MAX_LEVEL * target_MPP.unflatten(0, (num_frames, -1))
        return torch.where(span(grey_B1HW) > 0.0, grid.merge(target_BNPP, "mean"), 0.0)


def separate(patches_WMPP: Tensor, dictionary_WMPP: Tensor, *, num_frames: int, sparsity: float) -> Outcome:
    """Return T of X = A * Z + T, (W, M, P, P).

    Args:
        patches_WMPP: X, float64 (W, M, P, P) in [0, 1].
        dictionary_WMPP: A, likewise.
        num_frames: Frames of a window, L.
        sparsity: lambda times sqrt(P N).
    """
    num_patches, side = patches_WMPP.shape[1] / num_frames, patches_WMPP.shape[2]
    step = partial(admm_step, num_frames=num_frames, weight=sparsity / (side * num_patches) ** 0.5)
    return iterate(
        first_state(patches_WMPP, dictionary_WMPP, num_frames), step, lambda s: s.target, max_iterations=MAX_ITERATIONS
    )


def first_state(patches_WMPP: Tensor, dictionary_WMPP: Tensor, num_frames: int) -> Separation:
    """Return the state ADMM starts from: Z = 0, T = 0; arguments as in :func:`separate`."""
    slices_WKPP = torch.fft.rfft(dictionary_WMPP, dim=1) / num_frames
    one = torch.eye(slices_WKPP.shape[-1], dtype=slices_WKPP.dtype, device=slices_WKPP.device)
    inverse_WKPP = torch.linalg.inv(slices_WKPP.mH @ slices_WKPP + one)
    nothing, none = torch.zeros_like(patches_WMPP), torch.zeros_like(slices_WKPP)
    mu_W = patches_WMPP.new_full((len(patches_WMPP),), FIRST_MU)
    return Separation(patches_WMPP, slices_WKPP, inverse_WKPP, none, nothing, -patches_WMPP, nothing, none, mu_W)


def admm_step(state: Separation, *, num_frames: int, weight: float) -> tuple[Separation, Tensor]:
    """Take one step of ADMM: J, Z, T, then both multipliers.

    Args:
        state: Where it stands.
        num_frames: Frames of a window, L.
        weight: lambda.

    Returns:
        The next state, and which windows meet both constraints, (W,).
    """
    low, _ = map_spectrum(state.coefficients + state.split_multiplier, partial(shrink_weighted, mu_W=state.mu))
    wanted = torch.fft.rfft(state.patches - state.target + state.multiplier, dim=1) / num_frames
    pull = state.dictionary.mH @ wanted + low - state.split_multiplier
    coefficients = state.inverse @ pull
    background = num_frames * torch.fft.irfft(state.dictionary @ coefficients, n=state.patches.shape[1], dim=1)
    rest = state.patches - background
    target = soft_threshold(rest + state.multiplier, weight / per_frame(state.mu, rest))
    excess, gap = target - rest, coefficients - low
    is_done_W = norms(excess) <= TOLERANCE * norms(state.patches)
    is_done_W &= norms(gap) <= TOLERANCE * norms(coefficients)
    next_mu_W = (MU_GROWTH * state.mu).clamp(max=MAX_MU)
    shrinkage = per_frame(state.mu / next_mu_W, rest)
    multipliers = (shrinkage * (state.multiplier - excess), shrinkage * (state.split_multiplier + gap))
    fixed = (state.patches, state.dictionary, state.inverse)
    return Separation(*fixed, coefficients, target, excess, *multipliers, next_mu_W), is_done_W


def shrink_weighted(values: Tensor, mu_W: Tensor) -> Tensor:
    """Return the minimisers x of w x^p / mu + (x - s)^2 / 2 over x >= 0 with w = 1 / (s + floor).

    Source: generalised iterated shrinkage (Zuo et al., ICCV 2013): 0 up to a threshold, a fixed point above it.

    Args:
        values: Singular values s, ascending, (W, K, D).
        mu_W: Penalty, (W,).
    """
    weights = 1.0 / (values + WEIGHT_FLOOR) / per_frame(mu_W, values)
    scale = 2.0 * weights * (1.0 - EXPONENT)
    threshold = scale ** (1.0 / (2.0 - EXPONENT)) * (1.0 + EXPONENT / (2.0 * (1.0 - EXPONENT)))
    shrunk = values
    for _ in range(NUM_ROUNDS):
        shrunk = values - weights * EXPONENT * shrunk.clamp(min=TINY) ** (EXPONENT - 1.0)
    return torch.where(values > threshold, shrunk, 0.0)
