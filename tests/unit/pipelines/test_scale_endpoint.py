"""The question that fresh seeds decide: validation chooses, and nothing is shown before the answer is whole."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from finetune.metrics.intervals import holm
from pipelines import scale_findings
from pipelines.scale_endpoint import Choice, choose, choosing_cells, confirm, confirmation_cells, places
from pipelines.scale_page import page_of
from pipelines.scale_table import groups_of
from tests.support.studies import FRAMES, RECIPE, record


def test_validation_chooses_count_and_arm(groups):
    """Scratch at all labels: 72.5; at 85: 67.0; at 34: 59.4, the largest count 10 points below."""
    found = choose(RECIPE, RECIPE.endpoint, groups)
    assert isinstance(found, Choice) and found.arm == "start" and found.labels == {"a": 34, "b": 34}
    assert found.validation_iou["start"] > found.validation_iou["other"]


def test_choice_waits_for_its_seeds_and_needs_headroom(tests, groups):
    def chosen_without(arm, seed, labels):
        some = {cell: test for cell, test in tests.items() if (cell.arm, cell.seed, cell.labels) != (arm, seed, labels)}
        return choose(RECIPE, RECIPE.endpoint, tuple(groups_of(RECIPE, FRAMES, some)))

    whole = choose(RECIPE, RECIPE.endpoint, groups)
    assert chosen_without("scratch", 1, 8) == "2 places of scratch lack selection seeds; the choice waits for them"
    assert chosen_without("other", 2, 34) == "2 candidates lack selection seeds at the endpoint; the choice waits for them"
    assert chosen_without("other", 2, 8) == whole, "candidates compete at the endpoint alone"
    assert chosen_without("other", 4, 34) == chosen_without("scratch", 4, 8) == whole, "seed 4 has no say"
    wide = RECIPE.endpoint.model_copy(update={"headroom": 60.0})
    assert choose(RECIPE, wide, groups) == "a: scratch is nowhere 60 points below its value with most labels"


def test_label_counts_of_the_endpoint_come_from_the_reference_alone(tests, groups):
    of_reference = tuple(groups_of(RECIPE, FRAMES, {cell: test for cell, test in tests.items() if cell.arm == "scratch"}))
    assert places(RECIPE, RECIPE.endpoint, of_reference) == places(RECIPE, RECIPE.endpoint, groups) == {"a": 34, "b": 34}


def test_what_the_choice_needs_is_done_first(tests):
    first = choosing_cells(RECIPE, list(tests), None)
    assert {cell.arm for cell in first} == {"scratch"} and len(first) == 3 * 2 * 5
    then = choosing_cells(RECIPE, list(tests), {"a": 34, "b": 17})
    assert {(cell.dataset, cell.labels) for cell in then} == {("a", 34), ("b", 17)} and len(then) == 2 * 2 * 3
    assert {cell.seed for cell in [*first, *then]} == {0, 1, 2} and {cell.arm for cell in then} == {"start", "other"}
    assert choosing_cells(RECIPE.model_copy(update={"endpoint": None}), list(tests), None) == []


def test_fresh_seeds_decide(groups):
    choice = choose(RECIPE, RECIPE.endpoint, groups)
    cells = list(confirmation_cells(RECIPE, RECIPE.endpoint, choice, FRAMES))
    assert {cell.seed for cell in cells} == {10, 11, 12} and len(cells) == 3 * 2 * 2
    assert {(cell.arm, cell.labels) for cell in cells} == {("scratch", 34), ("start", 34)}
    some = {cell: record(cell) for cell in cells if cell.dataset == "a"}
    on_a, on_b = confirm(RECIPE, RECIPE.endpoint, cells, some)
    assert on_a.comparison.low is not None and on_b.comparison.low is None
    assert on_a.p_holm is on_b.p_holm is None, "Holm waits for both data sets"
    whole = confirm(RECIPE, RECIPE.endpoint, cells, {cell: record(cell) for cell in cells})
    assert [found.p_holm for found in whole] == pytest.approx(holm([found.comparison.p for found in whole]))
    secondary = whole[0].secondary()
    assert list(secondary) == ["IoU on b", "IoU, clean", "Pd at Fa 20"]
    for differences in secondary.values():  # the records give all of them the difference in IoU
        assert differences == pytest.approx(whole[0].comparison.differences)
    assert json.loads(json.dumps(whole[0].to_dict()))["groups"]["chosen"]["seeds"] == [10, 11, 12]


def test_nothing_of_a_confirmation_is_shown_before_it_is_whole(tests, groups, monkeypatch, tmp_path):
    cells = list(confirmation_cells(RECIPE, RECIPE.endpoint, choose(RECIPE, RECIPE.endpoint, groups), FRAMES))
    known = tests | {cell: record(cell) for cell in cells}
    monkeypatch.setattr(scale_findings, "_tests", lambda _, asked: {cell: known[cell] for cell in asked if cell in known})

    def shown():
        found = scale_findings.findings(RECIPE, "command", FRAMES, tmp_path, list(tests), cells)
        return scale_findings.content_of(found, tmp_path, {}, {})["endpoint"], "\n".join(page_of(found))

    endpoint, page = shown()
    assert [result["dataset"] for result in endpoint["results"]] == ["a", "b"] and "- standard deviation of IoU" in page
    del known[cells[-1]]
    endpoint, page = shown()
    assert endpoint["chosen"] == "start" and endpoint["results"] == [] and "- standard deviation of IoU" not in page
    assert "11 of 12 runs with fresh seeds are finished; what they say is shown when all are." in page
