"""The teacher of an objective: a copy of the network that follows it as a moving average, BatchNorm statistics included."""

from __future__ import annotations

import copy
from typing import Self

from torch import nn

from pretrain.runtime.ema import move_average
from pretrain.segmenter import Segmenter


class Teacher(nn.Module):
    """A network that is never trained, always in ``eval`` mode, and saved with the objective that owns it.

    Mean teacher: Tarvainen & Valpola, NeurIPS 2017. Theirs averages parameters only; buffers belong to the average, or
    BatchNorm would use statistics of other weights.

    Args:
        model: The network to follow; its present state is the first one.
        decay: Weight of the old average at each step.

    Attributes:
        network: The copy, to be called without gradients.
    """

    def __init__(self, model: Segmenter, decay: float) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.network = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay, self._step = decay, -1

    def follow(self, model: Segmenter, step: int) -> None:
        """Move towards the network, once a step however many parts its batch has.

        Called before the network changes in that step; what it becomes follows from its saved state and the network's, so a
        resumed run goes on with the same teacher.

        Args:
            model: The network.
            step: Number of the optimiser step, from 0.
        """
        if step == self._step:
            return
        assert isinstance(model, nn.Module)
        self._step = step
        move_average(self.network.state_dict(), model.state_dict(), self._decay, step)
        self.network.eval()  # timm's attention forgets what it has cached of the old weights

    def train(self, mode: bool = True) -> Self:
        """Stay in ``eval`` mode."""
        return super().train(False)
