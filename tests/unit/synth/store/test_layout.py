"""The arrays on disk: exactly the files and metadata stock zarr would write, created whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import RefusalError, StoreError
from synth.noise import BANK_DTYPES, NoiseBank
from synth.store import layout
from synth.store.codec import decode_chunk
from synth.store.layout import (
    StoreShape,
    array_specs,
    create_store,
    encode_bank,
    encode_column,
    noise_specs,
    write_metadata,
)
from synth.store.metadata import read_array_metadata
from tests.support.stores import file_hashes

SHAPE = StoreShape(10, 4, (32, 40), "uint8", 3, 2, 8)


def bank(num_windows: int = 2, side: int = 8) -> NoiseBank:
    columns = {name: np.arange(num_windows).astype(dtype) for name, dtype in BANK_DTYPES.items()}
    patch = np.arange(num_windows * side * side).reshape(num_windows, side, side).astype(np.uint8)
    return NoiseBank(**(columns | {"patch": patch}))


@given(num_samples=st.integers(0, 200), shard_images=st.integers(1, 60))
def test_shards_partition_the_samples(num_samples, shard_images):
    shape = StoreShape(num_samples, shard_images, (32, 32), "uint8", 1, 0, 8)
    parts = [shape.samples_of(k) for k in range(shape.num_shards)]
    assert [i for part in parts for i in part] == list(range(num_samples))
    assert all(len(part) == shard_images for part in parts[:-1]) and all(parts)


def test_files_of_a_shard():
    specs = array_specs(SHAPE)
    assert specs["image"].file_of(2) == "image/c/2/0/0"
    assert specs["sample/alpha"].file_of(2) == "sample/alpha/c/2"
    assert specs["sample/digest"].file_of(11) == "sample/digest/c/11/0"
    assert specs["target/flux"].file_of(0) == "target/flux/c/0/0"
    assert noise_specs(SHAPE)["noise/patch"].file_of(0) == "noise/patch/c/0/0/0"


@pytest.mark.parametrize("image_dtype", ["uint8", "uint16"])
def test_metadata_written_is_on_our_own_allow_list(tmp_path, image_dtype):
    shape = StoreShape(10, 4, (32, 40), image_dtype, 3, 2, 8)
    write_metadata(tmp_path, shape)
    for name, spec in (array_specs(shape) | noise_specs(shape)).items():
        found = read_array_metadata(tmp_path, name)
        assert (found.dtype, found.shape, found.chunk, found.shard) == (spec.dtype, spec.shape, spec.chunk, spec.shard)


@pytest.mark.parametrize("image_dtype", ["uint8", "uint16"])
def test_stock_zarr_opens_a_new_store_without_a_warning(tmp_path, image_dtype):
    shape = StoreShape(10, 4, (32, 40), image_dtype, 3, 2, 8)
    create_store(tmp_path / "x.zarr", shape, bank(), b"{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(tmp_path / "x.zarr", mode="r")
        arrays = {name: array for name, array in group.members(max_depth=None) if isinstance(array, zarr.Array)}
    specs = array_specs(shape) | noise_specs(shape)
    assert arrays.keys() == specs.keys()
    for name, array in arrays.items():
        assert array.shape == specs[name].shape and array.dtype == np.dtype(specs[name].dtype)
        assert array.attrs["meaning"] == specs[name].meaning
    assert np.array_equal(group["noise/patch"][:], bank().patch)


def written_by_zarr(folder: Path, name: str, values) -> dict[str, str]:
    """Write values into a new store's array with stock zarr, every chunk of it."""
    write_metadata(folder, SHAPE)
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_group(folder, mode="r+")[name][:] = values
    return {path: sha256 for path, sha256 in file_hashes(folder).items() if path.startswith(f"{name}/c/")}


