"""The report on operating points of studies: Pd against Fa, Pd at matched Fa, Pd by target size and SCR over label counts."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("jinja2", reason="pipelines.report needs jinja2: pip install 'sirst-foundry[report]'")

from finetune.metrics.operating import FA_LADDER
from pipelines.report.build import build_report
from pipelines.report.inputs import read_sources
from pipelines.report.page import render
from tests.support.reports import ENDPOINT, fresh_groups, study, write, write_evaluation

BY_AREA = (("1-4 px", 0, 0.0), ("5-9 px", 20, 0.5), ("10-25 px", 60, 1.0))


def points_of(pd: float, fa_scale: float) -> dict[str, object]:
    """Pd rises with the logarithm of Fa to a value; larger targets are found more often."""
    curve = [pd * min(1.0, fa / fa_scale) for fa in FA_LADDER]
    by_area = [(label, int(total * share * pd / 100.0), total) for label, total, share in BY_AREA]
    by_scr = [("0-1", 1, 4), (">= 10", 70, 76)]
    return {"fa": list(FA_LADDER), "pd": curve, "by_area": by_area, "by_scr": by_scr, "scr50": None}


def content_with_points(*, lacking: int | None = None) -> dict[str, object]:
    """A study whose runs keep operating points; seed ``lacking`` has none."""
    content = study(seeds=(0, 1, 2, 3))
    content["recipe"]["endpoint"] = {"reference": "random-matched", "candidates": ["ssl"], "selection": [0], "seeds": [9]}
    for group in content["groups"]:
        pds = dict(zip(group["seeds"], group["scores"]["pd"], strict=True))
        group["operating"] = [None if seed == lacking else points_of(pd, 10.0 + seed) for seed, pd in pds.items()]
    return content


def evaluation_with_points(folder):
    """Two detectors, one of them under two rules."""
    content = json.loads((write_evaluation(folder) / "scores.json").read_text())
    rows = content["sets"][0]["rows"]
    rows.append(rows[-1] | {"rule": "adaptive"})
    for row in rows:
        row["operating"] = points_of(80.0, 30.0) | {"scr50": 2.5}
    write(folder / "scores.json", content)
    return folder


def report_of(tmp_path, content):
    return build_report(read_sources([write(tmp_path / "study/study.json", content).parent]))


def blocks(report, key: str, kind: str):
    return [block for entry in report.sections if entry.key == key for block in entry.blocks if block.kind == kind]


def test_each_label_count_has_its_curve_and_each_arm_its_row(tmp_path):
    report = report_of(tmp_path, content_with_points())
    panels = blocks(report, "pd-fa", "panels")
    assert len(panels) == 2 * 2 and [figure.title for figure in panels[0].figures] == [
        f"{n} labels" for n in (8, 17, 34, 85, 256)
    ]
    table = blocks(report, "pd-fa", "table")[0]
    assert table.heads[2:5] == ("Pd at Fa \u2264 5", "Pd at Fa \u2264 20", "Pd at Fa \u2264 100") and len(table.rows) == 3 * 5
    assert table.heads[5] == "Pd at Fa \u2264 20 minus random-matched"


def test_differences_at_matched_fa_are_paired_by_seed(tmp_path):
    content = content_with_points()
    table = blocks(report_of(tmp_path, content), "pd-fa", "table")[0]
    row = next(row for row in table.rows if (row[0].text, row[1].text) == ("ssl", "8"))
    own, other = (
        [points["pd"][FA_LADDER.index(20.0)] for points in group["operating"]]
        for arm in ("ssl", "random-matched")
        for group in content["groups"]
        if (group["dataset"], group["budget"], group["arm"], group["labels"]) == ("nuaa", "equal-steps", arm, 8)
    )
    assert row[5].value["values"] == pytest.approx([a - b for a, b in zip(own, other, strict=True)])
    assert row[5].value["low"] < row[5].value["mean"] < row[5].value["high"]
    reference = next(row for row in table.rows if row[0].text == "random-matched")
    assert reference[5].value is None


def test_strata_are_curves_over_labels_with_their_number_of_targets(tmp_path):
    by_area, by_scr = blocks(report_of(tmp_path, content_with_points()), "strata", "panels")[:2]
    assert [figure.title for figure in by_area.figures] == ["5-9 px: 20 targets", "10-25 px: 60 targets"], "no empty bin"
    assert [figure.title for figure in by_scr.figures] == ["|SCR| 0-1: 4 targets", "|SCR| >= 10: 76 targets"]
    assert by_scr.figures[0].data[0]["by_scr 0-1"] == [25.0] * 4


def test_a_seed_without_points_is_left_out_and_counted(tmp_path):
    report = report_of(tmp_path, content_with_points(lacking=2))
    row = blocks(report, "pd-fa", "table")[0].rows[0]
    assert row[2].text.endswith("(3 of 4)") and row[2].value["values"][2] is None
    assert "5-9 px: 20 targets" in render(report)


def test_a_group_without_any_points_is_drawn_without_them(tmp_path):
    content = content_with_points()
    content["groups"][0]["operating"] = [None] * 4
    report = report_of(tmp_path, content)
    arm, labels = (content["groups"][0][key] for key in ("arm", "labels"))
    rows = blocks(report, "pd-fa", "table")[0].rows
    assert (arm, str(labels)) not in {(row[0].text, row[1].text) for row in rows} and len(rows) == 3 * 5 - 1
    assert blocks(report, "strata", "panels")[0].figures[0].data[0]["by_area 5-9 px"] == [None] * 4


def test_evaluations_draw_each_detector_once_and_every_rule_in_rows(tmp_path):
    report = build_report(read_sources([evaluation_with_points(tmp_path / "eval")]))
    (panels,) = blocks(report, "pd-fa", "panels")
    assert [line["name"] for line in panels.figures[0].data] == ["acm-s0", "tophat"]
    (table,) = blocks(report, "strata", "table")
    assert table.heads == ("detector", "rule", "5-9 px", "10-25 px", "SCR 0-1", "SCR >= 10", "SCR50"), "no empty bin"
    assert (
        [row[1].text for row in table.rows] == ["validation", "mean10", "adaptive"]
        and table.rows[0][2].text == "8 of 20"
        and table.rows[0][-1].text == "2.5"
    )


def test_a_study_without_points_says_what_would_give_them(tmp_path):
    report = report_of(tmp_path, study())
    omitted = {entry.what: entry.why for entry in report.omitted}
    assert "no study or evaluation that keeps operating points" in omitted["Detection against false alarms"]
    assert "no study or evaluation that keeps operating points" in omitted["Detection by target strength and size"]


def test_secondary_questions_stand_beside_the_answer(tmp_path):
    content = content_with_points()
    groups = fresh_groups()
    groups["reference"]["scores"]["iou"] = [40.0, 42.0, 47.0]
    result = ENDPOINT["results"][0] | {"groups": groups, "secondary": {"IoU on nudt": [1.0, 2.0, 3.0]}}
    content["endpoint"] = ENDPOINT | {"results": [result]}
    _, beside = blocks(report_of(tmp_path, content), "endpoint", "table")
    assert beside.heads == ("data set", "asked beside it", "random-matched", "ssl", "difference")
    assert [row[1].text for row in beside.rows] == ["IoU", "standard deviation of IoU over seeds", "IoU on nudt"]
    assert beside.rows[1][2].text == "3.61" and beside.rows[2][4].value["mean"] == 2.0
