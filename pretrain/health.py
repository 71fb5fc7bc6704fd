"""Is an encoder alive: effective rank and spread of its features, and the alarms that follow from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

LEAST_RANK_SHARE = 0.1
"""RankMe over the number of features, below which an encoder counts as collapsed (our choice)."""


def rank_me(features_ND: Tensor) -> float:
    """Return the effective rank of centred features: exp of the entropy of their singular values' shares.

    Source: Garrido et al., RankMe, ICML 2023 (arXiv 2210.02885); theirs are not centred. At most min(N, D): compare runs of one
    network with as many points only.

    Args:
        features_ND: float32; fewer than two points have rank 0.
    """
    if len(features_ND) < 2:
        return 0.0
    singular = torch.linalg.svdvals((features_ND - features_ND.mean(0)).double())
    shares = singular / singular.sum().clamp(min=1e-12) + 1e-7
    return float(torch.exp(-(shares * shares.log()).sum()))


def spread(features_ND: Tensor) -> float:
    """Return the mean standard deviation per feature of points on the unit sphere, times sqrt(D).

    About 1 when all directions are used alike, 0 when all points are one (Chen & He, SimSiam, CVPR 2021, figure 2).
    """
    if len(features_ND) < 2:
        return 0.0
    return float(functional.normalize(features_ND, dim=1).std(0, correction=0).mean() * features_ND.shape[1] ** 0.5)


def alarms(validation: Mapping[str, float], num_features: int, *, segments: bool) -> list[str]:
    """Return what is wrong with a finished pretraining, a line each; empty when nothing is.

    Where fewer than two points of a kind were probed, whose rank is 0 (of two it is at least 1), nothing is said of that kind.

    Args:
        validation: The last validation (``pretrain.task``).
        num_features: Features of a point.
        segments: Whether an objective trained the decoder; saying background everywhere solves some of them.
    """
    found = []
    least = LEAST_RANK_SHARE * num_features
    for name in ("rank_targets", "rank_background"):
        if 0.0 < validation[name] < least:
            found.append(
                f"{name} is {validation[name]:.1f}, below {least:.1f} of {num_features} features: the encoder has collapsed"
            )
    if segments and validation["rank_targets"] and validation["synthetic_pd"] == 0.0:
        found.append("no held-out synthetic target was found: the decoder says background everywhere")
    return found
