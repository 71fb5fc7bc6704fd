"""What views do to pixels, batched on the device; every parameter is given, nothing is drawn from a global generator.

kornia's brightness, contrast and gamma clamp to [0, 1] in between, and all of its operations draw from torch's global generator
(measured, kornia 0.9.0); so these few are our own. Values are clamped once, when a view is finished.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

SOFT_MASK_LEVEL = 0.25
"""Share of a pixel a resampled target must cover: at 0.25 a 1-px target vanishes in 1.4 % of small turns, at 0.5 in 36 %."""
LOST_WITHIN_PX = 2
"""A target counts as lost when none of its warped pixels lies within this distance of one of its pixels (our choice)."""

_GOLDEN = -7046029254386353131
"""0x9E3779B97F4A7C15 as int64: the step of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
_MIX = (-4658895280553007687, -7723592293110705685)
"""0xBF58476D1CE4E5B9 and 0x94D049BB133111EB as int64: the multipliers of its finaliser."""


def gather_levels(pixels_NHW: Tensor, index_BHW: Tensor) -> Tensor:
    """Return the pixels of an index map.

    Args:
        pixels_NHW: uint8 or uint16.
        index_BHW: int64, flat indices into ``pixels_NHW``.

    Returns:
        float32, shape of ``index_BHW``, the levels unscaled.
    """
    flat = pixels_NHW.reshape(-1)
    if flat.dtype == torch.uint16:  # indexed as int16: not every device indexes uint16
        flat = flat.view(torch.int16)
    found = flat.index_select(0, index_BHW.reshape(-1)).view(index_BHW.shape)
    return (found.view(torch.uint16) if pixels_NHW.dtype == torch.uint16 else found).to(torch.float32)


def move_pixels(index_BHW: Tensor, target_BP: Tensor, source_BP: Tensor) -> Tensor:
    """Return an index map in which pixels ``target`` show what pixels ``source`` showed."""
    flat = index_BHW.flatten(1)
    return flat.scatter(1, target_BP, flat.gather(1, source_BP)).view_as(index_BHW)


def stretch_windows(windows_BSS: Tensor, origin_B2: Tensor, frame_hw_B2: Tensor, hw: tuple[int, int]) -> Tensor:
    """Stretch noise windows bilinearly to the size of their frames and cut what a view shows of them.

    Half-pixel centres, edges clamped, as ``synth.noise.mixing`` (released: luy0222/SIRST-5K codes/Mix_Rot/add_noise.py).

    Args:
        windows_BSS: float32.
        origin_B2: First pixel of the view in its frame, float32.
        frame_hw_B2: Size of the frame, float32.
        hw: Size of the view.

    Returns:
        float32 (B, H, W).
    """
    side = windows_BSS.shape[1]
    cells = torch.arange(side, device=windows_BSS.device, dtype=torch.float32)
    taps = []
    for axis in (0, 1):
        line = origin_B2[:, axis, None] + torch.arange(hw[axis], device=windows_BSS.device, dtype=torch.float32)
        position = ((line + 0.5) * side / frame_hw_B2[:, axis, None] - 0.5).clamp(0, side - 1)
        taps.append((1 - (position[:, :, None] - cells).abs()).clamp(min=0))
    return taps[0] @ windows_BSS @ taps[1].transpose(1, 2)


