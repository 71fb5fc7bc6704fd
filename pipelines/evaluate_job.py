"""One frame through one detector: what a worker is told, what it does, what it leaves in the folder.

A frame is done when its record ``frames/ID.json`` stands, which is written last and holds the hashes of the frame's maps:
``RULE/ID.png`` (masks, 0 and 255) and ``saliency/ID.png`` or ``log_odds/ID.png`` (16 bits).
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.evaluate_detectors import ClassicalDetector, FrameDetector, RunDetector
from synth.corpora import Corpus, FrameRef, MaskScale, open_corpus
from synth.errors import RefusalError, StoreError
from synth.store.files import read_json, write_durably

RECORDS = "frames"
MAP_LEVELS = 65535
"""Level of a map that stands for 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every frame of a run has in common; plain values, so that it can travel to any worker.

    Attributes:
        data: Root folder of the data set.
        layout: Its layout.
        mask_scale: How masks are read.
        method: Name of the classical method, or of the run.
        settings: Its settings without the name, canonical JSON; for a run the hashes of its recipe and weights.
        rules: Threshold rules to write masks of.
        out: Folder of the results.
        run: Folder of the training run, or None for a classical method.
        max_level: Level that stands for 1.0 in 16-bit files, or None for the full range.
    """

    data: str
    layout: str
    mask_scale: MaskScale
    method: str
    settings: str
    rules: tuple[str, ...]
    out: str
    run: str | None = None
    max_level: int | None = None

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return Path(self.out)

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the sub-folders of maps."""
        return (*self.rules, self.map_name)

    @property
    def map_name(self) -> str:
        """Name of the sub-folder of 16-bit maps."""
        return "saliency" if self.run is None else "log_odds"

    def path(self, kind: str, frame_id: str) -> Path:
        """Return the place of a map."""
        return self.folder / kind / f"{frame_id}.png"


@dataclass(frozen=True, slots=True)
class Predicted:
    """One frame's prediction in memory.

    Attributes:
        files: Name of a sub-folder -> PNG.
        record: What the record says, without the hashes of the files.
    """

    files: dict[str, bytes]
    record: dict[str, Any]


def predict(job: Job, ref: FrameRef) -> Predicted:
    """Run the detector on one frame; writes nothing.

    Raises:
        SourceError: The frame cannot be read.
    """
    corpus, detector = _tools(job)
    frame, hashes = corpus.read_hashed(ref)
    started = time.thread_time()
    found = detector(frame)
    cpu_s = time.thread_time() - started
    levels = np.rint(MAP_LEVELS * found.unit_map.astype(np.float64)).astype(np.uint16)
    masks = {rule: mask * np.uint8(255) for rule, mask in found.masks.items()}
    record = {
        "pixels_sha256": hashes.pixels_sha256,
        "cpu_s": cpu_s,
        "peak": found.peak,
        "thresholds": found.thresholds,
    }
    return Predicted({kind: _png(array) for kind, array in (masks | {job.map_name: levels}).items()}, record)


def write_frame(job: Job, ref: FrameRef) -> bool:
    """Run the detector on one frame and write its maps and record, unless they are there.

    Returns:
        Whether anything was written.

    Raises:
        SourceError: The frame cannot be read.
        StoreError: The disk refuses a file.
    """
    if read_record(job, ref.id) is not None:
        return False
    found = predict(job, ref)
    hashes = {kind: write_durably(job.path(kind, ref.id), [data]) for kind, data in found.files.items()}
    text = json.dumps(found.record | {"sha256": hashes}, indent=1, sort_keys=True)
    write_durably(_record_path(job, ref.id), [text.encode()])
    return True


def read_record(job: Job, frame_id: str) -> dict[str, Any] | None:
    """Return the record of a finished frame, or None when a file is missing or is not what the record says."""
    path = _record_path(job, frame_id)
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = read_json(path)
        hashes = {kind: hashlib.sha256(job.path(kind, frame_id).read_bytes()).hexdigest() for kind in job.maps}
        return record if record["sha256"] == hashes else None
    except (OSError, RefusalError, StoreError, KeyError, TypeError):
        return None


def _record_path(job: Job, frame_id: str) -> Path:
    return job.folder / RECORDS / f"{frame_id}.json"


@lru_cache(maxsize=1)
def _tools(job: Job) -> tuple[Corpus, FrameDetector]:
    """Return what a worker needs for a job; it is made once a process."""
    corpus = open_corpus(job.data, layout=job.layout, mask_scale=job.mask_scale, max_level=job.max_level, require_masks=False)
    if job.run is not None:
        return corpus, RunDetector(Path(job.run))
    return corpus, ClassicalDetector(job.method, job.settings, job.rules)


def _png(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png")
    return buffer.getvalue()
