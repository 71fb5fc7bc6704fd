"""Columns and digests: frozen names, types and codes, and a digest that covers every value."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from synth.sample import SampleKind, TargetKind
from synth.store.schema import CODE_TABLES, DIGEST_FIELD, SAMPLE_FIELDS, TARGET_FIELDS, record_dtype, sample_digest

VERSION_1 = {
    "kind": "|u1", "labelled": "|u1", "source": "<i4", "valid_hw": "<i4", "origin_rc": "<i4", "num_targets": "<i4",
    "bit_depth": "|u1", "alpha": "<f4", "noise_window": "<i4", "noise_gain": "<f4", "pass_index": "<i4",
    "target_index": "<i4", "box_rc": "<i4", "box_side": "<i4", "rotation": "|u1", "sequence_id": "<i4",
    "frame_index": "<i4", "time_s": "<f8", "camera_id": "<i4",
}  # fmt: skip
VERSION_1_TARGETS = {
    "row_subpx": "<f4", "col_subpx": "<f4", "area_px": "<i4", "peak_contrast": "<f4", "flux": "<f4", "scr_view": "<f4",
    "track_id": "<i4", "kind": "|u1",
}  # fmt: skip
ALLOWED = {"|b1", "|u1", "<u2", "<i4", "<i8", "<u8", "<f4", "<f8"}


def test_columns_of_version_1_in_order():
    """Order, names and types enter every digest: a change here is another format version."""
    assert [(f.name, f.dtype) for f in SAMPLE_FIELDS] == list(VERSION_1.items())
    assert [(f.name, f.dtype) for f in TARGET_FIELDS] == list(VERSION_1_TARGETS.items())
    assert {f.name: f.shape for f in SAMPLE_FIELDS if f.shape} == {"valid_hw": (2,), "origin_rc": (2,), "box_rc": (2,)}
    assert (DIGEST_FIELD.name, DIGEST_FIELD.dtype, DIGEST_FIELD.shape) == ("digest", "|u1", (32,))


def test_types_are_on_the_allow_list_and_every_column_is_explained():
    for f in (*SAMPLE_FIELDS, *TARGET_FIELDS, DIGEST_FIELD):
        assert f.dtype in ALLOWED and len(f.meaning) > 10


def test_codes_never_move():
    assert CODE_TABLES["sample/kind"] == {"original": 0, "negative": 1}
    assert CODE_TABLES["target/kind"] == {"real": 0, "scene": 1}
    assert CODE_TABLES["target/scr_mode"] == {"expected": 0, "realised": 1}
    assert CODE_TABLES["target/level"] == {"point": 0, "blob": 1, "extended": 2, "group": 3}
    assert (SampleKind.ORIGINAL, SampleKind.NEGATIVE, TargetKind.REAL, TargetKind.SCENE) == (0, 1, 0, 1)


@pytest.mark.parametrize("max_targets", [1, 16, 255])
def test_record_is_packed(max_targets):
    dtype = record_dtype(max_targets)
    sizes = [np.dtype(f.dtype).itemsize * int(np.prod(f.shape)) for f in SAMPLE_FIELDS]
    sizes += [np.dtype(f.dtype).itemsize * max_targets for f in TARGET_FIELDS]
    assert dtype.itemsize == sum(sizes)
    assert [name.split("/")[0] for name in dtype.names] == ["sample"] * 19 + ["target"] * 8


def sample():
    image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    mask = (image % 7 == 0).astype(np.uint8)
    return image, mask, np.zeros(1, record_dtype(2))


def test_digest_is_the_documented_one():
    image, mask, record = sample()
    bits = np.packbits(mask).tobytes()
    assert sample_digest(image, mask, record[0].tobytes()) == hashlib.sha256(image.tobytes() + bits + record.tobytes()).digest()


def test_digest_of_16_bit_levels_is_little_endian():
    image, mask, record = sample()
    wide = image.astype(np.uint16) * 300
    expected = hashlib.sha256(wide.astype("<u2").tobytes() + np.packbits(mask).tobytes() + record.tobytes()).digest()
    assert sample_digest(wide, mask, record.tobytes()) == expected


def test_digest_changes_with_every_pixel_and_every_field():
    image, mask, record = sample()
    seen = {sample_digest(image, mask, record.tobytes())}
    for array in (image, mask):
        for at in np.ndindex(array.shape):
            changed = array.copy()
            changed[at] ^= 1
            pair = (changed, mask) if array is image else (image, changed)
            seen.add(sample_digest(*pair, record.tobytes()))
    for name in record.dtype.names:
        changed = record.copy()
        changed[name].reshape(-1)[-1] = 1
        seen.add(sample_digest(image, mask, changed.tobytes()))
    assert len(seen) == 1 + 2 * image.size + len(record.dtype.names)
