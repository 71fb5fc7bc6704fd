"""Chunk and shard bytes: exactly what zarr writes for our codecs, without its per-chunk overhead.

Chunks are ``bytes -> zstd level 1 -> crc32c`` (uint16 images: ``bytes -> blosc zstd-1 + shuffle -> crc32c``, because plain
zstd is poor on 16-bit noise). A shard is its chunks followed by the index: (offset, length) as little-endian uint64 per
chunk, 2^64 - 1 twice for a chunk that does not exist, and the crc32c of the index (zarr format 3, sharding_indexed).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import google_crc32c
import numpy as np
import numpy.typing as npt
import zstandard
from numcodecs import blosc

from synth.errors import VerificationError

ZSTD_LEVEL = 1
CRC_BYTES = 4
MISSING_CHUNK = 2**64 - 1
"""Offset and length of a chunk that does not exist."""


class _ZstdContexts(threading.local):
    """Contexts of one thread, reused: making one costs a fifth of compressing an image."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _ZstdContexts()

# Blosc with threads of its own cuts the same array into other blocks from call to call: 3 to 38 encodings were seen of one. With
# False it makes none, and one array is one string of bytes in any thread. Importing zarr sets it too, on which nothing may rest.
blosc.use_threads = False


class DamagedChunkError(VerificationError):
    """Bytes read back are not what was written."""


def encode_chunk(array: npt.NDArray[np.generic]) -> bytes:
    """Return the stored bytes of one C-contiguous little-endian chunk."""
    is_wide = array.dtype == np.uint16
    packed: bytes = blosc.compress(array, b"zstd", 1, blosc.SHUFFLE) if is_wide else _zstd.compressor.compress(array.data)
    checked: bytes = packed + google_crc32c.value(packed).to_bytes(CRC_BYTES, "little")
    return checked


def decode_chunk(data: bytes, out: npt.NDArray[np.generic]) -> None:
    """Decode stored bytes into an array of exactly their size.

    Args:
        data: Stored bytes.
        out: C-contiguous array, overwritten.

    Raises:
        DamagedChunkError: The checksum or the decoded size is wrong.
    """
    body = data[:-CRC_BYTES]
    if google_crc32c.value(body).to_bytes(CRC_BYTES, "little") != data[-CRC_BYTES:]:
        raise DamagedChunkError("checksum mismatch")
    try:
        if out.dtype == np.uint16:
            if _blosc_content_bytes(body) != out.nbytes:
                raise DamagedChunkError("decoded size is not the declared one")
            blosc.decompress(body, out)
        else:
            if not out.nbytes or zstandard.frame_content_size(body) != out.nbytes:
                raise DamagedChunkError("decoded size is not the declared one")
            decoded = _zstd.decompressor.decompress(body, allow_extra_data=False)
            out.reshape(-1).view(np.uint8)[:] = np.frombuffer(decoded, np.uint8)
    except (RuntimeError, ValueError, zstandard.ZstdError) as error:
        raise DamagedChunkError(f"cannot be decompressed: {error}") from error


def _blosc_content_bytes(data: bytes) -> int:
    """Read the decoded size from a blosc header (c-blosc, README_CHUNK_FORMAT); -1 when it is not one of these bytes."""
    if len(data) < 16 or int.from_bytes(data[12:16], "little") != len(data):
        return -1
    return int.from_bytes(data[4:8], "little")


def shard_index(lengths: Sequence[int], num_chunks: int) -> bytes:
    """Return the index of a shard.

    Args:
        lengths: Stored length of each chunk that exists, in order and without gaps.
        num_chunks: Chunks a whole shard has; those beyond ``lengths`` do not exist.
    """
    index = np.full((num_chunks, 2), MISSING_CHUNK, dtype="<u8")
    index[: len(lengths), 1] = lengths
    index[: len(lengths), 0] = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if lengths else 0
    raw = index.tobytes()
    checked: bytes = raw + google_crc32c.value(raw).to_bytes(CRC_BYTES, "little")
    return checked


def index_bytes(num_chunks: int) -> int:
    """Return the size of a shard's index with its checksum."""
    return 16 * num_chunks + CRC_BYTES


def parse_index(data: bytes, file_bytes: int) -> npt.NDArray[np.uint64]:
    """Return the (offset, length) table of a shard.

    Args:
        data: The last :func:`index_bytes` of the file.
        file_bytes: Size of the file, that every chunk must lie in.

    Raises:
        DamagedChunkError: The checksum is wrong or a chunk lies outside the file.
    """
    raw = data[:-CRC_BYTES]
    if google_crc32c.value(raw).to_bytes(CRC_BYTES, "little") != data[-CRC_BYTES:]:
        raise DamagedChunkError("checksum of the shard index mismatches")
    index = np.frombuffer(raw, dtype="<u8").reshape(-1, 2)
    exists = index[:, 0] != MISSING_CHUNK
    stored, body_bytes = index[exists], file_bytes - len(data)
    inside = (stored <= body_bytes).all(axis=1) & (stored.sum(axis=1) <= body_bytes) & (stored[:, 1] > CRC_BYTES)
    if not inside.all():
        raise DamagedChunkError("the shard index points outside the file")
    return index
