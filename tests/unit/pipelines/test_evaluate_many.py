"""Several detectors and data sets on one evaluate command: means over seeds, clean frames, cross-set rows, resuming, refusals."""

from __future__ import annotations

import json
import math
import shutil
import signal
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from finetune import score  # noqa: E402
from pipelines import evaluate_run  # noqa: E402
from pipelines.evaluate_plan import find_warnings  # noqa: E402
from pipelines.evaluate_trained import find_exposure, read_run  # noqa: E402
from pipelines.score_truth import Truth  # noqa: E402
from synth.corpora.lists import hash_ids  # noqa: E402
from synth.sample import Frame  # noqa: E402
from tests.support.builders import scene, write_corpus  # noqa: E402
from tests.support.cli import call  # noqa: E402

HERE = ("--cluster", "sync", "--resamples", "20")
TINY = (
    "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4", "train.steps=12",
    "train.validate_every=12", "train.checkpoint_every_s=null", "train.optimizer.lr=0.02",
)  # fmt: skip
HOME = {"train": ("a", "b", "c", "d"), "val": ("v",), "test": ("t", "twin", "u")}
AWAY = {"train": ("e", "f", "g", "h"), "val": ("w",), "test": ("x", "like_a", "like_e", "y")}


def brighter(frame, name):
    """Return a near duplicate: the same scene, 5 levels up (no pixel is equal)."""
    return Frame(name, frame.levels + np.uint8(5), frame.max_level, frame.mask)


def frames_of(lists):
    names = [name for ids in lists.values() for name in ids]
    return {name: scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in enumerate(names)}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets: of ``home``, "twin" repeats a training frame; of ``away``, one frame repeats its own and one home's."""
    root, home, away = tmp_path_factory.mktemp("sets"), frames_of(HOME), frames_of(AWAY)
    home["twin"] = brighter(home["b"], "twin")
    away["like_a"], away["like_e"] = brighter(home["a"], "like_a"), brighter(away["e"], "like_e")
    write_corpus(root / "home", list(home.values()), HOME)
    write_corpus(root / "away", list(away.values()), AWAY)
    return root


@pytest.fixture(scope="module")
def runs(sets):
    """Three seeds of one recipe on ``home``, and one run on both sets."""
    for seed in range(3):
        trained(sets / f"s{seed}", sets / "home", seed=seed)
    trained(sets / "both", sets / "home", sets / "away")
    return sets


def trained(out, *data, seed=0):
    flags = [flag for key in (*TINY, f"train.seed={seed}") for flag in ("--set", key)]
    done = call("finetune_detector", "acm_nano_smoke", "--data", *data, "--out", out, *flags)
    assert done.rc == 0, done.stderr


def evaluate(runs, out, *names, options=()):
    methods = [runs / name if (runs / name).is_dir() else name for name in names]
    return call("evaluate", *methods, "--data", runs / "home", "--out", out, *HERE, *options)


def scores(folder):
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "r"
    done = evaluate(runs, out, "s0", "s1", "s2", "tophat", options=("--other", runs / "away"))
    assert done.rc == 0 and done.stderr == "", done
    return out, done


def test_table_of_three_seeds(compared):
    """Each detector has its own folder; mean and half width are those of its scores, by hand."""
    out, done = compared
    assert {path.name for path in out.iterdir()} == {"s0", "s1", "s2", "tophat", "scores.json", "table.md"}
    home, away = scores(out)["sets"]
    assert [(row["name"], row["rule"]) for row in home["rows"]] == [
        ("s0", "validation"), ("s1", "validation"), ("s2", "validation"), ("tophat", "adaptive"), ("tophat", "mean10")
    ]  # fmt: skip
    for found, folder in ((home, "."), (away, "other-away")):
        (mean,) = found["means"]
        assert mean["runs"] == ["s0", "s1", "s2"] and mean["num_seeds"] == 3
        for part in ("native", "native, de-duplicated"):
            for metric in ("iou", "niou", "pd", "fa"):
                values = [scores(out / f"s{k}" / folder)["scores"]["validation"][part][metric] for k in range(3)]
                half = 4.30265273 * statistics.stdev(values) / math.sqrt(3)  # t of 0.975 with 2 degrees of freedom
                assert mean["scores"][part][metric]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
                assert mean["scores"][part][metric]["half_width_95"] == pytest.approx(half, abs=1e-6)
    ious = {scores(out / f"s{k}")["scores"]["validation"]["native"]["iou"] for k in range(3)}
    assert len(ious) == 3, "seeds that all score the same test nothing"
    page = (out / "table.md").read_text()
    assert "mean of 3 seeds (s0, s1, s2): " in page and "the classical floor (tophat, " in page
    for line in page.split("outside the test lists of the set, and of the first set.\n")[1].splitlines():
        assert line in done.stdout


