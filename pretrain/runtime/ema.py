"""The averaged copy of a model: an exponential moving average of parameters and floating buffers alike.

Buffers are part of it: an average of parameters alone leaves the running statistics of BatchNorm at their initial values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def move_average(state: Mapping[str, Tensor], present: Mapping[str, Tensor], decay: float, step: int) -> None:
    """Move averaged tensors, in place, towards present ones; counters (integer buffers) are copied.

    The first updates use the lower decay (1 + step) / (10 + step), as ``num_updates`` of TensorFlow's
    ``ExponentialMovingAverage`` does, so that the random initial weights are soon forgotten.

    Args:
        state: The averages by name.
        present: What they follow, the same names.
        decay: Weight of the old average.
        step: Number of the update, from 0.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    averaged = [name for name, tensor in state.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([state[n] for n in averaged], [present[n].detach() for n in averaged], weight)
    counters = [name for name, tensor in state.items() if not tensor.is_floating_point()]
    if counters:
        torch._foreach_copy_([state[n] for n in counters], [present[n] for n in counters])


class ModelAverage:
    """The average of a model's states.

    Args:
        model: The network; its present state is the first average.
        decay: Weight of the old average at each update.

    Attributes:
        state: Averages by name of the ``state_dict``; counters (integer buffers) are copies.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Take a model's state into the average.

        Args:
            model: The network after the step.
            step: Number of the step, from 0.
        """
        move_average(self.state, model.state_dict(), self._decay, step)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved averages."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the averages into a model for a block, and its own state back after it."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(own)
