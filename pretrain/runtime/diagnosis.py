"""What to look at when a loss stops being finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pretrain.runtime.learner import Step

_SHOWN = 10
"""Names and positions listed of each kind."""


def diagnose(model: nn.Module, step: Step, number: int, lr: float) -> dict[str, Any]:
    """Return, as JSON values, what a step without a finite loss or gradient looked like.

    Args:
        model: The network, its gradients still in place.
        step: What the step did.
        number: Number of the step, from 0.
        lr: Its learning rate.
    """
    batch, parameters = step.batch, dict(model.named_parameters())
    low, high = (float(bound) for bound in torch.aminmax(batch.images_B1HW))
    return {
        "step": number,
        "lr": lr,
        "loss_parts": {name: str(value) for name, value in step.parts.items()},
        "grad_norm": str(step.grad_norm),
        "image_range": [str(low), str(high)],
        "num_target_pixels": int(batch.masks_B1HW.sum()),
        "samples": [
            {"position": int(p), "source": int(s), "index": int(i)}
            for p, s, i in zip(batch.positions[:_SHOWN], batch.sources, batch.indices, strict=False)
        ],
        "non_finite_weights": [n for n, p in parameters.items() if not p.isfinite().all()][:_SHOWN],
        "non_finite_buffers": [n for n, b in model.named_buffers() if not b.isfinite().all()][:_SHOWN],
        "non_finite_gradients": [n for n, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()][:_SHOWN],
    }
