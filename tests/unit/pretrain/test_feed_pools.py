"""Pools and feed: what a corpus or store becomes, and the errors that name what does not go together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain.feed import Feed
from pretrain.frames import StreamedPixels, open_pool, pool_of_frames
from pretrain.order import Partition
from pretrain.views import NoiseMix, PatchTurn, ViewConfig
from synth import open_corpus, open_store
from synth.errors import RecipeError, SourceError
from synth.store.codec import DamagedChunkError
from tests.support.builders import frame_of, scene, texture, write_corpus, write_mini_corpus
from tests.support.stores import copy_of, finished_store, flip_bit, made_once


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    """60 samples of 64x64 in shards of 7; padded and cropped frames among them."""
    return made_once(tmp_path_factory, "feed-store", finished_store) / "finished.zarr"


def take(feed: Feed, num: int, start: int = 0, **partition):
    batches = feed.batches(start, Partition(**{"batch": 4} | partition))
    return [next(batches) for _ in range(num)]


def test_a_corpus_keeps_native_sizes_and_counts_its_targets(tmp_path):
    pool = open_pool(write_mini_corpus(tmp_path), split="trainval")
    assert pool.ids == ("large", "small", "square", "wide") and pool.hw == (130, 150) and pool.bit_depth == 8
    assert pool.valid_hw.tolist() == [[130, 110], [40, 36], [64, 64], [48, 150]]
    assert pool.num_targets == 7 and np.diff(pool.first_target).tolist() == [2, 1, 2, 2]
    for index, sample in enumerate(open_corpus(tmp_path, "trainval")):
        frame = pool.frame(index)
        np.testing.assert_array_equal(frame.image(), sample.image)
        np.testing.assert_array_equal(frame.mask, sample.mask)
        own = pool.centres_rc[pool.first_target[index] : pool.first_target[index + 1]]
        np.testing.assert_allclose(own, [(t.row_subpx, t.col_subpx) for t in sample.targets])


def test_only_the_named_frames_of_a_split_are_kept(tmp_path):
    root = write_mini_corpus(tmp_path)
    assert open_pool(root, split="train", only=["wide", "small"]).ids == ("small", "wide")
    with pytest.raises(SourceError, match=r"1 ids are not in split train \(held_out\)"):
        open_pool(root, split="train", only=["wide", "held_out"])


@pytest.mark.parametrize("residence", ["resident", "streamed"])
def test_a_store_gives_its_frames_and_targets(store_path, residence):
    pool, store = open_pool(store_path, residence=residence), open_store(store_path)
    assert len(pool) == len(store) == 60 and pool.hw == (64, 64) and len(pool.noise_MSS) == len(store.noise_bank())
    for index in (0, 13, 59):
        sample, frame = store[index], pool.frame(index)
        height, width = sample.valid_hw
        np.testing.assert_array_equal(frame.image(), sample.image[:height, :width])
        np.testing.assert_array_equal(frame.mask, sample.mask[:height, :width])
        own = pool.centres_rc[pool.first_target[index] : pool.first_target[index + 1]]
        np.testing.assert_allclose(own, [(t.row_subpx, t.col_subpx) for t in sample.targets])


def test_streamed_and_resident_batches_are_equal_and_the_budget_decides(store_path):
    config = ViewConfig(crop_px=48, noise_mix=NoiseMix(probability=0.5), paste_probability=0.0)
    resident, streamed = open_pool(store_path), open_pool(store_path, budget_mb=0)
    assert not resident.pixels.is_streamed and isinstance(streamed.pixels, StreamedPixels)
    left, right = (take(Feed([pool], config, seed=5), 20) for pool in (resident, streamed))
    for one, other in zip(left, right, strict=True):
        assert torch.equal(one.images_B1HW, other.images_B1HW) and torch.equal(one.masks_B1HW, other.masks_B1HW)
        assert one.indices.tolist() == other.indices.tolist()
    assert torch.equal(take(Feed([streamed], config, seed=5), 1, start=8)[0].images_B1HW, left[2].images_B1HW)


def test_sources_are_mixed_by_weight_and_named_in_the_batch(mini_pool, store_path):
    feed = Feed([mini_pool, open_pool(store_path, budget_mb=0)], ViewConfig(crop_px=40), seed=0, weights=[1, 1])
    batches = take(feed, 13, batch=5)
    assert feed.order.quotas == (33, 32) and batches[0].images_B1HW.shape == (5, 1, 40, 40)
    assert np.concatenate([batch.sources for batch in batches]).sum() == 32
    alone = take(Feed([mini_pool], ViewConfig(crop_px=40), seed=0), 1, batch=5)[0]
    assert alone.sources.tolist() == [0] * 5


def test_rank_and_batch_size_do_not_change_a_sample(mini_pool, store_path):
    def samples(**partition):
        feed = Feed([mini_pool, open_pool(store_path)], ViewConfig(crop_px=32, patch_turn=PatchTurn(probability=1)), seed=2)
        found = {}
        for batch in take(feed, 8, **partition):
            pixels = torch.cat([batch.images_B1HW, batch.masks_B1HW, batch.valid_B1HW.float()], dim=1)
            found |= dict(zip(batch.positions.tolist(), pixels, strict=True))
        return found

    whole = samples(batch=8)
    for partition in ({"batch": 4}, {"batch": 8, "parts": 2}, {"batch": 8, "rank": 1, "ranks": 2}, {"batch": 1}):
        for position, pixels in samples(**partition).items():
            assert torch.equal(pixels, whole[position])


def test_sixteen_bit_levels_keep_every_step():
    levels = texture("deep", (48, 48), high=16383)
    frame = frame_of(levels, np.zeros((48, 48)), max_level=16383)
    pool = pool_of_frames([frame], name="deep")
    assert pool.bit_depth == 14
    config = ViewConfig(crop_px=None, flip=False, rot90=False)
    batch = take(Feed([pool], config, seed=0, needs_targets=False), 1, batch=1)[0]
    np.testing.assert_array_equal(np.rint(batch.images_B1HW[0, 0].numpy().astype(np.float64) * 16383), levels)


def test_unlabelled_frames_are_marked_and_hold_no_target():
    frames = [scene("with", (40, 40), [(5, 5, 8, 8)]), frame_of(texture("bare", (40, 40)), name="bare")]
    feed = Feed([pool_of_frames(frames, name="two")], ViewConfig(crop_px=32), seed=0)
    batch = take(feed, 1, batch=2)[0]
    assert batch.is_labelled_B.tolist() == [index == 0 for index in batch.indices]
    assert not batch.masks_B1HW[~batch.is_labelled_B].any()


def test_mixed_bit_depths_are_refused_within_and_between_pools():
    eight, fourteen = scene("a", (40, 40), [(5, 5, 8, 8)]), scene("b", (40, 40), [(5, 5, 8, 8)], max_level=16383)
    with pytest.raises(SourceError, match=r"mixed: frames must share one bit depth, got highest levels \[255, 16383\]"):
        pool_of_frames([eight, fourteen], name="mixed")
    pools = [pool_of_frames([eight], name="A"), pool_of_frames([fourteen], name="B")]
    with pytest.raises(SourceError, match=r"one bit depth, got \[8, 14\] bits \(A has 8, B has 14\)"):
        Feed(pools, ViewConfig(crop_px=32), seed=0)


def test_a_source_without_any_target_is_refused_where_targets_are_needed():
    pool = pool_of_frames([scene("empty", (40, 40))], name="EMPTY")
    with pytest.raises(SourceError, match="EMPTY: no target in any labelled frame"):
        Feed([pool], ViewConfig(crop_px=32), seed=0)
    assert take(Feed([pool], ViewConfig(crop_px=32), seed=0, needs_targets=False), 1, batch=1)[0].images_B1HW.shape[-1] == 32
    with pytest.raises(SourceError, match="no target"):
        Feed([pool], ViewConfig(crop_px=32, paste_probability=0.5), seed=0, needs_targets=False)


def test_a_batch_larger_than_the_set_is_refused(mini_pool):
    with pytest.raises(RecipeError, match=r"train\.batch must be <= 5, the frames of all sources, got 6"):
        take(Feed([mini_pool], ViewConfig(crop_px=32), seed=0), 1, batch=6)


def test_whole_frames_of_several_sizes_need_a_crop(mini_pool):
    with pytest.raises(RecipeError, match=r"views\.crop_px must be a number"):
        Feed([mini_pool], ViewConfig(crop_px=None), seed=0)  # 130x150 canvas with quarter turns
    tiny = pool_of_frames([scene("tiny", (24, 24), [(5, 5, 8, 8)])], name="tiny")
    with pytest.raises(RecipeError, match="frames must be >= 32 px"):
        Feed([tiny], ViewConfig(crop_px=None, patch_turn=PatchTurn(probability=1, side=32)), seed=0)


def test_noise_mixing_without_any_quiet_window_is_refused():
    loud = frame_of(texture("loud", (64, 64)), np.eye(64))
    with pytest.raises(SourceError, match="no quiet noise window"):
        Feed([pool_of_frames([loud], name="LOUD")], ViewConfig(crop_px=32, noise_mix=NoiseMix(probability=1)), seed=0)


def test_a_folder_cannot_be_streamed_and_a_store_has_no_split(tmp_path, store_path):
    write_corpus(tmp_path, [scene("a", (40, 40), [(5, 5, 8, 8)])])
    with pytest.raises(SourceError, match="must be resident or auto for a folder"):
        open_pool(tmp_path, residence="streamed")
    with pytest.raises(SourceError, match="must not be given for a store"):
        open_pool(store_path, split="train")


def test_a_fault_in_a_shard_reaches_the_training_step(store_path, tmp_path):
    copy = copy_of(store_path, tmp_path)
    flip_bit(next(path for path in (copy / "image" / "c").rglob("*") if path.is_file()), bit=400)
    feed = Feed([open_pool(copy, residence="streamed")], ViewConfig(crop_px=32), seed=0)
    with pytest.raises(DamagedChunkError, match="run verify --repair"):
        take(feed, 15)
