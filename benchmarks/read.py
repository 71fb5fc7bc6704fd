"""How fast a store is read: random batches of 64 through our reader and through stock zarr, files in the page cache.

Values are compared before anything is timed. Rates are per CPU second of the whole process, helper threads of zarr included.
Stock zarr is asked in both of its ways: a batch at once (``oindex``), and one index at a time, which is the faster one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from harness import Benchmark, Clock
from stores import ScannedPreset

from synth.generate import generate
from synth.store.reader import open_store

BATCH = 64
Batch = npt.NDArray[np.int64]


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("read", __doc__ or "")
    num_shards, num_batches, repeats = (2, 10, 1) if bench.quick else (8, 150, 3)
    with tempfile.TemporaryDirectory() as folder:
        store_path = Path(folder) / "read.zarr"
        manifest = ScannedPreset.sirst5k_on_nudt().lay_out(store_path, num_shards * 1024)
        generate(store_path, range(num_shards), client=None)
        ours = open_store(store_path, allow_incomplete=True)
        stock = zarr.open_group(store_path, mode="r")
        indices = np.random.default_rng(0).integers(manifest.shape.num_samples, size=(num_batches, BATCH))
        bench.section(f"{num_batches} random batches of {BATCH} from {manifest.shape.num_samples} samples of 256x256 uint8")
        for name, read in (("images", ours.images), ("masks", ours.masks)):
            array = stock[name.removesuffix("s")]
            assert isinstance(array, zarr.Array)
            at_once, one_by_one = partial(_at_once, array), partial(_one_by_one, array)
            _compare((read, at_once, one_by_one), indices[: 3 if bench.quick else 16])
            few = indices[: len(indices) // 10]
            mine, theirs = _rate(read, indices, repeats), _rate(one_by_one, few, repeats)
            bench.row(f"{name}, our reader", mine, f"{name}/CPU-s", ">= 8000" if name == "images" else "")
            bench.row(f"{name}, stock zarr, one index at a time", theirs, f"{name}/CPU-s")
            bench.row(f"{name}, stock zarr, a batch at once", _rate(at_once, few, repeats), f"{name}/CPU-s")
            bench.row(f"{name}, ours over the faster stock way", mine / theirs, "x")
    bench.finish()
    return 0


def _at_once(array: zarr.Array[Any], batch: Batch) -> npt.NDArray[Any]:
    return np.asarray(array.oindex[batch])


def _one_by_one(array: zarr.Array[Any], batch: Batch) -> npt.NDArray[Any]:
    return np.stack([np.asarray(array[int(index)]) for index in batch])


def _compare(readers: Sequence[Callable[[Batch], npt.NDArray[Any]]], batches: Batch) -> None:
    """Check that all readers return the same values, in the order asked for."""
    for batch in batches:
        first, *others = (read(batch) for read in readers)
        assert first.any() and all(np.array_equal(first, other) for other in others)


def _rate(read: Callable[[Batch], Any], batches: Batch, repeats: int) -> float:
    """Return the best rate of a few runs over all batches, samples per CPU second."""
    read(batches[0])
    rates = []
    for _ in range(repeats):
        with Clock() as clock:
            for batch in batches:
                read(batch)
        rates.append(batches.size / clock.cpu_s)
    return max(rates)


if __name__ == "__main__":
    sys.exit(main())
