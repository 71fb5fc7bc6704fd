"""Bodies: targets with an extent of their own, and impostors with the same outlines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage, special

from pretrain.compose import InsertionConfig, Kind
from pretrain.compose.plan import plan_insertions
from pretrain.compose.stamps import REACH_PX, bar_stamps, body_stamps
from pretrain.view_config import Radiometry
from tests.support.composing import batch_of_views, composed_of

PLAIN = {"grain": 0.0, "radiometry": Radiometry()}
ONE_BODY = {"targets": {"num": (1, 1), "bodies": {"probability": 1.0}}, "impostors": {"num": (0, 0)}}


def flat_bodies(count: int):
    """Return bodies on flat views of 64 px: excess over the background and masks of those clear of the border, and all."""
    batch = batch_of_views(count)
    batch.images_B1HW.fill_(0.3)
    composed = composed_of(batch, **ONE_BODY, **PLAIN)
    clear = ((composed.centres_BS2[:, 0] > REACH_PX) & (composed.centres_BS2[:, 0] < 63 - REACH_PX)).all(1)
    return (composed.images_B1HW - 0.3)[clear, 0], composed.masks_B1HW[clear, 0] > 0, composed


def test_targets_are_as_large_as_those_of_real_sets():
    """Quartiles of target area on the training lists: 12, 20, 38 px in NUAA, 13, 21, 54 in NUDT, 95 % below 116 and 79; shares of
    target pixels in targets above 40 px: 57 and 62 %. Compact targets alone end near 45 px.
    """
    batch = batch_of_views(600)
    batch.images_B1HW.fill_(0.3)
    shares = {}
    for name, bodies in (("compact", None), ("with bodies", {})):
        targets = {"num": (1, 1), "bodies": bodies}
        composed = composed_of(batch, targets=targets, impostors={"num": (0, 0)}, margin_px=12, pairs=False, **PLAIN)
        areas = composed.masks_B1HW.sum((1, 2, 3)).numpy()
        shares[name] = areas[areas > 40].sum() / areas.sum()
    low, middle, high, most = np.percentile(areas, [25, 50, 75, 95])
    assert 8 <= low <= 14 and 16 <= middle <= 26 and 32 <= high <= 50 and 60 <= most <= 110
    assert shares["compact"] < 0.1 and 0.4 < shares["with bodies"] < 0.65


def test_bodies_are_one_piece():
    _, masks, composed = flat_bodies(400)
    assert composed.is_target_BS.all() and len(masks) > 60
    pieces = [ndimage.label(mask.numpy(), np.ones((3, 3)))[1] for mask in masks]
    assert set(pieces) == {1}


def test_masks_of_bodies_are_what_stands_above_their_level():
    excess, masks, _ = flat_bodies(64)
    share = excess / excess.amax((1, 2), keepdim=True)
    inside = torch.stack([part[mask].min() for part, mask in zip(share, masks, strict=True)])
    outside = torch.stack([part[~mask].max() for part, mask in zip(share, masks, strict=True)])
    assert (inside >= 0.30 - 1e-4).all() and (outside <= 0.42 + 1e-4).all() and (inside > outside).all()
    assert (excess >= -1e-6).all()


@pytest.mark.parametrize(("sigma", "tolerance"), [(0.6, 0.01), (1.0, 0.002), (2.2, 0.001)])
def test_bars_are_blurred_lines(sigma, tolerance):
    """Against a line drawn 15 times as fine, blurred and averaged over pixels."""
    fine = (np.arange(33 * 15) - 16 * 15 - 7) / 15
    row, col = fine[:, None] - 0.31, fine[None, :] + 0.42
    for angle, half in ((0.0, 4.0), (0.7, 6.5), (2.2, 2.0)):
        (found,) = bar_stamps(torch.tensor([[0.31, -0.42]]), torch.tensor([sigma]), torch.tensor([angle]), torch.tensor([half]))
        along, across = col * np.cos(angle) + row * np.sin(angle), row * np.cos(angle) - col * np.sin(angle)
        places = np.linspace(-half, half, 400)
        ends = special.erf((along + half) / (sigma * 2**0.5)) - special.erf((along - half) / (sigma * 2**0.5))
        one = np.exp(-0.5 * (along[247, 300] - places) ** 2 / sigma**2).mean() * half / sigma * (2 / np.pi) ** 0.5
        assert abs(ends[247, 300] - 2 * one) < 0.02, "the closed form is the integral along the line"
        dense = (np.exp(-0.5 * (across / sigma) ** 2) * ends).reshape(33, 15, 33, 15).mean((1, 3))
        np.testing.assert_allclose(found.numpy(), dense / dense.max(), atol=tolerance)


def test_unions_lie_between_the_highest_bar_and_the_sum():
    generator = torch.Generator().manual_seed(0)
    offsets, angles = 8 * torch.rand(60, 2, generator=generator) - 4, 3 * torch.rand(60, generator=generator)
    bars = bar_stamps(offsets, torch.full((60,), 1.2), angles, torch.full((60,), 4.0)).view(20, 3, *(2 * REACH_PX + 1,) * 2)
    heights = 0.5 + 0.5 * torch.rand(20, 3, generator=generator)
    found, parts = body_stamps(bars, heights), heights[:, :, None, None] * bars
    union = 1 - (1 - parts[:, 0]) * (1 - parts[:, 1]) * (1 - parts[:, 2])
    torch.testing.assert_close(found, union / union.amax((1, 2), keepdim=True))
    assert (union >= parts.amax(1) - 1e-6).all() and (union <= parts.sum(1) + 1e-6).all()
    one = torch.tensor([[0.7, 0.0, 0.0]]).expand(20, 3)
    torch.testing.assert_close(body_stamps(bars, one), bars[:, 0])


def test_nothing_else_changes_where_bodies_may_be():
    """Draws of places, kinds and contrasts are those without bodies; slots that hold none are the same to the bit."""
    positions = np.arange(200)
    plain = plan_insertions(InsertionConfig(), 1, positions, (64, 64))
    bodies = plan_insertions(InsertionConfig.model_validate({"targets": {"bodies": {}}}), 1, positions, (64, 64))
    for name in ("is_used", "kinds", "centres_rc", "angle", "contrast", "level", "from_rc", "turns"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(bodies, name), name)
    np.testing.assert_array_equal(plain.sigmas_px[~bodies.is_body], bodies.sigmas_px[~bodies.is_body])
    assert not plain.is_body.any() and plain.bars.size == 0
    assert (bodies.bars[~bodies.is_body] == 0).all() and np.isfinite(bodies.bars).all()


def test_impostors_share_the_outlines_of_targets():
    """Were only targets bodies, everything extended would be a target."""
    plan = plan_insertions(InsertionConfig.model_validate({"targets": {"bodies": {}}}), 1, np.arange(2000), (64, 64))
    for kind in Kind:
        share = plan.is_body[plan.kinds == kind].mean()
        if kind in (Kind.PIXEL, Kind.STREAK, Kind.BLOB):
            assert share == 0, kind
        else:
            assert abs(share - 0.5) < 0.04, kind


def test_wings_cross_the_first_bar_and_tails_stand_at_its_other_end():
    config = InsertionConfig.model_validate({"targets": {"bodies": {"half_length_px": (6.0, 6.0), "wings": 1.0, "tail": 0.5}}})
    plan = plan_insertions(config, 2, np.arange(500), (64, 64))
    bars, angle = plan.bars[plan.is_body], plan.angle[plan.is_body, None]
    assert bars.shape[1:] == (3, 5) and len(bars) > 500
    along = bars[..., 0] * np.sin(angle) + bars[..., 1] * np.cos(angle)
    across = bars[..., 0] * np.cos(angle) - bars[..., 1] * np.sin(angle)
    np.testing.assert_allclose(across, 0, atol=1e-9)
    np.testing.assert_allclose(along[:, 0], 0, atol=1e-9)
    assert (bars[:, 0, 3:] == (6.0, 1.0)).all() and np.abs(along[:, 1]).max() <= 3.0
    np.testing.assert_allclose(along[:, 2], np.where(along[:, 1] > 0, -6.0, 6.0))
    turned = np.degrees(bars[:, 1:, 2] - bars[:, :1, 2])
    assert turned.min() >= 60 and turned.max() <= 120
    assert (bars[:, 1, 4] >= 0.6).all() and abs((bars[:, 2, 4] > 0).mean() - 0.5) < 0.06
    assert (bars[:, 1, 3] <= 6.3).all() and (bars[:, 2, 3] < bars[:, 1, 3]).all()
    assert np.hypot(along[:, 2], bars[:, 2, 3]).max() < REACH_PX


def test_twins_of_bodies_lose_the_shape_and_keep_the_energy():
    faint = {"num": (1, 1), "bodies": {"probability": 1.0}, "contrast": (2.5, 3.0)}  # far from where levels are clipped
    composed = composed_of(batch_of_views(48, grain=0.0), targets=faint, impostors={"num": (0, 0)}, **PLAIN)
    assert composed.twins_B1HW is not None
    inner = ((composed.centres_BS2[:, 0] > 12) & (composed.centres_BS2[:, 0] < 51)).all(1) & composed.is_target_BS[:, 0]
    change = (composed.twins_B1HW - composed.first_B1HW)[inner, 0]
    assert len(change) >= 8 and change.sum((1, 2)).abs().max() < 5e-3
    own = composed.masks_B1HW[inner, 0] > 0
    twins = composed.twins_B1HW[inner, 0] - composed.batch.images_B1HW[inner, 0]
    bodies = composed.first_B1HW[inner, 0] - composed.batch.images_B1HW[inner, 0]
    left = (twins * own).sum((1, 2)) / (bodies * own).sum((1, 2))
    assert left.mean() < 0.6, "not much more than half of the energy stayed where the target was"


def test_any_batch_composes_the_same_bodies():
    keys = {"targets": {"bodies": {"probability": 0.5}}}
    whole = composed_of(batch_of_views(8), **keys)
    part = composed_of(batch_of_views(1, first=5), **keys)
    for name in ("images_B1HW", "twins_B1HW", "masks_B1HW"):
        assert torch.equal(getattr(part, name)[0], getattr(whole, name)[5]), name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"half_length_px": (1.0, 9.0)}, "half_length_px must be a range within 0.5..7"),
        ({"sigma_px": (2.0, 1.0)}, "sigma_px must be a range within 0.4..2.5"),
        ({"wings": 1.5}, "wings"),
        ({"lobes": 3}, "lobes"),
    ],
)
def test_bodies_that_cannot_be_are_named(config, message):
    with pytest.raises(ValidationError, match=message):
        InsertionConfig.model_validate({"targets": {"bodies": config}})


def test_recipes_without_bodies_say_nothing_of_them():
    """What was pretrained before there were any keeps its identity."""
    assert "bodies" not in InsertionConfig().model_dump(mode="json")["targets"]
