"""The report through its command line, and its page in a real browser: on a desk, on a phone, at night."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("jinja2", reason="pipelines.report needs jinja2: pip install 'sirst-foundry[report]'")

from tests.support.browser import NAMES, find_browser, opened
from tests.support.cli import call, run
from tests.support.reports import write, write_all, write_evaluation

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_BEYOND = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.tagName + '.' + e.className)"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report.html"
    ended = run("report", *folders, "--out", out)
    assert (ended.rc, ended.stderr) == (0, ""), ended
    assert "study: a study of pipelines.scale" in ended.stdout
    assert "not shown: Synthetic frames against labels, Cost curve" in ended.stdout
    return out


def test_the_command_writes_page_json_and_csv_twice_alike(folders, page, tmp_path):
    again = run("report", *folders[::-1], "--out", tmp_path / "report.html")
    assert again.rc == 0, again
    for name in ("report.html", "report.json", "report.csv"):
        assert (tmp_path / name).read_bytes() == page.with_name(name).read_bytes()
    assert json.loads(page.with_name("report.json").read_text())["title"] == "labels_effect"


def test_a_dry_run_writes_nothing(folders, tmp_path):
    ended = run("report", *folders, "--out", tmp_path / "report.html", "--dry-run")
    assert ended.rc == 0, ended
    assert "nothing written (--dry-run)" in ended.stdout and "report.csv (" in ended.stdout
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line(folders, tmp_path):
    out = tmp_path / "report.html"
    run("report", "--out", out).refused(2, "DIR must be at least one folder, got none")
    call("report.__main__", tmp_path, "--out", out).refused(2, "is empty")
    call("report.__main__", folders[0], "--out", out, "--cost", "2.5").refused(2, "--cost must be label=PRICE", "got 2.5")
    call("report.__main__", folders[0], "--out", tmp_path / "report.txt").refused(2, "--out must end in .html")
    call("report.__main__", write(tmp_path / "x" / "y.json", {}).parent, "--out", out).refused(
        2, "x: holds nothing a report can show"
    )
    mixed = write_evaluation(tmp_path / "eval", ids="9" * 64)
    call("report.__main__", folders[0], mixed, "--out", out).refused(2, "the test list of sirst-v1", "in study", "in eval/")
    assert not out.exists()


def test_other_files_are_not_replaced(folders, tmp_path):
    """The page of a study, named after it, would take the place of what it was drawn from."""
    study = tmp_path / "study.json"
    study.write_bytes((folders[0] / "study.json").read_bytes())
    call("report.__main__", study, "--out", tmp_path / "study.html").refused(2, "study.json is no file of a report")
    (tmp_path / "mine.html").write_text("mine")
    call("report.__main__", study, "--out", tmp_path / "mine.html").refused(2, "mine.html is no file of a report")
    assert study.read_bytes() == (folders[0] / "study.json").read_bytes() and (tmp_path / "mine.html").read_text() == "mine"
    for _ in range(2):
        assert call("report.__main__", study, "--out", tmp_path / "report.html").rc == 0


def test_the_page_in_a_browser(page, tmp_path):
    browser = find_browser()
    if browser is None:
        pytest.skip(f"no browser found ({', '.join(NAMES)}): the page was not opened; apt-get install chromium")
    with opened(browser, tmp_path / "profile") as tab:
        for width, dark, phone in ((1280, False, False), (390, True, True)):
            tab.open(page, width, dark=dark, phone=phone)
            assert tab.value("document.title") == "labels_effect - SIRST Foundry report"
            assert tab.value("innerWidth") == width
            assert tab.value(_OVERFLOW) == 0, tab.value(_BEYOND)
            assert tab.value("getComputedStyle(document.body).backgroundColor") == (
                "rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)"
            )
            tab.value("document.querySelectorAll('details').forEach(e => e.open = true)")
            assert tab.value(_OVERFLOW) == 0, tab.value(_BEYOND)
            assert tab.value("[...document.images].every(e => e.complete && e.naturalWidth > 0)")
        tab.print_to(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
        assert tab.errors == []
