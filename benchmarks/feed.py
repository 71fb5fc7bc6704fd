"""How fast the feed is: random images from shards beside webdataset and litdata, and views of resident frames.

All in one process, files in the page cache, batches of 64; rates are per CPU second of the whole process, prefetch threads
included. The others run on the same images in an environment of their own, which this makes (needs the package index).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from harness import Benchmark, Clock, sirst_folder
from isolated import isolated_python, run_isolated
from stores import ScannedPreset

from pretrain.batch import Batch
from pretrain.feed import Feed
from pretrain.frames import FramePool, open_pool
from pretrain.order import Partition, SampleOrder
from pretrain.views import NoiseMix, PatchTurn, Radiometry, ViewConfig, Warp
from synth.generate import generate
from synth.store.finalize import finalize_store

BATCH = 64
WHOLE = ViewConfig(crop_px=None, centre_probability=0, flip=False, rot90=False)
VIEWS = {
    "whole frames as float32, no view": WHOLE,
    "crop 128, flips, quarter turns (default views)": ViewConfig(crop_px=128),
    "flips, quarter turns at 256": ViewConfig(crop_px=256),
    "SIRST-5K online at 256: noise mixing, patch rotation": ViewConfig(
        crop_px=256, noise_mix=NoiseMix(probability=1), patch_turn=PatchTurn(probability=1)
    ),
    "everything at 128": ViewConfig(
        crop_px=128,
        noise_mix=NoiseMix(probability=1),
        patch_turn=PatchTurn(probability=1),
        paste_probability=1,
        warp=Warp(probability=0.3),
        radiometry=Radiometry(gain=0.2, offset=0.1, gamma=0.2, blur_px=0.5, grain=0.02, columns=0.01),
    ),
}


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("feed", __doc__ or "")
    torch.set_num_threads(1)
    num_shards, num_batches = (2, 12) if bench.quick else (20, 300)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "feed.zarr"
        ScannedPreset.sirst5k_on_nudt().lay_out(store, num_shards * 1024)
        generate(store, range(num_shards), client=None)
        finalize_store(store)
        pool = open_pool(store, residence="streamed")
        bench.section(f"{num_batches} random batches of {BATCH} from {len(pool)} samples of 256x256 uint8 with masks, streamed")
        read = max(read_rate(pool, num_batches) for _ in range(1 if bench.quick else 3))
        bench.row("feed: order, images and masks, uint8 batches", read, "pairs/CPU-s", ">= 8000 images/CPU-s")
        for name in list(VIEWS)[:2]:
            feed = Feed([pool], VIEWS[name], seed=0)
            bench.row(f"feed: {name}", view_rate(feed, num_batches // 6), "pairs/CPU-s")
        measure_rivals(bench, pool, Path(folder), num_batches, read)
    measure_resident(bench, num_batches // 6)
    bench.finish()
    return 0


def measure_resident(bench: Benchmark, num_batches: int) -> None:
    """Rows of views from frames held on the device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pool = open_pool(sirst_folder("nudt-sirst"), split="train", device=device)
    bench.section(f"views of {len(pool)} resident frames of 256x256, batches of {BATCH}, on {device}")
    for name, config in VIEWS.items():
        bench.row(
            name,
            view_rate(Feed([pool], config, seed=0, device=device), num_batches),
            f"samples/{'' if device == 'cuda' else 'CPU-'}s",
        )
    if device == "cpu":
        bench.missing("resident on a GPU", "samples/s", ">= 100000 at 256", "not yet run on a GPU")


def read_rate(pool: FramePool, num_batches: int) -> float:
    """Return image + mask pairs per CPU second of what the feed does before views."""
    order = SampleOrder([len(pool)], None, 0)
    todo = [Partition(BATCH).positions(BATCH * step)[0] for step in range(num_batches + 1)]
    pool.pixels.fetch(order.at(todo[-1])[1])
    with Clock() as clock:
        for positions in todo[:-1]:
            pool.pixels.fetch(order.at(positions)[1])
    return num_batches * BATCH / clock.cpu_s


def view_rate(feed: Feed, num_batches: int) -> float:
    """Return samples per CPU second (per second of wall time on a GPU) of finished batches."""
    batches: Iterator[Batch] = feed.batches(0, Partition(BATCH))
    on_gpu = next(batches).images_B1HW.is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    with Clock() as clock:
        for _ in range(num_batches):
            next(batches)
        if on_gpu:
            torch.cuda.synchronize()
    return num_batches * BATCH / (clock.wall_s if on_gpu else clock.cpu_s)


def measure_rivals(bench: Benchmark, pool: FramePool, folder: Path, num_batches: int, ours: float) -> None:
    """Rows of webdataset and litdata on the same images, or one that says why there are none."""
    found = pool.pixels.fetch(np.arange(len(pool)))
    paths = folder / "images.npy", folder / "masks.npy"
    for path, part in zip(paths, (found.images_NHW, found.masks_NHW), strict=True):
        np.save(path, part.numpy())
    try:
        with isolated_python("loaders", ("webdataset", "litdata"), borrow=True) as python:
            script = Path(__file__).with_name("rival_loaders.py")
            rates = json.loads(run_isolated(python, script, *paths, folder, num_batches).splitlines()[-1])
    except subprocess.CalledProcessError as error:
        bench.row(f"webdataset, litdata: could not be installed (pip exit {error.returncode})", 0, "pairs/CPU-s")
        return
    for name in ("webdataset", "litdata"):
        more = {"version": rates["versions"][name]}
        bench.row(f"{name}, raw bytes, uint8 batches", rates[name], "pairs/CPU-s", **more)
        bench.row(f"ours over {name}", ours / rates[name], "x")


if __name__ == "__main__":
    sys.exit(main())
