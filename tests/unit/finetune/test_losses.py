"""Losses against their formulas in numpy, padding, and the two readings of the edge emphasis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from finetune.losses import LossConfig, mask_edges, segmentation_loss

SHAPE = (3, 1, 12, 10)


@pytest.fixture
def maps():
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(size=SHAPE).astype(np.float32) * 2)
    masks = torch.zeros(SHAPE)
    masks[0, 0, 2:5, 3:7] = 1
    masks[1, 0, 8, 8] = 1  # the third image is empty
    return logits, masks, torch.ones(SHAPE, dtype=torch.bool)


def only(part, **values):
    return LossConfig(**({"soft_iou": 0.0, part: 1.0} | values))


def value(config, maps):
    (found,) = segmentation_loss(config, *maps).values()
    return float(found)


def cross_entropy(logits, masks):
    p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    return -(masks.numpy() * np.log(p) + (1 - masks.numpy()) * np.log(1 - p))


def test_soft_iou_per_image_and_per_batch(maps):
    logits, masks, _ = maps
    p, t = torch.sigmoid(logits).double().numpy(), masks.double().numpy()
    shared, either = (p * t).sum((1, 2, 3)), (p + t).sum((1, 2, 3))
    assert value(only("soft_iou"), maps) == pytest.approx(np.mean(1 - (shared + 1) / (either - shared + 1)), rel=1e-5)
    pooled = 1 - (shared.sum() + 1) / (either.sum() - shared.sum() + 1)
    assert value(only("soft_iou", reduce="batch"), maps) == pytest.approx(pooled, rel=1e-5)


@pytest.mark.parametrize("part", ["soft_iou", "bce", "dice", "hard_bce"])
def test_per_image_loss_does_not_depend_on_how_a_batch_is_split(maps, part):
    """Two ranks with equal shares get the gradient of the whole, padding or not; the pooled forms do not (soft IoU: 2.8 %)."""
    valid = maps[2].clone()
    valid[0, :, 6:] = False

    def gradient(reduce, parts):
        logits = maps[0][:2].clone().requires_grad_()
        for rows in parts:
            loss = segmentation_loss(only(part, reduce=reduce), logits[rows], maps[1][:2][rows], valid[:2][rows])
            (loss[part] / len(parts)).backward()
        return logits.grad

    whole, halves = [slice(None)], [slice(0, 1), slice(1, 2)]
    if part != "hard_bce":  # the hardest pixels are those of one process's batch
        torch.testing.assert_close(gradient("image", whole), gradient("image", halves))
    assert not torch.allclose(gradient("batch", whole), gradient("batch", halves), rtol=1e-3)


def test_dice_and_cross_entropy(maps):
    logits, masks, _ = maps
    p, t = torch.sigmoid(logits).double().numpy(), masks.double().numpy()
    shared, either = (p * t).sum((1, 2, 3)), (p + t).sum((1, 2, 3))
    assert value(only("dice"), maps) == pytest.approx(np.mean(1 - (2 * shared + 1) / (either + 1)), rel=1e-5)
    assert value(only("bce", bce=3.0), maps) == pytest.approx(3 * cross_entropy(logits, masks).mean(), rel=1e-5)


def test_released_edges_weigh_every_pixel(maps):
    """Four times the mean of the hardest half of plain cross entropy."""
    losses = np.sort(cross_entropy(*maps[:2]).ravel())
    assert value(only("hard_bce", edge="released"), maps) == pytest.approx(4 * losses[len(losses) // 2 :].mean(), rel=1e-5)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("share", [1.0, 0.73, 0.01])
def test_hardest_pixels_are_those_of_the_literal_form(keep, share):
    """What PAL and FEST write down: valid pixels taken out, sorted, all from one position on; value and gradient.

    Every third logit is 0, so that there are ties. float32 sums in another order: 3e-7 was measured.
    """
    drawn = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 1, 20, 30, generator=drawn)
    logits.view(-1)[::3] = 0.0
    masks = (torch.rand(logits.shape, generator=drawn) < 0.1).float()
    valid = torch.rand(logits.shape, generator=drawn) < share
    valid[0, 0, 0, 0] = True
    config, (ours, literal) = only("hard_bce", hard_keep=keep), (logits.clone().requires_grad_() for _ in range(2))
    weights = torch.where(mask_edges(masks), 4.0, 1.0)
    losses = (functional.binary_cross_entropy_with_logits(literal, masks, reduction="none") * weights)[valid]
    limit = losses.detach().sort().values[min(int((1.0 - keep) * losses.numel()), losses.numel() - 1)]
    expected = losses[losses.detach() >= limit].mean()
    (found,) = segmentation_loss(config, ours, masks, valid).values()
    torch.testing.assert_close(found, expected, rtol=3e-6, atol=0)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, literal.grad, rtol=1e-5, atol=1e-9)


def test_a_hard_pixel_that_is_not_a_number_shows(maps):
    maps[0][0, 0, 0, 0] = float("nan")
    assert np.isnan(value(only("hard_bce"), maps))


def test_intended_edges_weigh_the_ring(maps):
    edges = mask_edges(maps[1])[0, 0]
    ring = torch.zeros(12, 10, dtype=torch.bool)
    ring[2:5, 3:7] = True
    ring[3, 4:6] = False
    assert torch.equal(edges, ring) and mask_edges(maps[1])[1].sum() == 1
    weighted = cross_entropy(*maps[:2]) * np.where(mask_edges(maps[1]).numpy(), 4, 1)
    losses = np.sort(weighted.ravel())
    assert value(only("hard_bce"), maps) == pytest.approx(losses[len(losses) // 2 :].mean(), rel=1e-5)


@pytest.mark.parametrize("part", ["soft_iou", "bce", "dice", "hard_bce"])
def test_padding_decides_nothing(maps, part):
    logits, masks, valid = (tensor.clone() for tensor in maps)
    valid[..., 9:, :] = False
    before = value(only(part), (logits, masks, valid))
    logits[..., 9:, :], masks[..., 9:, :] = 50.0, 1.0
    # the ring of a mask may touch padding: its weight there stands on valid pixels only
    assert value(only(part), (logits, masks, valid)) == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize("part", ["soft_iou", "bce", "dice", "hard_bce"])
def test_perfect_is_near_zero_and_half_precision_is_widened(maps, part):
    _, masks, valid = maps
    perfect = ((masks * 2 - 1) * 40).to(torch.bfloat16)
    (found,) = segmentation_loss(only(part), perfect, masks, valid).values()
    assert found.dtype == torch.float32 and float(found) < 1e-4


@pytest.mark.parametrize("part", ["soft_iou", "bce", "dice", "hard_bce"])
def test_nothing_valid_gives_a_finite_gradient(maps, part):
    logits = maps[0].clone().requires_grad_()
    (found,) = segmentation_loss(only(part), logits, maps[1], torch.zeros(SHAPE, dtype=torch.bool)).values()
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(logits.grad).all()
