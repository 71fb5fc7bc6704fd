"""Rendered scenes as samples: the frame of :mod:`synth.scene` with everything known about it, into the store's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.errors import RenderError
from synth.plan import PlanRow
from synth.recipe import SynthesisRecipe
from synth.sample import Levels, MaskLevels, SampleKind, TargetKind
from synth.scene import SceneConfig
from synth.scene.frame import SceneRenderer
from synth.scene.truth import FrameTruth, ImpostorTruth, TargetTruth
from synth.sources import SourceTable
from synth.targets import MEASURES, measure_table

Columns = dict[str, npt.NDArray[Any]]
"""Columns of a shard's records by full name."""

_SHARED: tuple[tuple[str, Any], ...] = (
    ("sample/kind", SampleKind.ORIGINAL), ("sample/labelled", 1), ("sample/bit_depth", 8), ("sample/noise_window", -1),
    ("sample/pass_index", -1), ("sample/target_index", -1), ("sample/box_rc", (-1, -1)),
)  # fmt: skip
"""Columns that are the same for every scene; what SIRST-5K synthesis does to a sample is -1 for "not done", or 0."""

_TARGET_TRUTHS = tuple(
    (f"target/{column}", attribute)
    for column, attribute in {
        "row_subpx": "row_subpx", "col_subpx": "col_subpx", "area_px": "area_px", "scr_view": "scr_view", "track_id": "track_id",
        "flux_raw": "flux", "peak_raw": "peak_dn", "sigma_row_px": "sigma_row_px", "sigma_col_px": "sigma_col_px",
        "theta_turns": "theta_turns", "level": "level", "polarity": "polarity", "mask_threshold": "mask_threshold",
        "component": "component", "scr_mode": "scr_mode", "scr_requested": "scr_requested", "scr_expected": "scr_expected",
        "scr_raw": "scr_raw", "snr_matched": "snr_matched",
        "range_km": "range_km", "intensity_w_sr": "intensity_w_sr",
    }.items()
)  # fmt: skip
"""Column and attribute of a target's truth."""
_MEASURED = tuple((f"target/{name}", MEASURES.index(name)) for name in ("peak_contrast", "flux"))
"""Column and position in :data:`~synth.targets.MEASURES` of what is measured in the view."""
_IMPOSTOR_TRUTHS = tuple(
    (f"impostor/{column}", attribute)
    for column, attribute in {
        "kind": "kind", "row_px": "row", "col_px": "col", "height_px": "height", "width_px": "width",
    }.items()
)  # fmt: skip
"""Column and attribute of an impostor's truth."""


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
        self._records: npt.NDArray[np.void] | None = None
        self._columns: Columns = {}
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
            out: Records of :func:`~synth.store.schema.record_dtype`, zero where untouched.
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
        columns = self._columns_of(out)
        for name, value in self._sample_values(row, truth):
            columns[name][at] = value
        _write_targets(truth.targets, measure_table(frame.levels, frame.mask, 255), columns, at)
        _write_impostors(truth.impostors, columns, at)

    def _columns_of(self, out: npt.NDArray[np.void]) -> Columns:
        """Return views of the records' columns, made once for the records of a shard."""
        if self._records is not out:
            self._records, self._columns = out, {name: out[name] for name in out.dtype.names or ()}
        return self._columns

    def _sample_values(self, row: PlanRow, truth: FrameTruth) -> tuple[tuple[str, Any], ...]:
        return (
            *_SHARED, ("sample/source", row.source), ("sample/valid_hw", self._recipe.canvas_hw),
            ("sample/num_targets", len(truth.targets)), ("sample/num_impostors", len(truth.impostors)),
            ("sample/regime", truth.regime), ("sample/plate", self._plate_codes.get(truth.plate_id, -1)),
            ("sample/camera_id", truth.camera_id), ("sample/sequence_id", truth.sequence_id),
            ("sample/frame_index", truth.frame_index), ("sample/time_s", truth.time_s),
            ("sample/num_rejected", truth.num_rejected), ("sample/saturated_px", truth.saturated_px),
        )  # fmt: skip

    @staticmethod
    def _require_slots(index: int, what: str, found: Sequence[object], slots: int) -> None:
        if len(found) > slots:
            raise RenderError(f"sample {index}: {len(found)} {what}, more than max_{what} = {slots}; raise max_{what}")


def _write_targets(truths: Sequence[TargetTruth], measured: npt.NDArray[np.float64], out: Columns, at: int) -> None:
    """Write the truth of every target, and contrast and flux as the view shows them (of its component of the mask)."""
    for slot, truth in enumerate(truths):
        for column, attribute in _TARGET_TRUTHS:
            out[column][at, slot] = getattr(truth, attribute)
        for column, measure in _MEASURED:
            out[column][at, slot] = measured[truth.component, measure]
        out["target/kind"][at, slot] = TargetKind.SCENE


def _write_impostors(truths: Sequence[ImpostorTruth], out: Columns, at: int) -> None:
    for slot, truth in enumerate(truths):
        for column, attribute in _IMPOSTOR_TRUTHS:
            out[column][at, slot] = getattr(truth, attribute)
