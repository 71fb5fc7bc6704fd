"""Proximal steps against full decompositions, the structure tensor on known frames, and the loop that lets frames go."""

from __future__ import annotations

from typing import NamedTuple

import pytest

torch = pytest.importorskip("torch")

from finetune.classical.iterate import iterate, norms  # noqa: E402
from finetune.classical.shrinkage import BLOCK_SIDE, map_spectrum, singular_values, soft_threshold  # noqa: E402
from finetune.classical.structure import gaussian_3x3, min_max_scaled, structure_eigenvalues  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def matrices(shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


SHAPES = [
    ((3, 40, 25), torch.float64),
    ((2, 25, 40), torch.float64),
    ((2, 7, 12, 12), torch.complex128),
    ((4, 5, 9), torch.complex128),
]
LARGE = ((1, 400, BLOCK_SIDE + 60), torch.float64)
"""Large enough for a Gram matrix in blocks."""


@pytest.mark.parametrize(("shape", "dtype"), [*SHAPES, LARGE])
def test_spectrum_is_mapped_as_by_a_full_decomposition(shape, dtype):
    """Tall, wide, complex and large matrices; worst seen 3e-13 of values near 10."""
    matrix = matrices(shape, dtype)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    threshold = 0.6 * s.max()
    got, shrunk = map_spectrum(matrix, lambda values: (values - threshold).clamp(min=0.0))
    expected = (u * (s - threshold).clamp(min=0.0)[..., None, :]) @ vh
    assert 0 < (shrunk > 0).sum() < shrunk.numel()
    assert (got - expected).abs().max() < 1e-11
    assert (singular_values(matrix).flip(-1) - s).abs().max() < 1e-11


def test_nothing_is_left_of_what_is_shrunk_to_nothing():
    matrix = matrices((2, 6, 4))
    got, shrunk = map_spectrum(matrix, torch.zeros_like)
    assert got.shape == matrix.shape and not got.any() and not shrunk.any()
    zeros, _ = map_spectrum(torch.zeros(1, 4, 4, dtype=torch.float64), lambda values: values)
    assert not zeros.any()


def test_small_singular_values_keep_their_digits():
    """Down to 1e-6 of the largest a Gram matrix still gives four digits: what the docstring promises ends at 1e-8."""
    u, _ = torch.linalg.qr(matrices((1, 30, 30)))
    v, _ = torch.linalg.qr(matrices((1, 30, 30), seed=1))
    s = torch.logspace(0, -6, 30, dtype=torch.float64)
    assert (singular_values((u * s) @ v.mT).flip(-1) / s - 1).abs().max() < 1e-4


def test_soft_threshold_is_exactly_zero_inside():
    values = torch.tensor([-3.0, -1.0, -0.3, 0.0, 0.1, 1.0, 2.5], dtype=torch.float64)
    assert soft_threshold(values, torch.tensor(1.0, dtype=torch.float64)).tolist() == [-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5]
    assert torch.equal(soft_threshold(values, 0.0), values)


def test_structure_tensor_of_an_edge_and_of_a_corner():
    """A straight ramp has one eigenvalue, its squared slope; flat frames have none, exactly; a spot has two."""
    ramp = (3.0 * torch.arange(12, dtype=torch.float64)).expand(1, 1, 9, 12)
    large, small = structure_eigenvalues(ramp, sigma_frame_px=1.2, sigma_products_px=2.0)
    assert large[..., 3:-3] == pytest.approx(9.0) and small.abs().max() < 1e-12
    spot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    spot[0, 0, 4, 4] = 10.0
    assert structure_eigenvalues(spot, sigma_frame_px=1.2, sigma_products_px=2.0)[1][0, 0, 4, 4] > 0.1
    flat = torch.full((1, 1, 6, 5), 91.7, dtype=torch.float64)
    assert (gaussian_3x3(flat, 2.0) == gaussian_3x3(flat, 2.0)[0, 0, 0, 0]).all()
    assert not structure_eigenvalues(flat, sigma_frame_px=2.0, sigma_products_px=9.0)[0].any()
    assert min_max_scaled(ramp).aminmax() == (0.0, 1.0) and not min_max_scaled(flat).any()


class Halving(NamedTuple):
    value: torch.Tensor
    floor: torch.Tensor


def halve(state):
    value = state.value / 2
    return Halving(value, state.floor), value < state.floor


def test_frames_leave_when_they_are_done():
    """Each frame keeps the value of its own last step, in its own place; one that never ends stops at the bound."""
    seen = []

    def step(state):
        seen.append(len(state.value))
        return halve(state)

    start = Halving(torch.tensor([8.0, 1.0, 64.0, 5.0]), torch.tensor([1.5, 0.9, 1.5, 0.0]))
    outcome = iterate(start, step, lambda state: state.value, max_iterations=7)
    assert outcome.num_iterations_B.tolist() == [3, 1, 6, 7]
    assert outcome.target.tolist() == [1.0, 0.5, 1.0, 5.0 / 128]
    assert seen == [4, 3, 3, 2, 2, 2, 1]


def test_norms_are_those_of_each_frame():
    """Real, complex, lazily conjugated, and laid out in any order."""
    for batch in (matrices((3, 4, 5, 6)), matrices((3, 4, 5), torch.complex128), matrices((3, 4, 5), torch.complex128).conj()):
        expected = [float(frame.abs().square().sum().sqrt()) for frame in batch]
        assert norms(batch).tolist() == pytest.approx(expected, rel=1e-14)
        assert norms(batch.movedim(1, -1)).tolist() == pytest.approx(expected, rel=1e-14)
