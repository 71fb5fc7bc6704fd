"""How large and how long: measured on a few samples of the plan itself."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synth.job import make_renderer
from synth.noise import NoiseBank
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.sources import SourceTable
from synth.store.codec import encode_chunk
from synth.store.schema import record_dtype

NUM_PROBES = 32
COLUMN_BYTES = 200
"""Stored bytes of a sample's columns, about; the digest's 32 do not compress."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Size and time of a store.

    Attributes:
        num_bytes: Bytes on disk.
        seconds: Time of one worker.
    """

    num_bytes: float
    seconds: float


def estimate_store(recipe: SynthesisRecipe, table: SourceTable, bank: NoiseBank, plan: Plan, root: Path | None) -> Estimate:
    """Render and encode a few samples, spread over the plan.

    Args:
        recipe: What would be made.
        table: Its source frames.
        bank: Its noise windows.
        plan: Its samples.
        root: Folder of the source frames, or None for generated ones.
    """
    renderer = make_renderer(recipe, table, bank, root)
    image, mask = np.empty(recipe.canvas_hw, recipe.image_dtype), np.empty(recipe.canvas_hw, np.uint8)
    raw = np.empty(recipe.canvas_hw, np.uint16) if recipe.keeps_raw else None
    records = np.zeros(1, record_dtype(recipe.max_targets, recipe.impostor_slots))
    probes = np.unique(np.linspace(0, len(plan) - 1, min(NUM_PROBES, len(plan))).astype(int)).tolist()
    num_bytes, durations = 0, []
    for index in probes:
        started = time.perf_counter()
        renderer.fill(plan.row(index), image, mask, raw, records, 0)
        num_bytes += sum(len(encode_chunk(array)) for array in (image, mask, raw) if array is not None)
        durations.append(time.perf_counter() - started)
    seconds = statistics.median(durations)  # the first of a kind compiles and fills caches
    per_sample = num_bytes / len(probes) + COLUMN_BYTES
    return Estimate(per_sample * len(plan), seconds * len(plan))
