"""Objects and their one-to-one matching: the unit cases of the definitions, exact at the gate."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.metrics.matching import assign, match_objects
from finetune.metrics.objects import find_objects, intersections
from tests.unit.finetune.metrics.frames import boxes, points

HW = (40, 40)


def matched(truth, prediction, gate_px=3):
    truth, prediction = find_objects(truth), find_objects(prediction)
    rows, cols = match_objects(truth, prediction, gate_px)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def test_diagonal_pixels_are_one_object():
    objects = find_objects(points(HW, (3, 3), (4, 4), (5, 3), (9, 9)))
    assert objects.areas.tolist() == [3, 1] and objects.num_pixels == 4


def test_objects_are_in_raster_order_of_their_first_pixel():
    objects = find_objects(points(HW, (0, 9), (1, 2), (1, 1), (0, 5)))
    assert objects.sums.tolist() == [[1, 1, 2], [0, 0, 2], [5, 9, 3]]
    assert objects.flat.tolist() == sorted(objects.flat.tolist())


def test_distance_of_exactly_3_is_no_match():
    assert matched(points(HW, (10, 10)), points(HW, (10, 13))) == []
    assert matched(points(HW, (10, 10)), points(HW, (12, 12))) == [(0, 0)]  # 2.83


def test_distance_just_below_3():
    """1001 pixels moved by 3 columns, and one of them back by one: 3 px and 3 - 1/1001 = 2.999 px."""
    truth, moved = np.zeros((9, 1010), np.bool_), np.zeros((9, 1010), np.bool_)
    truth[4, :1000] = truth[5, 0] = True
    moved[4, 3:1003] = moved[5, 3] = True
    assert matched(truth, moved) == []
    moved[4, 3], moved[4, 2] = False, True
    assert matched(truth, moved) == [(0, 0)]


@pytest.mark.parametrize(("gate", "num"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)])
def test_fractional_distance_of_exactly_3(gate, num):
    """Centroids (10, 12) and (8.2, 14.4): 3 px exactly, which sums of float squares miss by an ulp in some order."""
    truth = boxes((30, 30), (10, 10, 11, 15))
    moved = points((30, 30), (8, 13), (8, 14), (8, 15), (8, 16), (9, 14))
    assert len(matched(truth, moved, gate)) == num


def test_two_targets_near_one_blob_make_one_match():
    pairs = matched(points(HW, (10, 10), (10, 14)), points(HW, (10, 12)))
    assert len(pairs) == 1


def test_optimal_beats_greedy():
    truth = points(HW, (2, 10), (2, 14))
    prediction = points(HW, (1, 12), (3, 8))
    assert matched(truth, prediction) == [(0, 1), (1, 0)]
    assert len(matched(truth[::-1].copy(), prediction[::-1].copy())) == 2


def test_more_pairs_go_before_less_distance():
    """The middle object is nearest to both targets; taking the farther one for the left target matches both."""
    truth = points(HW, (10, 10), (10, 14))
    prediction = points(HW, (10, 8), (10, 12))
    assert matched(truth, prediction) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("turn", [np.asarray, np.flipud, np.fliplr, np.transpose, np.rot90])
def test_equal_distances_go_to_larger_objects_and_targets(turn):
    """Label order says otherwise in some of the turns: one target between two objects, one object between two targets,
    and a block of two targets and three objects whose three best assignments all have a total of 4 px."""
    one, two = points(HW, (10, 10)), boxes(HW, (10, 8, 11, 9), (9, 12, 12, 13))
    block_t, block_p = points(HW, (20, 10), (20, 14)), points(HW, (19, 8), (20, 8), (21, 8), (20, 12), (20, 16))
    for truth, prediction, areas in ((one, two, (1, 3)), (two, one, (3, 1)), (block_t, block_p, (2, 4))):
        a, b = (np.ascontiguousarray(turn(binary)) for binary in (truth, prediction))
        pairs = matched(a, b)
        sums = [sum(find_objects(binary).areas[pair[side]] for pair in pairs) for side, binary in enumerate((a, b))]
        assert tuple(sums) == areas


def test_least_total_distance():
    """Of the two ways to match both, 1 + 1 px is taken, not 2.24 + 2.24."""
    truth, prediction = points(HW, (10, 10), (12, 10)), points(HW, (10, 11), (12, 11))
    assert matched(truth, prediction) == [(0, 0), (1, 1)]


def test_blocks_are_independent():
    truth = points(HW, (2, 10), (2, 14), (30, 10), (30, 14), (20, 35))
    prediction = points(HW, (1, 12), (3, 8), (29, 12), (31, 8), (20, 36))
    assert len(matched(truth, prediction)) == 5


def test_assign_with_areas_too_large_for_exact_ties_uses_distance():
    edges = np.array([[0, 0, 1], [0, 1, 0], [100, 50, 10]])
    chosen = assign(edges, np.full(3, 2**25), np.full(3, 2**26))
    assert chosen.tolist() == [False, True, True]


def test_objects_larger_than_the_exact_range():
    """Areas whose product exceeds 2^30 are compared as floats; same centroid, and 3 px away."""
    large = np.zeros((300, 300), np.bool_)
    large[10:210, 10:210] = True
    assert matched(large, large) == [(0, 0)]
    assert matched(large, np.roll(large, 2, axis=1)) == [(0, 0)]
    assert matched(large, np.roll(large, 3, axis=1)) == []


def test_nothing_to_match():
    empty = np.zeros(HW, np.bool_)
    some = points(HW, (3, 3))
    for truth, prediction in ((empty, some), (some, empty), (empty, empty)):
        assert matched(truth, prediction) == []


def test_intersections():
    truth, prediction = boxes(HW, (5, 5, 9, 9), (20, 20, 22, 22)), boxes(HW, (7, 7, 21, 21), (30, 30, 31, 31))
    assert intersections(find_objects(truth), find_objects(prediction)).tolist() == [[4, 0], [1, 0]]
