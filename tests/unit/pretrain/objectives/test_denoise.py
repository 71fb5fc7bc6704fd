"""``denoise``: two versions whose errors are what theory says, from recorded windows where there are any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pretrain.compose.noise import NoiseWindows
from pretrain.objectives.denoise import Denoise, DenoiseConfig, draw_noise
from tests.support.composing import batch_of_views, composed_of, tiny_network


def versions(composed, **config):
    return Denoise(DenoiseConfig(**config), tiny_network()).versions(composed)


def correlation(one, other):
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.fixture
def plate_and_noisy():
    """16 views without noise, and the same with white grain of 0.02: the frames that an objective sees."""
    plate = composed_of(batch_of_views(16, grain=0.0), grain=0.0)
    grain = 0.02 * torch.randn(plate.images_B1HW.shape, generator=torch.Generator().manual_seed(7))
    return plate.images_B1HW, replace(plate, images_B1HW=plate.images_B1HW + grain)


def test_recorruption_leaves_uncorrelated_errors(plate_and_noisy):
    """Its point: 65,536 pixels, so independent errors correlate by 0.004; the grain is measured within 3 %, which adds 0.01.
    Two draws on the same grain share it: their errors correlate by one half.
    """
    plate, composed = plate_and_noisy
    seen, hidden = versions(composed)
    assert abs(correlation(seen - plate, hidden - plate)) < 0.03
    assert float((hidden - plate).std()) == pytest.approx(0.02 * 5**0.5, rel=0.05)
    seen, hidden = versions(composed, form="pair")
    assert correlation(seen - plate, hidden - plate) == pytest.approx(0.5, abs=0.03)
    assert abs(correlation(seen - composed.images_B1HW, hidden - composed.images_B1HW)) < 0.02


def test_recorruption_is_one_draw(plate_and_noisy):
    composed = plate_and_noisy[1]
    seen, hidden = versions(composed, alpha=0.25)
    torch.testing.assert_close(seen - composed.images_B1HW, -(0.25**2) * (hidden - composed.images_B1HW), atol=1e-6, rtol=1e-4)


NOTHING = {"targets": {"num": (0, 0)}, "impostors": {"num": (0, 0)}}


def test_recorded_windows_leave_uncorrelated_errors_whatever_was_added():
    """Frames with noise like their source's windows (0.02) get grain by insertion, up to 0.05 here: both are recorrupted.

    Measured over five draws of noise and windows: the errors correlate by 0.002 to 0.009; recorrupted by the windows alone,
    which leaves the grain in both, by 0.51 to 0.52.
    """
    batch = batch_of_views(16, grain=0.0)
    noise = 0.02 * torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(7))
    windows = 0.02 * torch.randn(400, 16, 16, generator=torch.Generator().manual_seed(8))
    noisy = replace(batch, images_B1HW=batch.images_B1HW + noise)
    composed = replace(composed_of(noisy, grain=0.05, **NOTHING), noise=NoiseWindows(windows, np.array([0, 400])))
    added = (composed.images_B1HW - noisy.images_B1HW).std((1, 2, 3))
    torch.testing.assert_close(composed.grain_B, added, rtol=0.05, atol=0)
    assert composed.grain_B.max() > 0.04
    seen, hidden = (version - batch.images_B1HW for version in versions(composed))
    assert abs(correlation(seen, hidden)) < 0.03
    alone = versions(replace(composed, grain_B=0 * composed.grain_B))
    assert correlation(*(version - batch.images_B1HW for version in alone)) > 0.4


def test_recorded_windows_are_used_where_their_source_has_any():
    composed = composed_of(batch_of_views(4), grain=0.0)
    windows = 0.05 * torch.sign(torch.randn(6, 16, 16, generator=torch.Generator().manual_seed(1)))
    batch = replace(composed.batch, sources=np.array([1, 0, 1, 0]))
    composed = replace(composed, batch=batch, noise=NoiseWindows(windows, np.array([0, 0, 6])))
    first, second = draw_noise(composed, 0), draw_noise(composed, 1)
    plus_minus = (first.abs() - 0.05).abs().flatten(1).amax(1) < 1e-6
    assert plus_minus.tolist() == [True, False, True, False]
    assert not torch.equal(first, second) and not torch.equal(first[0], first[2])
    assert torch.equal(first, draw_noise(composed, 0))


def test_draws_follow_the_position_alone():
    """A sample's noise is the same alone and among others, recorded or not."""
    noise = NoiseWindows(torch.randn(6, 16, 16), np.array([0, 6]))
    for recorded in (None, noise):
        whole, part = (replace(composed_of(batch_of_views(n, first=f)), noise=recorded) for n, f in ((4, 0), (1, 2)))
        torch.testing.assert_close(draw_noise(whole, 1)[2], draw_noise(part, 1)[0])


@pytest.mark.parametrize("form", ["pair", "recorrupted"])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_what_is_measured(form, loss):
    """The error of what is added to the first version to get the second, in its deviations; padding counts nothing."""
    network, composed = tiny_network().eval(), composed_of(batch_of_views(3))
    composed.batch.valid_B1HW[:, :, 40:] = False
    objective = Denoise(DenoiseConfig(form=form, loss=loss), network)
    with torch.no_grad():
        (name, found), *_ = objective.parts(network, composed, 0).items()
        seen, hidden = objective.versions(composed)
        added = (hidden - seen) / (seen.std((1, 2, 3), keepdim=True, correction=0) + 0.03)
        error = (objective.head(network.encode(seen)) - added)[:, :, :40]
    assert name == loss
    torch.testing.assert_close(found, (error.square() if loss == "l2" else error.abs()).mean())


def test_more_is_learnt_than_to_leave_the_noise():
    """In noisy clouds, after 60 to 80 steps: 0.85 of the error of adding nothing (two seeds); a perfect denoiser has 0.64."""
    network = tiny_network()
    objective = Denoise(DenoiseConfig(), network)
    optimizer = torch.optim.AdamW([*network.backbone.parameters(), *objective.parameters()], 1e-2)
    said, silent = [], []
    for step in range(80):
        composed = composed_of(batch_of_views(4, 48, first=4 * step, grain=0.05), pairs=False, grain=0.0, **NOTHING)
        optimizer.zero_grad()
        loss = objective.parts(network, composed, step)["l2"]
        loss.backward()
        optimizer.step()
        seen, hidden = objective.versions(composed)
        said.append(loss.item())
        silent.append(float(((hidden - seen) / (seen.std((1, 2, 3), keepdim=True, correction=0) + 0.03)).square().mean()))
    assert sum(said[-20:]) < 0.92 * sum(silent[-20:]), (sum(said[-20:]), sum(silent[-20:]))
