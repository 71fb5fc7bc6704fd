"""The block codec: JPEG's arithmetic without its file format."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from synth.scene.codec import _COSINES, code_blocks, quantisation_steps


def picture(hw=(96, 120)):
    rng = np.random.default_rng(5)
    levels = gaussian_filter(rng.standard_normal(hw), 2.0) * 150.0 + 120.0 + rng.normal(0.0, 6.0, hw)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def by_pillow(grey, quality):
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).astype(int)


def test_the_cosines_are_the_orthonormal_dct():
    k, n = np.mgrid[:8, :8]
    exact = np.where(k == 0, np.sqrt(1 / 8), 0.5) * np.cos((2 * n + 1) * k * np.pi / 16)
    np.testing.assert_array_equal(_COSINES, np.rint(exact * 2**14))


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 100])
def test_steps_are_those_of_pillow(quality):
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        np.testing.assert_array_equal(quantisation_steps(quality).ravel(), image.quantization[0])


@pytest.mark.parametrize(("quality", "share"), [(10, 0.05), (50, 0.12), (75, 0.2), (90, 0.3), (100, 0.2)])
def test_levels_are_nearly_those_of_libjpeg(quality, share):
    """Measured 2, 6, 11, 20 and 12 % of the pixels: blocks with a coefficient next to a tie. A wrong table or scale differs
    in most pixels."""
    apart = np.abs(code_blocks(picture(), quality).astype(int) - by_pillow(picture(), quality))
    assert (apart > 0).mean() < share and apart.mean() < 0.5


def test_flat_frames_stay_flat_and_odd_sides_fit():
    for level in (0, 77, 255):
        coded = code_blocks(np.full((13, 21), level, np.uint8), 50, (3, 6))
        assert np.ptp(coded) == 0 and abs(int(coded[0, 0]) - level) <= 1, "a mean has steps of 16 / 8 levels at quality 50"
    assert code_blocks(picture((65, 71)), 30).shape == (65, 71)


def test_the_origin_moves_the_grid_of_blocks():
    """A frame cut out of a coded one looks as if coded with the grid where it was, but for blocks the cut goes through."""
    whole = picture((96, 96))
    cut = code_blocks(whole, 20)[3:, 6:]
    np.testing.assert_array_equal(code_blocks(whole[3:, 6:].copy(), 20, (3, 6))[5:85, 2:82], cut[5:85, 2:82])
    steps = np.abs(np.diff(code_blocks(whole, 10, (0, 3)).astype(int), axis=1)).mean(axis=0)
    assert steps[4::8].mean() > 1.5 * np.delete(steps, np.s_[4::8]).mean(), "edges of blocks stand at columns 5, 13, ..."
