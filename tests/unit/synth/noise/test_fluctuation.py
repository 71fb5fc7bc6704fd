"""What of a window counts as noise."""

from __future__ import annotations

import numpy as np
import pytest

from synth.noise.fluctuation import fluctuation, fluctuation_std
from tests.parity.reference import prepared_window
from tests.support.builders import texture

WINDOWS = np.stack([texture(f"w{i}", (12, 12), low=20 * i, high=20 * i + 5 + 9 * i) for i in range(5)]).astype(np.uint8)


@pytest.mark.parametrize("detrend", ["none", "plane", "local_mean"])
def test_windows_are_judged_one_by_one(detrend):
    """In a batch as alone, and as the literal form says: 1e-12 is rounding, a shared mean would miss by tens."""
    together = fluctuation(WINDOWS, detrend)
    for i, window in enumerate(WINDOWS):
        np.testing.assert_array_equal(together[i], fluctuation(window[None], detrend)[0])
        np.testing.assert_allclose(together[i], prepared_window(window, "zero_mean", detrend, 1.0), atol=1e-12)
        assert fluctuation_std(WINDOWS, detrend)[i] == pytest.approx(together[i].std(), rel=1e-12)
    assert np.abs(together.mean(axis=(1, 2))).max() < 1e-13


@pytest.mark.parametrize(("slope_row", "slope_col"), [(0, 0), (1, 0), (0, 2), (3, 2)])
@pytest.mark.parametrize("side", [4, 7, 12, 32])
def test_nothing_is_left_of_a_plane(side, slope_row, slope_col):
    """Exactly nothing: rounding dust would be amplified to the asked deviation by a calibrated gain."""
    rows, cols = np.indices((side, side))
    plane = (20 + slope_row * rows + slope_col * cols).astype(np.uint8)
    assert not fluctuation(plane[None], "plane").any()


def test_nothing_of_a_constant_window_is_noise():
    flat = np.full((1, 16, 16), 77, np.uint8)
    assert [fluctuation_std(flat, detrend)[0] for detrend in ("none", "plane", "local_mean")] == [0, 0, 0]


def test_no_window_has_no_deviation():
    assert fluctuation_std(WINDOWS[:0], "none").shape == (0,)
