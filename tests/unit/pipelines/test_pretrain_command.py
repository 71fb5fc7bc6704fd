"""pretrain_encoder as a user meets it: train, stop, resume to the same bytes, look, transfer, refuse."""

from __future__ import annotations

import json
import shutil
import signal
from functools import partial
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from finetune.detectors import build_detector  # noqa: E402
from finetune.train import load_run  # noqa: E402
from pipelines.config import load_recipe, recipe_names  # noqa: E402
from pipelines.pretrain_recipe import PretrainRecipe  # noqa: E402
from pretrain.order import Partition  # noqa: E402
from pretrain.runtime.weights import experiment_sha256, read_weights  # noqa: E402
from synth.store.finalize import finalize_store  # noqa: E402
from tests.support.builders import recipe_of, scene, write_corpus  # noqa: E402
from tests.support.cli import call, ended, started, wait_until  # noqa: E402
from tests.support.stores import begun_store, small_recipe, write_shards  # noqa: E402
from tests.support.training import FAULTS_OF_EVERY_TRAINING, refused_before_begun  # noqa: E402

NETWORK = ("detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]")
TINY = (
    *NETWORK, "views.crop_px=32", "train.batch=4", "train.steps=12", "train.validate_every=6", "train.log_every=1",
    "train.checkpoint_every=3", "train.checkpoint_every_s=null", "held_out.frames=1", "held_out.crops=4",
)  # fmt: skip
FINE = (*NETWORK, "views.crop_px=32", "train.batch=4", "train.steps=4")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Frames of different slopes, so that none is a near duplicate of another."""
    names = {"train": ("a", "b", "c", "d", "e"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "demo", frames, names)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    done = call(*training(corpus, out))
    assert done.rc == 0, done
    assert done.stdout.startswith("pretrain_tiny: acm, ") and "learns 1 seg + 0.1 dense; labels are not looked at" in done.stdout
    assert f"trains on {corpus} (train of root): 4 frames, 1 held out, 0 left out" in done.stdout
    return out


def training(corpus, out, *options, name="pretrain_tiny", sets=()):
    flags = [flag for key in (*TINY, *sets) for flag in ("--set", key)]
    return ["pretrain_encoder", name, "--data", corpus, "--out", out, *flags, *options]


def finetuning(corpus, out, *options, sets=FINE):
    flags = [flag for key in sets for flag in ("--set", key)]
    return ["finetune_detector", "acm_nano_study", "--data", corpus, "--out", out, *flags, *options]


def journal(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_says_what_it_did(finished):
    result = json.loads((finished / "result.json").read_text())
    assert (result["kind"], result["objectives"], result["labels"]) == ("ssl", ["seg", "dense"], False)
    assert result["step"] == result["steps"] == 12 and result["num_features"] == 12
    assert {"synthetic_iou", "synthetic_pd", "synthetic_fa", "impostors_taken", "rank_targets", "spread_background"} <= set(
        result["validation"]
    )
    steps = [line for line in journal(finished) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    for line in steps:
        assert line["loss"] == pytest.approx(line["seg_soft_iou"] + line["seg_bce"] + line["dense_contrast"])
        assert line["grad_norm"] > 0 and 0 <= line["data_wait_share"] <= 1


def test_a_collapse_is_recorded(finished):
    """Twelve steps find no target: a warning in the record, for later tables."""
    result = json.loads((finished / "result.json").read_text())
    assert result["is_collapsed"] is True and any("background everywhere" in line for line in result["warnings"])


@pytest.mark.parametrize(("kind", "trains_decoder"), [("seg", True), ("equivariance", True), ("masked", False)])
def test_a_collapse_is_told(corpus, tmp_path, kind, trains_decoder):
    """Also of an objective that knows no targets and that a constant map solves; not of a decoder that nothing trained."""
    sets = ("train.steps=2", "train.validate_every=null", f"objectives=[{{kind: {kind}}}]")
    done = call(*training(corpus, tmp_path / "run", sets=sets))
    assert done.rc == 0, done
    assert ("warning: no held-out synthetic target was found" in done.stderr) == trains_decoder


def test_what_nothing_kept_from_a_test_list_is_told(corpus, finished, tmp_path):
    """Unlabelled copies of the test frames pretrain a network; only with the labelled folder beside them are they left out.

    A store of the training list was kept from them, too, and scenes hold no real frame.
    """
    images = tmp_path / "pile"
    images.mkdir()
    for path in (corpus / "images").iterdir():
        shutil.copy(path, images / f"u{path.name}")
    store, scenes = tmp_path / "own.zarr", tmp_path / "scenes.zarr"
    begun_store(store, small_recipe(corpus, split="train"), corpus)
    source = {"kind": "scenes", "num_frames": 6, "frame_hw": (64, 64), "targets": {"empty_share": 0}}
    begun_store(scenes, recipe_of(source=source, num_synthetic=0), None)
    for path in (store, scenes):
        write_shards(path)
        finalize_store(path)
    told = "warning: no record says that the test frames of demo were kept from the pretraining that {} started from"
    cases = {
        "alone": ([images], True),
        "beside": ([images, corpus], False),
        "store": ([store], False),
        "scenes": ([scenes], False),
    }
    for name, (data, is_told) in cases.items():
        steps = ("train.steps=2", "train.validate_every=null", "objectives=[{kind: seg}]")
        command, pretrain_tiny, option, _, *others = training(corpus, tmp_path / f"pre-{name}", sets=steps)
        assert call(command, pretrain_tiny, option, *data, *others).rc == 0
        run = tmp_path / name
        assert call(*finetuning(corpus, run, "--init", tmp_path / f"pre-{name}")).rc == 0
        done = call("evaluate", run, "--data", corpus, "--out", tmp_path / f"e-{name}", "--cluster", "sync", "--resamples", 20)
        assert done.rc == 0 and (told.format(name) in done.stderr) == is_told, done.stderr


def test_views_can_be_looked_at(finished, corpus, tmp_path):
    with Image.open(finished / "views.png") as sheet:
        assert min(sheet.size) > 300 and len(np.unique(np.asarray(sheet.convert("L")))) > 30
    shown = call(*training(corpus, tmp_path / "none", "--dry-run", "--preview", tmp_path / "sheet.png"))
    assert shown.rc == 0 and "sheet.png only (--dry-run)" in shown.stdout and not (tmp_path / "none").exists()
    assert (tmp_path / "sheet.png").read_bytes() == (finished / "views.png").read_bytes()
    (tmp_path / "mine.png").write_text("precious")
    refused = call(*training(corpus, tmp_path / "none", "--dry-run", "--preview", tmp_path / "mine.png"))
    refused.refused(2, "mine.png: exists and is no sheet of ours")
    assert (tmp_path / "mine.png").read_text() == "precious"


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
    assert call(*training(corpus, out)).rc == 0
    for name in ("weights.safetensors", "result.json", "views.png"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_encoder_and_decoder_start_a_finetuning(corpus, finished, tmp_path):
    """Every tensor goes over, the projection of dense stays behind, and where the weights come from is on record."""
    tensors, provenance = read_weights(finished / "weights.safetensors")
    assert provenance["objectives"] == ["seg", "dense"] and set(tensors) == set(load_run(finished)[0].state_dict())
    done = call(*finetuning(corpus, tmp_path / "run", "--init", finished))
    assert done.rc == 0 and f"started from ssl weights by seg + dense: {len(tensors)} tensors matched, 0 missing" in done.stdout
    init = json.loads((tmp_path / "run" / "result.json").read_text())["init"]
    assert (init["kind"], init["objectives"], init["matched"], init["missing"]) == ("ssl", ["seg", "dense"], len(tensors), 0)
    assert (init["unexpected"], len(init["sha256"])) == (0, 64)
    identity = json.loads((finished / "recipe.json").read_text())
    assert init["experiment_sha256"] == provenance["experiment_sha256"] == experiment_sha256(identity)
    identity["recipe"]["train"]["seed"] += 1
    assert provenance["experiment_sha256"] == experiment_sha256(identity), "another seed of one experiment"
    identity["recipe"]["train"]["steps"] += 1
    assert provenance["experiment_sha256"] != experiment_sha256(identity)
    decayed = finetuning(corpus, tmp_path / "slow", "--init", finished, sets=(*FINE, "train.optimizer.layer_decay=0.5"))
    assert call(*decayed).rc == 0
    slow, plain = (read_weights(tmp_path / name / "weights.safetensors")[0] for name in ("slow", "run"))
    moved = [
        float((found["backbone.stem.1.0.weight"] - tensors["backbone.stem.1.0.weight"]).abs().max()) for found in (slow, plain)
    ]
    assert 0 < moved[0] < 0.5 * moved[1], "the stem moves at an eighth of the rate"


def test_a_deeper_network_takes_what_fits(corpus, finished, tmp_path):
    wider = (*FINE, "detector.backbone.widths=[4, 8, 8]", "detector.backbone.blocks=[1, 1, 1]")
    call(*finetuning(corpus, tmp_path / "run", "--init", finished, sets=wider)).refused(2, "weights.safetensors: fill")
    done = call(*finetuning(corpus, tmp_path / "run", "--init", finished, "--allow-partial", sets=wider))
    assert done.rc == 0 and "tensors are not in it and start at random (backbone.stages.2" in done.stderr
    init = json.loads((tmp_path / "run" / "result.json").read_text())["init"]
    assert init["matched"] > 20 and init["missing"] > 0
    assert f"{init['matched']} tensors matched, {init['missing']} missing" in done.stdout


def test_a_pretrained_network_can_be_evaluated_without_labels(corpus, finished, tmp_path):
    model, result = load_run(finished)
    assert result["threshold"] == 0.5 and not model.training
    done = call("evaluate", finished, "--data", corpus, "--out", tmp_path / "e", "--cluster", "sync")
    assert done.rc == 0, done
    about = json.loads((tmp_path / "e" / "evaluation.json").read_text())["about"]["detector"]
    assert about["settings"]["init"] == {"kind": "random"}


def test_lneg_is_named_supervised(corpus, tmp_path):
    out = tmp_path / "run"
    done = call(*training(corpus, out, name="lneg_tiny", sets=("views.noise_mix.probability=0",)))
    assert done.rc == 0 and "learns 1 lneg; supervised on real labels" in done.stdout
    result = json.loads((out / "result.json").read_text())
    assert (result["kind"], result["labels"]) == ("lneg", True)
    assert read_weights(out / "weights.safetensors")[1]["kind"] == "lneg"


@pytest.mark.parametrize(
    ("sets", "needles"),
    [
        (("data.split=test",), ("data.split must be train or trainval, got test",)),
        (("train.steps=13",), ("holds another run", "train.steps", "12 in the folder, 13 now")),
        (("insertion.targets.contrast=[1, 5]",), ("holds another run", "insertion.targets.contrast")),
        (("objectives.0.kind=sge",), ("objectives", "seg")),
        (("train.batch=40",), ("batch must be <= 4", "got 40")),
        (("data.num_frames=5",), ("5 usable frames, 1 of them held out for validation, leave none to train on",)),
    ],
)
def test_faults_are_one_line(corpus, finished, sets, needles):
    call(*training(corpus, finished, sets=sets)).refused(2, *needles)


BEFORE = [
    *FAULTS_OF_EVERY_TRAINING,
    (("views.crop_px=16",), ("views.crop_px must be >= 32", "got 16")),
    (("views.crop_px=33",), ("views.crop_px must be a multiple of the encoder's last stride 2, got 33",)),
    (("objectives=[{kind: masked}]", "views.crop_px=36"), ("objectives.masked.block_px must divide views.crop_px 36, got 8",)),
    (("objectives=[{kind: seg, loss: {soft_iou: 0}}]",), ("objectives.0.loss: must weigh one of its parts above 0",)),
]
"""Overrides -> what is said of them; all of it is known before a step is done."""


@pytest.mark.parametrize(("sets", "needles"), BEFORE)
def test_faults_are_told_by_a_dry_run_and_begin_no_folder(corpus, tmp_path, sets, needles):
    refused_before_begun(partial(training, corpus, sets=sets), tmp_path / "run", needles)


def test_a_dry_run_refuses_the_folder_of_another_run(corpus, finished):
    assert call(*training(corpus, finished, "--dry-run")).rc == 0
    call(*training(corpus, finished, "--dry-run", sets=("train.steps=13",))).refused(2, "holds another run", "train.steps")


def test_a_place_to_write_is_needed(corpus):
    call("pretrain_encoder", "pretrain_tiny", "--data", corpus).refused(2, "--out must be given, or --dry-run")


def test_shipped_recipes_are_whole():
    """Every one loads, says where it comes from, and builds its network."""
    needed = ["# Source", "# Expect", "# Time", "# Run"]
    for name in recipe_names("pretrain"):
        recipe = load_recipe(name, PretrainRecipe, stage="pretrain")
        assert recipe.name == name and build_detector(recipe.detector)
        text = files("pipelines.recipes").joinpath("pretrain", f"{name}.yaml").read_text()
        heads = [line.split(":")[0] for line in text.split("name:")[0].splitlines()]
        assert [head for head in heads if head in needed] == needed


STARTED = {"pretrain_small": "acm_nuaa_modern", "pretrain_full": "dnanet_nudt_modern"}
"""Recipe of pretraining -> the fine-tuning its header names; the others start the study."""


@pytest.mark.parametrize("name", recipe_names("pretrain"))
def test_recipes_fit_the_fine_tuning_they_start(name):
    from finetune.recipe import FinetuneRecipe

    started = load_recipe(STARTED.get(name, "acm_nano_study"), FinetuneRecipe, stage="finetune")
    recipe = load_recipe(name, PretrainRecipe, stage="pretrain")
    assert recipe.detector == started.detector and recipe.views.crop_px % build_detector(recipe.detector).deep_stride == 0


def test_the_full_recipe_is_planned_without_a_gpu(corpus, tmp_path):
    """What it would do on eight GPUs, whose ranks share a step evenly."""
    done = call("pretrain_encoder", "pretrain_full", "--data", corpus, "--dry-run", "--set", "held_out.frames=1")
    done.refused(2, "train.batch must be <= 4, the frames of all sources, got 128")
    assert done.stdout.startswith("pretrain_full: dnanet, 4,696,568 parameters"), done
    assert "learns 1 seg + 0.1 dense; labels are not looked at" in done.stdout and "20000 steps of 128 frames" in done.stdout
    train = load_recipe("pretrain_full", PretrainRecipe, stage="pretrain").train
    parts = [Partition(train.batch, rank, 8, train.accumulation).positions(0) for rank in range(8)]
    assert sorted(np.concatenate([part for own in parts for part in own]).tolist()) == list(range(128))
