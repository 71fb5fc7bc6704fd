"""Laws of the generation core that hold for any frame, recipe and order."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synth.canvas import crop_origin
from synth.negatives import patch_box, rotate_box
from synth.noise import NoiseBank, NoiseConfig, NoiseMixer, Reservoir, Windows
from synth.plan import Plan
from synth.rng import Stream, keyed_generator
from synth.sample import SampleKind
from synth.targets import find_targets
from tests.support.builders import bank_of, frame_of, recipe_of, renderer_of, scene

SEED = st.integers(0, 2**32 - 1)
SIDE = st.sampled_from([2, 4, 6, 8, 32])
ALPHA = st.sampled_from([0.0, 0.1, 0.5, 1.0]) | st.floats(1e-6, 1)
SIZE = st.tuples(st.integers(32, 90), st.integers(32, 90))
NOISE = st.fixed_dictionaries(
    {
        "upsample": st.sampled_from(["bilinear", "tile", "reflect_quilt"]),
        "dc": st.sampled_from(["keep", "zero_mean"]),
        "detrend": st.sampled_from(["none", "plane", "local_mean"]),
        "gain": st.sampled_from([1.0, 0.0, 2.5, "calibrated"]),
    }
)
QUIET = scene("quiet", (64, 64))


def pixels(seed, hw, top=255):
    rng = np.random.default_rng(seed)
    return rng.integers(0, top, hw, endpoint=True).astype(np.uint8 if top == 255 else np.uint16)


@settings(max_examples=150, deadline=None)
@given(SEED, SIZE, SIDE, st.integers(0, 3), st.floats(-3, 95), st.floats(-3, 95), st.booleans(), st.booleans())
def test_any_rotation_is_one_permutation_of_image_and_mask_inside_its_box(seed, hw, side, turns, row, col, border, flip):
    """Image, mask and a map of pixel numbers get the same operation; outside nothing moves; four equal turns are none."""
    box = patch_box((row, col), side, hw, released_border=border)
    assert all(0 <= start <= size - side for start, size in zip(box, hw, strict=True))
    image, mask = pixels(seed, hw, 65535), pixels(seed + 1, hw) % 2
    numbers = np.arange(image.size).reshape(hw)
    turned = image.copy(), mask.copy(), numbers.copy()
    for array in turned:
        rotate_box(array, box, side, turns, flip_first=flip)
    np.testing.assert_array_equal(turned[0], image.ravel()[turned[2]])
    np.testing.assert_array_equal(turned[1], mask.ravel()[turned[2]])
    outside = np.ones(hw, bool)
    outside[box[0] : box[0] + side, box[1] : box[1] + side] = False
    np.testing.assert_array_equal(turned[2][outside], numbers[outside])
    if not flip:
        for _ in range(3):
            rotate_box(turned[2], box, side, turns)
        np.testing.assert_array_equal(turned[2], numbers)


@st.composite
def labelled_frames(draw):
    """Return frames of any size whose levels are white on the mask and black elsewhere, with at least one target."""
    frames = []
    for i in range(draw(st.integers(1, 3))):
        hw = draw(st.tuples(st.integers(8, 150), st.integers(8, 150)))
        mask = np.zeros(hw, np.uint8)
        for _ in range(draw(st.integers(1 if i == 0 else 0, 3))):
            row, col = draw(st.integers(0, hw[0] - 1)), draw(st.integers(0, hw[1] - 1))
            mask[row : row + draw(st.integers(1, 9)), col : col + draw(st.integers(1, 9))] = 1
        frames.append(frame_of(mask * 255, mask, name=f"f{i}"))
    return frames


def draw_sample(renderer, row):
    hw = renderer.recipe.canvas_hw
    image, mask = np.empty(hw, renderer.recipe.image_dtype), np.empty(hw, np.uint8)
    fields, targets = renderer.draw(row, renderer.generator(row), image, mask)
    return image, mask, fields, targets


@settings(max_examples=60, deadline=None)
@given(labelled_frames(), SIDE, st.sampled_from([(64, 64), (40, 96)]), st.sampled_from(["uint8", "uint16"]), st.booleans())
def test_masks_stay_on_their_targets(frames, side, canvas_hw, dtype, border):
    """With alpha 0 a frame that is its own mask stays its own mask, in every crop, padding and rotation."""
    assume(side <= min(min(frame.hw) for frame in frames))
    keys = {"canvas_hw": canvas_hw, "image_dtype": dtype, "legacy": {"border": border}}
    recipe = recipe_of(passes=[{"alpha": 0.0, "side": side}], **keys)
    plan, renderer = renderer_of(frames, recipe, bank_of([QUIET], recipe))
    top = np.iinfo(dtype).max
    for row in plan:
        image, mask, fields, targets = draw_sample(renderer, row)
        height, width = fields["valid_hw"]
        np.testing.assert_array_equal(image[:height, :width], mask[:height, :width].astype(dtype) * top)
        assert not mask[height:].any() and not mask[:, width:].any()
        assert len(targets) == fields["num_targets"] == len(find_targets(mask)[0])
        if row.kind is SampleKind.NEGATIVE:
            assert mask.any()


@settings(max_examples=40, deadline=None)
@given(labelled_frames(), SEED, NOISE, st.randoms(use_true_random=False))
def test_samples_do_not_depend_on_who_was_rendered_before(frames, seed, noise, random):
    passes = [{"alpha": 0.3, "side": 4}, {"alpha": 0.1, "side": 8}]
    recipe = recipe_of(passes=passes, seed=seed, num_synthetic=11, noise=noise)
    bank = bank_of([QUIET], recipe)
    plan, renderer = renderer_of(frames, recipe, bank)
    expected = {row.index: draw_sample(renderer, row) for row in plan}
    other = renderer_of(frames, recipe, bank)[1]
    order = list(range(len(plan))) + random.choices(range(len(plan)), k=5)
    random.shuffle(order)
    for i in order:
        image, mask, fields, targets = draw_sample(other, plan.row(i))
        assert fields == expected[i][2]
        np.testing.assert_array_equal(image, expected[i][0])
        np.testing.assert_array_equal(mask, expected[i][1])
        np.testing.assert_array_equal(targets, expected[i][3])


@settings(max_examples=100, deadline=None)
@given(SEED, ALPHA, SIZE, st.sampled_from(["bilinear", "tile", "reflect_quilt"]))
def test_a_mixture_lies_between_image_and_noise(seed, alpha, hw, upsample):
    """A convex combination, rounded: no overshoot from interpolation, no wrap."""
    image, window = pixels(seed, hw), pixels(seed + 1, (32, 32)) // 4 + 20
    mixer, out = NoiseMixer(NoiseConfig(upsample=upsample), hw), np.empty(hw, np.uint8)
    plan = mixer.draw(window, alpha, 1.0, keyed_generator(seed, Stream.NOISE, 0))
    mixer.mix(image, 255, window, alpha, plan, out)
    low = alpha * window.min() + (1 - alpha) * image
    high = alpha * window.max() + (1 - alpha) * image
    assert (out >= low - 0.501).all() and (out <= high + 0.501).all()


COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=12)
PASSES = st.lists(st.fixed_dictionaries({"alpha": st.sampled_from([0.1, 0.2]), "side": SIDE}), min_size=1, max_size=3)


@settings(max_examples=120, deadline=None)
@given(COUNTS, PASSES, st.integers(0, 200) | st.just("all"), st.booleans(), st.integers(0, 2**63 - 1))
def test_a_plan_is_what_its_counts_say(counts, passes, asked, originals, seed):
    assume(sum(counts) > 0 and (asked != 0 or originals))
    plan = Plan(recipe_of(passes=passes, num_synthetic=asked, originals=originals, seed=seed), np.array(counts, np.int64))
    rows = list(plan)
    assert len(rows) == len(plan) and rows == [plan.row(i) for i in range(len(plan))]
    made = [row for row in rows if row.kind is SampleKind.NEGATIVE]
    assert len(rows) - len(made) == (len(counts) if originals else 0)
    assert len(made) == (4 * sum(counts) * len(passes) if asked == "all" else asked)
    assert all(row.target < counts[row.source] for row in rows)
    assert max(Counter((r.source, r.target, r.rotation, r.pass_index) for r in made).values(), default=1) == 1
    per_pass = Counter(row.pass_index for row in made)
    assert all(per_pass[p] == 4 * sum(counts) for p in range(max(per_pass, default=0)))
    for row in made:
        settings_of = passes[row.pass_index % len(passes)]
        assert (row.alpha, row.side) == (settings_of["alpha"], settings_of["side"])


@settings(max_examples=200, deadline=None)
@given(SIZE, st.tuples(st.integers(1, 200), st.integers(1, 200)), st.data())
def test_crops_hold_boxes_that_fit(canvas_hw, frame_hw, data):
    first = [data.draw(st.integers(0, size - 1)) for size in frame_hw]
    last = [data.draw(st.integers(f + 1, size)) for f, size in zip(first, frame_hw, strict=True)]
    origin = crop_origin(frame_hw, canvas_hw, (*first, *last), keyed_generator(data.draw(SEED), Stream.CANVAS, 0))
    for axis in (0, 1):
        assert 0 <= origin[axis] <= max(frame_hw[axis] - canvas_hw[axis], 0)
        if last[axis] - first[axis] <= canvas_hw[axis]:
            assert origin[axis] <= first[axis] and last[axis] <= origin[axis] + canvas_hw[axis]


@settings(max_examples=150, deadline=None)
@given(SEED, st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([0.05, 0.2, 0.4, 0.6, 0.9]))
def test_components_are_scipys(seed, hw, density):
    mask = (np.random.default_rng(seed).random(hw) < density).astype(np.uint8)
    labels, num = ndimage.label(mask, np.ones((3, 3)))
    centres, _ = find_targets(mask)
    assert len(centres) == num
    for j in range(num):
        np.testing.assert_allclose(centres[j], np.argwhere(labels == j + 1).mean(axis=0), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 30), SEED, st.randoms(use_true_random=False))
def test_a_bank_is_a_function_of_the_set_of_windows(sizes, max_windows, seed, random):
    offers = [(frame % 2, frame, windows_of(frame, n)) for frame, n in enumerate(sizes)]
    first = bank_from(offers, max_windows, seed)
    random.shuffle(offers)
    again = bank_from(offers, max_windows, seed)
    assert again.digest() == first.digest() and len(first) == min(sum(sizes), max_windows)
    if sum(sizes) > 1:
        fewer = bank_from(offers, 1, seed)
        kept = set(zip(first.source, first.frame, first.row, strict=True))
        assert (fewer.source[0], fewer.frame[0], fewer.row[0]) in kept  # smaller banks are parts of larger ones


def windows_of(frame: int, num: int) -> Windows:
    at = np.arange(num)
    return Windows(np.full((num, 4, 4), frame, np.uint8), at * 4, at * 0, at + frame / 7, at + 1 / 3)


def bank_from(offers, max_windows, seed) -> NoiseBank:
    reservoir = Reservoir(seed, 4, max_windows)
    for source, frame, windows in offers:
        reservoir.add(source, frame, windows)
    return reservoir.bank()
