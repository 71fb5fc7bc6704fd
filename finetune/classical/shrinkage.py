"""Proximal steps of the low-rank methods, and singular values without singular value decompositions.

Suffixes: B frames, M and N rows and columns of a matrix, D the shorter of the two, ... further batch axes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from finetune.classical.hermitian import spectrum

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


def map_spectrum(matrix: Tensor, shrink: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return U f(S) V^H of A = U S V^H for an f that shrinks: every singular value step of the methods.

    With A^H A = V S^2 V^H it is A V diag(f(s)/s) V^H: one product, one eigendecomposition of the shorter side, and two thin
    products with the vectors f leaves over. Equal to the full decomposition for singular values above 1e-8 of the largest;
    what lies below has lost its digits in A^H A, and every f here sets it to 0.

    Args:
        matrix: float64 or complex128 (..., M, N).
        shrink: Singular values, ascending, (..., D) -> new ones in the same order, between 0 and the old ones.

    Returns:
        The new matrix and its singular values, ascending, (..., D).
    """
    squares, largest = spectrum(_gram(matrix))
    values = squares.clamp(min=0.0).sqrt()
    shrunk = shrink(values)
    num_kept = int((shrunk > 0.0).sum(dim=-1).max())
    kept, gain = largest(num_kept), (shrunk / values.clamp(min=TINY))[..., None, values.shape[-1] - num_kept :]
    if matrix.shape[-2] >= matrix.shape[-1]:
        return (matrix @ (kept * gain)) @ kept.mH, shrunk
    return kept @ ((kept * gain).mH @ matrix), shrunk


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