@pytest.mark.parametrize("name", ["sample/alpha", "sample/box_rc", "sample/time_s", "sample/digest", "target/flux"])
def test_column_files_are_those_of_zarr(tmp_path, name):
    spec = array_specs(SHAPE)[name]
    values = (np.arange(np.prod(spec.shape)) % 250).reshape(spec.shape).astype(spec.dtype)
    expected = written_by_zarr(tmp_path, name, values)
    assert len(expected) == SHAPE.num_shards == 3
    for shard in range(SHAPE.num_shards):
        samples = SHAPE.samples_of(shard)
        (tmp_path / spec.file_of(shard)).write_bytes(encode_column(values[samples.start : samples.stop], spec))
    hashes = file_hashes(tmp_path)
    assert {path: hashes[path] for path in expected} == expected


@pytest.mark.parametrize("name", BANK_DTYPES)
def test_noise_files_are_those_of_zarr(tmp_path, name):
    spec = noise_specs(SHAPE)[f"noise/{name}"]
    expected = written_by_zarr(tmp_path, f"noise/{name}", getattr(bank(), name))
    (tmp_path / spec.file_of(0)).write_bytes(encode_bank(bank(), SHAPE)[spec.file_of(0)])
    assert {path: file_hashes(tmp_path)[path] for path in expected} == expected


def test_short_column_is_padded_with_zeros():
    spec = array_specs(SHAPE)["sample/source"]
    chunk = np.ones(spec.chunk, np.int32)
    decode_chunk(encode_column(np.array([5, 6], np.int32), spec), chunk)
    assert chunk.tolist() == [5, 6, 0, 0]


def test_empty_bank_has_no_files():
    shape = StoreShape(10, 4, (32, 40), "uint8", 3, 0, 8)
    assert encode_bank(bank(0), shape) == {}
    assert noise_specs(shape)["noise/patch"].shape == (0, 8, 8)


def test_new_store_is_complete_and_alone(tmp_path):
    create_store(tmp_path / "deep/x.zarr", SHAPE, bank(), b'{"a": 1}')
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.zarr"]
    store = tmp_path / "deep/x.zarr"
    assert (store / "manifest.json").read_bytes() == b'{"a": 1}'
    assert (store / "commits").is_dir() and (store / "locks").is_dir()
    assert set(encode_bank(bank(), SHAPE)) <= file_hashes(store).keys()


def test_all_of_a_new_store_is_synced_before_it_appears(tmp_path, monkeypatch):
    """Its own folder too: the names at its top stand there. Then the folder it appears in, and new ones above that."""
    events: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, Path.rename

    def traced_fsync(descriptor):
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def traced_rename(path, target):
        events.append(("rename", path))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "rename", traced_rename)
    create_store(tmp_path / "deep/x.zarr", SHAPE, bank(), b"{}")
    at = next(number for number, (what, _) in enumerate(events) if what == "rename")
    temporary = events[at][1]
    store = tmp_path / "deep/x.zarr"
    inside = {temporary, *(temporary / path.relative_to(store) for path in store.rglob("*"))}
    assert events[0] == ("sync", tmp_path) and {path for _, path in events[1:at]} == inside
    assert events[at + 1 :] == [("sync", tmp_path / "deep")]


def test_permissions_follow_the_umask(tmp_path):
    script = "import os; os.umask(0o027); from pathlib import Path\n"
    script += "from tests.unit.synth.store.test_layout import SHAPE, bank, create_store\n"
    script += f"create_store(Path({str(tmp_path / 'x.zarr')!r}), SHAPE, bank(), b'{{}}')"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[4])
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "x.zarr").rglob("*") if path.is_dir()}
    assert modes == {0o750} and (tmp_path / "x.zarr").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "x.zarr/manifest.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["store", "file", "folder"])
def test_what_exists_is_never_replaced(tmp_path, kind):
    target = tmp_path / "x.zarr"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    with pytest.raises(RefusalError, match=r"x\.zarr: exists already"):
        create_store(target, SHAPE, bank(), b"{}")
    assert (target if kind == "file" else target / "mine.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"], "no temporary is left"


@pytest.mark.parametrize("step", ["write_metadata", "encode_bank", "sync_path", "mkdtemp"])
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, step):
    def fail(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(layout.tempfile if step == "mkdtemp" else layout, step, fail)
    with pytest.raises(StoreError, match=r"x\.zarr: No space left on device: the disk is full"):
        create_store(tmp_path / "x.zarr", SHAPE, bank(), b"{}")
    assert list(tmp_path.iterdir()) == []
