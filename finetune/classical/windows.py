"""Sliding windows as shifted whole frames: borders, 3x3 smoothing, sorted windows, eight neighbour cells.

Everything is exact: statistics of windows are built from shifted frames, by doubling (pixels 1, 2, 4, ...) along the columns,
then along the rows, so no window is ever unrolled.
Suffixes: B frames, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

_Join = Callable[[list[Tensor], list[Tensor]], list[Tensor]]
"""Statistics of two adjoining sets of pixels -> that of their union."""

GAUSS_3X3 = ((1 / 16, 2 / 16, 1 / 16), (2 / 16, 4 / 16, 2 / 16), (1 / 16, 2 / 16, 1 / 16))
"""Kernel of TLLCM and WSLCM: Han et al., GRSL 2020 and 2021; moradisaed/TLLCM, moradisaed/WSLCM."""


def pad_zeros(grey_B1HW: Tensor, num_px: int) -> Tensor:
    """Return frames grown on every side by pixels of level 0."""
    return F.pad(grey_B1HW, (num_px,) * 4)


def pad_replicate(grey_B1HW: Tensor, num_px: int) -> Tensor:
    """Return frames grown on every side by copies of their outermost pixels."""
    return F.pad(grey_B1HW, (num_px,) * 4, mode="replicate")


def pad_symmetric(grey_B1HW: Tensor, num_px: int) -> Tensor:
    """Return frames grown on every side by their mirror image, the outermost pixel repeated (torch's ``reflect`` skips it)."""
    for dim in (2, 3):
        size = grey_B1HW.shape[dim]
        place = torch.arange(-num_px, size + num_px, device=grey_B1HW.device) % (2 * size)
        grey_B1HW = grey_B1HW.index_select(dim, torch.minimum(place, 2 * size - 1 - place))
    return grey_B1HW


def smooth_3x3(grey_B1HW: Tensor) -> Tensor:
    """Return frames smoothed by :data:`GAUSS_3X3`, borders replicated."""
    kernel_11KK = torch.tensor(GAUSS_3X3, dtype=grey_B1HW.dtype, device=grey_B1HW.device).view(1, 1, 3, 3)
    return F.conv2d(pad_replicate(grey_B1HW, 1), kernel_11KK)


def box_mean(grey_B1HW: Tensor, side_px: int) -> Tensor:
    """Return the mean of every whole window of side_px x side_px; the frame shrinks by side_px - 1."""
    rows = _run([grey_B1HW], 2, side_px, _add)
    return _run(rows, 3, side_px, _add)[0] / side_px**2


def largest_of_window(grey_B1HW: Tensor, side_px: int, num_kept: int) -> list[Tensor]:
    """Return the largest values of every whole window, largest first.

    Sorted runs are merged; only values that may still be among the largest are kept (network: Batcher, AFIPS 1968).

    Args:
        grey_B1HW: (B, 1, H, W).
        side_px: Side of the window.
        num_kept: How many values; at most side_px^2.

    Returns:
        ``num_kept`` tensors (B, 1, H - side_px + 1, W - side_px + 1).
    """
    merge = partial(_merge, num_kept=num_kept)
    return _run(_run([grey_B1HW], 2, side_px, merge), 3, side_px, merge)


def eight_neighbours(cells_B1HW: Tensor, step_px: int) -> list[Tensor]:
    """Return what lies one step away in the eight directions.

    Args:
        cells_B1HW: (B, 1, H + 2 step_px, W + 2 step_px), a statistic of cells on frames grown by one step on every side.
        step_px: Distance of neighbouring cells.

    Returns:
        Eight tensors (B, 1, H, W), row by row.
    """
    height, width = (size - 2 * step_px for size in cells_B1HW.shape[2:])
    places = [(row, col) for row in range(3) for col in range(3) if (row, col) != (1, 1)]
    return [cells_B1HW[..., r * step_px : r * step_px + height, c * step_px : c * step_px + width] for r, c in places]


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the element-wise mean."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total / len(tensors)


def spread_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the element-wise standard deviation (ddof 1) of at least two tensors."""
    mean, num = mean_of(tensors), len(tensors)
    return (mean_of([(tensor - mean) ** 2 for tensor in tensors]) * (num / (num - 1))).sqrt()


def largest_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the element-wise maximum."""
    highest = tensors[0]
    for tensor in tensors[1:]:
        highest = torch.maximum(highest, tensor)
    return highest


def _run(values: list[Tensor], dim: int, length: int, join: _Join) -> list[Tensor]:
    """Return the statistic of every run of pixels along one axis from that of single pixels, by doubling."""
    if length == 1:
        return values
    head = _run(values, dim, length - 1 if length % 2 else length // 2, join)
    tail, shift = (values, length - 1) if length % 2 else (head, length // 2)
    size = values[0].shape[dim] - length + 1
    return join([v.narrow(dim, 0, size) for v in head], [v.narrow(dim, shift, size) for v in tail])


def _add(left: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    return [left[0] + right[0]]


def _merge(left: list[Tensor], right: list[Tensor], num_kept: int) -> list[Tensor]:
    """Merge two lists that are sorted element-wise, largest first, and keep the beginning (Batcher's odd-even merge)."""
    left, right = left[:num_kept], right[:num_kept]
    if not left or not right:
        return left or right
    if len(left) == len(right) == 1:
        return [torch.maximum(left[0], right[0]), torch.minimum(left[0], right[0])][:num_kept]
    first = _merge(left[::2], right[::2], num_kept // 2 + 1)
    second = _merge(left[1::2], right[1::2], num_kept // 2)
    merged = first[:1]
    for a, b in zip(first[1:], second, strict=False):
        merged += [torch.maximum(a, b), torch.minimum(a, b)] if len(merged) + 1 < num_kept else [torch.maximum(a, b)]
    rest = first[len(second) + 1 :] or second[len(first) - 1 :]
    return (merged + rest)[:num_kept]
