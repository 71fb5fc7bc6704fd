"""What a user sees first: help, plans, the demo without any data, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth import open_store
from tests.support.cli import REPOSITORY, call, run, run_on_terminal, small

COMMANDS = {"synthesize", "verify", "preview", "audit"}
DEMO = (
    "--set", "source.num_frames=12", "--set", "source.frame_hw=[64,64]", "--set", "canvas_hw=[64,64]", "--set",
    "noise.window_px=16", "--set", "noise.stride_px=16", "--set", "num_synthetic=48", "--set", "store.shard_images=20",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help(name):
    shown = call(name, "--help")
    assert shown.rc == 0 and shown.stderr == ""
    assert shown.stdout.startswith(f"usage: python -m pipelines.{name}") and "--dry-run" in shown.stdout
    assert "(default: " in shown.stdout


def test_every_command_of_the_package_has_help():
    """Modules of pipelines that end in a call of main are commands."""
    found = {path.stem for path in (REPOSITORY / "pipelines").glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    assert found >= COMMANDS
    for name in found - COMMANDS:
        assert call(name, "--help").rc == 0, name


def test_help_in_a_process():
    shown = run("synthesize", "--help")
    assert shown.rc == 0 and "RECIPE is a shipped name (demo, " in shown.stdout and shown.stderr == ""


def test_demo_without_torch(tmp_path):
    """The base installation has no torch: importing it fails the run. Nor is any data needed."""
    for name in ("torch", "torchvision", "kornia"):
        (tmp_path / f"poison/{name}").mkdir(parents=True)
        (tmp_path / f"poison/{name}/__init__.py").write_text("raise ImportError('torch must not be needed')\n")
    env = {"PYTHONPATH": f"{tmp_path / 'poison'}:{REPOSITORY}"}
    made = run("synthesize", "demo", "--out", tmp_path / "demo.zarr", "--workers", 1, *DEMO, env=env)
    assert (made.rc, made.stderr) == (0, ""), made
    assert "60 frames" in made.stdout.splitlines()[-1]
    assert run("verify", tmp_path / "demo.zarr", "--regenerate", 10, env=env).rc == 0
    store = open_store(tmp_path / "demo.zarr")
    assert store.masks(range(60)).any(axis=(1, 2)).all(), "every frame has a target"


@pytest.mark.parametrize("options", [DEMO, ()])
def test_dry_run_of_the_demo(tmp_path, options):
    planned = run(
        "synthesize", "demo", "--out", tmp_path / "demo.zarr", "--dry-run", *(options or ("--set", "source.num_frames=9"))
    )
    assert planned.rc == 0 and planned.stderr == ""
    assert (
        "12 originals + 48 synthetic = 60 frames" if options else "9 originals + 1600 synthetic = 1609 frames"
    ) in planned.stdout
    assert list(tmp_path.iterdir()) == []


def test_progress_on_a_terminal_and_nowhere_else(corpus, tmp_path):
    """Without a terminal the standard error of every run in these tests is empty; with one, bars show rates."""
    rc, shown = run_on_terminal("synthesize", *small(corpus, tmp_path / "x.zarr"))
    assert rc == 0
    assert "scan sources" in shown and "generate: " in shown and "/304 [" in shown and "img/s]" in shown
    rc, shown = run_on_terminal("verify", tmp_path / "x.zarr", "--regenerate", 40)
    assert rc == 0 and "verify: " in shown and "/16 [" in shown and "regenerate: " in shown


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB"))


def test_preview(reference, tmp_path):
    shown = run("preview", reference, "--out", tmp_path / "sheet.png", "--num", 8)
    assert (shown.rc, shown.stderr) == (0, "") and shown.stdout == f"{tmp_path / 'sheet.png'}: 8 of 304 frames\n"
    pixels = picture(tmp_path / "sheet.png")
    assert pixels.shape[1] > 1500 and pixels.shape[0] > 500 and pixels.std() > 20
    assert 5_000 < (tmp_path / "sheet.png").stat().st_size < 5_000_000


def test_preview_of_an_unfinished_store_is_refused(corpus, tmp_path):
    assert call("synthesize", *small(corpus, tmp_path / "x.zarr", "--shards", "0:1")).rc == 0
    call("preview", tmp_path / "x.zarr", "--out", tmp_path / "sheet.png").refused(2, "is not finished", "verify --finalize")
    assert not (tmp_path / "sheet.png").exists()


def test_audit(corpus, reference, tmp_path):
    """Of the corpus, and of the store against the corpus it was made from: its frames are near those of the train list."""
    shown = run("audit", corpus, "--out", tmp_path / "audit")
    assert shown.rc == 0 and shown.stderr == ""
    assert "corpus/test" in shown.stdout and (tmp_path / "audit/audit.json").exists()
