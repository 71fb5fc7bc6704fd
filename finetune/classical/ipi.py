"""IPI: the infrared patch-image model, low-rank background plus sparse target.

Source: Gao et al., "Infrared Patch-Image Model for Small Target Detection in a Single Image", IEEE TIP 22(12), 2013, and its
released code (gaocq/IPI-for-small-target-detection). The patches of a frame, one a row, are D = A + E with A of low rank and
E sparse; accelerated proximal gradient with a penalty mu that falls. The loop runs in float64 whatever the frames are.

Ours: the code leaves up to 9 px at the lower and right border without patch, we add patches that end there. The stop rules are
the released ones, and the iterate at which they fire is the result. Of a target both signs come out; the negative part is
clipped. The paper's segmentation is not part of the code, nor of this.

Suffixes: B frames, N patches, J pixels of a patch, H and W rows and columns of a frame.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.iterate import iterate, norms, per_frame
from finetune.classical.patches import Reconstruction, patch_grid
from finetune.classical.shrinkage import map_spectrum, singular_values, soft_threshold
from finetune.classical.structure import min_max_scaled, span

MU_SHRINKAGE, MU_BOUND = 0.9, 0.005
"""Factor on mu an iteration, and its lower bound over the fourth singular value of D (released code)."""
TOLERANCE, MAX_ITERATIONS = 1e-6, 1000
"""Relative size of the subgradient that ends the loop, and iterations that do (released code)."""
TIE_MARGIN = 1e-6
"""How much the first mu exceeds the second singular value of D, relative (our choice): at the first step that value meets exactly
its own threshold, and in the released code rounding decides whether it counts for the rank."""
MAX_STEADY, MAX_CARD_CHANGE = 10, 20
"""The loop ends when the rank stayed equal more often than this while the non-zeros of E moved by less (released code)."""
MAX_RANK_RATIO = 0.3
"""The loop ends when the rank exceeds this part of the shorter side of D (released code)."""


class IPIConfig(ClassicalConfig):
    """Settings of IPI.

    Attributes:
        patch_px: Rows and columns of a patch, px.
        step_px: Distance of patches, px.
        weight: lambda is 1 over the square root of the longer side of the frame (``frame``, the released code) or of D
            (``matrix``, the paper).
        recon: What overlapping patches become; the released code takes the median.
    """

    kind: Literal["ipi"] = "ipi"
    patch_px: int = Field(50, ge=2)
    step_px: int = Field(10, ge=1)
    weight: Literal["frame", "matrix"] = "frame"
    recon: Reconstruction = "median"


class _State(NamedTuple):
    """D, two iterates of A - E, the sparse part, the step lengths t, mu and its bound, and what the stop rules remember."""

    data: Tensor
    difference: Tensor
    difference_before: Tensor
    sparse: Tensor
    t: Tensor
    t_before: Tensor
    mu: Tensor
    mu_bound: Tensor
    rank: Tensor
    card_at_change: Tensor
    num_steady: Tensor


class IPI(ClassicalMethod[IPIConfig]):
    """IPI, batched over frames of one size."""

    config_type = IPIConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the target part of frames, (B, 1, H, W), grey levels of either sign."""
        grid = patch_grid((grey_B1HW.shape[2], grey_B1HW.shape[3]), self.config.patch_px, self.config.step_px)
        patches_BNPP = grid.split(min_max_scaled(grey_B1HW.double()))
        data_BNJ = patches_BNPP.flatten(2)
        longest = max(grid.hw) if self.config.weight == "frame" else max(data_BNJ.shape[1:])
        step = partial(_step, weight=longest**-0.5)
        target_BNJ = iterate(_first_state(data_BNJ), step, lambda state: state.sparse, max_iterations=MAX_ITERATIONS).target
        frames_B1HW = grid.merge(target_BNJ.reshape(patches_BNPP.shape), self.config.recon)
        return frames_B1HW * span(grey_B1HW)


def _first_state(data_BNJ: Tensor) -> _State:
    values_BD, zeros = singular_values(data_BNJ), torch.zeros_like(data_BNJ)
    second, fourth = (values_BD[:, -min(k, values_BD.shape[1])] for k in (2, 4))
    mus = ((1.0 + TIE_MARGIN) * second, MU_BOUND * fourth)
    ones_B, none_B = torch.ones_like(second), torch.zeros_like(second, dtype=torch.int64)
    return _State(data_BNJ, zeros, zeros, zeros, ones_B, ones_B, *mus, none_B, none_B, none_B)


def _step(state: _State, *, weight: float) -> tuple[_State, Tensor]:
    """Take one step of APG.

    Both gradient points depend on A - E alone: G_A = (D + A' - E') / 2 and G_E = D - G_A, where ' marks the extrapolated
    iterates; and the two halves of the subgradient are +-(A' - E' - A + E). So A itself is never kept.
    """
    back_B = per_frame((1.0 - state.t_before) / state.t, state.data)
    ahead = torch.lerp(state.difference, state.difference_before, back_B)
    point = 0.5 * (state.data + ahead)
    threshold_B = 0.5 * state.mu
    low, values_BD = map_spectrum(point, lambda s_BD: (s_BD - threshold_B[:, None]).clamp(min=0.0))
    sparse = soft_threshold(state.data - point, weight * per_frame(threshold_B, point))
    difference = low - sparse

    rank_B, card_B = (values_BD > 0.0).sum(dim=1), sparse.flatten(1).count_nonzero(dim=1)
    is_steady_B = rank_B == state.rank
    num_steady_B = torch.where(is_steady_B, state.num_steady + 1, 0)
    card_at_change_B = torch.where(is_steady_B, state.card_at_change, card_B)
    size_B = torch.hypot(norms(values_BD), norms(sparse)).clamp(min=1.0)
    is_done_B = norms(ahead - difference) * 2.0**0.5 <= 2.0 * TOLERANCE * size_B
    is_done_B |= (num_steady_B > MAX_STEADY) & ((card_B - card_at_change_B).abs() < MAX_CARD_CHANGE)
    is_done_B |= rank_B > MAX_RANK_RATIO * values_BD.shape[1]

    t = 0.5 * (1.0 + (1.0 + 4.0 * state.t**2).sqrt())
    mu = torch.maximum(MU_SHRINKAGE * state.mu, state.mu_bound)
    memory = (rank_B, card_at_change_B, num_steady_B)
    return _State(state.data, difference, state.difference, sparse, t, state.t, mu, state.mu_bound, *memory), is_done_B
