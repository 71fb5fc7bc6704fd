"""What views do to pixels: warps, blurs, noise that belongs to its key."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from pretrain.view_ops import blur, keyed_normals, stretch_windows, warp


def test_noise_of_a_crop_is_that_piece_of_the_frames_noise():
    torch.manual_seed(0)
    window = torch.rand(1, 32, 32)
    whole = stretch_windows(window, torch.zeros(1, 2), torch.tensor([[100.0, 80.0]]), (100, 80))
    piece = stretch_windows(window, torch.tensor([[13.0, 40.0]]), torch.tensor([[100.0, 80.0]]), (30, 20))
    torch.testing.assert_close(piece, whole[:, 13:43, 40:60])


def test_the_warp_is_the_rotation_and_magnification_it_says():
    image = torch.zeros(1, 41, 41)
    image[0, 20, 28] = 1.0  # 8 px right of the centre
    mask = torch.zeros_like(image)
    mask[0, 18:23, 26:31] = 1.0
    valid = torch.ones(1, 41, 41, dtype=torch.bool)
    images, masks, _ = warp(image, mask, valid, torch.tensor([np.pi / 2]), torch.tensor([1.5]))
    assert np.unravel_index(int(images.argmax()), (41, 41)) == (8, 20)  # counter-clockwise: 12 px above it
    assert 64 <= int(masks.sum()) <= 81  # at 0.25 of the edge's ramp the side of 5 px is 5.5 px, times 1.5: 8.25^2 = 68
    half_turn = warp(image, mask, valid, torch.tensor([np.pi]), torch.tensor([1.0]))
    torch.testing.assert_close(half_turn[0], image.flip(1, 2), atol=1e-5, rtol=0)
    assert torch.equal(half_turn[1], mask.flip(1, 2))


def test_a_warp_never_loses_a_target_but_across_the_border():
    rng = np.random.default_rng(0)
    num, size = 400, 33
    images = torch.from_numpy(rng.random((num, size, size), np.float32))
    masks = torch.zeros(num, size, size)
    at = rng.integers(10, 23, size=(num, 2))
    masks[np.arange(num), at[:, 0], at[:, 1]] = 1.0
    valid = torch.ones(num, size, size, dtype=torch.bool)
    angle, scale = (torch.from_numpy(rng.uniform(*ends, num).astype(np.float32)) for ends in ((-0.26, 0.26), (0.8, 1.2)))
    new_images, new_masks, new_valid = warp(images, masks, valid, angle, scale)
    assert (new_masks.sum(dim=(1, 2)) >= 1).all()
    kept = (new_images == images).all(dim=2).all(dim=1)
    assert 0 < int(kept.sum()) < 40 and torch.equal(new_masks[kept], masks[kept])  # 1-px targets vanish in a few per cent
    assert new_valid[kept].all()


def test_the_blur_is_the_gaussian_it_says_and_keeps_the_sum():
    image = torch.zeros(2, 15, 15)
    image[:, 7, 7] = 1.0
    blurred = blur(image, torch.tensor([0.0, 0.5]))
    assert torch.equal(blurred[0], image[0])
    expected = ndimage.gaussian_filter1d(np.eye(15)[7], 0.5, radius=1)
    np.testing.assert_allclose(blurred[1].numpy(), np.outer(expected, expected), atol=1e-6)


def test_keyed_normals_are_normal_and_belong_to_key_and_pixel():
    keys = torch.tensor([1, 2, -(2**62)])
    values = keyed_normals(keys, (200, 300))
    flat = values.flatten(1).double().numpy()
    assert np.abs(flat.mean(axis=1)).max() < 4 / np.sqrt(60_000) and np.abs(flat.std(axis=1) - 1).max() < 4 / np.sqrt(120_000)
    assert np.abs((flat**4).mean(axis=1) - 3).max() < 4 * np.sqrt(96 / 60_000)
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 4 / np.sqrt(60_000)
    assert abs(np.corrcoef(flat[0, :-1], flat[0, 1:])[0, 1]) < 4 / np.sqrt(60_000)
    assert torch.equal(keyed_normals(keys[1:2], (200, 300))[0], values[1])
