"""Max-Median: what stands out from the medians along a row, a column and both diagonals.

G = max(I - max(m_row, m_column, m_diagonal, m_antidiagonal), 0), medians of five pixels. Source: Deshpande et al., SPIE 3809
(1999); Linaom1214/ISTD-Benchmark (MAXMEAN, which takes the third of five values despite its name). Borders are mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from finetune.classical.base import ClassicalConfig, ClassicalMethod
from finetune.classical.windows import largest_of, pad_symmetric

_REACH_PX = 2  # five pixels a median: the length of the published rows
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


class MaxMedianConfig(ClassicalConfig):
    """Settings of Max-Median.

    Attributes:
        kind: Always ``maxmedian``.
    """

    kind: Literal["maxmedian"] = "maxmedian"


class MaxMedian(ClassicalMethod[MaxMedianConfig]):
    """Residual of the largest of four directional medians."""

    config_type = MaxMedianConfig

    def saliency(self, grey_B1HW: Tensor) -> Tensor:
        """Return the frame minus its max-median background, grey levels."""
        padded_B1HW, (height, width) = pad_symmetric(grey_B1HW, _REACH_PX), grey_B1HW.shape[2:]
        medians = []
        for d_row, d_col in _DIRECTIONS:
            starts = [(_REACH_PX + k * d_row, _REACH_PX + k * d_col) for k in range(-_REACH_PX, _REACH_PX + 1)]
            medians.append(median_of_five([padded_B1HW[..., row : row + height, col : col + width] for row, col in starts]))
        return grey_B1HW - largest_of(medians)


def median_of_five(values: Sequence[Tensor]) -> Tensor:
    """Return the element-wise median of five tensors."""
    a, b, c, d, e = values
    low = torch.maximum(torch.minimum(a, b), torch.minimum(c, d))
    high = torch.minimum(torch.maximum(a, b), torch.maximum(c, d))
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    return torch.maximum(low, torch.minimum(e, high))
