"""The fast reader: value for value what stock zarr reads, and an error wherever stock zarr would make something up."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from synth import open_store
from synth.errors import FoundryError, RefusalError, StoreError, VerificationError
from synth.sample import TargetKind
from synth.store import reader
from synth.store.codec import DamagedChunkError, encode_chunk, shard_index
from synth.store.layout import array_specs, noise_specs
from synth.store.manifest import Manifest
from synth.targets import measure_targets
from tests.support.stores import begun_store, flip_bit, write_shards

N = 60
INDICES = st.lists(st.integers(0, N - 1), max_size=12)


@pytest.fixture(scope="module", params=["uint8", "uint16"])
def both(request, finished, finished_wide):
    """Return our view and stock zarr's of one store."""
    path = finished if request.param == "uint8" else finished_wide
    return open_store(path), zarr.open_group(path, mode="r")


def test_every_array_is_what_stock_zarr_reads(both):
    ours, theirs = both
    everything = range(N)
    assert np.array_equal(ours.images(everything), theirs["image"][:])
    assert np.array_equal(ours.masks(everything), theirs["mask"][:])
    shape = Manifest.load(ours.path).shape
    columns = [n for n in (*array_specs(shape), *noise_specs(shape)) if n not in ("image", "mask")]
    assert len(columns) == 28 + 7
    for name in columns:
        column = ours.column(name)
        assert column.dtype == theirs[name].dtype and column.shape == theirs[name].shape
        assert np.array_equal(column, theirs[name][:], equal_nan=column.dtype.kind == "f")


@given(indices=INDICES)
def test_any_indices_in_any_order(both, indices):
    ours, theirs = both
    assert np.array_equal(ours.images(indices), theirs["image"].oindex[indices] if indices else np.empty((0, 64, 64)))
    assert np.array_equal(
        ours.masks(np.array(indices, int)), np.stack([theirs["mask"][i] for i in indices] or [[]]).reshape(-1, 64, 64)
    )


def test_types(both):
    ours, theirs = both
    assert ours.images([3]).dtype == theirs["image"].dtype and ours.masks([3]).dtype == np.uint8
    assert ours.images([3, 3, 1]).flags.c_contiguous and ours.images([3, 3, 1]).flags.writeable
    assert len(ours) == N and ours.image_hw == (64, 64)
    assert ours.manifest["content_hash"] == Manifest.load(ours.path).content_hash


def test_shards_of_stock_zarr_are_read(finished, tmp_path):
    """The same values written by stock zarr with our codecs, in its own process of encoding."""
    copy = tmp_path / "x.zarr"
    theirs = zarr.open_group(finished, mode="r")
    begun_store(copy, Manifest.load(finished).recipe, Manifest.load(finished).source_root)
    with zarr.config.set({"array.write_empty_chunks": True}):
        written = zarr.open_group(copy, mode="r+")
        for name, array in theirs.members(max_depth=None):
            if isinstance(array, zarr.Array):
                written[name][:] = array[:]
    ours, original = open_store(copy, allow_incomplete=True), open_store(finished)
    assert np.array_equal(ours.images(range(N)), original.images(range(N)))
    assert np.array_equal(ours.masks(range(N)), original.masks(range(N)))
    assert all(np.array_equal(ours.column(n), original.column(n)) for n in ("sample/digest", "target/flux", "noise/patch"))


@pytest.mark.parametrize("bad", [[-1], [N], [0, 1, 10**12]])
def test_indices_out_of_range(finished, bad):
    store = open_store(finished)
    for read in (store.images, store.masks):
        with pytest.raises(IndexError, match=r"0\.\.59"):
            read(bad)
    with pytest.raises(IndexError):
        store[bad[-1]]


def test_unknown_column(finished):
    with pytest.raises(KeyError):
        open_store(finished).column("sample/nothing")


def test_columns_cannot_be_written(finished):
    with pytest.raises(ValueError, match="read-only"):
        open_store(finished).column("sample/alpha")[0] = 1


def test_sample_of_a_copy(finished):
    """A sample holds what its columns say, and its targets are those measured on its image and mask."""
    store = open_store(finished)
    rows = np.flatnonzero(store.column("sample/pass_index") == 1)
    sample = store[rows[5]]
    assert sample.image.dtype == np.float32 and sample.mask.dtype == np.bool_
    assert np.array_equal(np.rint(sample.image * 255), store.images([rows[5]])[0])
    assert np.array_equal(sample.mask, store.masks([rows[5]])[0].astype(bool))
    made = sample.provenance
    source = int(store.column("sample/source")[rows[5]])
    assert made.parent_ids == (store.manifest["sources"]["frames"][source]["id"],)
    assert (made.seed, made.index, made.recipe_hash) == (0, rows[5], store.manifest["recipe_hash"])
    window = store.column("sample/noise_window")[rows[5]]
    assert made.operations[0] == f"mix noise window {window} at alpha 0.3"
    assert made.operations[1].startswith("rotate 8 px at (") and made.operations[1].endswith(" degrees")
    assert sample.valid_hw == tuple(store.column("sample/valid_hw")[rows[5]]) and sample.bit_depth == 8
    assert len(sample.targets) == store.column("sample/num_targets")[rows[5]] > 0
    levels, mask = store.images([rows[5]])[0], store.masks([rows[5]])[0]
    for stored, measured in zip(sample.targets, measure_targets(levels, mask, 255, sample.valid_hw), strict=True):
        assert (stored.area_px, stored.kind) == (measured.area_px, TargetKind.REAL)
        assert stored.row_subpx == np.float32(measured.row_subpx) and stored.flux == np.float32(measured.flux)


