"""What ``golden.json`` is about: hashes of draws, noise banks, source tables and samples.

A changed hash means that the same recipe now gives other bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import load_recipe, recipe_names
from synth.plan import Plan
from synth.recipe import CorpusSource, SynthesisRecipe
from synth.render_scenes import TruthRenderer
from synth.rng import Stream, keyed_generator
from synth.sample import TargetKind
from synth.scene import SceneConfig
from synth.scene.config import SequenceConfig, TargetsConfig
from synth.scene.presets import SENSOR_PRESETS
from synth.sources import SourceTable
from synth.store.schema import record_dtype, sample_digest
from tests.support.builders import frame_of, mini_frames, renderer_of_recipe, scene, texture, write_corpus

GOLDEN = Path(__file__).with_name("golden.json")
NUM_SYNTHETIC = 50
ADVICE = "if this is meant, bump ALGO_VERSION in synth/rng.py, note it in CHANGELOG.md and regenerate with `make golden`"

DRAWS = {
    "random": lambda rng: rng.random(64),
    "integers": lambda rng: rng.integers(16_578, size=64),
    "integers_endpoint": lambda rng: rng.integers(-5, 250, size=64, endpoint=True),
    "integers_broadcast": lambda rng: rng.integers(0, (64, 64, 2), size=(8, 8, 3)),
    "integers_scalar": lambda rng: np.array([int(rng.integers(1000 + i)) for i in range(64)]),
    "standard_normal": lambda rng: rng.standard_normal(64),
    "standard_normal_float32": lambda rng: rng.standard_normal(64, dtype=np.float32),
    "choice": lambda rng: np.sort(rng.choice(3672, size=527, replace=False)),
    "choice_few": lambda rng: rng.choice(1_000_000, size=64, replace=False),
    "bytes": lambda rng: np.frombuffer(rng.bytes(64), np.uint8),
}
"""Every way in which ``synth`` takes values from a generator; numpy does not promise them across versions."""


MIXED_RECIPES = tuple(name for name in recipe_names() if name != "scenes")
"""Recipes that mix noise into source frames."""


def golden_values(work: Path) -> dict[str, str]:
    """Return name -> hash of everything golden, in an empty folder."""
    corpus = write_golden_corpus(work / "corpus")
    values = {f"draws/{name}": _sha256(draw(keyed_generator(7, Stream.NOISE, 3))) for name, draw in DRAWS.items()}
    for name in MIXED_RECIPES:
        recipe = load_recipe(name, SynthesisRecipe, [f"num_synthetic={NUM_SYNTHETIC}"])
        on_corpus = {"source": CorpusSource(path=str(corpus)), "split": "trainval"}
        scenes = {"source": SceneConfig(num_frames=5, targets=TargetsConfig(empty_share=0)), "split": None}
        for source, keys, root in (("corpus", on_corpus, corpus), ("scenes", scenes, None)):
            values |= {f"{name}/{source}/{k}": v for k, v in _hashes_of(recipe.model_copy(update=keys), root).items()}
    return values | {f"scenes/{sensor}": _hash_of_scenes(sensor) for sensor in SENSOR_PRESETS}


def _hash_of_scenes(sensor: str) -> str:
    """Hash of a few rendered scenes of a sensor, single and of a sequence, with their raw frames and columns."""
    hashes = []
    for sequence in (None, SequenceConfig(length=4)):
        source = SceneConfig(num_frames=8, frame_hw=(96, 128), sensor=sensor, sequence=sequence, raw=True)
        recipe = SynthesisRecipe(name="scenes", source=source, split=None, canvas_hw=(96, 128), num_synthetic=0)
        renderer = TruthRenderer(recipe, SourceTable((), TargetKind.SCENE, num_rendered=8))
        image, mask, raw = (np.empty(recipe.canvas_hw, kind) for kind in (np.uint8, np.uint8, np.uint16))
        for row in Plan(recipe, 8):
            record = np.zeros(1, record_dtype(recipe.max_targets, recipe.impostor_slots))
            renderer.fill(row, image, mask, raw, record, 0)
            hashes.append(sample_digest(image, mask, record.tobytes(), raw))
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def write_golden_corpus(root: Path) -> Path:
    """Write frames of every kind: canvas-sized and smaller, larger and mixed, 16-bit, and a test frame."""
    mask = np.zeros((120, 90), np.uint8)
    mask[60:62, 40:43] = 1
    deep = frame_of(texture("deep", (120, 90), low=20_000, high=22_000), mask, name="deep", max_level=65535)
    huge = scene("huge", (300, 280), [(5, 5, 8, 9), (290, 270, 293, 274), (150, 20, 151, 21)], level=70, grain=14)
    lists = {"train": ("square", "wide", "small", "huge", "deep"), "val": ("large",), "test": ("held_out",)}
    return write_corpus(root, (*mini_frames(), huge, deep), lists)


def _hashes_of(recipe: SynthesisRecipe, root: Path | None) -> dict[str, str]:
    plan, renderer, table, bank = renderer_of_recipe(recipe, root)
    hashes = {"sources": table.digest(), "noise": bank.digest()}
    first = plan.num_originals
    for index in (0, first - 1, first, first + 3, (first + len(plan)) // 2, len(plan) - 1):
        row = plan.row(index)
        image, mask = np.empty(recipe.canvas_hw, recipe.image_dtype), np.empty(recipe.canvas_hw, np.uint8)
        record = np.zeros(1, record_dtype(recipe.max_targets))
        renderer.record(*renderer.draw(row, renderer.generator(row), image, mask), record, 0)
        hashes[f"sample {index}"] = sample_digest(image, mask, record.tobytes()).hex()
    return hashes


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()


def load(path: Path = GOLDEN) -> dict[str, Any]:
    """Return the golden file: ``algo_version``, and ``values`` by name."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
