"""Chunk and shard bytes: exactly what zarr writes for our codecs, without its per-chunk overhead.

Chunks are ``bytes -> zstd level 1 -> crc32c`` (uint16 images: ``bytes -> blosc zstd-1 + shuffle -> crc32c``, because plain
zstd is poor on 16-bit noise). A shard is its chunks followed by the index: (offset, length) as little-endian uint64 per
chunk, 2^64 - 1 twice for a chunk that does not exist, and the crc32c of the index (zarr format 3, sharding_indexed).
"""

from __future__ import annotations

from collections.abc import Sequence

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc, zstd

from synth.errors import VerificationError

ZSTD_LEVEL = 1
CRC_BYTES = 4
MISSING_CHUNK = 2**64 - 1
"""Offset and length of a chunk that does not exist."""


class DamagedChunkError(VerificationError):
    """Bytes read back are not what was written."""


def encode_chunk(array: npt.NDArray[np.generic]) -> bytes:
    """Return the stored bytes of one C-contiguous little-endian chunk."""
    is_wide = array.dtype == np.uint16
    packed: bytes = blosc.compress(array, b"zstd", 1, blosc.SHUFFLE) if is_wide else zstd.compress(array, ZSTD_LEVEL)
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
            if _zstd_content_bytes(body) != out.nbytes:
                raise DamagedChunkError("decoded size is not the declared one")
            zstd.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise DamagedChunkError(f"cannot be decompressed: {error}") from error


def _blosc_content_bytes(data: bytes) -> int:
    """Read the decoded size from a blosc header (c-blosc, README_CHUNK_FORMAT); -1 when it is not one of these bytes."""
    if len(data) < 16 or int.from_bytes(data[12:16], "little") != len(data):
        return -1
    return int.from_bytes(data[4:8], "little")


def _zstd_content_bytes(data: bytes) -> int:
    """Read the decoded size from a zstd frame header (RFC 8878, section 3.1.1); -1 when it is not stated."""
    if len(data) < 6 or data[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    descriptor = data[4]
    is_single_segment = bool(descriptor & 0x20)
    at = 5 + (0 if is_single_segment else 1) + (0, 1, 2, 4)[descriptor & 3]
    width = (1 if is_single_segment else 0, 2, 4, 8)[descriptor >> 6]
    if not width:
        return -1
    return int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)


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