def paste_targets(
    images_BHW: Tensor, masks_BHW: Tensor, start_B: Tensor, excess_BSS: Tensor, donor_masks_BSS: Tensor, wanted_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Add donor targets to views, where they meet no target.

    Args:
        images_BHW: float32.
        masks_BHW: float32 in {0, 1}.
        start_B: int64, flat index of the first pixel of each square.
        excess_BSS: float32, what each target adds to its background.
        donor_masks_BSS: float32 in {0, 1}.
        wanted_B: bool.

    Returns:
        New images and masks.
    """
    side, width = excess_BSS.shape[1], images_BHW.shape[2]
    steps = torch.arange(side, device=images_BHW.device)
    cells_BP = start_B[:, None] + (steps[:, None] * width + steps).flatten()
    images, masks = images_BHW.flatten(1), masks_BHW.flatten(1)
    there = masks.gather(1, cells_BP)
    use_B1 = (wanted_B & (there.sum(dim=1) == 0)).to(images.dtype)[:, None]
    images = images.scatter_add(1, cells_BP, excess_BSS.flatten(1) * use_B1)
    masks = masks.scatter_add(1, cells_BP, donor_masks_BSS.flatten(1) * use_B1)
    return images.view_as(images_BHW), masks.view_as(masks_BHW)


def warp(
    images_BHW: Tensor, masks_BHW: Tensor, valid_BHW: Tensor, angle_B: Tensor, scale_B: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate and scale views about their centre, bilinearly; masks keep what is covered by ``SOFT_MASK_LEVEL`` or more.

    A view that would lose a target other than across its border is returned as it was.

    Args:
        images_BHW: float32.
        masks_BHW: float32 in {0, 1}.
        valid_BHW: bool.
        angle_B: Turn, radians, counter-clockwise as seen.
        scale_B: Magnification.

    Returns:
        New images, masks and valid regions; what comes from outside is reflected and not valid.
    """
    grid = _warp_grid(images_BHW, angle_B, 1 / scale_B)
    stack = torch.stack([images_BHW, masks_BHW, valid_BHW.to(images_BHW.dtype)], dim=1)
    images = functional.grid_sample(stack[:, :1], grid, padding_mode="reflection", align_corners=False)[:, 0]
    soft = functional.grid_sample(stack[:, 1:], grid, padding_mode="zeros", align_corners=False)
    masks, valid = (soft[:, 0] >= SOFT_MASK_LEVEL).to(images.dtype), soft[:, 1] > 1 - 1e-3
    back_grid = _warp_grid(images_BHW, -angle_B, scale_B)
    near = functional.max_pool2d(masks[:, None], 2 * LOST_WITHIN_PX + 1, stride=1, padding=LOST_WITHIN_PX)
    back = functional.grid_sample(
        torch.cat([near, torch.ones_like(near)], dim=1), back_grid, padding_mode="zeros", align_corners=False
    )
    lost = (masks_BHW > 0) & (back[:, 0] == 0) & (back[:, 1] > 1 - 1e-3)
    keep_B11 = lost.flatten(1).any(dim=1)[:, None, None]
    return (
        torch.where(keep_B11, images_BHW, images),
        torch.where(keep_B11, masks_BHW, masks * valid),
        torch.where(keep_B11, valid_BHW, valid),
    )


def blur(images_BHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Blur with the three-tap Gaussian of each sigma (0..0.5 px), borders reflected; sigma 0 changes nothing."""
    side = torch.exp(-0.5 / sigma_B.clamp(min=1e-3) ** 2)
    weight = (side / (1 + 2 * side))[:, None, None]
    for axis, pad in ((1, (0, 0, 1, 1)), (2, (1, 1, 0, 0))):
        wide = functional.pad(images_BHW[:, None], pad, mode="reflect")[:, 0]
        size = images_BHW.shape[axis]
        neighbours = wide.narrow(axis, 0, size) + wide.narrow(axis, 2, size)
        images_BHW = images_BHW + weight * (neighbours - 2 * images_BHW)
    return images_BHW


def keyed_normals(keys_B: Tensor, hw: tuple[int, int]) -> Tensor:
    """Return standard normal values that depend on the key of each sample and the pixel alone.

    One SplitMix64 hash a pixel, its two halves through Box and Muller (1958).

    Args:
        keys_B: int64.
        hw: Size.

    Returns:
        float32 (B, H, W).
    """
    count = torch.arange(1, hw[0] * hw[1] + 1, device=keys_B.device) * _GOLDEN
    bits = keys_B[:, None] + count
    bits = (bits ^ _shift_right(bits, 30)) * _MIX[0]
    bits = (bits ^ _shift_right(bits, 27)) * _MIX[1]
    bits = bits ^ _shift_right(bits, 31)
    # 24 bits each, the most that float32 holds exactly; + 0.5 keeps the logarithm finite
    radius = (_shift_right(bits, 40).to(torch.float32) + 0.5) * 2.0**-24
    turn = ((bits >> 8) & 0xFFFFFF).to(torch.float32) * 2.0**-24
    normals = torch.sqrt(-2 * torch.log(radius)) * torch.cos(2 * math.pi * turn)
    return normals.view(len(keys_B), *hw)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift int64 as if unsigned."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _warp_grid(images_BHW: Tensor, angle_B: Tensor, scale_B: Tensor) -> Tensor:
    """Return the sampling grid of a turn and a scale about the centre, in pixels of equal side."""
    height, width = images_BHW.shape[1:]
    cos, sin, zero = scale_B * torch.cos(angle_B), scale_B * torch.sin(angle_B), torch.zeros_like(angle_B)
    rows = [torch.stack(row, dim=1) for row in ((cos, -sin * height / width, zero), (sin * width / height, cos, zero))]
    return functional.affine_grid(torch.stack(rows, dim=1), [len(angle_B), 1, height, width], align_corners=False)
