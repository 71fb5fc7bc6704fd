"""The second classifier of the realism card: a small convolutional network, where torch is installed.

It needs the train extra and nothing else: no weights, no GPU. Without it the card says so.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.census.patches import PATCH_PX
from synth.census.twosample import Learner
from synth.rng import Stream, keyed_generator

NOT_INSTALLED = "needs the train extra"
WIDTHS = (16, 32, 64)
"""Channels of the three convolutions, each of stride 2: 24,000 weights for some 2,000 patches (our choice)."""
EPOCHS = 8
BATCH = 64
PEAK_RATE = 3e-3
"""Peak step of the one-cycle schedule of AdamW (our choice, like epochs and batch; not tuned on any set)."""
WEIGHT_DECAY = 0.05
NETWORK_INDEX = 4
"""Index of the generator that draws weights, order and flips."""
_LEAST_SPREAD_DN = 1.0  # of the normalised channel, so that flat patches are not blown up


def network_learner(seed: int) -> Learner | str:
    """Return the network as a classifier, or why there is none.

    Args:
        seed: Seed of weights, order and flips.
    """
    if importlib.util.find_spec("torch") is None:
        return NOT_INSTALLED
    torch: Any = importlib.import_module("torch")

    def learn(
        patches: npt.NDArray[np.float32], is_subject: npt.NDArray[np.bool_], held_out: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Train on the one part and return the logits of the other."""
        rng = keyed_generator(seed, Stream.CENSUS, NETWORK_INDEX)
        network = _build(torch, rng)
        _train(torch, network, _channels(patches), is_subject, rng)
        network.eval()
        with torch.no_grad():
            parts = [network(torch.from_numpy(part)).squeeze(1).numpy() for part in _batches(_channels(held_out))]
        return np.concatenate(parts).astype(np.float64)

    return learn


def _build(torch: Any, rng: np.random.Generator) -> Any:
    """Return conv - group norm - ReLU three times, mean over the patch, one output."""
    layers: list[Any] = []
    for num_in, num_out in zip((2, *WIDTHS), WIDTHS, strict=False):
        layers += [torch.nn.Conv2d(num_in, num_out, 3, stride=2, padding=1), torch.nn.GroupNorm(4, num_out), torch.nn.ReLU()]
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(WIDTHS[-1], 1)]
    network = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                fan_in = layer.weight[0].numel()
                drawn = rng.standard_normal(tuple(layer.weight.shape)) * np.sqrt(2.0 / fan_in)  # He et al., ICCV 2015
                layer.weight.copy_(torch.from_numpy(drawn))
                layer.bias.zero_()
    return network


def _train(
    torch: Any, network: Any, inputs: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Fit with log loss, both classes weighing the same, flipped at random along both axes."""
    share = float(np.mean(labels))
    weights = np.where(labels, 0.5 / share, 0.5 / (1.0 - share)).astype(np.float32)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    num_batches = -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, epochs=EPOCHS, steps_per_epoch=num_batches)
    network.train()
    for _ in range(EPOCHS):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            flips = [axis for axis in (2, 3) if rng.random() < 0.5]
            logits = network(torch.from_numpy(inputs[chosen]).flip(flips)).squeeze(1)
            target, weight = torch.from_numpy(labels[chosen].astype(np.float32)), torch.from_numpy(weights[chosen])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _channels(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return two channels, (P, 2, 64, 64): levels over 255, and each patch with mean 0 and spread 1."""
    mean, spread = patches.mean(axis=(1, 2), keepdims=True), patches.std(axis=(1, 2), keepdims=True)
    normalised = (patches - mean) / np.maximum(spread, np.float32(_LEAST_SPREAD_DN))
    return np.stack([patches / np.float32(255.0), normalised], axis=1).reshape(-1, 2, PATCH_PX, PATCH_PX)


def _batches(inputs: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    return [inputs[start : start + 256] for start in range(0, len(inputs), 256)]
