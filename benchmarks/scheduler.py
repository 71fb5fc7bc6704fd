"""What a shard costs beyond its pixels: 100,000 empty shards through the submission loop of synth.generate.

Two local worker processes, as a real run has; the scheduler lives in this process, whose memory is read at eleven points.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from unittest import mock

from empty_shard import write_empty_shard
from harness import Benchmark, Clock, memory_mb

import synth.generate
from pipelines.cluster import open_client
from pipelines.config import load_recipe
from synth.job import ShardResult
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.scan import scan_sources
from synth.store.layout import create_store
from synth.store.manifest import Manifest

NUM_WORKERS = 2
NUM_POINTS = 10


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("scheduler", __doc__ or "")
    num_shards = 2_000 if bench.quick else 100_000
    with tempfile.TemporaryDirectory() as folder, open_client("local", NUM_WORKERS) as client:
        store = Path(folder) / "empty.zarr"
        _lay_out(store, num_shards)
        points: list[float] = []
        num_done = 0

        def on_done(result: ShardResult) -> None:
            nonlocal num_done
            num_done += 1
            if num_done % (num_shards // NUM_POINTS) == 0:
                points.append(_settled_memory_mb())

        before = _settled_memory_mb()
        with mock.patch.object(synth.generate, "write_shard", write_empty_shard), Clock() as clock:
            outcome = synth.generate.generate(store, range(num_shards), client=client, on_done=on_done)
        assert outcome.num_written == num_done == num_shards and not outcome.failures, outcome
    bench.section(f"{num_shards} empty shards, {NUM_WORKERS} local worker processes")
    bench.row("wall time a shard", 1000 * clock.wall_s / num_shards, "ms", "<= 3")
    bench.row("CPU time a shard of the launching process", 1000 * clock.cpu_s / num_shards, "ms")
    bench.section("resident memory of the launching process, scheduler included")
    bench.row("before the first shard", before, "MB")
    for number, point in enumerate(points, start=1):
        bench.row(f"after {number * (num_shards // NUM_POINTS)} shards", point, "MB")
    growth = (points[-1] - points[0]) * 1000 / (num_shards * (1 - 1 / NUM_POINTS))
    bench.row("growth from the first of these points to the last", growth, "kB/shard", "flat: 0")
    bench.finish()
    return 0


def _lay_out(store: Path, num_shards: int) -> None:
    """Create a store of one-sample shards from a few small rendered frames."""
    settings = ["source.num_frames=8", "source.frame_hw=[64, 64]", "canvas_hw=[64, 64]", "store.shard_images=1"]
    recipe = load_recipe("demo", SynthesisRecipe, [*settings, "num_synthetic=8"])
    table, bank = scan_sources(recipe, threads=1, progress=lambda done, total: None)
    recipe = recipe.model_copy(update={"num_synthetic": num_shards - len(table.frames)})
    manifest = Manifest.of(recipe, table, None, bank, len(Plan(recipe, table.targets_per_frame())))
    create_store(store, manifest.shape, bank, manifest.encode())
    assert manifest.shape.num_shards == num_shards


def _settled_memory_mb() -> float:
    """Return the resident memory once what is garbage has been collected."""
    gc.collect()
    return memory_mb("VmRSS")


if __name__ == "__main__":
    sys.exit(main())
