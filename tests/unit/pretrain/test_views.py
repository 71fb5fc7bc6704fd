"""Views: image and mask stay aligned, nothing is lost without interpolation, and every draw belongs to its sample alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage

from pretrain.feed import Feed
from pretrain.frames import pool_of_frames
from pretrain.order import Partition
from pretrain.view_plan import CutPlan, plan_patch_turns
from pretrain.views import NoiseMix, PatchTurn, Radiometry, ViewConfig, Views, Warp
from synth.noise import NoiseConfig, NoiseMixer
from tests.support.builders import frame_of, scene

HW = (48, 40)


def coded_pool(hw=HW, num=1):
    """16-bit frames whose levels number their pixels; the mask holds the pixels whose number is a multiple of 7."""
    numbers = np.arange(hw[0] * hw[1]).reshape(hw)
    frames = [frame_of(numbers, numbers % 7 == 0, max_level=65535, name=f"f{i}") for i in range(num)]
    return pool_of_frames(frames, name="coded")


def batch_of(pool, config, num, *, start=0, seed=0, needs_targets=False):
    feed = Feed([pool], config, seed=seed, needs_targets=needs_targets)
    batches = feed.batches(start, Partition(len(pool)))
    return [next(batches) for _ in range(num)]


def numbers_of(batch):
    """Pixel numbers that views of :func:`coded_pool` show, int64 (B, H, W)."""
    return np.rint(batch.images_B1HW[:, 0].numpy().astype(np.float64) * 65535).astype(np.int64)


def test_image_and_mask_go_through_one_map_and_keep_every_value():
    config = ViewConfig(crop_px=32, patch_turn=PatchTurn(probability=1, side=8))
    for batch in batch_of(coded_pool(), config, 30):
        shown = numbers_of(batch)
        assert shown.min() >= 0 and shown.max() < HW[0] * HW[1]
        np.testing.assert_array_equal(batch.masks_B1HW[:, 0].numpy(), shown % 7 == 0)


def test_all_eight_symmetries_come_equally_often_and_are_what_they_say():
    config = ViewConfig(crop_px=16, centre_probability=0)
    counts = {}
    for batch in batch_of(coded_pool((16, 16)), config, 800):
        shown = numbers_of(batch)[0]
        counts[shown.tobytes()] = counts.get(shown.tobytes(), 0) + 1
    own = np.arange(256).reshape(16, 16)
    expected = {np.rot90(side, k).tobytes() for side in (own, own.T) for k in range(4)}
    assert counts.keys() == expected
    assert all(60 <= count <= 140 for count in counts.values())  # 100 expected, standard deviation 9.4


def test_rotations_without_flips_are_the_four_quarter_turns():
    config = ViewConfig(crop_px=16, flip=False)
    shown = {numbers_of(batch)[0].tobytes() for batch in batch_of(coded_pool((16, 16)), config, 60)}
    assert shown == {np.rot90(np.arange(256).reshape(16, 16), k).tobytes() for k in range(4)}


def test_without_flips_turns_and_crops_a_frame_is_itself():
    batch = batch_of(coded_pool(), ViewConfig(crop_px=None, flip=False, rot90=False), 1)[0]
    np.testing.assert_array_equal(numbers_of(batch)[0], np.arange(HW[0] * HW[1]).reshape(HW))
    assert batch.valid_B1HW.all()


def test_a_smaller_frame_is_continued_by_reflection_and_flagged():
    config = ViewConfig(crop_px=100, flip=False, rot90=False)
    batch = batch_of(coded_pool(), config, 1)[0]
    own = np.arange(HW[0] * HW[1]).reshape(HW)
    np.testing.assert_array_equal(numbers_of(batch)[0], np.pad(own, ((0, 52), (0, 60)), mode="reflect"))
    valid = batch.valid_B1HW[0, 0].numpy()
    assert valid[:48, :40].all() and valid.sum() == 48 * 40


def test_padding_is_flagged_through_every_symmetry():
    for batch in batch_of(coded_pool(), ViewConfig(crop_px=100), 16):
        shown, valid = numbers_of(batch)[0], batch.valid_B1HW[0, 0].numpy()
        assert sorted(shown[valid].tolist()) == list(range(HW[0] * HW[1]))  # each pixel once: the frame, no copy of it


def test_one_pixel_frames_and_lines_can_be_cut():
    for hw in ((1, 1), (1, 30), (32, 1)):
        batch = batch_of(coded_pool(hw), ViewConfig(crop_px=32), 1)[0]
        assert int(batch.valid_B1HW.sum()) == hw[0] * hw[1] and numbers_of(batch).max() < hw[0] * hw[1]


@pytest.mark.parametrize("margin", [0, 8, 40])
def test_a_centred_crop_shows_its_target_with_the_margin(margin):
    frame = scene("one", (120, 90), [(60, 41, 61, 42)])
    pool = pool_of_frames([frame], name="one")
    places = []
    for batch in batch_of(pool, ViewConfig(crop_px=32, centre_probability=1, margin_px=margin), 200):
        at = np.argwhere(batch.masks_B1HW[0, 0].numpy())
        assert len(at) == 1
        places.append(at[0])
    inner = min(margin, 15)
    assert np.min(places) == inner and np.max(places) == 31 - inner  # uniform over all places that keep it


def test_uniform_crops_reach_every_corner():
    starts = set()
    for batch in batch_of(coded_pool((20, 18)), ViewConfig(crop_px=16, centre_probability=0, flip=False, rot90=False), 200):
        starts.add(divmod(int(numbers_of(batch)[0, 0, 0]), 18))
    assert starts == {(row, col) for row in range(5) for col in range(3)}


def test_the_centred_share_is_the_probability():
    pool = pool_of_frames([scene("one", (256, 256), [(128, 128, 129, 129)])], name="one")
    batches = batch_of(pool, ViewConfig(crop_px=16, centre_probability=0.6, margin_px=0), 500)
    share = np.mean([float(batch.masks_B1HW.sum()) > 0 for batch in batches])
    assert abs(share - 0.6) < 0.07  # three standard deviations; a uniform crop shows it in 0.4 % of cases


def test_patch_turns_rotate_the_square_around_the_target_and_nothing_else():
    frame = frame_of(np.arange(1600).reshape(40, 40), np.zeros((40, 40)), max_level=65535)
    frame.mask[20, 13] = 1
    pool = pool_of_frames([frame], name="coded")
    plain = ViewConfig(crop_px=32, centre_probability=1)
    turned = plain.model_copy(update={"patch_turn": PatchTurn(probability=1, side=6)})
    kinds = set()
    for one, other in zip(batch_of(pool, plain, 40), batch_of(pool, turned, 40), strict=True):
        before, after = numbers_of(one)[0], numbers_of(other)[0]
        row, col = np.argwhere(one.masks_B1HW[0, 0].numpy())[0]
        box = slice(row - 3, row + 3), slice(col - 3, col + 3)
        matches = [k for k in range(4) if np.array_equal(np.rot90(before[box], k), after[box])]
        assert len(matches) == 1
        kinds.add(matches[0])
        before[box] = after[box]
        np.testing.assert_array_equal(before, after)
    assert kinds == {0, 1, 2, 3}


def test_four_patch_turns_are_none_and_squares_stay_in_the_valid_region():
    rows, valid = np.arange(12)[None] * 12, np.arange(12)[None] < 9
    focus = np.array([[8.9, 0.2]])
    plan = CutPlan(rows, np.arange(12)[None], valid, np.ones((1, 12), bool), focus, np.zeros((1, 2), int), np.array([[9, 12]]))
    target, source = plan_patch_turns(plan, 4, np.array([1]))
    assert set(target[0]) == set(source[0]) == {12 * row + col for row in range(5, 9) for col in range(4)}
    image = np.arange(144)
    for _ in range(4):
        image[target[0]] = image[source[0]].copy()
    np.testing.assert_array_equal(image, np.arange(144))
    for spoiled in (np.array([[np.nan, np.nan]]), focus):  # out of view, or larger than what is valid
        side = 4 if np.isnan(spoiled).any() else 10
        same = plan_patch_turns(CutPlan(rows, plan.second, valid, plan.second_valid, spoiled, focus, focus), side, np.array([1]))
        np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("dc", ["keep", "zero_mean"])
def test_noise_mixing_equals_the_offline_mixer_on_whole_frames(dc):
    """Offline rounds to levels, so half a level apart at most."""
    frame = scene("quiet", (64, 64), [(30, 30, 32, 32)])
    pool = pool_of_frames([frame], name="quiet")
    config = ViewConfig(crop_px=None, flip=False, rot90=False, noise_mix=NoiseMix(probability=1, alphas=(0.3,), dc=dc))
    feed = Feed([pool], config, seed=0)
    mixed = next(feed.batches(0, Partition(1))).images_B1HW[0, 0].numpy() * 255
    windows = feed._views._noise_MSS
    assert windows is not None and len(windows) == 3  # four windows of 32 px, one with the target
    mixer, candidates = NoiseMixer(NoiseConfig(dc=dc), (64, 64)), []
    for window in (windows.numpy() * 255).round().astype(np.uint8):
        out = np.empty((64, 64), np.uint8)
        mixer.mix(frame.levels, 255, window, 0.3, mixer.draw(window, 0.3, 1.0, np.random.default_rng(0)), out)
        candidates.append(np.abs(mixed - out).max())
    assert min(candidates) <= 0.51


def test_pasted_targets_keep_their_contrast_and_never_touch_another():
    frames = [scene("a", (96, 96), [(40, 40, 43, 43)], grain=0), scene("b", (96, 96), [(20, 60, 24, 62)], grain=0, level=30)]
    pool = pool_of_frames(frames, name="two")
    plain = ViewConfig(crop_px=96, centre_probability=0)
    pasted = plain.model_copy(update={"paste_probability": 1.0})
    num_more = 0
    for before, after in zip(batch_of(pool, plain, 20), batch_of(pool, pasted, 20), strict=True):
        for i in range(2):
            old, new = before.masks_B1HW[i, 0].numpy() > 0, after.masks_B1HW[i, 0].numpy() > 0
            assert (new >= old).all()
            _, num = ndimage.label(new, np.ones((3, 3)))
            assert num == ndimage.label(old, np.ones((3, 3)))[1] + bool((new & ~old).any())
            if num == 1:
                continue
            num_more += 1
            change = (after.images_B1HW - before.images_B1HW)[i, 0].numpy() * 255
            added = new & ~old
            assert int(added.sum()) in (9, 8)
            donor = frames[0] if added.sum() == 9 else frames[1]
            levels = donor.levels[donor.mask > 0].astype(float) - (90 if donor is frames[0] else 30)
            room = 255 - before.images_B1HW[i, 0].numpy()[added] * 255
            np.testing.assert_allclose(np.sort(change[added]), np.sort(np.minimum(levels, room.min())), atol=0.01)
            assert np.abs(change[~ndimage.binary_dilation(added, np.ones((3, 3)), 2)]).max() < 1e-4
    assert num_more > 20  # of 40; the others met a target


@pytest.mark.parametrize(
    ("name", "value", "low", "high"),
    [("gain", 0.25, 0.5 * 0.75, 0.5 * 1.25), ("offset", 0.1, 0.4, 0.6), ("gamma", 1.0, 0.25, np.sqrt(0.5))],
)
def test_level_changes_span_their_range(name, value, low, high):
    pool = pool_of_frames([frame_of(np.full((16, 16), 32767.5), np.eye(16), max_level=65535)], name="grey")
    levels = [
        float(b.images_B1HW.mean()) for b in batch_of(pool, ViewConfig(crop_px=16, radiometry=Radiometry(**{name: value})), 300)
    ]
    span = high - low
    assert low <= min(levels) < low + 0.05 * span and high - 0.05 * span < max(levels) <= high + 1e-6


def test_grain_and_columns_have_the_deviation_they_say():
    pool = pool_of_frames([frame_of(np.full((64, 64), 128), np.eye(64))], name="grey")
    for config, axis_share in ((Radiometry(grain=0.1), 1.0), (Radiometry(columns=0.1), 1.0)):
        images = torch.cat(
            [b.images_B1HW for b in batch_of(pool, ViewConfig(crop_px=64, flip=False, rot90=False, radiometry=config), 100)]
        )
        deviations = images.std(dim=3).flatten()
        # the standard deviation is uniform up to 0.1: its square has the mean 0.1^2 / 3
        assert float((deviations**2).mean()) == pytest.approx(axis_share * 0.01 / 3, rel=0.25)
        is_column = float(images.std(dim=2).mean()) < 1e-6
        assert is_column == (config.columns > 0)


def test_everything_at_once_stays_in_range_and_belongs_to_its_position():
    frames = [scene(f"s{i}", (70 + 5 * i, 64), [(20, 20, 23, 22), (50, 40, 51, 41)]) for i in range(4)]
    pool = pool_of_frames(frames, name="four")
    config = ViewConfig(
        crop_px=48, patch_turn=PatchTurn(probability=0.5, side=4), noise_mix=NoiseMix(probability=0.5, alphas=(0.1, 0.5)),
        paste_probability=0.5, warp=Warp(probability=0.3),
        radiometry=Radiometry(gain=0.5, offset=0.5, gamma=0.5, blur_px=0.5, grain=0.1, columns=0.1),
    )  # fmt: skip
    whole = batch_of(pool, config, 10)
    for batch in whole:
        assert batch.images_B1HW.min() >= 0 and batch.images_B1HW.max() <= 1
        assert set(batch.masks_B1HW.unique().tolist()) <= {0.0, 1.0}
        assert not batch.masks_B1HW[~batch.valid_B1HW].any()
    feed = Feed([pool], config, seed=0)
    alone = feed.batches(17, Partition(1))
    single = next(alone)
    assert single.positions.tolist() == [17] and single.indices[0] == whole[4].indices[1]
    torch.testing.assert_close(single.images_B1HW[0], whole[4].images_B1HW[1], atol=2e-7, rtol=0)  # bmm sums in other orders
    assert torch.equal(single.masks_B1HW[0], whole[4].masks_B1HW[1])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"warp": {"probability": 0.5}}, "warp.probability"),
        ({"crop_px": 20, "paste_probability": 0.1}, "crop_px must be >= 32"),
        ({"crop_px": 16, "patch_turn": {"probability": 0.1, "side": 32}}, "crop_px must be >= 32"),
        ({"patch_turn": {"side": 5}}, "patch_turn.side"),
        ({"noise_mix": {"alphas": []}}, "noise_mix.alphas"),
        ({"radiometry": {"blur_px": 2}}, "radiometry.blur_px"),
        ({"hflip": True}, "hflip"),
    ],
)
def test_settings_that_cannot_be_are_named(keys, message):
    with pytest.raises(ValidationError, match=message):
        ViewConfig.model_validate(keys)


def test_everything_but_lossless_geometry_is_off_by_default():
    config = ViewConfig()
    assert not config.needs_targets and config.noise_mix.probability == config.warp.probability == 0
    assert set(config.radiometry.model_dump().values()) == {0.0}
    assert Views(config, (256, 256), 0, "cpu").hw == (256, 256)
