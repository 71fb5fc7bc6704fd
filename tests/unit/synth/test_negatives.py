"""Negative synthesis: where the square lies, and what turning it does and does not touch."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from synth.negatives import NegativePass, patch_box, rotate_box
from tests.parity.reference import released_box, rotated_by_pillow
from tests.support.builders import texture

SIDES = (2, 4, 6, 8, 32)
HW = (100, 120)


def levels(seed="levels", hw=HW):
    return texture(seed, hw).astype(np.uint8)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("centre", "nearest"),
    [(50.0, 50), (50.49, 50), (50.5, 51), (49.5, 50), (50.51, 51), (50.25, 50), (50.75, 51)],
)
def test_the_box_is_centred_on_the_nearest_pixel_boundary(side, centre, nearest):
    """[c - h, c + h) with c rounded half up: of an even target (centroid .5) both middle pixels lie in the box."""
    assert patch_box((centre, centre + 10), side, HW) == (nearest - side // 2, nearest + 10 - side // 2)


def test_the_smallest_box_is_the_core_of_even_and_odd_targets():
    for first, size in ((20, 2), (20, 3), (21, 2), (21, 5)):
        mask = np.zeros(HW, np.uint8)
        mask[first : first + size, first : first + size] = 1
        centre = first + (size - 1) / 2
        row, col = patch_box((centre, centre), 2, HW)
        assert mask[row : row + 2, col : col + 2].all()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("hw", [(32, 32), (33, 200), (256, 256), (57, 41)])
def test_boxes_are_clamped_into_any_region(side, hw):
    for row in (0.0, 0.4, side / 2 - 0.5, hw[0] / 2, hw[0] - side / 2, hw[0] - 1.0):
        for col in (0.0, 1.0, hw[1] / 2, hw[1] - 1.5, hw[1] - 1.0):
            box = patch_box((row, col), side, hw)
            for start, centre, size in zip(box, (row, col), hw, strict=True):
                assert 0 <= start <= size - side
                free = np.floor(centre + 0.5) - side // 2
                assert start == free or (start == 0 and free < 0) or (start == size - side and free > size - side)


@pytest.mark.parametrize("side", SIDES)
def test_the_released_border_rule_on_every_column(side):
    """All 256 integer centres against the literal table; sides 8 and 32 snap at twice their half."""
    for centre in range(256):
        expected = released_box(centre, side, 256)
        assert patch_box((128, centre), side, (256, 256), released_border=True)[1] == expected
        assert patch_box((centre, 128), side, (256, 256), released_border=True)[0] == expected


def test_released_and_corrected_borders_differ_only_near_the_border():
    """Sides 2, 4, 6: nowhere. 8 and 32: between half and twice the half, on both sides, where the box would have fitted."""
    square = (256, 256)
    differing = {}
    for side in SIDES:
        corrected = [patch_box((0, c), side, square) for c in range(256)]
        released = [patch_box((0, c), side, square, released_border=True) for c in range(256)]
        differing[side] = [c for c in range(256) if corrected[c] != released[c]]
    assert [differing[s] for s in (2, 4, 6)] == [[], [], []]
    assert differing[8] == [5, 6, 7, 249, 250, 251]
    assert differing[32] == [*range(17, 32), *range(225, 240)]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_turning_is_pillows_rotation_of_the_square(side, turns, dtype):
    image = texture("levels", HW, high=255).astype(dtype)
    expected = rotated_by_pillow(image, (11, 23), side, turns)
    rotate_box(image, (11, 23), side, turns)
    np.testing.assert_array_equal(image, expected)


def test_a_turn_is_counter_clockwise():
    square = np.array([[1, 2], [3, 4]], np.uint8)
    rotate_box(square, (0, 0), 2, 1)
    assert square.tolist() == [[2, 4], [1, 3]]


@pytest.mark.parametrize("side", SIDES)
def test_four_turns_are_none(side):
    image = levels()
    turned = image.copy()
    for step in range(4):
        rotate_box(turned, (7, 80), side, 1)
        assert np.array_equal(turned, image) == (step == 3)


@pytest.mark.parametrize("turns", range(4))
def test_nothing_outside_the_square_is_touched(turns):
    image = levels()
    turned = image.copy()
    rotate_box(turned, (20, 30), 32, turns, flip_first=True)
    outside = np.ones(HW, bool)
    outside[20:52, 30:62] = False
    np.testing.assert_array_equal(turned[outside], image[outside])
    assert sorted(turned[~outside]) == sorted(image[~outside])
    assert not np.array_equal(turned, image)


@pytest.mark.parametrize("turns", range(4))
def test_the_released_flip_comes_before_the_turn(turns):
    image = levels()
    expected = image.copy()
    expected[20:52, 30:62] = np.fliplr(expected[20:52, 30:62])
    expected = rotated_by_pillow(expected, (20, 30), 32, turns)
    rotate_box(image, (20, 30), 32, turns, flip_first=True)
    np.testing.assert_array_equal(image, expected)


def test_non_contiguous_canvases_are_turned_in_place():
    wide = levels(hw=(100, 240))
    view = wide[:, ::2]
    expected = rotated_by_pillow(np.ascontiguousarray(view), (5, 6), 8, 1)
    rotate_box(view, (5, 6), 8, 1)
    np.testing.assert_array_equal(wide[:, ::2], expected)


@pytest.mark.parametrize(
    "values",
    [{"alpha": -0.1}, {"alpha": 1.01}, {"alpha": float("nan")}, {"side": 3}, {"side": 16}, {"alpha": None}, {"sides": 2}],
)
def test_wrong_passes_are_named(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        NegativePass(**values)
    assert NegativePass(alpha=0.0).side == 2 and NegativePass(alpha=1).alpha == 1.0
