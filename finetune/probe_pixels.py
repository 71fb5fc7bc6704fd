"""Features of pixels in a frozen encoder, and which pixels of labelled frames a probe looks at.

Shapes: N pixels, D features, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from finetune.detectors import Detector
from finetune.detectors.base import SMALLEST_PX
from finetune.predict import evaluating
from pretrain.compose.peaks import find_peaks, top_hat
from pretrain.points import sample_maps
from pretrain.runtime.learner import allow_tf32
from pretrain.task import PROBED_STRIDE
from synth.errors import SourceError
from synth.rng import Stream, keyed_uniforms
from synth.sample import Frame
from synth.targets import find_targets

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

TARGET_PIXELS, HARD_PEAKS, RANDOM_PIXELS = 16, 8, 24
"""Pixels taken from each frame: of its targets, of its hard background, of any background (our choice: some 12,000 pixels of the
256 training frames of NUAA, a quarter of them targets)."""
CLEARANCE_PX = 5
"""Least distance of a background pixel from a mask, rows and columns each: targets' light reaches beyond their masks."""
HARD_APART_PX = 8.0
"""Least distance between two hard background pixels (our choice: no two of one cloud edge's brightest spot)."""
_AT_ONCE = 65536
"""Pixels whose features are held at once: 256x256."""


class PixelKind(IntEnum):
    """Why a pixel was taken."""

    CENTRE = 0
    TARGET = 1
    HARD = 2
    RANDOM = 3


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Some pixels of labelled frames.

    Attributes:
        features_ND: float64.
        kinds_N: int64, of :class:`PixelKind`.
    """

    features_ND: FloatArray
    kinds_N: npt.NDArray[np.int64]

    def of(self, *kinds: PixelKind) -> FloatArray:
        """Return the features of pixels of some kinds."""
        return self.features_ND[np.isin(self.kinds_N, kinds)]


class PixelProbe:
    """The frozen encoder of a detector, asked pixel by pixel.

    Args:
        model: The detector, on ``device``; put in ``eval`` mode while it is asked.
        device: Where to compute.
        seed: Seed of the choice of pixels.
    """

    def __init__(self, model: Detector, device: torch.device, seed: int) -> None:
        self._model, self._device, self._seed = model, device, seed

    @torch.no_grad()
    def encode(self, frame: Frame) -> tuple[Tensor, ...]:
        """Return the encoder's maps of a frame at native size, padded by its border values to what the encoder takes; float32."""
        allow_tf32(False)
        levels = torch.from_numpy(frame.image())
        sides = [max(side, SMALLEST_PX) + -max(side, SMALLEST_PX) % self._model.deep_stride for side in frame.hw]
        pad = (0, sides[1] - frame.hw[1], 0, sides[0] - frame.hw[0])
        image_11HW = functional.pad(levels[None, None].to(self._device), pad, mode="replicate")
        with evaluating(self._model):
            return self._model.encode(image_11HW)

    def features(self, maps: tuple[Tensor, ...], places_rc: FloatArray) -> FloatArray:
        """Return the encoder's features at pixels, (N, D): maps up to stride 4, bilinear.

        Args:
            maps: As :meth:`encode` returned them.
            places_rc: float64 (N, 2), rows and columns.
        """
        points = torch.from_numpy(places_rc.astype(np.float32)).to(self._device)[None]
        found = sample_maps(maps, self._model.backbone.strides, points, PROBED_STRIDE)[0]
        return found.cpu().numpy().astype(np.float64)

    def every_pixel(self, frame: Frame) -> Iterator[FloatArray]:
        """Yield the features of all pixels of a frame in raster order, part by part."""
        maps = self.encode(frame)
        width = frame.hw[1]
        for first in range(0, frame.hw[0] * width, _AT_ONCE):
            cells = np.arange(first, min(first + _AT_ONCE, frame.hw[0] * width))
            yield self.features(maps, np.stack([cells // width, cells % width], axis=1).astype(np.float64))

    def sample(self, frames: Iterable[Frame]) -> Pixels:
        """Return a stratified choice of pixels: targets' centres and pixels, peaks of local contrast, any background.

        Args:
            frames: Labelled frames.

        Raises:
            SourceError: A frame has no mask, or no frame has a target.
        """
        features, kinds = [], []
        for frame in frames:
            places, of_kind = self._choose(frame)
            features.append(self.features(self.encode(frame), places))
            kinds.append(of_kind)
        if not any(np.any(part == PixelKind.CENTRE) for part in kinds):
            raise SourceError("frames of a probe: hold no target; give labelled frames with targets")
        return Pixels(np.concatenate(features), np.concatenate(kinds))

    def _choose(self, frame: Frame) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Return rows and columns of the chosen pixels of a frame, and their kinds."""
        if frame.mask is None:
            raise SourceError(f"frame {frame.id}: has no mask, so no probe can learn from it; leave it out of the list")
        mask = torch.from_numpy(frame.mask.astype(np.float32))[None, None]
        is_free = functional.max_pool2d(mask, 2 * CLEARANCE_PX + 1, 1, CLEARANCE_PX)[:, 0] == 0
        levels = torch.from_numpy(frame.image())[None]
        peaks, is_peak = find_peaks(top_hat(levels), is_free, HARD_PEAKS, HARD_APART_PX)
        groups = {
            PixelKind.CENTRE: find_targets(frame.mask)[0],
            PixelKind.TARGET: self._drawn(np.argwhere(frame.mask), frame, PixelKind.TARGET, TARGET_PIXELS),
            PixelKind.HARD: peaks[0][is_peak[0]].numpy(),
            PixelKind.RANDOM: self._drawn(np.argwhere(is_free[0].numpy()), frame, PixelKind.RANDOM, RANDOM_PIXELS),
        }
        kinds = [np.full(len(places), kind, np.int64) for kind, places in groups.items()]
        return np.concatenate(list(groups.values())).astype(np.float64), np.concatenate(kinds)

    def _drawn(self, places: npt.NDArray[np.int64], frame: Frame, kind: PixelKind, count: int) -> npt.NDArray[np.int64]:
        """Return at most ``count`` of some places, by the frame's id alone."""
        name = int.from_bytes(hashlib.sha256(frame.id.encode()).digest()[:8], "little")
        order = np.argsort(keyed_uniforms(self._seed, Stream.SUBSET, np.uint64(name), int(kind), np.arange(len(places))))
        return places[np.sort(order[:count])]
