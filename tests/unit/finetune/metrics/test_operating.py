"""Operating points kept with a run: best Pd on a ladder of false-alarm areas, and targets found by bin."""

from __future__ import annotations

import json

import numpy as np
import pytest

from finetune.metrics import CurveTally, NativeTally
from finetune.metrics.operating import FA_LADDER, operating_points


def points_of(probability, mask, scr, threshold=0.5):
    curves, native = CurveTally(), NativeTally(threshold=threshold)
    curves.update(probability, mask, "f")
    return operating_points(curves.result(), native.update(probability, mask, "f", scr=scr).targets)


def frame():
    """Targets of 4 and 9 px at 0.9 and 0.4, a false object of 2 px at 0.7 among 10,000."""
    probability, mask = np.zeros((100, 100), np.float32), np.zeros((100, 100), bool)
    for rows, cols, level, is_target in [((10, 12), (10, 12), 0.9, True), ((50, 53), (50, 53), 0.4, True),
                                         ((80, 81), (80, 82), 0.7, False)]:  # fmt: skip
        probability[slice(*rows), slice(*cols)] = level
        mask[slice(*rows), slice(*cols)] = is_target
    return probability, mask


def test_pd_rises_where_false_alarms_are_allowed():
    found = points_of(*frame(), scr=[3.5, 0.5])
    assert found["fa"] == list(FA_LADDER) and json.loads(json.dumps(found))["pd"] == found["pd"]
    by_fa = dict(zip(found["fa"], found["pd"], strict=True))
    assert by_fa[0.1] == 50.0 and by_fa[100.0] == 50.0, "the sure target costs nothing"
    assert by_fa[200.0] == by_fa[7000.0] == 100.0, "the other one costs 2 of 10,000 pixels"


def test_targets_are_counted_by_bin():
    found = points_of(*frame(), scr=[3.5, 0.5])
    assert found["by_area"][:2] == [("1-4 px", 1, 1), ("5-9 px", 0, 1)]
    assert {entry for entry in found["by_scr"] if entry[2]} == {("0-1", 0, 1), ("3-5", 1, 1)} and found["scr50"] is None


def test_without_targets_there_is_no_pd():
    probability, mask = frame()
    found = points_of(probability, np.zeros_like(mask), scr=[])
    assert found["pd"] == [None] * len(FA_LADDER) and found["scr50"] is None


@pytest.mark.parametrize("step", range(1, len(FA_LADDER)))
def test_ladder_rises(step):
    assert FA_LADDER[step] > FA_LADDER[step - 1] > 0.0
