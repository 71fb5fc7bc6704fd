"""The plan: what sample i is, for any i, without a list of samples and without pixels."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from synth.errors import SourceError
from synth.plan import PUBLISHED_NUM_SYNTHETIC, Plan, PlanRow
from synth.sample import SampleKind
from tests.support.builders import recipe_of

PASSES = [{"alpha": 0.1, "side": 2}, {"alpha": 0.2, "side": 4}]


def plan_of(targets_per_frame, **keys) -> Plan:
    return Plan(recipe_of(**keys), np.array(targets_per_frame, np.int64))


def published_targets() -> list[int]:
    """Return 663 frames with 918 targets, with some of each count."""
    counts = [1] * 430 + [2] * 214 + [3] * 11 + [6] * 4 + [1] * 3 + [0]
    counts[-1] = 918 - sum(counts[:-1])
    return counts


def identity(row: PlanRow) -> tuple:
    return row.source, row.target, row.rotation, row.alpha, row.side


def test_originals_come_first_in_order():
    plan = plan_of([2, 0, 1], passes=PASSES)
    originals = [plan.row(i) for i in range(3)]
    assert [(r.index, r.source, r.target) for r in originals] == [(0, 0, 0), (1, 1, -1), (2, 2, 0)]
    assert {(r.kind, r.pass_index, r.alpha, r.side, r.rotation) for r in originals} == {(SampleKind.ORIGINAL, -1, 0.0, 0, 0)}
    assert (plan.num_originals, plan.num_synthetic, len(plan)) == (3, 24, 27)
    assert plan.row(3).kind is SampleKind.NEGATIVE


def test_a_pass_gives_every_target_of_every_frame_in_every_rotation():
    plan = plan_of([2, 0, 1, 0, 0, 3], passes=PASSES)
    made = [identity(row) for row in islice(plan, plan.num_originals, None)]
    targets = [(0, 0), (0, 1), (2, 0), (5, 0), (5, 1), (5, 2)]
    expected = [(s, t, k, p["alpha"], p["side"]) for p in PASSES for s, t in targets for k in range(4)]
    assert made == expected
    assert {row.pass_index for row in plan} == {-1, 0, 1}


def test_without_originals_only_copies_remain():
    plan = plan_of([1, 1], originals=False)
    assert len(plan) == 8 and {row.kind for row in plan} == {SampleKind.NEGATIVE}
    assert [row.index for row in plan] == list(range(8))


def test_the_published_composition():
    """663 originals + one pass over 918 targets (3,672) + 527 of the second = 4,862."""
    plan = plan_of(published_targets(), passes=PASSES, num_synthetic="published")
    assert (plan.num_sources, plan.num_source_targets) == (663, 918)
    assert (plan.num_originals, plan.num_synthetic, len(plan)) == (663, PUBLISHED_NUM_SYNTHETIC, 4862)
    rows = list(plan)
    assert Counter(row.pass_index for row in rows) == {-1: 663, 0: 3672, 1: 527}
    assert Counter((row.alpha, row.side) for row in rows) == {(0.0, 0): 663, (0.1, 2): 3672, (0.2, 4): 527}
    assert len({identity(row) for row in rows}) == 4862


@pytest.mark.parametrize("counts", [[1] * 663, [918] + [0] * 661, [2, 1]])
def test_published_means_one_pass_on_any_other_source(counts):
    plan = plan_of(counts, passes=PASSES, num_synthetic="published")
    assert plan.num_synthetic == 4 * sum(counts)
    assert {row.pass_index for row in islice(plan, plan.num_originals, None)} == {0}


@pytest.mark.parametrize(("asked", "num"), [("all", 24), (0, 0), (1, 1), (12, 12), (24, 24), (25, 25), (100, 100)])
def test_counts_are_kept_to_the_sample(asked, num):
    plan = plan_of([2, 1], passes=PASSES, num_synthetic=asked)
    assert plan.num_synthetic == num and len(list(plan)) == 2 + num


def test_counts_beyond_the_passes_repeat_their_settings():
    """Five passes of 12 and a rest: settings alternate, pass numbers go on, and the rest follows the next settings."""
    plan = plan_of([2, 1], passes=PASSES, num_synthetic=5 * 12 + 7)
    rows = list(islice(plan, 2, None))
    assert Counter(row.pass_index for row in rows) == {0: 12, 1: 12, 2: 12, 3: 12, 4: 12, 5: 7}
    assert all((row.alpha, row.side) == ((0.1, 2) if row.pass_index % 2 == 0 else (0.2, 4)) for row in rows)
    first, third = ([identity(r) for r in rows if r.pass_index == p] for p in (0, 2))
    assert first == third


def test_a_partial_pass_is_drawn_without_replacement_and_seeded():
    drawn = set()
    for seed in range(6):
        once, again = (
            [identity(row) for row in plan_of([30, 20], passes=PASSES, num_synthetic=300, seed=seed) if row.pass_index == 1]
            for _ in range(2)
        )
        assert once == again == sorted(once)
        assert len(once) == len(set(once)) == 100
        drawn.add(tuple(once))
    assert len(drawn) == 6


def test_a_partial_pass_takes_every_item_alike():
    """25 of 100 items, 400 seeds: each 100 +- 8.7 times; a draw from the front would leave most at 0."""
    counts: Counter = Counter()
    for seed in range(400):
        counts.update(identity(row) for row in plan_of([10, 15], num_synthetic=25, seed=seed) if row.pass_index == 0)
    assert len(counts) == 100 and min(counts.values()) > 60 and max(counts.values()) < 140


@pytest.mark.parametrize("keys", [{}, {"originals": False}, {"num_synthetic": 17}, {"num_synthetic": 0}, {"num_synthetic": 61}])
def test_random_access_is_iteration(keys):
    plan = plan_of([0, 2, 0, 0, 1, 3, 0], passes=PASSES, **keys)
    rows = list(plan)
    assert [row.index for row in rows] == list(range(len(plan)))
    for i in np.random.default_rng(0).permutation(len(plan)):
        assert plan.row(int(i)) == rows[i]


@pytest.mark.parametrize("index", [-1, 14, 10**9])
def test_indices_outside_are_refused(index):
    plan = plan_of([2, 1])
    assert len(plan) == 14
    with pytest.raises(IndexError, match=rf"0\.\.13, got {index}$"):
        plan.row(index)


@pytest.mark.parametrize("asked", ["all", "published", 5])
@pytest.mark.parametrize("originals", [True, False])
def test_no_target_anywhere_is_an_error_unless_no_copies_are_asked_for(asked, originals):
    with pytest.raises(SourceError, match=r"none of the 3 frames has a target.*num_synthetic=0"):
        plan_of([0, 0, 0], num_synthetic=asked, originals=originals)
    assert len(plan_of([0, 0, 0], num_synthetic=0)) == 3


def test_ten_million_samples_are_not_materialised():
    """Opening costs what the frames and the last pass cost: 4 MB and milliseconds; a list of rows would take a gigabyte."""
    counts = np.full(20_000, 2, np.int64)
    tracemalloc.start()
    started = time.process_time()
    plan = plan_of(counts, passes=PASSES, num_synthetic=10_000_000)
    rows = [plan.row(i) for i in (0, 20_000, 5_000_000, len(plan) - 1)]
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(plan) == 10_020_000
    assert [r.pass_index for r in rows] == [-1, 0, 31, 62]
    assert peak < 16e6 and seconds < 2.0
    assert [row.index for row in islice(plan, 3)] == [0, 1, 2]


def test_the_last_row_of_a_huge_plan_is_found_at_once():
    plan = plan_of([1, 2], passes=PASSES, num_synthetic=10**9)
    row = plan.row(len(plan) - 1)
    assert (row.pass_index, row.index) == ((10**9 - 1) // 12, 10**9 + 1)


def test_the_description_counts_passes():
    lines = plan_of(published_targets(), passes=PASSES, num_synthetic="published").describe()
    assert lines == [
        "663 source frames with 918 targets",
        "663 originals + 4199 synthetic = 4862 frames",
        "pass 0: alpha 0.1, patch side 2 px: 3672 of 3672",
        "pass 1: alpha 0.2, patch side 4 px: 527 of 3672",
    ]


def test_the_description_says_when_passes_are_cut_or_repeated():
    assert plan_of([2, 1], passes=PASSES, num_synthetic=5).describe()[2:] == ["pass 0: alpha 0.1, patch side 2 px: 5 of 12"]
    assert plan_of([2, 1], passes=PASSES, num_synthetic=0).describe()[1:] == ["2 originals + 0 synthetic = 2 frames"]
    repeated = plan_of([2, 1], passes=PASSES, num_synthetic=30).describe()
    assert repeated[-1] == "1 more passes repeat the settings with other noise windows"
    assert repeated[2:4] == [f"pass {p}: alpha 0.{p + 1}, patch side {2 + 2 * p} px: 12 of 12" for p in (0, 1)]
    many = plan_of([1], passes=[{"alpha": i / 100} for i in range(50)]).describe()
    assert len(many) <= 14
