"""Render: a pure function from a plan row to pixels, mask, columns and provenance."""

from __future__ import annotations

import numpy as np
import pytest

from synth.canvas import place
from synth.errors import RenderError
from synth.noise import NoiseConfig, NoiseMixer
from synth.plan import Plan
from synth.render import Renderer
from synth.rng import Stream, keyed_generator
from synth.sample import SampleKind, TargetKind
from synth.store.schema import record_dtype
from synth.targets import MEASURES, measure_table
from tests.support.builders import (
    FramesInMemory,
    bank_of,
    frame_of,
    mini_frames,
    recipe_of,
    renderer_of,
    scene,
    table_of,
    texture,
)

PASSES = [{"alpha": 0.1, "side": 2}, {"alpha": 0.4, "side": 8}, {"alpha": 0.3, "side": 32}]
FRAMES = mini_frames()


def draw(renderer, row):
    """Return image, mask, columns and target table of one sample."""
    hw = renderer.recipe.canvas_hw
    image, mask = np.full(hw, 77, renderer.recipe.image_dtype), np.full(hw, 77, np.uint8)
    fields, targets = renderer.draw(row, renderer.generator(row), image, mask)
    return image, mask, fields, targets


@pytest.fixture(scope="module")
def mini():
    recipe = recipe_of(passes=PASSES)
    plan, renderer = renderer_of(FRAMES, recipe)
    return plan, renderer, [draw(renderer, row) for row in plan]


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        if isinstance(a, dict):
            assert a == b
        else:
            np.testing.assert_array_equal(a, b)


def test_samples_do_not_depend_on_order_or_on_being_drawn_before(mini):
    plan, renderer, samples = mini
    fresh = renderer_of(FRAMES, renderer.recipe)[1]
    for i in np.random.default_rng(0).permutation(len(plan)):
        assert_equal(draw(fresh, plan.row(int(i))), samples[i])
    for i in (5, 5, 0, 5):
        assert_equal(draw(renderer, plan.row(i)), samples[i])


def test_samples_do_not_depend_on_the_cache(mini, monkeypatch):
    """With room for one frame every sample reads its frame again."""
    monkeypatch.setattr("synth.render.CACHE_BYTES", 1)
    plan, renderer, samples = mini
    frames = FramesInMemory(FRAMES)
    crowded = Renderer(renderer.recipe, renderer.table, frames, bank_of(FRAMES, renderer.recipe))
    for i in range(len(plan)):
        assert_equal(draw(crowded, plan.row(i)), samples[i])
    assert len(frames.asked) > len(FRAMES)


def test_frames_are_read_once_while_they_fit():
    recipe = recipe_of(passes=PASSES)
    frames, table = FramesInMemory(FRAMES), table_of(FRAMES)
    plan = Plan(recipe, table.targets_per_frame())
    renderer = Renderer(recipe, table, frames, bank_of(FRAMES, recipe))
    for row in plan:
        draw(renderer, row)
    num_crops = sum(len(r.centres) for r in table.frames if max(r.hw) > 64)
    num_whole = sum(max(r.hw) <= 64 for r in table.frames)
    assert len(frames.asked) == num_crops + num_whole


def test_a_sample_depends_on_seed_and_index_alone(mini):
    plan, renderer, samples = mini
    other = renderer_of(FRAMES, recipe_of(passes=PASSES, seed=1), bank_of(FRAMES, renderer.recipe))[1]
    differing = [not np.array_equal(draw(other, plan.row(i))[0], samples[i][0]) for i in range(len(FRAMES), len(plan))]
    assert np.mean(differing) > 0.9
    row = plan.row(len(FRAMES))
    image, mask = np.empty((64, 64), np.uint8), np.empty((64, 64), np.uint8)
    renderer.draw(row, keyed_generator(0, Stream.NOISE, row.index), image, mask)
    np.testing.assert_array_equal(image, samples[row.index][0])


