"""Rendered scenes as samples: the frame of :mod:`synth.scene` with everything known about it, into the store's columns."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from synth.errors import RenderError
from synth.plan import PlanRow
from synth.recipe import SynthesisRecipe
from synth.sample import Levels, MaskLevels, SampleKind, TargetKind
from synth.scene import SceneConfig
from synth.scene.frame import SceneRenderer
from synth.scene.truth import FrameTruth
from synth.sources import SourceTable
from synth.targets import MEASURES, measure_table

Values = Mapping[str, Sequence[float]]
"""What is known of one sample by full column name: one value, one for every axis, or one for every target or impostor."""

_SHARED: Values = {
    "sample/kind": (SampleKind.ORIGINAL,), "sample/labelled": (1,), "sample/bit_depth": (8,), "sample/noise_window": (-1,),
    "sample/pass_index": (-1,), "sample/target_index": (-1,), "sample/box_rc": (-1, -1),
}  # fmt: skip
"""Columns that are the same for every scene; what SIRST-5K synthesis does to a sample is -1 for "not done", or 0."""

_TARGET_TRUTHS = {
    "row_subpx": "row_subpx", "col_subpx": "col_subpx", "area_px": "area_px", "scr_view": "scr_view", "track_id": "track_id",
    "flux_raw": "flux", "peak_raw": "peak_dn", "sigma_row_px": "sigma_row_px", "sigma_col_px": "sigma_col_px",
    "theta_turns": "theta_turns", "level": "level", "polarity": "polarity", "mask_threshold": "mask_threshold",
    "component": "component", "scr_mode": "scr_mode", "scr_requested": "scr_requested", "scr_expected": "scr_expected",
    "scr_raw": "scr_raw", "snr_matched": "snr_matched", "range_km": "range_km", "intensity_w_sr": "intensity_w_sr",
}  # fmt: skip
"""Attribute of a target's truth by column."""
_IMPOSTOR_TRUTHS = {"kind": "kind", "row_px": "row", "col_px": "col", "height_px": "height", "width_px": "width"}
"""Attribute of an impostor's truth by column."""
_MEASURED = tuple((f"target/{name}", MEASURES.index(name)) for name in ("peak_contrast", "flux"))
"""Column and position in :data:`~synth.targets.MEASURES` of what is measured in the view."""


class TruthRenderer:
    """Renders the samples of a recipe whose samples are scenes.

    Args:
        recipe: What to make; its source is a :class:`~synth.scene.config.SceneConfig`.
        table: Its source table, which names the plates.

    Raises:
        SourceError: The plate folder cannot be used.
    """

    def __init__(self, recipe: SynthesisRecipe, table: SourceTable) -> None:
        assert isinstance(recipe.source, SceneConfig)
        self._recipe = recipe
        self._scenes = SceneRenderer(recipe.source, recipe.seed)
        if self._scenes.stage.plates is not None:
            self._scenes.stage.plates.expect({plate["id"]: plate["image_sha256"] for plate in table.plates})
        self._plate_codes = {plate["id"]: code for code, plate in enumerate(table.plates)}

    def fill(
        self,
        row: PlanRow,
        image: Levels,
        mask: MaskLevels,
        raw: npt.NDArray[np.uint16] | None,
        out: npt.NDArray[np.void],
        at: int,
    ) -> None:
        """Render one sample into buffers and write its columns.

        Args:
            row: What the sample is.
            image: uint8 canvas, overwritten with the view.
            mask: uint8 canvas, overwritten with {0, 1}.
            raw: uint16 canvas, overwritten with the sensor's levels, or None where they are not kept.
            out: Records of :func:`~synth.store.schema.record_dtype`.
            at: Row to write.

        Raises:
            RenderError: The scene holds more targets or impostors than the store has slots for.
        """
        frame = self._scenes.render(row.source)
        image[...], mask[...] = frame.levels, frame.mask
        if raw is not None:
            raw[...] = frame.raw
        truth = frame.truth
        self._require_slots(row.index, "targets", truth.targets, self._recipe.max_targets)
        self._require_slots(row.index, "impostors", truth.impostors, self._recipe.max_impostors)
        measured = measure_table(frame.levels, frame.mask, 255)
        values = {**_SHARED, **self._sample_values(row, truth), **_target_values(truth, measured), **_impostor_values(truth)}
        write_record(out, at, values, len(truth.targets), len(truth.impostors))

    def _sample_values(self, row: PlanRow, truth: FrameTruth) -> Values:
        return {
            "sample/source": (row.source,), "sample/valid_hw": self._recipe.canvas_hw,
            "sample/num_targets": (len(truth.targets),), "sample/num_impostors": (len(truth.impostors),),
            "sample/regime": (truth.regime,), "sample/plate": (self._plate_codes.get(truth.plate_id, -1),),
            "sample/camera_id": (truth.camera_id,), "sample/sequence_id": (truth.sequence_id,),
            "sample/frame_index": (truth.frame_index,), "sample/time_s": (truth.time_s,),
            "sample/num_rejected": (truth.num_rejected,), "sample/saturated_px": (truth.saturated_px,),
        }  # fmt: skip

    @staticmethod
    def _require_slots(index: int, what: str, found: Sequence[object], slots: int) -> None:
        if len(found) > slots:
            raise RenderError(f"sample {index}: {len(found)} {what}, more than max_{what} = {slots}; raise max_{what}")


