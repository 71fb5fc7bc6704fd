"""Proximal steps of the low-rank methods, and singular values without singular value decompositions.

Suffixes: B frames, M and N rows and columns of a matrix, D the shorter of the two, K eigenvectors, ... further batch axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import lapack
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny
"""Smallest normal float64: what divisors are clamped to where 0/0 has to become 0."""


BLOCK_SIDE = 128
"""Rows of the Gram matrix computed at a time (our choice, a quarter of 441..576: of the full product 62 % are left)."""


def soft_threshold(values: Tensor, threshold: Tensor | float) -> Tensor:
    """Return sign(x) max(|x| - t, 0): the proximal step of t ||x||_1.

    Args:
        values: Any shape.
        threshold: 0 and more, broadcast against ``values``.
    """
    return (values - threshold).clamp_(min=0.0).add_((values + threshold).clamp_(max=0.0))


def singular_values(matrix: Tensor) -> Tensor:
    """Return the singular values of matrices, ascending, (..., D); those below 1e-8 of the largest are rounding.

    Args:
        matrix: float64 or complex128 (..., M, N).
    """
    squares: Tensor = torch.linalg.eigvalsh(_gram(matrix))
    return squares.clamp(min=0.0).sqrt()


def map_spectrum(
    matrix: Tensor, shrink: Callable[[Tensor], Tensor], *, floor_B: Tensor | None = None, num_leading_B: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return U f(S) V^H of A = U S V^H for an f that shrinks: every singular value step of the methods.

    With A^H A = V S^2 V^H it is A V diag(f(s)/s) V^H: one product, one eigendecomposition of the shorter side, and two thin
    products with the vectors f leaves over. Equal to the full decomposition for singular values above 1e-8 of the largest;
    what lies below has lost its digits in A^H A, and every f here sets it to 0. Where f is known to remove what is not above a
    floor, vectors below are not even computed.

    Args:
        matrix: float64 or complex128 (B, ..., M, N).
        shrink: Singular values, ascending, (B, ..., D) -> new ones in the same order, between 0 and the old ones. Of those
            below the floor it may see any number, or zeros in their place.
        floor_B: f(s) = 0 for s <= floor, (B,), but for the leading ones; None for no such promise.
        num_leading_B: How many of the largest singular values f may keep wherever they lie, (B,); None for 0.

    Returns:
        The new matrix and its singular values, ascending, (B, ..., at most D).
    """
    values, vectors = _spectrum(_gram(matrix), floor_B, num_leading_B)
    shrunk = shrink(values)
    first = values.shape[-1] - int((shrunk > 0.0).sum(dim=-1).max())
    kept, gain = vectors[..., first:], (shrunk / values.clamp(min=TINY))[..., None, first:]
    if matrix.shape[-2] >= matrix.shape[-1]:
        return (matrix @ (kept * gain)) @ kept.mH, shrunk
    return kept @ ((kept * gain).mH @ matrix), shrunk


def _spectrum(gram: Tensor, floor_B: Tensor | None, num_leading_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return square roots of eigenvalues, ascending, (..., K), and eigenvectors (..., D, K): all, or on a CPU those asked for."""
    if floor_B is None or gram.device.type != "cpu":
        squares, vectors = torch.linalg.eigh(gram)
        return squares.clamp(min=0.0).sqrt(), vectors
    matrices = gram.flatten(0, -3).numpy()
    repeats = len(matrices) // len(floor_B)
    floors = floor_B.repeat_interleave(repeats).tolist()
    leads = [0] * len(matrices) if num_leading_B is None else num_leading_B.repeat_interleave(repeats).tolist()
    pairs = [_leading_pairs(*case) for case in zip(matrices, floors, leads, strict=True)]
    width = max(len(found) for found, _ in pairs)
    values, vectors = gram.new_zeros(len(pairs), width).real.contiguous(), gram.new_zeros(len(pairs), gram.shape[-1], width)
    for k, (found, columns) in enumerate(pairs):
        values[k, width - len(found) :] = torch.from_numpy(found).clamp(min=0.0).sqrt()
        vectors[k, :, width - len(found) :] = torch.from_numpy(columns)
    return values.unflatten(0, gram.shape[:-2]), vectors.unflatten(0, gram.shape[:-2])


def _leading_pairs(gram: npt.NDArray[Any], floor: float, num_leading: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return eigenvalues above floor^2, ascending, at least the leading ones, and their vectors in columns (LAPACK xxxEVR)."""
    side = len(gram)
    driver, num_work = (lapack.zheevr, 65 * side) if np.iscomplexobj(gram) else (lapack.dsyevr, 70 * side)
    lowest, highest = floor**2, 1.0 + 2.0 * float(gram.trace().real)
    if lowest < highest:
        values, vectors, num_found, _, info = driver(gram, lower=1, range="V", vl=lowest, vu=highest, lwork=num_work)
    else:
        values, vectors, num_found, info = np.zeros(side), gram, 0, 0
    num_leading = min(num_leading, side)
    if num_found < num_leading:
        case = {"range": "I", "il": side - num_leading + 1, "iu": side}
        values, vectors, num_found, _, info = driver(gram, lower=1, lwork=num_work, **case)
    assert info == 0, f"LAPACK found no eigenvectors, info {info}"
    return values[:num_found], vectors[:, :num_found]


def _gram(matrix: Tensor) -> Tensor:
    """Return A^H A or A A^H, whichever is smaller; large ones without most of the upper triangle, which eigh never reads."""
    tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mH
    side = tall.shape[-1]
    if side < BLOCK_SIDE:
        return tall.mH @ tall
    gram = tall.new_zeros(*tall.shape[:-2], side, side)
    for start in range(0, side, BLOCK_SIDE):
        block = slice(start, start + BLOCK_SIDE)
        torch.matmul(tall[..., block].mH, tall[..., : block.stop], out=gram[..., block, : block.stop])
    return gram
