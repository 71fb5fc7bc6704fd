"""The columns of a store: one numeric array per field, named, typed and explained once.

Enumerations and ids are integer codes whose tables stand in ``manifest.json``; ``target/*`` is padded to K slots with
zeros and ``sample/num_targets`` says how many count. A record of all columns but the digest, in this order and
little-endian, is what a sample's digest covers besides its image and mask.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from synth.sample import SampleKind, TargetKind
from synth.scene.truth import ImpostorKind, Regime, ScrMode, TargetLevel

FORMAT = "sirst-foundry-store"
FORMAT_VERSION = 1

_ENUMERATIONS: dict[str, type[IntEnum]] = {
    "sample/kind": SampleKind,
    "sample/regime": Regime,
    "target/kind": TargetKind,
    "target/level": TargetLevel,
    "target/scr_mode": ScrMode,
    "impostor/kind": ImpostorKind,
}
CODE_TABLES = {name: {member.name.lower(): int(member) for member in kind} for name, kind in _ENUMERATIONS.items()}


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


TRUTH_SAMPLE_FIELDS = (
    Field("regime", "|u1", "code: kind of background"),
    Field("plate", "<i4", "code of the real frame behind the scene: its position in manifest sources.plates, -1 for none"),
    Field("num_impostors", "<i4", "how many impostor slots count"),
    Field("num_rejected", "<i4", "target positions drawn and refused"),
    Field("saturated_px", "<i4", "pixels clipped at the well or a rail"),
)
"""Further columns of stores whose samples are rendered scenes."""
TRUTH_TARGET_FIELDS = (
    Field("flux_raw", "<f4", "sum of the target's signal over its pixels, raw DN, negative for dark targets"),
    Field("peak_raw", "<f4", "signal in its strongest pixel, raw DN"),
    Field("sigma_row_px", "<f4", "total sigma along its first axis (rows at theta 0), px"),
    Field("sigma_col_px", "<f4", "total sigma along its second axis, px"),
    Field("theta_turns", "<f4", "turn of the second axis away from the columns, 0..1 turns"),
    Field("level", "|u1", "code: how the target is modelled"),
    Field("polarity", "<i4", "1 bright, -1 dark"),
    Field("mask_threshold", "<f4", "share of its peak from which a pixel belongs to the mask"),
    Field("component", "<i4", "which 8-connected component of the mask it lies in"),
    Field("scr_mode", "|u1", "code: how its amplitude was found"),
    Field("scr_requested", "<f4", "signal-to-clutter ratio asked for; NaN where it follows from the range"),
    Field("scr_expected", "<f4", "mean signal over the mask over the expected background sigma"),
    Field("scr_raw", "<f4", "signal-to-clutter ratio measured on the raw frame; NaN where it cannot be"),
    Field("snr_matched", "<f4", "sqrt(sum of squared signal) over the noise sigma of a pixel"),
    Field("range_km", "<f4", "range, km; NaN where the target was asked for by its ratio"),
    Field("intensity_w_sr", "<f4", "contrast radiant intensity (L_t - L_b) * A, W/sr; NaN where it is not known"),
)
IMPOSTOR_FIELDS = (
    Field("kind", "|u1", "code: kind of hard negative"),
    Field("row_px", "<f4", "row of its middle"),
    Field("col_px", "<f4", "column of its middle"),
    Field("height_px", "<f4", "rows of its bounding box"),
    Field("width_px", "<f4", "columns of its bounding box"),
)


def column_fields(max_targets: int, max_impostors: int = 0) -> list[tuple[str, Field, tuple[int, ...]]]:
    """Return (full name, field, shape beyond N) of every column but the digest, in record order.

    Args:
        max_targets: K.
        max_impostors: J; 0 leaves the columns of rendered scenes out.
    """
    groups: list[tuple[str, tuple[Field, ...], tuple[int, ...]]] = [
        ("sample", SAMPLE_FIELDS, ()),
        ("target", TARGET_FIELDS, (max_targets,)),
    ]
    if max_impostors:
        groups += [("sample", TRUTH_SAMPLE_FIELDS, ()), ("target", TRUTH_TARGET_FIELDS, (max_targets,))]
        groups += [("impostor", IMPOSTOR_FIELDS, (max_impostors,))]
    return [(f"{group}/{f.name}", f, (*slots, *f.shape)) for group, fields, slots in groups for f in fields]


def record_dtype(max_targets: int, max_impostors: int = 0) -> np.dtype[np.void]:
    """Return the packed dtype of one sample's columns, fields named by their full name."""
    return np.dtype([(name, f.dtype, shape) for name, f, shape in column_fields(max_targets, max_impostors)])


def sample_digest(
    image: npt.NDArray[np.generic],
    mask: npt.NDArray[np.uint8],
    record: bytes,
    raw: npt.NDArray[np.uint16] | None = None,
) -> bytes:
    """Return the sha256 of one sample: decoded levels (little-endian), mask bits, column record and raw levels.

    Args:
        image: uint8 or uint16 (H, W), C-contiguous.
        mask: uint8 (H, W) in {0, 1}, C-contiguous.
        record: Bytes of the sample's :func:`record_dtype` entry.
        raw: uint16 (H, W), C-contiguous, where the store keeps them.
    """
    state = hashlib.sha256(image.data if image.dtype.itemsize == 1 else image.astype("<u2", copy=False).data)
    state.update(np.packbits(mask).data)
    state.update(record)
    if raw is not None:
        state.update(raw.astype("<u2", copy=False).data)
    return state.digest()
