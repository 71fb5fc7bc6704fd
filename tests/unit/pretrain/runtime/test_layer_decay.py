"""Layer-wise learning rates: the earlier a stage of the encoder, the lower, whatever the family."""

from __future__ import annotations

import pytest
import torch

from finetune.detectors import create_detector
from pretrain.runtime.config import OptimizerConfig
from pretrain.runtime.optimizers import build_optimizer, set_learning_rate


@pytest.mark.parametrize(("name", "inner", "num_stages"), [("acm_nano", "stages", 4), ("dnanet_nano", "levels", 4)])
def test_rates_fall_from_decoder_to_stem(name, inner, num_stages):
    model = create_detector(name)
    optimizer = build_optimizer(model, OptimizerConfig(layer_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    seen = set()
    for parameter_name, parameter in model.named_parameters():
        parts = parameter_name.split(".")
        depth = 0
        if parts[0] == "backbone":
            depth = num_stages - int(parts[2]) if parts[1] == inner else num_stages + 1
        assert rates[id(parameter)] == pytest.approx(0.1 * 0.5**depth), parameter_name
        seen.add(depth)
    assert seen >= set(range(num_stages + 1)), "decoder and every stage"


def test_off_is_two_groups_at_one_rate():
    optimizer = build_optimizer(create_detector("acm_nano"), OptimizerConfig())
    set_learning_rate(optimizer, 0.1)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.05), (0.1, 0.0)]


def test_early_stages_move_less():
    torch.manual_seed(0)
    model = create_detector("acm_nano")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = build_optimizer(model, OptimizerConfig(kind="sgd", momentum=0.0, weight_decay=0.0, layer_decay=0.1))
    set_learning_rate(optimizer, 1.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: float((before[name] - value.detach()).abs().max()) for name, value in model.named_parameters()}
    assert moved["backbone.stages.0.0.residual.0.0.weight"] == pytest.approx(1e-4, rel=1e-2)  # float32 beside weights near 0.1
    assert moved["head.2.weight"] == pytest.approx(1.0, rel=1e-5)
