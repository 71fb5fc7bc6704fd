"""The source frames of a recipe as scanned, and how their pixels are read again by any worker, checked on every read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from synth.corpora import Corpus, FrameRef, open_corpus
from synth.errors import SourceError
from synth.recipe import CorpusSource, SynthesisRecipe, sha256_of_json
from synth.sample import Frame, TargetKind
from synth.scene import SceneConfig, render_scene


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One source frame as scanned; the row of ``sources.frames`` in a manifest.

    Attributes:
        id: Id in its corpus.
        image: Image file below the corpus root; empty for generated frames.
        mask: Mask file below the root; empty for generated frames.
        sequence: Name of its sequence, empty for single frames.
        image_sha256: Hash of the image file.
        mask_sha256: Hash of the mask file.
        pixels_sha256: Hash of the decoded levels.
        hw: Native size.
        centres: (row, col) of each target's centre, in the fitted frame.
        boxes: Half-open bounding box of each target, in the fitted frame.
        noise_std_dn: Median standard deviation of its own quiet windows' fluctuation, DN; the bank's where it has none.
    """

    id: str
    image: str
    mask: str
    sequence: str
    image_sha256: str
    mask_sha256: str
    pixels_sha256: str
    hw: tuple[int, int]
    centres: tuple[tuple[float, float], ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    noise_std_dn: float

    def fitted_hw(self, fit: str, canvas_hw: tuple[int, int]) -> tuple[int, int]:
        """Size the targets are given in: native, or the canvas when frames are resized."""
        return canvas_hw if fit == "resize" else self.hw

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Rebuild a record from its manifest entry."""
        centres = tuple((float(r), float(c)) for r, c in row["centres"])
        boxes = tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in row["boxes"])
        return cls(**(row | {"hw": tuple(row["hw"]), "centres": centres, "boxes": boxes}))


@dataclass(frozen=True, slots=True)
class SourceTable:
    """All source frames of a recipe, in code order.

    Attributes:
        frames: One record a frame; its position is its code.
        target_kind: Whether their targets are real or rendered.
        notes: Human-readable warnings of the scan.
        leakage: What the split guard found, for the manifest; of plates under "plates".
        num_rendered: Number of source frames when they are rendered scenes, which are not listed one by one.
        plates: Id, file and hash of every real frame that may stand behind a rendered scene, in code order.
    """

    frames: tuple[SourceRecord, ...]
    target_kind: TargetKind
    notes: tuple[str, ...] = ()
    leakage: dict[str, Any] = field(default_factory=dict)
    num_rendered: int = 0
    plates: tuple[dict[str, str], ...] = ()

    def targets_per_frame(self) -> npt.NDArray[np.int64] | int:
        """Return the number of targets of each frame, or the number of rendered scenes."""
        return self.num_rendered or np.array([len(f.centres) for f in self.frames], dtype=np.int64)

    def digest(self) -> str:
        """Return the sha256 over the records; see :func:`digest_of_sources`."""
        return digest_of_sources(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the manifest entry."""
        return {
            "target_kind": int(self.target_kind),
            "leakage": self.leakage,
            "frames": [asdict(f) for f in self.frames],
            "num_rendered": self.num_rendered,
            "plates": list(self.plates),
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Rebuild the table from its manifest entry."""
        frames = tuple(SourceRecord.from_json(row) for row in entry["frames"])
        return cls(
            frames,
            TargetKind(entry["target_kind"]),
            leakage=entry["leakage"],
            num_rendered=int(entry.get("num_rendered", 0)),
            plates=tuple(entry.get("plates", ())),
        )

    def id_of(self, code: int) -> str:
        """Return the id of a source frame."""
        return self.frames[code].id if self.frames else f"scene-{code:06d}"


def digest_of_sources(entry: Mapping[str, Any]) -> str:
    """Return the sha256 over a manifest's source entry, file names and folder left out: moving data changes nothing."""
    rows = [{k: v for k, v in row.items() if k not in ("image", "mask")} for row in entry["frames"]]
    rows += [{k: v for k, v in row.items() if k != "image"} for row in entry.get("plates", ())]
    return sha256_of_json(rows)


class FrameReader(Protocol):
    """Reads the frame behind a source code."""

    def read(self, code: int) -> Frame:
        """Return the decoded frame, refusing one that is not what was scanned."""


class TableReader:
    """Reads the frames of a scanned table again, wherever its folder lies now.

    Args:
        recipe: The recipe, whose source says how to read.
        table: The table.
        root: Folder of the corpus; ignored for generated frames.
    """

    def __init__(self, recipe: SynthesisRecipe, table: SourceTable, root: Path | None) -> None:
        self._source, self._seed, self._table = recipe.source, recipe.seed, table
        self._corpus: Corpus | None = None
        if isinstance(self._source, CorpusSource):
            if root is None or not root.is_dir():
                raise SourceError(f"source folder {root}: not found; pass --source DIR with the frames of the manifest")
            source = self._source
            self._corpus = open_corpus(
                root, layout=source.layout, max_level=source.max_level, mask_scale=source.mask_scale, require_masks=False
            )

    def read(self, code: int) -> Frame:
        """Return the frame of a code.

        Raises:
            SourceError: The file is gone, cannot be decoded, or its bytes differ from those scanned.
        """
        record = self._table.frames[code]
        if not isinstance(self._source, CorpusSource):
            frame = render_source_frame(self._source, self._seed, code)
            _expect(f"generated frame {record.id}", record.pixels_sha256, pixels_sha256(frame))
            return frame
        assert self._corpus is not None
        ref = FrameRef(record.id, record.image, record.mask or None, record.sequence)
        frame, hashes = self._corpus.read_hashed(ref)
        _expect(f"source file {self._corpus.root / record.image}", record.image_sha256, hashes.image_sha256)
        _expect(f"source file {self._corpus.root / record.mask}", record.mask_sha256, hashes.mask_sha256 or "")
        return frame


def render_source_frame(source: SceneConfig, seed: int, code: int) -> Frame:
    """Render a source frame that stands for a real one: its view, with its mask."""
    scene = render_scene(source, seed, code)
    return Frame(f"scene-{code:06d}", scene.levels, 255, scene.mask)


def pixels_sha256(frame: Frame) -> str:
    """Return the sha256 over levels and mask of a generated frame."""
    assert frame.mask is not None
    return hashlib.sha256(frame.levels.tobytes() + frame.mask.tobytes()).hexdigest()


def _expect(what: str, expected: str, found: str) -> None:
    if expected != found:
        raise SourceError(
            f"{what}: changed since the store was begun (sha256 {expected[:16]}... then, {found[:16]}... now); "
            "restore the file, or generate into a new store"
        )
