"""Learning rates as pure functions of the step: nothing to save, nothing that a resume can restart."""

from __future__ import annotations

import math

from pretrain.runtime.config import ScheduleConfig


def lr_factor(config: ScheduleConfig, step: int, steps: int) -> float:
    """Return what the learning rate of a step is multiplied by.

    Linear warm-up to 1 over ``warmup`` of the steps (Goyal et al. 2017), then half a cosine that reaches ``end_factor`` at the
    last step (Loshchilov & Hutter 2017, without restarts), a constant, or falling stairs.

    Args:
        config: Kind and constants.
        step: Number of the step, 0 <= step < steps.
        steps: Steps of the run.
    """
    warm_steps = round(config.warmup * steps)
    if step < warm_steps:
        return (step + 1) / (warm_steps + 1)
    if config.kind == "multistep":
        return config.gamma ** sum(step >= share * steps for share in config.milestones)
    if config.kind == "constant":
        return 1.0
    progress = (step - warm_steps) / max(steps - 1 - warm_steps, 1)
    return config.end_factor + (1 - config.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))
