"""Threshold rules: saliency -> one threshold a frame; a pixel is predicted when its saliency exceeds it, strictly.

Both are relative to the frame, so that a factor on the saliency changes no mask. Suffixes: B frames, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

Rule = Literal["adaptive", "mean10"]


def adaptive_threshold(saliency_B1HW: Tensor) -> Tensor:
    """Return max(0.7 max(G), 0.5 std(G) + mean(G)) of each frame: the rule of the published rows.

    Source: Li et al., DNANet, TIP 2023, section IV; the first term is confirmed in issue 33 of its repository. It fires in
    every frame whose saliency is not constant, also in those without target.

    Args:
        saliency_B1HW: Saliency, (B, 1, H, W), 0 and more.

    Returns:
        (B,), in the unit and dtype of the saliency.
    """
    flat_BP = saliency_B1HW.flatten(1)
    spread_B = 0.5 * flat_BP.std(dim=1, correction=0) + flat_BP.mean(dim=1)
    return torch.maximum(0.7 * flat_BP.amax(dim=1), spread_B)


def mean10_threshold(saliency_B1HW: Tensor) -> Tensor:
    """Return mean(G) + 10 std(G) of each frame (our choice); arguments and result as in :func:`adaptive_threshold`.

    The published rule leaves the methods at a half to a third of the IoU they reach with this one.
    """
    flat_BP = saliency_B1HW.flatten(1)
    return flat_BP.mean(dim=1) + 10.0 * flat_BP.std(dim=1, correction=0)


RULES: Mapping[Rule, Callable[[Tensor], Tensor]] = {"adaptive": adaptive_threshold, "mean10": mean10_threshold}
"""Threshold rules by the name ``pipelines.evaluate --rule`` knows."""


def decide(saliency_B1HW: Tensor, rule: Rule) -> Tensor:
    """Return the mask of a rule, bool (B, 1, H, W)."""
    return saliency_B1HW > RULES[rule](saliency_B1HW).view(-1, 1, 1, 1)


assert set(RULES) == set(get_args(Rule))
