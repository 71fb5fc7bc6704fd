"""Near duplicates, equal pixels, groups, and what an audit concludes from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synth.corpora import compare, fingerprint, leakage, near_duplicates, thumbnail
from synth.corpora.decode import hash_pixels
from synth.corpora.exposure import count_groups, expose
from synth.corpora.grouping import count_targets, draw_validation, near_duplicate_groups
from synth.corpora.leakage import near_duplicates_within
from synth.errors import SourceError
from synth.sample import Frame


def scene(seed, shape=(64, 80)):
    """Return a smooth random scene."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 4.0)
    return np.round(127 + 100 * noise / np.abs(noise).max()).astype(np.uint8)


def frame(frame_id, levels):
    return Frame(frame_id, levels, 255 if levels.dtype == np.uint8 else 65535, None)


def prints(name, **levels):
    return fingerprint(name, [(frame(key, values), hash_pixels(values)) for key, values in levels.items()])


def test_thumbnail_is_ready_for_dot_products():
    small = thumbnail(frame("a", scene(0)))
    assert small.shape == (32, 32) and small.dtype == np.float32
    assert abs(float(small.astype(np.float64).mean())) < 1e-8
    assert float(np.sum(small.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-6)


def test_thumbnail_is_an_area_average():
    levels = scene(1, (64, 96))
    means = levels.reshape(32, 2, 32, 3).mean(axis=(1, 3))
    expected = (means - means.mean()) / np.linalg.norm(means - means.mean())
    np.testing.assert_allclose(thumbnail(frame("a", levels)), expected, atol=1e-6)


def test_thumbnail_ignores_gain_offset_and_bit_depth():
    levels = scene(2)
    deep = levels.astype(np.uint16) * 100 + 5000
    np.testing.assert_allclose(thumbnail(frame("a", levels)), thumbnail(frame("b", deep)), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 300), (33, 31)])
def test_thumbnail_of_any_size(shape):
    assert thumbnail(frame("a", scene(3, shape))).shape == (32, 32)


def test_flat_frames_have_no_correlation():
    flat = prints("x", a=np.full((20, 20), 7, np.uint8), b=np.full((20, 20), 9, np.uint8), c=np.full((20, 20), 7, np.uint8))
    assert not flat.thumbnails.any()
    assert near_duplicates_within(flat.thumbnails) == []
    assert near_duplicate_groups(flat).tolist() == [0, 1, 0]


def test_near_duplicates_find_the_shifted_and_noisy_copy():
    base = [scene(seed) for seed in range(6)]
    noisy = np.clip(np.roll(base[3], 1, axis=1) + np.random.default_rng(0).normal(0, 4, base[3].shape), 0, 255)
    first = np.stack([thumbnail(frame(str(i), levels)) for i, levels in enumerate(base)])
    second = thumbnail(frame("copy", noisy.astype(np.uint8)))[None]
    ((i, j, ncc),) = near_duplicates(first, second, 0.95)
    assert (i, j) == (3, 0) and 0.95 <= ncc <= 1.0


