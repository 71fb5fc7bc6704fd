"""How fast training is: our step loop on resident frames beside the plain loop of the field; same network, frames and device.

Forward, backward and update of 256x256 frames of NUDT-SIRST with flips and quarter turns. On a CPU rates are per CPU second and
only small networks are measured; on a GPU they are per second of wall time, the share of time waiting for data beside them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Benchmark, Clock, sirst_folder
from naive_training import naive_steps
from PIL import Image

from finetune.detectors import create_detector
from finetune.task import FinetuneTask
from pretrain.feed import Feed
from pretrain.frames import FramePool, open_pool
from pretrain.order import Partition
from pretrain.runtime.config import TrainConfig
from pretrain.runtime.distributed import World
from pretrain.runtime.learner import Learner
from pretrain.views import ViewConfig

BATCH = {"cpu": 4, "cuda": 32}
NETWORKS = {"cpu": ("acm_nano", "acm"), "cuda": ("acm", "dnanet", "dnanet_34")}


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("training", __doc__ or "")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    batch, num_steps = BATCH[device.type], 3 if bench.quick else {"cpu": 12, "cuda": 200}[device.type]
    pool = open_pool(sirst_folder("nudt-sirst"), split="train", device=device)
    unit = "images/s" if device.type == "cuda" else "images/CPU-s"
    with tempfile.TemporaryDirectory() as folder:
        write_pngs(pool, Path(folder))
        for name in NETWORKS[device.type]:
            bench.section(f"{name}, {num_steps} steps of {batch} frames of 256x256 on {device.type}")
            plain = plain_rate(name, Path(folder), batch, num_steps, device)
            ours, waited = our_rate(name, pool, batch, num_steps, device)
            bench.row("plain loop: float32, PNG files, augmented one by one", plain, unit)
            bench.row("ours: bfloat16, resident frames, views of batches", ours, unit, data_wait_percent=100.0 * waited)
            bench.row("ours over the plain loop", ours / plain, "x", ">= 3 on a GPU")
    if device.type == "cpu":
        bench.section("on a GPU")
        bench.missing("ACM and DNANet", "x", ">= 3, data wait < 5 %", "not yet run on a GPU")
    bench.finish()
    return 0


def write_pngs(pool: FramePool, folder: Path) -> None:
    """Write the frames and masks of a pool as PNG files."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for index, name in enumerate(pool.ids):
        frame = pool.frame(index)
        assert frame.mask is not None
        for kind, array in (("images", frame.levels), ("masks", frame.mask.astype(np.uint8) * 255)):
            Image.fromarray(array).save(folder / kind / f"{Path(name).name}.png")


def plain_rate(name: str, folder: Path, batch: int, num_steps: int, device: torch.device) -> float:
    """Return images per second of the plain loop."""
    steps = naive_steps(create_detector(name), folder, batch, device)
    return timed(lambda: next(steps), batch, num_steps, device)


def our_rate(name: str, pool: FramePool, batch: int, num_steps: int, device: torch.device) -> tuple[float, float]:
    """Return images per second of the project's step loop, and its share of time waiting for data."""
    config = TrainConfig(steps=10**6, batch=batch, threads=1 if device.type == "cpu" else None)
    task = FinetuneTask(create_detector(name).to(device), (), device, amp=True)
    learner = Learner(task, config, World(device))
    batches = Feed([pool], ViewConfig(crop_px=256), seed=0, device=device).batches(0, Partition(batch))
    done: list[tuple[float, float]] = []

    def step() -> None:
        report = learner.do_step(batches, len(done), 1e-3, lambda: False)
        done.append((report.seconds, report.waited_s))

    rate = timed(step, batch, num_steps, device)
    seconds, waited = np.sum(done[-num_steps:], axis=0)
    return rate, float(waited / seconds)


def timed(step: Callable[[], None], batch: int, num_steps: int, device: torch.device) -> float:
    """Return images per second (per CPU second on a CPU) after two steps of warming up."""
    for _ in range(2):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    with Clock() as clock:
        for _ in range(num_steps):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()
    return num_steps * batch / (clock.wall_s if device.type == "cuda" else clock.cpu_s)


if __name__ == "__main__":
    sys.exit(main())
