"""``finetune.score``: one call, the field's units, named errors."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import finetune
from finetune import Scores, score
from finetune.metrics import HseTally, LegacyTally, NativeTally
from finetune.metrics.scores import FACTORS, legacy_scores, native_scores
from synth.errors import RecipeError, SourceError
from tests.unit.finetune.metrics.frames import FakeTensor, boxes, discs

MASKS = [discs((64, 64), (20, 20), (40, 45)), discs((48, 80), (10, 60))]
MAPS = [np.where(mask, 0.8, 0.1).astype(np.float32) for mask in MASKS]


def test_perfect_prediction_in_the_fields_units():
    scores = score([mask.astype(np.float32) for mask in MASKS], MASKS)
    assert {scores.iou, scores.niou, scores.pd, scores.f1, scores.hiou, scores.hse_r} == {100.0} and scores.fa == 0.0
    assert (scores.mode, scores.threshold, scores.gate_px, scores.geometry) == ("native", 0.5, 3, "native size")


def test_it_is_the_accumulators():
    native, hse = NativeTally(), HseTally()
    for number, (values, mask) in enumerate(zip(MAPS, MASKS, strict=True)):
        native.update(values, mask, str(number))
        hse.update(values, mask, str(number))
    assert score(MAPS, MASKS) == native_scores(native, hse)
    legacy = LegacyTally("basicirstd")
    for number, (values, mask) in enumerate(zip(MAPS, MASKS, strict=True)):
        legacy.update(values, mask, str(number))
    assert score(MAPS, MASKS, "basicirstd").to_dict() == legacy_scores(legacy).to_dict()


def test_arrays_tensors_and_dtypes_agree():
    expected = score([values > 0.5 for values in MAPS], MASKS).to_dict()
    for change in (FakeTensor, lambda values: values.astype(np.float16), lambda values: values.astype(np.float64)[None, None]):
        got = score(map(change, MAPS), MASKS).to_dict()
        assert {name: value for name, value in got.items() if "hse" not in name} == {
            name: value for name, value in expected.items() if "hse" not in name
        }
    levels = score(MAPS, [mask * np.uint8(255) for mask in MASKS])
    ones = score(MAPS, [mask.astype(np.uint8) for mask in MASKS], mask_max=1)
    assert levels == ones == score(MAPS, MASKS)


def test_threshold_and_gate():
    assert score(MAPS, MASKS, threshold=0.9).pd == 0.0 and score(MAPS, MASKS, threshold=0.79).pd == 100.0
    moved = [np.roll(mask, 2, axis=0) for mask in MASKS]
    assert score(moved, MASKS, gate_px=2).pd == 0.0 and score(moved, MASKS).pd == 100.0


def test_every_ratio_has_a_unit_and_an_attribute():
    native = NativeTally()
    native.update(MAPS[0], MASKS[0], "f")
    names = {entry.name for entry in dataclasses.fields(Scores)}
    assert set(native.scores()) <= set(FACTORS) <= names


def test_to_dict_is_json():
    values = json.loads(json.dumps(score(MAPS, MASKS, "dnanet256").to_dict(), allow_nan=False))
    assert values["f1"] is None and values["mode"] == "dnanet256" and values["notes"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        score(MAPS, MASKS).iou = 1.0


def test_names_are_exported():
    assert finetune.score is score and {"Scores", "score"} <= set(finetune.__all__)


@pytest.mark.parametrize(
    ("arguments", "error", "needle"),
    [
        ((MAPS, MASKS[:1]), SourceError, "2 probabilities, 1 masks"),
        (([], []), SourceError, "no frame was passed"),
        ((MAPS, MASKS, "acm"), RecipeError, "mode must be one of native"),
        ((MAPS, MASKS, "native", 1.2), RecipeError, "threshold must be in"),
        (([MAPS[0] * 12 - 6, MAPS[1]], MASKS), SourceError, "000000.*logits"),
        (([MAPS[0], MAPS[1] * np.nan], MASKS), SourceError, "000001: holds NaN"),
        ((MAPS[::-1], MASKS), SourceError, "must have the size of its mask"),
        ((MAPS, [mask.astype(np.uint8) for mask in MASKS]), SourceError, "mask_max"),
    ],
)
def test_bad_input_is_named(arguments, error, needle):
    with pytest.raises(error, match=needle):
        score(*arguments)


def test_duplicated_ids_and_gate_of_legacy_modes():
    with pytest.raises(SourceError, match="'a': was counted already"):
        score(MAPS, MASKS, ids=["a", "a"])
    with pytest.raises(RecipeError, match="gate_px must be 3 in mode basicirstd, got 2"):
        score(MAPS, MASKS, "basicirstd", gate_px=2)


def test_empty_truth_is_said(caplog):
    scores = score([boxes((8, 8), (1, 1, 2, 2))], [np.zeros((8, 8), np.bool_)])
    assert scores.to_dict()["pd"] is None and scores.fa == 1e6 / 64
    assert "no mask holds a target" in scores.notes[0] and "no mask holds a target" in caplog.text
