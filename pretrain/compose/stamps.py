"""What targets and impostors look like: squares of peak 1 around a sub-pixel centre, and how they are put into views.

Shapes: N stamps, P side of a stamp (2 x REACH_PX + 1), B views, S slots of a view, H rows, W columns, E side of a shuffled core.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pretrain.view_ops import keyed_normals

REACH_PX = 16
"""How far a stamp reaches (our choice): four sigmas of the longest streak, seven of the largest target."""
SIDE_PX = 2 * REACH_PX + 1
CORE_PX = 9
"""Side of the square whose pixels ``shuffled`` permutes (our choice: two sigmas of the largest target on either side)."""
BODY_CORE_PX = 23
"""The same for bodies (our choice: the longest bar, and some two sigmas of the widest on either side)."""

_NODES = ((-0.3872983346207417, 5 / 18), (0.0, 4 / 9), (0.3872983346207417, 5 / 18))
"""Nodes and weights of Gauss and Legendre's three-point rule on a pixel [-0.5, 0.5]."""


def gaussian_stamps(offset_N2: Tensor, sigmas_N2: Tensor, angle_N: Tensor) -> Tensor:
    """Return pixel-integrated anisotropic Gaussians of peak 1.

    Along a row the integral over each pixel is exact (the conditional Gaussian's error functions), across rows it is the
    three-point rule of Gauss and Legendre: within 3e-4 of the peak at sigma 0.4 px, 1e-4 from 0.6 px on (measured).

    Args:
        offset_N2: Row and column of the centre against the middle pixel, px.
        sigmas_N2: Sigma along and across, px, without the pixel's box.
        angle_N: Angle of the long axis against the direction of columns, radians.

    Returns:
        float32 (N, P, P), highest pixel 1.
    """
    cos, sin = torch.cos(angle_N), torch.sin(angle_N)
    along, across = (sigmas_N2**2).unbind(1)
    var_row, var_col = along * sin**2 + across * cos**2, along * cos**2 + across * sin**2
    covariance = (along - across) * sin * cos
    slope, spread = covariance / var_row, torch.sqrt(var_col - covariance**2 / var_row)
    steps = torch.arange(-REACH_PX, REACH_PX + 1, device=offset_N2.device, dtype=torch.float32)
    edges = torch.arange(-REACH_PX, REACH_PX + 2, device=offset_N2.device, dtype=torch.float32) - 0.5
    node, weight = torch.tensor(_NODES).to(offset_N2.device, non_blocking=True).T[..., None]
    rows_N3P = steps + node - offset_N2[:, :1, None]
    density_N3P = weight * torch.exp(-0.5 * rows_N3P**2 / var_row[:, None, None])
    middle_N3P = offset_N2[:, 1:, None] + slope[:, None, None] * rows_N3P
    scaled = (edges - middle_N3P[..., None]) / (spread * 2**0.5)[:, None, None, None]
    first, second, third = (density_N3P[..., None] * torch.erf(scaled).diff(dim=3)).unbind(1)
    total: Tensor = first + second + third
    return total / total.amax((1, 2), keepdim=True)


def bar_stamps(offset_N2: Tensor, sigma_N: Tensor, angle_N: Tensor, half_N: Tensor) -> Tensor:
    """Return lines of a length, blurred by a Gaussian, of peak 1.

    Sampled at the middle of pixels; the variance of a pixel's box, 1/12, is added to sigma squared instead of integrating over
    it: within 7e-3 of the peak at sigma 0.6 px, 1e-3 from 1 px on (measured).

    Args:
        offset_N2: Row and column of the middle of the line against the middle pixel, px.
        sigma_N: Sigma, px, without the pixel's box.
        angle_N: Angle against the direction of columns, radians.
        half_N: Half the length, px.

    Returns:
        float32 (N, P, P), highest pixel 1.
    """
    steps = torch.arange(-REACH_PX, REACH_PX + 1, device=offset_N2.device, dtype=torch.float32)
    row_NPP, col_NPP = steps[:, None] - offset_N2[:, 0, None, None], steps - offset_N2[:, 1, None, None]
    sin, cos, half, width = (part[:, None, None] for part in (angle_N.sin(), angle_N.cos(), half_N, (sigma_N**2 + 1 / 12).sqrt()))
    along, across = row_NPP * sin + col_NPP * cos, row_NPP * cos - col_NPP * sin
    ends = torch.erf((along + half) / (width * 2**0.5)) - torch.erf((along - half) / (width * 2**0.5))
    stamps = torch.exp(-0.5 * (across / width) ** 2) * ends
    return stamps / stamps.amax((1, 2), keepdim=True)


