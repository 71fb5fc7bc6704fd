"""Optimisers by name."""

from __future__ import annotations

import torch
from torch import nn

from pretrain.runtime.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that require gradients.

    Parameters of less than two axes (biases, scales of norms) are not decayed, as in DINOv2 and timm.

    Args:
        model: The network.
        config: Kind and constants.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
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
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr
