"""Render: from a plan row to pixels, a pure function of recipe, sources, bank and the sample's own generator."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synth.canvas import crop_origin, place, resize_frame
from synth.errors import RenderError
from synth.negatives import patch_box, rotate_box
from synth.noise import NoiseBank, NoiseMixer
from synth.plan import PlanRow
from synth.recipe import SynthesisRecipe
from synth.rng import Stream, keyed_generator
from synth.sample import Frame, Levels, MaskLevels, Provenance, Sample, SampleKind, Target
from synth.sources import FrameReader, SourceTable
from synth.targets import MEASURES, measure_table

CACHE_BYTES = 96 * 2**20
"""Bytes of fitted source frames a renderer keeps: all of NUDT, and a bound on memory for any corpus."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A source frame fitted to the canvas.

    Attributes:
        levels: uint8 or uint16 (H, W) of the canvas.
        mask: uint8 (H, W) in {0, 1}.
        max_level: Level that stands for 1.0.
        valid_hw: Rows and columns that are not padding.
        origin_rc: First pixel of the crop in the source frame.
    """

    levels: Levels
    mask: MaskLevels
    max_level: int
    valid_hw: tuple[int, int]
    origin_rc: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the two arrays."""
        return self.levels.nbytes + self.mask.nbytes


class Renderer:
    """Renders the samples of one recipe.

    Args:
        recipe: What to make.
        table: The source frames as scanned.
        frames: Reads a source frame by code.
        bank: The noise windows.
    """

    def __init__(self, recipe: SynthesisRecipe, table: SourceTable, frames: FrameReader, bank: NoiseBank) -> None:
        self.recipe, self.table, self._frames, self._bank = recipe, table, frames, bank
        self._mixer = NoiseMixer(recipe.noise, recipe.canvas_hw)
        self._first_target = np.concatenate([[0], np.cumsum(table.targets_per_frame())]).tolist()
        self._cache: OrderedDict[tuple[int, int], Canvas] = OrderedDict()
        self._cache_bytes = 0
        self._recipe_hash = recipe.hash()

    def generator(self, row: PlanRow) -> np.random.Generator:
        """Return the generator that :meth:`render` takes for this row."""
        return keyed_generator(self.recipe.seed, Stream.NOISE, row.index)

    def render(self, row: PlanRow, rng: np.random.Generator) -> Sample:
        """Render one sample.

        Args:
            row: What the sample is.
            rng: Its generator (:meth:`generator`).

        Returns:
            The sample, with targets measured on the stored levels.

        Raises:
            RenderError: It holds more targets than ``max_targets``.
            SourceError: Its source frame is gone or has changed.
        """
        image = np.empty(self.recipe.canvas_hw, self.recipe.image_dtype)
        mask = np.empty(self.recipe.canvas_hw, np.uint8)
        fields, targets = self.draw(row, rng, image, mask)
        max_level = int(np.iinfo(image.dtype).max)
        made = [f"crop at {fields['origin_rc']}"]
        if row.kind is SampleKind.NEGATIVE:
            made.append(f"mix noise window {fields['noise_window']} at alpha {row.alpha:g}")
            made.append(f"rotate {row.side} px at {fields['box_rc']} by {90 * row.rotation} degrees")
        parent = self.table.frames[row.source].id
        return Sample(
            image=image.astype(np.float32) / np.float32(max_level),
            mask=mask.astype(bool),
            targets=tuple(Target(r, c, int(a), p, f, s, self.table.target_kind) for r, c, a, p, f, s in targets.tolist()),
            provenance=Provenance((parent,), tuple(made), self.recipe.seed, row.index, self._recipe_hash),
            bit_depth=fields["bit_depth"],
            valid_hw=fields["valid_hw"],
        )

    def fill(
        self,
        row: PlanRow,
        image: Levels,
        mask: MaskLevels,
        raw: npt.NDArray[np.uint16] | None,
        out: npt.NDArray[np.void],
        at: int,
    ) -> None:
        """Render one sample into buffers and write its columns: :meth:`draw` and :meth:`record` (there is no raw frame)."""
        assert raw is None
        fields, targets = self.draw(row, self.generator(row), image, mask)
        self.record(fields, targets, out, at)

    def draw(
        self, row: PlanRow, rng: np.random.Generator, image: Levels, mask: MaskLevels
    ) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
        """Render one sample into buffers.

        Args:
            row: What the sample is.
            rng: Its generator.
            image: uint8 or uint16 canvas, overwritten; its full range stands for 1.0.
            mask: uint8 canvas, overwritten with {0, 1}.

        Returns:
            The values of the ``sample/*`` columns by name, and the targets' :func:`~synth.targets.measure_table`.
        """
        canvas = self._canvas(row.source, row.target)
        mask[...] = canvas.mask
        fields = {
            "kind": int(row.kind), "labelled": 1, "source": row.source, "valid_hw": canvas.valid_hw,
            "origin_rc": canvas.origin_rc, "bit_depth": canvas.max_level.bit_length(), "alpha": row.alpha,
            "noise_window": -1, "noise_gain": 0.0, "pass_index": row.pass_index, "target_index": row.target,
            "box_rc": (-1, -1), "box_side": row.side, "rotation": row.rotation, "sequence_id": -1, "camera_id": -1,
        }  # fmt: skip
        if row.kind is SampleKind.ORIGINAL:
            fields["target_index"] = -1
            _copy_levels(canvas, image)
        else:
            self._mix_and_rotate(row, rng, canvas, image, mask, fields)
        targets = measure_table(image, mask, int(np.iinfo(image.dtype).max), canvas.valid_hw)
        fields["num_targets"] = len(targets)
        if len(targets) > self.recipe.max_targets:
            raise RenderError(
                f"sample {row.index} (source frame {self.table.frames[row.source].id}): {len(targets)} targets, more than "
                f"max_targets = {self.recipe.max_targets}; raise max_targets"
            )
        return fields, targets

    def record(self, fields: dict[str, Any], targets: npt.NDArray[np.float64], out: npt.NDArray[np.void], at: int) -> None:
        """Write one sample's columns.

        Args:
            fields: Values of the sample columns, from :meth:`draw`.
            targets: Table of the targets, from :meth:`draw`.
            out: Records of :func:`~synth.store.schema.record_dtype`, zero where untouched.
            at: Row to write.
        """
        for name, value in fields.items():
            out[f"sample/{name}"][at] = value
        n = len(targets)
        for j, name in enumerate(MEASURES):
            out[f"target/{name}"][at, :n] = targets[:, j]
        out["target/track_id"][at, :n] = -1
        out["target/kind"][at, :n] = self.table.target_kind

    def _mix_and_rotate(
        self,
        row: PlanRow,
        rng: np.random.Generator,
        canvas: Canvas,
        image: Levels,
        mask: MaskLevels,
        fields: dict[str, Any],
    ) -> None:
        window = int(rng.integers(len(self._bank)))
        patch = self._bank.patch[window]
        source = self.table.frames[row.source]
        mix = self._mixer.draw(patch, row.alpha, source.noise_std_dn, rng)
        if row.alpha == 0:
            _copy_levels(canvas, image)
        else:
            self._mixer.mix(canvas.levels, canvas.max_level, patch, row.alpha, mix, image)
        row_centre, col_centre = source.centres[row.target]
        centre = (row_centre - canvas.origin_rc[0], col_centre - canvas.origin_rc[1])
        legacy = self.recipe.legacy
        box = patch_box(centre, row.side, canvas.valid_hw, released_border=legacy.border)
        flip = legacy.flip_first and row.side == 32  # only rot_patch_32 flips
        for array in (image, mask):
            rotate_box(array, box, row.side, row.rotation, flip_first=flip)
        fields |= {"noise_window": window, "noise_gain": mix.gain, "box_rc": box}

    def _canvas(self, source: int, target: int) -> Canvas:
        """Fit a source frame to the canvas around one target, from the cache when it was fitted before."""
        hw = self.table.frames[source].fitted_hw(self.recipe.fit, self.recipe.canvas_hw)
        is_cropped = hw[0] > self.recipe.canvas_hw[0] or hw[1] > self.recipe.canvas_hw[1]
        key = (source, target if is_cropped else -1)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        canvas = self._fit(self._frames.read(source), source, target)
        self._cache[key] = canvas
        self._cache_bytes += canvas.nbytes
        while self._cache_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cache_bytes -= self._cache.popitem(last=False)[1].nbytes
        return canvas

    def _fit(self, frame: Frame, source: int, target: int) -> Canvas:
        hw = self.recipe.canvas_hw
        if self.recipe.fit == "resize":
            frame = resize_frame(frame, hw)
        height, width = frame.hw
        box = self.table.frames[source].boxes[target] if target >= 0 else (height // 2, width // 2) * 2
        flat_target = self._first_target[source] + max(target, 0)
        origin = crop_origin(frame.hw, hw, box, keyed_generator(self.recipe.seed, Stream.CANVAS, flat_target))
        mask = np.zeros(frame.hw, np.uint8) if frame.mask is None else frame.mask
        return Canvas(
            levels=place(frame.levels, origin, hw, fill="reflect"),
            mask=place(mask, origin, hw, fill="zero"),
            max_level=frame.max_level,
            valid_hw=(min(height, hw[0]), min(width, hw[1])),
            origin_rc=origin,
        )


def _copy_levels(canvas: Canvas, image: Levels) -> None:
    """Write the canvas at the image's own range, exact where the ranges agree."""
    top = int(np.iinfo(image.dtype).max)
    if canvas.max_level == top:
        image[...] = canvas.levels
        return
    scaled = np.minimum(canvas.levels, canvas.max_level).astype(np.int64) * top + canvas.max_level // 2
    image[...] = scaled // canvas.max_level
