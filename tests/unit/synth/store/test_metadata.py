"""The allow-list: nothing but what our writer writes is opened, and nothing is allocated before it is checked."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import RefusalError, StoreError
from synth.store.layout import StoreShape, write_metadata
from synth.store.metadata import MAX_METADATA_BYTES, read_array_metadata

SHAPE = StoreShape(10, 4, (32, 40), "uint8", 3, 2, 8)
WIDE = StoreShape(10, 4, (32, 40), "uint16", 3, 2, 8)


@pytest.fixture
def store(tmp_path) -> Path:
    write_metadata(tmp_path / "x.zarr", SHAPE)
    return tmp_path / "x.zarr"


def edit(store: Path, name: str, change) -> None:
    """Change the parsed zarr.json of an array."""
    file = store / name / "zarr.json"
    meta = json.loads(file.read_bytes())
    meta = change(meta) or meta
    file.write_text(json.dumps(meta))


def refused(store: Path, name: str, *needles: str) -> None:
    with pytest.raises(RefusalError) as raised:
        read_array_metadata(store, name)
    message = str(raised.value)
    assert f"{name}/zarr.json" in message and "\n" not in message
    for needle in needles:
        assert needle in message


def inner(meta):
    """Return the configuration of the sharding codec."""
    return meta["codecs"][0]["configuration"]


def codec(name: str, **configuration: object):
    return {"name": name, "configuration": configuration}


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (lambda m: m.update(zarr_format=2), "zarr_format must be 3"),
        (lambda m: m.update(zarr_format="3"), "zarr_format must be 3"),
        (lambda m: m.update(node_type="group"), "node_type array"),
        (lambda m: m.update(data_type="string"), "data_type"),
        (lambda m: m.update(data_type="object"), "data_type"),
        (lambda m: m.update(data_type="uint32"), "data_type"),
        (lambda m: m.update(data_type={"name": "fixed_length_utf32", "configuration": {"length_bytes": 4}}), "malformed"),
        (lambda m: m.update(storage_transformers=[{"name": "x"}]), "storage_transformers"),
        (lambda m: m["chunk_grid"].update(name="rectilinear"), "chunk_grid must be regular"),
        (lambda m: m["chunk_key_encoding"].update(name="v2"), "chunk_key_encoding"),
        (lambda m: m["chunk_key_encoding"]["configuration"].update(separator="."), "chunk_key_encoding"),
        (lambda m: inner(m).update(index_location="start"), "index_location must be end"),
        (lambda m: inner(m).update(index_codecs=[codec("bytes")]), "index_codecs"),
        (lambda m: inner(m).update(index_codecs=[codec("bytes"), codec("crc32c"), codec("gzip")]), "index_codecs"),
        (lambda m: m["codecs"].append(codec("crc32c")), "must stand alone"),
        (lambda m: m.update(shape=[10, 32]), "same 1 to 4 axes"),
        (lambda m: m.update(shape=[10, 32, 41]), "whole samples"),
        (lambda m: m.update(shape=[10, 32, -40]), "integers >= 0"),
        (lambda m: m.update(shape=[10, 32, 40.0]), "integers >= 0"),
        (lambda m: m.update(shape=[10, 32, True]), "integers >= 0"),
        (lambda m: m.update(shape="10"), "integers >= 0"),
        (lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[0, 32, 40]), "at least 1"),
        (lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[4, 16, 40]), "whole images"),
        (lambda m: inner(m).update(chunk_shape=[2, 32, 40]), "whole images"),
        (lambda m: inner(m).update(chunk_shape=[1, 32, 20]), "whole images"),
        (lambda m: m.pop("codecs"), "malformed"),
        (lambda m: m.update(codecs=[]), "malformed"),
        (lambda m: m.update(codecs=[7]), "malformed"),
        (lambda m: m.pop("chunk_grid"), "malformed"),
        (lambda _m: [1, 2], "malformed"),
        (lambda _m: "text", "malformed"),
    ],
)
def test_images_of_other_making_are_refused(store, change, needle):
    edit(store, "image", change)
    refused(store, "image", needle, "only arrays written by this project")


LISTS = {
    "gzip": [codec("bytes", endian="little"), codec("gzip", level=1), codec("crc32c")],
    "no checksum": [codec("bytes", endian="little"), codec("zstd", level=1, checksum=False)],
    "nothing": [codec("bytes", endian="little")],
    "text": [codec("vlen-utf8"), codec("zstd", level=1), codec("crc32c")],
    "pickle": [codec("numcodecs.pickle"), codec("zstd", level=1), codec("crc32c")],
    "transpose": [codec("transpose", order=[0]), codec("bytes"), codec("zstd"), codec("crc32c")],
    "blosc on 8 bits": [codec("bytes"), codec("blosc", cname="zstd", clevel=1, shuffle="shuffle"), codec("crc32c")],
    "zstd twice": [codec("bytes"), codec("zstd"), codec("zstd"), codec("crc32c")],
    "numbers": [1, 2, 3],
    "big-endian": [codec("bytes", endian="big"), codec("zstd", level=1), codec("crc32c")],
}


@pytest.mark.parametrize("codecs", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("name", ["image", "sample/alpha"])
def test_other_codecs_are_refused(store, name, codecs):
    """At the chunks of a shard and at the chunks of a column."""
    edit(store, name, lambda m: inner(m).update(codecs=codecs) if name == "image" else m.update(codecs=codecs))
    refused(store, name)


@pytest.mark.parametrize("settings", [{"cname": "lz4"}, {"shuffle": "bitshuffle"}, {"shuffle": "noshuffle"}])
def test_blosc_must_be_ours(tmp_path, settings):
    write_metadata(tmp_path, WIDE)
    edit(tmp_path, "image", lambda m: inner(m)["codecs"][1]["configuration"].update(settings))
    refused(tmp_path, "image", "blosc must be zstd with shuffle")


def test_zstd_on_16_bits_is_refused(tmp_path):
    write_metadata(tmp_path, WIDE)
    edit(tmp_path, "image", lambda m: inner(m).update(codecs=LISTS["big-endian"]))
    refused(tmp_path, "image", "codecs must be bytes, blosc, crc32c")


@pytest.mark.parametrize(
    ("shape", "shard", "needle"),
    [
        ([10**12, 32, 40], [4, 32, 40], "array must be at most"),
        ([10, 2**20, 2**20], [4, 2**20, 2**20], "chunks must be at most"),
        ([10**9, 1, 1], [4, 1, 1], "files"),
    ],
)
def test_huge_arrays_are_refused_before_anything_is_allocated(store, shape, shard, needle):
    def enlarge(meta):
        meta.update(shape=shape)
        meta["chunk_grid"]["configuration"].update(chunk_shape=shard)
        inner(meta).update(chunk_shape=[1, *shard[1:]])

    edit(store, "image", enlarge)
    tracemalloc.start()
    try:
        refused(store, "image", needle)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_version_2_is_refused(tmp_path):
    """Its metadata lies in another file and can name codecs that run code."""
    zarr.create_array(str(tmp_path / "x.zarr/image"), shape=(4, 4), dtype="u1", zarr_format=2)
    with pytest.raises(StoreError, match=r"zarr\.json: No such file"):
        read_array_metadata(tmp_path / "x.zarr", "image")


def test_text_array_of_stock_zarr_is_refused(tmp_path):
    array = zarr.create_array(str(tmp_path / "x.zarr/sample/id"), shape=(4,), dtype=str)
    array[:] = np.array(["a", "b", "c", "d"])
    refused(tmp_path / "x.zarr", "sample/id", "data_type")


def test_default_array_of_stock_zarr_is_refused(tmp_path):
    """Its chunks carry no checksum."""
    zarr.create_array(str(tmp_path / "x.zarr/image"), shape=(4, 4, 4), dtype="u1", chunks=(1, 4, 4), shards=(2, 4, 4))
    refused(tmp_path / "x.zarr", "image", "codecs must be bytes, zstd, crc32c")


def test_missing_metadata(store):
    (store / "mask/zarr.json").unlink()
    with pytest.raises(StoreError, match=r"mask/zarr\.json: No such file or directory"):
        read_array_metadata(store, "mask")


@pytest.mark.parametrize("data", [b"", b"not json", b"\x80\x04K\x01.", b"[" * 10_000])
def test_other_content_is_refused(store, data):
    (store / "image/zarr.json").write_bytes(data)
    refused(store, "image", "is not valid JSON")


def test_more_than_a_mebibyte_is_not_parsed(store):
    file = store / "image/zarr.json"
    file.write_bytes(file.read_bytes() + b" " * MAX_METADATA_BYTES)
    refused(store, "image", f"larger than {MAX_METADATA_BYTES} bytes")


@pytest.mark.parametrize("linked", ["image", "image/zarr.json", "sample", "sample/alpha"])
def test_links_are_refused(store, linked):
    moved = store.parent / "elsewhere"
    (store / linked).rename(moved)
    (store / linked).symlink_to(moved)
    with pytest.raises(RefusalError, match=f"{linked}: is a symbolic link"):
        read_array_metadata(store, linked.removesuffix("/zarr.json") if linked != "sample" else "sample/alpha")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*path, key))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_metadata(folder, SHAPE)
    return folder


@given(data=st.data(), name=st.sampled_from(["image", "sample/box_rc"]), value=JSON)
def test_any_edit_is_read_or_refused(template, data, name, value):
    """Whatever stands in place of any entry: a specification within the caps, or a refusal; no other exception."""
    file = template / name / "zarr.json"
    original = file.read_bytes()
    meta = {"": json.loads(original)}
    *parents, last = data.draw(st.sampled_from([p for p in _places(meta) if p]))
    at = meta
    for key in parents:
        at = at[key]
    at[last] = value
    try:
        file.write_text(json.dumps(meta[""]))
        spec = read_array_metadata(template, name)
        assert len(spec.shape) == len(spec.chunk) and np.dtype(spec.dtype).itemsize * np.prod(spec.chunk) <= 2**28
    except RefusalError as error:
        assert "\n" not in str(error)
    finally:
        file.write_bytes(original)
