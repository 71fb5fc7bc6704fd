"""Frames of a 14-bit sensor in 16-bit files: what tests a run reads them on the scale it was trained at."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from finetune import evaluate, probes  # noqa: E402
from finetune.recipe import FinetuneRecipe  # noqa: E402
from pipelines import scale_tasks  # noqa: E402
from pipelines.config import load_recipe  # noqa: E402
from pipelines.scale_cells import Cell  # noqa: E402
from tests.support.cli import call  # noqa: E402
from tests.support.stores import deep_corpus  # noqa: E402

LEVEL, FULL = 16383, 65535
NETWORK = ("detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=2")
FINE = (*NETWORK, "train.steps=2", "train.validate_every=null")
PRE = (*FINE, "objectives=[{kind: seg}]", "held_out.frames=1", "held_out.crops=2")
HERE = ("--cluster", "sync", "--resamples", 0)


def trained(command, recipe, corpus, out, *sets):
    flags = [flag for key in sets for flag in ("--set", key)]
    done = call(command, recipe, "--data", corpus, "--out", out, *flags)
    assert done.rc == 0, done
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return deep_corpus(tmp_path_factory.mktemp("corpus") / "deep")


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """``deep`` is told the sensor's highest level, ``full`` is not; ``pre`` is a pretraining that is told."""
    out, told = tmp_path_factory.mktemp("runs"), f"data.max_level={LEVEL}"
    trained("finetune_detector", "acm_nano_smoke", corpus, out / "deep", *FINE, told)
    trained("finetune_detector", "acm_nano_smoke", corpus, out / "full", *FINE)
    trained("pretrain_encoder", "pretrain_tiny", corpus, out / "pre", *PRE, told)
    return out


def content(path):
    return json.loads(path.read_text())


def peak(folder):
    """Highest saliency of a frame, grey levels: in proportion to the scale its file is read on."""
    return content(folder / "frames" / "t.json")["peak"]


def test_a_run_is_evaluated_at_its_own_level(corpus, runs, tmp_path):
    """And so are classical methods beside it; alone they read the full range, as before."""
    for name, methods, options in (
        ("beside", (runs / "deep", "tophat"), ()),
        ("alone", ("tophat",), ()),
        ("told", ("tophat",), ("--max-level", LEVEL)),
    ):
        done = call("evaluate", *methods, "--data", corpus, "--out", tmp_path / name, "--rule", "mean10", *options, *HERE)
        assert done.rc == 0, done
    about = [
        content(folder / "evaluation.json")["about"]["data"] for folder in (tmp_path / "beside" / "deep", tmp_path / "alone")
    ]
    assert about[0].pop("max_level") == LEVEL and about[0] == about[1], "evaluations from before there was the key go on"
    beside, alone, told = (peak(tmp_path / name) for name in ("beside/tophat", "alone", "told"))
    assert beside == told == pytest.approx(alone * FULL / LEVEL, rel=1e-6)


def test_runs_of_several_levels_need_to_be_told_one(corpus, runs, tmp_path):
    command = ("evaluate", runs / "deep", runs / "full", "--data", corpus, "--out", tmp_path / "e", "--dry-run", *HERE)
    call(*command).refused(2, "--max-level must be given", f"deep {LEVEL}, full null")
    assert call(*command, "--max-level", LEVEL).rc == 0
    call(*command, "--max-level", 70_000).refused(2, "max_level", "must be in 1..65535, got 70000")


def test_a_run_is_probed_at_its_own_level(corpus, runs, tmp_path):
    for name, options, level in (
        ("deep", (), LEVEL),
        ("pre", (), LEVEL),
        ("full", (), None),
        ("full", ("--max-level", 20_000), 20_000),
    ):
        out = tmp_path / f"{name}{level}"
        done = call("probe", runs / name, "--data", corpus, "--split", "test", "--out", out, *options)
        assert done.rc == 0 and content(out / "probe.json")["data"].get("max_level") == level, done


def test_a_study_tests_at_the_level_of_its_runs(corpus, runs, tmp_path, monkeypatch):
    seen = []
    score, find = evaluate.score_run, probes.find_without_labels

    def scored(run, frames, **options):
        frames = list(frames)
        seen.extend(frame.max_level for frame in frames)
        return score(run, frames, **options)

    def found(model, choosing, frames, *others):
        seen.extend(frame.max_level for frame in (*choosing, *frames))
        return find(model, choosing, frames, *others)

    monkeypatch.setattr(evaluate, "score_run", scored)
    monkeypatch.setattr(probes, "find_without_labels", found)
    recipe = load_recipe("acm_nano_smoke", FinetuneRecipe, (*FINE, f"data.max_level={LEVEL}"), stage="finetune")
    root = str(corpus)
    task = scale_tasks.FinetuneTask(
        cell=Cell("deep", "arm", None, 2, 0, 4), run=str(tmp_path / "run"), recipe=recipe, data=(root,), init=None,
        validation=root, tests={"deep": scale_tasks.Tested(root, ())}, stop_file=str(tmp_path / "stop"),
    )  # fmt: skip
    assert task.perform() and seen == 2 * [LEVEL]
    zero = scale_tasks.ZeroLabelTask("pre", str(runs / "pre"), root, recipe.train)
    assert zero.perform() and seen == 5 * [LEVEL]
