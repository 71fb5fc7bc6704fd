"""Laws of order and views that hold for any sizes, weights, seeds, ranks and crops."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pretrain.feed import Feed
from pretrain.frames import pool_of_frames
from pretrain.order import Partition, SampleOrder
from pretrain.views import PatchTurn, ViewConfig
from tests.support.builders import frame_of

SEED = st.integers(0, 2**63 - 1)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.data(), SEED, st.integers(0, 5))
def test_every_epoch_fills_its_quotas_and_no_frame_returns_early(lengths, data, seed, epoch):
    weights = data.draw(st.none() | st.lists(st.floats(0.2, 5), min_size=len(lengths), max_size=len(lengths)))
    assume(weights is None or sum(lengths) > 30 * len(lengths))  # else a small weight may round to no frame
    order = SampleOrder(lengths, weights, seed)
    sources, indices = order.at(np.arange(epoch * order.epoch_length, (epoch + 1) * order.epoch_length))
    assert tuple(np.bincount(sources, minlength=len(lengths))) == order.quotas and sum(order.quotas) == sum(lengths)
    if weights is None:
        assert order.quotas == tuple(lengths)
        assert len(set(zip(sources.tolist(), indices.tolist(), strict=True))) == order.epoch_length
    for source, length in enumerate(lengths):
        counts = np.bincount(indices[sources == source], minlength=length)
        assert len(counts) == length and counts.max() - counts.min() <= 2  # an epoch may cut two permutations


@settings(max_examples=60, deadline=None)
@given(LENGTHS, SEED, st.integers(0, 500), st.sampled_from([(1, 1), (2, 1), (3, 1), (2, 3), (6, 2)]))
def test_any_number_of_ranks_and_parts_consumes_the_same_samples(lengths, seed, start, split):
    ranks, parts = split
    order = SampleOrder(lengths, None, seed)
    shares = [np.concatenate(Partition(12, rank, ranks, parts).positions(start)) for rank in range(ranks)]
    together = np.concatenate([np.stack(order.at(share)) for share in shares], axis=1)
    whole = np.stack(order.at(np.arange(start, start + 12)))
    assert sorted(map(tuple, together.T.tolist())) == sorted(map(tuple, whole.T.tolist()))


@settings(max_examples=150, deadline=None)
@given(
    SEED,
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(16, 50),
    st.integers(0, 12),
    st.booleans(),
    st.booleans(),
    st.sampled_from([2, 4, 8]),
    st.integers(0, 10**6),
)
def test_any_lossless_view_is_a_window_of_its_frame(seed, hw, crop, margin, flip, rot90, side, start):
    """Pixels are those of the frame under a map that image and mask share; valid ones once each; the target is in view."""
    numbers = np.arange(hw[0] * hw[1]).reshape(hw)
    mask = np.zeros(hw)
    row, col = (np.array(hw) * (seed % 997) // 997).tolist()
    mask[row, col] = 1
    pool = pool_of_frames([frame_of(numbers, mask, max_level=65535)], name="coded")
    turn = PatchTurn(probability=1, side=side)
    config = ViewConfig(crop_px=crop, centre_probability=1, margin_px=margin, flip=flip, rot90=rot90, patch_turn=turn)
    batch = next(Feed([pool], config, seed=seed).batches(start, Partition(1)))
    shown = np.rint(batch.images_B1HW[0, 0].numpy().astype(np.float64) * 65535).astype(int)
    np.testing.assert_array_equal(batch.masks_B1HW[0, 0].numpy(), mask.ravel()[shown])
    valid = batch.valid_B1HW[0, 0].numpy()
    inside = shown[valid]
    assert len(inside) == min(hw[0], crop) * min(hw[1], crop) == len(set(inside.tolist()))
    assert row * hw[1] + col in inside
    rows, cols = np.divmod(inside, hw[1])
    assert np.ptp(rows) + 1 == min(hw[0], crop) and np.ptp(cols) + 1 == min(hw[1], crop)


@settings(max_examples=25, deadline=None)
@given(SEED, st.integers(1, 6), st.integers(0, 10**9))
def test_a_view_does_not_know_its_batch(seed, batch, start):
    frames = [frame_of(np.full((20 + i, 24), 10 * i), np.eye(20 + i, 24), name=str(i)) for i in range(6)]
    feed = Feed([pool_of_frames(frames, name="six")], ViewConfig(crop_px=16), seed=seed)
    whole = next(feed.batches(start, Partition(batch)))
    for i in range(batch):
        single = next(feed.batches(start + i, Partition(1)))
        assert torch.equal(single.images_B1HW[0], whole.images_B1HW[i]) and single.indices[0] == whole.indices[i]