def test_clean_scores_are_those_of_the_frames_alone(compared, runs):
    """Home: "twin" is left out. Away: also the frame that repeats one of home's, where the runs were trained."""
    out, _ = compared
    home, away = scores(out)["sets"]
    assert (home["num_near_duplicates"], away["num_near_duplicates"]) == (1, 2)
    for folder, root, ids in (("s0", "home", ("t", "u")), ("s0/other-away", "away", ("x", "y")), ("tophat", "home", ("t", "u"))):
        for rule, modes in scores(out / folder)["scores"].items():
            maps = [np.asarray(Image.open(out / folder / rule / f"{name}.png")) > 127 for name in ids]
            masks = [np.asarray(Image.open(runs / root / "masks" / f"{name}.png")) for name in ids]
            expected = score(maps, masks, ids=ids).to_dict()
            same = expected.keys() - {"intervals", "hse_r", "hse_pix", "hse_tgt"}
            assert {key: modes["native, de-duplicated"][key] for key in same} == {key: expected[key] for key in same}


def test_single_evaluation_has_the_same_scores_in_its_own_folder(compared, runs, tmp_path):
    out, _ = compared
    done = evaluate(runs, tmp_path / "r", "s1")
    assert done.rc == 0 and "validation, native, de-duplicated" in done.stdout and not (tmp_path / "r/table.md").exists()
    assert "1 scored frames have an equal or near-duplicate frame" in done.stdout
    mine, theirs = scores(tmp_path / "r"), scores(out / "s1")
    assert mine.pop("cpu_ms_per_frame") and theirs.pop("cpu_ms_per_frame")
    assert mine == theirs


def test_cross_set_rows_are_the_run_on_the_other_set(compared, runs, tmp_path):
    """The same threshold, and the scores of an evaluation there alone, which says that it is a cross-set score."""
    out, _ = compared
    done = call("evaluate", runs / "s2", "--data", runs / "away", "--out", tmp_path / "r", *HERE)
    assert done.rc == 0 and done.stderr == "warning: s2 was trained on no list of away: its row there is a cross-set score\n"
    alone, beside = scores(tmp_path / "r"), scores(out / "s2/other-away")
    assert alone["about"] == beside["about"] and alone["warnings"] == [done.stderr.strip().removeprefix("warning: ")]
    assert alone["scores"]["validation"]["native"] == beside["scores"]["validation"]["native"]
    assert (alone["num_near_duplicates"], beside["num_near_duplicates"]) == (1, 2)
    threshold = json.loads((runs / "s2/result.json").read_text())["threshold"]
    record = json.loads((out / "s2/other-away/frames/x.json").read_text())
    assert record["thresholds"] == {"validation": threshold}
    page = (out / "table.md").read_text()
    assert "this set (root/train)" in page.split("## Other set: away")[0] and "another set" in page.split("## Other set: away")[1]


def test_run_that_was_trained_on_the_other_set_makes_no_cross_claim(runs, tmp_path):
    done = evaluate(runs, tmp_path / "r", "both", options=("--other", runs / "away"))
    told = "both was trained on away (root/train): its row there is NO cross-set score"
    assert done.rc == 0 and done.stderr == f"warning: {told}\n"
    assert scores(tmp_path / "r")["warnings"] == [told] and f"- {told}" in (tmp_path / "r/table.md").read_text()
    assert (tmp_path / "r/both/other-away/validation.png").is_file()


def test_exposure_of_subsets_and_stores(runs):
    """A run on some frames is recognised by that choice; a store keeps its frames to itself."""
    run, truth = read_run(runs / "s0"), options_of(runs, "home", "train")
    exposure = find_exposure(run, truth)
    assert (exposure.lists, exposure.num_trained, exposure.num_validated, exposure.num_stores) == (("root/train",), 4, 0, 0)
    few = {"recipe": {"data": {"split": "train", "num_frames": 2}}, "sources": run.identity["sources"]}
    assert find_exposure(type(run)(run.path, few, run.result), truth).lists == (), "these are the ids of four frames"
    entry = {"ids_sha256": hash_ids(["a", "b", "c"]), "like_test_ids": ["d"]}
    fewer = run.identity | {"sources": {"train": [entry]}}
    assert find_exposure(type(run)(run.path, fewer, run.result), truth).num_trained == 3, "without the frame that was left out"
    mixed = run.identity | {"sources": {"train": [{"store": "0" * 64}]}}
    exposure = find_exposure(type(run)(run.path, mixed, run.result), truth)
    assert (exposure.lists, exposure.num_stores, exposure.about) == ((), 1, "a store")
    rendered = {"store": "1" * 64, "rendered": True}
    for entries, about in (([rendered], "rendered scenes"), ([rendered, *mixed["sources"]["train"]], "a store")):
        seen = run.identity | {"sources": {"train": entries}}
        assert find_exposure(type(run)(run.path, seen, run.result), truth).about == about


def test_rendered_scenes_are_no_frames_of_another_set(runs):
    run, truth = read_run(runs / "s0"), options_of(runs, "away", "test")
    told = []
    for entry in ({"store": "0" * 64}, {"store": "1" * 64, "rendered": True}):
        seen = type(run)(run.path, run.identity | {"sources": {"train": [entry]}}, run.result)
        row = SimpleNamespace(
            contender=SimpleNamespace(name="r", run=seen), truth=truth, exposure=find_exposure(seen, truth), is_other=True
        )
        told.append(list(find_warnings([row])))
    assert told == [["r was trained on a store, whose frames its record does not name: they may be of away"], []]


def options_of(runs, name, split):
    return Truth(runs / name, split, layout=None, split_list=None, mask_scale="strict")


def test_frames_that_trained_are_warned_of(runs, tmp_path):
    done = evaluate(runs, tmp_path / "train", "s0", "tophat", options=("--split", "train"))
    assert done.rc == 0 and "4 of 4 scored frames of home TRAINED s0" in done.stderr
    assert scores(tmp_path / "train")["sets"][0]["floor"] == [], "no claim from frames that trained"
    done = evaluate(runs, tmp_path / "val", "s0", options=("--split", "val"))
    assert done.rc == 0 and "1 of 1 scored frames of home chose weights and threshold of s0" in done.stderr


def test_test_frames_that_trained_are_refused(runs, tmp_path):
    """Another list of the same folder tests on what trained, as 213/214 does to runs on 341/86."""
    shutil.copytree(runs / "home", tmp_path / "home")
    (tmp_path / "home/mixed").mkdir()
    for part, ids in {"train": "t\nu\n", "test": "a\nb\nv\n"}.items():
        (tmp_path / f"home/mixed/{part}.txt").write_text(ids)
    command = ("evaluate", runs / "s0", "--data", tmp_path / "home", "--out", tmp_path / "r", "--split-list", "mixed", *HERE)
    call(*command).refused(
        2, "s0: 2 of the 3 test frames of home (mixed) trained it (root/train): no test score", "--split-list root"
    )
    assert not (tmp_path / "r").exists()


def test_resumes_and_grows(compared, runs, tmp_path):
    out = tmp_path / "r"
    shutil.copytree(compared[0], out)
    before = (out / "table.md").read_text()
    (out / "s1/other-away/frames/x.json").unlink()
    (out / "table.md").unlink()
    done = evaluate(runs, out, "s0", "s1", "s2", "tophat", options=("--other", runs / "away"))
    assert done.rc == 0 and done.stdout.count("predicted 1 frames") == 1 and done.stdout.count("predicted 0 frames") == 7
    assert (out / "table.md").read_text() == before
    done = evaluate(runs, out, "s0", "both", options=("--no-dedup",))
    assert done.rc == 0 and done.stdout.count("predicted 0 frames") == 1 and done.stdout.count("predicted 3 frames") == 1
    page = (out / "table.md").read_text()
    assert "not searched for" in page and "mean of" not in page, "another recipe's data is another experiment"


