"""The README's tables are what results/*.json say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from pipelines.record import BEGIN, END
from pipelines.scale_table import answer_text
from tests.support.cli import call

ROOT = Path(__file__).parents[3]
PAGE = f"# Title\n\n{BEGIN}\nstale\n{END}\n\nrest\n"


def group(arm, labels, values, dataset="nuaa", steps=100):
    scores = {"iou": values}
    return {
        "dataset": dataset,
        "budget": "steps",
        "arm": arm,
        "labels": labels,
        "seeds": list(range(len(values))),
        "scores": scores,
        "steps": steps,
    }


def compared(labels, low, high, dataset="nuaa"):
    names = {"dataset": dataset, "budget": "steps", "labels": labels, "arm": "seg", "reference": "scratch"}
    return names | {"low": low, "high": high}


STUDY = {
    "name": "worth", "runs": {"finished": 9, "planned": 12},
    "recipe": {"sets": [{"labels": [8, None]}], "arms": [{"name": "scratch"}, {"name": "seg"}],
               "endpoint": {"reference": "scratch"}},
    "groups": [group("scratch", 8, [1.0, 2.0, 3.0]), group("seg", 8, [4.0, 5.0, 6.0]), group("scratch", None, [9.0])],
    "comparisons": [compared(8, 2.5, 3.5), compared(None, None, None)],
    "endpoint": {"chosen": "seg", "reference": "scratch",
                 "results": [{"dataset": "nuaa", "labels": 8, "low": -1.0, "high": 2.0, "seeds": [7, 8, 9],
                             "p_holm": 0.6}]},
}  # fmt: skip
COMPARISON = {
    "sets": [
        {
            "data": {"name": "sirst-v1", "num_frames": 86}, "is_other": False,
            "means": [{"num_seeds": 3, "scores": {"native": {
                "iou": {"mean": 61.2, "half_width_95": 3.84}, "niou": {"mean": 71.1, "half_width_95": 3.1},
                "pd": {"mean": 92.7, "half_width_95": None}, "fa": {"mean": 63.7, "half_width_95": 53.8},
            }}}],
        }
    ]
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    for name, content in (("worth", STUDY), ("acm", COMPARISON), ("other", {"a": 1})):
        (results / f"{name}.json").write_text(json.dumps(content))
    (results / "worth.md").write_text("page")
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path


def record(folder, *more):
    return call("record", "--results", folder / "results", "--into", folder / "README.md", *more)


def test_tables_say_what_the_results_hold(folder):
    ended = record(folder)
    assert ended.rc == 0 and "other.json: is neither a study nor a comparison" in ended.stderr
    page = (folder / "README.md").read_text()
    assert page.startswith(f"# Title\n\n{BEGIN}\n") and page.endswith(f"{END}\n\nrest\n") and "stale" not in page
    assert "| [`acm`](results/acm.json) | sirst-v1 (86) | 3 | 61.2 ± 3.8 | 71.1 ± 3.1 | 92.7 | 63.7 ± 53.8 | - |" in page
    assert "**[worth](results/worth.md)**, 3 seeds, 9 of 12 runs" in page
    assert "| arm | nuaa, 8 labels, steps |\n|---|---|\n| scratch | 2.00 ± 2.48 |\n| seg | **+3.00 [+2.50, +3.50]** |" in page
    assert "bold where they exclude zero;\nexploratory, not corrected for their number:\n" in page
    answer = "seg minus scratch on nuaa at 8 labels: +0.50 [-1.00, +2.00] (3 pairs, Holm p 0.600)"
    assert f"- Fixed beforehand, decided by fresh seeds: {answer}." in page


def test_places_whose_arms_train_unequally_long_say_so(folder):
    groups = [group("scratch", 8, [1.0, 2.0, 3.0], steps=92), group("seg", 8, [4.0, 5.0, 6.0]), group("none", 8, [], steps=5)]
    (folder / "results/worth.json").write_text(json.dumps(STUDY | {"groups": groups}))
    record(folder)
    page = (folder / "README.md").read_text()
    assert "exploratory, not corrected for their number; steps compares arms of 92 to 100 steps:\n" in page


def test_more_places_than_arms_are_rows(folder):
    sizes = (8, 17, None)
    recipe = STUDY["recipe"] | {"sets": [{"labels": list(sizes)}]}
    groups = [group(arm, size, [1.0, 2.0, 3.0]) for size in sizes for arm in ("scratch", "seg")]
    comparisons = [compared(size, 2.5, 3.5) for size in sizes]
    content = STUDY | {"recipe": recipe, "groups": groups, "comparisons": comparisons}
    (folder / "results/worth.json").write_text(json.dumps(content))
    record(folder)
    lines = (folder / "README.md").read_text().splitlines()
    head = lines.index("| place | scratch | seg |")
    assert lines[head + 1] == "|---|---|---|"
    assert lines[head + 2] == "| nuaa, 8 labels, steps | 2.00 ± 2.48 | **+3.00 [+2.50, +3.50]** |"
    assert [line.split(" | ")[0] for line in lines[head + 2 : head + 5]] == [
        f"| nuaa, {size} labels, steps" for size in (8, 17, "all")
    ]


def test_a_study_of_a_single_arm_shows_its_scores(folder):
    alone = {"arms": [{"name": "scratch"}], "endpoint": None, "sets": STUDY["recipe"]["sets"]}
    groups = [entry for entry in STUDY["groups"] if entry["arm"] == "scratch"]
    content = STUDY | {"recipe": alone, "groups": groups, "comparisons": [], "endpoint": None}
    (folder / "results/worth.json").write_text(json.dumps(content))
    assert record(folder).rc == 0
    page = (folder / "README.md").read_text()
    assert "| arm | nuaa, 8 labels, steps |\n|---|---|\n| scratch | 2.00 ± 2.48 |\n" in page, "with all labels it has one seed"


def test_an_answer_is_bold_only_after_correction():
    assert answer_text(0.36, 9.89, 0.077) == "+5.12 [+0.36, +9.89]", "the interval alone excludes zero"
    assert answer_text(0.36, 9.89, 0.04) == "**+5.12 [+0.36, +9.89]**" and "*" not in answer_text(0.36, 9.89, None)


def test_a_second_time_changes_nothing_and_check_notices_change(folder):
    assert record(folder, "--check").rc == 3 and (folder / "README.md").read_text() == PAGE
    record(folder)
    page = (folder / "README.md").read_text()
    record(folder)
    assert (folder / "README.md").read_text() == page and record(folder, "--check").rc == 0
    (folder / "results/acm.json").unlink()
    assert record(folder, "--check").rc == 3


def test_faults_are_named(folder):
    call("record", "--results", folder / "none", "--into", folder / "README.md").refused(2, "no such folder")
    (folder / "README.md").write_text("no markers")
    record(folder).refused(2, "must hold the line", "once")


def test_readme_is_up_to_date():
    """The page of this repository, as committed."""
    ended = call("record", "--results", ROOT / "results", "--into", ROOT / "README.md", "--check")
    assert ended.rc == 0, "run python -m pipelines.record and commit README.md"