@pytest.mark.parametrize("block", [1, 3, 7, 64])
def test_blocks_do_not_change_the_answer(monkeypatch, block):
    thumbs = np.stack([thumbnail(frame("a", scene(seed // 2))) for seed in range(20)])
    dense = thumbs.reshape(20, -1) @ thumbs.reshape(20, -1).T
    expected = [(int(i), int(j)) for i, j in np.argwhere(dense >= 0.5)]
    monkeypatch.setattr(leakage, "_BLOCK", block)
    assert [pair[:2] for pair in near_duplicates(thumbs, thumbs, 0.5)] == expected
    assert [pair[:2] for pair in near_duplicates_within(thumbs, 0.5)] == [(i, j) for i, j in expected if i < j]


def test_empty_groups_compare():
    nothing = fingerprint("none", [])
    assert len(nothing) == 0 and nothing.thumbnails.shape == (0, 32, 32)
    overlap = compare(nothing, prints("x", a=scene(0)))
    assert overlap.affected_b == frozenset() and overlap.shared_ids == ()


def test_compare_tells_names_pixels_and_looks_apart():
    known = prints("set/train", a=scene(0), b=scene(1), c=scene(2))
    brighter = np.clip(scene(1).astype(int) + 10, 0, 255).astype(np.uint8)
    tested = prints("set/test", a=scene(7), renamed=scene(0), brighter=brighter, fresh=scene(8))
    overlap = compare(known, tested)
    assert overlap.shared_ids == ("a",)
    assert overlap.equal_pixels == (("a", "renamed"),)
    assert [(pair.id_a, pair.id_b) for pair in overlap.near_duplicates] == [("a", "renamed"), ("b", "brighter")]
    assert overlap.near_duplicates[0].ncc == pytest.approx(1.0, abs=1e-6)
    assert overlap.affected_b == {"renamed", "brighter"}


def test_exposure_of_a_test_list():
    train = prints("set/train", a=scene(0), b=scene(1))
    test = prints("set/test", t0=scene(0), t1=scene(1)[:, :-2], t2=scene(5))
    other_test = prints("other/test", o=scene(5))
    exposure = expose(test, [compare(train, test), compare(other_test, test)])
    assert (exposure.equal, exposure.affected, exposure.clean) == (("t0",), ("t0", "t1"), ("t2",))
    assert (exposure.num_frames, dict(exposure.num_by_group)) == (3, {"set/train": 2})


def test_groups_across_splits():
    train = prints("set/train", a=scene(0), b=scene(1), c=scene(1)[:, :-1])
    test = prints("set/test", t=scene(0), u=scene(9))
    count = count_groups("set", [train, test], 0.95)
    assert (count.num_frames, count.num_groups, count.largest, count.num_cut) == (5, 3, 2, 1)


def test_groups_are_chains():
    chain = np.zeros((4, 32, 32), np.float32)
    chain[[0, 1, 2, 3], 0, [0, 0, 1, 5]] = [1.0, 0.8, 1.0, 1.0]
    chain[1, 0, 1] = 0.6  # NCC .8 with frame 0, .6 with frame 2, while 0 and 2 share nothing
    group = leakage.Fingerprints("x", tuple("abcd"), tuple("abcd"), chain)
    assert near_duplicate_groups(group, 0.55).tolist() == [0, 0, 0, 1]
    assert near_duplicate_groups(group, 0.7).tolist() == [0, 0, 1, 2]


def test_targets_are_counted_over_diagonals():
    mask = np.zeros((8, 8), np.uint8)
    mask[1, 1] = mask[2, 2] = mask[5, 5] = 1
    assert count_targets(mask) == 2
    assert count_targets(np.zeros((8, 8), np.uint8)) == 0


def test_validation_keeps_groups_whole_and_strata_in_share():
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 300, 400))
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    strata = rng.choice([1, 2, 3], size=400, p=[0.6, 0.3, 0.1])
    drawn = draw_validation(groups, strata, 80, seed=0)
    assert drawn.sum() == 80
    assert not set(groups[drawn]) & set(groups[~drawn])
    shares = [int(np.sum(strata[drawn] == value)) for value in (1, 2, 3)]
    assert np.abs(np.array(shares) - 0.2 * np.bincount(strata)[1:]).max() <= 2
    np.testing.assert_array_equal(drawn, draw_validation(groups, strata, 80, seed=0))
    assert not np.array_equal(drawn, draw_validation(groups, strata, 80, seed=1))


def test_validation_quotas_are_largest_remainders():
    strata = np.repeat([1, 2, 3, 4], [431, 215, 11, 6])
    drawn = draw_validation(np.arange(663), strata, 133, seed=0)
    assert [int(np.sum(strata[drawn] == value)) for value in (1, 2, 3, 4)] == [87, 43, 2, 1]


def test_validation_that_cannot_be_drawn_refused():
    groups = np.repeat(np.arange(4), 3)
    with pytest.raises(SourceError, match=r"add up to 3 frames, not 4; ask for 3"):
        draw_validation(groups, np.ones(12, np.int64), 4, seed=0)
    for num in (0, 12, -1):
        with pytest.raises(SourceError, match=rf"1\.\.11 of 12 frames, got {num}"):
            draw_validation(groups, np.ones(12, np.int64), num, seed=0)
