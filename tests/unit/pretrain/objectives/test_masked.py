"""``masked``: which blocks are hidden, what is predicted of them, and that nothing of them is seen."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from pretrain.compose import Composer, InsertionConfig
from pretrain.objectives.masked import (
    FLOOR,
    Masked,
    MaskedConfig,
    high_pass,
    normalised_blocks,
    replace_masked,
    stratified_mask,
)
from pretrain.objectives.reconstruction import mean_error
from synth.errors import RecipeError
from tests.support.composing import batch_of_views, composed_of, tiny_network


def contrast_of(images, block):
    return images.unfold(2, block, block).unfold(3, block, block).flatten(4).std(4, correction=0).flatten(1)


@pytest.mark.parametrize("block", [4, 8])
def test_half_of_the_blocks_of_every_contrast(block):
    """Exactly half; and of any two neighbours in the order of contrast exactly one, so visible and masked halves look alike."""
    images = batch_of_views(8).images_B1HW
    num = (64 // block) ** 2
    masked = stratified_mask(images, block, torch.rand(8, num // 2, generator=torch.Generator().manual_seed(1)))
    cells = masked[:, 0, ::block, ::block].flatten(1)
    assert torch.equal(cells.view(8, 1, 64 // block, -1).repeat_interleave(block, 2).repeat_interleave(block, 3), masked)
    ranked = cells.gather(1, contrast_of(images, block).argsort(1)).view(8, -1, 2)
    assert (ranked.sum(2) == 1).all()
    assert 0.3 < ranked[:, :, 0].float().mean() < 0.7


def test_the_odd_block_stays_visible():
    images = batch_of_views(2, 72).images_B1HW[:, :, :24, :24]
    masked = stratified_mask(images, 8, torch.zeros(2, 4))
    cells = masked[:, 0, ::8, ::8].flatten(1)
    assert (cells.sum(1) == 4).all() and not cells.gather(1, contrast_of(images, 8).argmax(1, keepdim=True)).any()


def test_nothing_of_masked_pixels_is_seen():
    images = batch_of_views(2).images_B1HW
    masked = stratified_mask(images, 8, torch.rand(2, 32, generator=torch.Generator().manual_seed(1)))
    other = torch.where(masked, torch.rand_like(images), images)
    assert torch.equal(replace_masked(images, masked), replace_masked(other, masked))
    assert torch.equal(replace_masked(images, masked)[~masked], images[~masked])


def test_high_pass_is_the_frame_less_a_gaussian():
    """Against scipy's kernel of the same reach; 3e-8 measured, its borders are reflected without the edge as here."""
    images = batch_of_views(2).images_B1HW
    expected = images - torch.from_numpy(ndimage.gaussian_filter(images.numpy(), (0, 0, 1.5, 1.5), mode="mirror", radius=5))
    assert (high_pass(images) - expected).abs().max() < 1e-6
    assert high_pass(torch.full((1, 1, 32, 32), 0.7)).abs().max() < 1e-6


def test_normalised_blocks():
    images = batch_of_views(2).images_B1HW
    images[0, 0, :8, :8] = 0.4
    found, block = normalised_blocks(images, 8), images[1, 0, 16:24, 8:16]
    torch.testing.assert_close(found[1, 0, 16:24, 8:16], (block - block.mean()) / (block.std(correction=0) + FLOOR))
    assert found[0, 0, :8, :8].abs().max() < 1e-5, "flat blocks stay flat"


def test_only_masked_valid_pixels_count():
    network = tiny_network().eval()
    objective, composed = Masked(MaskedConfig(), network), composed_of(batch_of_views(2))
    composed.batch.valid_B1HW[:, :, :, :32] = False
    predicted = []
    objective.head.register_forward_hook(lambda _, __, output: predicted.append(output.requires_grad_().retain_grad() or output))
    objective.parts(network, composed, 0)["l1"].backward()
    touched = predicted[0].grad != 0
    assert not touched[:, :, :, :32].any() and 0.45 < touched[:, :, :, 32:].float().mean() < 0.55


def test_masks_follow_the_position_alone():
    """A sample's loss is the same alone and among others, so ranks, splits and resumes hide the same blocks."""
    network = tiny_network().eval()
    objective = Masked(MaskedConfig(), network)
    with torch.no_grad():
        whole = objective.parts(network, composed_of(batch_of_views(4)), 0)["l1"]
        halves = [objective.parts(network, composed_of(batch_of_views(2, first=first)), 0)["l1"] for first in (0, 2)]
    torch.testing.assert_close(whole, torch.stack(halves).mean())


def test_means_are_per_image():
    errors, counted = torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4, dtype=torch.bool)
    errors[1] = 3.0
    counted[1, :, :3] = False
    assert mean_error(errors, counted) == 2.0
    counted[1] = False
    assert mean_error(errors, counted) == 0.5


def test_more_is_learnt_than_to_say_nothing():
    """Clouds go on behind a block: after 80 to 100 steps the error is 0.84 of that of zero everywhere (0.85 for another seed)."""
    network = tiny_network()
    objective = Masked(MaskedConfig(), network)
    optimizer = torch.optim.AdamW([*network.backbone.parameters(), *objective.parameters()], 1e-2)
    said, silent, nothing = [], [], {"targets": {"num": (0, 0)}, "impostors": {"num": (0, 0)}}
    for step in range(100):
        views = batch_of_views(4, 48, first=4 * step, grain=0.0)
        composed = composed_of(views, pairs=False, grain=0.0, radiometry={}, **nothing)
        optimizer.zero_grad()
        loss = objective.parts(network, composed, step)["l1"]
        loss.backward()
        optimizer.step()
        said.append(loss.item())
        silent.append(float(normalised_blocks(composed.first_B1HW, 8).abs().mean()))
    assert sum(said[-20:]) < 0.9 * sum(silent[-20:]), (sum(said[-20:]), sum(silent[-20:]))


def test_views_must_hold_whole_blocks():
    network = tiny_network()
    composed = Composer(InsertionConfig(), 0, pairs=False).compose(batch_of_views(1, 60))
    with pytest.raises(RecipeError, match=r"objectives.masked.block_px must divide .* \(60, 60\), got 8"):
        Masked(MaskedConfig(), network).parts(network, composed, 0)


def test_coarse_encoders_are_brought_to_pixels():
    from finetune.detectors import create_detector

    network = create_detector("acm", backbone={"widths": (4, 8), "blocks": (1, 1)})
    assert network.backbone.strides[0] == 4
    objective = Masked(MaskedConfig(), network)
    assert objective.head(network.encode(torch.rand(2, 1, 64, 48))).shape == (2, 1, 64, 48)
    assert objective.parts(network, composed_of(batch_of_views(2)), 0)["l1"] > 0
