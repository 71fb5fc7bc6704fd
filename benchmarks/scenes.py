"""How fast scenes are rendered: recipe scenes, from nothing into committed, checksummed shards, at two sizes.

One process (throughput, where the time goes, memory while shard follows shard), and plain numpy and scipy doing part of the
same beside it. Needs 1 GB free where temporary files go (TMPDIR), which must be a disk: on a memory file system fsync costs
nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from harness import Benchmark, Clock, memory_mb
from naive_scenes import write_naive_shard
from stages import SCENE_STAGES, measured_stages

from pipelines.config import load_recipe
from synth.job import Job
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.scan import scan_sources
from synth.store.files import sync_path
from synth.store.layout import create_store
from synth.store.manifest import Manifest

GOALS = {256: ">= 1000", 512: ">= 250"}


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("scenes", __doc__ or "")
    with tempfile.TemporaryDirectory() as folder:
        memory(bench, Path(folder), num_shards=3 if bench.quick else 12)  # first: a peak is that of the process so far
        for side in GOALS:
            throughput(bench, Path(folder), side, num_shards=1 if bench.quick else 3, repeats=1 if bench.quick else 3)
            where_time_goes(bench, Path(folder), side, num_shards=1 if bench.quick else 2)
            naive(bench, Path(folder), side)
    bench.finish()
    return 0


def throughput(bench: Benchmark, folder: Path, side: int, num_shards: int, repeats: int) -> None:
    """Time whole shards after a first one, which compiles; textures of later blocks are in the time."""
    job = begun(folder / f"rate-{side}.zarr", side, 1 + num_shards * repeats)
    num = len(job.shape.samples_of(0))
    bench.section(f"{side}x{side}: {num_shards} shards of {num} after a first one, {repeats} times")
    job.write_shard(0)
    cpu_rates, wall_rates = [], []
    for repeat in range(repeats):
        sync_path(folder)
        with Clock() as clock:
            for shard in range(1 + repeat * num_shards, 1 + (repeat + 1) * num_shards):
                job.write_shard(shard)
        cpu_rates.append(num * num_shards / clock.cpu_s)
        wall_rates.append(num * num_shards / clock.wall_s)
    for unit, rates in (("CPU-s", cpu_rates), ("s", wall_rates)):
        what, median = f"{side}x{side} scenes into uint8 zarr shards", statistics.median(rates)
        bench.row(what, median, f"frames/{unit}", GOALS[side], lowest=min(rates), highest=max(rates))


def where_time_goes(bench: Benchmark, folder: Path, side: int, num_shards: int) -> None:
    """Charge the time of some shards to the stages of the library."""
    bench.section(f"{side}x{side}: where it goes (shares of the wrapped stages; a run of its own)")
    job = begun(folder / f"stages-{side}.zarr", side, 1 + num_shards)
    job.write_shard(0)
    with measured_stages(SCENE_STAGES) as stages:
        for shard in range(1, 1 + num_shards):
            job.write_shard(shard)
    for stage, cpu_share, wall_share in stages.shares():
        bench.row(stage, cpu_share, "% of CPU", percent_of_wall=wall_share)


def naive(bench: Benchmark, folder: Path, side: int) -> None:
    """Time the plain chain on one shard of its own."""
    num_frames = 64 if bench.quick else 512 * 256 // side
    write_naive_shard(folder / f"warm-{side}", (side, side), 8)
    with Clock() as clock:
        write_naive_shard(folder / f"naive-{side}", (side, side), num_frames)
    note = "one background class, no impostors, no truth, no checksums, no fsync"
    bench.row(f"{side}x{side}, plain numpy and scipy", num_frames / clock.cpu_s, "frames/CPU-s", note=note)


def memory(bench: Benchmark, folder: Path, num_shards: int) -> None:
    """Watch the resident memory while shard follows shard, each with textures of its own."""
    bench.section(f"256x256: resident memory over {num_shards} shards")
    job = begun(folder / "memory.zarr", 256, num_shards)
    resident = []
    for shard in range(num_shards):
        job.write_shard(shard)
        resident.append(memory_mb("VmRSS"))
    bench.row("after the third shard", resident[2], "MB")
    bench.row("after the last", resident[-1], "MB", "flat")
    bench.row("peak", memory_mb("VmHWM"), "MB", "< 600")


def begun(store: Path, side: int, num_shards: int) -> Job:
    """Lay out a store of whole shards and return the job that writes them."""
    flags = [f"source.frame_hw=[{side},{side}]", f"canvas_hw=[{side},{side}]"]
    shard_images = load_recipe("scenes", SynthesisRecipe, flags).shard_images()
    recipe = load_recipe("scenes", SynthesisRecipe, [*flags, f"source.num_frames={num_shards * shard_images}"])
    table, bank = scan_sources(recipe, threads=1, progress=lambda done, total: None)
    manifest = Manifest.of(recipe, table, None, bank, len(Plan(recipe, table.targets_per_frame())))
    create_store(store, manifest.shape, bank, manifest.encode())
    return Job(store)


if __name__ == "__main__":
    sys.exit(main())
