"""Every frame counted once: canonical counts, HSE-r, curves, the legacy mode asked for, and the fingerprints of the frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finetune.metrics import CurveTally, HseTally, LegacyTally, NativeTally
from finetune.metrics.inputs import as_probability
from pipelines.score_inputs import Map, Predictions
from pipelines.score_truth import Truth, TruthFrame
from synth.corpora import Fingerprints, thumbnail
from synth.sample import FloatImage


@dataclass(slots=True)
class Counts:
    """What one pass over the frames gives.

    Attributes:
        native: Canonical counts; empty when maps are not at native size, which only a legacy mode may have.
        hse: Counts of HSE-r, over the same frames.
        curves: Counts of the curves, over the same frames.
        legacy: Counts of the legacy mode asked for.
        num_binary: Frames whose map holds nothing but 0 and 1.
        highest: Highest probability of all maps.
        hashes: Hash of the pixels of each frame, in id order.
        thumbnails: Thumbnail of each frame, in id order.
    """

    native: NativeTally
    hse: HseTally
    curves: CurveTally
    legacy: LegacyTally | None
    num_binary: int = 0
    highest: float = 0.0
    hashes: list[str] = field(default_factory=list)
    thumbnails: list[FloatImage] = field(default_factory=list)

    def add(self, frame_id: str, values: Map, truth: TruthFrame) -> None:
        """Count one frame.

        Args:
            frame_id: Its id.
            values: Its map.
            truth: What it is scored against.

        Raises:
            SourceError: The map cannot be used or has the wrong size.
        """
        probability: Any = as_probability(values, frame_id)
        self.highest = max(self.highest, float(probability.max()))
        self.num_binary += bool(np.all((probability == 0) | (probability == 1)))
        if self.legacy is not None:
            self.legacy.update(probability, truth.mask_levels, frame_id)
        if self.legacy is None or probability.shape == truth.mask.shape:
            self.native.update(probability, truth.mask, frame_id, scr=truth.scr)
            self.hse.update(probability, truth.mask, frame_id)
            self.curves.update(probability, truth.mask, frame_id)
        self.hashes.append(truth.pixels_sha256)
        self.thumbnails.append(thumbnail(truth.frame))

    def fingerprints(self, ids: tuple[str, ...]) -> Fingerprints:
        """Return the fingerprints of the frames counted, for the search for near duplicates."""
        return Fingerprints("scored", ids, tuple(self.hashes), np.array(self.thumbnails, np.float32))

    @property
    def is_native_complete(self) -> bool:
        """Whether every frame came at native size, so that canonical scores exist."""
        return len(self.native) == len(self.hashes)


def count_frames(
    truth: Truth, predictions: Predictions, counts: Counts, advance: Callable[[int], None], should_stop: Callable[[], bool]
) -> None:
    """Read and count every frame, in id order, until told to stop.

    Args:
        truth: Frames and masks.
        predictions: Maps.
        counts: Counted into.
        advance: Called with 1 after each frame.
        should_stop: Asked before each frame.

    Raises:
        SourceError: A file cannot be used or a map has the wrong size.
    """
    for frame_id in truth.ids:
        if should_stop():
            return
        counts.add(frame_id, predictions.read(frame_id), truth.read(frame_id))
        advance(1)
