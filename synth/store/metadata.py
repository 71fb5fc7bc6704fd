"""The allow-list: ``zarr.json`` is read by ourselves, and anything our writer would not have written is refused.

Stock zarr reads our stores, but we never let it open a foreign one: metadata of other formats can name codecs that run code,
and shapes that exhaust memory.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from synth.errors import RefusalError
from synth.store.files import read_json, refuse_symlink
from synth.store.layout import ArraySpec

MAX_METADATA_BYTES = 2**20
MAX_CHUNK_BYTES = 2**28
MAX_ARRAY_BYTES = 2**46
MAX_FILES = 10**8

_DTYPES = {
    "bool": "|b1", "uint8": "|u1", "uint16": "<u2", "int32": "<i4", "int64": "<i8", "uint64": "<u8", "float32": "<f4",
    "float64": "<f8",
}  # fmt: skip
_INDEX_CODECS = ["bytes", "crc32c"]


def read_array_metadata(store: Path, path: str) -> ArraySpec:
    """Read and check the metadata of one array.

    Args:
        store: Root of the store.
        path: Path of the array below it.

    Raises:
        RefusalError: It names a format, codec, dtype or size that is not on the list.
        StoreError: It is missing.
    """
    file = store / path / "zarr.json"
    for folder in (store / path, *(store / path).parents):
        if folder == store.parent:
            break
        refuse_symlink(folder)
    if file.exists() and file.stat().st_size > MAX_METADATA_BYTES:
        raise RefusalError(f"{file}: larger than {MAX_METADATA_BYTES} bytes; this is not an array of ours")
    meta = read_json(file)
    try:
        return _parse(meta, path)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = error.args[0] if isinstance(error, ValueError) else f"malformed metadata ({error!r})"
        raise RefusalError(f"{file}: {reason}; only arrays written by this project are read") from error


def _parse(meta: dict[str, Any], path: str) -> ArraySpec:
    _require(meta["zarr_format"] == 3 and meta["node_type"] == "array", "zarr_format must be 3 and node_type array")
    _require(meta["data_type"] in _DTYPES, f"data_type must be one of {', '.join(_DTYPES)}, got {meta['data_type']!r}")
    _require(not meta.get("storage_transformers"), "storage_transformers must be empty")
    dtype = _DTYPES[meta["data_type"]]
    shape = _sizes(meta["shape"])
    grid = meta["chunk_grid"]
    _require(grid["name"] == "regular", "chunk_grid must be regular")
    keys = meta["chunk_key_encoding"]
    is_default = keys["name"] == "default" and keys.get("configuration", {}).get("separator", "/") == "/"
    _require(is_default, "chunk_key_encoding must be default with separator /")
    file_shape = _sizes(grid["configuration"]["chunk_shape"])
    codecs = meta["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        _require(len(codecs) == 1, "sharding_indexed must stand alone")
        inner = codecs[0]["configuration"]
        _require(inner.get("index_location", "end") == "end", "index_location must be end")
        _require([c["name"] for c in inner["index_codecs"]] == _INDEX_CODECS, "index_codecs must be bytes, crc32c")
        _check_codecs(inner["codecs"], dtype)
        spec = ArraySpec(path, dtype, shape, _sizes(inner["chunk_shape"]), file_shape, "")
    else:
        _check_codecs(codecs, dtype)
        spec = ArraySpec(path, dtype, shape, file_shape, None, "")
    _check_sizes(spec)
    return spec


def _check_codecs(codecs: list[dict[str, Any]], dtype: str) -> None:
    names = [codec["name"] for codec in codecs]
    packer = "blosc" if dtype == "<u2" else "zstd"
    _require(
        names == ["bytes", packer, "crc32c"],
        f"codecs must be bytes, {packer}, crc32c, got {', '.join(map(str, names))}",
    )
    endian = codecs[0].get("configuration", {}).get("endian", "little")
    _require(endian == "little", "bytes must be little-endian")
    if packer == "blosc":
        settings = codecs[1]["configuration"]
        _require(settings["cname"] == "zstd" and settings["shuffle"] == "shuffle", "blosc must be zstd with shuffle")


def _check_sizes(spec: ArraySpec) -> None:
    item = np.dtype(spec.dtype).itemsize
    files = spec.shard or spec.chunk
    same_rank = len(spec.shape) == len(spec.chunk) == len(files)
    _require(same_rank and 1 <= len(files) <= 4, "shape, chunks and shards must have the same 1 to 4 axes")
    _require(all(n >= 1 for n in (*spec.chunk, *files)), "chunks must be at least 1 along each axis")
    _require(math.prod(spec.chunk) * item <= MAX_CHUNK_BYTES, f"chunks must be at most {MAX_CHUNK_BYTES} bytes")
    _require(math.prod(spec.shape) * item <= MAX_ARRAY_BYTES, f"array must be at most {MAX_ARRAY_BYTES} bytes")
    _require(spec.shape[0] // files[0] <= MAX_FILES, f"array must have at most {MAX_FILES} files")
    if spec.shard is not None:
        _require(spec.chunk[0] == 1 and spec.chunk[1:] == spec.shard[1:], "shards must hold whole images, one a chunk")
    _require(spec.shape[1:] == files[1:], "a file must hold whole samples")


def _sizes(values: Any) -> tuple[int, ...]:
    _require(isinstance(values, list) and all(type(v) is int and v >= 0 for v in values), "sizes must be integers >= 0")
    return tuple(values)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)
