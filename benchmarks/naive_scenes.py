"""A rendered frame as one would write it with plain numpy and scipy: the yardstick of scenes.py.

One background class (a power-law field with broken cloud before a gradient), one or two blobs solved for their ratio, camera
noise with a fixed pattern, a 14-bit converter, linear gain control; no impostors, no truth columns, no sub-pixel integration
of the mask, no checksums, no promise about bytes. What it does, scenes.py does too, and more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft
import zarr
from scipy import ndimage
from zarr.codecs import BytesCodec, ZstdCodec

GAIN_DN_PER_K, OFFSET_DN, NETD_DN = 100.0, 6000.0, 4.0
SUPERSAMPLING = 4


class NaiveCamera:
    """Fixed pattern, transfer function and spectrum of one size, made once."""

    def __init__(self, hw: tuple[int, int], rng: np.random.Generator) -> None:
        self.hw, self.rng = hw, rng
        self.pattern = rng.normal(0.0, 0.4 * NETD_DN, hw)
        self.rows, self.columns = rng.normal(0.0, 0.25 * NETD_DN, (hw[0], 1)), rng.normal(0.0, 0.25 * NETD_DN, (1, hw[1]))
        grid = (2 * hw[0], 2 * hw[1])
        f_row, f_col = np.fft.fftfreq(grid[0])[:, None], np.fft.rfftfreq(grid[1])[None, :]
        squared = f_row**2 + f_col**2
        blur = np.exp(-2.0 * np.pi**2 * 0.45**2 * squared) * np.sinc(f_row) * np.sinc(f_col)
        self.amplitude = ((1.0 / 256.0**2 + squared) ** (-3.0 / 4.0) * blur).astype(np.float32)

    def clutter(self) -> npt.NDArray[np.float32]:
        """Draw a field on a grid of twice the side and crop it."""
        shape = self.amplitude.shape
        spectrum = self.rng.standard_normal(shape, np.float32) + 1j * self.rng.standard_normal(shape, np.float32)
        field = scipy.fft.irfft2(spectrum * self.amplitude)[: self.hw[0], : self.hw[1]]
        return np.asarray((field - field.mean()) / field.std(), np.float32)

    def background(self) -> npt.NDArray[np.float32]:
        """Return broken cloud before a gradient, raw levels."""
        height = self.clutter()
        cover = np.clip((height - 0.2) / 0.6, 0.0, 1.0)
        sky = np.linspace(0.0, 3.0, self.hw[0], dtype=np.float32)[:, None]
        return np.asarray(OFFSET_DN + GAIN_DN_PER_K * (sky + 6.0 * cover * cover * (3.0 - 2.0 * cover)), np.float32)

    def expose(self, signal: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
        """Add noise and pattern, clip and round."""
        noisy = signal + self.rng.normal(0.0, NETD_DN, self.hw) + self.pattern + self.rows + self.columns
        return np.clip(np.rint(noisy), 0, 16_383).astype(np.uint16)

    def frame(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Render a view and its mask."""
        signal, mask = self.background(), np.zeros(self.hw, np.uint8)
        for _ in range(int(self.rng.integers(1, 3))):
            stamp = blob(self.rng.uniform(-0.5, 0.5), self.rng.uniform(-0.5, 0.5), self.rng.uniform(0.45, 2.0))
            half = stamp.shape[0] // 2
            row, col = (int(self.rng.integers(half + 20, side - half - 20)) for side in self.hw)
            window = signal[row - half - 20 : row + half + 21, col - half - 20 : col + half + 21]
            inside = stamp >= 0.35
            ring = np.ones(window.shape, bool)
            ring[20:-20, 20:-20] = ~ndimage.binary_dilation(inside, np.ones((3, 3)), iterations=3)
            sigma = np.sqrt(window[ring].var() + 1.3 * NETD_DN**2)
            window[20:-20, 20:-20] += np.exp(self.rng.uniform(0.0, np.log(20.0))) * sigma / stamp[inside].mean() * stamp
            mask[row - half : row + half + 1, col - half : col + half + 1] |= inside
        raw = self.expose(signal)
        low, high = np.percentile(raw, (0.5, 99.5))
        return np.clip(np.rint((raw - low) * (255.0 / max(high - low, 60.0))), 0, 255).astype(np.uint8), mask


def blob(row: float, col: float, sigma_px: float) -> npt.NDArray[np.float64]:
    """Return a Gaussian of unit peak, averaged over sub-pixels."""
    side = 2 * int(4.5 * sigma_px + 1.0) + 1
    axis = (np.arange(side * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5 - side // 2
    by_row, by_col = np.exp(-0.5 * ((axis - row) / sigma_px) ** 2), np.exp(-0.5 * ((axis - col) / sigma_px) ** 2)
    fine = by_row[:, None] * by_col[None, :]
    stamp = fine.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING).mean(axis=(1, 3))
    return np.asarray(stamp / stamp.max())


def write_naive_shard(path: Path, hw: tuple[int, int], num_frames: int) -> None:
    """Render frames and write them as one shard each of images and masks with stock zarr.

    Args:
        path: Folder to make.
        hw: Rows and columns of a frame.
        num_frames: Frames of the shard.
    """
    camera = NaiveCamera(hw, np.random.default_rng(0))
    images, masks = np.empty((num_frames, *hw), np.uint8), np.empty((num_frames, *hw), np.uint8)
    for index in range(num_frames):
        images[index], masks[index] = camera.frame()
    for name, values in (("image", images), ("mask", masks)):
        array = zarr.create_array(
            path / name, shape=values.shape, chunks=(1, *hw), shards=values.shape, dtype=np.uint8,
            serializer=BytesCodec(), compressors=ZstdCodec(level=1),
        )  # fmt: skip
        array[:] = values
