"""What the report says of more data: predictions that held, synthetic frames against labels, and what accuracy costs."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="pipelines.report needs jinja2: pip install 'sirst-foundry[report]'")

from finetune.metrics.intervals import Interval
from pipelines.report.build import build_report
from pipelines.report.cost_sections import Prices
from pipelines.report.inputs import read_sources
from pipelines.report.page import render
from pipelines.scale_transfer import TransferGrid, TransferJudgement, TransferLaw
from synth.errors import RecipeError
from tests.support.reports import SETS, SIZES, study, write_study

SYNTHETIC = (250, 1000, 4000, 16000)
PRICES = Prices(2.5, 0.01, "EUR")
GAP = "at 16000 synthetic frames the gap holds the error up: change the generator, not the count"
REFUSED = "not enough seeds for the transfer law: 4 of 5"


def transfer_study(seeds=(0, 1, 2, 3, 4)):
    """Return study.json of arms that differ in rendered frames alone: errors fall by a known law, alike everywhere."""
    sizes, counts = (8, 34, 85), {f"n{n}": n for n in SYNTHETIC}
    content = study(seeds=seeds, arms=("random", *counts), sizes=sizes) | {"comparisons": [], "curves": [], "ratios": []}
    for arm in content["recipe"]["arms"]:
        arm |= {"pretrain": None, "pretraining": [], "extra_steps": 0, "train": [], "synthesize": None, "real_share": None}
        if arm["name"] in counts:
            arm |= {"synthesize": "scenes", "real_share": 0.5}
    content["recipe"]["transfer"] = list(counts)
    content["frames"] = {name: {"train": 256, "synthetic": counts, "rendered": sorted(counts)} for name in SETS}
    law, n, s = TransferLaw(2.0, 0.1, 0.4, 0.15), np.array(SYNTHETIC, float), np.array(sizes, float)
    noise = 0.01 * np.random.default_rng(0).normal(size=(len(n), len(s), len(seeds)))
    grid = TransferGrid(n, s, law(n[:, None], s[None, :])[:, :, None] * np.exp(noise), seeds)
    verdict = TransferJudgement(grid, law, Interval(0.08, 0.13), (GAP,))
    places = [{"dataset": name, "budget": budget["name"]} for name in SETS for budget in content["recipe"]["budgets"]]
    content["transfers"] = [place | verdict.to_dict() for place in places]
    for group in content["groups"]:
        if group["arm"] in counts:
            errors = grid.errors[list(counts).index(group["arm"]), sizes.index(group["labels"])]
            group["scores"]["iou"] = (100.0 * (1.0 - errors)).tolist()
            group["num_frames"] = group["labels"] + counts[group["arm"]]
    return content


def report_of(folder, content, prices=None):
    return build_report(read_sources([write_study(folder / "study", content)]), prices)


def blocks(report, key, kind):
    section = next(entry for entry in report.sections if entry.key == key)
    return [block for block in section.blocks if block.kind == kind]


def column(table, head):
    return [row[table.heads.index(head)].text for row in table.rows]


def omitted(report):
    return {entry.what: entry.why for entry in report.omitted}


def test_predictions_stand_beside_what_was_measured(tmp_path):
    content = study()
    measured = [100.0 * (1.0 - math.fsum(curve["errors"][-1]) / 5) for curve in content["curves"]]
    content["curves"][1]["prediction"] = [0.60, 0.70]
    content["curves"][2]["prediction"] = [0.10, 0.20]
    report = report_of(tmp_path, content)
    table = blocks(report, "laws", "table")[1]
    assert column(table, "budget") == ["equal-steps"] * 6, "no prediction without a stated law"
    assert column(table, "prediction") == ["held", "missed: better", "missed: worse", "held", "held", "held"]
    assert column(table, "IoU predicted")[1:3] == ["30.0 to 40.0", "80.0 to 90.0"]
    assert table.rows[0][table.heads.index("IoU measured")].value["mean"] == pytest.approx(measured[0])
    panels = next(block for block in blocks(report, "laws", "panels") if "foresee" in block.title)
    assert [figure.title for figure in panels.figures] == ["nuaa, equal-steps", "nudt, equal-steps"]
    assert panels.figures[0].data[1]["predicted"] == pytest.approx([30.0, 40.0])
    assert panels.figures[0].svg.count('class="dot') == 3 * 5


def test_a_law_that_is_refused_predicts_nothing(tmp_path):
    content = study()
    for curve in content["curves"]:
        curve |= {"law": None, "prediction": None, "refusals": ["not enough seeds"]}
    report = report_of(tmp_path, content)
    assert len(blocks(report, "laws", "table")) == 1
    assert "foresee" not in render(report)
    for curve in content["curves"]:
        del curve["prediction"]  # as curves without any seed have none
    assert len(blocks(report_of(tmp_path / "other", content), "laws", "table")) == 1


def test_transfer_law_is_shown_with_its_gap_and_its_words(tmp_path):
    content = transfer_study()
    report = report_of(tmp_path, content)
    lines = blocks(report, "transfer", "lines")[0].lines
    assert lines == tuple(
        f"{dataset}, {budget}: {GAP}" for dataset in ("nuaa", "nudt") for budget in ("equal-steps", "equal-passes")
    )
    law, *means = blocks(report, "transfer", "table")
    assert [cell.text for cell in law.rows[0][2:6]] == ["0.100 [0.080, 0.130]", "0.400", "0.150", "2.000"]
    assert column(law, "synthetic frames")[0] == "250, 1000, 4000, 16000" and column(law, "labels")[0] == "8, 34, 85"
    assert column(means[0], "synthetic frames") == ["0 (random)", "250", "1,000", "4,000", "16,000"]
    bare = next(g for g in content["groups"] if (g["arm"], g["labels"]) == ("random", 34))["scores"]["iou"]
    assert means[0].rows[0][2].value["mean"] == pytest.approx(math.fsum(bare) / 5)
    figure = blocks(report, "transfer", "panels")[0].figures[0]
    assert figure.svg.count('class="dot') == len(SYNTHETIC) * 3 * 5 and "dashed" not in figure.svg
    assert figure.data["errors"] == content["transfers"][0]["errors"] and figure.data["seeds"] == [0, 1, 2, 3, 4]
    assert [len(points.split()) for points in re.findall(r'<polyline points="([^"]*)" class="line', figure.svg)][-3:] == [24] * 3


def test_what_is_refused_of_the_transfer_law_is_not_stated(tmp_path):
    content = transfer_study()
    first, second = content["transfers"][:2]
    first |= {"law": None, "gap": None, "sentences": [REFUSED]}
    second |= {"gap": None, "sentences": ["gap not identified"]}
    report = report_of(tmp_path, content | {"transfers": [first, second]})
    assert f"nuaa, equal-steps: {REFUSED}" in blocks(report, "transfer", "lines")[0].lines
    law = blocks(report, "transfer", "table")[0]
    assert {cell.text for row in law.rows for cell in row[2:6]} == {"withheld"}
    points, dashed = (figure.svg for figure in blocks(report, "transfer", "panels")[0].figures)
    assert "dashed" not in points and dashed.count("dashed") == 3
    lengths = [len(found.split()) for found in re.findall(r'<polyline points="([^"]*)" class="line', points)]
    assert max(lengths) == len(SYNTHETIC), "means are joined, no law is drawn"
    assert "0.100" not in render(report)
    warnings = [block.text for block in blocks(report, "transfer", "text")]
    assert len(warnings) == 2 and all("nudt" in text and "no seed has finished every count" in text for text in warnings)


def test_without_transfer_arms_the_reason_is_given(tmp_path):
    assert "transfer in its recipe" in omitted(report_of(tmp_path, study()))["Synthetic frames against labels"]
    smoke = report_of(tmp_path / "smoke", transfer_study(seeds=(0, 1)))
    assert all('class="watermark"' in figure.svg for figure in blocks(smoke, "transfer", "panels")[0].figures)


def test_money_is_labels_and_synthetic_frames_times_their_prices(tmp_path):
    report = report_of(tmp_path, transfer_study(), PRICES)
    assert "a labelled frame 2.5 EUR; a synthetic frame 0.01 EUR" in blocks(report, "cost", "text")[0].text
    table = blocks(report, "cost", "table")[0]
    costs = {row[0].text: [cell.value["cost"] for cell in row[1:]] for row in table.rows}
    assert costs["random"] == [20.0, 85.0, 212.5]
    assert costs["n4000"] == [60.0, 125.0, 252.5]
    figure = blocks(report, "cost", "panels")[0].figures[0]
    drawn = {line["arm"]: [x for x, _ in line["cost_iou"]] for line in figure.data}
    assert drawn == costs, "as measured, and nothing beyond"
    assert "cost, EUR" in figure.svg and figure.svg.count('class="whisker') == 5 * 3
    assert figure.svg.count('class="dot') == 5 * 3 * 5


def test_copies_of_labelled_frames_are_paid_for_with_these(tmp_path):
    content = study(arms=("random", "copies"))
    content["recipe"]["arms"][1] |= {"synthesize": "sirst5k", "real_share": None}
    content["frames"] = {name: {"train": 256, "synthetic": {"copies": 1024}, "rendered": []} for name in ("nuaa", "nudt")}
    report = report_of(tmp_path, content, PRICES)
    following, table = blocks(report, "cost", "table")[:2]
    assert [cell.value["cost"] for cell in table.rows[1][1:]] == pytest.approx([size * (2.5 + 4 * 0.01) for size in SIZES])
    row = next(row for row in following.rows if row[2].text == "copies")
    assert [cell.value for cell in row[3:6]] == [256, 42, 167], "41.7 frames of the law, and four copies of each"
    assert row[6].value == pytest.approx(41.7 * 2.5 + 167 * 0.01)
    content["recipe"]["arms"][1]["synthesize"] = "scenes"
    content["frames"] = {name: entry | {"rendered": ["copies"]} for name, entry in content["frames"].items()}
    alone = blocks(report_of(tmp_path / "alone", content, PRICES), "cost", "table")[1]
    assert {cell.value["cost"] for cell in alone.rows[1][1:]} == {10.24}, "scenes alone use no label"


def test_the_next_point_has_a_price_only_where_its_frames_are_stated(tmp_path):
    content = study()
    content["curves"][0]["frames_for_one_point"] = None
    table = blocks(report_of(tmp_path, content, Prices(2.0)), "cost", "table")[0]
    assert column(table, "arm") == ["random-matched", "ssl", "random", "random-matched", "ssl"]
    assert set(column(table, "budget")) == {"equal-steps"} and set(column(table, "cost")) == {"83.4"}
    for curve in content["curves"]:
        curve |= {"refusals": ["no law"], "law": None, "intervals": {"floor": None, "exponent": None}}
    titles = [table.title for table in blocks(report_of(tmp_path / "other", content, Prices(2.0)), "cost", "table")]
    assert titles and not any("next IoU point" in title for title in titles)


def test_arms_whose_cost_is_not_known_are_named_and_left_out(tmp_path):
    content = transfer_study()
    report = report_of(tmp_path, content, Prices(2.5))
    warning = blocks(report, "cost", "text")[1].text
    assert "without n250, n1000, n4000, n16000: synthetic frames have no price" in warning
    assert [line["arm"] for line in blocks(report, "cost", "panels")[0].figures[0].data] == ["random"]
    del content["frames"]
    assert "study.json does not say" in blocks(report_of(tmp_path / "old", content, PRICES), "cost", "text")[1].text


def test_one_cost_is_no_curve_and_seeds_without_any_hit_are_drawn(tmp_path):
    content = study(sizes=(34,)) | {"curves": [], "ratios": []}
    report = report_of(tmp_path, content, PRICES)
    assert not blocks(report, "cost", "panels") and len(blocks(report, "cost", "table")) == 4
    content = study()
    content["groups"][0]["scores"]["iou"][0] = 0.0
    figure = blocks(report_of(tmp_path / "zero", content, PRICES), "cost", "panels")[0].figures[0]
    assert figure.svg.count('class="dot') == 3 * 5 * 5


def test_without_prices_or_runs_there_is_no_cost_curve(tmp_path):
    assert omitted(report_of(tmp_path, study()))["Cost curve"].startswith("no price of a label was given (--cost ")
    empty = study(done=0, arms=("random",)) | {"curves": [], "comparisons": [], "ratios": []}
    assert omitted(report_of(tmp_path / "empty", empty, PRICES))["Cost curve"] == "no study with a finished run was given"


def test_prices_are_part_of_the_command_and_of_the_bytes(tmp_path):
    sources = read_sources([write_study(tmp_path / "study", study())])
    first = build_report(sources, Prices.parse("label=2.50, unit=EUR a day")).to_dict()
    assert build_report(sources, Prices.parse("unit=EUR a day,label=2.5")).to_dict() == first
    assert build_report(sources, Prices.parse("label=2.6,unit=EUR a day")).to_dict() != first
    lines = first["sections"][-1]["blocks"][0]["lines"]
    assert lines[-1] == "python -m pipelines.report study --cost 'label=2.5,unit=EUR a day' --out report.html"


@pytest.mark.parametrize("text", ["label=2.5", "label=0.1,synthetic=0", "label=1,synthetic=0.30000000000000004,unit=h"])
def test_prices_read_what_they_write(text):
    assert str(Prices.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "--cost must be label=PRICE[,synthetic=PRICE][,unit=NAME], got 3"),
        ("synthetic=1", "--cost must be label=PRICE"),
        ("label=1,labels=2", "--cost must be label=PRICE"),
        ("label=1,label=2", "--cost must be label=PRICE"),
        ("label=cheap", "--cost label must be a number >= 0, got cheap"),
        ("label=0", "--cost label must be > 0, got 0"),
        ("label=1,synthetic=-1", "--cost synthetic must be a number >= 0, got -1"),
        ("label=nan", "--cost label must be a number >= 0, got nan"),
        ("label=1,unit=thalers of Maria Theresa", "--cost unit must be at most 12 characters"),
    ],
)
def test_bad_prices_are_refused_in_one_line(text, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        Prices.parse(text)


def test_units_are_texts_and_never_markup(tmp_path):
    page = render(report_of(tmp_path, study(), Prices(2.0, None, "<b>&")))
    assert "<b>" not in page and "&lt;b&gt;&amp;" in page
