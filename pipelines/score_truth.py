"""The ground truth of a score: which frames, their masks and SCR, and how far the split is known elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.corpora import FrameRef, MaskScale, compare, fingerprint, open_corpus
from synth.corpora.decode import decode_levels, read_bytes
from synth.corpora.families import find_lists, read_family
from synth.corpora.leakage import Fingerprints
from synth.corpora.lists import hash_ids
from synth.errors import FoundryError, SourceError
from synth.sample import BoolMask, Frame
from synth.targets import MEASURES, measure_table

_SCR = MEASURES.index("scr_view")


@dataclass(frozen=True, slots=True, eq=False)
class TruthFrame:
    """What one frame is scored against.

    Attributes:
        mask: bool (H, W).
        mask_levels: uint8 (H, W), the levels of its mask file, which legacy modes treat each in its own way.
        scr: float64 (n,), SCR of each target in raster order of first pixels.
        frame: The frame.
        pixels_sha256: Hash of its pixels.
    """

    mask: BoolMask
    mask_levels: npt.NDArray[np.uint8]
    scr: npt.NDArray[np.float64]
    frame: Frame
    pixels_sha256: str


class Truth:
    """Frames to be scored.

    Args:
        root: Root folder of the data set.
        split: Split to score; None for the test list where there is one, else every frame.
        layout: Layout of the folder, or None to detect it.
        split_list: Family of lists, or None for the official one.
        mask_scale: How mask levels are read.
        max_level: Level that stands for 1.0 in 16-bit files, or None for the full range.

    Raises:
        SourceError: The data set cannot be used.
    """

    def __init__(
        self,
        root: Path,
        split: str | None,
        *,
        layout: str | None,
        split_list: str | None,
        mask_scale: MaskScale,
        max_level: int | None = None,
    ) -> None:
        self.split, self.max_level = split, max_level
        open_at = partial(open_corpus, root, layout=layout, split_list=split_list, mask_scale=mask_scale, max_level=max_level)
        self.corpus = open_at(split)
        if split is None and self.corpus.test_frames():
            self.split = "test"
            self.corpus = open_at("test")
        self._refs = {ref.id: ref for ref in self.corpus.frames}
        for ref in self.corpus.frames:
            if ref.mask is None and self.corpus.read(ref).mask is None:
                raise SourceError(
                    f"truth {root}: frame {ref.id!r} has no mask; scores need labelled frames (else see README, Evaluate)"
                )

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the frames, sorted."""
        return tuple(sorted(self._refs))

    @property
    def about(self) -> str:
        """What it is, for the reader."""
        lists = f"lists {self.corpus.split_list}" if self.corpus.split_list else "no lists in use"
        return f"{self.corpus.root.name} ({self.corpus.layout}, {lists}), {self.split or 'every frame'}: {len(self._refs)} frames"

    @property
    def ids_sha256(self) -> str:
        """Identity of the list of frames."""
        return hash_ids(self.ids)

    def groups(self) -> list[str] | None:
        """Return the sequence of each frame in id order, or None where frames come singly."""
        names = [self._refs[frame_id].sequence for frame_id in self.ids]
        return [name or frame_id for name, frame_id in zip(names, self.ids, strict=True)] if any(names) else None

    def read(self, frame_id: str) -> TruthFrame:
        """Decode one frame and its mask.

        Raises:
            SourceError: A file is missing or damaged.
        """
        frame, hashes = self.corpus.read_hashed(self._refs[frame_id])
        assert frame.mask is not None
        table = measure_table(np.ascontiguousarray(frame.levels), np.ascontiguousarray(frame.mask), frame.max_level)
        levels = self._mask_levels(frame_id, frame)
        return TruthFrame(frame.mask.astype(bool), levels, table[:, _SCR], frame, hashes.pixels_sha256)

    def trained_elsewhere(self) -> dict[str, int]:
        """Return how many of the frames are training frames of another published list of this folder, by its name."""
        counts: dict[str, int] = {}
        for lists in find_lists(self.corpus.root):
            if lists.name == self.corpus.split_list:
                continue
            ids = read_family(self.corpus.root, lists).ids
            trained = frozenset().union(*(frozenset(ids.get(part, ())) for part in ("train", "trainval", "val")))
            if shared := len(trained & self._refs.keys()):
                counts[lists.name] = shared
        return counts

    def known_parts(self) -> dict[str, tuple[FrameRef, ...]]:
        """Return the frames outside this split and outside the test list, by part: what a detector may have seen."""
        parts = self.corpus.parts() if self.corpus.split_list and self.split else {}
        return {
            part: tuple(ref for ref in refs if ref.id not in self._refs)
            for part, refs in parts.items()
            if part not in ("test", self.split)
        }

    def clean_ids(self, prints: Fingerprints, advance: Callable[[int], Any]) -> tuple[str, ...]:
        """Return the ids without an equal or near-duplicate frame in :meth:`known_parts` (criterion: synth.corpora.leakage).

        Args:
            prints: Fingerprints of the scored frames.
            advance: Called with 1 after each frame read.
        """
        affected: set[str] = set()
        for part, refs in self.known_parts().items():
            affected |= compare(fingerprint(part, self._hashed(refs, advance)), prints).affected_b
        return tuple(frame_id for frame_id in prints.ids if frame_id not in affected)

    def _hashed(self, refs: Iterable[FrameRef], advance: Callable[[int], Any]) -> Iterable[tuple[Frame, str]]:
        for ref in refs:
            frame, hashes = self.corpus.read_hashed(ref)
            yield frame, hashes.pixels_sha256
            advance(1)

    def _mask_levels(self, frame_id: str, frame: Frame) -> npt.NDArray[np.uint8]:
        """Return the grey levels of a strict 8-bit mask file, else 0 and 255."""
        assert frame.mask is not None
        decided = frame.mask * np.uint8(255)
        ref = self._refs[frame_id]
        if ref.mask is None or self.corpus.mask_scale != "strict":
            return decided
        path = self.corpus.root / ref.mask
        try:
            levels = decode_levels(read_bytes(path), path)
        except FoundryError:
            return decided
        return levels if levels.dtype == np.uint8 else decided
