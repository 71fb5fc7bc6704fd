"""Our eigenvectors of small Hermitian matrices against LAPACK's, on matrices that are hard in one way each."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from finetune.classical.hermitian import MAX_SIDE, spectrum  # noqa: E402

TOLERANCE = 2e-14
"""Of values and residuals over the largest value, and of products of vectors.

Worst seen over 30 seeds: values 4e-15, residuals 3e-15, products 8e-15 (side 128). Couplings dropped from 2^-44 of the diagonal
on, or a reflection scaled wrong by 1e-13, fail; that QR takes more steps than it must does not.
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def complex_normals(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def with_values(values, num=3):
    """Return Hermitian matrices of given eigenvalues."""
    basis, _ = torch.linalg.qr(complex_normals(num, len(values), len(values), seed=1))
    return (basis * torch.as_tensor(values, dtype=torch.float64)) @ basis.mH


def gram(*shape):
    matrix = complex_normals(*shape)
    return matrix.mH @ matrix


def nearly_double():
    """Return Wilkinson's tridiagonal matrix of side 21, whose eigenvalues come in pairs down to 7e-14 apart."""
    offset = torch.arange(-10.0, 11.0, dtype=torch.float64)
    return (torch.diag(offset.abs()) + torch.ones(21, 21).triu(-1).tril(1).fill_diagonal_(0)).to(torch.complex128)[None]


def two_blocks():
    """Return a matrix of two equal blocks: every eigenvalue is double, and one coupling is exactly 0."""
    block = gram(6, 6)
    return torch.block_diag(block, block)[None]


def of_all_sizes():
    """Return a tridiagonal matrix with an element that no step of QR changes; beside the largest it is nothing."""
    off = torch.diag(torch.tensor([-1e31, 1e-143, 1e11], dtype=torch.float64), 1)
    return (off + off.mT).to(torch.complex128)[None]


HARD = {
    "gram": lambda: gram(25, 40, 40),
    "tall gram": lambda: gram(2, 200, 31),
    "indefinite": lambda: complex_normals(4, 17, 17) + complex_normals(4, 17, 17).mH,
    "two batch axes": lambda: gram(2, 3, 9, 9),
    "largest side": lambda: gram(1, MAX_SIDE, MAX_SIDE),
    "rank 3": lambda: gram(4, 3, 20),
    "graded": lambda: with_values(torch.logspace(12, -12, 30)),
    "graded the other way round": lambda: torch.diag(torch.logspace(-12, 12, 30, dtype=torch.float64)) + with_values([1e-9] * 30),
    "all equal": lambda: with_values([2.0] * 12),
    "clusters": lambda: with_values([5.0] * 10 + [1.0 + 1e-13 * k for k in range(10)]),
    "nearly double": nearly_double,
    "two blocks": two_blocks,
    "of all sizes": of_all_sizes,
    "real": lambda: gram(3, 12, 12).real.to(torch.complex128),
    "imaginary": lambda: 1j * (complex_normals(2, 11, 11).real - complex_normals(2, 11, 11).real.mT),
    "identity": lambda: torch.eye(8, dtype=torch.complex128)[None],
    "ones": lambda: torch.ones(1, 8, 8, dtype=torch.complex128),
    "zeros": lambda: torch.zeros(2, 7, 7, dtype=torch.complex128),
    "zeros but for a corner": lambda: torch.nn.functional.pad(gram(1, 2, 2), (5, 0, 5, 0)),
    "side 1": lambda: gram(3, 1, 1),
    "side 2": lambda: gram(3, 2, 2),
    "huge": lambda: 1e130 * gram(2, 15, 15),
    "small": lambda: 1e-130 * gram(2, 15, 15),
    "transposed in memory": lambda: gram(3, 14, 14).mT.contiguous().mT,
    "conjugated lazily": lambda: gram(3, 14, 14).conj(),
    "too large for ours": lambda: gram(1, MAX_SIDE + 1, MAX_SIDE + 1),
    "real type": lambda: gram(3, 12, 12).real,
}


@pytest.mark.parametrize("kind", HARD)
def test_eigenvectors_are_those_of_lapack(kind):
    """Ascending values, vectors that solve the equation and are orthonormal; any number of them; the input stays."""
    matrices = HARD[kind]()
    before, side = matrices.clone(), matrices.shape[-1]
    values, largest = spectrum(matrices)
    vectors = largest(side)
    assert torch.equal(matrices, before)
    scale = torch.linalg.eigvalsh(matrices).abs().amax(dim=-1, keepdim=True).clamp(min=1e-300)
    assert (values.diff(dim=-1) >= 0.0).all()
    assert ((values - torch.linalg.eigvalsh(matrices)) / scale).abs().max() < TOLERANCE
    assert ((matrices @ vectors - vectors * values[..., None, :]) / scale[..., None]).abs().max() < TOLERANCE
    assert (vectors.mH @ vectors - torch.eye(side)).abs().max() < TOLERANCE
    for num in {0, 1, side // 3, side}:
        assert torch.equal(largest(num), vectors[..., side - num :])


def test_underflow_does_not_hang():
    """Rounding of the zero eigenvalues has squares that are 0: no step of QR would ever change them."""
    matrices = 1e-148 * gram(4, 3, 20)
    values, _ = spectrum(matrices)
    assert (values - torch.linalg.eigvalsh(matrices)).abs().max() < 1e-152


def test_what_is_not_finite_or_too_large_does_not_hang():
    for value in (torch.nan, torch.inf, 1e200):
        matrices = gram(2, 9, 9)
        matrices[0, 3, 3] = value
        values, largest = spectrum(matrices)
        assert largest(2).shape == (2, 9, 2) and not values[0].isfinite().all() and values[1].isfinite().all()
