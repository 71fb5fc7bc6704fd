"""The loop of the iterative methods: frames that have converged leave the batch, the others go on.

Suffixes: B frames in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

StateT = TypeVar("StateT", bound=tuple[Tensor, ...])


class Outcome(NamedTuple):
    """Result of :func:`iterate`.

    Attributes:
        target: What was asked for of every frame, (B, ...).
        num_iterations_B: Steps each frame took, int64 (B,).
    """

    target: Tensor
    num_iterations_B: Tensor


def iterate(
    state: StateT, step: Callable[[StateT], tuple[StateT, Tensor]], result: Callable[[StateT], Tensor], *, max_iterations: int
) -> Outcome:
    """Repeat a step until every frame has converged.

    A frame's result does not depend on the others in its batch beyond rounding: each leaves at its own step.

    Args:
        state: Named tuple of tensors whose first axis is the frames.
        step: State -> next state, and which of its frames have converged with it, bool (B,).
        result: State -> what to keep of it, (B, ...).
        max_iterations: Steps after which a frame is taken as it is, 1 and more.
    """
    target = torch.empty_like(result(state))
    ids_B = torch.arange(len(target), device=target.device)
    num_iterations_B = torch.full_like(ids_B, max_iterations)
    for iteration in range(1, max_iterations + 1):
        state, is_done_B = step(state)
        if iteration == max_iterations:
            is_done_B = torch.ones_like(is_done_B)
        if bool(is_done_B.any()):
            target[ids_B[is_done_B]] = result(state)[is_done_B]
            num_iterations_B[ids_B[is_done_B]] = iteration
            state, ids_B = _keep(state, ~is_done_B), ids_B[~is_done_B]
        if len(ids_B) == 0:
            break
    return Outcome(target, num_iterations_B)


def _keep(state: StateT, is_kept_B: Tensor) -> StateT:
    """Return the state of some of its frames."""
    return type(state)(*(tensor[is_kept_B] for tensor in state))


def norms(batch: Tensor) -> Tensor:
    """Return the Frobenius norm of each frame's tensor, (B,)."""
    real = torch.view_as_real(batch.resolve_conj()) if batch.is_complex() else batch  # a complex norm takes 40 times as long
    norms_B: Tensor = torch.linalg.vector_norm(real, dim=tuple(range(1, real.ndim)))
    return norms_B


def per_frame(values_B: Tensor, like: Tensor) -> Tensor:
    """Return one value a frame in a shape that broadcasts against a tensor of frames."""
    return values_B.view(-1, *[1] * (like.ndim - 1))
