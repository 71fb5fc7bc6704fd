"""Laws of the readers that hold for any input."""

from __future__ import annotations

import io
import string
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from synth.corpora.decode import decode_levels, decode_mask
from synth.corpora.families import ListFamily
from synth.corpora.grouping import draw_validation
from synth.corpora.lists import hash_ids, read_list
from synth.corpora.splits import split_ids
from synth.errors import FoundryError, SourceError

NAME = Path("some/file.png")
ID = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
IDS = st.lists(ID, min_size=1, max_size=30, unique_by=str.lower)


def saved(values, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from(["PNG", "TIFF"]), st.booleans(), st.integers(0, 2**32 - 1))
def test_levels_survive_saving(rows, cols, kind, deep, seed):
    top, dtype = (65536, np.uint16) if deep else (256, np.uint8)
    values = np.random.default_rng(seed).integers(0, top, (rows, cols)).astype(dtype)
    levels = decode_levels(saved(values, kind), NAME)
    assert levels.dtype == dtype
    np.testing.assert_array_equal(levels, values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["PNG", "BMP", "TIFF", "JPEG"]), st.data())
def test_damaged_files_are_named_errors_or_images(kind, data):
    values = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    content = bytearray(saved(values, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    for decode in (decode_levels, lambda bytes_, name: decode_mask(bytes_, name, "auto")[0]):
        try:
            result = decode(bytes(content), NAME)
        except SourceError as error:
            assert str(NAME) in str(error) and "\n" not in str(error)
        else:
            assert result.ndim == 2 and min(result.shape) >= 8


@settings(max_examples=100, deadline=None)
@given(IDS, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", ".png", ".BMP", "  "]), st.booleans())
def test_lists_are_read_back(tmp_path_factory, ids, newline, ending, final):
    path = tmp_path_factory.getbasetemp() / "list.txt"
    path.write_bytes((newline.join(f"{name}{ending}" for name in ids) + (newline if final else "")).encode())
    assert read_list(path, root=path.parent.resolve()) == tuple(ids)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_named_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "list.txt"
    path.write_bytes(content)
    try:
        ids = read_list(path, root=path.parent.resolve())
    except FoundryError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert ids and all("/" not in name and not name.startswith(".") for name in ids)


@given(IDS, st.randoms(use_true_random=False))
def test_identity_of_a_list_ignores_order(ids, random):
    shuffled = list(ids)
    random.shuffle(shuffled)
    assert hash_ids(shuffled) == hash_ids(ids)
    assert hash_ids(ids[:-1]) != hash_ids(ids)


@given(st.lists(ID, min_size=4, max_size=40, unique=True), st.data())
def test_splits_divide_the_train_list(ids, data):
    num_train = data.draw(st.integers(2, len(ids) - 1))
    num_val = data.draw(st.integers(1, num_train - 1))
    train = tuple(ids[:num_train]) if data.draw(st.booleans()) else tuple(ids[num_val:num_train])
    family = ListFamily("f", {"train": train, "val": tuple(ids[:num_val]), "test": tuple(ids[num_train:])}, Path("val.txt"))
    parts = [split_ids(family, split) for split in ("train", "val", "test")]
    assert parts[0] | parts[1] == split_ids(family, "trainval") == set(ids[:num_train])
    assert sum(map(len, parts)) == len(ids) == len(frozenset().union(*parts))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), min_size=2, max_size=60), st.data())
def test_validation_never_cuts_a_group(frames, data):
    groups = np.unique([group for group, _ in frames], return_inverse=True)[1].astype(np.int64)
    strata = np.array([stratum for _, stratum in frames])
    num = data.draw(st.integers(1, len(frames) - 1))
    try:
        drawn = draw_validation(groups, strata, num, data.draw(st.integers(0, 100)))
    except SourceError as error:
        assert "whole groups" in str(error)
    else:
        assert drawn.sum() == num
        assert not set(groups[drawn]) & set(groups[~drawn])