def body_stamps(bars_NKPP: Tensor, height_NK: Tensor) -> Tensor:
    """Return unions of bars: their sum where they are faint or apart, no more than the highest where they cross.

    Args:
        bars_NKPP: Each of peak 1.
        height_NK: Height of each, in [0, 1]; 0 leaves it out.

    Returns:
        float32 (N, P, P), highest pixel 1.
    """
    union = 1.0 - (1.0 - height_NK[:, :, None, None] * bars_NKPP).prod(1)
    return union / union.amax((1, 2), keepdim=True)


def pixel_stamps(count: int, device: torch.device) -> Tensor:
    """Return stamps of one lit pixel."""
    stamps = torch.zeros(count, SIDE_PX, SIDE_PX, device=device)
    stamps[:, REACH_PX, REACH_PX] = 1.0
    return stamps


def noise_stamps(envelope_NPP: Tensor, keys_N: Tensor) -> Tensor:
    """Return noise under an envelope, highest magnitude 1; the keys are int64."""
    noise = envelope_NPP * keyed_normals(keys_N, (SIDE_PX, SIDE_PX))
    return noise / noise.abs().amax((1, 2), keepdim=True)


def shuffled(stamps_NPP: Tensor, keys_N: Tensor, is_body_N: Tensor) -> Tensor:
    """Return stamps whose middle pixels changed places, over a wider core in bodies: the same energy without the shape."""
    draws = keyed_normals(keys_N, (BODY_CORE_PX, BODY_CORE_PX)).flatten(1)
    bodies, points = (_reordered(stamps_NPP, draws[:, : side**2], side) for side in (BODY_CORE_PX, CORE_PX))
    return torch.where(is_body_N[:, None, None], bodies, points)


def _reordered(stamps_NPP: Tensor, draws_NE: Tensor, side_px: int) -> Tensor:
    """Return stamps whose middle pixels stand in the order of as many draws."""
    first, last = REACH_PX - side_px // 2, REACH_PX + side_px // 2 + 1
    core = stamps_NPP[:, first:last, first:last]
    result = stamps_NPP.clone()
    result[:, first:last, first:last] = core.flatten(1).gather(1, draws_NE.argsort(dim=1, stable=True)).view_as(core)
    return result


def blobs(centres_BS2: Tensor, sigma_BS: Tensor, height_BS: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return the sum of wide round Gaussians over whole views; so wide that the pixel's own extent does not matter.

    Args:
        centres_BS2: Row and column, px.
        sigma_BS: Sigma, px.
        height_BS: Peak; 0 for none.
        hw: Size of the views.

    Returns:
        float32 (B, H, W).
    """
    profiles = []
    for axis in (0, 1):
        steps = torch.arange(hw[axis], device=centres_BS2.device, dtype=torch.float32) - centres_BS2[:, :, axis, None]
        profiles.append(torch.exp(-0.5 * (steps / sigma_BS[:, :, None]) ** 2))
    return torch.einsum("bs,bsh,bsw->bhw", height_BS, *profiles)


def cut_squares(images_BHW: Tensor, middle_BS2: Tensor) -> Tensor:
    """Return the square around pixels of each view, borders mirrored, float32 (B, S, P, P); the pixels are int64."""
    padded = functional.pad(images_BHW[:, None], (REACH_PX,) * 4, mode="reflect")[:, 0]
    cells = _cells(middle_BS2, padded.shape[2])
    return padded.flatten(1).gather(1, cells.flatten(1)).view(*middle_BS2.shape[:2], SIDE_PX, SIDE_PX)


def paste(layers_BCHW: Tensor, stamps_BCSPP: Tensor, middle_BS2: Tensor) -> Tensor:
    """Return views with the stamps of their slots added, each of several layers its own; what reaches over the border is cut off.

    Slot after slot, so that no two sums meet at a pixel and the result is the same on every device and run.

    Args:
        layers_BCHW: float32, C layers of each view.
        stamps_BCSPP: float32; 0 adds nothing.
        middle_BS2: int64, row and column of the pixel under the middle of each stamp.
    """
    num_layers, height, width = layers_BCHW.shape[1:]
    padded = functional.pad(layers_BCHW, (REACH_PX,) * 4)
    cells = _cells(middle_BS2, padded.shape[3])[:, None].expand(-1, num_layers, -1, -1)
    flat, stamps = padded.flatten(2), stamps_BCSPP.flatten(3)
    for slot in range(stamps.shape[2]):
        flat = flat.scatter_add(2, cells[:, :, slot], stamps[:, :, slot])
    return flat.view_as(padded)[..., REACH_PX : REACH_PX + height, REACH_PX : REACH_PX + width]


def _cells(middle_BS2: Tensor, width: int) -> Tensor:
    """Return the flat indices, in a padded view of a width, of the square around pixels: (B, S, P x P)."""
    steps = torch.arange(SIDE_PX, device=middle_BS2.device)
    square = (steps[:, None] * width + steps).flatten()
    return middle_BS2[:, :, :1] * width + middle_BS2[:, :, 1:] + square
