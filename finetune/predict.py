"""Maps of log-odds and of probabilities of frames at their native size.

Frames of one size are computed together; nothing is resized, padding (a detector pads itself) is cropped off again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from finetune.detectors import Detector
from finetune.detectors.base import SMALLEST_PX
from pretrain.runtime.learner import allow_tf32
from synth.sample import FloatImage, Frame

WIDEST_LOGIT = 1000.0
"""Log-odds at the ends of the wide scale (our choice): soft IoU drove those of nano networks beyond 300."""
Logits = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]


def predict_frames(
    model: Detector, frames: Iterable[Frame], *, device: torch.device, amp: bool, batch: int = 8
) -> Iterator[tuple[Frame, Probabilities]]:
    """Yield each frame with its probability map, float32 (H, W) in [0, 1]; arguments as of :func:`predict_logits`."""
    for frame, logits in predict_logits(model, frames, device=device, amp=amp, batch=batch):
        yield frame, probability_of(logits)


def predict_logits(
    model: Detector, frames: Iterable[Frame], *, device: torch.device, amp: bool, batch: int = 8
) -> Iterator[tuple[Frame, Logits]]:
    """Yield each frame with its map of log-odds, in the order given.

    Args:
        model: The detector, on ``device``; it is put in ``eval`` mode for the time of each batch.
        frames: Frames of any sizes; neighbours of equal size are computed together.
        device: Where to compute.
        amp: Compute the network in bfloat16 where that is safe; otherwise in float32, on a GPU too (no TF32).
        batch: Most frames computed together.

    Yields:
        The frame, and float32 (H, W).
    """
    waiting: list[Frame] = []
    for frame in frames:
        if waiting and (len(waiting) == batch or waiting[0].hw != frame.hw):
            yield from _predict(model, waiting, device, amp)
            waiting = []
        waiting.append(frame)
    if waiting:
        yield from _predict(model, waiting, device, amp)


def probability_of(logits: Logits) -> Probabilities:
    """Return probabilities of log-odds, float32 of the same shape; log-odds above 16.6 are 1 exactly."""
    found: Probabilities = torch.sigmoid(torch.from_numpy(logits)).numpy()
    return found


def on_wide_scale(logits: Logits) -> FloatImage:
    """Return asinh of log-odds scaled to [0, 1], even odds at 0.5; far from them 256 even steps are 6 % each.

    Probabilities in float32 were 1 exactly at 40 to 57 % of the pixels above 0.5 of three nano networks trained with soft IoU:
    a curve of Pd against Fa over probabilities ends there.

    Args:
        logits: Any shape.
    """
    scaled: FloatImage = (np.arcsinh(logits) / (2.0 * np.arcsinh(WIDEST_LOGIT)) + 0.5).clip(0.0, 1.0).astype(np.float32)
    return scaled


@torch.no_grad()
def _predict(model: Detector, frames: list[Frame], device: torch.device, amp: bool) -> Iterator[tuple[Frame, Logits]]:
    allow_tf32(amp)
    height, width = frames[0].hw
    levels = np.stack([frame.image() for frame in frames])
    pad = [(0, 0), (0, max(0, SMALLEST_PX - height)), (0, max(0, SMALLEST_PX - width))]
    images_B1HW = torch.from_numpy(np.pad(levels, pad, mode="edge"))[:, None].to(device)
    with evaluating(model), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        logits_B1HW = model(images_B1HW).logits_B1HW
    maps = np.ascontiguousarray(logits_B1HW.float()[:, 0, :height, :width].cpu().numpy())
    return iter(list(zip(frames, maps, strict=True)))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put a model in ``eval`` mode for a block, and back into the mode it had."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
