"""``dense`` against its formula, who may repel whom, and points that lie where they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from pretrain.compose.turns import turn_points, turn_views
from pretrain.objectives.dense import may_meet, point_contrast
from pretrain.points import Points, draw_points, sample_maps
from tests.support.composing import batch_of_views, composed_of

TARGET = torch.tensor([[True, True, False, False, False, False]])
VALID = torch.tensor([[True, True, True, True, False, True]])


@pytest.fixture
def points():
    return Points(torch.zeros(1, 6, 2), VALID, TARGET)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(2)
    return [functional.normalize(torch.randn(1, 6, 8, generator=generator), dim=2) for _ in range(3)]


def test_contrast_is_its_formula(points, features):
    first, second, twins = (part[0].double().numpy() for part in features)
    losses = []
    for k in (0, 1, 2, 3, 5):
        others = [2, 3, 5] if TARGET[0, k] else [0, 1, *(m for m in (2, 3, 5) if 0 < (m - k) % 6 <= 2)]
        total = sum(math.exp(first[k] @ second[m] / 0.2) for m in (k, *others))
        total += math.exp(first[k] @ twins[k] / 0.2) if TARGET[0, k] else 0.0
        losses.append(math.log(total) - first[k] @ second[k] / 0.2)
    found = point_contrast(*features, points, 0.2, 2)
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)  # float32


def test_targets_never_repel_targets(points):
    allowed = may_meet(points, 16)[0]
    assert not allowed[0, 1] and not allowed[1, 0] and allowed.diagonal().all()
    assert allowed[0, [2, 3, 5]].all() and allowed[[2, 3, 5], 0].all() and not allowed[[0, 1, 2, 3, 5], 4].any()


def test_a_twin_like_the_target_costs(points, features):
    first, second, twins = features
    alike = torch.where(TARGET[..., None], first, twins)
    apart = torch.where(TARGET[..., None], -first, twins)
    assert point_contrast(first, second, alike, points, 0.2, 4) > point_contrast(first, second, apart, points, 0.2, 4) + 0.1


def test_points_are_where_they_should_be():
    """Targets and impostors first; hard and random background off targets, ignored discs and padding."""
    batch = batch_of_views(8)
    batch.valid_B1HW[:, :, :, 50:] = False
    composed = composed_of(batch)
    points = draw_points(composed, 48, 8)
    assert points.places_BN2.shape == (8, 48, 2) and torch.equal(points.is_target_BN[:, :8], composed.is_target_BS)
    assert not points.is_target_BN[:, 8:].any() and points.is_valid_BN[:, 8:].float().mean() > 0.4
    for view in range(8):
        targets = composed.centres_BS2[view][composed.is_target_BS[view]]
        background = points.places_BN2[view, 8:][points.is_valid_BN[view, 8:]]
        assert torch.cdist(background, targets).min() > 5
        rows, cols = background.long().T
        assert composed.valid_B1HW[view, 0, rows, cols].all()
    again = draw_points(composed_of(batch), 48, 8)
    assert torch.equal(again.places_BN2, points.places_BN2)


def test_points_follow_the_turn():
    """The value at a point is the value at the turned point of the turned view, for every element of the square's group."""
    turns = torch.tensor([[bool(n & 1), bool(n & 2), bool(n & 4)] for n in range(8)])
    views = torch.rand(8, 1, 16, 16)
    points = torch.randint(0, 16, (8, 5, 2)).float()
    turned = turn_points(points, turns, (16, 16))
    found = sample_maps([turn_views(views, turns)], [1], turned, 1)
    torch.testing.assert_close(found, sample_maps([views], [1], points, 1))


def test_coarse_maps_are_read_where_their_cells_look():
    """Cell i of a stride-4 map stands for pixel 4 i; maps beyond the largest stride are left out, but never the finest."""
    ramp = torch.arange(8.0)[None, None, :, None].expand(1, 2, 8, 8)
    points = torch.tensor([[[8.0, 4.0], [10.0, 4.0]]])
    torch.testing.assert_close(sample_maps([ramp], [4], points, 1), torch.tensor([[[2.0, 2.0], [2.5, 2.5]]]))
    assert sample_maps([ramp, ramp], [4, 8], points, 4).shape == (1, 2, 2)
