"""finetune_detector as a user meets it: train, stop, resume to the same bytes, evaluate, refuse."""

from __future__ import annotations

import json
import signal
from functools import partial
from importlib.resources import files

import pytest

torch = pytest.importorskip("torch")

from finetune.detectors import build_detector  # noqa: E402
from finetune.recipe import FinetuneRecipe  # noqa: E402
from finetune.train import load_run  # noqa: E402
from pipelines.config import load_recipe, recipe_names  # noqa: E402
from tests.support.builders import scene, write_corpus  # noqa: E402
from tests.support.cli import call, ended, started, wait_until  # noqa: E402
from tests.support.training import FAULTS_OF_EVERY_TRAINING, refused_before_begun  # noqa: E402

TINY = (
    "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4", "train.steps=12",
    "train.validate_every=6", "train.log_every=1", "train.checkpoint_every=3", "train.checkpoint_every_s=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    names = {"train": ("a", "b", "c", "d"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "demo", frames, names)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    done = call(*training(corpus, out))
    assert (done.rc, done.stderr) == (0, "") or "collapsed" in done.stderr, done
    assert done.stdout.startswith("acm_nano_smoke: acm, ")
    assert f"trains on {corpus} (train of root): 4 frames, 4 targets" in done.stdout
    return out


def training(corpus, out, *options, sets=()):
    flags = [flag for key in (*TINY, *sets) for flag in ("--set", key)]
    return ["finetune_detector", "acm_nano_smoke", "--data", corpus, "--out", out, *flags, *options]


def journal(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_says_what_it_did(finished):
    result = json.loads((finished / "result.json").read_text())
    assert result["weights"] == "best on validation" and result["step"] in (6, 12) and result["steps"] == 12
    assert result["init"] == {"kind": "random"} and 0.0 <= result["threshold"] < 1.0
    steps = [line for line in journal(finished) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert all(line["loss"] == pytest.approx(line["soft_iou"] + line["bce"]) for line in steps)
    model, again = load_run(finished)
    assert again == result and sum(p.numel() for p in model.parameters()) == result["num_parameters"]


def test_stopped_and_resumed_is_the_same_run(corpus, finished, tmp_path):
    """SIGTERM after some steps: exit 143, state saved; the same command finishes with the bytes of the undisturbed run."""
    out = tmp_path / "run"
    with started(*training(corpus, out)) as process:
        wait_until(lambda: (out / "metrics.jsonl").exists() and len(journal(out)) >= 2, "two steps")
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    if stopped.rc != 0:  # it may have been faster
        assert stopped.rc == 143 and "the same command goes on from there" in stopped.stdout
        assert not (out / "result.json").exists()
        refused = call("evaluate", out, "--data", corpus, "--out", tmp_path / "e")
        refused.refused(2, "holds no finished training run", "run its command again to resume")
    assert call(*training(corpus, out)).rc == 0
    assert (out / "weights.safetensors").read_bytes() == (finished / "weights.safetensors").read_bytes()
    assert (out / "result.json").read_bytes() == (finished / "result.json").read_bytes()


def test_finished_run_again_changes_nothing(corpus, finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and path.name != "env.json"}
    assert call(*training(corpus, finished)).rc == 0
    assert {path: path.read_bytes() for path in before} == before


def test_environment_names_the_threads_of_the_recipe(corpus, finished):
    before = torch.get_num_threads()
    try:
        assert call(*training(corpus, finished), "--set", "train.threads=2").rc == 0
    finally:
        torch.set_num_threads(before)
    assert json.loads((finished / "env.json").read_text())["threads"] == 2


def test_evaluate_touches_the_test_list_once(corpus, finished, tmp_path):
    done = call("evaluate", finished, "--data", corpus, "--out", tmp_path / "e", "--cluster", "sync", "--resamples", 20)
    assert done.rc == 0, done
    assert "test: 2 frames" in done.stdout and "validation, native" in done.stdout
    threshold = json.loads((finished / "result.json").read_text())["threshold"]
    record = json.loads((tmp_path / "e" / "frames" / "t.json").read_text())
    assert record["thresholds"] == {"validation": threshold}
    about = json.loads((tmp_path / "e" / "evaluation.json").read_text())["about"]
    assert about["detector"]["kind"] == "run" and about["detector"]["settings"]["init"] == {"kind": "random"}
    call("evaluate", finished, "--data", corpus, "--out", tmp_path / "e2", "--set", "x=1").refused(2, "--set and --rule go with")


def test_changed_weights_are_not_evaluated(corpus, finished, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("recipe.json", "result.json", "weights.safetensors"):
        (copy / name).write_bytes((finished / name).read_bytes())
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    refused = call("evaluate", copy, "--data", corpus, "--out", tmp_path / "e", "--cluster", "sync")
    assert refused.rc != 0 and "is not the file that result.json records" in refused.stderr


def test_start_from_a_run(corpus, finished, tmp_path):
    out = tmp_path / "run"
    assert call(*training(corpus, out, "--init", finished)).rc == 0
    init = json.loads((out / "result.json").read_text())["init"]
    assert init["kind"] == "finetuned" and init["missing"] == 0 and len(init["sha256"]) == 64
    call(*training(corpus, out)).refused(2, "holds another run", "init.kind")


def test_retraining_on_everything_keeps_the_given_threshold(corpus, tmp_path):
    out = tmp_path / "run"
    done = call(*training(corpus, out, sets=("data.split=trainval", "threshold=0.25")))
    assert done.rc == 0 and "5 frames, 5 targets" in done.stdout and "validates on nothing" in done.stdout
    result = json.loads((out / "result.json").read_text())
    assert (result["threshold"], result["weights"], result["validation"]) == (0.25, "last", None)


def test_dry_run_writes_nothing(corpus, tmp_path):
    done = call(*training(corpus, tmp_path / "run", "--dry-run"))
    assert done.rc == 0 and "nothing written (--dry-run)" in done.stdout and not (tmp_path / "run").exists()


def test_dry_run_checks_and_names_the_first_weights(corpus, finished, tmp_path):
    plan = call(*training(corpus, tmp_path / "run", "--dry-run"))
    assert "  starts from random weights\n" in plan.stdout
    plan = call(*training(corpus, tmp_path / "run", "--dry-run", "--init", finished))
    assert plan.rc == 0 and f"  starts from {finished}: finetuned weights, " in plan.stdout and ", 0 missing\n" in plan.stdout
    for init in (tmp_path / "nope", corpus):
        refused = call(*training(corpus, tmp_path / "run", "--dry-run", "--init", init))
        refused.refused(2, f"weights {init}", "cannot be read", "give a run folder or a .safetensors file")


def test_the_plan_counts_frames_like_test_frames(corpus, tmp_path):
    done = call(*training(corpus, tmp_path / "run", "--dry-run", sets=("data.exclude_near_test=true",)))
    assert "4 frames, 4 targets, 0 frames left out as like a test frame" in done.stdout


@pytest.mark.parametrize(
    ("sets", "needles"),
    [
        (("train.steps=13",), ("holds another run", "train.steps", "12 in the folder, 13 now")),
        (("train.stepz=13",), ("train.stepz", "steps")),
        (("train.device=cuda",), ("train.device must be cpu or auto where torch sees no GPU",)),
        (("data.split=trainval",), ("threshold must be given with data.split trainval",)),
        (("detector.kind=acmm",), ("detector", "acm")),
        (("data.exclude_near_test=true",), ("holds another run", "exclude_near_test")),
    ],
)
def test_faults_are_one_line(corpus, finished, sets, needles):
    if "cuda" in sets[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    call(*training(corpus, finished, sets=sets)).refused(2, *needles)


BEFORE = [
    *FAULTS_OF_EVERY_TRAINING,
    (("train.batch=400",), ("train.batch must be <= 4", "got 400")),
    (("views.crop_px=16",), ("views.crop_px must be >= 32, the smallest side a detector takes, got 16",)),
    (("detector.loss={soft_iou: 0}",), ("detector.loss: must weigh one of its parts above 0",)),
]
"""Overrides -> what is said of them; all of it is known before a step is done."""


@pytest.mark.parametrize(("sets", "needles"), BEFORE)
def test_faults_are_told_by_a_dry_run_and_begin_no_folder(corpus, tmp_path, sets, needles):
    refused_before_begun(partial(training, corpus, sets=sets), tmp_path / "run", needles)


def test_whole_frames_smaller_than_a_detector_takes(tmp_path):
    frames = [scene(name, (24, 24), [(5, 5, 8, 8)]) for name in "abvt"]
    small = write_corpus(tmp_path / "small", frames, {"train": ("a", "b"), "val": ("v",), "test": ("t",)})
    told = "frames must have sides of at least 32 px where views.crop_px is null, got (24, 24)"
    call(*training(small, tmp_path / "run", sets=("views.crop_px=null", "train.batch=2"))).refused(2, told)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_refuses_the_folder_of_another_run(corpus, finished):
    assert call(*training(corpus, finished, "--dry-run")).rc == 0
    call(*training(corpus, finished, "--dry-run", sets=("train.steps=13",))).refused(2, "holds another run", "train.steps")
    call(*training(corpus, corpus, "--dry-run")).refused(2, "holds other files than a training run")


def test_weights_of_another_architecture(corpus, finished, tmp_path):
    other = training(corpus, tmp_path / "run", "--init", finished, sets=("detector.backbone.widths=[5, 9]",))
    call(*other).refused(2, "weights.safetensors: fill", "of this architecture, or --allow-partial")


def test_nothing_to_learn_from(tmp_path):
    """Frames without any target train no detector."""
    frames = [scene(name, (40, 48)) for name in "abvt"]
    empty = write_corpus(tmp_path / "empty", frames, {"train": ("a", "b"), "val": ("v",), "test": ("t",)})
    call(*training(empty, tmp_path / "run", sets=("train.batch=2",))).refused(2, "no target in any labelled frame")


NEEDED = ["# Source", "# Expect", "# Time", "# Run"]


def test_shipped_recipes_are_whole():
    """Every one loads, says where it comes from, and builds its network."""
    for name in recipe_names("finetune"):
        recipe = load_recipe(name, FinetuneRecipe, stage="finetune")
        assert recipe.name == name and build_detector(recipe.detector)
        text = files("pipelines.recipes").joinpath("finetune", f"{name}.yaml").read_text()
        heads = [line.split(":")[0] for line in text.split("name:")[0].splitlines()]
        assert [head for head in heads if head in NEEDED] == NEEDED
