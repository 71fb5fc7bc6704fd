"""The acceptance rule of noise windows, on windows whose statistics are known by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pydantic import ValidationError

from synth.noise import NoiseConfig, accept_windows
from tests.support.builders import frame_of, texture

SIDE = 32


def window(variance: float, mean: float = 100.0, side: int = SIDE) -> np.ndarray:
    """Return a window of exactly this mean and the nearest variance that whole levels allow from below.

    Pairs of pixels at mean +- d: adding a pair changes the variance by 2 d^2 / s^2, so steps of 2/1024 are met.
    """
    values = np.full(side * side, mean)
    budget, at = round(variance * side * side / 2), 0
    for step in (15, 7, 2, 1):
        while budget >= step * step and at + 2 <= len(values):
            values[at], values[at + 1] = mean + step, mean - step
            budget, at = budget - step * step, at + 2
    return values.reshape(side, side)


def accepted(*frames, released_grid=False, **config):
    """Return how many windows of a sequence pass, given its frames' levels."""
    sequence = [frame if hasattr(frame, "levels") else frame_of(frame) for frame in frames]
    windows = accept_windows(sequence, NoiseConfig(**config), released_grid=released_grid)
    assert len({len(w) for w in windows}) == 1 and len(windows) == len(frames)
    return len(windows[0])


@pytest.mark.parametrize(("variance", "passes"), [(49.9, 1), (50.0, 0), (50.1, 0), (0.002, 1)])
def test_variance_ceiling_is_exclusive(variance, passes):
    levels = window(variance)
    assert levels.var() == pytest.approx(variance, abs=0.001) and (variance != 50.0 or levels.var() == 50.0)
    assert accepted(levels) == passes


def test_variance_is_the_population_variance():
    """50 = population; the sample variance of this window is 50.05, of 49.96 it is 50.01."""
    levels = window(49.96)
    assert levels.var() < 50.0 < levels.var(ddof=1)
    assert accepted(levels) == 1


@pytest.mark.parametrize("level", [1, 100, 255])
def test_constant_windows_are_dropped(level):
    assert accepted(np.full((SIDE, SIDE), level)) == 0


def test_var_min_is_exclusive():
    levels = window(10.0)
    assert levels.var() == 10.0
    assert [accepted(levels, var_min=v) for v in (0.0, 9.99, 10.0)] == [1, 1, 0]


def test_mean_bound_is_exclusive_from_below():
    """A window of mean exactly 0 is all zero, and dropped whatever var_min says; one grey pixel lifts the mean above 0."""
    dark = np.zeros((SIDE, SIDE))
    assert accepted(dark) == 0
    dark[3, 4] = 1
    assert accepted(dark) == 1
    assert [accepted(window(5.0, mean=20.0), mean_min=m) for m in (19.9, 20.0, 20.1)] == [1, 0, 0]


def test_mean_max_is_exclusive_and_off_by_default():
    bright = window(5.0, mean=200.0)
    assert accepted(bright) == 1
    assert [accepted(bright, mean_max=m) for m in (200.1, 200.0, 199.9)] == [1, 0, 0]


def test_dots_and_edges_are_dropped_on_request():
    """One pixel 31 above a mean of 100 among 1,023 others is 31.98 sigma away, a checkerboard exactly 1."""
    dot = np.full((SIDE, SIDE), 100)
    dot[5, 6] += 31
    away = (131 - dot.mean()) / dot.std()
    assert accepted(dot) == 1
    assert [accepted(dot, peak_max_sigma=k) for k in (away - 0.01, away + 0.01)] == [0, 1]
    assert [accepted(200 - dot, peak_max_sigma=k) for k in (away - 0.01, away + 0.01)] == [0, 1]
    board = 100 + 2 * (np.indices((SIDE, SIDE)).sum(axis=0) % 2)
    assert [accepted(board, peak_max_sigma=k) for k in (0.999, 1.0)] == [0, 1]
    assert accepted(board, dot, peak_max_sigma=5.0, seq_var_max=1e6) == 0


