"""Small hand-made frames, corpora and recipes. Every value is a pure function of its arguments, for ever.

Levels come from SHAKE-256 instead of a numpy distribution: numpy may change those, and golden hashes would move with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from synth.noise import NoiseBank, Reservoir, accept_windows
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.render import Renderer
from synth.sample import Frame, TargetKind
from synth.scan import scan_sources
from synth.sources import SourceRecord, SourceTable, TableReader
from synth.targets import find_targets

CORPUS_SPLITS = {
    "train": ("square", "wide", "small"),
    "val": ("large",),
    "test": ("held_out",),
}
"""The lists of :func:`write_mini_corpus`: 4 frames with 7 targets in trainval, 1 frame in test."""


def texture(seed: str, hw: tuple[int, int], *, low: int = 0, high: int = 255) -> npt.NDArray[np.int64]:
    """Return (H, W) levels spread over low..high, the same for the same seed on any machine and version."""
    raw = np.frombuffer(hashlib.shake_256(seed.encode()).digest(4 * hw[0] * hw[1]), "<u4").reshape(hw)
    return low + raw.astype(np.int64) % (high - low + 1)


def frame_of(levels: npt.ArrayLike, mask: npt.ArrayLike | None = None, *, name: str = "frame", max_level: int = 255) -> Frame:
    """Return a frame of the smallest dtype that holds ``max_level``."""
    dtype = np.uint8 if max_level <= 255 else np.uint16
    return Frame(name, np.array(levels, dtype), max_level, None if mask is None else np.array(mask, np.uint8))


def scene(
    name: str,
    hw: tuple[int, int],
    targets: Sequence[tuple[int, int, int, int]] = (),
    *,
    level: int = 90,
    grain: int = 12,
    peak: int = 200,
    max_level: int = 255,
) -> Frame:
    """Return a quiet frame with bright rectangular targets.

    Args:
        name: Id, and seed of the grain.
        hw: Size.
        targets: Half-open boxes (row0, col0, row1, col1).
        level: Darkest background level.
        grain: Spread of the background; the window variance is about grain^2 / 12.
        peak: Darkest level of a target.
        max_level: Level that stands for 1.0.
    """
    levels, mask = texture(name, hw, low=level, high=level + grain), np.zeros(hw, np.uint8)
    levels += (np.arange(hw[1]) * grain // hw[1])[None, :]  # a slope, so that no turn of the whole frame is a symmetry
    for row0, col0, row1, col1 in targets:
        box = slice(row0, row1), slice(col0, col1)
        levels[box] = texture(f"{name} {row0} {col0}", (row1 - row0, col1 - col0), low=peak, high=peak + 40)
        mask[box] = 1
    return frame_of(levels, mask, name=name, max_level=max_level)


def mini_frames() -> tuple[Frame, ...]:
    """Return the frames of the hand-made corpus: of canvas size, larger, smaller and mixed for a canvas of 64x64."""
    return (
        scene("square", (64, 64), [(10, 12, 13, 15), (40, 50, 42, 53)]),
        scene("wide", (48, 150), [(20, 120, 24, 123), (5, 8, 7, 9)], level=60, grain=20),
        scene("small", (40, 36), [(0, 0, 2, 2)], level=120, grain=8),
        scene("large", (130, 110), [(64, 3, 67, 6), (100, 90, 106, 97)], level=30, grain=16),
        scene("held_out", (64, 64), [(30, 30, 33, 33)], level=75),
    )


def write_corpus(root: Path, frames: Sequence[Frame], lists: Mapping[str, Sequence[str]] | None = None) -> Path:
    """Write frames as images + masks in PNG, with split lists beside them.

    Args:
        root: Folder to make.
        frames: Frames; those without a mask get none.
        lists: Name of a list (train, val, trainval, test) -> ids.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for frame in frames:
        Image.fromarray(frame.levels).save(root / "images" / f"{frame.id}.png")
        if frame.mask is not None:
            Image.fromarray(frame.mask * np.uint8(255)).save(root / "masks" / f"{frame.id}.png")
    for name, ids in (lists or {}).items():
        (root / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
    return root


def write_mini_corpus(root: Path) -> Path:
    """Write :func:`mini_frames` with the lists of :data:`CORPUS_SPLITS`."""
    return write_corpus(root, mini_frames(), CORPUS_SPLITS)


def write_sequences(root: Path, sequences: Mapping[str, Sequence[Frame]]) -> Path:
    """Write frames without masks into one sub-folder a sequence."""
    for name, frames in sequences.items():
        folder = root / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            Image.fromarray(frame.levels).save(folder / f"{frame.id}.png")
    return root


def recipe_of(root: Path | None = None, **keys: Any) -> SynthesisRecipe:
    """Return a small recipe: canvas 64x64, 16-px windows, no lists; ``keys`` as in YAML."""
    defaults: dict[str, Any] = {
        "name": "tiny",
        "split": None,
        "canvas_hw": (64, 64),
        "noise": {"window_px": 16, "stride_px": 16} | keys.pop("noise", {}),
    }
    if root is not None:
        defaults["source"] = {"kind": "corpus", "path": str(root)} | keys.pop("source", {})
    return SynthesisRecipe.model_validate(defaults | keys)


def scan(recipe: SynthesisRecipe, *, threads: int = 1) -> tuple[SourceTable, NoiseBank]:
    """Scan without progress."""
    return scan_sources(recipe, threads=threads, progress=lambda done, total: None)


class FramesInMemory:
    """A frame reader over a list, which remembers what it was asked for."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self.asked: list[int] = []

    def read(self, code: int) -> Frame:
        """Return the frame of a code."""
        self.asked.append(code)
        return self._frames[code]


def table_of(frames: Sequence[Frame], *, noise_std_dn: float = 3.0) -> SourceTable:
    """Return the table of frames that lie in no folder; targets from their masks."""
    records = []
    for frame in frames:
        assert frame.mask is not None
        centres, boxes = find_targets(frame.mask)
        targets = tuple(map(tuple, centres.tolist())), tuple(map(tuple, boxes.tolist()))
        records.append(SourceRecord(frame.id, "", "", "", "", "", "", frame.hw, *targets, noise_std_dn))
    return SourceTable(tuple(records), TargetKind.REAL)


def bank_of(frames: Sequence[Frame], recipe: SynthesisRecipe) -> NoiseBank:
    """Return the noise bank of frames, each its own sequence."""
    reservoir = Reservoir(recipe.seed, recipe.noise.window_px, recipe.noise.max_windows)
    for code, frame in enumerate(frames):
        reservoir.add(0, code, accept_windows([frame], recipe.noise)[0])
    return reservoir.bank()


def renderer_of(frames: Sequence[Frame], recipe: SynthesisRecipe, bank: NoiseBank | None = None) -> tuple[Plan, Renderer]:
    """Return plan and renderer of frames that lie in no folder."""
    table = table_of(frames)
    plan = Plan(recipe, table.targets_per_frame())
    return plan, Renderer(recipe, table, FramesInMemory(frames), bank if bank is not None else bank_of(frames, recipe))


def renderer_of_recipe(recipe: SynthesisRecipe, root: Path | None) -> tuple[Plan, Renderer, SourceTable, NoiseBank]:
    """Scan what a recipe names and return all that rendering needs, as a worker has it."""
    table, bank = scan(recipe)
    plan = Plan(recipe, table.targets_per_frame())
    return plan, Renderer(recipe, table, TableReader(recipe, table, root), bank), table, bank