def test_originals_are_the_source_bit_for_bit(mini):
    plan, _, samples = mini
    for i, frame in enumerate(FRAMES):
        image, mask, fields, _ = samples[i]
        (row, col), (height, width) = fields["origin_rc"], fields["valid_hw"]
        cut = slice(row, row + height), slice(col, col + width)
        np.testing.assert_array_equal(image[:height, :width], frame.levels[cut])
        np.testing.assert_array_equal(mask[:height, :width], frame.mask[cut])
        expected = {"kind": 0, "alpha": 0.0, "noise_window": -1, "noise_gain": 0.0, "target_index": -1, "box_rc": (-1, -1)}
        assert expected.items() <= fields.items() and plan.row(i).kind is SampleKind.ORIGINAL


def test_copies_are_the_mixture_outside_the_box_and_turned_inside(mini):
    """Every copy rebuilt from its own columns: window, weight, box, rotation."""
    plan, renderer, samples = mini
    bank, mixer = renderer._bank, NoiseMixer(NoiseConfig(window_px=16), (64, 64))
    for row in list(plan)[len(FRAMES) :]:
        image, mask, fields, _ = samples[row.index]
        levels = place(FRAMES[row.source].levels, fields["origin_rc"], (64, 64), fill="reflect")
        labels = place(FRAMES[row.source].mask, fields["origin_rc"], (64, 64), fill="zero").copy()
        expected = np.empty_like(levels)
        window = bank.patch[fields["noise_window"]]
        plan_of_mix = mixer.draw(window, row.alpha, 1.0, keyed_generator(0, Stream.NOISE, row.index))
        mixer.mix(levels, 255, window, row.alpha, plan_of_mix, expected)
        box = tuple(slice(start, start + row.side) for start in fields["box_rc"])
        for array in (expected, labels):
            array[box] = np.rot90(array[box], row.rotation).copy()
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask, labels)
        assert (fields["alpha"], fields["box_side"], fields["rotation"]) == (row.alpha, row.side, row.rotation)
        assert (fields["pass_index"], fields["target_index"], fields["source"]) == (row.pass_index, row.target, row.source)


def test_alpha_0_and_no_turn_return_the_source_bit_for_bit():
    """At any depth and size, also where 14-bit levels are scaled to 16 bits."""
    deep = frame_of(texture("deep", (64, 64), high=16383), scene("x", (64, 64), [(9, 9, 11, 11)]).mask, max_level=16383)
    for frames in ([FRAMES[0]], [FRAMES[2]], [deep]):
        for dtype in ("uint8", "uint16"):
            recipe = recipe_of(passes=[{"alpha": 0.0}], image_dtype=dtype)
            plan, renderer = renderer_of(frames, recipe, bank_of(FRAMES, recipe))
            original = draw(renderer, plan.row(0))
            for row in list(plan)[1:]:
                if row.rotation == 0:
                    np.testing.assert_array_equal(draw(renderer, row)[0], original[0])
                    np.testing.assert_array_equal(draw(renderer, row)[1], original[1])


def test_the_four_rotations_of_a_target_share_their_crop_and_hold_it(mini):
    plan, renderer, samples = mini
    by_target = {}
    for row in list(plan)[len(FRAMES) :]:
        _, mask, fields, _ = samples[row.index]
        origin = fields["origin_rc"]
        by_target.setdefault((row.source, row.target), set()).add(origin)
        row0, col0, row1, col1 = renderer.table.frames[row.source].boxes[row.target]
        assert row0 >= origin[0] and row1 <= origin[0] + 64 and col0 >= origin[1] and col1 <= origin[1] + 64
        if row.rotation == 0:
            assert mask[row0 - origin[0] : row1 - origin[0], col0 - origin[1] : col1 - origin[1]].all()
        assert mask.sum() >= (row1 - row0) * (col1 - col0)  # turned away perhaps, never out
    assert all(len(origins) == 1 for origins in by_target.values())
    large = [by_target[3, t] for t in (0, 1)]
    assert large[0] != large[1]  # each target of a large frame has a crop of its own


