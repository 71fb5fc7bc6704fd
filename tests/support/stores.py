"""Small stores, made through the library, and ways to look at and damage their files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from synth.generate import generate
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.store.finalize import finalize_store
from synth.store.layout import create_store
from synth.store.manifest import Manifest
from tests.support.builders import recipe_of, scan, scene, write_corpus, write_mini_corpus

SHARD_IMAGES = 7
PASSES = [{"alpha": 0.1, "side": 2}, {"alpha": 0.3, "side": 8}]


def small_recipe(corpus: Path, **keys: Any) -> SynthesisRecipe:
    """Return the recipe of :func:`finished_store`: 4 originals and 2 x 28 copies in 9 shards of 7, the last of 4."""
    settings = {"split": "trainval", "passes": PASSES, "store": {"shard_images": SHARD_IMAGES}} | keys
    return recipe_of(corpus, **settings)


def begun_store(path: Path, recipe: SynthesisRecipe, corpus: Path | None) -> Manifest:
    """Create a store and write none of its shards."""
    table, bank = scan(recipe)
    manifest = Manifest.of(recipe, table, corpus, bank, len(Plan(recipe, table.targets_per_frame())))
    create_store(path, manifest.shape, bank, manifest.encode())
    return manifest


def write_shards(path: Path, shards: Sequence[int] | None = None) -> None:
    """Write shards of a store in this process, all of them by default."""
    todo = range(Manifest.load(path).shape.num_shards) if shards is None else shards
    outcome = generate(path, todo, client=None)
    assert not outcome.failures, outcome.failures


def finished_store(folder: Path, **keys: Any) -> Path:
    """Make a corpus and a complete store of it below a folder; keys go to the recipe."""
    corpus = write_mini_corpus(folder / "corpus")
    path = folder / "finished.zarr"
    begun_store(path, small_recipe(corpus, **keys), corpus)
    write_shards(path)
    finalize_store(path)
    return path


def deep_corpus(root: Path) -> Path:
    """Make a folder of a 14-bit sensor's frames in 16-bit files, none like another: a to d train, v validates, t and u test."""
    lists = {"train": ("a", "b", "c", "d"), "val": ("v",), "test": ("t", "u")}
    frames = [
        scene(name, (64, 64), [(5 + 6 * i, 8, 9 + 6 * i, 12)], level=5800, grain=800, peak=12800, max_level=16383)
        for i, name in enumerate("abcdvtu")
    ]
    return write_corpus(root, frames, lists)


def deep_store(path: Path, corpus: Path, split: str = "train") -> Path:
    """Make a store of the untouched frames of :func:`deep_corpus`, in the order of their ids, at full range."""
    recipe = small_recipe(corpus, split=split, source={"max_level": 16383}, image_dtype="uint16", num_synthetic=0)
    begun_store(path, recipe, corpus)
    write_shards(path)
    finalize_store(path)
    return path


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that is filled once a test run, whichever of its processes comes first.

    Args:
        factory: Of temporary folders.
        name: Of the folder.
        make: Fills it.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".made").exists():
            make(folder)
            (folder / ".made").touch()
    return folder


def copy_of(store: Path, folder: Path) -> Path:
    """Copy a store, to damage the copy."""
    return Path(shutil.copytree(store, folder / "copy.zarr", symlinks=True))


def file_hashes(store: Path) -> dict[str, str]:
    """Return the sha256 of every file of a store but its locks, by relative path."""
    files = (path for path in sorted(store.rglob("*")) if path.is_file() and path.parent.name != "locks")
    return {path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def flip_bit(path: Path, bit: int | None = None) -> None:
    """Flip one bit of a file, by default in the middle."""
    data = bytearray(path.read_bytes())
    at = len(data) * 4 if bit is None else bit
    data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(data)


def exchange(left: Path, right: Path) -> None:
    """Exchange two files."""
    kept = left.read_bytes()
    left.write_bytes(right.read_bytes())
    right.write_bytes(kept)


def rendered_store(folder: Path) -> Path:
    """Write a store of four scenes without a real frame into a folder."""
    source = {"kind": "scenes", "num_frames": 4, "frame_hw": (64, 64), "targets": {"empty_share": 0}}
    path = folder / "rendered.zarr"
    begun_store(path, recipe_of(source=source, num_synthetic=0), None)
    write_shards(path)
    finalize_store(path)
    return path