_target_truth, _impostor_truth = (attrgetter(*truths.values()) for truths in (_TARGET_TRUTHS, _IMPOSTOR_TRUTHS))
_TARGET_COLUMNS, _IMPOSTOR_COLUMNS = (
    tuple(f"{group}/{name}" for name in truths) for group, truths in (("target", _TARGET_TRUTHS), ("impostor", _IMPOSTOR_TRUTHS))
)


def _target_values(truth: FrameTruth, measured: npt.NDArray[np.float64]) -> Values:
    """Return the truth of every target, and contrast and flux as the view shows them (of its component of the mask)."""
    if not truth.targets:
        return {}
    shown = measured.tolist()
    values = dict(zip(_TARGET_COLUMNS, zip(*map(_target_truth, truth.targets), strict=True), strict=True))
    for column, measure in _MEASURED:
        values[column] = tuple(shown[target.component][measure] for target in truth.targets)
    values["target/kind"] = (TargetKind.SCENE,) * len(truth.targets)
    return values


def _impostor_values(truth: FrameTruth) -> Values:
    rows = zip(*map(_impostor_truth, truth.impostors), strict=True)
    return dict(zip(_IMPOSTOR_COLUMNS, rows, strict=True)) if truth.impostors else {}


def write_record(out: npt.NDArray[np.void], at: int, values: Values, num_targets: int, num_impostors: int) -> None:
    """Write one record in one go: numpy takes a tenth of a microsecond for each of some hundred assignments.

    Args:
        out: Records of :func:`~synth.store.schema.record_dtype`, C-contiguous.
        at: Row to write; columns and slots without a value become 0.
        values: Values by column; those of targets and impostors have as many as there are.
        num_targets: How many targets there are.
        num_impostors: How many impostors.
    """
    lengths = {"target": num_targets, "impostor": num_impostors}
    names, layout = _layout(out.dtype, frozenset(values), *lengths.values())
    layout.pack_into(out.view(np.uint8).data, at * out.dtype.itemsize, *chain.from_iterable([values[name] for name in names]))


@lru_cache(maxsize=1024)
def _layout(
    dtype: np.dtype[np.void], given: frozenset[str], num_targets: int, num_impostors: int
) -> tuple[tuple[str, ...], struct.Struct]:
    """Return the columns that are given in record order, and the format of their values with zeros in between."""
    used, names, codes = {"target": num_targets, "impostor": num_impostors}, [], ["<"]
    for name in dtype.names or ():
        base, slots = dtype[name].base, math.prod(dtype[name].shape)
        num = used.get(name.partition("/")[0], slots) if name in given else 0
        codes.append(f"{num}{_CODES[base.str]}{(slots - num) * base.itemsize}x")
        names += [name] if num else []
    return tuple(names), struct.Struct("".join(codes))


_CODES = {"|u1": "B", "<i4": "i", "<f4": "f", "<f8": "d"}
"""Code of the struct module by dtype of a column."""