def test_boxes_are_centred_on_the_target_and_stay_in_the_valid_region(mini):
    plan, renderer, samples = mini
    for row in list(plan)[len(FRAMES) :]:
        fields = samples[row.index][2]
        centre = np.array(renderer.table.frames[row.source].centres[row.target]) - fields["origin_rc"]
        for axis in (0, 1):
            start, size = fields["box_rc"][axis], fields["valid_hw"][axis]
            assert start >= 0 and start + row.side <= size
            free = int(np.floor(centre[axis] + 0.5)) - row.side // 2
            assert start == min(max(free, 0), size - row.side)


def test_targets_are_measured_on_what_is_stored(mini):
    plan, _, samples = mini
    for row in plan:
        image, mask, fields, targets = samples[row.index]
        np.testing.assert_array_equal(targets, measure_table(image, mask, 255, fields["valid_hw"]))
        assert fields["num_targets"] == len(targets) >= 1


def test_noise_windows_are_drawn_from_the_whole_bank():
    """240 draws from 16 windows: each 15 +- 3.75 times."""
    frames = [scene("square", (64, 64), [(10, 12, 13, 15)])]
    recipe = recipe_of(num_synthetic=240, noise={"exclude_targets": False, "var_max": 1e6})
    plan, renderer = renderer_of(frames, recipe)
    counts = np.bincount([draw(renderer, row)[2]["noise_window"] for row in list(plan)[1:]])
    assert len(counts) == 16 and counts.min() > 2 and counts.max() < 32


@pytest.mark.parametrize(
    ("max_level", "dtype"), [(255, "uint8"), (255, "uint16"), (65535, "uint16"), (16383, "uint16"), (16383, "uint8")]
)
def test_depths_are_scaled_to_the_range_of_the_store(max_level, dtype):
    levels = texture("deep", (64, 64), high=max_level)
    levels[0, 0], levels[0, 1] = 0, max_level
    mask = np.zeros((64, 64), np.uint8)
    mask[9, 9] = 1
    recipe = recipe_of(image_dtype=dtype)
    plan, renderer = renderer_of([frame_of(levels, mask, max_level=max_level)], recipe, bank_of(FRAMES, recipe))
    image, _, fields, _ = draw(renderer, plan.row(0))
    top = np.iinfo(dtype).max
    assert image.dtype == np.dtype(dtype) and (image[0, 0], image[0, 1]) == (0, top)
    assert np.abs(image - levels * (top / max_level)).max() <= 0.5 + 1e-9
    assert fields["bit_depth"] == {255: 8, 16383: 14, 65535: 16}[max_level]
    sample = renderer.render(plan.row(0), renderer.generator(plan.row(0)))
    assert sample.image.dtype == np.float32 and sample.image.max() == 1.0 and sample.bit_depth == fields["bit_depth"]


def test_samples_carry_their_provenance(mini):
    plan, renderer, samples = mini
    original = renderer.render(plan.row(1), renderer.generator(plan.row(1)))
    origin = samples[1][2]["origin_rc"]
    assert original.provenance.parent_ids == ("wide",) and original.provenance.operations == (f"crop at {origin}",)
    row = next(r for r in plan if r.side == 8 and r.rotation == 3)
    copy = renderer.render(row, renderer.generator(row))
    fields = samples[row.index][2]
    assert copy.provenance.parent_ids == (FRAMES[row.source].id,)
    assert copy.provenance.operations[1:] == (
        f"mix noise window {fields['noise_window']} at alpha 0.4",
        f"rotate 8 px at {fields['box_rc']} by 270 degrees",
    )
    hash_, seed = renderer.recipe.hash(), renderer.recipe.seed
    assert (copy.provenance.seed, copy.provenance.index, copy.provenance.recipe_hash) == (seed, row.index, hash_)


def test_a_sample_is_what_was_drawn(mini):
    plan, renderer, samples = mini
    for i in (0, 2, 9, len(plan) - 1):
        image, mask, fields, targets = samples[i]
        sample = renderer.render(plan.row(i), renderer.generator(plan.row(i)))
        np.testing.assert_array_equal(np.round(sample.image * 255), image)
        np.testing.assert_array_equal(sample.mask, mask.astype(bool))
        assert sample.mask.dtype == bool and sample.valid_hw == fields["valid_hw"]
        assert [(t.row_subpx, t.col_subpx, t.area_px, t.scr_view) for t in sample.targets] == [
            (t[0], t[1], t[2], t[5]) for t in targets.tolist()
        ]
        assert {t.kind for t in sample.targets} == {TargetKind.REAL}


