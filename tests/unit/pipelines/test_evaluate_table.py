"""The page of classical methods: rows from evaluations, published rows beside them, and what is missing."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from finetune import classical_names  # noqa: E402
from pipelines.evaluate_published import BASICIRSTD, IRSAM, NOTES, TITLES  # noqa: E402
from pipelines.evaluate_table import SETS, Row, _verdict, page_of  # noqa: E402
from tests.support.builders import scene, write_corpus  # noqa: E402
from tests.support.cli import call  # noqa: E402

HERE = ("--cluster", "sync", "--resamples", "0")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Evaluations of four kinds on a corpus that has the name and lists of NUDT-SIRST."""
    root = tmp_path_factory.mktemp("table")
    frames = [scene(name, (40, 48), [(10, 12, 13, 15)]) for name in ("a", "b", "c")]
    corpus = write_corpus(root / "nudt-sirst", frames)
    (corpus / "50_50").mkdir()
    for part, ids in (("train", "a\n"), ("test", "b\nc\n")):
        (corpus / "50_50" / f"{part}.txt").write_text(ids)
    for folder, options in (
        ("tophat", ["tophat"]),
        ("wide", ["tophat", "--set", "side_px=9"]),
        ("deep/mslstipt", ["mslstipt"]),
        ("train", ["maxmedian", "--split", "trainval"]),
    ):
        done = call("evaluate", options[0], "--data", corpus, "--out", root / "runs" / folder, *options[1:], *HERE)
        assert done.rc == 0, done.stderr
    return root / "runs"


def test_page(runs, tmp_path):
    done = call("evaluate_table", runs, "--out", tmp_path / "page.md")
    assert done.rc == 0 and done.stdout.startswith("3 evaluations, 25 rows missing"), done.stderr
    page = (tmp_path / "page.md").read_text()
    assert "## NUDT-SIRST, 50_50 list: 2 frames, 2 targets" in page and "## NUAA" not in page
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")]
    heads, *cells = rows
    names = [row[0] for row in cells]
    assert names[::2] == ["Top-Hat", "Top-Hat (side_px=9)", "MSLSTIPT (reconstruction, degenerate: L = 1)"]
    assert [row[1] for row in cells[:2]] == ["adaptive", "mean10"] and {len(row) for row in rows} == {len(heads)}
    scores = json.loads((runs / "tophat/scores.json").read_text())["scores"]["adaptive"]
    first = dict(zip(heads, cells[0], strict=True))
    assert first["IoU"] == f"{scores['native']['iou']:.2f}" and first["Pd"] == "100.00"
    assert first["published: BasicIRSTD IoU/Pd/Fa"] == "20.724/78.408/166.70" and first["met"] == "no"
    assert cells[1][heads.index("met")] == "", "published rows use the adaptive rule"
    assert "- NUDT-SIRST, 50_50 list: Max-Median, TLLCM, WSLCM, IPI, NRAM, RIPT, PSTNN" in page
    assert "MSLSTIPT" in page[page.index("- NUAA-SIRST, official list: ") :]


def test_dry_run_writes_nothing(runs, tmp_path):
    done = call("evaluate_table", runs, "--out", tmp_path / "page.md", "--dry-run")
    assert done.rc == 0 and "missing: PSTNN" not in done.stdout and "missing: pstnn on NUDT-SIRST" in done.stdout
    assert not list(tmp_path.iterdir())


def test_trained_runs_have_no_row(runs, tmp_path):
    """Runs may lie beside classical methods, as in a comparison; the page is of classical methods."""
    shutil.copytree(runs / "tophat", tmp_path / "runs/tophat")
    shutil.copytree(runs / "tophat", tmp_path / "runs/acm")
    content = json.loads((runs / "tophat/scores.json").read_text())
    content["about"]["detector"] = {"kind": "run", "method": "acm", "settings": {}, "label": "acm"}
    (tmp_path / "runs/acm/scores.json").write_text(json.dumps(content))
    done = call("evaluate_table", tmp_path / "runs", "--out", tmp_path / "page.md", "--dry-run")
    assert done.rc == 0 and done.stdout.startswith("1 evaluations, "), done.stderr


def test_faults(runs, tmp_path):
    call("evaluate_table", tmp_path, "--out", tmp_path / "page.md").refused(2, "holds no evaluation of these sets")
    call("evaluate_table", runs, "--out", tmp_path / "page.txt").refused(2, "must end in .md")
    (tmp_path / "notes.md").write_text("# Notes\n")
    call("evaluate_table", runs, "--out", tmp_path / "notes.md").refused(2, "notes.md: is another page and would be replaced")
    assert (tmp_path / "notes.md").read_text() == "# Notes\n"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("scores.json", "evaluation.json"):
            (tmp_path / folder / name).write_bytes((runs / "tophat" / name).read_bytes())
    call("evaluate_table", tmp_path, "--out", tmp_path / "page.md").refused(2, "is a second evaluation beside")
    (tmp_path / "two/scores.json").write_text('{"about": 5}')
    call("evaluate_table", tmp_path, "--out", tmp_path / "page.md").refused(2, "is not what pipelines.evaluate writes")


def test_published_rows_are_complete():
    assert list(TITLES) == classical_names() and set(NOTES) == set(TITLES)
    for table, num_parts in ((BASICIRSTD, 3), (IRSAM, 4)):
        for rows in table.values():
            assert set(rows) == set(TITLES)
            assert all(len([float(part) for part in row.split("/")]) == num_parts for row in rows.values())


@pytest.mark.parametrize(
    ("iou", "pd", "verdict"), [(7.06, 62.01, "yes"), (7.26, 62.2, "no"), (7.06, 62.3, "no"), (6.86, 61.82, "yes")]
)
def test_verdict(iou, pd, verdict):
    other = {"iou": 0.0, "pd": 0.0}
    for modes in ([{"iou": iou, "pd": pd}, other], [other, {"iou": iou, "pd": pd}]):
        assert _verdict(modes, "7.059/62.014/46.12") == verdict
        assert _verdict(modes, "7.059/99.9/62.014/46.12") == verdict, "nIoU is not judged"


def test_a_full_page_has_nothing_missing():
    values = dict.fromkeys(("iou", "niou", "pd", "fa", "f1"), 1.0) | {"num_false": 1, "num_frames": 2, "num_truth": 3}
    modes = dict.fromkeys(("native", "basicirstd", "dnanet256", "irsam"), values | {"f1": None})
    rows = [Row(name, "", "", {"adaptive": modes}, 1.0, None) for name in classical_names()]
    lines = list(page_of(dict.fromkeys(SETS, rows), []))
    assert "## Not run yet" not in lines and sum(line.startswith("| IPI |") for line in lines) == 3
