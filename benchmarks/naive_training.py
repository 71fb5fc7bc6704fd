"""The training loop of the field's repositories, written plainly: what ``training.py`` holds ours against.

PNG files in a folder, decoded and augmented one by one in DataLoader workers, float32, NCHW, soft IoU over the batch, Adagrad.
As in YeRen123455/Infrared-Small-Target-Detection and XinyiYing/BasicIRSTD; our own writing, with one grey channel.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from finetune.detectors import Detector


class PngFolder(Dataset[tuple[Tensor, Tensor]]):
    """Frames and masks of a folder, flipped and turned at random.

    Args:
        folder: Holds ``images`` and ``masks`` with files of equal names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, sorted(path.name for path in (folder / "images").iterdir())

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        parts = [np.asarray(Image.open(self._folder / kind / self._names[index]).convert("L")) for kind in ("images", "masks")]
        image, mask = parts[0].astype(np.float32) / 255.0, (parts[1] > 127).astype(np.float32)
        if random.random() < 0.5:
            image, mask = image[::-1], mask[::-1]
        if random.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        turns = random.randrange(4)
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
        return torch.from_numpy(image.copy())[None], torch.from_numpy(mask.copy())[None]


def naive_steps(detector: Detector, folder: Path, batch: int, device: torch.device) -> Iterator[None]:
    """Train for ever; yields after each step.

    Args:
        detector: The network.
        folder: See :class:`PngFolder`.
        batch: Frames of a step.
        device: Where to compute.
    """
    workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    loader = DataLoader(PngFolder(folder), batch, shuffle=True, num_workers=workers, drop_last=True, pin_memory=workers > 0)
    network: nn.Module = detector.to(device).train()
    optimizer = torch.optim.Adagrad(network.parameters(), lr=0.05)
    while True:
        for images, masks in loader:
            prediction = network(images.to(device))
            losses = [soft_iou(torch.sigmoid(m), masks.to(device)) for m in (*prediction.auxiliary, prediction.logits_B1HW)]
            loss = torch.stack(losses).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # every one of these loops keeps a running mean of the loss
            yield


def soft_iou(probability: Tensor, mask: Tensor) -> Tensor:
    """Return 1 - soft IoU over the batch, smoothing 1."""
    shared = (probability * mask).sum()
    return 1.0 - (shared + 1.0) / (probability.sum() + mask.sum() - shared + 1.0)
