"""Targets from masks: components, numbering, centroids, and the definition of contrast and SCR on hand-made frames."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from synth.sample import TargetKind
from synth.targets import MEASURES, find_targets, measure_table, measure_targets
from tests.support.builders import texture

ROW, COL, AREA, PEAK, FLUX, SCR = range(6)


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows], np.uint8)


def measure(levels, mask, max_level=255, valid_hw=None):
    dtype = np.uint8 if max_level == 255 else np.uint16
    return measure_table(np.ascontiguousarray(levels, dtype), np.ascontiguousarray(mask, np.uint8), max_level, valid_hw)


def one_target(hw=(64, 64), box=(30, 30, 32, 32), low=90, high=110, peak=200):
    """Return textured levels with one flat target, and its mask."""
    levels, mask = texture("background", hw, low=low, high=high), np.zeros(hw, np.uint8)
    at = slice(box[0], box[2]), slice(box[1], box[3])
    levels[at], mask[at] = peak, 1
    return levels, mask


def test_the_columns_are_named_in_order():
    assert MEASURES == ("row_subpx", "col_subpx", "area_px", "peak_contrast", "flux", "scr_view")


@pytest.mark.parametrize(
    ("mask", "num"),
    [
        (mask_of("#.", ".#"), 1),
        (mask_of(".#", "#."), 1),
        (mask_of("#.#", "#.#", "###"), 1),
        (mask_of("#.#.#", ".#.#."), 1),
        (mask_of("###", "..#", "###", "#..", "###"), 1),
        (mask_of("##..", "...#"), 2),
        (mask_of("#...#", ".....", "#...#"), 4),
        (mask_of("....", "...."), 0),
        (mask_of("#"), 1),
        (np.ones((9, 9), np.uint8), 1),
    ],
)
def test_components_are_8_connected(mask, num):
    centres, boxes = find_targets(mask)
    assert len(centres) == len(boxes) == num


@pytest.mark.parametrize("hw", [(1, 1), (1, 17), (5, 3), (8, 8), (13, 11), (64, 64), (31, 65)])
@pytest.mark.parametrize("density", [0.02, 0.3, 0.6])
def test_components_are_those_of_scipy_in_scipy_order(hw, density):
    for seed in range(8):
        mask = (np.random.default_rng(seed).random(hw) < density).astype(np.uint8)
        labels, num = ndimage.label(mask, np.ones((3, 3)))
        centres, boxes = find_targets(mask)
        assert len(centres) == num
        for j, cut in enumerate(ndimage.find_objects(labels)):
            rows, cols = np.nonzero(labels == j + 1)
            assert centres[j].tolist() == pytest.approx([rows.mean(), cols.mean()], abs=1e-12)
            assert boxes[j].tolist() == [cut[0].start, cut[1].start, cut[0].stop, cut[1].stop]
        table = measure(texture("levels", hw), mask)
        np.testing.assert_array_equal(table[:, :2], centres)
        np.testing.assert_array_equal(table[:, AREA], ndimage.sum_labels(mask, labels, range(1, num + 1)))


def test_first_pixels_order_the_targets():
    """The tall target starts lower left but ends higher than nothing; raster order of the first pixel decides."""
    mask = mask_of("......#", "#......", "#..#...", "#......")
    assert find_targets(mask)[0].tolist() == [[0, 6], [2, 0], [2, 3]]


def test_masks_of_any_size_are_read_to_the_last_pixel():
    """Eight pixels are skipped at a time where they are empty; sizes not a multiple of 8 leave a tail."""
    for hw in ((3, 5), (7, 9), (2, 8), (5, 13)):
        for at in (0, hw[0] * hw[1] // 2, hw[0] * hw[1] - 1):
            mask = np.zeros(hw[0] * hw[1], np.uint8)
            mask[at] = 1
            assert find_targets(mask.reshape(hw))[0].tolist() == [list(divmod(at, hw[1]))]


def test_masks_need_not_be_contiguous():
    wide = np.zeros((20, 40), np.uint8)
    wide[4, 6] = wide[5, 8] = 1
    assert find_targets(wide[:, ::2])[0].tolist() == [[4.5, 3.5]]
    assert find_targets(wide.T)[0].tolist() == [[6, 4], [8, 5]]


def test_many_targets_grow_the_pixel_list():
    """More than the 64 pixels reserved at first, several doublings."""
    mask = np.zeros((64, 64), np.uint8)
    mask[::2, ::2] = 1
    centres, _ = find_targets(mask)
    assert centres.tolist() == [[r, c] for r in range(0, 64, 2) for c in range(0, 64, 2)]


def test_contrast_flux_and_scr_on_a_known_background():
    """Background of 100 and 104 in equal parts: mean 102, sigma 2; target 122 with one pixel of 142."""
    levels = np.where(np.indices((64, 64)).sum(axis=0) % 2, 100, 104)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:22, 30:32] = 1
    levels[20:22, 30:32] = 122
    levels[21, 31] = 142
    row, col, area, peak, flux, scr = measure(levels, mask)[0]
    assert (row, col, area) == (20.5, 30.5, 4)
    assert (peak, flux, scr) == (40.0, 100.0, 12.5)


def test_guard_and_margin_bound_the_background():
    """A bright ring at 3 px (guard) and far walls beyond 20 px change nothing; one at 4 px or at 20 px does."""
    clean, mask = one_target(box=(30, 30, 32, 32))
    base = measure(clean, mask)[0, SCR]
    for distance, matters in ((1, False), (3, False), (4, True), (20, True), (21, False)):
        changed = clean.copy()
        changed[31 + distance, 31] = 255
        assert (measure(changed, mask)[0, SCR] != base) == matters, distance
        changed = clean.copy()
        changed[31, 30 - distance] = 255
        assert (measure(changed, mask)[0, SCR] != base) == matters, distance


def test_the_background_is_a_box_and_the_guard_a_square():
    clean, mask = one_target(box=(30, 30, 31, 31))
    base = measure(clean, mask)[0, SCR]
    for offset, matters in (((3, 3), False), ((4, 3), True), ((20, 20), True), ((20, 21), False)):
        changed = clean.copy()
        changed[30 + offset[0], 30 + offset[1]] = 255
        assert (measure(changed, mask)[0, SCR] != base) == matters, offset


def test_other_targets_are_no_background():
    levels, mask = one_target()
    base = measure(levels, mask)[0]
    levels[30:32, 45:47] = 255
    assert measure(levels, mask)[0, SCR] < base[SCR]
    mask[30:32, 45:47] = 1
    both = measure(levels, mask)
    assert len(both) == 2 and both[0, SCR] == pytest.approx(base[SCR], rel=0.05)


@pytest.mark.parametrize(("hw", "measurable"), [((13, 5), False), ((11, 6), True)])
def test_fifty_background_pixels_are_needed(hw, measurable):
    """A corner target guards 4x4 pixels: 65 - 16 = 49 are too few, 66 - 16 = 50 are enough."""
    levels, mask = one_target(hw=hw, box=(0, 0, 1, 1))
    table = measure(levels, mask)[0]
    assert table[:3].tolist() == [0, 0, 1]
    assert np.isfinite(table[3:]).all() == measurable and np.isnan(table[3:]).any() != measurable


def test_padding_is_no_background():
    """Padding of another level changes nothing, whole rows and columns of it can make a target unmeasurable."""
    levels, mask = one_target(hw=(40, 40), box=(2, 2, 4, 4))
    expected = measure(levels[:20, :18], mask[:20, :18])
    padded = levels.copy()
    padded[20:], padded[:, 18:] = 255, 255
    np.testing.assert_array_equal(measure(padded, mask, valid_hw=(20, 18)), expected)
    assert measure(padded, mask)[0, SCR] != expected[0, SCR]
    assert np.isnan(measure(padded, mask, valid_hw=(10, 8))[0, SCR])  # 80 pixels, 49 of them guarded


@pytest.mark.parametrize("max_level", [255, 65535, 16383])
def test_flat_backgrounds_meet_the_floor_of_8_bit_and_nan_above(max_level):
    levels, mask = np.full((40, 40), 100 * max_level // 255), np.zeros((40, 40), np.uint8)
    mask[20, 20], levels[20, 20] = 1, 110 * max_level // 255
    row = measure(levels, mask, max_level)[0]
    contrast = (levels[20, 20] - levels[0, 0]) * 255 / max_level
    assert row[PEAK] == pytest.approx(contrast, rel=1e-12) and row[FLUX] == pytest.approx(contrast, rel=1e-12)
    assert row[SCR] == contrast / 0.5 if max_level == 255 else np.isnan(row[SCR])


def test_the_floor_does_not_touch_noisier_backgrounds():
    levels, mask = np.full((40, 40), 100), np.zeros((40, 40), np.uint8)
    levels[:, ::2] = 101  # sigma 0.5 exactly where the columns balance
    mask[20, 20], levels[20, 20] = 1, 121
    quiet = measure(levels, mask)[0]
    levels[:, ::2] += 1
    levels[20, 20] = 121
    assert measure(levels, mask)[0, SCR] < 0.6 * quiet[SCR]


@pytest.mark.parametrize("max_level", [65535, 16383])
def test_measures_are_in_8_bit_grey_levels_whatever_the_depth(max_level):
    """The same scene at another depth: equal up to the rounding of its levels."""
    levels, mask = one_target()
    shallow = measure(levels, mask)[0]
    deep = measure(np.round(levels * max_level / 255), mask, max_level)[0]
    np.testing.assert_allclose(deep, shallow, rtol=2e-4 if max_level == 16383 else 1e-12)


def test_dark_targets_have_negative_contrast():
    levels, mask = one_target(peak=10)
    row = measure(levels, mask)[0]
    assert row[PEAK] < -70 and row[FLUX] < -280 and row[SCR] < -5


def test_a_target_that_leaves_no_frame_is_measured_too():
    mask = np.ones((12, 12), np.uint8)
    row = measure(np.full((12, 12), 77), mask)[0]
    assert row[:3].tolist() == [5.5, 5.5, 144] and np.isnan(row[3:]).all()


def test_no_target_gives_an_empty_table():
    assert measure(np.zeros((16, 16)), np.zeros((16, 16))).shape == (0, 6)
    assert measure_targets(np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8), 255) == ()


def test_objects_carry_the_values_of_the_table():
    levels, mask = one_target()
    levels, mask = levels.astype(np.uint8), mask.astype(np.uint8)
    (target,) = measure_targets(levels, mask, 255, kind=TargetKind.SCENE)
    row = measure(levels, mask)[0]
    fields = (target.row_subpx, target.col_subpx, target.area_px, target.peak_contrast, target.flux, target.scr_view)
    assert fields == tuple(row) and isinstance(target.area_px, int)
    assert target.kind is TargetKind.SCENE and target.track_id == -1
