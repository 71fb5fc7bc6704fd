"""The structure tensor behind the priors of RIPT and PSTNN.

Suffixes: B frames, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def structure_eigenvalues(grey_B1HW: Tensor, *, sigma_frame_px: float, sigma_products_px: float) -> tuple[Tensor, Tensor]:
    """Return the larger and the smaller eigenvalue of the structure tensor of each pixel, (B, 1, H, W) each.

    Source: the released codes of RIPT and PSTNN: a 3x3 Gaussian over the frame, central differences (one-sided at the
    border), a 3x3 Gaussian over their products; symmetric borders.

    Args:
        grey_B1HW: Floating (B, 1, H, W), grey levels.
        sigma_frame_px: Width of the first Gaussian, px.
        sigma_products_px: Width of the second, px.
    """
    smooth_B1HW = gaussian_3x3(grey_B1HW, sigma_frame_px)
    down_B1HW, right_B1HW = _difference(smooth_B1HW, 2), _difference(smooth_B1HW, 3)
    products = (right_B1HW * right_B1HW, right_B1HW * down_B1HW, down_B1HW * down_B1HW)
    xx, xy, yy = (gaussian_3x3(product, sigma_products_px) for product in products)
    middle, half = 0.5 * (xx + yy), 0.5 * (xx - yy)
    root = half.square_().addcmul_(xy, xy).sqrt_()
    return middle + root, middle - root


def gaussian_3x3(frames_B1HW: Tensor, sigma_px: float) -> Tensor:
    """Return frames smoothed by a normalised 3x3 Gaussian, symmetric borders; a constant frame stays constant exactly."""
    side = math.exp(-0.5 / sigma_px**2)
    padded = F.pad(frames_B1HW, (1, 1, 1, 1), mode="replicate")
    rows = torch.add(padded[:, :, 1:-1], padded[:, :, :-2] + padded[:, :, 2:], alpha=side)
    total = torch.add(rows[..., 1:-1], rows[..., :-2] + rows[..., 2:], alpha=side)
    return total.div_((1.0 + 2.0 * side) ** 2)


def span(frames_B1HW: Tensor) -> Tensor:
    """Return the highest minus the lowest value of each frame, (B, 1, 1, 1); 0 says that it is flat."""
    return frames_B1HW.amax(dim=(1, 2, 3), keepdim=True) - frames_B1HW.amin(dim=(1, 2, 3), keepdim=True)


def min_max_scaled(frames_B1HW: Tensor) -> Tensor:
    """Return each frame scaled to [0, 1]; a flat one becomes 0."""
    span_B111 = span(frames_B1HW)
    return (frames_B1HW - frames_B1HW.amin(dim=(1, 2, 3), keepdim=True)) / torch.where(span_B111 > 0.0, span_B111, 1.0)


def _difference(frames_B1HW: Tensor, axis: int) -> Tensor:
    """Return central differences along an axis; 0 where it has one pixel."""
    if frames_B1HW.shape[axis] == 1:
        return torch.zeros_like(frames_B1HW)
    difference: Tensor = torch.gradient(frames_B1HW, dim=axis)[0]
    return difference