def test_too_many_targets_are_an_error_that_names_the_sample():
    frame = scene("crowd", (64, 64), [(4 * i, 4 * i, 4 * i + 1, 4 * i + 1) for i in range(5)])
    plan, renderer = renderer_of([frame], recipe_of(max_targets=4), bank_of(FRAMES, recipe_of()))
    message = r"^sample 0 \(source frame crowd\): 5 targets, more than max_targets = 4; raise max_targets$"
    with pytest.raises(RenderError, match=message):
        draw(renderer, plan.row(0))
    plan, renderer = renderer_of([frame], recipe_of(max_targets=5), bank_of(FRAMES, recipe_of()))
    assert draw(renderer, plan.row(0))[2]["num_targets"] == 5


def test_records_hold_the_columns_and_pad_targets_with_0(mini):
    _, renderer, samples = mini
    records = np.zeros(3, record_dtype(16))
    for slot, i in enumerate((1, len(FRAMES), 0)):
        renderer.record(*samples[i][2:], records, slot)
    for slot, i in enumerate((1, len(FRAMES), 0)):
        _, _, fields, targets = samples[i]
        for name, value in fields.items():
            np.testing.assert_array_equal(records[f"sample/{name}"][slot], np.asarray(value, records[f"sample/{name}"].dtype))
        for j, name in enumerate(MEASURES):
            column = records[f"target/{name}"][slot]
            np.testing.assert_array_equal(column[: len(targets)], targets[:, j].astype(column.dtype))
            assert not column[len(targets) :].any()
        assert records["target/track_id"][slot].tolist() == [-1] * len(targets) + [0] * (16 - len(targets))
    assert records["sample/sequence_id"].tolist() == [-1] * 3


def test_the_released_flip_is_for_side_32_only():
    """Without noise the unturned copy is the source; under the flag that of side 32 has its square mirrored."""
    frame = scene("square", (64, 64), [(30, 20, 32, 26)])
    passes = [{"alpha": 0.0, "side": side} for side in (2, 4, 6, 8, 32)]
    for flip in (False, True):
        recipe = recipe_of(passes=passes, legacy={"flip_first": flip})
        plan, renderer = renderer_of([frame], recipe, bank_of(FRAMES, recipe))
        for row in [r for r in plan if r.pass_index >= 0 and r.rotation == 0]:
            image, mask, fields, _ = draw(renderer, row)
            expected = frame.levels.copy(), frame.mask.copy()
            if flip and row.side == 32:
                box = tuple(slice(start, start + 32) for start in fields["box_rc"])
                for array in expected:
                    array[box] = array[box][:, ::-1].copy()
            np.testing.assert_array_equal(image, expected[0])
            np.testing.assert_array_equal(mask, expected[1])


def test_the_released_border_reaches_the_samples():
    frame = scene("square", (64, 64), [(5, 57, 7, 59)])  # centre (5.5, 57.5) -> 6, 58; margin 8 of side 8
    for border, corner in ((False, (2, 54)), (True, (0, 56))):
        recipe = recipe_of(passes=[{"side": 8}], legacy={"border": border})
        plan, renderer = renderer_of([frame], recipe, bank_of(FRAMES, recipe))
        assert {draw(renderer, row)[2]["box_rc"] for row in list(plan)[1:]} == {corner}


def test_frames_without_targets_are_originals_with_an_empty_mask():
    recipe = recipe_of()
    plan, renderer = renderer_of([scene("empty", (100, 90)), FRAMES[0]], recipe)
    _, mask, fields, targets = draw(renderer, plan.row(0))
    assert not mask.any() and len(targets) == 0 == fields["num_targets"] and fields["labelled"] == 1
    assert {row.source for row in plan if row.kind is SampleKind.NEGATIVE} == {1}
