"""The report: what it recognises, shows, withholds and refuses, and that equal inputs give equal bytes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="pipelines.report needs jinja2: pip install 'sirst-foundry[report]'")

from pipelines.report.build import build_report
from pipelines.report.cells import difference, mean, number, p_value, show
from pipelines.report.headline import MOST_SENTENCES
from pipelines.report.inputs import read_sources
from pipelines.report.page import files_of, render
from synth.errors import FoundryError, RecipeError, RefusalError, SourceError
from tests.support.reports import (
    ENDPOINT,
    REFUSAL,
    study,
    write,
    write_all,
    write_audit,
    write_card,
    write_evaluation,
    write_probe,
    write_run,
    write_score,
    write_study,
)

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """One folder of every kind; not to be changed."""
    return write_all(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(folders):
    return build_report(read_sources(folders))


@pytest.fixture(scope="module")
def page(report) -> str:
    return render(report)


def page_of(*given: Path) -> str:
    return render(build_report(read_sources(given)))


def section(report, key: str):
    return next(entry for entry in report.sections if entry.key == key)


def tables(report, key: str):
    return [block for block in section(report, key).blocks if block.kind == "table"]


def column(table, head: str) -> list[str]:
    return [row[table.heads.index(head)].text for row in table.rows]


def test_every_kind_of_folder_is_recognised(folders):
    kinds = {source.name: source.kind.name for source in read_sources(folders)}
    assert kinds == {
        "study": "study", "eval": "evaluation", "score": "score", "probe": "probe", "card": "card", "audit": "audit",
        "acm-s0": "run",
    }  # fmt: skip


def test_a_single_evaluation_is_one_too(tmp_path):
    write_evaluation(tmp_path / "eval")
    report = build_report(read_sources([tmp_path / "eval" / "detector-0"]))
    assert column(tables(report, "detectors")[0], "detector") == ["acm-s0"]


def test_all_that_must_be_shown_is_there(report):
    assert [entry.key for entry in report.sections] == [
        "curves", "arms", "endpoint", "untuned", "laws", "ratios", "cross", "detectors", "pd-fa", "strata", "pictures", "probes",
        "realism", "leakage", "runs", "compute", "environment", "provenance", "commands",
    ]  # fmt: skip
    assert {entry.what for entry in report.omitted} == {"Synthetic frames against labels", "Cost curve"}


def test_what_is_missing_is_listed_with_its_reason(tmp_path):
    report = build_report(read_sources([write_audit(tmp_path / "audit")]))
    assert [entry.key for entry in report.sections] == ["leakage", "provenance", "commands"]
    omitted = {entry.what: entry.why for entry in report.omitted}
    assert omitted["Accuracy against scale"] == "no folder of pipelines.scale was given"
    assert "no output of pipelines.score" in omitted["Detection by target strength and size"]
    assert "What is not shown, and why" in render(report)


def test_equal_inputs_give_equal_bytes_in_any_order(folders, monkeypatch):
    first = files_of(build_report(read_sources(folders)), "report.html")
    shuffled = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(list(shuffled(self, pattern))))
    assert files_of(build_report(read_sources(folders[::-1])), "report.html") == first
    assert list(first) == ["report.json", "report.csv", "report.html"]


def test_the_page_is_the_same_wherever_its_inputs_lie(folders, page, tmp_path):
    moved = write_all(tmp_path / "elsewhere")
    assert page_of(*moved) == page
    assert str(tmp_path.parent) not in page
    assert "/home/user" not in page


def test_the_page_needs_nothing_beside_it(page):
    assert not re.search(r"""(?:src|href|url|@import)\s*[=(]\s*["']?\s*(?!#|data:)[a-z/.]""", page)
    assert "http" not in page
    assert "<script" not in page and "<link" not in page
    assert re.findall(r'src="(data:image/png;base64,)', page)


def test_the_page_is_made_for_day_night_phones_and_paper(page):
    for rule in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto", 'name="viewport"', "tabular-nums", "@page"):
        assert rule in page
    style = files("pipelines.report").joinpath("templates", "style.css").read_text()
    light, dark = (dict(re.findall(r"(--[a-z0-9-]+): ([^;]+);", part)) for part in re.findall(r":root \{(.*?)\}", style, re.S))
    assert {f"--c{number}" for number in range(8)} <= light.keys() == dark.keys()
    assert all(contrast(light[f"--c{n}"], light["--paper"]) > 3.0 < contrast(dark[f"--c{n}"], dark["--paper"]) for n in range(8))
    assert contrast(light["--text"], light["--paper"]) > 7.0 < contrast(dark["--text"], dark["--paper"])
    assert contrast(light["--quiet"], light["--paper"]) > 4.5 < contrast(dark["--quiet"], dark["--paper"])


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours by WCAG 2.1: 3 is the least for graphics, 4.5 for texts."""
    lights = []
    for colour in (first, second):
        values = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def test_names_are_escaped_everywhere(tmp_path):
    content = study(arms=("random", EVIL))
    content["command"], content["curves"][0]["refusals"] = EVIL, [EVIL]
    page = page_of(
        write_study(tmp_path / "study", content),
        write_evaluation(tmp_path / "eval", name=EVIL),
        write_run(tmp_path / "<img src=x>"),
    )
    assert "<script" not in page
    assert "<img src=x>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10


def test_the_headline_says_what_was_asked_first(report):
    assert report.headline[0] == (
        "Primary endpoint, test IoU of ssl minus random-matched on fresh seeds: nuaa at 34 labels +5.00 [+2.50, +7.50], "
        "Holm p 0.022; nudt at 34 labels +0.65 [\u22125.60, +6.90], Holm p 0.690, which cannot be told from none."
    )
    assert 2 <= len(report.headline) <= 1 + MOST_SENTENCES


def test_without_an_endpoint_the_headline_counts_differences_budget_by_budget(tmp_path):
    report = build_report(read_sources([write_study(tmp_path / "study")]))
    assert re.fullmatch(
        r"Paired differences in test IoU that exclude zero, not corrected for their number: at equal-steps, \d+ of 20, the "
        r"largest ssl minus random-matched on nu\w\w at 8 labels: \+\S+ \[\S+, \S+\]; at equal-passes, where arms take different "
        r"numbers of steps, \d+ of 20\.",
        report.headline[0],
    )


def test_refusals_stand_word_for_word_and_their_numbers_nowhere(report, page):
    table = tables(report, "laws")[0]
    by_budget = dict(
        zip(
            column(table, "budget"),
            zip(column(table, "exponent b"), column(table, "frames for +1 IoU"), strict=True),
            strict=True,
        )
    )
    assert by_budget["equal-steps"] == ("0.400 [0.330, 0.480]", "42 [30, 61]")
    assert by_budget["equal-passes"] == ("withheld", "withheld")
    lines = next(block for block in section(report, "laws").blocks if block.kind == "lines").lines
    assert f"nuaa, equal-passes, random: {REFUSAL}" in lines
    assert page.count("line ink0 dashed") == 2  # one refused law a data set, in the panels of IoU alone


def test_ratios_keep_their_bounds(report):
    table = tables(report, "ratios")[0]
    assert column(table, "ratio")[:5] == [
        "1.90 [0.90, 2.70]",
        "1.90 [1.40, 2.70]",
        "1.90 [1.40, 2.70]",
        "\u2265 3.01",
        "\u2265 1.00",
    ]
    assert column(table, "reading")[0] == "at 8 labels ssl is worth 1.9 times the labels; no evidence: 1 lies inside"
    assert column(table, "reading")[3] == "at 85 labels ssl is worth at least 3 times the labels"


def test_tables_show_differences_and_bold_only_what_excludes_zero(report):
    table = tables(report, "arms")[0]
    place = table.heads.index("IoU minus random-matched")
    found = {(row[0].text, row[1].text): row[place] for row in table.rows}
    assert found["ssl", "8"].is_strong and "[" in found["ssl", "8"].text
    assert not found["random", "17"].is_strong
    assert found["random-matched", "8"].text == "\u2013"
    assert set(column(table, "init")) == {"random", "ssl seg"}
    assert column(table, "remark")[0] == "optimisation-limited"


def test_missing_seeds_are_named(tmp_path):
    report = build_report(read_sources([write_study(tmp_path / "study", study(done=3))]))
    seeds = dict(zip(column(tables(report, "arms")[0], "arm"), column(tables(report, "arms")[0], "seeds"), strict=True))
    assert seeds == {"random": "5", "random-matched": "5", "ssl": "3 of 5, missing 3, 4"}
    assert "40 of 300 seed results are missing" in render(report)


@pytest.mark.parametrize(("seeds", "is_smoke"), [((0,), True), ((0, 1), True), ((0, 1, 2), False)])
def test_two_seeds_are_smoke(seeds, is_smoke, tmp_path):
    report = build_report(read_sources([write_study(tmp_path / "study", study(seeds=seeds))]))
    assert report.is_smoke is is_smoke
    page = render(report)
    assert ('class="watermark"' in page) is is_smoke
    assert ("smoke, not evidence" in ", ".join(column(tables(report, "arms")[0], "remark"))) is is_smoke
    assert ("smoke and not evidence" in " ".join(report.headline)) is is_smoke


def test_a_study_of_format_1_is_shown_with_what_it_has(tmp_path):
    content = study(sizes=(256,))
    for key in ("name", "command", "data", "environments", "comparisons", "curves", "ratios", "endpoint", "zero_labels"):
        del content[key]
    for group in content["groups"]:
        for key in ("labels", "loss_slopes", "is_limited", "convergence", "init"):
            del group[key]
    folder = write_study(tmp_path / "study", content | {"format": 1})
    report = build_report(read_sources([folder]))
    assert column(tables(report, "arms")[0], "labels") == ["all", "all", "all"]
    assert column(tables(report, "arms")[0], "init") == ["random", "unknown", "unknown"]  # one run has a record
    assert set(column(tables(report, "arms")[0], "remark")) == {"convergence unknown"}
    assert "no paired differences" in render(report)
    assert {entry.what for entry in report.omitted} >= {
        "Laws of scale",
        "What a start is worth in labels",
        "The primary endpoint",
        "Before any fine-tuning",
    }
    assert "strip" not in report.headline[0]


def test_what_networks_find_before_fine_tuning_stands_by_data_set(report, tmp_path):
    (table,) = tables(report, "untuned")
    assert column(table, "data set") == ["nuaa", "nudt"] and column(table, "arm") == ["ssl", "ssl"]
    assert column(table, "IoU")[0] == "12.00 \u00b1 1.96" and column(table, "IoU, chosen")[0] == "13.20 \u00b1 2.16"
    bare = build_report(read_sources([write_study(tmp_path / "study", study() | {"zero_labels": []})]))
    assert "made before these were tested" in {entry.what: entry.why for entry in bare.omitted}["Before any fine-tuning"]


def test_values_that_are_none_are_dashes(tmp_path):
    content = study()
    content["groups"][0]["scores"]["iou"] = [float("nan"), float("inf"), 30.0, 31.0, 32.0]
    content["groups"][0]["clean_iou"] = [None] * 5
    folder = write_study(tmp_path / "study", content)
    report = build_report(read_sources([folder]))
    table = tables(report, "arms")[0]
    assert column(table, "IoU")[0] == "31.00 \u00b1 2.48 (3 of 5)"
    assert column(table, "IoU, clean")[0] == ", ".join("\u2013" * 5)
    found = files_of(report, "report.html")
    assert not re.search(rb"\b(NaN|nan|Infinity|inf)\b", b"".join(found.values()))


def test_json_and_csv_hold_what_the_page_shows(folders, report):
    found = files_of(report, "out.html")
    content = json.loads(found["out.json"])
    assert [entry["name"] for entry in content["inputs"]] == ["study", "eval", "score", "probe", "card", "audit", "acm-s0"]
    assert [entry["key"] for entry in content["sections"]] == [entry.key for entry in report.sections]
    rows = list(csv.DictReader(found["out.csv"].decode().splitlines()))
    assert len(rows) == len(content["points"]) == 60 * 5 * 3 + 4
    first = json.loads((folders[0] / "study.json").read_text())["groups"][0]
    assert float(rows[0]["iou"]) == first["scores"]["iou"][0]
    assert (rows[0]["arm"], rows[0]["labels"], rows[0]["seed"], rows[1]["frames_tested"], rows[2]["tested_on"]) == (
        "random",
        "8",
        "0",
        "clean",
        "nudt",
    )
    nan = [row for row in rows if row["arm"] == "tophat" and row["frames_tested"] == "clean"]
    assert nan[0]["iou"] == ""


def test_strata_are_counted_from_targets(report):
    table = tables(report, "strata")[0]
    assert [cell.text for cell in table.rows[0]] == ["SCR 0-1", "1 of 1", "\u2013", "\u2013"]
    assert [cell.text for cell in table.rows[1]] == ["SCR 1-2", "0 of 1", "1 of 1", "\u2013"]


def test_commands_make_everything_again(report):
    lines = section(report, "commands").blocks[0].lines
    assert lines[0] == "python -m pipelines.scale labels_effect --data $SIRST_DATA --out STUDY"
    chosen = "--split test --split-list v1 --rule mean10 --set side_px=9"
    assert f"python -m pipelines.evaluate acm-s0 tophat --data $SIRST_DATA/sirst-v1 {chosen} --out eval" in lines
    assert "python -m pipelines.score maps --truth $SIRST_DATA/sirst-v1 --threshold 0.5 --out score" in lines
    assert "python -m pipelines.census scenes.zarr --against sirst-v1 --out card" in lines
    assert lines[-1] == "python -m pipelines.report study eval score probe card audit acm-s0 --out report.html"


def test_recipes_of_arms_and_runs_done_elsewhere_have_their_hashes(report):
    table = tables(report, "provenance")[0]
    shown = dict(zip(column(table, "what"), column(table, "sha256"), strict=True))
    assert shown["12 runs done elsewhere, labels_effect.json"] == "ef" * 6
    assert shown["recipes of arm random, seed aside"] == "cd" * 6 and "known.0.sha256" not in shown


@pytest.mark.parametrize("kind", ["test list", "validation", "training", "data set"])
def test_inputs_from_different_data_are_refused_with_their_names(kind, tmp_path):
    first = write_study(tmp_path / "study")
    if kind == "test list":
        given, needles = (
            [first, write_evaluation(tmp_path / "eval", ids="9" * 64)],
            ("the test list of sirst-v1", "52465041275d", "999999999999", "in eval/"),
        )
    elif kind == "validation":
        write(tmp_path / "probe" / "probe.json", {})
        other = write_probe(tmp_path / "probe")
        content = json.loads((other / "probe.json").read_text())
        content["data"]["ids_sha256"] = "7" * 64
        write(other / "probe.json", content)
        given, needles = [first, other], ("the val list of sirst-v1", "in probe;")
    elif kind == "training":
        given = [write_run(tmp_path / "a"), write_run(tmp_path / "b", pixels="0" * 64)]
        needles = ("the pixels of the training frames of ids ", "in a and", "in b;")
    else:
        content = study()
        content["stores"]["nuaa-scenes.zarr"] = "cd" * 32
        given, needles = (
            [first, write_study(tmp_path / "again", content)],
            ("data set nuaa-scenes.zarr", "abababababab", "cdcdcdcdcdcd"),
        )
    with pytest.raises(RefusalError, match="must be made from the same data") as caught:
        build_report(read_sources(given))
    assert all(needle in str(caught.value) for needle in needles), caught.value


def test_draws_of_other_frames_are_not_mixed_data(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", pixels="0" * 64, ids="1" * 64)]
    assert build_report(read_sources(runs)).sections, "of one recipe: another split, or another data set"


def test_a_pretraining_stands_beside_a_run_on_the_same_list(tmp_path):
    """Its pixels are those of other frames of the list, without masks."""
    run, pretraining = write_run(tmp_path / "detector"), write_run(tmp_path / "encoder", pixels="0" * 64)
    identity = json.loads((pretraining / "recipe.json").read_text())
    identity["recipe"]["objectives"] = [{"kind": "seg"}]
    write(pretraining / "recipe.json", identity)
    assert build_report(read_sources([run, pretraining])).sections


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: [], RecipeError, "DIR must be at least one folder, got none"),
        (lambda path: [write_audit(path / "a"), path / "a"], RecipeError, "DIR must differ, got a 2 times"),
        (lambda path: [path / "nowhere"], SourceError, "nowhere: does not exist; give the folder"),
        (lambda path: [(path / "empty", (path / "empty").mkdir())[0]], RefusalError, "empty: is empty"),
        (
            lambda path: [write(path / "other" / "x.json", {}).parent],
            RefusalError,
            r"other: holds nothing a report can show; .*study\.json",
        ),
        (lambda path: [write(path / "s" / "study.json", {"recipe": {}}).parent], RefusalError, "s/study.json: lacks groups"),
        (lambda path: [write(path / "s" / "study.json", []).parent], RefusalError, "s/study.json: is no JSON object"),
        (lambda path: [write_study(path / "s", study() | {"format": 9})], RefusalError, r"format must be 1\.\.2, got 9"),
    ],
)
def test_folders_that_cannot_be_read_are_refused_in_one_line(make, error, message, tmp_path):
    with pytest.raises(error, match=message) as caught:
        read_sources(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    folder = write_audit(tmp_path / "audit")
    (folder / "audit.json").write_text('{"format": 1, ')
    with pytest.raises(SourceError, match=r"audit/audit\.json: is no JSON"):
        read_sources([folder])
    content = study()
    del content["groups"][3]["scores"]["pd"]
    with pytest.raises(RefusalError, match=r"not as this version writes it \(KeyError: 'pd'\)"):
        build_report(read_sources([write_study(tmp_path / "study", content)]))
    content = study()
    content["groups"][3]["scores"]["pd"] = [1.0]
    with pytest.raises(FoundryError, match=r"scores\.pd of random must be one a seed, got 1 of 5"):
        build_report(read_sources([write_study(tmp_path / "other", content)]))


def test_studies_of_one_recipe_are_told_apart(tmp_path):
    report = build_report(read_sources([write_study(tmp_path / "b" / "study"), write_study(tmp_path / "a" / "study")]))
    assert report.title == "labels_effect (a/study) and labels_effect (b/study)"
    assert [entry["name"] for entry in report.inputs] == ["a/study", "b/study"]


def test_an_unfinished_run_is_shown_as_such(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "result.json").unlink()
    report = build_report(read_sources([folder]))
    assert column(tables(report, "runs")[0], "state") == ["unfinished"]
    assert report.headline[0] == "run: a run of acm_nano, unfinished."


@pytest.mark.parametrize("make", [write_score, write_probe, write_card, write_evaluation, write_run])
def test_every_input_stands_alone(make, tmp_path):
    page = page_of(make(tmp_path / "one"))
    assert "<h1>" in page and not re.search(r"\b(nan|inf|None)\b", re.sub(r"base64,[^\"]*", "", page))


def test_cells_round_alike():
    assert show(None) == show(float("nan")) == show(True) == "\u2013"
    assert (show(-1.005, 1), show(1234.5, 1), show(2.0, signed=True)) == ("\u22121.0", "1,234.5", "+2.00")
    assert (show(-0.001), show(-0.001, signed=True)) == ("0.00", "+0.00"), "what rounds to zero has no sign of its own"
    assert mean([1.0, 2.0]).text == "1.00, 2.00"
    assert mean([1.0, 2.0, 3.0]).text == "2.00 \u00b1 2.48"  # t quantile 4.303 / sqrt(3)
    assert mean([]).text == "\u2013"
    assert number(float("inf")).value is None
    assert (p_value(0.0004).text, p_value(0.31).text, p_value(None).text) == ("< 0.001", "0.310", "\u2013")
    assert difference([1.0, -2.0], None, None).text == "+1.00, \u22122.00"
    assert not difference([1.0], -1.0, 2.0).is_strong and difference([1.0], 0.5, 2.0).is_strong


def test_the_endpoint_names_both_sets_of_seeds(report):
    text = next(block for block in section(report, "endpoint").blocks if block.kind == "text").text
    assert "Chosen on validation with seeds 0, 1, 2, 3, 4: ssl" in text and "fresh seeds 10, 11, 12" in text
    assert column(tables(report, "endpoint")[0], "p, Holm") == [f"{entry['p_holm']:.3f}" for entry in ENDPOINT["results"]]
    assert column(tables(report, "endpoint")[0], "p, flips") == ["0.008", "\u2013"], "the other one has none"


@pytest.mark.parametrize(("p_holm", "is_strong"), [(0.022, True), (0.077, False), (None, False)])
def test_an_answer_is_bold_only_after_correction(p_holm, is_strong, tmp_path):
    answer = ENDPOINT["results"][0] | {"p_holm": p_holm}
    content = study() | {"endpoint": ENDPOINT | {"results": [answer]}}
    report = build_report(read_sources([write_study(tmp_path / "study", content)]))
    (row,) = tables(report, "endpoint")[0].rows
    assert row[2].is_strong is is_strong, "its interval excludes zero in every case"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            {"chosen": None, "why_not": "5 places of the grid lack selection seeds", "sets": {}},
            "nothing is chosen yet: 5 places of the grid",
        ),
        ({}, "the fresh seeds are not finished"),
    ],
)
def test_an_endpoint_without_an_answer_says_so(answer, line, tmp_path):
    report = build_report(
        read_sources([write_study(tmp_path / "study", study() | {"endpoint": ENDPOINT | {"results": []} | answer})])
    )
    assert any(line in block.text for block in section(report, "endpoint").blocks if block.kind == "text")
    assert "Primary endpoint" not in report.headline[0]


def test_all_labels_stand_where_the_training_list_ends(tmp_path):
    content = study(sizes=(8, 34, 256))
    for group in content["groups"]:
        if group["labels"] == 256:
            group["labels"], group["num_frames"] = None, 1280 if group["arm"] == "ssl" else 256  # its frames are copies
    report = build_report(read_sources([write_study(tmp_path / "study", content)]))
    figure = section(report, "curves").blocks[0].figures[0]
    assert re.findall(r'class="tick" text-anchor="middle">([^<]*)<', figure.svg) == ["8", "34", "256"]
    assert column(tables(report, "arms")[0], "labels")[2] == "all"


def test_a_studys_file_alone_is_shown_under_any_name(tmp_path):
    """As results/ keeps it: the same as its folder, without what only runs say."""
    folder = write_study(tmp_path / "whole", study())
    alone = shutil.copy(folder / "study.json", tmp_path / "kept.json")
    (source,) = read_sources([Path(alone)])
    assert (source.name, source.kind.name, source.content) == ("kept.json", "study", read_sources([folder])[0].content)
    assert "Arms, sizes and differences" in [section.title for section in build_report([source]).sections]


def test_a_study_that_has_not_begun_is_shown_as_missing(tmp_path):
    content = study(seeds=(0, 1, 2), done=0)
    report = build_report(read_sources([write_study(tmp_path / "study", content)]))
    table = tables(report, "arms")[0]
    assert column(table, "seeds")[-1] == "0 of 3, missing 0, 1, 2"
    assert column(table, "remark")[-1] == "not run"
    assert "60 of 180 seed results are missing" in " ".join(report.headline)
    for group in content["groups"]:
        for key in ("seeds", "validation_iou", "clean_iou"):
            group[key] = []
        group["scores"] = {name: [] for name in group["scores"]}
        group["other_iou"] = {}
    content |= {"comparisons": [], "curves": [], "ratios": []}
    page = page_of(write_study(tmp_path / "none", content))
    assert "180 of 180 seed results are missing" in page
    assert "no run on nuaa is finished" in page and "<svg" not in page
