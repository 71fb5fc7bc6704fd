"""Optimisers by name."""

from __future__ import annotations

import re

import torch
from torch import nn

from pretrain.runtime.config import OptimizerConfig

_ENCODER = re.compile(r"(?:^|\.)backbone\.")
_STAGE = re.compile(r"(?:^|\.)backbone\.(?:stages|levels)\.(\d+)\.")
"""Names of parameters of a detector's encoder, and of its stages (``stages`` of res_unet, ``levels`` of nested_unet)."""


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that require gradients.

    Parameters of less than two axes (biases, scales of norms) are not decayed, as in DINOv2 and timm.

    Args:
        model: The network.
        config: Kind and constants.
    """
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    num_stages = _num_stages(model)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            scale = config.layer_decay ** _depth(name, num_stages)
            members.setdefault((scale, decay), []).append(parameter)
    order = sorted(members, key=lambda key: (-key[0], -key[1]))
    groups = [{"params": members[key], "weight_decay": key[1], "lr_scale": key[0]} for key in order]
    betas = (config.momentum, config.beta2)
    match config.kind:
        case "adamw":
            return torch.optim.AdamW(groups, config.lr, betas)
        case "adam":
            return torch.optim.Adam(groups, config.lr, betas)
        case "adagrad":
            return torch.optim.Adagrad(groups, config.lr)
        case "sgd":
            return torch.optim.SGD(groups, config.lr, config.momentum, nesterov=config.momentum > 0)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all groups, each times its ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _num_stages(model: nn.Module) -> int:
    """Return the number of stages of a model's encoder, 0 without one."""
    found = (_STAGE.search(name) for name, _ in model.named_parameters())
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _depth(name: str, num_stages: int) -> int:
    """Return how many stages a parameter lies from the decoder: 0 in it, 1 in the encoder's last stage, most in its stem."""
    if match := _STAGE.search(name):
        return num_stages - int(match[1])
    return num_stages + 1 if _ENCODER.search(name) else 0
