"""A miniature of the quickstart chain as a user runs it: stopped, killed, resumed, the same in the end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ended, run, started, wait_until

TINY_NET = ("detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "train.batch=4")
STEPS = 300
"""Of the training that is stopped: seconds, so that the signal meets it."""


def stage(name: str, command: str, *arguments: str, out: str | None = None, sets: tuple[str, ...] = ()) -> dict[str, object]:
    flags = [part for key in sets for part in ("--set", key)]
    return {"name": name, "command": command, "about": name, "arguments": [*arguments, *flags], "out": out or name}


SIZES = ("source.num_frames=24", "source.frame_hw=[64, 64]", "canvas_hw=[64, 64]", "source.targets.empty_share=0")
PRETRAINED = ("objectives=[{kind: seg}]", "train.steps=4", "train.validate_every=4", "held_out.frames=2", "held_out.crops=4")
STAGES = [
    stage("scenes", "synthesize", "scenes", "--cluster", "sync", out="scenes.zarr", sets=SIZES),
    stage("frames", "export", "{scenes}", "--format", "folder", "--lists", "train=14,val=4,test=6"),
    stage("encoder", "pretrain_encoder", "pretrain_tiny", "--data", "{frames}", sets=(*TINY_NET, *PRETRAINED)),
    stage(
        "detector", "finetune_detector", "acm_nano_study", "--data", "{frames}", "--init", "{encoder}",
        sets=(*TINY_NET, "views.crop_px=null", f"train.steps={STEPS}", "train.log_every=1"),
    ),
    stage("evaluation", "evaluate", "{detector}", "tophat", "--data", "{frames}", "--cluster", "sync", "--resamples", "50"),
    stage("report", "report", "{evaluation}", "{encoder}", "{detector}", out="report.html"),
]  # fmt: skip


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(json.dumps({"name": "mini", "stages": STAGES}))
    return path


def has_begun(out: Path) -> bool:
    journal = out / "detector/metrics.jsonl"
    return journal.is_file() and journal.read_text().count("\n") >= 10


TIMED_FILES = ("detector/scores.json", "tophat/scores.json", "metrics.jsonl")
"""Inputs of the report that hold times beside what was found: their hashes say nothing."""
TIMED_COLUMNS = ("median", "mean", "samples/s", "hours, about")
"""Of the report's tables on speed."""


def scores(out: Path) -> dict[str, object]:
    """Everything the evaluation found, without the times it took."""
    found = {name: json.loads((out / f"evaluation/{name}/scores.json").read_text()) for name in ("detector", "tophat")}
    assert all(content.pop("cpu_ms_per_frame") for content in found.values())
    return found


def report(out: Path) -> dict[str, Any]:
    """All of report.json without times and the hashes of files that hold some."""
    content: dict[str, Any] = json.loads((out / "report.json").read_text())
    for source in content["inputs"]:
        source["files"] = {name: sha256 for name, sha256 in source["files"].items() if name not in TIMED_FILES}
    (speed,) = (section for section in content["sections"] if section["key"] == "compute")
    for table in speed["blocks"]:
        kept = [at for at, head in enumerate(table["heads"]) if head not in TIMED_COLUMNS]
        table["rows"] = [[row[at] for at in kept] for row in table["rows"]]
    return content


def is_evaluating(out: Path) -> bool:
    return any((out / "evaluation").glob("*/frames/*.json"))


def test_stopped_killed_and_resumed_the_chain_ends_the_same(recipe, tmp_path):
    """Stopped in a training, killed in an evaluation: weights, scores and report are those of a chain that ran through."""
    whole = run("run", recipe, "--out", tmp_path / "whole")
    assert whole.rc == 0 and "all 6 stages are finished" in whole.stdout, whole
    out = tmp_path / "out"
    with started("run", recipe, "--out", out) as process:
        wait_until(lambda: has_begun(out), "ten steps of training")
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    assert stopped.rc == 143 and "stage detector ended with exit code 143" in stopped.stderr, stopped
    assert not (out / "detector/result.json").exists() and not (out / "report.html").exists()
    with started("run", recipe, "--out", out) as process:
        wait_until(lambda: is_evaluating(out), "a frame of the evaluation")
        process.kill()
        assert ended(process).rc == -signal.SIGKILL
    assert not (out / "stages/evaluation.json").exists() and not (out / "report.html").exists()
    resumed = run("run", recipe, "--out", out)
    assert resumed.rc == 0 and resumed.stdout.count("finished, skipped") == 4, resumed
    weights = [folder / "detector/weights.safetensors" for folder in (tmp_path / "whole", out)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert scores(out) == scores(tmp_path / "whole")
    assert report(out) == report(tmp_path / "whole")
    assert (out / "report.csv").read_bytes() == (tmp_path / "whole/report.csv").read_bytes()
    assert (out / "report.html").stat().st_size > 10_000
