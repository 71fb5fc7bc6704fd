"""The columns of a store: one numeric array per field, named, typed and explained once.

Enumerations and ids are integer codes whose tables stand in ``manifest.json``; ``target/*`` is padded to K slots with
zeros and ``sample/num_targets`` says how many count. A record of all columns but the digest, in this order and
little-endian, is what a sample's digest covers besides its image and mask.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.sample import SampleKind, TargetKind

FORMAT = "sirst-foundry-store"
FORMAT_VERSION = 1

CODE_TABLES: dict[str, dict[str, int]] = {
    "sample/kind": {kind.name.lower(): int(kind) for kind in SampleKind},
    "target/kind": {kind.name.lower(): int(kind) for kind in TargetKind},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column: array name below its group, dtype, shape beyond (N,) or (N, K), and meaning with unit."""

    name: str
    dtype: str
    meaning: str
    shape: tuple[int, ...] = ()


SAMPLE_FIELDS = (
    Field("kind", "|u1", "code: untouched original or mixed and rotated copy"),
    Field("labelled", "|u1", "1 when the mask is a label, 0 when it is unknown"),
    Field("source", "<i4", "code of the source frame: its position in manifest sources.frames"),
    Field("valid_hw", "<i4", "rows and columns from the top left that are not padding, px", (2,)),
    Field("origin_rc", "<i4", "first pixel of the crop in the source frame, row and col, px", (2,)),
    Field("num_targets", "<i4", "how many target slots count"),
    Field("bit_depth", "|u1", "bits of the levels the image was made from"),
    Field("alpha", "<f4", "weight of the noise, 0..1"),
    Field("noise_window", "<i4", "row of the noise bank, -1 for none"),
    Field("noise_gain", "<f4", "factor on the noise window's fluctuation"),
    Field("pass_index", "<i4", "number of the pass, -1 for originals"),
    Field("target_index", "<i4", "which target of the source frame was rotated, -1 for none"),
    Field("box_rc", "<i4", "first pixel of the rotated square, row and col in the canvas, -1 for none", (2,)),
    Field("box_side", "<i4", "side of the rotated square, px, 0 for none"),
    Field("rotation", "|u1", "quarter turns, counter-clockwise"),
    Field("sequence_id", "<i4", "sequence the frame belongs to, -1 for single frames"),
    Field("frame_index", "<i4", "position in its sequence"),
    Field("time_s", "<f8", "time in its sequence, seconds"),
    Field("camera_id", "<i4", "virtual camera, -1 for none"),
)
DIGEST_FIELD = Field("digest", "|u1", "sha256 over image, mask and all other columns of the sample", (32,))
TARGET_FIELDS = (
    Field("row_subpx", "<f4", "row of the centre (unweighted centroid of the component), px"),
    Field("col_subpx", "<f4", "column of the centre, px"),
    Field("area_px", "<i4", "pixels of the component"),
    Field("peak_contrast", "<f4", "highest level minus background mean, grey levels of 0..255"),
    Field("flux", "<f4", "sum over the component of level minus background mean, grey levels of 0..255"),
    Field("scr_view", "<f4", "(mean - mu_b) / sigma_b in the stored image, box + 20 px, guard 3 px; NaN: no background"),
    Field("track_id", "<i4", "track of a sequence, -1 for single frames"),
    Field("kind", "|u1", "code: where the target comes from"),
)  # fmt: skip


def record_dtype(max_targets: int) -> np.dtype[np.void]:
    """Return the packed dtype of one sample's columns, fields named ``sample/x`` and ``target/x``."""
    fields = [(f"sample/{f.name}", f.dtype, f.shape) for f in SAMPLE_FIELDS]
    fields += [(f"target/{f.name}", f.dtype, (max_targets, *f.shape)) for f in TARGET_FIELDS]
    return np.dtype(fields)


def sample_digest(image: npt.NDArray[np.generic], mask: npt.NDArray[np.uint8], record: bytes) -> bytes:
    """Return the sha256 of one sample: decoded levels (little-endian), mask bits and column record.

    Args:
        image: uint8 or uint16 (H, W), C-contiguous.
        mask: uint8 (H, W) in {0, 1}, C-contiguous.
        record: Bytes of the sample's :func:`record_dtype` entry.
    """
    state = hashlib.sha256(image.data if image.dtype.itemsize == 1 else image.astype("<u2", copy=False).data)
    state.update(np.packbits(mask).data)
    state.update(record)
    return state.digest()
