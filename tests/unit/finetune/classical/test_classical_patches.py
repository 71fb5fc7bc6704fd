"""Patches cover every frame, in the order of the released codes, and go back to the frame they came from."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finetune.classical.patches import patch_grid  # noqa: E402

SIZES = [
    ((48, 64), 16, 8),
    ((50, 61), 16, 7),
    ((33, 47), 40, 40),
    ((20, 100), 40, 40),
    ((7, 5), 50, 10),
    ((1, 1), 2, 1),
    ((90, 90), 30, 30),
]


@pytest.mark.parametrize(("hw", "size", "step"), SIZES)
def test_every_pixel_is_covered_and_comes_back(hw, size, step):
    grid = patch_grid(hw, size, step)
    frames = torch.rand(2, 1, *hw, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    patches = grid.split(frames)
    assert patches.shape == (2, len(grid), min(size, *hw), min(size, *hw))
    assert torch.equal(grid.merge(patches, "last"), frames) and torch.equal(grid.merge(patches, "median"), frames)
    assert (grid.merge(patches, "mean") - frames).abs().max() < 1e-15


def test_positions_and_order_are_the_released_ones():
    """Columns outermost; one patch ends at the border, and none is doubled where the border is met anyway."""
    grid = patch_grid((256, 240), 50, 10)
    assert grid.rows == (*range(0, 210, 10), 206) and grid.cols == tuple(range(0, 200, 10))
    frame = torch.arange(256 * 240, dtype=torch.float64).view(1, 1, 256, 240)
    patches = grid.split(frame)[0]
    assert torch.equal(patches[1], frame[0, 0, 10:60, :50]) and torch.equal(patches[22], frame[0, 0, :50, 10:60])
    assert torch.equal(patches[-1], frame[0, 0, 206:, 190:])


@pytest.mark.parametrize("how", ["mean", "median", "last"])
def test_overlaps_become_what_they_should(how):
    """Against a list of the values over each pixel, patches filled with different noise."""
    grid = patch_grid((21, 26), 8, 3)
    patches = torch.randn(1, len(grid), 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    over = [[[] for _ in range(26)] for _ in range(21)]
    places = [(row, col) for col in grid.cols for row in grid.rows]
    for (row, col), patch in zip(places, patches[0].tolist(), strict=True):
        for i in range(8):
            for j in range(8):
                over[row + i][col + j].append(patch[i][j])
    reduce = {"mean": np.mean, "median": np.median, "last": lambda values: values[-1]}[how]
    expected = np.array([[reduce(values) for values in line] for line in over])
    assert max(len(values) for line in over for values in line) > 9
    assert np.abs(grid.merge(patches, how)[0, 0].numpy() - expected).max() < 1e-14
