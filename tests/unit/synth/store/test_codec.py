"""Chunk and shard bytes: equal to zarr's own, and never silently wrong."""

from __future__ import annotations

import runpy
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc, zstd
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from synth.store import codec
from synth.store.codec import (
    CRC_BYTES,
    MISSING_CHUNK,
    DamagedChunkError,
    decode_chunk,
    encode_chunk,
    index_bytes,
    parse_index,
    shard_index,
)
from tests.support.builders import texture

HW = (8, 12)
DTYPES = ("uint8", "uint16", "int32", "float32", "float64")


def values(dtype: str, number: int = 0):
    """Return an image whose bytes compress, as frames do."""
    return (texture(f"codec {number}", HW, low=100, high=131) * (1 if dtype == "uint8" else 7)).astype(dtype)


def with_crc(body: bytes) -> bytes:
    return body + google_crc32c.value(body).to_bytes(CRC_BYTES, "little")


def codecs_of(dtype: str):
    is_wide = dtype == "uint16"
    return [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle") if is_wide else ZstdCodec(level=1), Crc32cCodec()]


def zarr_array(folder, dtype: str, num_images: int, shard: int | None, **options):
    return zarr.create_array(
        str(folder), shape=(num_images, *HW), dtype=dtype, chunks=(1, *HW), shards=None if shard is None else (shard, *HW),
        filters=[], compressors=codecs_of(dtype), fill_value=0, **options,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_chunk_bytes_are_those_of_zarr(tmp_path, dtype):
    zarr_array(tmp_path / "a", dtype, 1, None)[0] = values(dtype)
    assert encode_chunk(values(dtype)) == (tmp_path / "a/c/0/0/0").read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_chunk_of_zeros_is_that_of_zarr(tmp_path, dtype):
    array = zarr_array(tmp_path / "a", dtype, 1, None, config={"write_empty_chunks": True})
    array[0] = 0
    assert encode_chunk(np.zeros(HW, dtype)) == (tmp_path / "a/c/0/0/0").read_bytes()


def test_blosc_makes_no_threads_of_its_own_whatever_zarr_says(monkeypatch):
    monkeypatch.setattr(blosc, "use_threads", None)
    runpy.run_path(codec.__file__)
    assert blosc.use_threads is False


def test_one_wide_array_is_one_string_of_bytes_in_any_thread():
    frame = texture("wide", (256, 256), low=2000, high=2600).astype(np.uint16)
    with ThreadPoolExecutor(4) as pool:
        made = {*pool.map(encode_chunk, [frame] * 60), *(encode_chunk(frame) for _ in range(20))}
    assert len(made) == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("num_images", [5, 3, 1])
def test_shard_bytes_are_those_of_zarr(tmp_path, dtype, num_images):
    """The last shard of a store is short: the chunks beyond its end do not exist in zarr's file either."""
    images = np.stack([values(dtype, k) for k in range(num_images)])
    zarr_array(tmp_path / "a", dtype, num_images, 5)[:] = images
    chunks = [encode_chunk(image) for image in images]
    assert b"".join([*chunks, shard_index([len(c) for c in chunks], 5)]) == (tmp_path / "a/c/0/0/0").read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype):
    out = np.empty(HW, dtype)
    decode_chunk(encode_chunk(values(dtype)), out)
    assert np.array_equal(out, values(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_flipped_bit_of_a_chunk_is_detected(dtype):
    good, out = encode_chunk(values(dtype)), np.empty(HW, dtype)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(DamagedChunkError):
            decode_chunk(bytes(bad), out)


def test_every_flipped_bit_of_a_shard_index_is_detected():
    index = shard_index([40, 50, 60], 4)
    for bit in range(8 * len(index)):
        bad = bytearray(index)
        bad[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(DamagedChunkError, match="checksum"):
            parse_index(bytes(bad), 150 + len(index))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_truncation_is_detected(dtype):
    good, out = encode_chunk(values(dtype)), np.empty(HW, dtype)
    for length in range(len(good)):
        with pytest.raises(DamagedChunkError):
            decode_chunk(good[:length], out)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("body", [b"", b"\0", bytes(16), b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xff\xff"])
def test_no_content_behind_a_right_checksum_is_refused(dtype, body):
    with pytest.raises(DamagedChunkError):
        decode_chunk(with_crc(body), np.empty(HW, dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("hw", [(8, 11), (8, 13), (16, 12), (1, 1), (200, 300)])
def test_content_of_another_size_is_refused(dtype, hw):
    """Behind a right checksum, as a crafted file has it; (200, 300) makes zstd state its size in four bytes."""
    with pytest.raises(DamagedChunkError, match="size"):
        decode_chunk(encode_chunk(np.full(hw, 7, dtype)), np.empty(HW, dtype))


@pytest.mark.parametrize("stated", [0, 95, 97, 255])
def test_zstd_frame_that_lies_about_its_size(stated):
    body = bytearray(encode_chunk(values("uint8"))[:-CRC_BYTES])
    assert body[4] == 0x20 and body[5] == 96, "single segment, the size in one byte"
    body[5] = stated
    with pytest.raises(DamagedChunkError):
        decode_chunk(with_crc(bytes(body)), np.empty((1, stated), np.uint8))


def test_zstd_frame_without_a_size_is_refused():
    body = bytes.fromhex("28b52ffd0058") + encode_chunk(values("uint8"))[6:-CRC_BYTES]
    with pytest.raises(DamagedChunkError, match="size"):
        decode_chunk(with_crc(body), np.empty(HW, np.uint8))


def test_two_zstd_frames_in_a_row_are_refused():
    frame = bytes(zstd.compress(values("uint8"), 1))
    with pytest.raises(DamagedChunkError):
        decode_chunk(with_crc(frame + frame), np.empty(HW, np.uint8))


@pytest.mark.parametrize(("at", "what"), [(4, "decoded"), (12, "stored")])
def test_blosc_header_that_lies_about_its_sizes(at, what):
    body = bytearray(encode_chunk(values("uint16"))[:-CRC_BYTES])
    body[at] ^= 1
    with pytest.raises(DamagedChunkError, match="size"):
        decode_chunk(with_crc(bytes(body)), np.empty(HW, np.uint16))


@given(dtype=st.sampled_from(["uint8", "uint16"]), body=st.binary(max_size=80))
def test_crafted_bytes_raise_nothing_else(dtype, body):
    out = np.empty((3, 5), dtype)
    with pytest.raises(DamagedChunkError):
        decode_chunk(with_crc(body), out)


@given(dtype=st.sampled_from(["uint8", "uint16"]), edits=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=6))
def test_crafted_edits_raise_nothing_else(dtype, edits):
    body = bytearray(encode_chunk(values(dtype))[:-CRC_BYTES])
    for at, byte in edits:
        body[at] = byte
    try:
        decode_chunk(with_crc(bytes(body)), np.empty(HW, dtype))
    except DamagedChunkError as error:
        assert "\n" not in str(error)


@given(lengths=st.lists(st.integers(5, 2**40), max_size=6), beyond=st.integers(0, 3))
def test_index_round_trip(lengths, beyond):
    data = shard_index(lengths, len(lengths) + beyond)
    assert len(data) == index_bytes(len(lengths) + beyond)
    index = parse_index(data, sum(lengths) + len(data))
    assert index[: len(lengths), 1].tolist() == lengths
    assert index[: len(lengths), 0].tolist() == [sum(lengths[:k]) for k in range(len(lengths))]
    assert (index[len(lengths) :] == MISSING_CHUNK).all()


def index_of(*rows: tuple[int, int]) -> bytes:
    return with_crc(np.array(rows, "<u8").tobytes())


@pytest.mark.parametrize(
    "row",
    [
        (0, 101),
        (101, 5),
        (96, 5),
        (0, 2**64 - 2),
        (2**64 - 2, 5),
        (2**64 - 2, 2**64 - 2),
        (2**63, 2**63 + 10),
        (0, 0),
        (0, CRC_BYTES),
        (0, MISSING_CHUNK),
    ],
)
def test_index_that_points_outside_the_file(row):
    """100 bytes of chunks; sums of offset and length must not wrap round, and a chunk is more than its checksum."""
    assert parse_index(index_of((0, 100), (40, 60)), 100 + index_bytes(2)).tolist() == [[0, 100], [40, 60]]
    with pytest.raises(DamagedChunkError, match="outside"):
        parse_index(index_of((0, 100), row), 100 + index_bytes(2))


@pytest.mark.parametrize("data", [b"", b"\0\0\0", bytes(19)])
def test_index_too_short(data):
    with pytest.raises(DamagedChunkError):
        parse_index(data, len(data))
