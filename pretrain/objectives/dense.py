"""``dense``: contrast of points between two radiometric views of one composed frame, with known correspondence.

Which point is which follows from the turn between the views, never from similarity: on flat sky all features are alike, and a
target three pixels wide is a small part of any coarse cell. Negatives are other points of the same view and, for targets, the
same place in the twin, where the target's pixels are shuffled (diminished-semantics negatives: Ge et al., NeurIPS 2021). InfoNCE:
van den Oord et al., arXiv 1807.03748. Negatives come from the point's own image, so the loss does not depend on the number of
ranks. The rest is our choice. Uses synthetic positions; to be described like ``seg``.

Shapes: B views, N points, D projected features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pretrain.compose import Composed
from pretrain.compose.turns import turn_points
from pretrain.objectives.base import Objective, ObjectiveConfig
from pretrain.points import Points, draw_points, num_features, sample_maps
from pretrain.segmenter import Segmenter


class DenseConfig(ObjectiveConfig):
    """Settings of :class:`Dense`; all of them are our choice within what is published for dense contrast.

    Attributes:
        weight: Factor of its loss: an auxiliary objective.
        points: Points of a view: centres of what was inserted, hard background, random ones.
        hard_points: How many of them are peaks of local contrast outside of ignored discs.
        most_background: How many other background points may repel one: on flat sky most look alike.
        temperature: Of the softmax.
        hidden: Width of the projection's hidden layer.
        dims: Projected features.
        largest_stride: Coarsest maps of the encoder that are read.
    """

    kind: Literal["dense"] = "dense"
    weight: float = Field(0.1, gt=0, allow_inf_nan=False)
    points: int = Field(48, ge=24, le=1024)
    hard_points: int = Field(8, ge=0, le=64)
    most_background: int = Field(16, ge=0)
    temperature: float = Field(0.15, gt=0, le=1)
    hidden: int = Field(128, ge=1)
    dims: int = Field(64, ge=1)
    largest_stride: Literal[1, 2, 4] = 4


class Dense(Objective):
    """The objective; see the module's docstring.

    Args:
        config: Its settings.
        model: The network.
    """

    needs_pairs: ClassVar[bool] = True

    def __init__(self, config: DenseConfig, model: Segmenter) -> None:
        super().__init__()
        self._config = config
        width = num_features(model.backbone.channels, model.backbone.strides, config.largest_stride)
        self.project = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.dims)
        )

    def parts(self, model: Segmenter, composed: Composed, step: int) -> Mapping[str, Tensor]:
        """Return the contrast between the two views."""
        assert composed.second_B1HW is not None and composed.twins_B1HW is not None
        points = draw_points(composed, self._config.points, self._config.hard_points)
        turned = turn_points(points.places_BN2, composed.turns_B3, composed.hw)
        maps = model.encode(torch.cat([composed.first_B1HW, composed.second_B1HW, composed.twins_B1HW]))
        places = torch.cat([points.places_BN2, turned, points.places_BN2])
        features = sample_maps(maps, model.backbone.strides, places, self._config.largest_stride)
        with torch.autocast(features.device.type, enabled=False):
            projected = functional.normalize(self.project(features), dim=2)
            first, second, twins = projected.chunk(3)
            loss = point_contrast(first, second, twins, points, self._config.temperature, self._config.most_background)
        return {"contrast": loss}


def point_contrast(
    first_BND: Tensor, second_BND: Tensor, twins_BND: Tensor, points: Points, temperature: float, most_background: int
) -> Tensor:
    """Return InfoNCE over the points of each view, mean over points, then over views.

    For a point k of the first view: -log of exp(z_k z'_k / T) over the sum of that, of exp(z_k z'_m / T) over the points m it may
    repel, and, for targets, of exp(z_k u_k / T) with the twin's feature u_k.

    Args:
        first_BND: Features of unit length in the first view.
        second_BND: The same points in the second view.
        twins_BND: The same points in the twin of the first view.
        points: Which of them count, and which are targets.
        temperature: T.
        most_background: Other background points that may repel one.
    """
    similarity = first_BND @ second_BND.transpose(1, 2) / temperature
    twin = (first_BND * twins_BND).sum(2, keepdim=True) / temperature
    candidates = torch.cat(
        [
            similarity.masked_fill(~may_meet(points, most_background), -torch.inf),
            twin.masked_fill(~points.is_target_BN[:, :, None], -torch.inf),
        ],
        2,
    )
    losses = torch.logsumexp(candidates, 2) - similarity.diagonal(dim1=1, dim2=2)
    counted = points.is_valid_BN.float()
    return ((losses * counted).sum(1) / counted.sum(1).clamp(min=1.0)).mean()


def may_meet(points: Points, most_background: int) -> Tensor:
    """Return which points stand in the sum of which, bool (B, N, N).

    Each stands in its own; targets never repel targets; of other points that are no target, a point that is none meets only
    those among the next ``most_background`` in the order of the points, cyclically.
    """
    count = points.is_target_BN.shape[1]
    steps = torch.arange(count, device=points.is_target_BN.device)
    ahead = (steps - steps[:, None]) % count
    row, column = points.is_target_BN[:, :, None], points.is_target_BN[:, None, :]
    allowed = (row ^ column) | (~row & ~column & (ahead <= most_background))
    return (allowed & points.is_valid_BN[:, None, :]) | (ahead == 0)
