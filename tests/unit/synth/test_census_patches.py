"""Patches without targets, the descriptor, and what its numbers react to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synth.census.descriptor import describe, descriptor_names
from synth.census.patches import PATCH_PX, PATCHES_PER_FRAME, draw_patches, patch_origins

NAMES = descriptor_names()


def grain(seed=0, num=8, sigma=8.0, blur=1.0):
    rng = np.random.default_rng(seed)
    return 100.0 + gaussian_filter(rng.normal(0.0, sigma, (num, PATCH_PX, PATCH_PX)), (0, blur, blur))


def described(patches):
    return dict(zip(NAMES, describe(np.asarray(patches, np.float32)).mean(axis=0), strict=True))


@pytest.mark.parametrize("hw", [(64, 64), (71, 200), (256, 256), (300, 129), (512, 640)])
def test_patches_lie_inside_apart_and_on_the_codec_grid(hw):
    origins = patch_origins(hw, None)
    assert len(origins) == (hw[0] // PATCH_PX) * (hw[1] // PATCH_PX)
    assert (origins >= 0).all() and (origins + PATCH_PX <= hw).all() and (origins % 8 == 0).all()
    apart = np.abs(origins[:, None] - origins[None]).max(axis=2)
    assert (apart[~np.eye(len(origins), dtype=bool)] >= PATCH_PX).all()
    margins = np.array(hw) - PATCH_PX - origins.max(axis=0), origins.min(axis=0)
    assert (np.abs(margins[0] - margins[1]) < 16).all(), "centred but for the codec grid"


@pytest.mark.parametrize("hw", [(63, 300), (300, 63), (8, 8)])
def test_small_frames_have_no_patch(hw):
    assert len(patch_origins(hw, None)) == 0
    assert draw_patches(np.zeros(hw), None, "small", 0).shape == (0, PATCH_PX, PATCH_PX)


@pytest.mark.parametrize(
    ("pixel", "num_taken"), [((60, 60), 1), ((61, 10), 2), ((10, 61), 2), ((10, 10), 1), ((67, 66), 2), ((66, 66), 4)]
)
def test_patches_keep_clear_of_targets(pixel, num_taken):
    """Four patches meet at (64, 64); a mask pixel takes those it lies in or within 3 px of."""
    mask = np.zeros((128, 128), np.uint8)
    mask[pixel] = 1
    assert 4 - len(patch_origins((128, 128), mask)) == num_taken


def test_kept_patches_hold_no_target_pixel():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = (rng.random((256, 320)) < 3e-5).astype(np.uint8)
        grown = np.pad(mask, 3)
        for row, col in patch_origins(mask.shape, mask):
            assert not grown[row : row + PATCH_PX + 6, col : col + PATCH_PX + 6].any()


def test_draw_depends_on_seed_and_id_alone():
    levels = np.random.default_rng(1).normal(100.0, 9.0, (512, 512))
    first = draw_patches(levels, None, "a", 0)
    assert first.shape == (PATCHES_PER_FRAME, PATCH_PX, PATCH_PX) and first.dtype == np.float32
    np.testing.assert_array_equal(first, draw_patches(levels, None, "a", 0))
    assert any((first != draw_patches(levels, None, name, seed)).any() for name, seed in (("b", 0), ("a", 1)))


def test_descriptor_is_finite_named_and_independent_of_its_neighbours():
    odd = [
        np.full((PATCH_PX, PATCH_PX), 0.0), np.full((PATCH_PX, PATCH_PX), 255.0), np.eye(PATCH_PX) * 255,
        np.indices((PATCH_PX, PATCH_PX)).sum(axis=0) % 2 * 255.0, np.zeros((PATCH_PX, PATCH_PX)),
    ]  # fmt: skip
    odd[-1][30, 30] = 255.0
    patches = np.concatenate([np.array(odd), grain(num=260)]).astype(np.float32)  # more than one chunk
    table = describe(patches)
    assert table.shape == (265, len(NAMES)) and np.isfinite(table).all()
    assert len(set(NAMES)) == len(NAMES) == 34
    np.testing.assert_array_equal(table[262:], describe(patches[262:]))
    assert describe(patches[:0]).shape == (0, len(NAMES))


def test_directions_follow_a_transpose():
    patches = grain(3) + 5.0 * np.random.default_rng(4).standard_normal((8, 1, PATCH_PX))  # column stripes
    here, there = described(patches), described(patches.transpose(0, 2, 1))
    for name, other in (
        ("log row stripes", "log column stripes"),
        ("correlation of residual along rows", "correlation of residual along columns"),
        ("log kurtosis of horizontal gradient", "log kurtosis of vertical gradient"),
    ):
        assert here[name] == pytest.approx(there[other], rel=1e-6)
    assert here["log column stripes"] > here["log row stripes"] + 1.0
    directed = [name for name in NAMES if name.startswith("row over column power")]
    assert len(directed) == 3 and all(here[name] > 0 for name in directed)
    assert [here[name] for name in directed] == pytest.approx([-there[name] for name in directed], rel=1e-6)
    assert here["oblique power"] == pytest.approx(there["oblique power"], rel=1e-6)


CHANGES = {
    "mean level": (lambda p: p + 30.0, 1),
    "log spread of levels": (lambda p: 100 + 2 * (p - 100), 1),
    "skewness of levels": (lambda p: 100 + np.exp((p - 100) / 2), 1),
    "log kurtosis of levels": (lambda p: 100 + (p - 100) ** 3, 1),
    "share of levels used": (lambda p: 4 * np.rint(p), -1),  # a display stretch leaves gaps in the histogram
    "share of equal neighbours": (np.rint, 1),
    "log step at 8-px blocks": (lambda p: p + np.repeat(np.random.default_rng(5).normal(0, 3, 8), 8), 1),
    "log power 0.35-0.5 cyc/px": (lambda p: gaussian_filter(p, (0, 1, 1)), -1),
    "log kurtosis at 0.7 px": (lambda p: p + 60.0 * (np.random.default_rng(6).random(p.shape) < 1e-3), 1),
    "bright over dark spots at 1.4 px": (lambda p: p - 60.0 * (np.random.default_rng(7).random(p.shape) < 1e-3), -1),
    "log fine residual": (lambda p: p + np.random.default_rng(8).normal(0, 3, p.shape), 1),
    "correlation of residual along rows": (lambda p: p + np.random.default_rng(9).normal(0, 9, p.shape), -1),
    "quietest block's log residual": (lambda p: np.where(np.arange(PATCH_PX) < 10, 100.0, p), -1),
    "variation of residual over blocks": (lambda p: np.where(np.arange(PATCH_PX) < 30, 100.0, p), 1),
    "variation of spread over blocks": (lambda p: np.where(np.arange(PATCH_PX) < 30, 100.0, p), 1),
    "log row stripes": (lambda p: p + np.random.default_rng(10).normal(0, 2, (PATCH_PX, 1)), 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_numbers_react_to_what_they_are_named_after(name):
    change, sign = CHANGES[name]
    patches = grain(11)
    assert sign * (described(change(patches))[name] - described(patches)[name]) > 0.02


def test_gain_leaves_shape_alone():
    """Doubled contrast on a strong grain: quantisation terms are negligible there."""
    patches = grain(12, sigma=60.0)
    here, there = described(patches), described(100 + 2 * (patches - 100))
    for name in NAMES:
        if name.startswith(
            ("log kurtosis", "bright", "row over", "correlation", "oblique", "log power", "log row", "log column")
        ):
            assert there[name] == pytest.approx(here[name], abs=0.02), name
