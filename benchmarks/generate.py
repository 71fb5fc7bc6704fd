"""How fast the main job is: preset sirst5k on NUDT-SIRST, from decoded sources into committed, checksummed shards.

One process first (throughput, where the time goes, and the same samples in the published format: an RGB PNG and a mask PNG
each), then one and two dask worker processes over at least 64 shards, with the peak memory of every worker. Needs 3 GB free
where temporary files go (TMPDIR), which must be a disk: on a memory file system fsync costs nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import Benchmark, Clock, memory_mb
from PIL import Image
from stages import measured_stages
from stores import ScannedPreset

from pipelines.cluster import open_client
from synth.generate import generate
from synth.job import Job
from synth.store.files import sync_path
from synth.store.reader import open_store

SHARD_IMAGES = 1024
NUM_FIRST_SHARDS = 8
"""Untimed shards of a dask run: enough for either of two workers to meet nearly every source."""
HUGE_PLAN = 10_000_000


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("generate", __doc__ or "")
    preset = ScannedPreset.sirst5k_on_nudt()
    with tempfile.TemporaryDirectory() as folder:
        one_process(bench, preset, Path(folder), num_shards=3 if bench.quick else 16, repeats=1 if bench.quick else 3)
        where_time_goes(bench, preset, Path(folder), num_shards=3 if bench.quick else 8)
        published_format(bench, preset, Path(folder), num_samples=100 if bench.quick else SHARD_IMAGES)
        dask_workers(bench, preset, Path(folder), num_shards=4 if bench.quick else 64)
    bench.finish()
    return 0


def one_process(bench: Benchmark, preset: ScannedPreset, folder: Path, num_shards: int, repeats: int) -> None:
    """Time whole shards, the first one (which decodes every source and compiles) left out."""
    bench.section(f"one process, {num_shards} shards of {SHARD_IMAGES} after a first one that warms the caches, {repeats} times")
    cpu_rates, wall_rates = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as run:
            job = _warm_job(preset, Path(run) / "one.zarr", 1 + num_shards)
            _settle(folder)
            with Clock() as clock:
                num_written = sum(job.write_shard(shard).num_written for shard in range(1, 1 + num_shards))
        cpu_rates.append(num_written / clock.cpu_s)
        wall_rates.append(num_written / clock.wall_s)
    for kind, rates in (("CPU-s", cpu_rates), ("s", wall_rates)):
        what, median = "uint8 zarr shards, zstd-1 + crc32c, sha256, fsync", statistics.median(rates)
        bench.row(what, median, f"pairs/{kind}", ">= 2800", lowest=min(rates), highest=max(rates))


def where_time_goes(bench: Benchmark, preset: ScannedPreset, folder: Path, num_shards: int) -> None:
    """Charge the time of some shards to the stages of the library."""
    bench.section("where it goes (shares of the wrapped stages; a run of its own)")
    with tempfile.TemporaryDirectory(dir=folder) as run:
        job = _warm_job(preset, Path(run) / "stages.zarr", 1 + num_shards)
        _settle(folder)
        with measured_stages() as stages:
            for shard in range(1, 1 + num_shards):
                job.write_shard(shard)
    for stage, cpu_share, wall_share in stages.shares():
        bench.row(stage, cpu_share, "% of CPU", percent_of_wall=wall_share)


def published_format(bench: Benchmark, preset: ScannedPreset, folder: Path, num_samples: int) -> None:
    """Write the same samples as the released scripts do: one RGB PNG and one mask PNG a sample, no fsync, no checksum."""
    bench.section(f"the same samples in the published format, {num_samples} of them, one process")
    with tempfile.TemporaryDirectory(dir=folder) as run:
        store = Path(run) / "same.zarr"
        job = _warm_job(preset, store, 2 * SHARD_IMAGES)
        with Clock() as shard_clock:
            job.write_shard(1)
        samples = range(SHARD_IMAGES, SHARD_IMAGES + num_samples)
        image, mask = np.empty(job.shape.canvas_hw, np.uint8), np.empty(job.shape.canvas_hw, np.uint8)
        with Clock() as clock:
            for index in samples:
                row = job.plan.row(index)
                job.renderer.draw(row, job.renderer.generator(row), image, mask)
                grey = Image.fromarray(image)
                Image.merge("RGB", (grey, grey, grey)).save(Path(run) / f"{index}.png")
                Image.fromarray(mask * np.uint8(255)).save(Path(run) / f"{index}_mask.png")
        stored = open_store(store, allow_incomplete=True)
        for index in samples[:: max(1, num_samples // 16)]:
            assert np.array_equal(np.asarray(Image.open(Path(run) / f"{index}.png"))[..., 0], stored.images([index])[0])
            assert np.array_equal(np.asarray(Image.open(Path(run) / f"{index}_mask.png")) // 255, stored.masks([index])[0])
    note = "Pillow's default PNG level 6; the published scripts, unmodified, were measured at about 71 pairs/s/core"
    bench.row("RGB PNG + mask PNG, one file each", num_samples / clock.cpu_s, "pairs/CPU-s", note=note)
    bench.row("RGB PNG + mask PNG, one file each", num_samples / clock.wall_s, "pairs/s", note=note)
    bench.row("shards over PNG files, CPU time", SHARD_IMAGES / shard_clock.cpu_s / (num_samples / clock.cpu_s), "x")


def dask_workers(bench: Benchmark, preset: ScannedPreset, folder: Path, num_shards: int) -> None:
    """Time the generate phase with one and two worker processes, and read the peak memory of each."""
    first = min(NUM_FIRST_SHARDS, num_shards)
    num_samples = (first + num_shards) * SHARD_IMAGES
    bench.section(f"dask worker processes: {first} shards in which they decode the sources, then {num_shards} shards timed")
    phases = {count: _generate_phase(preset, folder, num_samples, count, (first, num_shards)) for count in (1, 2)}
    for count, phase in phases.items():
        start_s, timed_s = phase.seconds
        bench.row(f"workers: {count}, the first {first} shards", start_s, "s")
        bench.row(f"workers: {count}, {num_shards} shards", timed_s, "s", pairs_per_s=num_shards * SHARD_IMAGES / timed_s)
    one, two = phases[1].seconds, phases[2].seconds
    bench.row("2 workers over 1", one[1] / two[1], "x", ">= 1.8", with_first_shards=sum(one) / sum(two))
    few = _generate_phase(preset, folder, 2 * SHARD_IMAGES, 1, (1, 1))
    huge = _generate_phase(preset, folder, HUGE_PLAN, 1, (1, 1))
    bench.section("peak resident memory of a worker process")
    bench.row(f"N = {2 * SHARD_IMAGES}", few.peak_mb, "MB", "< 600")
    bench.row(f"N = {num_samples}, 1 worker", phases[1].peak_mb, "MB", "< 600")
    bench.row(f"N = {num_samples}, the larger of 2 workers", phases[2].peak_mb, "MB", "< 600")
    bench.row(f"N = {HUGE_PLAN}, 2 shards of it made", huge.peak_mb, "MB", "< 600")


@dataclass(frozen=True, slots=True)
class Phase:
    """A generation on a fresh cluster: seconds of each range of shards, and the highest peak memory of a worker, MB."""

    seconds: tuple[float, ...]
    peak_mb: float


def _generate_phase(
    preset: ScannedPreset, folder: Path, num_samples: int, num_workers: int, num_shards: tuple[int, ...]
) -> Phase:
    """Make shards range after range; the start of the cluster is not in the time."""
    with tempfile.TemporaryDirectory(dir=folder) as run, open_client("local", num_workers) as client:
        assert client is not None
        store = Path(run) / "dask.zarr"
        preset.lay_out(store, num_samples)
        seconds, first = [], 0
        for count in num_shards:
            _settle(folder)
            started = time.perf_counter()
            outcome = generate(store, range(first, first + count), client=client)
            seconds.append(time.perf_counter() - started)
            assert not outcome.failures and outcome.num_written == count * SHARD_IMAGES, outcome
            first += count
        return Phase(tuple(seconds), max(client.run(memory_mb, "VmHWM").values()))


def _warm_job(preset: ScannedPreset, store: Path, num_shards: int) -> Job:
    """Lay out a store of whole shards and make its first one, which touches every source."""
    preset.lay_out(store, num_shards * SHARD_IMAGES)
    job = Job(store)
    job.write_shard(0)
    return job


def _settle(folder: Path) -> None:
    """Let the disk finish what earlier runs left, so that no run pays for another."""
    sync_path(folder)
    time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
