"""Turned squares: images and maps move exactly alike, four turns are none, squares that meet are refused."""

from __future__ import annotations

import pytest
import torch

from pretrain.compose.patch_turns import choose_squares, turn_squares, turned_index
from synth.errors import RecipeError
from synth.negatives import rotate_box
from tests.support.composing import batch_of_views

STARTS = torch.tensor([[[2, 3], [2, 9], [20, 20]], [[0, 0], [40, 56], [10, 10]]])
USED = torch.tensor([[True, True, True], [True, True, False]])
QUARTERS = torch.tensor([[1, 2, 3], [3, 1, 2]])
HW = (48, 64)


@pytest.mark.parametrize("side", [2, 4, 6])
def test_a_turn_is_the_one_of_sirst5k(side):
    """Square by square the result of ``synth.negatives``, and nothing else moves."""
    images = torch.rand(2, 1, *HW)
    turned = turn_squares(images, turned_index(STARTS, USED, QUARTERS, side, HW))
    expected = images.clone().numpy()
    for view in range(2):
        for (row, col), is_used, quarters in zip(STARTS[view].tolist(), USED[view], QUARTERS[view].tolist(), strict=True):
            if is_used:
                rotate_box(expected[view, 0], (row, col), side, quarters)
    assert torch.equal(turned, torch.from_numpy(expected)) and not torch.equal(turned, images)


def test_images_and_masks_move_alike():
    images = torch.rand(2, 1, *HW)
    index = turned_index(STARTS, USED, QUARTERS, 6, HW)
    assert torch.equal(turn_squares((images > 0.7).float(), index), (turn_squares(images, index) > 0.7).float())
    both = turn_squares(torch.cat([images, 2 * images], 1), index)
    assert torch.equal(both[:, 1], 2 * both[:, 0])


def test_four_turns_are_none():
    index = turned_index(STARTS, USED, torch.ones_like(QUARTERS), 6, HW)
    images = torch.rand(2, 1, *HW)
    once = turn_squares(images, index)
    twice = turn_squares(once, index)
    assert not torch.equal(twice, images) and torch.equal(turn_squares(turn_squares(twice, index), index), images)


def test_squares_that_meet_are_refused():
    starts = torch.tensor([[[2, 3], [5, 8]]])
    used, quarters = torch.tensor([[True, True]]), torch.tensor([[1, 1]])
    turned_index(starts, used, quarters, 5, HW)  # they touch
    with pytest.raises(RecipeError, match="squares of 6 px that do not overlap, got 3 shared pixels"):
        turned_index(starts, used, quarters, 6, HW)
    turned_index(starts, torch.tensor([[True, False]]), quarters, 6, HW)  # a square that is not there meets nobody


@pytest.mark.parametrize("side", [2, 8, 32])
def test_chosen_squares_are_apart_and_valid(side):
    """Half of them hold the highest peaks, the others lie elsewhere; all in the valid region, to its very border."""
    images = batch_of_views(6, 96).images_B1HW[:, 0]
    images[:, 40:43, 40:43] += 0.5
    valid = torch.ones_like(images, dtype=torch.bool)
    valid[:, :, 70:] = False
    starts, used = choose_squares(images, valid, torch.randn(6, 96, 96, generator=torch.Generator().manual_seed(1)), 3, side)
    assert starts.shape == (6, 6, 2) and used[:, 0].all() and used.float().mean() > 0.3
    inside = ((starts >= 0) & (starts + side <= torch.tensor([96, 70]))).all(2)
    assert inside[used].all()
    turned_index(starts, used, torch.ones_like(used, dtype=torch.int64), side, (96, 96))  # raises where two meet
    peak = starts[:, 0] + side // 2
    assert ((peak - 41).abs() <= 1).all()
    if side == 2:
        assert used.all()
        others = (starts[:, 3:] + 1).flatten(0, 1).float()
        assert others.std(0).min() > 10, "spread over the view"
