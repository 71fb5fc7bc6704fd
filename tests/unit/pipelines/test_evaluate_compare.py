"""Comparisons by hand-made rows: means over seeds, what counts as a seed, the floor, and the page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from finetune.metrics import NativeTally, Scores
from pipelines.evaluate_compare import Row, SetComparison, against_floor, means_over_seeds
from pipelines.evaluate_page import page_of
from pipelines.evaluate_trained import Exposure, Run

ELSEWHERE = Exposure((), 0, 0, 0)
COUNTS = {"num_frames": 4, "num_empty": 0, "num_truth": 9, "num_matched": 7, "num_predicted": 8, "num_false": 1}


def scores_of(iou, fa=10.0):
    values = {"iou": iou, "niou": iou + 1.0, "pd": 90.0, "fa": fa}
    return Scores(mode="native", threshold=0.5, gate_px=3, geometry="native", **COUNTS, **values)


def run_of(seed, *, init=None, collapsed=False, lr=0.1, kind="random", **start):
    identity = {"recipe": {"train": {"seed": seed, "lr": lr}}, "sources": {"train": [{"ids_sha256": "x"}]}}
    init = start | {"kind": kind} | ({} if init is None else {"sha256": init})
    return Run(Path(f"s{seed}"), identity, {"init": init, "is_collapsed": collapsed})


def counts_of(*ious):
    """Frames with one target of 200 px each, of which so many percent are predicted, and nothing else."""
    tally = NativeTally()
    for number, iou in enumerate(ious):
        mask = np.zeros((16, 32), bool)
        mask[:10, :20] = True
        predicted = np.zeros((16, 32), bool)
        predicted[:10, :20] = (np.arange(200) < (0 if math.isnan(iou) else round(2 * iou))).reshape(10, 20)
        tally.update(predicted, mask, f"f{number}")
    return tally


def row_of(name, iou, run=None, *, exposure=ELSEWHERE, clean=None, rule="validation", frames=None):
    counts = counts_of(*(frames or (iou,) * 4))
    return Row(name, rule, scores_of(iou), counts, clean, run, None if run is None else exposure)


def means(rows):
    return tuple(means_over_seeds(rows))


def three(ious=(70.0, 72.0, 77.0)):
    """Mean 73, sd sqrt(13), t interval 4.302653 sqrt(13 / 3) = 8.956686 (t of 0.975, 2 degrees of freedom)."""
    return [row_of(f"r{seed}", iou, run_of(seed, collapsed=seed == 1)) for seed, iou in enumerate(ious)]


def test_mean_and_t_interval_of_three_seeds():
    (mean,) = means(three())
    assert mean.num_seeds == 3 and mean.num_collapsed == 1 and mean.clean is None
    assert mean.native["iou"].mean == pytest.approx(73.0, abs=1e-12)
    assert mean.native["iou"].half_width == pytest.approx(8.956686, abs=1e-6)
    assert mean.native["niou"].mean == pytest.approx(74.0) and mean.native["pd"].half_width == 0.0
    assert mean.label == "mean of 3 seeds (r0, r1, r2)"


def test_two_seeds_have_no_interval():
    (mean,) = means(three()[:2])
    assert mean.native["iou"].mean == 71.0 and mean.native["iou"].half_width is None
    assert mean.label == "mean of 2 seeds (r0, r1), no interval worth quoting"


def test_only_seeds_of_one_experiment_are_averaged():
    """Another setting, other sources or another kind of initial weights is another experiment."""
    rows = [row_of("a", 1.0, run_of(0)), row_of("b", 2.0, run_of(1, lr=0.2)), row_of("c", 3.0, run_of(2, init="f", kind="ssl"))]
    assert means(rows) == ()
    other = run_of(3)
    other.identity["sources"]["train"][0]["ids_sha256"] = "y"
    assert means([rows[0], row_of("d", 4.0, other), row_of("tophat", 5.0)]) == ()


def test_runs_that_share_a_pretraining_are_one_replicate():
    """Two fine-tunes of one pretraining are averaged first; three of one file only are seeds."""
    rows = [row_of(f"{init}{seed}", iou, run_of(seed, init=init, kind="ssl")) for init, seed, iou in
            (("a", 0, 60.0), ("a", 1, 64.0), ("b", 2, 70.0), ("c", 3, 81.0))]  # fmt: skip
    (mean,) = means(rows)
    assert mean.num_seeds == 3 and mean.native["iou"].mean == pytest.approx((62.0 + 70.0 + 81.0) / 3)
    assert mean.label.startswith("mean of 3 seeds in 4 runs (a0, a1, b2, c3)")
    (same,) = means([row_of(f"{seed}", 60.0 + seed, run_of(seed, init="a", kind="ssl")) for seed in range(3)])
    assert same.num_seeds == 3 and same.native["iou"].half_width == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)


@pytest.mark.parametrize("key", ["experiment_sha256", "objectives"])
def test_runs_of_two_pretrainings_are_two_experiments(key):
    """Seeds of one pretraining differ in their files alone; older records tell objectives, and other files are each their own."""
    runs = [run_of(seed, init=f"{told}{seed}", kind="ssl", **{key: told}) for told in ("seg", "masked") for seed in range(3)]
    rows = [row_of(f"r{number}", 60.0 + number, run) for number, run in enumerate(runs)]
    first, second = means(rows)
    assert (first.native["iou"].mean, second.native["iou"].mean) == (61.0, 64.0)
    assert means([row_of(f"f{seed}", 60.0, run_of(seed, init=f"file{seed}", kind="file")) for seed in range(3)]) == ()


def test_a_seed_run_twice_counts_once():
    (mean,) = means([row_of("a", 60.0, run_of(5)), row_of("copy", 60.0, run_of(5)), row_of("b", 66.0, run_of(6))])
    assert mean.num_seeds == 2 and mean.native["iou"].mean == 63.0
    assert mean.label == "mean of 2 seeds in 3 runs (a, copy, b), no interval worth quoting"


def test_undefined_scores_stay_undefined():
    (mean,) = means([row_of(f"r{seed}", math.nan if seed else 5.0, run_of(seed)) for seed in range(3)])
    assert math.isnan(mean.native["iou"].mean) and mean.native["iou"].half_width is None
    assert mean.to_dict()["scores"]["native"]["iou"] == {"mean": None, "half_width_95": None}


FLOOR = [row_of("tophat", 30.0, rule="adaptive"), row_of("ipi", 63.5, rule="mean10")]


IPI = "the classical floor (ipi, mean10: IoU 63.50 %)"


@pytest.mark.parametrize(
    ("ious", "told"),
    [
        ((70.0, 72.0, 77.0), f"beats {IPI}: +9.50 +- 8.96 IoU, over frames [+9.50, +9.50]"),
        ((68.0, 70.0, 75.0), f"cannot be told from {IPI}: +7.50 +- 8.96 IoU, over frames [+7.50, +7.50]"),
        ((40.0, 42.0, 47.0), f"stays below {IPI}: -20.50 +- 8.96 IoU, over frames [-20.50, -20.50]"),
    ],
)
def test_mean_against_the_best_classical_row(ious, told):
    rows = FLOOR + three(ious)
    assert list(against_floor(rows, means(rows), None, 100)) == [f"mean of 3 seeds (r0, r1, r2): {told}"]


def test_few_frames_decide_nothing_however_close_the_seeds():
    """Runs are at 100 % on half of the frames and at 46 % on the others, the floor at 63.5 % on all: 9.5 more on average."""
    frames = (100.0, 46.0) * 4
    rows = [row_of("ipi", 63.5, rule="mean10", frames=(63.5,) * 8)]
    rows += [row_of(f"r{seed}", 73.0, run_of(seed), frames=frames) for seed in range(3)]
    (line,) = against_floor(rows, means(rows), None, 2000)
    assert line.startswith(f"mean of 3 seeds (r0, r1, r2): cannot be told from {IPI}: +9.50 +- 0.00 IoU, over frames [-")
    in_two_sequences = ["a", "b"] * 4
    (line,) = against_floor(rows, means(rows), in_two_sequences, 2000)
    assert line.endswith("over frames [-17.50, +36.50]"), "whole sequences are drawn, so both draws may be of one"
    (line,) = against_floor(rows, means(rows), None, 0)
    assert line.endswith(f"cannot be told from {IPI}: +9.50 +- 0.00 IoU"), "without resamples nothing is claimed"


def test_floor_of_single_runs_and_of_none():
    single = [row_of("r", 60.0, run_of(0))]
    assert list(against_floor(single, (), None, 9)) == [], "no classical row, no floor"
    (line,) = against_floor(FLOOR + single, (), None, 9)
    told = f"-3.50 IoU, over frames [-3.50, -3.50] from {IPI}; below three seeds that is no claim"
    assert line == f"r (one run): {told}"
    learnt = [row_of("r", 99.0, run_of(0), exposure=Exposure(("v1/train",), 4, 0, 0))]
    assert list(against_floor(FLOOR + learnt, (), None, 9)) == [], "frames that trained a run make no claim for it"


def comparison(rows, num_near):
    data = {"num_frames": 4}
    floor = tuple(against_floor(rows, means(rows), None, 9))
    return SetComparison("demo, test: 4 frames", False, data, num_near, tuple(rows), means(rows), floor)


def test_page_has_a_table_of_all_frames_and_one_of_the_clean():
    rows = [row_of(f"r{k}", 70.0 + k, run_of(k, collapsed=None), clean=scores_of(50.0 + k)) for k in range(3)] + FLOOR
    page = page_of([comparison(rows, 1)], ["frames are few"])
    first, second = page.split("Without the 1 frames that have near duplicates among frames that may have trained, 3 remain:")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in first.splitlines() if line.startswith("| ")]
    assert cells[1][:5] == ["r0", "validation", "random", "another set", "70.00"] and cells[1][-1] == "unknown"
    assert cells[-1][0] == "mean of 3 seeds (r0, r1, r2)" and cells[-1][4] == "71.00 +- 2.48" and cells[-1][-1] == "unknown"
    assert "| 50.00 " in second and "| 51.00 +- 2.48 " in second and "70.00" not in second.split("- mean of")[0]
    assert page.endswith("## Warnings\n\n- frames are few\n")
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1, "every row has every column"


@pytest.mark.parametrize(
    ("num_near", "told"), [(None, "not searched for"), (0, "0 of 4 frames have near"), (4, "4 of 4 frames have near")]
)
def test_page_without_a_clean_part_says_why(num_near, told):
    page = page_of([comparison(FLOOR, num_near)], [])
    assert told in page and "remain:" not in page and "Warnings" not in page
