"""Noise displacement: geometry, weights, options and rounding of one mixing."""

from __future__ import annotations

import numpy as np
import pytest

from synth.noise import MixPlan, NoiseConfig, NoiseMixer
from synth.noise.mixing import CALIBRATED_RATIO
from synth.rng import Stream, keyed_generator
from tests.support.builders import texture

SIDE = 16
HW = (48, 64)
NO_TILES = np.empty((0, 0, 3), np.int64)
STILL = MixPlan(1.0, NO_TILES)
PATCH = texture("window", (SIDE, SIDE), low=80, high=110).astype(np.uint8)
IMAGE = texture("image", HW, low=40, high=200).astype(np.uint8)
OPTIONS = [{}, {"upsample": "tile"}, {"upsample": "reflect_quilt"}, {"dc": "zero_mean"}, {"detrend": "plane"}, {"gain": 3.0}]


def quilt(hw, tiles=(0, 0, 0), gain=1.0, side=SIDE) -> MixPlan:
    """Return a plan whose tiles are all alike, or as given."""
    num_rows, num_cols = (-(-size // side) for size in hw)
    return MixPlan(gain, np.broadcast_to(np.array(tiles, np.int64), (num_rows, num_cols, 3)).copy())


def mix(levels, patch, alpha, plan=None, *, max_level=255, dtype=np.uint8, **config):
    """Mix into a fresh canvas and check that nothing that was given has changed."""
    if plan is None:
        plan = quilt(levels.shape, side=len(patch)) if config.get("upsample") == "reflect_quilt" else STILL
    given = levels.copy(), patch.copy()
    out = np.empty(levels.shape, dtype)
    NoiseMixer(NoiseConfig(window_px=len(patch), **config), levels.shape).mix(levels, max_level, patch, alpha, plan, out)
    assert np.array_equal(given[0], levels) and np.array_equal(given[1], patch)
    return out


def draw(seed=0, patch=PATCH, alpha=0.1, own_std=2.0, **config):
    mixer = NoiseMixer(NoiseConfig(window_px=SIDE, **config), HW)
    return mixer.draw(patch, alpha, own_std, keyed_generator(seed, Stream.NOISE, 0))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("max_level", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_alpha_0_returns_the_image_bit_for_bit(options, max_level, dtype):
    levels = np.arange(HW[0] * HW[1]).reshape(HW) * max_level // (HW[0] * HW[1] - 1)
    np.testing.assert_array_equal(mix(levels.astype(dtype), PATCH, 0.0, max_level=max_level, dtype=dtype, **options), levels)


def test_alpha_1_returns_the_noise():
    expected = np.tile(PATCH, (3, 4))
    np.testing.assert_array_equal(mix(IMAGE, PATCH, 1.0, upsample="tile"), expected)


@pytest.mark.parametrize("hw", [(16, 16), (17, 31), (50, 33)])
def test_tiles_repeat_from_the_corner_and_are_cut_at_the_edge(hw):
    out = mix(np.zeros(hw, np.uint8), PATCH, 1.0, upsample="tile")
    rows, cols = np.indices(hw)
    np.testing.assert_array_equal(out, PATCH[rows % SIDE, cols % SIDE])


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("start", [(0, 0), (1, 0), (0, 15), (16, 31), (31, 31)])
@pytest.mark.parametrize("hw", [(16, 16), (50, 33)])
def test_a_quilt_is_made_of_pieces_of_the_mirrored_window(hw, start, transposed):
    out = mix(np.zeros(hw, np.uint8), PATCH, 1.0, quilt(hw, (*start, transposed)), upsample="reflect_quilt")
    patch = PATCH
    mirrored = np.block([[patch, patch[:, ::-1]], [patch[::-1], patch[::-1, ::-1]]])
    piece = np.tile(mirrored.T if transposed else mirrored, (2, 2))[start[0] : start[0] + SIDE, start[1] : start[1] + SIDE]
    np.testing.assert_array_equal(out, np.tile(piece, (4, 3))[: hw[0], : hw[1]])


def test_every_piece_of_a_quilt_has_its_own_place():
    tiles = np.array([[[0, 0, 0], [3, 30, 0], [31, 2, 1], [16, 16, 1]]] * 3)
    tiles[1] = tiles[1, ::-1]
    whole = mix(np.zeros(HW, np.uint8), PATCH, 1.0, quilt(HW, tiles), upsample="reflect_quilt")
    for i in range(3):
        for j in range(4):
            cut = whole[16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
            alone = mix(np.zeros((16, 16), np.uint8), PATCH, 1.0, quilt((16, 16), tiles[i, j]), upsample="reflect_quilt")
            np.testing.assert_array_equal(cut, alone)


@pytest.mark.parametrize("upsample", ["bilinear", "tile"])
def test_only_the_quilt_draws_pieces(upsample):
    mixer, rng = NoiseMixer(NoiseConfig(window_px=SIDE, upsample=upsample), HW), keyed_generator(0, Stream.NOISE, 0)
    plan = mixer.draw(PATCH, 0.1, 2.0, rng)
    assert plan.gain == 1.0 and plan.tiles.size == 0
    assert rng.bytes(8) == keyed_generator(0, Stream.NOISE, 0).bytes(8)


def test_quilt_pieces_cover_all_places_and_both_turns():
    """2,400 pieces: each of the 32 starts 75 +- 9 times (62 to 87 here), transposed 1,200 +- 25 times (1,196)."""
    tiles = np.concatenate([draw(seed, upsample="reflect_quilt").tiles.reshape(-1, 3) for seed in range(200)])
    assert tiles.shape == (200 * 3 * 4, 3) and tiles.min() == 0
    for axis in (0, 1):
        counts = np.bincount(tiles[:, axis], minlength=2 * SIDE)
        assert len(counts) == 2 * SIDE and counts.min() > 40 and counts.max() < 115
    assert set(tiles[:, 2]) == {0, 1} and abs(tiles[:, 2].sum() - 1200) < 125
    assert abs(np.corrcoef(tiles.T) - np.eye(3)).max() < 0.1


def test_rounding_is_half_up_and_done_once():
    levels = np.full((16, 16), 101, np.uint8)
    assert mix(levels, np.full((16, 16), 100, np.uint8), 0.5).tolist() == [[101] * 16] * 16
    assert mix(levels, np.full((16, 16), 102, np.uint8), 0.5).tolist() == [[102] * 16] * 16
    assert (mix(levels, np.full((16, 16), 100, np.uint8), 0.75) == 100).all()  # 100.25


def test_keep_scales_contrast_and_adds_a_pedestal():
    """The released step in one line: contrast times 1 - alpha, brightness plus alpha times the window's mean."""
    flat = np.full((SIDE, SIDE), 60, np.uint8)
    np.testing.assert_array_equal(mix(IMAGE, flat, 0.3), np.floor(0.7 * IMAGE + 0.3 * 60 + 0.5 + 1e-9))


@pytest.mark.parametrize(("upsample", "bound"), [("tile", 0.002), ("bilinear", 0.002), ("reflect_quilt", 0.15)])
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_zero_mean_keeps_the_mean(upsample, bound, alpha):
    """Worst mean added: 0.0009 DN by tiles and bilinear (float32 and rounding), 0.11 by quilts, whose pieces overlap.

    Kept means move it by alpha times (mean of the window - mean of the image), here -2.6 and -12.9 DN.
    """
    levels = IMAGE.astype(np.uint16) * 257
    options = {"max_level": 65535, "dtype": np.uint16, "upsample": upsample}
    for seed in range(20 if upsample == "reflect_quilt" else 1):
        plan = draw(seed, upsample=upsample)
        added = mix(levels, PATCH, alpha, plan, dc="zero_mean", **options) / 257.0 - IMAGE
        assert abs(added.mean()) < bound
        blur = 0.7 if upsample == "bilinear" else 1.0  # what a linear stretch leaves of white noise; within 1.3 % in quilts
        assert added.std() == pytest.approx(alpha * blur * PATCH.std(), rel=0.02)
        kept = mix(levels, PATCH, alpha, plan, **options) / 257.0 - IMAGE
        assert kept.mean() == pytest.approx(alpha * (PATCH.mean() - IMAGE.mean()), abs=bound)


def test_zero_mean_adds_exactly_alpha_times_the_fluctuation():
    out = mix(IMAGE.astype(np.uint16) * 257, PATCH, 0.25, max_level=65535, dtype=np.uint16, upsample="tile", dc="zero_mean")
    expected = IMAGE + 0.25 * np.tile(PATCH - PATCH.mean(), (3, 4))
    assert np.abs(out / 257.0 - expected).max() <= 0.5 / 257 + 1e-4  # rounding, and float32 of values up to 65535


@pytest.mark.parametrize(("slope_row", "slope_col"), [(2, 0), (0, 3), (2, 3), (-1, 4)])
def test_plane_detrend_removes_a_plane(slope_row, slope_col):
    rows, cols = np.indices((SIDE, SIDE))
    plane = (100 + slope_row * rows + slope_col * cols).astype(np.uint8)
    options = {"upsample": "tile", "dc": "zero_mean"}
    assert (mix(IMAGE, plane, 0.5, **options) != IMAGE).any()
    np.testing.assert_array_equal(mix(IMAGE, plane, 0.5, detrend="plane", **options), IMAGE)


def test_plane_detrend_removes_nothing_else():
    """Noise without slope is left alone, noise on a plane gives the same: checked against numpy's least squares."""
    rows, cols = np.indices((SIDE, SIDE))
    tilted = (PATCH + 2 * rows + 3 * cols).astype(np.uint8)
    design = np.column_stack([np.ones(SIDE**2), rows.ravel(), cols.ravel()])
    left = tilted.ravel() - design @ np.linalg.lstsq(design, tilted.ravel().astype(float), rcond=None)[0]
    dark = np.full(HW, 30_000, np.uint16)
    options = {"upsample": "tile", "dc": "zero_mean", "detrend": "plane", "max_level": 65535, "dtype": np.uint16}
    added = (mix(dark, tilted, 0.5, **options) - 30_000.0) / 257
    assert np.abs(added - np.tile(0.5 * left.reshape(SIDE, SIDE), (3, 4))).max() <= 0.5 / 257 + 1e-4
    np.testing.assert_array_equal(mix(dark, PATCH, 0.5, **options), mix(dark, tilted, 0.5, **options))


def test_local_mean_detrend_takes_the_mean_of_5x5_pixels():
    options = {"upsample": "tile", "dc": "zero_mean", "detrend": "local_mean", "max_level": 65535, "dtype": np.uint16}
    added = (mix(np.full(HW, 30_000, np.uint16), PATCH, 0.5, **options) - 30_000.0) / 257
    padded = np.pad(PATCH.astype(float), 2, mode="symmetric")
    left = PATCH - np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean(axis=(2, 3))
    expected = np.tile(0.5 * (left - left.mean()), (3, 4))
    assert np.abs(added - expected).max() <= 0.5 / 257 + 1e-4


def test_detrend_with_kept_mean_keeps_the_mean():
    plane = np.broadcast_to(100 + 2 * np.arange(SIDE), (SIDE, SIDE)).astype(np.uint8)  # mean 115
    out = mix(np.full(HW, 15, np.uint8), plane, 0.5, upsample="tile", detrend="plane")
    np.testing.assert_array_equal(out, np.full(HW, 65))


@pytest.mark.parametrize(("gain", "factor"), [(0.0, 0.0), (2.0, 2.0), (-1.0, -1.0)])
def test_gain_scales_the_fluctuation_and_leaves_the_mean(gain, factor):
    """With ``dc: keep`` too: the mean of the window is no part of its fluctuation."""
    plan = draw(gain=gain)
    assert plan.gain == gain
    dark = np.zeros(HW, np.uint16)
    out = mix(dark, PATCH, 1.0, plan, max_level=65535, dtype=np.uint16, upsample="tile", gain=gain) / 257.0
    expected = PATCH.mean() + factor * (PATCH - PATCH.mean())
    assert np.abs(out - np.tile(expected, (3, 4))).max() < 0.01


@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize("detrend", ["none", "plane", "local_mean"])
def test_calibrated_gain_injects_half_to_twice_the_frames_own_deviation(alpha, detrend):
    """Ratios are uniform over [0.5, 2]: their mean of 200 draws is 1.25 +- 3 x 0.031."""
    own_std, ratios = 3.0, []
    options = {"upsample": "tile", "dc": "zero_mean", "detrend": detrend, "gain": "calibrated"}
    grey = np.full(HW, 30_000, np.uint16)
    for seed in range(200):
        plan = draw(seed, alpha=alpha, own_std=own_std, **options)
        added = mix(grey, PATCH, alpha, plan, max_level=65535, dtype=np.uint16, **options) / 257.0
        ratios.append(added.std() / own_std)
    low, high = CALIBRATED_RATIO
    assert (low, high) == (0.5, 2.0)
    assert low - 1e-3 <= min(ratios) < 0.6 and 1.9 < max(ratios) <= high + 1e-3
    assert np.mean(ratios) == pytest.approx(1.25, abs=0.095)


@pytest.mark.parametrize(("patch", "alpha"), [(np.full((SIDE, SIDE), 90, np.uint8), 0.1), (PATCH, 0.0)])
def test_calibrated_gain_of_nothing_is_0(patch, alpha):
    assert draw(patch=patch, alpha=alpha, gain="calibrated").gain == 0.0


def test_both_ends_are_clipped_not_wrapped():
    wild = np.where((np.indices((SIDE, SIDE)).sum(axis=0) % 2).astype(bool), 255, 0).astype(np.uint8)
    clip = {"upsample": "tile", "dc": "zero_mean", "gain": 4.0}
    for dtype, level, top in ((np.uint8, 128, 255), (np.uint16, 128 * 257, 65535)):
        levels = np.full(HW, level, dtype)
        out = mix(levels, wild, 0.5, MixPlan(4.0, NO_TILES), max_level=top, dtype=dtype, **clip)
        assert set(np.unique(out)) == {0, top}
    white = np.full(HW, 255, np.uint8)
    assert (mix(white, np.full((SIDE, SIDE), 255, np.uint8), 0.3) == 255).all()


@pytest.mark.parametrize("max_level", [65535, 16383, 4095])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_deep_images_are_mixed_at_their_own_scale(max_level, dtype):
    """Both in [0, 1]: within half a level of the canvas, plus float32: 0.5011 measured."""
    levels = texture("deep", HW, low=0, high=max_level).astype(np.uint16)
    top = np.iinfo(dtype).max
    out = mix(levels, PATCH, 0.4, max_level=max_level, dtype=dtype, upsample="tile")
    expected = top * (0.4 * np.tile(PATCH, (3, 4)) / 255 + 0.6 * levels / max_level)
    assert np.abs(out - expected).max() <= 0.502


@pytest.mark.parametrize("upsample", ["bilinear", "reflect_quilt"])
def test_a_mixer_keeps_nothing_between_images(upsample):
    mixer = NoiseMixer(NoiseConfig(window_px=SIDE, upsample=upsample), HW)
    other = texture("other", (SIDE, SIDE)).astype(np.uint8)
    outs = [np.empty(HW, np.uint8) for _ in range(3)]
    for out, patch, seed in zip(outs, (PATCH, other, PATCH), (3, 4, 3), strict=True):
        mixer.mix(IMAGE, 255, patch, 0.5, draw(seed, upsample=upsample), out)
    assert np.array_equal(outs[0], outs[2]) and not np.array_equal(outs[0], outs[1])
