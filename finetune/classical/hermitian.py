"""Eigenvectors of many small Hermitian matrices, of which only those of the largest eigenvalues are wanted.

Source: Golub and Van Loan, Matrix Computations, 4th ed., 8.3: Householder reflections make a matrix tridiagonal, implicit
QR steps with Wilkinson's shift make that diagonal, and the reflections, applied backwards, lift the eigenvectors. As accurate
as LAPACK's ``zheevd``, which ``torch.linalg.eigh`` calls, in half of its time: real and imaginary parts lie apart,
every inner loop adds rows to rows, so that the compiler takes several elements at once without changing the order of a sum,
and only the wanted vectors are lifted. QR goes from the bottom, where matrices such as these have their small elements: a
third fewer steps than from the top (both measured on the slices of PSTNN).

Suffixes: X matrices, D their rows and columns, K eigenvectors wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

MAX_SIDE = 128
"""Largest side this is used for (measured: half of LAPACK's time from side 20 to 128, a quarter of the vectors wanted)."""
ROUNDING = 2.0**-52
"""Couplings of this part of their neighbours on the diagonal are 0 (as LAPACK), and of its square of the largest element: range
enough for every digit of the largest, and little enough for squares.
"""
NOTHING = 2.0**-511
"""Couplings that are 0 whatever their neighbours: their squares are no normal numbers."""

MAX_SWEEPS = 30
"""QR steps for an eigenvalue (LAPACK's bound; one to three are usual, and only elements out of range need more)."""


class Reduced(NamedTuple):
    """Reflections that make matrices tridiagonal, and the eigenvectors of the tridiagonal ones.

    Attributes:
        real_XDD: Row j holds the real part of reflection j, right of the diagonal.
        imag_XDD: Its imaginary part.
        scales_XD: 2 over the squared length of each reflection; 0 where nothing was to reflect.
        phases_X2D: What makes the tridiagonal matrix real: cosine and sine of a phase a row.
        vectors_XDD: Eigenvectors of the real tridiagonal matrix, in rows.
    """

    real_XDD: Array
    imag_XDD: Array
    scales_XD: Array
    phases_X2D: Array
    vectors_XDD: Array


def spectrum(matrices: Tensor) -> tuple[Tensor, Callable[[int], Tensor]]:
    """Return the eigenvalues of Hermitian matrices, and a function that returns the eigenvectors of the K largest.

    Args:
        matrices: float64 or complex128 (..., D, D), finite, on any device; largest element 0 or of 1e-140 to 1e140.

    Returns:
        Ascending (..., D), and K -> (..., D, K) in the same order.
    """
    if matrices.device.type != "cpu" or matrices.dtype != torch.complex128 or matrices.shape[-1] > MAX_SIDE:
        values, vectors = torch.linalg.eigh(matrices)
        return values, lambda num: vectors[..., vectors.shape[-1] - num :]
    *batch, side = matrices.shape[:-1]
    values_XD, reduced = _reduce(matrices.reshape(-1, side, side).resolve_conj().contiguous().numpy())
    sorted_XD, order_XD = torch.from_numpy(values_XD).sort(dim=1)

    def largest(num: int) -> Tensor:
        lifted = torch.from_numpy(_lift(reduced, order_XD[:, side - num :].numpy()))
        return torch.view_as_complex(lifted).reshape(*batch, side, num)

    return sorted_XD.reshape(*batch, side), largest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _reduce(matrices_XDD: npt.NDArray[np.complex128]) -> tuple[Array, Reduced]:
    """Return eigenvalues, (X, D), and what :func:`_lift` needs."""
    num, side = matrices_XDD.shape[:2]
    real_XDD, imag_XDD, vectors_XDD = np.empty((num, side, side)), np.empty((num, side, side)), np.zeros((num, side, side))
    scales_XD, phases_X2D, values_XD = np.zeros((num, side)), np.empty((num, 2, side)), np.empty((num, side))
    couplings = np.zeros(side)
    for x in range(num):
        for i in range(side):
            vectors_XDD[x, i, i] = 1.0
            for k in range(side):
                real_XDD[x, i, k], imag_XDD[x, i, k] = matrices_XDD[x, i, k].real, matrices_XDD[x, i, k].imag
        _tridiagonalise(real_XDD[x], imag_XDD[x], values_XD[x], couplings, scales_XD[x], phases_X2D[x])
        _diagonalise(values_XD[x], couplings, vectors_XDD[x])
    return values_XD, Reduced(real_XDD, imag_XDD, scales_XD, phases_X2D, vectors_XDD)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _tridiagonalise(real: Array, imag: Array, diagonal: Array, couplings: Array, scales: Array, phases: Array) -> None:
    """Make a Hermitian matrix real tridiagonal; its upper rows become the reflections, ``couplings[i]`` is (i - 1, i)."""
    side = len(diagonal)
    p_room, q_room = np.empty(side), np.empty(side)
    phases[0, 0], phases[1, 0] = 1.0, 0.0
    for j in range(side - 1):
        diagonal[j] = real[j, j]
        u, v = real[j, j + 1 :], imag[j, j + 1 :]  # u - iv is the column below: this row is its conjugate
        squares = 0.0
        for k in range(len(u)):
            squares += u[k] * u[k] + v[k] * v[k]
        length, head = np.sqrt(squares), np.sqrt(u[0] * u[0] + v[0] * v[0])
        cos, sin = (u[0] / head, -v[0] / head) if head > 0.0 else (1.0, 0.0)
        couplings[j + 1] = length
        phases[0, j + 1] = sin * phases[1, j] - cos * phases[0, j]
        phases[1, j + 1] = -sin * phases[0, j] - cos * phases[1, j]
        if length == 0.0:
            continue
        for k in range(len(u)):
            u[k], v[k] = u[k] / length, -v[k] / length
        u[0], v[0] = u[0] + cos, v[0] + sin
        scales[j] = 1.0 / (1.0 + head / length)
        _reflect(real, imag, u, v, p_room[j + 1 :], q_room[j + 1 :], scales[j])
    diagonal[side - 1] = real[side - 1, side - 1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _reflect(real: Array, imag: Array, u: Array, v: Array, p: Array, q: Array, scale: float) -> None:
    """Replace A by H A H, H = I - scale (u + iv) (u + iv)^H; p and q are room."""
    start = len(real) - len(u)
    p[:], q[:] = 0.0, 0.0
    for r in range(len(u)):
        u_r, v_r, row, row_imag = u[r], v[r], real[start + r, start:], imag[start + r, start:]
        for k in range(len(u)):
            x, y = row[k], row_imag[k]
            p[k] += u_r * x + v_r * y
            q[k] += v_r * x - u_r * y
    product = 0.0
    for k in range(len(u)):
        product += u[k] * p[k] + v[k] * q[k]
    half = 0.5 * scale * scale * product
    for k in range(len(u)):
        p[k] = scale * p[k] - half * u[k]
    for k in range(len(u)):
        q[k] = scale * q[k] - half * v[k]
    for r in range(len(u)):
        u_r, v_r, p_r, q_r, row, row_imag = u[r], v[r], p[r], q[r], real[start + r, start:], imag[start + r, start:]
        for k in range(len(u)):
            u_k, v_k, p_k, q_k = u[k], v[k], p[k], q[k]
            row[k] -= u_r * p_k + v_r * q_k + p_r * u_k + q_r * v_k
            row_imag[k] -= v_r * p_k - u_r * q_k + q_r * u_k - p_r * v_k


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _diagonalise(diagonal: Array, couplings: Array, vectors: Array) -> None:
    """Make a tridiagonal matrix diagonal and rotate the rows of ``vectors`` along; NaN is what does not converge."""
    nothing = NOTHING
    for i in range(len(diagonal)):
        nothing = max(nothing, ROUNDING * ROUNDING * max(abs(diagonal[i]), couplings[i]))
    for last in range(len(diagonal) - 1, 0, -1):
        for _ in range(MAX_SWEEPS):
            first = last
            while first > 0 and abs(couplings[first]) > nothing + ROUNDING * (abs(diagonal[first - 1]) + abs(diagonal[first])):
                first -= 1
            if first == last:
                break
            _sweep(diagonal, couplings, vectors, first, last)
        else:
            diagonal[last] = np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sweep(diagonal: Array, couplings: Array, vectors: Array, first: int, last: int) -> None:
    """Take one implicit QR step on rows ``first`` to ``last``."""
    ratio = (diagonal[last - 1] - diagonal[last]) / (2.0 * couplings[last])
    g = diagonal[first] - diagonal[last] + couplings[last] / (ratio + np.copysign(np.sqrt(ratio * ratio + 1.0), ratio))
    sin, cos, moved = 1.0, 1.0, 0.0
    for i in range(first, last):
        bulge, coupling = sin * couplings[i + 1], cos * couplings[i + 1]
        radius = np.sqrt(bulge * bulge + g * g)  # not 0: where sin vanishes, g is the coupling
        couplings[i] = radius
        cos, sin = g / radius, bulge / radius
        g = diagonal[i] - moved
        slope = (diagonal[i + 1] - g) * sin + 2.0 * cos * coupling
        moved = sin * slope
        diagonal[i] = g + moved
        g = cos * slope - coupling
        low, high = vectors[i], vectors[i + 1]
        for k in range(len(low)):
            low[k], high[k] = sin * high[k] + cos * low[k], cos * high[k] - sin * low[k]
    diagonal[last] -= moved
    couplings[first], couplings[last] = 0.0, g


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lift(reduced: Reduced, wanted_XK: npt.NDArray[np.int64]) -> Array:
    """Return eigenvectors of the matrices themselves, (X, D, K, 2), K given by row."""
    (num, num_wanted), side = wanted_XK.shape, reduced.scales_XD.shape[1]
    lifted = np.empty((num, side, num_wanted, 2))
    a, b, c, s = np.empty((side, num_wanted)), np.empty((side, num_wanted)), np.empty(num_wanted), np.empty(num_wanted)
    for x in range(num):
        cos, sin = reduced.phases_X2D[x]
        for k in range(num_wanted):
            vector = reduced.vectors_XDD[x, wanted_XK[x, k]]
            for r in range(side):
                a[r, k], b[r, k] = cos[r] * vector[r], sin[r] * vector[r]
        for j in range(side - 2, -1, -1):
            u, v, scale = reduced.real_XDD[x, j], reduced.imag_XDD[x, j], reduced.scales_XD[x, j]
            c[:], s[:] = 0.0, 0.0
            for r in range(j + 1, side):
                u_r, v_r = u[r], v[r]
                for k in range(num_wanted):
                    a_k, b_k = a[r, k], b[r, k]
                    c[k] += u_r * a_k + v_r * b_k
                    s[k] += u_r * b_k - v_r * a_k
            for r in range(j + 1, side):
                u_r, v_r = scale * u[r], scale * v[r]
                for k in range(num_wanted):
                    c_k, s_k = c[k], s[k]
                    a[r, k] -= u_r * c_k - v_r * s_k
                    b[r, k] -= u_r * s_k + v_r * c_k
        for r in range(side):
            for k in range(num_wanted):
                lifted[x, r, k, 0], lifted[x, r, k, 1] = a[r, k], b[r, k]
    return lifted
