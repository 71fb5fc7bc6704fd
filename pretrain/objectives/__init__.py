"""Objectives: one a file; each turns composed frames into named parts of a loss. A recipe adds them up by weight.

``base``            the contract
``draws``           what objectives draw for each sample
``seg``             segment the inserted targets (synthetic labels, label-free on real frames)
``dense``           contrast of points between two views, with impostor twins
``reconstruction``  frames predicted from maps: the head of the next two
``masked``          predict the structure of masked blocks (no labels at all)
``denoise``         predict one noisy version of a frame from another (no labels at all)
``teacher``         a moving average of the network, for the next one
``equivariance``    what is said of turned squares is what was said before, turned (no labels at all)
``lneg``            SIRST-5K's objective (supervised on real labels; the reference arm)
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.objectives.denoise import Denoise, DenoiseConfig
from pretrain.objectives.dense import Dense, DenseConfig
from pretrain.objectives.equivariance import Equivariance, EquivarianceConfig
from pretrain.objectives.lneg import LNeg, LNegConfig
from pretrain.objectives.masked import Masked, MaskedConfig
from pretrain.objectives.seg import Seg, SegConfig
from pretrain.segmenter import Segmenter

__all__ = ["Objective", "ObjectiveConfig", "ObjectiveSettings", "build_objective", "objective_class", "objective_names"]

ObjectiveSettings = Annotated[
    SegConfig | DenseConfig | MaskedConfig | DenoiseConfig | EquivarianceConfig | LNegConfig, Field(discriminator="kind")
]
"""Settings of any objective, told apart by ``kind``."""

_KINDS: dict[str, tuple[type[ObjectiveConfig], type[Any]]] = {
    "seg": (SegConfig, Seg),
    "dense": (DenseConfig, Dense),
    "masked": (MaskedConfig, Masked),
    "denoise": (DenoiseConfig, Denoise),
    "equivariance": (EquivarianceConfig, Equivariance),
    "lneg": (LNegConfig, LNeg),
}


def objective_names() -> list[str]:
    """Return the kinds there are."""
    return list(_KINDS)


def objective_class(settings: ObjectiveConfig) -> type[Objective]:
    """Return the class of settings, which says what it needs."""
    found: type[Objective] = next(made for config_type, made in _KINDS.values() if isinstance(settings, config_type))
    return found


def build_objective(settings: ObjectiveConfig, model: Segmenter) -> Objective:
    """Return the objective of checked settings.

    Args:
        settings: Its settings.
        model: The network it will train.
    """
    make: type[Any] = objective_class(settings)
    objective: Objective = make(settings, model)
    return objective
