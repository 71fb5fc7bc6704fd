"""Window statistics built by doubling equal those of unrolled windows, value by value."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finetune.classical import windows  # noqa: E402
from finetune.classical.maxmedian import median_of_five  # noqa: E402


def levels(hw, seed=0, top=255):
    """Return whole grey levels with many ties, float64 (2, 1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, top + 1, (2, 1, *hw), generator=generator).to(torch.float64)


@pytest.mark.parametrize("kept", [1, 2, 5, 9])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 6, 7, 9, 11, 13])
@pytest.mark.parametrize("top", [3, 255])
def test_largest_of_window(side, kept, top):
    """Any side, also one as large as the frame; ``top`` = 3 makes most values ties."""
    kept = min(kept, side * side)
    grey = levels((13, 20), seed=side, top=top)
    unrolled = grey.unfold(2, side, 1).unfold(3, side, 1).flatten(-2).sort(dim=-1, descending=True).values
    found = windows.largest_of_window(grey, side, kept)
    assert len(found) == kept
    assert torch.equal(torch.stack(found, dim=-1), unrolled[..., :kept])


@pytest.mark.parametrize("side", [1, 2, 5, 7, 12])
def test_box_mean(side):
    grey = levels((12, 17))
    unrolled = grey.unfold(2, side, 1).unfold(3, side, 1).flatten(-2).sum(dim=-1) / side**2
    assert torch.equal(windows.box_mean(grey, side), unrolled), "sums of whole levels are exact"


@pytest.mark.parametrize("hw", [(1, 1), (1, 7), (3, 2), (6, 9)])
@pytest.mark.parametrize("num_px", [1, 2, 5])
def test_borders(hw, num_px):
    """As numpy pads, also by more than the frame is wide."""
    grey = levels(hw)
    width = ((0, 0), (0, 0), (num_px, num_px), (num_px, num_px))
    pads = {"symmetric": windows.pad_symmetric, "edge": windows.pad_replicate, "constant": windows.pad_zeros}
    for mode, pad in pads.items():
        assert np.array_equal(pad(grey, num_px).numpy(), np.pad(grey.numpy(), width, mode=mode))


def test_eight_neighbours_lie_one_step_away():
    grey = levels((10, 11))
    grown = windows.pad_zeros(grey, 3)
    for index, (row, col) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)]):
        rolled = torch.roll(grown, (3 - 3 * row, 3 - 3 * col), dims=(2, 3))[..., 3:-3, 3:-3]
        assert torch.equal(windows.eight_neighbours(grown, 3)[index], rolled)


def test_reductions():
    stack = torch.rand(8, 2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parts = list(stack)
    assert torch.equal(windows.largest_of(parts), stack.amax(dim=0))
    assert torch.allclose(windows.mean_of(parts), stack.mean(dim=0), rtol=1e-14, atol=0)
    assert torch.allclose(windows.spread_of(parts), stack.std(dim=0, correction=1), rtol=1e-13, atol=0)


def test_median_of_five():
    """All orders of five values, with and without ties."""
    digits = torch.cartesian_prod(*[torch.arange(5)] * 5).to(torch.float64)
    assert torch.equal(median_of_five(list(digits.T)), digits.median(dim=1).values)


def test_smoothing_keeps_a_flat_frame_and_its_sum():
    assert torch.equal(windows.smooth_3x3(torch.full((1, 1, 4, 5), 77.0)), torch.full((1, 1, 4, 5), 77.0))
    point = torch.zeros(1, 1, 7, 7, dtype=torch.float64)
    point[0, 0, 3, 3] = 16.0
    assert windows.smooth_3x3(point)[0, 0, 2:5, 2:5].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
