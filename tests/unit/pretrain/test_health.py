"""Effective rank and spread against cases with known answers, and alarms that sound when they should."""

from __future__ import annotations

import pytest
import torch

from pretrain.health import alarms, rank_me, spread

GOOD = {"rank_targets": 20.0, "rank_background": 30.0, "synthetic_pd": 80.0}


def points(dims, num=4000, used=None):
    values = torch.randn(num, dims, generator=torch.Generator().manual_seed(1))
    if used is not None:
        values[:, used:] = 0
    return values


def test_rank_counts_directions():
    """White points fill all of them; 4,000 points leave 0.1 % between the singular values' entropy and its limit."""
    assert rank_me(points(16)) == pytest.approx(16, rel=0.01)
    assert rank_me(points(16, used=3) + 5.0) == pytest.approx(3, rel=0.01), "centred: a common offset is no direction"
    assert rank_me(torch.ones(50, 16)) == pytest.approx(1.0, abs=0.01)
    assert rank_me(torch.ones(1, 16)) == 0.0


def test_spread_is_one_when_directions_are_used_alike():
    assert spread(points(64)) == pytest.approx(1.0, abs=0.01)
    assert spread(torch.ones(50, 64)) == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < spread(points(64) + 3.0) < 0.5, "points around one direction"


@pytest.mark.parametrize(
    ("change", "segments", "words"),
    [
        ({}, True, []),
        ({"rank_targets": 5.5}, True, ["rank_targets is 5.5, below 5.6 of 56 features"]),
        ({"synthetic_pd": 0.0}, True, ["background everywhere"]),
        ({"synthetic_pd": 0.0}, False, []),
        ({"rank_targets": 1.0, "rank_background": 1.0}, False, ["rank_targets", "rank_background"]),
        ({"rank_targets": 0.0, "synthetic_pd": 0.0}, True, []),  # nothing was inserted
        ({"rank_targets": 0.0, "rank_background": 1.0}, False, ["rank_background"]),
    ],
)
def test_alarms(change, segments, words):
    found = alarms(GOOD | change, 56, segments=segments)
    assert len(found) == len(words) and all(word in line for word, line in zip(words, found, strict=True))
