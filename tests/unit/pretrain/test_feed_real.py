"""The feed on real frames: ragged sizes, both sets, and every target in its place."""

from __future__ import annotations

import numpy as np
import pytest

from pretrain.feed import Feed
from pretrain.frames import open_pool
from pretrain.order import Partition
from pretrain.views import ViewConfig
from synth import open_corpus

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize(("name", "num_frames", "num_targets"), [("sirst-v1", 256, 327), ("nudt-sirst", 530, 735)])
def test_views_of_a_training_list_show_its_own_pixels(sirst_data, name, num_frames, num_targets):
    pool = open_pool(sirst_data / name, split="train")
    assert (len(pool), pool.num_targets, pool.bit_depth) == (num_frames, num_targets, 8)
    held_out = {ref.id for ref in open_corpus(sirst_data / name, "test").frames}
    assert not held_out & set(pool.ids)
    config = ViewConfig(crop_px=64, centre_probability=1, flip=False, rot90=False)
    batches = Feed([pool], config, seed=0).batches(0, Partition(32))
    num_crops = 0
    for _ in range(4):
        batch = next(batches)
        shown, masks = (part[:, 0].numpy() for part in (batch.images_B1HW, batch.masks_B1HW))
        assert (
            masks.reshape(32, -1).any(axis=1) == [pool.first_target[i + 1] > pool.first_target[i] for i in batch.indices]
        ).all()
        for image, mask, index in zip(shown, masks, batch.indices.tolist(), strict=True):
            frame = pool.frame(index)
            assert frame.mask is not None
            levels = np.pad(frame.levels, [(0, max(64 - n, 0)) for n in frame.hw], mode="reflect")
            windows = np.lib.stride_tricks.sliding_window_view(levels, (64, 64))
            at = np.argwhere(windows[..., 0, :8] @ np.arange(1, 9) == np.rint(image[0, :8] * 255) @ np.arange(1, 9))
            found = [(r, c) for r, c in at.tolist() if np.array_equal(windows[r, c], np.rint(image * 255))]
            padded = np.pad(frame.mask, [(0, max(64 - n, 0)) for n in frame.hw], mode="reflect")
            assert any(np.array_equal(padded[r : r + 64, c : c + 64], mask) for r, c in found)
            num_crops += 1
    assert num_crops == 128
