"""Composed frames: what was inserted is what the record says, by position alone, and nothing marks the targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pretrain.compose import Composed, InsertionConfig, Kind
from pretrain.compose.plan import plan_insertions
from pretrain.compose.stamps import REACH_PX, gaussian_stamps
from pretrain.view_config import Radiometry
from synth.errors import RecipeError
from tests.support.composing import batch_of_views, composed_of

PLAIN = {"grain": 0.0, "radiometry": Radiometry()}
"""Insertion alone, so that differences to the untouched view are exact."""
FIELDS = ("images_B1HW", "first_B1HW", "second_B1HW", "twins_B1HW", "masks_B1HW", "valid_B1HW", "centres_BS2", "kinds_BS",
          "is_used_BS", "turns_B3")  # fmt: skip


def assert_equal(one: Composed, other: Composed) -> None:
    for name in FIELDS:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_composition_does_not_depend_on_the_batch():
    """Any split, rank or resume composes the same frames: position 5 alone equals position 5 among eight."""
    whole = composed_of(batch_of_views(8))
    for first in (0, 5):
        part = composed_of(batch_of_views(1, first=first))
        for name in FIELDS:
            assert torch.equal(getattr(part, name)[0], getattr(whole, name)[first]), name
    assert_equal(whole, composed_of(batch_of_views(8)))
    assert not torch.equal(whole.images_B1HW, composed_of(batch_of_views(8), seed=4).images_B1HW)


def test_global_generators_are_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    composed_of(batch_of_views(2))
    assert torch.equal(before, torch.get_rng_state())


def test_masks_are_the_targets_above_their_share_of_the_peak():
    """On a flat view the rule can be read off the image: excess over its highest value, at the share on record."""
    batch = batch_of_views(32)
    batch.images_B1HW.fill_(0.3)
    composed = composed_of(batch, impostors={"num": (0, 0)}, targets={"num": (1, 1)}, **PLAIN)
    excess = composed.images_B1HW - 0.3
    top = excess.amax((2, 3), keepdim=True)
    share = excess / top
    level = composed.level_BS[:, :1, None, None]
    assert composed.is_target_BS.all() and (level >= 0.30).all() and (level <= 0.42).all() and level.std() > 0.01
    clear = (share - level).abs() > 1e-4  # float32 of a level near 0.3 leaves 1e-5 of an excess of 0.02
    assert torch.equal((share >= level)[clear], composed.masks_B1HW[clear] > 0)
    areas = composed.masks_B1HW.sum((1, 2, 3))
    assert areas.min() >= 1 and areas.max() <= 60 and areas.std() > 2
    peaks = (excess == top)[:, 0].flatten(1).float().argmax(1)
    found = torch.stack([peaks // 64, peaks % 64], 1).float()
    assert (found - composed.centres_BS2[:, 0]).abs().max() <= 0.75, "the brightest pixel is the centre's, or its neighbour"


def test_nothing_but_targets_is_mask():
    composed = composed_of(batch_of_views(16), targets={"num": (0, 0)}, impostors={"num": (3, 4)})
    assert composed.is_impostor_BS.sum() > 30 and not composed.is_target_BS.any() and composed.masks_B1HW.sum() == 0
    assert set(composed.kinds_BS[composed.is_used_BS].tolist()) == set(Kind) - {Kind.TARGET}


@pytest.mark.parametrize("kind", [kind.name.lower() for kind in Kind if kind is not Kind.TARGET])
def test_every_impostor_leaves_a_trace_where_it_stands(kind):
    batch = batch_of_views(16)
    composed = composed_of(batch, targets={"num": (0, 0)}, impostors={"num": (1, 1), "kinds": (kind,)}, **PLAIN)
    used = composed.is_impostor_BS.any(1)
    assert used.sum() >= 12
    change = (composed.images_B1HW - batch.images_B1HW)[:, 0].abs()
    places = composed.centres_BS2[composed.is_used_BS].round().long()
    near = torch.stack(
        [image[max(r - 5, 0) : r + 6, max(c - 5, 0) : c + 6].amax() for image, (r, c) in zip(change[used], places, strict=True)]
    )
    assert (near > 1e-3).all()
    assert (change[~used] == 0).all()


def test_places_keep_their_distance():
    config = InsertionConfig.model_validate({"targets": {"num": (4, 4)}, "impostors": {"num": (4, 4)}})
    plan = plan_insertions(config, 1, np.arange(500), (64, 64))
    assert plan.is_used.all(1).mean() > 0.99
    gaps = np.linalg.norm(plan.centres_rc[:, :, None] - plan.centres_rc[:, None], axis=3)
    gaps[~(plan.is_used[:, :, None] & plan.is_used[:, None])] = np.inf
    gaps[:, np.arange(8), np.arange(8)] = np.inf
    assert gaps.min() >= config.spacing_px
    assert plan.centres_rc[plan.is_used].min() >= 3 and plan.centres_rc[plan.is_used].max() <= 60


def test_twins_hold_the_same_energy_elsewhere():
    """Only targets differ, within their core, and the sum of what was added is the same."""
    composed = composed_of(batch_of_views(16, grain=0.0), targets={"num": (1, 1)}, **PLAIN)
    assert composed.twins_B1HW is not None
    change = composed.twins_B1HW - composed.first_B1HW
    inner = ((composed.centres_BS2[:, 0] > 6) & (composed.centres_BS2[:, 0] < 57)).all(1) & composed.is_target_BS[:, 0]
    assert inner.sum() >= 8 and (change.abs().amax((1, 2, 3))[inner] > 0.01).all()
    assert change[inner].sum((1, 2, 3)).abs().max() < 2e-3  # float32 sums of 81 pixels; one lost pixel would be 0.05 and more
    rows = torch.arange(64.0)
    far = ((rows[None] - composed.centres_BS2[:, 0, :1]).abs() > 6)[:, None, :, None]
    assert (change * far).abs().max() == 0


def test_second_views_are_turned_and_changed():
    composed = composed_of(batch_of_views(24), grain=0.0, radiometry=Radiometry())
    assert composed.second_B1HW is not None and len(torch.unique(composed.turns_B3, dim=0)) == 8
    for first, second, (rows, cols, swap) in zip(composed.first_B1HW, composed.second_B1HW, composed.turns_B3, strict=True):
        turned = first.flip(1) if rows else first
        turned = turned.flip(2) if cols else turned
        assert torch.equal(turned.transpose(1, 2) if swap else turned, second)
    changed = composed_of(batch_of_views(24))
    assert not torch.equal(changed.first_B1HW, changed.images_B1HW)


def test_doubtful_pixels_are_ignored_unless_something_was_inserted_there():
    """The mask of an unlabelled view is what may be a target; that of a labelled one is no business of insertion."""
    batch = batch_of_views(8)
    batch.masks_B1HW[:, :, 10:50, 10:50] = 1
    composed = composed_of(batch)
    inserted = composed.masks_B1HW > 0
    assert not (composed.ignored_B1HW & inserted).any() and inserted[:, :, 10:50, 10:50].any()
    assert not composed.ignored_B1HW[:, :, 50:].any() and composed.ignored_B1HW[:, :, 10:50, 10:50].float().mean() > 0.8
    assert torch.equal(composed.valid_B1HW, ~composed.ignored_B1HW)
    assert not composed_of(replace(batch, is_labelled_B=torch.ones(8, dtype=torch.bool))).ignored_B1HW.any()


def test_padding_receives_nothing_that_counts():
    batch = batch_of_views(16)
    batch.valid_B1HW[:, :, 32:] = False
    composed = composed_of(batch)
    assert composed.is_used_BS.any() and (composed.centres_BS2[composed.is_used_BS][:, 0] < 32).all()
    assert not composed.valid_B1HW[:, :, 32:].any()


def test_stamps_are_pixel_integrals():
    """Against 15x15 samples a pixel, any angle; against 61x61 the error is 3e-4 of the peak at sigma 0.4 and 1e-4 from 0.6 on."""
    for along, across, angle, tolerance in (
        (0.4, 0.4, 0.0, 3e-3),
        (0.9, 0.6, 0.7, 1e-3),
        (2.2, 1.6, 2.2, 1e-3),
        (4.0, 0.6, 1.0, 1e-3),
    ):
        offset = torch.tensor([[0.31, -0.42]])
        (found,) = gaussian_stamps(offset, torch.tensor([[along, across]]), torch.tensor([angle]))
        fine = (np.arange(33 * 15) - 16 * 15 - 7) / 15
        row, col = fine[:, None] - 0.31, fine[None, :] + 0.42
        u, v = col * np.cos(angle) + row * np.sin(angle), row * np.cos(angle) - col * np.sin(angle)
        dense = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2)).reshape(33, 15, 33, 15).mean((1, 3))
        np.testing.assert_allclose(found.numpy(), dense / dense.max(), atol=tolerance)
        assert found.amax() == 1 and found[0].amax() < 1e-3, f"nothing left at {REACH_PX} px"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"targets": {"sigma_px": (2.0, 1.0)}}, "sigma_px must be a range within 0.4..3"),
        ({"impostors": {"num": (1, 9)}}, "num must be a range within 0..8"),
        ({"impostors": {"kinds": ("ghost",)}}, "impostors.kinds"),
    ],
)
def test_settings_that_cannot_be_are_named(config, message):
    with pytest.raises(ValidationError, match=message):
        InsertionConfig.model_validate(config)


def test_small_views_are_refused():
    with pytest.raises(RecipeError, match=r"views.crop_px must be >= 32 for insertion, got views of 24x24 px"):
        composed_of(batch_of_views(2, side=24))


def test_views_may_stay_as_they_are():
    batch = batch_of_views(2)
    composed = composed_of(batch, targets={"num": (0, 0)}, impostors={"num": (0, 0)}, **PLAIN)
    assert torch.equal(composed.images_B1HW, batch.images_B1HW) and not composed.is_used_BS.any()
