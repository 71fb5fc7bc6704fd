"""webdataset and litdata over the images of a store. Run by feed.py in an environment of its own.

python rival_loaders.py IMAGES.npy MASKS.npy FOLDER BATCHES     prints image + mask pairs per CPU second of each, as JSON

Both get the raw bytes of image and mask (no image codec, the fastest form of either), shuffle, and return batches of 64 uint8
tensors in this process, without decompression and without checksums; ours decompresses and checks both. webdataset shuffles
within a buffer, litdata within chunks whose order it shuffles too, ours over the whole set.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

BATCH = 64
SHARD = 1024
SHUFFLE = 2048
"""Samples in the shuffle buffer of webdataset: two shards."""
Pairs = tuple[torch.Tensor, torch.Tensor]


def main() -> None:
    """Write both formats, read both."""
    torch.set_num_threads(1)
    images, masks = (np.load(path, mmap_mode="r") for path in sys.argv[1:3])
    folder, num = Path(sys.argv[3]), int(sys.argv[4])
    found: dict[str, Any] = {"versions": {name: version(name) for name in ("webdataset", "litdata", "torch")}}
    for name, make in (("webdataset", webdataset_batches), ("litdata", litdata_batches)):
        (folder / name).mkdir()
        found[name] = max(measure(make(images, masks, folder / name), num) for _ in range(2))
    print(json.dumps(found))


def measure(start: Callable[[], Iterator[Pairs]], num: int) -> float:
    """Return pairs per CPU second over some batches, after ten that fill the buffers."""
    batches = start()
    for _ in range(10):
        next(batches)
    began, seen = time.process_time(), 0
    for _ in range(num):
        pair = next(batches)
        assert pair[0].dtype == torch.uint8 and pair[0].shape == pair[1].shape
        seen += len(pair[0])
    return seen / (time.process_time() - began)


def webdataset_batches(images: np.ndarray, masks: np.ndarray, folder: Path) -> Callable[[], Iterator[Pairs]]:
    """Write tar files of raw arrays, unless they are there, and return what reads them."""
    import webdataset

    hw = images.shape[1:]
    for first in range(0, len(images), SHARD):
        path = folder / f"{first // SHARD:04d}.tar"
        if path.exists():
            continue
        with tarfile.open(path, "w") as tar:
            for i in range(first, min(first + SHARD, len(images))):
                for suffix, array in (("img", images[i]), ("msk", masks[i])):
                    entry = tarfile.TarInfo(f"{i:08d}.{suffix}")
                    entry.size = array.nbytes
                    tar.addfile(entry, io.BytesIO(array.tobytes()))

    def pair(sample: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
        image, mask = (np.frombuffer(sample[suffix], np.uint8).reshape(hw) for suffix in ("img", "msk"))
        return image, mask

    def collate(samples: list[tuple[np.ndarray, np.ndarray]]) -> Pairs:
        image, mask = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        return image, mask

    def start() -> Iterator[Pairs]:
        tars = sorted(map(str, folder.glob("*.tar")))
        stream = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0, empty_check=False)
        return iter(stream.repeat().shuffle(SHUFFLE).map(pair).batched(BATCH, collation_fn=collate))

    return start


def litdata_batches(images: np.ndarray, masks: np.ndarray, folder: Path) -> Callable[[], Iterator[Pairs]]:
    """Write litdata chunks of raw arrays, unless they are there, and return what reads them.

    Its default (``batch_decode="auto"``) decodes a window of items for every random one: a tenth of the speed here.
    """
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming.writer import BinaryWriter

    if not (folder / "index.json").exists():
        writer = BinaryWriter(str(folder), chunk_size=SHARD, compression=None)
        for i in range(len(images)):
            writer[i] = {"image": np.array(images[i]), "mask": np.array(masks[i])}
        writer.done()
        writer.merge()

    def start() -> Iterator[Pairs]:
        dataset = StreamingDataset(str(folder), shuffle=True, seed=0, batch_decode=0)
        loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0, drop_last=True)
        while True:
            for batch in loader:
                yield batch["image"], batch["mask"]

    return start


if __name__ == "__main__":
    main()
