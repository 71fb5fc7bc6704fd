"""``equivariance``: zero for networks that are equivariant, a teacher that follows and survives a resume."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from pretrain.compose.patch_turns import turn_squares, turned_index
from pretrain.objectives.equivariance import Equivariance, EquivarianceConfig, disagreement, divergence
from pretrain.objectives.teacher import Teacher
from pretrain.runtime.ema import ModelAverage
from tests.support.composing import batch_of_views, composed_of, tiny_network

VALID = torch.ones(2, 1, 16, 16, dtype=torch.bool)


class Round(nn.Module):
    """A network whose only kernel is the same under quarter turns, so that it is equivariant to those of whole images."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Identity()
        self.scale = nn.Parameter(torch.tensor(9.0))

    def forward(self, images):
        kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, -12.0, 2.0], [1.0, 2.0, 1.0]])[None, None]
        wide = functional.pad(images, (1, 1, 1, 1), mode="replicate")
        return SimpleNamespace(logits_B1HW=self.scale * functional.conv2d(wide, kernel), auxiliary=())


def test_an_equivariant_network_disagrees_with_nobody():
    """Whole-image quarter turns: network and turn exchange places, so both parts vanish (rounding: 4e-8 measured)."""
    network, images = Round(), batch_of_views(2, 16).images_B1HW
    whole = torch.zeros(2, 1, 2, dtype=torch.int64)
    for quarters in (1, 2, 3):
        index = turned_index(whole, torch.ones(2, 1, dtype=torch.bool), torch.full((2, 1), quarters), 16, (16, 16))
        assert torch.equal(turn_squares(images, index), torch.rot90(images, quarters, (2, 3)))
        with torch.no_grad():
            said, wanted = network(turn_squares(images, index)).logits_B1HW, turn_squares(network(images).logits_B1HW, index)
        torch.testing.assert_close(said, wanted)
        assert disagreement(said, wanted, VALID) < 1e-6 and abs(divergence(said, wanted, VALID)) < 1e-6
        tilted = network(images).logits_B1HW
        assert disagreement(tilted, wanted, VALID) > 0.1 and divergence(tilted, wanted, VALID) > 1e-3


def test_overlap_of_a_binary_teacher_is_soft_iou():
    from pretrain.losses import soft_iou

    logits, taught = torch.randn(2, 1, 16, 16), 200 * (torch.rand(2, 1, 16, 16) - 0.7)
    masks = (taught > 0).float()
    torch.testing.assert_close(disagreement(logits, 1000 * (masks - 0.5), VALID), soft_iou(logits, masks, VALID.float(), "image"))


def test_padding_counts_nothing():
    logits, taught, valid = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16), VALID.clone()
    valid[..., 8:] = False
    other = torch.where(valid, logits, -logits)
    for measure in (disagreement, divergence):
        assert measure(logits, taught, valid) == measure(other, taught, valid) != measure(other, taught, VALID)


def test_no_gradient_reaches_the_teacher():
    network = tiny_network()
    objective = Equivariance(EquivarianceConfig(), network)
    torch.stack(tuple(objective.parts(network, composed_of(batch_of_views(2)), 0).values())).sum().backward()
    assert not any(p.requires_grad for p in objective.parameters()) and all(p.grad is not None for p in network.parameters())


def changed(network, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
            else:
                tensor += 1
    return network


def test_the_teacher_is_the_average_buffers_included():
    """Once a step however many parts its batch has; always in eval mode, whatever the module around it does."""
    network = tiny_network()
    teacher, average = Teacher(network, 0.9), ModelAverage(network, 0.9)
    for step in range(3):
        changed(network, step)
        average.update(network, step)
        teacher.follow(network, step)
        teacher.follow(network, step)
    assert all(torch.equal(value, average.state[name]) for name, value in teacher.network.state_dict().items())
    assert any("running_var" in name for name in average.state) and int(network.backbone.stem[1][1].num_batches_tracked) == 3
    nn.ModuleDict({"teacher": teacher}).train()
    assert not any(part.training for part in teacher.modules())


def test_a_resumed_teacher_goes_on():
    """Saved after step 2 and loaded into a new objective, it is in step 3 what it would have been, and so are the parts."""
    network = tiny_network()
    first, composed = Equivariance(EquivarianceConfig(), network), composed_of(batch_of_views(2))
    for step in range(3):
        first.parts(changed(network, step), composed, step)
    second = Equivariance(EquivarianceConfig(), tiny_network(1))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    network = changed(network.eval(), 3)
    parts = [objective.parts(network, composed, 3) for objective in (first, second)]
    assert parts[0] == parts[1]
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_turns_follow_the_position_alone():
    network = tiny_network().eval()
    objective = Equivariance(EquivarianceConfig(), network)
    whole = composed_of(batch_of_views(4))
    with torch.no_grad():
        parts = objective.parts(network, whole, 0)
        halves = [objective.parts(network, composed_of(batch_of_views(2, first=first)), 0) for first in (0, 2)]
    for name, value in parts.items():
        torch.testing.assert_close(value, (halves[0][name] + halves[1][name]) / 2, rtol=1e-4, atol=1e-8)
    with pytest.raises(AssertionError):
        again = objective.parts(network, replace(whole, seed=whole.seed + 1), 0)
        torch.testing.assert_close(parts["soft_iou"], again["soft_iou"], rtol=1e-4, atol=1e-8)


def test_a_taught_student_learns_to_turn():
    """A teacher that has learnt something stands still; its pupil starts anew and comes to say the same of turned frames."""
    torch.manual_seed(3)
    taught = tiny_network(1)
    with torch.no_grad():  # a prior of one half instead of one in a thousand: maps with something in them
        taught.head[-1].bias.zero_()
        taught.head[-1].weight.mul_(30.0)
    objective, student = Equivariance(EquivarianceConfig(decay=0.99), taught), tiny_network(2)
    objective.teacher._step = 0  # what it follows is not looked at in step 0
    optimizer = torch.optim.AdamW(student.parameters(), 1e-2)
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = sum(objective.parts(student, composed_of(batch_of_views(4, 48, first=4 * step)), 0).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5]), (losses[:5], losses[-5:])
