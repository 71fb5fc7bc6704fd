"""Legacy modes: the published numbers of named codes, bit-faithful in their counts, each with its own quirks.

Written anew from reading the code named; only to compare with rows that were made with it.

==================  ====================  ====================  ====================  ====================  ====================
difference          native                basicirstd            dnanet256             irsam                 simir
==================  ====================  ====================  ====================  ====================  ====================
code                this package          XinyiYing/BasicIRSTD  YeRen123455/Infra-    IPIC-Lab/IRSAM        O937-blip/SimIR
                                          metrics.py, test.py   red-Small-Target...   utils/metric.py,      sirst_evaluation.py,
                                          (since 2024-01)       metric.py, bin 0      metrics.py            bin 5
decided at          p > threshold         p > threshold         logit > 0             logit > 0             p > .5
target pixel        level >= 128          level 255 (int cast)  level 255             level 255             level 255
geometry            native                native                256x256               squares of 512, 384,  as fed
                                                                                      256, else 512x512
matching            optimal, exact        greedy in label order: each target takes the first free object closer than 3 px; depends
                                          on how the frame is turned (one scene: Pd 0.5, mirrored 1.0)
Fa numerator        unmatched objects     unmatched objects     area-in-list          area-in-list          area-in-list
Fa denominator      sum of h*w            sum of h*w            256*256*N             512*512*N, any size   h*w of last frame*N
IoU, level 128-254  target                in the union only     in the union only     background            in the union only
IoU, all empty      undefined             0                     0                     0                     0
nIoU, empty frame   1                     0 (*)                 0 (*)                 0                     0 (*)
recall (pixAcc)     TP / target pixels    TP / pixels above 0   TP / pixels above 0   TP / pixels above 0   TP / pixels above 0
precision, F1       pixels                none                  none                  none                  none
hIoU, HSE-r         yes                   none                  none                  none                  none
==================  ====================  ====================  ====================  ====================  ====================

(*)  that file has no nIoU; the value is the samplewise one its users take from ACM, inter / (union + 2.2e-16) a frame.
area-in-list  unmatched areas = those that are not in the list of matched areas, compared by VALUE: a false object as large as any
matched object of its frame is forgiven (up to -21 % Fa on noisy maps; BasicIRSTD issue #12 had it fixed).
msda512 (MSDA-Net metric_all_2.py) is not a mode: on maps and binary masks of 512x512, which it always has, it equals
``basicirstd``. DNANet's ``reset`` keeps the number of targets: ``carried_targets`` gives that inflated denominator.
The codes take centroid distances in floats, so pairs at exactly 3 px may fall either way there; here they do not match when
the float distance says 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from finetune.metrics.inputs import LabelValues, as_label_values, as_probability, check_sizes, decide
from finetune.metrics.native import check_threshold
from finetune.metrics.objects import IntArray, Objects, find_objects
from finetune.metrics.resize import describe_geometry, to_square
from finetune.metrics.sums import FloatArray, FrameSums, every_frame_once, ratio
from finetune.metrics.tally import Tally
from synth.errors import RecipeError

LegacyMode = Literal["basicirstd", "dnanet256", "irsam", "simir"]
_GATE_PX = 3.0
_SPACING = float(np.spacing(1.0))  # added to every union, as the codes do


@dataclass(frozen=True, slots=True)
class LegacyRules:
    """Where one legacy code departs from the others; a column of the table above.

    Attributes:
        accepted_px: Sides of squares taken as fed; empty for any size.
        forced_px: Side that other sizes are squashed to.
        is_listed: Whether Fa compares areas by value.
        frame_px: Pixels a frame counts in the Fa denominator; None for its own, -1 for those of the last frame.
        casts_labels: Whether mask levels below 255 leave the IoU as well.
        free_threshold: Whether the code offers a threshold.
    """

    accepted_px: tuple[int, ...] = ()
    forced_px: int = 0
    is_listed: bool = True
    frame_px: int | None = None
    casts_labels: bool = False
    free_threshold: bool = False


LEGACY_RULES: Mapping[LegacyMode, LegacyRules] = {
    "basicirstd": LegacyRules(is_listed=False, free_threshold=True),
    "dnanet256": LegacyRules(accepted_px=(256,), forced_px=256, frame_px=256 * 256),
    "irsam": LegacyRules(accepted_px=(512, 384, 256), forced_px=512, frame_px=512 * 512, casts_labels=True),
    "simir": LegacyRules(frame_px=-1),
}


class LegacyRow(NamedTuple):
    """Counts of one frame.

    Attributes:
        num_pixels: Pixels of the frame as judged.
        inter: Intersection, px.
        union: Union, px.
        num_labelled: Mask pixels above level 0.
        num_truth: Targets.
        num_matched: Matched targets.
        num_predicted: Predicted objects.
        area_unmatched: Area that the code counts as false, px.
        is_resized: 1 when map or mask changed its size, else 0.
    """

    num_pixels: int
    inter: int
    union: int
    num_labelled: int
    num_truth: int
    num_matched: int
    num_predicted: int
    area_unmatched: int
    is_resized: int


class LegacyTally(Tally[LegacyRow]):
    """Counts of a legacy mode.

    Args:
        mode: Which code.
        threshold: As the code has it; only ``basicirstd`` offers another than 0.5.
        irsam_geometry: 512 squashes every frame to 512x512, as the released model's fixed output would (``irsam`` only).
        carried_targets: Targets left over from earlier epochs in the denominator of Pd (``dnanet256`` without a new object).

    Raises:
        RecipeError: The mode is unknown or does not offer an argument.
    """

    kind = "legacy"

    def __init__(
        self, mode: LegacyMode, *, threshold: float = 0.5, irsam_geometry: int | None = None, carried_targets: int = 0
    ) -> None:
        if mode not in LEGACY_RULES:
            raise RecipeError(f"mode must be one of native, {', '.join(LEGACY_RULES)}, got {mode!r}")
        rules = LEGACY_RULES[mode]
        check_threshold(threshold)
        if threshold != 0.5 and not rules.free_threshold:
            raise RecipeError(f"threshold must be 0.5 in mode {mode}, whose code cuts logits at 0, got {threshold}")
        if irsam_geometry is not None and (mode, irsam_geometry) != ("irsam", 512):
            raise RecipeError(f"irsam_geometry must be 512 and mode irsam, got {irsam_geometry} and {mode}")
        config = {"mode": mode, "threshold": threshold, "irsam_geometry": irsam_geometry, "carried_targets": carried_targets}
        super().__init__(config)
        self.rules = rules
        self._accepted = rules.accepted_px if irsam_geometry is None else (irsam_geometry,)
        self._carried = carried_targets

    @property
    def num_resized(self) -> int:
        """Frames whose map or mask changed its size."""
        return sum(row.is_resized for row in self._rows.values())

    @property
    def geometry(self) -> str:
        """What happened to sizes, in words: ``Scores.geometry``."""
        return describe_geometry(self.num_resized, len(self), self.rules.forced_px)

    def update(self, probability: Any, mask: Any, frame_id: str, *, mask_max: int = 255) -> None:
        """Count one frame; arguments and errors as in :meth:`finetune.metrics.native.NativeTally.update`."""
        given, labels_given = as_probability(probability, frame_id), as_label_values(mask, frame_id, mask_max)
        values, labels = given, labels_given
        if self._accepted:
            values, labels = to_square(given, labels_given, frame_id, self._accepted, self.rules.forced_px)
        else:
            check_sizes(values, labels, frame_id)
        row = self._count(decide(values, self.config["threshold"]), labels)
        is_resized = (values.shape, labels.shape) != (given.shape, labels_given.shape)
        self._add(frame_id, row._replace(is_resized=int(is_resized)))

    def scores(self, weights: FloatArray | None = None) -> dict[str, FloatArray]:
        """Return the scores of each weighting as ratios; arguments as in ``NativeTally.scores``."""
        sums = FrameSums(self.columns(), every_frame_once(len(self)) if weights is None else weights)
        num_frames = sums.num_frames
        return {
            "iou": sums["inter"] / (sums["union"] + _SPACING),
            "niou": sums["niou"] / num_frames,
            "recall": sums["inter"] / (sums["num_labelled"] + _SPACING),
            "pd": ratio(sums["num_matched"], sums["num_truth"] + self._carried),
            "fa": ratio(sums["area_unmatched"], self._denominator(sums)),
            "fppi": ratio(sums["num_predicted"] - sums["num_matched"], num_frames),
        }

    def columns(self) -> dict[str, FloatArray]:
        """Return the counts as columns, float64 (N,) each, frames in id order."""
        table = np.array([self._rows[frame_id] for frame_id in self.ids], np.float64).reshape(-1, len(LegacyRow._fields))
        columns = dict(zip(LegacyRow._fields, table.T, strict=True))
        columns["niou"] = columns["inter"] / (columns["union"] + _SPACING)
        return columns

    def _denominator(self, sums: FrameSums) -> FloatArray:
        if self.rules.frame_px is None:
            return sums["num_pixels"]
        last = self._rows[self.ids[-1]].num_pixels if len(self) else 0
        return sums.num_frames * (last if self.rules.frame_px < 0 else self.rules.frame_px)

    def _count(self, decided: npt.NDArray[np.bool_], labels: LabelValues) -> LegacyRow:
        is_target = labels >= 1.0  # astype(int64) leaves 1 only where the level is 255
        in_union = is_target if self.rules.casts_labels else labels >= 0.5  # histogram of range (1, 1) is [0.5, 1.5]
        inter = int(np.count_nonzero(decided & is_target))
        union = int(np.count_nonzero(decided)) + int(np.count_nonzero(in_union)) - inter
        truth, predicted = find_objects(is_target), find_objects(decided)
        is_matched = _greedy(truth.sums, predicted.sums)
        return LegacyRow(
            num_pixels=labels.size,
            inter=inter,
            union=union,
            num_labelled=int(np.count_nonzero(labels > 0.0)),
            num_truth=len(truth),
            num_matched=int(np.count_nonzero(is_matched)),
            num_predicted=len(predicted),
            area_unmatched=_false_area(predicted, is_matched, self.rules.is_listed),
            is_resized=0,
        )

    @classmethod
    def _of_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**config)

    @staticmethod
    def _encode(row: LegacyRow) -> Any:
        return list(row)

    @staticmethod
    def _decode(values: Any) -> LegacyRow:
        return LegacyRow(*values)


def _false_area(predicted: Objects, is_matched: npt.NDArray[np.bool_], is_listed: bool) -> int:
    if not is_listed:
        return int(predicted.areas[~is_matched].sum())
    matched_areas = predicted.areas[is_matched]
    return int(predicted.areas[~np.isin(predicted.areas, matched_areas)].sum())


@njit(cache=True, nogil=True)
def _greedy(sums_t: IntArray, sums_p: IntArray) -> Any:
    """Return which objects are taken: targets in label order, each the first free object closer than the gate."""
    is_matched = np.zeros(sums_p.shape[1], np.bool_)
    for t in range(sums_t.shape[1]):
        row, col = sums_t[1, t] / sums_t[0, t], sums_t[2, t] / sums_t[0, t]
        for p in range(sums_p.shape[1]):
            d_row, d_col = sums_p[1, p] / sums_p[0, p] - row, sums_p[2, p] / sums_p[0, p] - col
            if not is_matched[p] and math.sqrt(d_row * d_row + d_col * d_col) < _GATE_PX:
                is_matched[p] = True
                break
    return is_matched