def test_every_frame_of_a_sequence_must_pass():
    quiet, loud = window(20.0), window(60.0)
    generous = {"seq_var_max": 1e6, "seq_mean_max": 1e6}
    assert accepted(quiet, quiet, **generous) == 1
    assert accepted(quiet, loud, **generous) == 0
    assert accepted(loud, quiet, **generous) == 0
    assert accepted(quiet, window(20.0, mean=230.0), mean_max=220.0, **generous) == 0
    assert accepted(quiet, window(20.0, mean=30.0), mean_min=40.0, **generous) == 0


@pytest.mark.parametrize(("drift", "passes"), [(14, 1), (15, 0)])
def test_drifting_means_are_refused(drift, passes):
    """Two means d apart have variance d^2 / 4: 49 at 14, 56.25 at 15."""
    assert accepted(window(5.0, mean=100.0), window(5.0, mean=100.0 + drift)) == passes
    assert accepted(window(5.0, mean=100.0), window(5.0, mean=100.0 + drift), seq_mean_max=100.0) == 1


@pytest.mark.parametrize(("second", "passes"), [(24.0, 1), (25.0, 0)])
def test_drifting_variances_are_refused(second, passes):
    """Variances 10 and 24 vary by 49, 10 and 25 by 56.25."""
    assert accepted(window(10.0), window(second)) == passes
    assert accepted(window(10.0), window(second), seq_var_max=100.0) == 1


def test_sequence_ceilings_are_inclusive_and_0_for_one_frame():
    pair = window(4.0, mean=100.0), window(4.0, mean=102.0)
    assert [accepted(*pair, seq_mean_max=c) for c in (1.0, 0.99)] == [1, 0]
    assert accepted(pair[0], seq_mean_max=0.0, seq_var_max=0.0) == 1


def test_windows_of_a_sequence_share_their_places_and_keep_their_own_values():
    first, second = texture("a", (64, 96), low=100, high=110), texture("b", (64, 96), low=101, high=111)
    first[:32, 32:64] = texture("loud", (32, 32))
    windows = accept_windows([frame_of(first), frame_of(second)], NoiseConfig())
    places = [(0, 0), (0, 64), (32, 0), (32, 32), (32, 64)]
    for levels, found in zip((first, second), windows, strict=True):
        assert list(zip(found.row, found.col, strict=True)) == places
        for i, (row, col) in enumerate(places):
            cut = levels[row : row + 32, col : col + 32]
            np.testing.assert_array_equal(found.patch[i], cut)
            assert found.mean[i] == pytest.approx(cut.mean(), abs=1e-12)
            assert found.variance[i] == pytest.approx(cut.var(), abs=1e-10)


def test_windows_that_touch_a_target_are_dropped():
    levels, mask = texture("sky", (64, 64), low=90, high=100), np.zeros((64, 64), np.uint8)
    mask[31, 31] = 1  # the last pixel of the first window
    assert accepted(frame_of(levels, mask)) == 3
    mask[31, 32] = 1
    assert accepted(frame_of(levels, mask)) == 2
    assert accepted(frame_of(levels, mask), exclude_targets=False) == 4
    assert accepted(frame_of(levels)) == 4


def test_a_target_in_any_frame_of_a_sequence_drops_the_window():
    levels = texture("sky", (64, 64), low=90, high=100)
    mask = np.zeros((64, 64), np.uint8)
    mask[40, 40] = 1
    assert accepted(frame_of(levels, np.zeros_like(mask)), frame_of(levels, mask)) == 3