def test_samples_in_order_are_the_whole_store(finished):
    store = open_store(finished)
    samples = list(store)
    assert len(samples) == N
    assert [s.provenance.operations for s in samples[:4]] == [()] * 4, "originals first"
    assert all(len(s.provenance.operations) == 2 for s in samples[4:])
    assert {s.valid_hw for s in samples} == {(64, 64), (48, 64), (40, 36)}, "padding of smaller frames is told"


def test_sample_of_16_bit_levels(finished_wide):
    sample = open_store(finished_wide)[20]
    assert 0.0 <= sample.image.min() < sample.image.max() <= 1.0
    assert np.array_equal(np.rint(sample.image.astype(np.float64) * 65535), open_store(finished_wide).images([20])[0])


def test_noise_bank(finished):
    bank = open_store(finished).noise_bank()
    assert len(bank) > 10 and bank.patch.shape[1:] == (16, 16)
    assert bank.digest() == Manifest.load(finished).content["noise_digest"]


MISSING = ["image/c/2/0/0", "mask/c/2/0/0", "sample/alpha/c/2", "target/flux/c/2/0", "noise/patch/c/0/0/0"]


def read_all(store):
    for number in range(N):
        _ = store.images([number]), store.masks([number])
    for name in ("sample/alpha", "target/flux", "noise/patch"):
        store.column(name)


@pytest.mark.parametrize("name", MISSING)
def test_missing_file_is_an_error_that_names_it(damaged, name):
    """Stock zarr reads the fill value there, without a word."""
    (damaged / name).unlink()
    array = zarr.open_group(damaged, mode="r")[name.split("/c/")[0]]
    assert not np.any(array[14:21] if "noise" not in name else array[:])
    with pytest.raises(StoreError, match=f"{name}: No such file or directory; run verify --repair"):
        read_all(open_store(damaged))


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damaged_file_is_an_error_that_names_it(damaged, name, damage):
    path = damaged / name
    if damage == "flip":
        flip_bit(path)
    else:
        path.write_bytes(path.read_bytes()[:-5] if damage == "truncate" else b"")
    with pytest.raises(VerificationError, match=f"{name}: .*run verify --repair") as raised:
        read_all(open_store(damaged))
    assert isinstance(raised.value, DamagedChunkError) and "\n" not in str(raised.value)


@pytest.mark.parametrize("part", ["mask", "sample/digest"])
def test_every_flipped_bit_of_a_file_is_noticed(damaged, part):
    """All bits of the smaller files of a shard, image chunks being covered in the tests of the codec."""
    spec = array_specs(Manifest.load(damaged).shape)[part]
    path = damaged / spec.file_of(8)
    good, store = path.read_bytes(), open_store(damaged)
    for bit in range(0, 8 * len(good), 3):
        flip_bit(path, bit)
        store._shards.clear()
        with pytest.raises(DamagedChunkError):
            store.masks(range(56, 60)) if part == "mask" else store.shard_columns(8)
        path.write_bytes(good)


def test_chunk_that_does_not_exist(damaged):
    """The last shard holds 4 of 7 chunks; a store that claims more samples must not read a fill value."""
    manifest = Manifest.load(damaged)
    manifest.content["shape"]["num_samples"] = 61
    for name in manifest.content["arrays"]:
        if not name.startswith("noise"):
            file = damaged / name / "zarr.json"
            meta = json.loads(file.read_bytes())
            meta["shape"][0] = 61
            file.write_text(json.dumps(meta))
    with pytest.raises(DamagedChunkError, match="sample 60: the shard holds no such chunk"):
        reader.Store(damaged, manifest).images([60])


@pytest.mark.parametrize("num_chunks", [1, 6])
def test_shard_with_a_shorter_index(damaged, num_chunks):
    """A consistent shard of fewer chunks in the place of one of seven."""
    chunk = encode_chunk(np.zeros((64, 64), np.uint8))
    lengths = [len(chunk)] * num_chunks
    whole = b"".join([chunk] * num_chunks) + shard_index(lengths, num_chunks)
    (damaged / "image/c/0/0/0").write_bytes(whole if num_chunks > 1 else shard_index([], 1))
    with pytest.raises(DamagedChunkError, match="image/c/0/0/0"):
        open_store(damaged).images([6])


