"""The probe command: runs, untrained networks, lists that are opened only when named, refusals in one line."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from tests.support.builders import scene, write_corpus  # noqa: E402
from tests.support.cli import call  # noqa: E402

TINY = (
    "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4", "train.steps=6",
)  # fmt: skip
LISTS = {"train": ("a", "b", "c", "d"), "val": ("v", "w"), "test": ("t", "u")}


def make_corpus(folder):
    frames = [
        scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)])
        for i, name in enumerate(name for names in LISTS.values() for name in names)
    ]
    return write_corpus(folder, frames, LISTS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "demo")


def trained(corpus, out, *sets):
    flags = [flag for key in (*TINY, *sets) for flag in ("--set", key)]
    done = call("finetune_detector", "acm_nano_smoke", "--data", corpus, "--out", out, *flags)
    assert done.rc == 0, done
    return out


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    return trained(corpus, tmp_path_factory.mktemp("run") / "run")


def probed(out):
    return json.loads((out / "probe.json").read_text())


def test_a_run_is_probed(run, corpus, tmp_path):
    done = call("probe", run, "--data", corpus, "--out", tmp_path / "p")
    assert (done.rc, done.stderr) == (0, ""), done
    content = probed(tmp_path / "p")
    assert content["network"]["kind"] == "finetuned" and content["network"]["trained_on"].startswith("this set")
    assert content["data"]["split"] == "val" and content["data"]["num_frames"] == 2
    assert content["threshold_chosen_on"] == "train" and content["network"]["num_validated"] == 2
    rows = content["detection"]["thresholds"]
    assert set(rows) == {"half", "chosen", "own"} and rows["half"]["threshold"] == 0.5
    assert rows["own"]["threshold"] == json.loads((run / "result.json").read_text())["threshold"]
    assert 0 <= content["linear"]["average_precision"] <= 100 and content["linear"]["num_features"] == 12
    assert content["neighbours"]["known_targets"] == 4 and content["neighbours"]["asked_targets"] == 2
    assert "note: 2 of the scored frames chose weights and threshold of run" in done.stdout
    assert call("probe", run, "--data", corpus, "--out", tmp_path / "p").rc == 0
    assert probed(tmp_path / "p") == content, "the same again"


def test_an_untrained_network_is_probed(corpus, tmp_path):
    for seed in (0, 1):
        done = call("probe", "random:acm_nano", "--data", corpus, "--out", tmp_path / str(seed), "--seed", seed)
        assert (done.rc, done.stderr) == (0, ""), done
    one, other = (probed(tmp_path / str(seed)) for seed in (0, 1))
    assert one["network"] == {"kind": "random", "name": "random:acm_nano", "seed": 0}
    assert set(one["detection"]["thresholds"]) == {"half", "chosen"}
    assert one["linear"]["average_precision"] != other["linear"]["average_precision"]


def test_the_test_list_is_opened_only_when_named(tmp_path):
    """Damaged test frames are not noticed until the test list is named; then the val list chooses the threshold."""
    corpus = make_corpus(tmp_path / "demo")
    whole = {name: (corpus / "images" / f"{name}.png").read_bytes() for name in LISTS["test"]}
    for name in whole:
        (corpus / "images" / f"{name}.png").write_bytes(b"no picture")
    assert call("probe", "random:acm_nano", "--data", corpus, "--out", tmp_path / "val").rc == 0
    options = ("--data", corpus, "--out", tmp_path / "test", "--split", "test")
    call("probe", "random:acm_nano", *options).refused(2, "t.png")
    for name, data in whole.items():
        (corpus / "images" / f"{name}.png").write_bytes(data)
    assert call("probe", "random:acm_nano", *options).rc == 0
    content = probed(tmp_path / "test")
    assert content["data"]["split"] == "test" and content["threshold_chosen_on"] == "val"
    assert content["neighbours"]["known_targets"] == 4, "taught by train, whatever is scored"


def test_frames_that_trained_a_run_are_refused(corpus, tmp_path):
    run = trained(corpus, tmp_path / "run", "data.split=trainval", "threshold=0.5", "views.crop_px=32")
    options = ("--data", corpus, "--out", tmp_path / "p")
    call("probe", run, *options).refused(2, "2 of the 2 frames of demo (val) trained it (root/trainval)")
    assert not (tmp_path / "p").exists()
    assert call("probe", run, *options, "--split", "test").rc == 0


def test_faults_are_one_line(run, corpus, tmp_path):
    data = ("--data", corpus, "--out", tmp_path / "p")
    call("probe", tmp_path / "nothing", *data).refused(2, "holds no finished training run")
    call("probe", "random:acm_nanno", *data).refused(2, "detector must be one of", "did you mean acm_nano")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    call("probe", run, "--data", corpus, "--out", tmp_path / "other").refused(2, "holds other files than a probe")
    call("probe", run, "--data", corpus, "--out", tmp_path / "other" / "x").refused(2, "is a file; name a folder")
    call("probe", "random:acm_nano", *data, "--seed", 2**64).refused(2, "--seed: must be in 0..2^64-1, got 18446744073709551616")
    if not torch.cuda.is_available():
        call("probe", run, *data, "--device", "cuda").refused(2, "--device must be cpu or auto where torch sees no GPU")
    call("probe", run, *data, "--split", "train").refused(2, "argument --split: invalid choice: 'train'")
    call("probe", run, "--data", tmp_path / "nowhere", "--out", tmp_path / "p").refused(2, "nowhere")
