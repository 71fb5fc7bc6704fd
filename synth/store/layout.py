"""The arrays of a store on disk, and the bytes of one whole shard of each.

Sample i lives in shard i // S. Images and masks: one chunk an image, one file a shard (sharding_indexed). Columns: one chunk
a shard, padded with zeros at the end of the store. Every chunk that can exist does: a missing file is never "all zero".
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from synth.errors import RefusalError
from synth.noise import BANK_DTYPES, NoiseBank
from synth.store.codec import ZSTD_LEVEL, encode_chunk, shard_index
from synth.store.files import make_folder, store_error, sync_path
from synth.store.schema import DIGEST_FIELD, column_fields


@dataclass(frozen=True, slots=True)
class StoreShape:
    """Sizes of a store.

    Attributes:
        num_samples: N.
        shard_images: S, samples per shard.
        canvas_hw: (H, W).
        image_dtype: ``uint8`` or ``uint16``.
        max_targets: K.
        noise_windows: M.
        window_px: Side of a noise window.
        max_impostors: J; 0 for stores whose samples are no rendered scenes, which have no truth columns.
        has_raw: Whether ``image_raw`` keeps the sensor's uint16 levels.
    """

    num_samples: int
    shard_images: int
    canvas_hw: tuple[int, int]
    image_dtype: str
    max_targets: int
    noise_windows: int
    window_px: int
    max_impostors: int = 0
    has_raw: bool = False

    @property
    def num_shards(self) -> int:
        """Number of shards, the last one possibly short."""
        return -(-self.num_samples // self.shard_images)

    def samples_of(self, shard: int) -> range:
        """Return the sample indices of a shard."""
        start = shard * self.shard_images
        return range(start, min(start + self.shard_images, self.num_samples))


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array: path in the store, dtype, shape, chunk, shard (None: one chunk a file) and meaning."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    meaning: str

    def file_of(self, shard: int) -> str:
        """Return the file of the shard with this number, below the store's root."""
        return f"{self.path}/c/{'/'.join([str(shard)] + ['0'] * (len(self.shape) - 1))}"


def array_specs(shape: StoreShape) -> dict[str, ArraySpec]:
    """Return the specification of every per-sample array, by path."""
    n, s, (h, w) = shape.num_samples, shape.shard_images, shape.canvas_hw
    image = np.dtype(shape.image_dtype).newbyteorder("<").str
    top = np.iinfo(shape.image_dtype).max
    specs = [
        ArraySpec("image", image, (n, h, w), (1, h, w), (s, h, w), f"grey levels, 0..{top} stands for 0..1"),
        ArraySpec("mask", "|u1", (n, h, w), (1, h, w), (s, h, w), "1 on target pixels, 0 elsewhere"),
    ]
    if shape.has_raw:
        specs.append(ArraySpec("image_raw", "<u2", (n, h, w), (1, h, w), (s, h, w), "sensor levels before the view, DN"))
    columns = [*column_fields(shape.max_targets, shape.max_impostors), ("sample/digest", DIGEST_FIELD, DIGEST_FIELD.shape)]
    for name, f, tail in columns:
        specs.append(ArraySpec(name, f.dtype, (n, *tail), (s, *tail), None, f.meaning))
    return {spec.path: spec for spec in specs}


def noise_specs(shape: StoreShape) -> dict[str, ArraySpec]:
    """Return the specification of the arrays of the noise bank, by path; one chunk each."""
    m, side = max(shape.noise_windows, 1), shape.window_px
    specs = {}
    for name, dtype in BANK_DTYPES.items():
        tail = (side, side) if name == "patch" else ()
        full = (shape.noise_windows, *tail)
        specs[f"noise/{name}"] = ArraySpec(f"noise/{name}", dtype, full, (m, *tail), None, f"noise bank: {name}")
    return specs


def create_store(path: Path, shape: StoreShape, bank: NoiseBank, manifest: bytes) -> None:
    """Create an empty store with its noise bank and manifest: all of it or nothing.

    Args:
        path: Folder to create; its parent is made.
        shape: Sizes.
        bank: The noise bank.
        manifest: Content of ``manifest.json``.

    Raises:
        RefusalError: The path exists already.
        StoreError: It cannot be written.
    """
    try:
        make_folder(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise store_error(path, error) from error
    try:
        write_metadata(temporary, shape)
        for name, data in encode_bank(bank, shape).items():
            (temporary / name).parent.mkdir(parents=True)
            (temporary / name).write_bytes(data)
        (temporary / "manifest.json").write_bytes(manifest)
        (temporary / "commits").mkdir()
        (temporary / "locks").mkdir()
        temporary.chmod(0o777 & ~_umask_of(temporary / "commits"))
        for file in (*temporary.rglob("*"), temporary):
            sync_path(file)
        temporary.rename(path)
        sync_path(path.parent)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise RefusalError(f"{path}: exists already; give another --out, or remove it") from error
        raise store_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_metadata(folder: Path, shape: StoreShape) -> None:
    """Write every ``zarr.json`` of a store into an empty folder.

    The group's metadata repeats that of its arrays (consolidated), so that stock zarr lists them without a look at our other
    files and without a warning.
    """
    group = zarr.create_group(zarr.storage.LocalStore(folder), attributes={"format": "see manifest.json"})
    for spec in (*array_specs(shape).values(), *noise_specs(shape).values()):
        _create_array(group, spec)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(group.store)


def encode_bank(bank: NoiseBank, shape: StoreShape) -> dict[str, bytes]:
    """Return the files of the noise bank, by path below the store's root; none for an empty bank."""
    if not len(bank):
        return {}
    specs = ((name, noise_specs(shape)[f"noise/{name}"]) for name in BANK_DTYPES)
    return {spec.file_of(0): encode_chunk(np.ascontiguousarray(getattr(bank, name), dtype=spec.dtype)) for name, spec in specs}


def encode_shard_of_images(chunks: list[bytes], shape: StoreShape) -> list[bytes]:
    """Return the file of one image or mask shard from its encoded chunks, in order."""
    return [*chunks, shard_index([len(c) for c in chunks], shape.shard_images)]


def encode_column(values: npt.NDArray[Any], spec: ArraySpec) -> bytes:
    """Return the file of one column chunk, padded with zeros to a whole chunk."""
    chunk = np.zeros(spec.chunk, dtype=spec.dtype)
    chunk[: len(values)] = values
    return encode_chunk(chunk)


def _create_array(group: zarr.Group, spec: ArraySpec) -> None:
    is_wide = np.dtype(spec.dtype) == np.uint16
    packer: Any = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle") if is_wide else ZstdCodec(level=ZSTD_LEVEL)
    group.create_array(
        spec.path,
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=spec.chunk,
        shards=spec.shard,
        filters=[],
        compressors=[packer, Crc32cCodec()],
        fill_value=0,
        attributes={"meaning": spec.meaning},
    )


def _umask_of(folder: Path) -> int:
    return 0o777 & ~folder.stat().st_mode
