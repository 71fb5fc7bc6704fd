"""NRAM: patch-image model with a non-convex rank and a term for strong edges.

Source: Zhang et al., "Infrared Small Target Detection via Non-Convex Rank Approximation Minimization Joint l2,1 Norm", Remote
Sens. 2018, 10(11), 1821, and its released code (Lanneeee/NRAM). The patches of a frame, one a row, are D = L + E + S: L of
low rank, E patches of strong edges (background too), S the target; ADMM with weights that follow S. The loop runs in float64
whatever the frames are.

Suffixes: B frames, N patches, J pixels of a patch, D singular values, H and W rows and columns of a frame.
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
from finetune.classical.shrinkage import TINY, map_spectrum
from finetune.classical.structure import min_max_scaled, span

FIRST_MU, MU_GROWTH = 3.0, 1.1
"""Penalty of ADMM over the root of the longer side of D, and its growth an iteration (released code)."""
TOLERANCE, MAX_ITERATIONS = 1e-7, 1000
"""Relative residual that ends the loop, and iterations that do (released code)."""
GAMMA, MAX_ROUNDS, ROUND_TOLERANCE = 2e-3, 100, 1e-6
"""Scale of the non-convex rank, rounds of its reweighting, and the squared change that ends them (released code)."""
EDGE_WEIGHT = 3.0
"""Weight of the strong edges: beta is this over the root of the shorter side of D (released code)."""
WEIGHT_RATIO, WEIGHT_FLOOR = 1.0 / 2.5, 0.04
"""Numerator of the weights of S over the root of the shorter side of D, and what is added to |S| below (released code)."""


class NRAMConfig(ClassicalConfig):
    """Settings of NRAM.

    Attributes:
        variant: ``default`` thresholds both signs of S alike, as the paper, and averages overlapping patches. ``literal`` forgets
            1/mu in the threshold of negative values and keeps the last of overlapping patches, as the released code.
        patch_px: Rows and columns of a patch, px.
        step_px: Distance of patches, px.
    """

    kind: Literal["nram"] = "nram"
    variant: Literal["default", "literal"] = "default"
    patch_px: int = Field(50, ge=2)
    step_px: int = Field(10, ge=1)


class _State(NamedTuple):
    """D, E, S, the multiplier over mu, the singular values of L, and mu."""

    data: Tensor
    edges: Tensor
    target: Tensor
    multiplier: Tensor
    values: Tensor
    mu: Tensor


class NRAM(ClassicalMethod[NRAMConfig]):
    """NRAM, batched over frames of one size."""

    config_type = NRAMConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the target part of frames, (B, 1, H, W), grey levels of either sign."""
        grid = patch_grid((grey_B1HW.shape[2], grey_B1HW.shape[3]), self.config.patch_px, self.config.step_px)
        patches_BNPP = grid.split(min_max_scaled(grey_B1HW.double()))
        step = partial(_step, is_literal=self.config.variant == "literal")
        state = _first_state(patches_BNPP.flatten(2))
        target_BNJ = iterate(state, step, lambda state: state.target, max_iterations=MAX_ITERATIONS).target
        how: Literal["mean", "last"] = "mean" if self.config.variant == "default" else "last"
        frames_B1HW = grid.merge(target_BNJ.reshape(patches_BNPP.shape), how)
        return frames_B1HW * span(grey_B1HW)


def reweighted_shrink(values_BD: Tensor, before_BD: Tensor, mu_B: Tensor) -> Tensor:
    """Return singular values shrunk by the gradient of the non-convex rank, a difference-of-convex programme.

    Args:
        values_BD: Singular values, ascending, (B, D).
        before_BD: Those the last iteration ended with, where the rounds start.
        mu_B: Penalty, (B,).
    """
    is_open_B = torch.ones_like(mu_B, dtype=torch.bool)
    for _ in range(MAX_ROUNDS):
        gradient_BD = (1.0 + GAMMA) * GAMMA / (GAMMA + before_BD) ** 2
        after_BD = torch.where(is_open_B[:, None], (values_BD - gradient_BD / mu_B[:, None]).clamp(min=0.0), before_BD)
        is_open_B = is_open_B & ((after_BD - before_BD).square().sum(dim=1) >= ROUND_TOLERANCE)
        before_BD = after_BD
        if not bool(is_open_B.any()):
            break
    return before_BD


def shrink_rows(matrix_BNJ: Tensor, threshold_B: Tensor) -> Tensor:
    """Return matrices whose rows are shorter by a threshold, or 0: the proximal step of the l2,1 norm."""
    length_BN1: Tensor = torch.linalg.vector_norm(matrix_BNJ, dim=2, keepdim=True).clamp(min=TINY)
    return matrix_BNJ * (1.0 - per_frame(threshold_B, matrix_BNJ) / length_BN1).clamp(min=0.0)


def _first_state(data_BNJ: Tensor) -> _State:
    zeros, sides = torch.zeros_like(data_BNJ), data_BNJ.shape[1:]
    mu_B = data_BNJ.new_full((len(data_BNJ),), FIRST_MU * max(sides) ** 0.5)
    return _State(data_BNJ, zeros, zeros, zeros, data_BNJ.new_zeros(len(data_BNJ), min(sides)), mu_B)


def _step(state: _State, *, is_literal: bool) -> tuple[_State, Tensor]:
    root, mu = min(state.data.shape[1:]) ** 0.5, per_frame(state.mu, state.data)
    rest = state.data - state.multiplier
    shrink = partial(reweighted_shrink, before_BD=state.values, mu_B=state.mu)
    low, values_BD = map_spectrum(rest - state.target - state.edges, shrink)
    rest -= low
    pulled = rest - state.edges
    weights = WEIGHT_RATIO / (pulled.abs() + WEIGHT_FLOOR)  # lambda is 1 / root: it cancels the root in their numerator
    target = (pulled - weights / mu).clamp_(min=0.0) + (pulled + (weights if is_literal else weights / mu)).clamp_(max=0.0)
    edges = shrink_rows(rest - target, EDGE_WEIGHT / root / state.mu)
    excess = low.add_(edges).add_(target).sub_(state.data)
    is_done_B = norms(excess) <= TOLERANCE * norms(state.data)
    multiplier = (state.multiplier + excess) / MU_GROWTH
    return _State(state.data, edges, target, multiplier, values_BD, MU_GROWTH * state.mu), is_done_B