@pytest.mark.parametrize("linked", ["image/c/2/0/0", "image/c/2", "image/c", "sample/alpha/c", "sample/alpha/c/2"])
def test_links_are_refused(damaged, linked):
    (damaged / linked).rename(damaged.parent / "moved")
    (damaged / linked).symlink_to(damaged.parent / "moved")
    with pytest.raises(RefusalError, match=f"{linked}: is a symbolic link"):
        read_all(open_store(damaged))


def test_unfinished_store_is_refused_unless_asked_for(finished, tmp_path):
    path = tmp_path / "x.zarr"
    begun_store(path, Manifest.load(finished).recipe, Manifest.load(finished).source_root)
    write_shards(path, [1])
    with pytest.raises(RefusalError, match="is not finished; run its synthesize again"):
        open_store(path)
    store = open_store(path, allow_incomplete=True)
    assert np.array_equal(store.images([7, 13]), open_store(finished).images([7, 13]))
    with pytest.raises(StoreError, match="image/c/0/0/0: No such file"):
        store.images([7, 6])


@pytest.mark.parametrize("kind", ["nothing", "file", "folder"])
def test_no_store(tmp_path, kind):
    path = tmp_path / "x.zarr"
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(RefusalError, match=r"x\.zarr: (not found|is no foundry store)"):
        open_store(path)


@pytest.mark.parametrize("name", ["image", "mask", "sample/alpha"])
def test_array_of_another_length_is_refused(damaged, name):
    file = damaged / name / "zarr.json"
    meta = json.loads(file.read_bytes())
    meta["shape"][0] = 59
    file.write_text(json.dumps(meta))
    with pytest.raises(RefusalError, match=f"array {name} must hold the 60 samples"):
        open_store(damaged)


def test_array_of_another_size_is_refused(damaged):
    (damaged / "mask/zarr.json").write_bytes((damaged / "sample/alpha/zarr.json").read_bytes())
    with pytest.raises(RefusalError, match="array mask must be sharded images"):
        open_store(damaged)


def test_store_without_images_is_refused(damaged):
    manifest = json.loads((damaged / "manifest.json").read_bytes())
    manifest["arrays"].remove("image")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RefusalError, match="has no image and mask arrays"):
        open_store(damaged)


def sum_in_another_process(store, queue):
    queue.put((int(store.images(range(N)).sum()), store[5].provenance.index))


def test_goes_to_other_processes(finished):
    """Files reopen there; nothing of the size of the data travels."""
    store = open_store(finished)
    expected = int(store.images(range(N)).sum())
    assert len(pickle.dumps(store)) < 1000
    assert np.array_equal(pickle.loads(pickle.dumps(store)).images([1]), store.images([1]))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=sum_in_another_process, args=(store, queue))
    process.start()
    assert queue.get(timeout=60) == (expected, 5)
    process.join()


@pytest.mark.parametrize("max_open", [1, 3, 64])
def test_threads_may_share_a_store(finished, monkeypatch, max_open):
    """With fewer files kept open than there are shards, so that every thread closes what another one reads."""
    monkeypatch.setattr(reader, "MAX_OPEN_SHARDS", max_open)
    store = open_store(finished)
    expected = zarr.open_group(finished, mode="r")["image"][:]
    start = threading.Barrier(8)

    def work(seed):
        start.wait(30)
        rng = np.random.default_rng(seed)
        for _ in range(40):
            indices = rng.integers(0, N, 9)
            if not np.array_equal(store.images(indices), expected[indices]):
                return False
            store.masks(indices)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(store._shards) <= max_open


def num_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_files_are_closed_again(finished, monkeypatch):
    monkeypatch.setattr(reader, "MAX_OPEN_SHARDS", 4)
    before = num_open()
    store = open_store(finished)
    for _ in range(3):
        store.images(range(N))
        store.masks(range(N))
    assert num_open() <= before + 4
    del store
    assert num_open() <= before


def test_stock_zarr_reads_all_of_it_without_a_warning(finished):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(finished)
        names = [name for name, _ in group.members(max_depth=None)]
        assert {"image", "mask", "sample", "target", "noise", "sample/alpha", "noise/patch"} <= set(names)
        assert group["image"][59].any() and group["mask"][:].max() == 1


def test_any_byte_changed_anywhere_is_read_or_refused(damaged):
    """No other exception than the project's own, whatever is damaged; one byte in each file in turn."""
    files = [path for path in sorted(damaged.rglob("*")) if path.is_file()]
    assert len(files) > 300
    for path in files:
        good = path.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 3] ^= 0x40
        path.write_bytes(bad)
        try:
            store = open_store(damaged)
            store.images([0, 59])
            _ = store[20]
        except FoundryError as error:
            assert "\n" not in str(error)
        path.write_bytes(good)


def test_paths_may_be_text(finished):
    assert len(open_store(str(finished))) == len(open_store(Path(finished))) == N
