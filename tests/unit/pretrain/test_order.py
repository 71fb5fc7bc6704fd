"""The order of training: permutations, quotas, and a partition over ranks that no count of ranks can change."""

from __future__ import annotations

import numpy as np
import pytest

from pretrain.order import Partition, SampleOrder
from synth.errors import RecipeError


def walk(order: SampleOrder, first: int, last: int) -> list[tuple[int, int]]:
    sources, indices = order.at(np.arange(first, last))
    return list(zip(sources.tolist(), indices.tolist(), strict=True))


def test_one_source_is_a_new_permutation_every_epoch():
    order = SampleOrder([7], None, seed=3)
    epochs = [walk(order, 7 * e, 7 * e + 7) for e in range(4)]
    assert all(sorted(epoch) == [(0, i) for i in range(7)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert epochs[0] != walk(SampleOrder([7], None, seed=4), 0, 7)


def test_the_permutation_never_changes():
    """A resumed run must see the frames it would have seen: these numbers hold for ever."""
    assert SampleOrder([8], None, seed=0).at(np.arange(16))[1].tolist() == [3, 1, 7, 0, 4, 2, 6, 5, 2, 4, 7, 5, 6, 0, 3, 1]


def test_weights_fill_quotas_from_endless_permutations_of_each_source():
    order = SampleOrder([30, 5], [0.5, 0.5], seed=1)
    assert order.epoch_length == 35 and order.quotas == (18, 17)
    seen = walk(order, 0, 35 * 6)
    for epoch in range(6):
        assert sum(source for source, _ in seen[35 * epoch : 35 * epoch + 35]) == 17
    for source, length in ((0, 30), (1, 5)):
        turns = [index for s, index in sorted(zip(*order.at(np.arange(35 * 6)), strict=True)) if s == source]
        counts = np.bincount(turns, minlength=length)
        assert counts.max() - counts.min() <= 1


def test_an_epoch_mixes_its_sources():
    sources, _ = SampleOrder([500, 500], None, seed=0).at(np.arange(1000))
    runs = np.diff(sources) != 0
    assert 400 < runs.sum() < 600  # 999 / 2 expected, standard deviation 16


@pytest.mark.parametrize("start", [0, 8, 24])
@pytest.mark.parametrize("split", [(1, 1), (2, 1), (4, 1), (1, 4), (2, 2), (8, 1)])
def test_ranks_and_parts_share_every_step_exactly(start, split):
    ranks, parts = split
    shares = [Partition(8, rank, ranks, parts).positions(start) for rank in range(ranks)]
    assert all(len(share) == parts and {len(part) for part in share} == {8 // ranks // parts} for share in shares)
    together = np.concatenate([np.concatenate(share) for share in shares])
    assert sorted(together.tolist()) == list(range(start, start + 8))
    assert shares[0][0][0] == start and (np.diff(np.concatenate(shares[0])) == ranks).all()


def test_looking_far_ahead_equals_walking_there():
    order = SampleOrder([11, 6, 3], [3, 2, 1], seed=9)
    everything = walk(order, 0, 500)
    assert everything[437:441] == walk(SampleOrder([11, 6, 3], [3, 2, 1], seed=9), 437, 441)
    mixed = np.array([437, 3, 120, 3])
    assert list(zip(*(part.tolist() for part in order.at(mixed)), strict=True)) == [everything[i] for i in mixed]


@pytest.mark.parametrize("weights", [[1, 0], [1, -1], [1], [float("nan"), 1], [1, 1e-6]])
def test_weights_that_cannot_be_are_named(weights):
    with pytest.raises(RecipeError, match="weights must"):
        SampleOrder([10, 10], weights, seed=0)


def test_an_empty_source_is_named():
    with pytest.raises(RecipeError, match=r"must hold at least one frame each, got \[10, 0\]"):
        SampleOrder([10, 0], None, seed=0)
