"""RIPT: the reweighted infrared patch tensor.

Source: Dai and Wu, "Reweighted Infrared Patch-Tensor Model With Both Nonlocal and Local Priors for Single-Frame Small Target
Detection", IEEE JSTARS 10(8), 2017, and its released code (YimianDai/DENTIST). The patches F are background plus target, F =
B + T, where B is of low rank along each of its three axes and T sparse, not negative, with weights that follow T and a prior
against edges; ADMM with one copy B_i of the background an axis. The loop runs in float64 whatever the frames are.

Suffixes: B frames, N patches, P rows and columns of a patch, H and W those of a frame.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.iterate import iterate, norms, per_frame
from finetune.classical.patches import patch_grid
from finetune.classical.shrinkage import map_spectrum
from finetune.classical.structure import min_max_scaled, span, structure_eigenvalues

FIRST_MU, MU_SHRINKAGE = 5.0, 1.0 / 1.5
"""Step of ADMM over the standard deviation of the patches, and its factor an iteration (released code)."""
TOLERANCE, MAX_ITERATIONS = 1e-7, 500
"""Relative residual that ends the loop (released code), and iterations that do (our choice: the code has no bound)."""
WEIGHT_FLOOR = 0.01
"""Added to T in the weights, grey levels (released code)."""
SIGMA_FRAME_PX, SIGMA_PRODUCTS_PX = 1.2, 2.0
"""Gaussians of the structure tensor, px (released code)."""


class RIPTConfig(ClassicalConfig):
    """Settings of RIPT.

    Attributes:
        variant: What overlapping patches become: their mean (``default``) or the last one (``literal``). Two versions of that
            file were released; the one in the method's own folder, which MATLAB finds first, keeps the last.
        patch_px: Rows and columns of a patch, px.
        step_px: Distance of patches, px.
        sparsity: Weight of the sparse part; lambda is this over sqrt(min(P, N)).
        edge_weight: Exponent h of the prior against edges.
    """

    kind: Literal["ript"] = "ript"
    variant: Literal["default", "literal"] = "default"
    patch_px: int = Field(30, ge=2)
    step_px: int = Field(10, ge=1)
    sparsity: float = Field(0.7, gt=0.0)
    edge_weight: float = Field(1.0, ge=0.0)


class _State(NamedTuple):
    patches: Tensor
    prior: Tensor
    target: Tensor
    weights: Tensor
    multipliers: Tensor
    mu: Tensor
    num_before: Tensor


class RIPT(ClassicalMethod[RIPTConfig]):
    """RIPT, batched over frames of one size."""

    config_type = RIPTConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the target part of frames, (B, 1, H, W), grey levels, 0 and more."""
        grid = patch_grid((grey_B1HW.shape[2], grey_B1HW.shape[3]), self.config.patch_px, self.config.step_px)
        frames_B1HW = grey_B1HW.double()
        prior_BNPP = grid.split(edge_prior(frames_B1HW, self.config.edge_weight))
        step = partial(_step, sparsity=self.config.sparsity / min(grid.size, len(grid)) ** 0.5)
        state = _first_state(grid.split(frames_B1HW), prior_BNPP)
        target_BNPP = iterate(state, step, lambda state: state.target, max_iterations=MAX_ITERATIONS).target
        frames_B1HW = grid.merge(target_BNPP, "mean" if self.config.variant == "default" else "last")
        return torch.where(span(grey_B1HW) > 0.0, frames_B1HW, 0.0)  # a flat frame has mu = 0: what is left is rounding


def edge_prior(frames_B1HW: Tensor, edge_weight: float) -> Tensor:
    """Return the prior against edges, 1 on corners and flats up to exp(h) on the strongest edge, (B, 1, H, W).

    Args:
        frames_B1HW: float64 (B, 1, H, W), grey levels.
        edge_weight: Exponent h.
    """
    large, small = structure_eigenvalues(frames_B1HW, sigma_frame_px=SIGMA_FRAME_PX, sigma_products_px=SIGMA_PRODUCTS_PX)
    return (edge_weight * min_max_scaled(large - small)).exp()


def shrink_unfolding(patches_BNPP: Tensor, axis: int, threshold_B: Tensor) -> Tensor:
    """Return tensors whose unfolding along an axis has soft-thresholded singular values.

    Args:
        patches_BNPP: float64 (B, N, P, P).
        axis: Axis that becomes the rows, 1..3.
        threshold_B: Threshold of each frame, (B,).
    """
    moved = patches_BNPP.movedim(axis, 1)
    matrix, _ = map_spectrum(moved.flatten(2), lambda values_BD: (values_BD - threshold_B[:, None]).clamp(min=0.0))
    return matrix.reshape(moved.shape).movedim(1, axis)


def _first_state(patches_BNPP: Tensor, prior_BNPP: Tensor) -> _State:
    zeros, num = torch.zeros_like(patches_BNPP), patches_BNPP[0].numel()
    deviation_B = norms(patches_BNPP - patches_BNPP.mean(dim=(1, 2, 3), keepdim=True)) / max(num - 1, 1) ** 0.5
    mu_B, num_B = FIRST_MU * deviation_B, torch.full((len(zeros),), num, device=zeros.device)
    return _State(patches_BNPP, prior_BNPP, zeros, prior_BNPP, zeros[:, None].expand(-1, 3, -1, -1, -1), mu_B, num_B)


def _step(state: _State, *, sparsity: float) -> tuple[_State, Tensor]:
    """Take one step of ADMM; the multipliers are kept times mu, so that a vanishing mu divides nothing."""
    pulled = state.patches[:, None] + state.multipliers
    wanted = pulled - state.target[:, None]
    backgrounds = torch.stack([shrink_unfolding(wanted[:, k], k + 1, state.mu) for k in range(3)], dim=1)
    mu = per_frame(state.mu, state.patches)
    target = ((pulled - backgrounds).mean(dim=1) - state.weights * mu * (sparsity / 3.0)).clamp(min=0.0)
    weights = state.prior / (target + WEIGHT_FLOOR)
    multipliers = (pulled - backgrounds - target[:, None]) * MU_SHRINKAGE

    excess_B = norms(state.patches - backgrounds.mean(dim=1) - target)
    num_B = target.flatten(1).count_nonzero(dim=1)
    is_done_B = (excess_B <= TOLERANCE * norms(state.patches)) | (num_B == state.num_before)
    mu_B = MU_SHRINKAGE * state.mu
    return _State(state.patches, state.prior, target, weights, multipliers, mu_B, num_B), is_done_B
