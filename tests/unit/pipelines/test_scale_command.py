"""A study through its command: grid, choice, confirmation, what goes on elsewhere, and what is refused."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from synth.corpora.lists import hash_ids
from synth.store.files import sha256_of_file
from tests.support.builders import scene, write_corpus
from tests.support.cli import call

NETWORK = ["detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]"]
TINY = {
    "name": "tiny", "finetune": "acm_nano_smoke", "sets": [{"name": "demo", "folder": "demo", "labels": [4, None]}],
    "shared": [*NETWORK, "views.crop_px=32", "train.batch=4", "train.validate_every=null", "train.log_every=1"],
    "unlabelled": ["other"],
    "arms": [
        {"name": "scratch", "about": "longer", "extra_steps": 2},
        {"name": "seg", "about": "pretrained", "pretrain": "pretrain_tiny", "pretraining": [
            *NETWORK, "train.steps=2", "train.batch=2", "views.crop_px=32", "held_out={frames: 1, crops: 2}",
            "train.validate_every=null",
        ]},
        {"name": "lneg", "about": "on its labels", "pretrain": "lneg_tiny", "pretraining": [
            *NETWORK, "train.steps=2", "train.batch=2", "views.crop_px=32", "held_out={frames: 1, crops: 2}",
            "train.validate_every=null", "views.noise_mix.probability=0",
        ]},
        {"name": "joint", "about": "beside made ones", "synthesize": "sirst5k", "real_share": 0.5,
         "synthesis": ["originals=false", "canvas_hw=[64, 64]", "noise.window_px=16", "noise.stride_px=16"]},
    ],
    "budgets": [{"name": "steps", "kind": "steps"}], "steps": 5, "seeds": [0, 1],
    "endpoint": {"reference": "scratch", "candidates": ["seg", "joint"], "selection": [0], "seeds": [7], "headroom": 0},
}  # fmt: skip


def test_command_does_grid_choice_and_confirmation(tmp_path):
    names = {"train": tuple("abcdef"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    write_corpus(tmp_path / "data/demo", frames, names)
    write_corpus(tmp_path / "data/other", [scene(name, (40, 48), []) for name in "wxyz"], {})
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    arguments = ["scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", "--cluster", "sync"]
    planned = call(*arguments, "--dry-run").stdout
    assert "(with 7 pretrainings, counted at that rate of fine-tuning: theirs was not measured)" in planned
    assert "(with 2 runs with fresh seeds; before validation has chosen, counted as the longest" in planned
    part = call(*arguments, "--arms", "scratch,seg")
    assert part.rc == 0 and "11 of 18 runs are finished" in part.stdout, part.stderr
    assert "of them 8 runs and 48 steps of the arms asked for" in part.stdout
    first = call(*arguments)
    assert first.rc == 0, first.stderr
    assert "labels: 4, all" in first.stdout and "after 2 of pretrain_tiny" in first.stdout
    content = json.loads((tmp_path / "study/study.json").read_text())
    assert content["format"] == 2 and len(content["groups"]) == 2 * 4
    inits = {group["arm"]: group["init"] for group in content["groups"]}
    assert inits == {"scratch": "random", "seg": "ssl seg dense", "lneg": "lneg lneg", "joint": "random"}
    assert {group["steps"] for group in content["groups"] if group["arm"] == "scratch"} == {7}
    assert content["data"]["demo"]["test_ids_sha256"] == hash_ids("tu") and content["data"]["demo"]["train"] == 6
    assert content["frames"] == {"demo": {"train": 6, "synthetic": {"joint": 24}, "rendered": []}}, "six targets, four copies"
    endpoint = content["endpoint"]
    assert endpoint["chosen"] in ("seg", "joint") and endpoint["seeds_b"] == [7]
    assert [len(result["seeds"]) for result in endpoint["results"]] == [1] and "1 pairs: too few for an interval" in (
        tmp_path / "study/study.md"
    ).read_text()
    assert sorted(p.name for p in (tmp_path / "study/pretrained/demo/seg").iterdir())[:2] == ["seed-0", "seed-1"]
    page = (tmp_path / "study/study.md").read_text()
    (untuned,) = content["zero_labels"]
    assert (untuned["dataset"], untuned["arm"]) == ("demo", "seg") and set(untuned["seeds"]) <= {0, 1, 7}, "lneg uses labels"
    assert {0, 1} <= set(untuned["seeds"]) and all(len(values) == len(untuned["seeds"]) for values in untuned["chosen"].values())
    assert all(0 <= value <= 100 for value in untuned["scores"]["iou"])
    assert "## Before any fine-tuning" in page and f"| demo | seg | {len(untuned['seeds'])} |" in page
    assert (
        "**4 labels**" in page and "**2 seeds: smoke, not evidence.**" in page and "not enough sizes to state an exponent" in page
    )
    call(*arguments, "--arms", "seg,none").refused(2, "--arms must be of scratch, seg, lneg, joint", "got none")
    later = ("--set", "endpoint.headroom=1")
    call(*arguments, *later).refused(2, "holds a study with other endpoint", "give another folder")
    again = call(*arguments)
    assert again.rc == 0 and "16 runs, 16 done" in again.stdout
    assert json.loads((tmp_path / "study/study.json").read_text()) == content
    goes_on_elsewhere(arguments, tmp_path, content)


def goes_on_elsewhere(arguments, folder, content):
    """What study.json says of finished runs counts in a new folder; what it lacks is trained, with the same result."""
    (folder / "part.json").write_text(json.dumps(content | {"groups": [g for g in content["groups"] if g["arm"] != "lneg"]}))
    there = [*arguments[:5], folder / "elsewhere", *arguments[6:], "--known", folder / "part.json"]
    call(*there, "--set", "arms.0.extra_steps=3").refused(2, "is of a study with other arm scratch")
    call(*there, "--set", "unlabelled=[]").refused(2, "is of a study with other unlabelled")
    call(*there, "--dry-run").refused(2, "--known writes into --out")
    strange = ({}, "does not say of what recipes"), (content | {"groups": [{"arm": "seg", "dataset": "demo"}]}, "is damaged")
    climbing = content["groups"][0] | {"steps": "../../.."}
    for damaged, message in (*strange, (content | {"groups": [climbing]}, "is damaged")):
        (folder / "none.json").write_text(json.dumps(damaged))
        call(*there, "--known", folder / "none.json").refused(2, f"none.json: {message}")
    assert not (folder / "elsewhere").exists(), "a refusal leaves nothing behind"
    moved = call(*there)
    assert moved.rc == 0 and "part.json: 14 finished runs" in moved.stdout and "16 runs, 12 done" in moved.stdout, moved.stderr
    assert [path.name for path in (folder / "elsewhere/runs/demo").iterdir()] == ["lneg"], "nothing else is trained"
    found = json.loads((folder / "elsewhere/study.json").read_text())
    assert found.pop("known") == [{"name": "part.json", "sha256": sha256_of_file(folder / "part.json"), "runs": 14}]
    assert found == {key: value for key, value in content.items() if key != "known"}
    assert "14 runs were done elsewhere: part.json, sha256" in (folder / "elsewhere/study.md").read_text()


def test_more_labels_than_frames_are_named(tmp_path):
    frames = [scene(name, (40, 48), [(5, 8, 8, 12)]) for name in "abvt"]
    write_corpus(tmp_path / "data/demo", frames, {"train": ("a", "b"), "val": ("v",), "test": ("t",)})
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY | {"unlabelled": []}))
    call("scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study").refused(
        2, "sets.demo.labels must be <= 2", "got 4"
    )
    twice = ("--set", "sets.0.labels=[2, null]")
    call("scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", *twice).refused(
        2, "must not name all 2 training frames twice"
    )
