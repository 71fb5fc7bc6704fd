"""What the report states of studies, and no more: laws, prices, budgets, answers of fresh seeds, convergence, intervals."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("jinja2", reason="pipelines.report needs jinja2: pip install 'sirst-foundry[report]'")

from pipelines.report.build import build_report
from pipelines.report.cost_sections import Prices
from pipelines.report.headline import MOST_SENTENCES
from pipelines.report.inputs import read_sources
from pipelines.report.page import files_of
from synth.errors import RefusalError
from tests.support.reports import ENDPOINT, SETS, fresh_groups, study, write, write_evaluation, write_pretraining, write_study

PRICE_REFUSED = (
    "one more point of IoU: 1.2e+03 frames are more than 4 times the largest size measured, 256: no value is predicted"
)
NO_LAW = "not enough seeds to state an exponent: 3 of 5"


def report_of(folder, *contents, prices=None):
    """Return the report of studies, called study0, study1 and so on."""
    folders = [write(folder / f"study{k}" / "study.json", content).parent for k, content in enumerate(contents)]
    return build_report(read_sources(folders), prices)


def blocks(report, key, kind):
    return [block for entry in report.sections if entry.key == key for block in entry.blocks if block.kind == kind]


def column(table, head):
    return [row[table.heads.index(head)].text for row in table.rows]


def withhold_law(curve):
    curve |= {"law": None, "intervals": {"floor": None, "exponent": None}, "refusals": [NO_LAW]}
    curve |= {"prediction": None, "frames_for_one_point": None, "price_interval": None}


def refuse_price(curve, key):
    curve |= {"frames_for_one_point": None, "price_interval": None}
    curve |= {"refusals": [PRICE_REFUSED]} if key == "refusals" else {"price_refusal": PRICE_REFUSED}


@pytest.mark.parametrize("key", ["price_refusal", "refusals"])  # older files have both kinds in one list
def test_a_price_that_is_refused_leaves_the_law_stated(key, tmp_path):
    content = study()
    for curve in content["curves"]:
        refuse_price(curve, key) if curve["budget"] == "equal-steps" else None
    report = report_of(tmp_path, content)
    table = blocks(report, "laws", "table")[0]
    assert column(table, "exponent b")[:3] == ["0.400 [0.330, 0.480]"] * 3
    assert column(table, "frames for +1 IoU")[:3] == ["withheld"] * 3
    assert f"nuaa, equal-steps, random: {PRICE_REFUSED}" in blocks(report, "laws", "lines")[0].lines
    svg = blocks(report, "curves", "panels")[0].figures[0].svg
    assert "dashed" not in svg, "a stated law is drawn through"
    assert not any("No law of scale" in sentence for sentence in report.headline)
    assert not any("one more point" in sentence.lower() for sentence in report.headline)


def test_a_price_stands_with_its_interval_and_is_left_alone_in_older_files(tmp_path):
    content = study()
    del content["curves"][0]["price_interval"], content["curves"][0]["price_refusal"]
    report = report_of(tmp_path, content)
    assert column(blocks(report, "laws", "table")[0], "frames for +1 IoU")[:2] == ["42", "42 [30, 61]"]
    assert any(
        "One more IoU point would take random on nuaa about 42 more labelled frames, no interval" in sentence
        for sentence in report.headline
    )
    newer = report_of(tmp_path / "newer", study())
    assert any("random on nuaa about 42 more labelled frames, [30, 61]" in sentence for sentence in newer.headline)


def test_no_law_is_said_only_where_every_law_is_missing(tmp_path):
    content = study()
    withhold_law(content["curves"][2])
    (sentence,) = (sentence for sentence in report_of(tmp_path, content).headline if "no law" in sentence)
    assert sentence.endswith(
        "; no law for ssl on nuaa at equal-steps; random-matched on nuaa at equal-passes; random-matched on nudt at equal-passes."
    )
    for curve in content["curves"]:
        withhold_law(curve)
    assert f"No law of scale is stated: {NO_LAW}." in report_of(tmp_path / "none", content).headline


def test_label_ratios_are_counted_on_both_sides_of_one(tmp_path):
    content = study()
    own = [entry for entry in content["ratios"] if (entry["dataset"], entry["budget"]) == ("nuaa", "equal-steps")][:3]
    for entry in content["ratios"]:
        entry |= {"ratio": 1.1, "bound": "=", "low": 0.9, "high": 1.3}
    (none,) = (sentence for sentence in report_of(tmp_path, content).headline if "worth" in sentence)
    assert none == f"What a start is worth in labels: none of {len(content['ratios'])} ratios can be told from 1."
    for entry, (ratio, low, high) in zip(own, ((1.5, 1.2, 1.8), (2.0, 1.1, 3.9), (0.4, 0.2, 0.9)), strict=True):
        entry |= {"ratio": ratio, "low": low, "high": high}
    (found,) = (sentence for sentence in report_of(tmp_path / "both", content).headline if "worth" in sentence)
    assert found == (
        f"Label ratios whose interval excludes 1, not corrected for their number: 2 of {len(content['ratios'])} above it "
        "(ssl with 17 labels of nuaa at equal-steps is worth 2 times the labels of random-matched), 1 below "
        "(ssl with 34 labels of nuaa at equal-steps is worth 0.4 times the labels of random-matched)."
    )


def test_a_law_whose_floor_is_not_identified_has_no_numbers_and_no_price(tmp_path):
    content = study()
    for curve in content["curves"]:
        curve |= {"intervals": {"floor": None, "exponent": None}, "refusals": ["floor not identified"]}
    report = report_of(tmp_path, content, prices=Prices(2.0))
    table = blocks(report, "laws", "table")[0]
    assert column(table, "floor c")[0] == column(table, "frames for +1 IoU")[0] == "withheld"
    assert not any("next IoU point" in table.title for table in blocks(report, "cost", "table"))
    assert "dashed" in blocks(report, "curves", "panels")[0].figures[0].svg


def test_answers_of_all_studies_come_first_and_are_never_cut(tmp_path):
    contents = [study() | {"endpoint": ENDPOINT} for _ in range(MOST_SENTENCES + 2)]
    for number, content in enumerate(contents):
        content["recipe"] = content["recipe"] | {"name": f"asked{number}"}
    headline = report_of(tmp_path, *contents).headline
    answers = [sentence for sentence in headline if "Primary endpoint" in sentence]
    assert headline[: len(contents)] == tuple(answers) and len(headline) == len(contents) + MOST_SENTENCES
    assert [answer.partition(": ")[0] for answer in answers] == [f"asked{number}" for number in range(len(contents))]


def test_all_labels_are_the_training_list_whatever_rendered_arms_train_on(tmp_path):
    content = study(arms=("random", "rendered"), sizes=(8, 34, 256))
    content["recipe"]["arms"][1] |= {"synthesize": "scenes", "real_share": None}
    content["frames"] = {name: {"train": 256, "synthetic": {"rendered": 100}, "rendered": ["rendered"]} for name in SETS}
    for group in content["groups"]:
        group["labels"] = None if group["labels"] == 256 else group["labels"]
        group["num_frames"] = 100 if group["arm"] == "rendered" else group["num_frames"]
    for keys in (("frames", "data"), ("data",)):
        found = {key: value for key, value in content.items() if key in keys or key not in ("frames", "data")}
        report = report_of(tmp_path / str(len(keys)), found, prices=Prices(1.0, 0.0))
        assert '"middle">256<' in blocks(report, "curves", "panels")[0].figures[0].svg
        costs = blocks(report, "cost", "table")[-1]
        assert costs.heads == ("arm", "8 labels", "34 labels", "256 labels") and costs.rows[0][-1].value["cost"] == 256.0


@pytest.mark.parametrize(
    ("key", "needle"),
    [
        ("train_ids_sha256", "the train list of sirst-v1"),
        ("val_ids_sha256", "the val list of sirst-v1"),
        ("test_ids_sha256", "the test list of sirst-v1"),
        ("train", "the number of training frames of sirst-v1"),
    ],
)
def test_studies_on_other_lists_are_refused(key, needle, tmp_path):
    contents = [study(), study(), study()]
    for content, value in zip(contents, (None, "a" * 64, "b" * 64), strict=True):
        content["data"]["nuaa"].pop(key, None)
        content["data"]["nuaa"] |= {} if value is None else {key: value}
    assert report_of(tmp_path, *contents[:2]).sections, "older files do not say"
    with pytest.raises(
        RefusalError, match=f"got {needle} as aaaaaaaaaaaa in study1 and bbbbbbbbbbbb in study2; report them apart"
    ):
        report_of(tmp_path, *contents)


def test_a_budget_says_which_arms_take_more_steps(tmp_path):
    content = study()
    for group in content["groups"]:
        group["steps"] = 1750 if (group["budget"], group["arm"]) == ("equal-steps", "random-matched") else group["steps"]
    content["recipe"]["arms"][1]["extra_steps"] = 1150
    report = report_of(tmp_path, content)
    titles = [table.title for table in blocks(report, "arms", "table")]
    assert titles[0] == "labels_effect: nuaa, equal-steps (600 optimiser steps; 1,750 for random-matched)"
    assert titles[1].endswith("(as many passes over its frames as random, and extra steps for random-matched)")
    assert "at equal-steps, where arms take different numbers of steps, " in report.headline[0]
    equal = report_of(tmp_path / "equal", study())
    assert blocks(equal, "arms", "table")[0].title.endswith("(equal optimiser steps)")
    assert "at equal-steps, where" not in equal.headline[0]


def test_pretrainings_stand_in_the_table_of_what_runs_took(tmp_path):
    content = study(arms=("pretrained", "random"))
    content["recipe"]["arms"][0]["pretrain"] = "pretrain_tiny"
    folder = write_study(tmp_path / "study", content)
    report = build_report(read_sources([folder]))
    elsewhere, *warnings = (block.text for block in blocks(report, "compute", "text"))
    assert elsewhere == "labels_effect: 12 runs were done elsewhere; these and their pretrainings are not in the table."
    assert len(warnings) == 1 and "lacks what those cost that these arms start from: pretrained" in warnings[0]
    for seed in (0, 1):
        write_pretraining(folder / "pretrained" / "nuaa" / "pretrained" / f"seed-{seed}")
    (write_pretraining(folder / "pretrained" / "nuaa" / "pretrained" / "seed-2") / "result.json").unlink()  # not finished
    report = build_report(read_sources([folder]))
    (table,) = blocks(report, "compute", "table")
    assert column(table, "run") == ["nuaa/pretrained/labels-8/600", "pretraining nuaa/pretrained"]
    assert [cell.value for cell in table.rows[1][1:5]] == [2, 160, 10.0, 20.0]
    assert "pretraining comes on top" in table.note and len(blocks(report, "compute", "text")) == 1


def answered(*results):
    return study() | {"endpoint": ENDPOINT | {"results": list(results)}}


def test_an_answer_stands_with_what_it_could_see_and_how_its_seeds_went(tmp_path):
    result = ENDPOINT["results"][0] | {"could_see": 6.59, "groups": fresh_groups(num_collapsed=1), "secondary": {}}
    report = report_of(tmp_path, answered(result, ENDPOINT["results"][1]))
    table = blocks(report, "endpoint", "table")[0]
    assert column(table, "could see") == ["6.6", "\u2013"], "older files have neither"
    assert column(table, "collapsed, random-matched") == ["0 of 3", "\u2013"]
    assert column(table, "collapsed, ssl") == ["1 of 3", "\u2013"]
    assert column(table, "remark") == ["ssl: optimisation-limited", "\u2013"]


@pytest.mark.parametrize(("results", "text"), [([], "To be decided once"), (ENDPOINT["results"], ". Decided once")])
def test_an_endpoint_is_decided_only_with_its_answer(results, text, tmp_path):
    shown = blocks(report_of(tmp_path, answered(*results)), "endpoint", "text")[0].text
    assert f"{text} on test by fresh seeds 10, 11, 12." in shown


def test_the_runs_that_decide_are_points_too(tmp_path):
    result = ENDPOINT["results"][0] | {"could_see": 6.59, "groups": fresh_groups(), "secondary": {}}
    report = report_of(tmp_path, answered(result))
    rows = list(csv.DictReader(files_of(report, "out.html")["out.csv"].decode().splitlines()))
    fresh = [row for row in rows if row["part"] == "endpoint" and row["frames_tested"] == "all" and row["tested_on"] == "nuaa"]
    assert [(row["arm"], row["seed"]) for row in fresh] == [
        (arm, seed) for arm in ("random-matched", "ssl") for seed in ("10", "11", "12")
    ]
    assert [float(row["iou"]) for row in fresh[3:]] == result["groups"]["chosen"]["scores"]["iou"]
    assert {row["part"] for row in rows} == {"grid", "endpoint"}


def test_intervals_of_detectors_are_in_table_json_and_csv(tmp_path):
    report = build_report(read_sources([write_evaluation(tmp_path / "eval")]))
    table = blocks(report, "detectors", "table")[0]
    assert column(table, "IoU") == ["60.00 [51.00, 68.00]", "40.00 [31.00, 48.00]"]
    assert column(table, "nIoU")[0] == "62.00", "it has no interval"
    found = files_of(report, "out.html")
    (shown,) = (entry for entry in json.loads(found["out.json"])["sections"] if entry["key"] == "detectors")
    place = table.heads.index("Fa")
    assert shown["blocks"][1]["rows"][0][place] == {"value": 12.5, "low": 2.0, "high": 30.0}
    row = next(csv.DictReader(found["out.csv"].decode().splitlines()))
    assert (row["iou"], row["iou_low"], row["iou_high"], row["niou_low"], row["part"]) == ("60.0", "51.0", "68.0", "", "")


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"convergence": "reached"}, "\u2013"),
        ({"convergence": "unknown"}, "convergence unknown"),
        ({"convergence": "limited"}, "optimisation-limited"),
        ({"loss_slopes": [0.01] * 5}, "\u2013"),
        ({"loss_slopes": [None] * 5}, "convergence unknown"),
        ({"loss_slopes": [0.01, 0.02, None, None, None]}, "convergence unknown"),  # three seeds are the least that tell
        ({"loss_slopes": [None] * 5, "is_limited": True}, "optimisation-limited"),
    ],
)
def test_convergence_that_is_not_known_is_marked(changes, remark, tmp_path):
    content = study()
    group = content["groups"][1]
    del group["convergence"]
    group |= changes
    report = report_of(tmp_path, content)
    assert column(blocks(report, "arms", "table")[0], "remark")[1] == remark
    svg = blocks(report, "curves", "panels")[0].figures[0].svg
    assert svg.count('class="flag"') == (1 if remark == "\u2013" else 2), "the first group is limited"
    assert (f"({remark})" in svg) is (remark != "\u2013")
