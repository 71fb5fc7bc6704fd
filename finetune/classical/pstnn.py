"""PSTNN: infrared patch tensor with the partial sum of the tensor nuclear norm.

Source: Zhang and Peng, "Infrared Small Target Detection Based on Partial Sum of the Tensor Nuclear Norm", Remote Sens. 2019,
11(4), 382, and its released code (Lanneeee/Infrared-Small-Target-Detection-based-on-PSTNN). The patches X are background plus
target: X = L + S with L of low tubal rank, S sparse and not negative, solved by ADMM with weights that follow S and a prior
that favours corners over edges. ADMM runs in float64 whatever the frames are.

Ours differs in form, not in result: the Fourier slices of real patches come in conjugate pairs, so half of them suffice, and
each needs only the eigenvectors of its Gram matrix that the shrinking leaves over: two to seventeen of forty. Flat regions,
where the released prior is 0/0, have prior 0.

Suffixes: B frames, N patches, P rows and columns of a patch, H and W those of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.iterate import iterate, norms, per_frame
from finetune.classical.patches import patch_grid
from finetune.classical.shrinkage import TINY, map_spectrum, singular_values
from finetune.classical.structure import min_max_scaled, structure_eigenvalues

FIRST_MU, MU_GROWTH, MAX_MU = 2e-3, 1.05, 1e10
"""Penalty of ADMM, its growth an iteration, and its bound (released code)."""
TOLERANCE, MAX_ITERATIONS = 1e-3, 500
"""Relative residual that ends the loop, and iterations that do (released code)."""
WEIGHT_FLOOR = 0.01
"""Added to |S| in the weights, grey levels (released code)."""
RANK_RATIO = 0.1
"""Singular values of this part of the largest count for the rank (released code)."""
SIGMA_FRAME_PX, SIGMA_PRODUCTS_PX = 2.0, 9.0
"""Gaussians of the structure tensor, px (released code)."""


class PSTNNConfig(ClassicalConfig):
    """Settings of PSTNN.

    Attributes:
        variant: ``default`` follows the paper: rank of the patches unfolded along their number, overlaps averaged. ``literal``
            follows the released code, which reshapes the patches without regard to their axes before it takes the rank, and
            keeps the last of overlapping patches; it comes closer to the published rows.
        patch_px: Rows and columns of a patch, px.
        step_px: Distance of patches, px.
        sparsity: Weight of the sparse part; lambda is this over sqrt(P N).
    """

    kind: Literal["pstnn"] = "pstnn"
    variant: Literal["default", "literal"] = "default"
    patch_px: int = Field(40, ge=2)
    step_px: int = Field(40, ge=1)
    sparsity: float = Field(0.7, gt=0.0)


class _State(NamedTuple):
    """State of ADMM: X, prior / N, N, L, S, its weights, the multiplier / mu, mu, pixels above 0 in S, residual that ends it."""

    patches: Tensor
    prior: Tensor
    rank: Tensor
    background: Tensor
    target: Tensor
    weights: Tensor
    multiplier: Tensor
    mu: Tensor
    num_target: Tensor
    limit: Tensor


class PSTNN(ClassicalMethod[PSTNNConfig]):
    """PSTNN, batched over frames of one size."""

    config_type = PSTNNConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the target part of frames, (B, 1, H, W), grey levels, 0 and more."""
        grid = patch_grid((grey_B1HW.shape[2], grey_B1HW.shape[3]), self.config.patch_px, self.config.step_px)
        frames_B1HW = grey_B1HW.double()
        state = _first_state(grid.split(frames_B1HW), grid.split(corner_prior(frames_B1HW)), self.config.variant)
        target_BNPP = _solve(state, self.config.sparsity, lambda state: state.target)
        return grid.merge(target_BNPP, "mean" if self.config.variant == "default" else "last")


def low_rank_part(patches_BNPP: Tensor, prior_BNPP: Tensor) -> Tensor:
    """Return the background L of patches, (B, N, P, P), as the default variant finds it.

    Args:
        patches_BNPP: float64 (B, N, P, P), grey levels.
        prior_BNPP: Their :func:`corner_prior`.
    """
    state = _first_state(patches_BNPP, prior_BNPP, "default")
    return _solve(state, PSTNNConfig().sparsity, lambda state: state.background)