@pytest.mark.parametrize(
    ("hw", "full", "released"), [((256, 256), 64, 49), ((255, 257), 56, 56), ((33, 32), 1, 0), ((70, 96), 6, 4)]
)
def test_the_released_grid_misses_the_last_row_and_column(hw, full, released):
    """Exclusive loops over range(0, H - s, s) lose the last window only where s divides the size."""
    levels = texture("sky", hw, low=90, high=100)
    assert accepted(levels) == full
    assert accepted(levels, released_grid=True) == released


def test_stride_below_the_side_overlaps_windows():
    found = accept_windows([frame_of(texture("sky", (64, 48), low=90, high=100))], NoiseConfig(stride_px=8))[0]
    assert len(found) == 5 * 3
    assert sorted(set(found.row)) == [0, 8, 16, 24, 32] and sorted(set(found.col)) == [0, 8, 16]


@pytest.mark.parametrize(("hw", "config"), [((96, 90), {"window_px": 7, "stride_px": 3}), ((256, 256), {"window_px": 256})])
@pytest.mark.parametrize("low", [0, 255])
def test_moments_are_the_exact_integers_of_the_window(hw, config, low):
    """Bright windows of the largest side too: their sums of squares need 33 bits."""
    levels = texture("sky", hw, low=low, high=255)
    levels[::5, ::5] = 254
    found = accept_windows([frame_of(levels)], NoiseConfig(**config, var_max=1e5))[0]
    assert len(found)
    for patch, mean, variance in zip(found.patch.astype(object), found.mean, found.variance, strict=True):
        count, total, squares = patch.size, patch.sum(), (patch * patch).sum()
        assert (mean, variance) == (total / count, (count * squares - total * total) / (count * count))


def test_memory_does_not_grow_with_the_overlap_of_windows():
    """57 x 57 windows of 1024 px are 53 MB as squares of 64 bits; 0.3 MB are held, and 2 MB still catch a copy of 8 bits."""
    frame = frame_of(texture("loud", (256, 256)))
    config = NoiseConfig(stride_px=4)
    accept_windows([frame], config)
    tracemalloc.start()
    try:
        assert len(accept_windows([frame], config)[0]) == 0
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("hw", [(31, 64), (64, 31), (8, 8)])
@pytest.mark.parametrize("released_grid", [False, True])
def test_frames_smaller_than_a_window_give_none(hw, released_grid):
    frame = frame_of(texture("sky", hw, low=90, high=100), np.zeros(hw, np.uint8))
    assert accepted(frame, released_grid=released_grid) == 0


@pytest.mark.parametrize(("max_level", "factor"), [(65535, 257), (16383, 64)])
def test_deep_frames_are_judged_and_kept_on_the_8_bit_scale(max_level, factor):
    levels = texture("sky", (32, 32), low=90, high=110)
    deep = accept_windows([frame_of(levels * factor, max_level=max_level)], NoiseConfig())[0]
    assert deep.patch.dtype == np.uint8 and len(deep) == 1
    np.testing.assert_array_equal(deep.patch[0], np.round(levels * factor * 255 / max_level))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"window_px": 3}, "window_px"),
        ({"stride_px": 0}, "stride_px"),
        ({"var_max": 0.0}, "var_max"),
        ({"var_max": float("inf")}, "var_max"),
        ({"mean_min": -1.0}, "mean_min"),
        ({"peak_max_sigma": 0.0}, "peak_max_sigma"),
        ({"max_windows": 0}, "max_windows"),
        ({"upsample": "nearest"}, "upsample"),
        ({"dc": "drop"}, "dc"),
        ({"detrend": True}, "detrend"),
        ({"gain": "calibrate"}, "gain"),
        ({"gain": float("nan")}, "gain"),
        ({"gain": 1e30}, "gain"),
        ({"source": ""}, "source"),
        ({"source": "x", "max_level": 0}, "max_level"),
        ({"source": "x", "max_level": 65_536}, "max_level"),
        ({"windows": 1}, "windows"),
    ],
)
def test_wrong_values_are_named(values, key):
    with pytest.raises(ValidationError, match=key):
        NoiseConfig(**values)
