"""hIoU: pairs of both readings of OPDC, and the toy of the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.metrics.hiou import overlap_pairs
from finetune.metrics.native import NativeTally
from finetune.metrics.objects import find_objects
from finetune.metrics.scores import native_scores
from tests.unit.finetune.metrics.frames import boxes, points

HW = (40, 40)


def pairs(truth, prediction, opdc="released", gate_px=3):
    return overlap_pairs(find_objects(truth), find_objects(prediction), gate_px, opdc)


@pytest.mark.parametrize("opdc", ["released", "strict"])
def test_toy(opdc):
    """Two targets, one matched with IoU 0.6, one missed, one false blob: seg 0.6, loc 1/3, hIoU 20."""
    truth = boxes(HW, (5, 5, 7, 9), (30, 30, 32, 32))
    prediction = boxes(HW, (5, 6, 7, 10), (15, 30, 17, 32))
    tally = NativeTally(opdc=opdc)
    tally.update(prediction, truth, "f")
    scores = native_scores(tally)
    assert scores.seg_iou == pytest.approx(60.0) and scores.loc_iou == pytest.approx(100 / 3)
    assert scores.hiou == pytest.approx(20.0)


def test_overlap_compensates_distance():
    """A long blob over a target, its centroid 3.5 px off: no canonical match, but an IoU of 0.5 or more is a pair."""
    truth = boxes(HW, (10, 5, 11, 19))
    prediction = boxes(HW, (10, 5, 11, 12))
    for opdc in ("released", "strict"):
        assert pairs(truth, prediction, opdc) == ((7, 14),)
    assert pairs(truth, boxes(HW, (10, 5, 11, 11))) == ()


def test_distance_compensates_overlap():
    """Below IoU 0.5 the pair is taken in stage 2 while it is nearer than the gate."""
    truth = points(HW, (10, 10))
    assert pairs(truth, points(HW, (10, 12))) == ((0, 2),)
    assert pairs(truth, points(HW, (10, 13))) == ()
    assert pairs(truth, points(HW, (10, 13)), gate_px=4) == ((0, 2),)


def test_released_loses_a_good_pair_to_a_nearer_blob_and_strict_does_not():
    """A ring around nothing is nearest to the target's centre; the blob with IoU 0.6 is farther."""
    truth = boxes(HW, (18, 14, 22, 26))
    good = boxes(HW, (18, 14, 22, 22))
    ring = boxes(HW, (8, 8, 32, 32)) & ~boxes(HW, (9, 9, 31, 31))
    released, strict = (pairs(truth, good | ring, opdc) for opdc in ("released", "strict"))
    assert strict == ((32, 48),)
    assert released == ((0, 48 + int(ring.sum())),), "the ring took the target in stage 1, then its distance held in stage 2"


def test_empty_sides():
    empty, some = np.zeros(HW, np.bool_), points(HW, (3, 3))
    assert pairs(empty, some) == pairs(some, empty) == pairs(empty, empty) == ()
    tally = NativeTally()
    tally.update(some, empty, "f")
    assert native_scores(tally).hiou == 0.0