def corner_prior(frames_B1HW: Tensor) -> Tensor:
    """Return the prior of a target at each pixel: the corner strength times the larger eigenvalue, scaled to [0, 1].

    Args:
        frames_B1HW: float64 (B, 1, H, W), grey levels.
    """
    large, small = structure_eigenvalues(frames_B1HW, sigma_frame_px=SIGMA_FRAME_PX, sigma_products_px=SIGMA_PRODUCTS_PX)
    return min_max_scaled(large * small / (large + small).clamp(min=TINY) * large)


def estimate_rank(patches_BNPP: Tensor, variant: Literal["default", "literal"]) -> Tensor:
    """Return how many singular values of each slice stay untouched, (B,), at least 1.

    Args:
        patches_BNPP: float64 (B, N, P, P).
        variant: ``default``: unfold to N rows. ``literal``: fill N rows column by column with the pixels in the order of the
            released code (rows fastest), whatever patch they are from.
    """
    num_frames, num_patches = patches_BNPP.shape[:2]
    released = patches_BNPP.mT.reshape(num_frames, -1, num_patches)
    values_BD = singular_values(released if variant == "literal" else patches_BNPP.flatten(2))
    return (values_BD >= RANK_RATIO * values_BD[:, -1:]).sum(dim=1)


def partial_shrink(values: Tensor, rank_B: Tensor, threshold_B: Tensor) -> Tensor:
    """Soft-threshold all but the largest singular values.

    Args:
        values: Singular values, ascending, (B, slices, D).
        rank_B: How many stay untouched, (B,).
        threshold_B: Threshold of the others, (B,).
    """
    num_before = values.shape[-1] - per_frame(rank_B, values)
    is_untouched = torch.arange(values.shape[-1], device=values.device) >= num_before
    return torch.where(is_untouched, values, (values - per_frame(threshold_B, values)).clamp(min=0.0))


def _first_state(patches_BNPP: Tensor, prior_BNPP: Tensor, variant: Literal["default", "literal"]) -> _State:
    rank_B = estimate_rank(patches_BNPP, variant)
    patches, prior = _patches_innermost(patches_BNPP), _patches_innermost(prior_BNPP / per_frame(rank_B, prior_BNPP))
    zeros, num_B = torch.zeros_like(patches), patches.new_zeros(len(patches))
    parts = (zeros, zeros, torch.ones_like(patches), zeros)
    return _State(patches, prior, rank_B, *parts, torch.full_like(num_B, FIRST_MU), num_B, TOLERANCE * norms(patches))


def _patches_innermost(patches_BNPP: Tensor) -> Tensor:
    """Return the same tensor with neighbours along the patches side by side in memory, as the Fourier transform has them."""
    return patches_BNPP.movedim(1, -1).contiguous().movedim(-1, 1)


def _solve(state: _State, sparsity: float, result: Callable[[_State], Tensor]) -> Tensor:
    num_patches, side = state.patches.shape[1:3]
    step = partial(_step, sparsity=sparsity / (side * num_patches) ** 0.5)
    return iterate(state, step, result, max_iterations=MAX_ITERATIONS).target


def _step(state: _State, *, sparsity: float) -> tuple[_State, Tensor]:
    patches, prior, rank_B, _, target, weights, multiplier, mu_B, old_num_B, limit_B = state
    rest = patches - multiplier
    slices = torch.fft.rfft(rest - target, dim=1).contiguous()  # else every product copies slice by slice
    slices, _ = map_spectrum(slices, partial(partial_shrink, rank_B=rank_B, threshold_B=1.0 / mu_B))
    background = torch.fft.irfft(slices, n=patches.shape[1], dim=1)
    rest -= background
    target = torch.addcmul(rest, weights, per_frame(-sparsity / mu_B, rest)).clamp_(min=0.0)
    weights = (target + WEIGHT_FLOOR).mul_(prior).reciprocal_()
    torch.sub(target, rest, out=rest)  # L + S - X and the multiplier over mu
    num_B = target.sign().sum(dim=(1, 2, 3))
    is_done_B = (norms(rest - multiplier) <= limit_B) | ((num_B == old_num_B) & (num_B > 0))
    next_mu_B = (MU_GROWTH * mu_B).clamp(max=MAX_MU)
    parts = (background, target, weights, rest.mul_(per_frame(mu_B / next_mu_B, rest)))
    return _State(patches, prior, rank_B, *parts, next_mu_B, num_B, limit_B), is_done_B
