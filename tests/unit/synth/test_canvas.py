"""The canvas rule: crops around targets, padding at the bottom and right, resizing only when asked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synth.canvas import CROP_MARGIN_PX, crop_origin, place, resize_frame
from synth.rng import Stream, keyed_generator
from tests.support.builders import frame_of, recipe_of, renderer_of, scene, texture

CANVAS = (64, 80)


def origins(frame_hw, box, *, canvas_hw=CANVAS, num=400):
    drawn = [crop_origin(frame_hw, canvas_hw, box, keyed_generator(1, Stream.CANVAS, i)) for i in range(num)]
    return np.array(drawn)


def test_frames_that_fit_are_not_moved():
    for hw in ((64, 80), (40, 80), (64, 9), (8, 8)):
        assert not origins(hw, (2, 2, 5, 5), num=5).any()


@pytest.mark.parametrize(
    "box",
    [
        (50, 60, 53, 62),
        (0, 0, 1, 1),
        (199, 299, 200, 300),
        (0, 150, 2, 152),
        (100, 100, 164, 180),
        (100, 100, 160, 172),
        (10, 10, 60, 70),
        (140, 230, 200, 300),
    ],
)
def test_a_crop_holds_the_whole_box_with_its_margin_where_the_frame_allows(box):
    frame_hw = (200, 300)
    for row, col in origins(frame_hw, box):
        for axis, origin in enumerate((row, col)):
            size, canvas, first, last = frame_hw[axis], CANVAS[axis], box[axis], box[axis + 2]
            assert 0 <= origin <= size - canvas
            assert origin <= first and last <= origin + canvas
            room = min(CROP_MARGIN_PX, (canvas - (last - first)) // 2)
            assert first - origin >= min(room, first) and origin + canvas - last >= min(room, size - last)


def test_boxes_larger_than_the_canvas_still_give_a_crop_in_the_frame():
    for row, col in origins((200, 300), (20, 10, 190, 290), num=50):
        assert 0 <= row <= 136 and 0 <= col <= 220


def test_origins_are_uniform_over_what_is_allowed():
    """Box at 100..103: rows 103 + 8 - 64 = 47 to 92. 46 values, 4,000 draws: 87 +- 9.3 each, so 4.5 sigma are 42."""
    drawn = origins((300, 64), (100, 10, 103, 12), canvas_hw=(64, 64), num=4000)
    rows, counts = np.unique(drawn[:, 0], return_counts=True)
    assert rows.tolist() == list(range(47, 93)) and not drawn[:, 1].any()
    assert np.abs(counts - 4000 / 46).max() < 42


def test_axes_are_drawn_apart():
    drawn = origins((300, 300), (150, 150, 152, 152), canvas_hw=(64, 64))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("hw", [(64, 80), (100, 120), (40, 50), (40, 120), (100, 50), (8, 8), (33, 41)])
def test_levels_are_reflected_and_masks_are_empty_in_the_padding(hw, dtype):
    array = texture("levels", hw, high=255).astype(dtype)
    origin = tuple(max(size - canvas, 0) // 2 for size, canvas in zip(hw, CANVAS, strict=True))
    levels, mask = place(array, origin, CANVAS, fill="reflect"), place(array, origin, CANVAS, fill="zero")
    valid = min(hw[0], CANVAS[0]), min(hw[1], CANVAS[1])
    cut = array[origin[0] : origin[0] + valid[0], origin[1] : origin[1] + valid[1]]
    for placed in (levels, mask):
        assert placed.shape == CANVAS and placed.dtype == dtype and placed.flags.c_contiguous
        np.testing.assert_array_equal(placed[: valid[0], : valid[1]], cut)
    assert not mask[valid[0] :].any() and not mask[:, valid[1] :].any()
    rows, cols = (reflected(size, canvas) for size, canvas in zip(valid, CANVAS, strict=True))
    np.testing.assert_array_equal(levels, cut[np.ix_(rows, cols)])


def reflected(size: int, canvas: int) -> list[int]:
    """Return the source line of each canvas line: 0 1 2 3 2 1 0 1 ... (the border pixel is not repeated)."""
    period = 2 * size - 2
    return [min(i % period, period - i % period) for i in range(canvas)]


@pytest.mark.parametrize("hw", [(64, 64), (30, 100), (256, 256)])
def test_resize_is_pillows(hw):
    frame = scene("frame", (48, 56), [(10, 10, 14, 15)])
    small = resize_frame(frame, hw)
    wh = hw[::-1]
    levels = Image.fromarray(frame.levels).resize(wh, Image.Resampling.BILINEAR)
    mask = Image.fromarray(frame.mask).resize(wh, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(small.levels, np.asarray(levels))
    np.testing.assert_array_equal(small.mask, np.asarray(mask))
    assert (small.id, small.max_level, small.hw) == ("frame", 255, hw)
    assert set(np.unique(small.mask)) <= {0, 1} and small.levels.dtype == np.uint8


def test_resize_to_the_same_size_is_the_frame_itself():
    frame = scene("frame", (48, 56))
    assert resize_frame(frame, (48, 56)) is frame


@pytest.mark.parametrize("max_level", [65535, 16383])
def test_deep_frames_keep_their_range_when_resized(max_level):
    """Against the same levels resized as float: half a level. A path through 8 bit would be off by up to 128."""
    levels = texture("deep", (40, 40), low=0, high=max_level)
    levels[:8, :8] = max_level
    small = resize_frame(frame_of(levels, max_level=max_level), (25, 30))
    exact = Image.fromarray(levels.astype(np.float32)).resize((30, 25), Image.Resampling.BILINEAR)
    assert small.levels.dtype == np.uint16 and small.mask is None and small.levels[0, 0] == max_level
    assert np.abs(small.levels - np.asarray(exact, dtype=np.float64)).max() <= 0.5


def test_resize_can_erase_a_target_and_cropping_cannot():
    """Why cropping is the default: a 1-px target of a 512-px frame is gone at 256 for three of four positions."""
    gone = []
    for row, col in ((100, 100), (100, 101), (101, 100), (101, 101)):
        frame = scene("frame", (512, 512), [(row, col, row + 1, col + 1)])
        gone.append(not resize_frame(frame, (256, 256)).mask.any())
        origin = crop_origin(frame.hw, (256, 256), (row, col, row + 1, col + 1), keyed_generator(0, Stream.CANVAS, 0))
        assert place(frame.mask, origin, (256, 256), fill="zero").sum() == 1
    assert sum(gone) == 3


@pytest.mark.parametrize(
    ("hw", "valid_hw", "is_cropped"),
    [((64, 64), (64, 64), False), ((40, 36), (40, 36), False), ((48, 150), (48, 64), True), ((130, 110), (64, 64), True)],
)
def test_samples_record_padding_and_origin(hw, valid_hw, is_cropped):
    frame = scene("frame", hw, [(20, 20, 23, 23)])
    plan, renderer = renderer_of([frame], recipe_of())
    for row in plan:
        image, mask = np.empty((64, 64), np.uint8), np.empty((64, 64), np.uint8)
        fields, _ = renderer.draw(row, renderer.generator(row), image, mask)
        assert fields["valid_hw"] == valid_hw
        origin = fields["origin_rc"]
        assert (origin != (0, 0)) <= is_cropped
        if row.index == 0:
            cut = frame.levels[origin[0] : origin[0] + valid_hw[0], origin[1] : origin[1] + valid_hw[1]]
            np.testing.assert_array_equal(image[: valid_hw[0], : valid_hw[1]], cut)
        assert mask.sum() == 9 and not mask[valid_hw[0] :].any() and not mask[:, valid_hw[1] :].any()


def test_every_target_draws_its_own_crop():
    """Twenty equal targets far from the borders: each may sit at 45 places of its crop; one draw for all would put all alike."""
    columns = range(70, 470, 20)
    frame = scene("row", (64, 540), [(30, col, 33, col + 3) for col in columns])
    plan, renderer = renderer_of([frame], recipe_of(max_targets=20))
    places = {columns[row.target] - origin_of(renderer, row)[1] for row in list(plan)[1:]}
    assert len(places) > 10 and min(places) >= 8 and max(places) <= 64 - 8 - 3


def origin_of(renderer, row):
    buffers = np.empty((64, 64), np.uint8), np.empty((64, 64), np.uint8)
    return renderer.draw(row, renderer.generator(row), *buffers)[0]["origin_rc"]
