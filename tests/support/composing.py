"""Batches of smooth random views, composed frames of them, and a network small enough to train in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import ndimage

from finetune.detectors import Detector, create_detector
from pretrain.batch import Batch
from pretrain.compose import Composed, Composer, InsertionConfig


def batch_of_views(count: int, side: int = 64, *, first: int = 0, seed: int = 5, grain: float = 0.01) -> Batch:
    """Return views of cloud-like texture with grain, levels around 0.4; the same for the same arguments."""
    draws = np.stack([np.random.default_rng((seed, first + view)).normal(size=(2, side, side)) for view in range(count)])
    images = 0.4 + 0.5 * ndimage.gaussian_filter(draws[:, 0], (0, 4, 4)) + grain * draws[:, 1]
    positions = np.arange(first, first + count, dtype=np.int64)
    images_B1HW = torch.from_numpy(images.astype(np.float32))[:, None].clamp(0, 1)
    return Batch(
        images_B1HW=images_B1HW,
        masks_B1HW=torch.zeros_like(images_B1HW),
        valid_B1HW=torch.ones_like(images_B1HW, dtype=torch.bool),
        is_labelled_B=torch.zeros(count, dtype=torch.bool),
        positions=positions,
        sources=np.zeros(count, np.int64),
        indices=positions,
    )


def composed_of(batch: Batch, *, seed: int = 3, pairs: bool = True, **config: Any) -> Composed:
    """Return composed frames; ``config`` as in YAML."""
    return Composer(InsertionConfig.model_validate(config), seed, pairs=pairs).compose(batch)


def tiny_network(seed: int = 0) -> Detector:
    """Return ACM with three narrow stages at full resolution."""
    torch.manual_seed(seed)
    return create_detector("acm_nano", backbone={"widths": (4, 8, 8), "blocks": (1, 1, 1)})