def test_stopped_between_two_detectors(runs, tmp_path, monkeypatch):
    """A signal ends the frame in hand, keeps what is done, writes no table; the same command goes on."""
    real, calls = evaluate_run.write_frame, []

    def write_frame(job, ref):
        calls.append(ref.id)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGTERM)
        return real(job, ref)

    monkeypatch.setattr(evaluate_run, "write_frame", write_frame)
    stopped = evaluate(runs, tmp_path / "r", "s0", "tophat")
    assert stopped.rc == 143 and "Traceback" not in stopped.stderr and len(calls) == 5
    assert (tmp_path / "r/s0/scores.json").is_file() and not (tmp_path / "r/scores.json").exists()
    monkeypatch.undo()
    done = evaluate(runs, tmp_path / "r", "s0", "tophat")
    assert done.rc == 0 and "predicted 1 frames" in done.stdout and (tmp_path / "r/table.md").is_file()


def test_dry_run_of_several_writes_nothing(runs, tmp_path):
    done = evaluate(runs, tmp_path / "r", "s0", "tophat", options=("--other", runs / "away", "--dry-run"))
    assert done.rc == 0 and done.stdout.count("would predict 3 of 3 frames") == 2 and "4 of 4 frames" in done.stdout
    assert "nothing written (--dry-run)" in done.stdout and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("methods", "options", "told"),
    [
        (("tophat", "tophat"), (), "METHOD|RUN must have different names, got tophat more than once"),
        (("tophat", "ipi"), ("--set", "side_px=9"), "--set goes with one classical method, got 2"),
        (("s0", "s1"), ("--rule", "mean10"), "--set and --rule go with a classical method"),
        (("s0", "runs/none"), (), "runs/none: no such folder; give the --out of a finished finetune_detector"),
        (("s0", "home"), (), "holds no finished training run"),
        (("s0",), ("--other", "home"), "--data and --other must be folders of different names, got home, home"),
        (("s0",), ("--other", "nowhere"), "nowhere"),
    ],
)
def test_bad_requests(runs, tmp_path, methods, options, told):
    options = [runs / option if option in ("home", "nowhere") else option for option in options]
    evaluate(runs, tmp_path / "r", *methods, options=options).refused(2, told)
    assert not (tmp_path / "r").exists()


def test_runs_of_one_name_are_refused(runs, tmp_path):
    shutil.copytree(runs / "s0", tmp_path / "copy/s0")
    call("evaluate", runs / "s0", tmp_path / "copy/s0", "--data", runs / "home", "--out", tmp_path / "r", *HERE).refused(
        2, "got s0 more than once: each fills a folder of its name; rename a run's folder"
    )


def test_bad_folders(compared, runs, tmp_path):
    """A comparison never mixes with a single evaluation, another detector's folder, or other files."""
    out = tmp_path / "r"
    shutil.copytree(compared[0] / "tophat", out)
    evaluate(runs, out, "tophat", "s0").refused(2, "one evaluation fills it, several need a folder each")
    shutil.copytree(compared[0], tmp_path / "many")
    evaluate(runs, tmp_path / "many", "tophat").refused(2, "holds other files than an evaluation")
    other = evaluate(runs, tmp_path / "many", "tophat", "s0", options=("--set", "side_px=9"))
    other.refused(2, "tophat: holds another evaluation")
    assert "differs: detector.settings.side_px: 5 in the folder, 9 now" in other.stderr
    (tmp_path / "many/notes.txt").write_text("mine")
    evaluate(runs, tmp_path / "many", "tophat", "s0").refused(2, "holds other files than evaluations (notes.txt)")
    evaluate(runs, tmp_path / "many/notes.txt", "tophat", "s0").refused(2, "is a file")
