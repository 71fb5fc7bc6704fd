"""Bad input through the command: one line that says what, where and what to do, exit 2, and nothing left on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.builders import write_mini_corpus
from tests.support.cli import Ended, call, run, small


@pytest.fixture
def own(tmp_path) -> Path:
    """A corpus to spoil, beside which the store would be made."""
    return write_mini_corpus(tmp_path / "corpus")


def refused(own: Path, *needles: str, sets: tuple[str, ...] = ()) -> Ended:
    """Run the command; it must refuse with one line and leave nothing."""
    before = sorted(own.parent.rglob("*"))
    ended = call("synthesize", *small(own, own.parent / "x.zarr", sets=sets))
    ended.refused(2, *needles)
    assert sorted(own.parent.rglob("*")) == before
    return ended


def save(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


def flip_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def empty_folder(own: Path) -> None:
    for path in sorted(own.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def nan_tiff(own: Path) -> None:
    values = np.full((64, 64), 0.5, np.float32)
    values[3, 4] = np.nan
    (own / "images/square.png").unlink()
    save(own / "images/square.tif", values)


def infinite_tiff(own: Path) -> None:
    values = np.full((64, 64), 0.5, np.float32)
    values[3, 4] = np.inf
    (own / "images/square.png").unlink()
    save(own / "images/square.tif", values)


def no_targets(own: Path) -> None:
    for path in (own / "masks").iterdir():
        with Image.open(path) as mask:
            save(path, np.zeros((mask.height, mask.width), np.uint8))


def copied_test_frame(own: Path) -> None:
    (own / "images/square.png").write_bytes((own / "images/held_out.png").read_bytes())
    (own / "masks/square.png").write_bytes((own / "masks/held_out.png").read_bytes())


SPOILT: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "empty folder": (empty_folder, ("corpus", "images")),
    "missing mask": (lambda own: (own / "masks/wide.png").unlink(), ("wide", "mask")),
    "mask of another size": (
        lambda own: save(own / "masks/wide.png", np.zeros((48, 149), np.uint8)),
        ("masks/wide.png", "48x149", "48x150"),
    ),
    "corrupt image": (lambda own: flip_middle(own / "images/wide.png"), ("images/wide.png", "corrupt")),
    "truncated image": (
        lambda own: (own / "images/wide.png").write_bytes((own / "images/wide.png").read_bytes()[:-100]),
        ("images/wide.png", "truncated"),
    ),
    "empty image": (lambda own: (own / "images/wide.png").write_bytes(b""), ("images/wide.png", "0 bytes")),
    "text as image": (lambda own: (own / "images/wide.png").write_text("not an image"), ("images/wide.png", "replace")),
    "1x1 image": (
        lambda own: save(own / "images/wide.png", np.zeros((1, 1), np.uint8)),
        ("images/wide.png", "1x1 px is too small"),
    ),
    "20,000-px image": (
        lambda own: Image.new("1", (20_000, 20_000)).save(own / "images/wide.png"),
        ("images/wide.png", "larger than 64000000 pixels; cut it"),
    ),
    "NaN": (nan_tiff, ("images/square.tif", "NaN")),
    "infinite": (infinite_tiff, ("images/square.tif", "infinite")),
    "mask of 0 and 1": (
        lambda own: save(own / "masks/wide.png", np.eye(48, 150, dtype=np.uint8)),
        ("masks/wide.png", "mask_scale"),
    ),
    "no target in any mask": (no_targets, ("none of the 4 frames has a target", "set num_synthetic=0")),
    "no training frames": (lambda own: (own / "train.txt").write_text(""), ("train.txt", "holds no id")),
    "path traversal in a list": (lambda own: (own / "train.txt").write_text("../../etc/passwd\n"), ("train.txt", "no frame ids")),
    "absolute path in a list": (lambda own: (own / "train.txt").write_text("/etc/passwd\n"), ("train.txt", "no frame ids")),
    "id twice in a list": (lambda own: (own / "train.txt").write_text("wide\nWIDE\n"), ("train.txt", "twice")),
    "id without image": (lambda own: (own / "train.txt").write_text("wide\nnothing\n"), ("nothing",)),
    "frame of train in test": (lambda own: (own / "test.txt").write_text("wide\n"), ("wide",)),
    "renamed copy of a test frame": (copied_test_frame, ("images/square.png", "pixels of a frame of the test list")),
    "link out of the folder": (
        lambda own: ((own / "images/wide.png").unlink(), (own / "images/wide.png").symlink_to("/etc/hostname")),
        ("images/wide.png", "leaves"),
    ),
    "bad name": (lambda own: (own / "images/wide.png").rename(own / "images/wi de.png"), ("wi de.png", "rename")),
    "two images of one id": (
        lambda own: (own / "images/WIDE.png").write_bytes((own / "images/wide.png").read_bytes()),
        ("twice", "WIDE.png"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "needles"), SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_sources(own, spoil, needles):
    spoil(own)
    refused(own, *needles)


def test_no_quiet_window(own):
    refused(own, "no window of the frames passes noise.var_max = 0.001", "raise it", sets=("noise.var_max=0.001",))


def test_missing_folder(tmp_path):
    call("synthesize", *small(tmp_path / "nothing", tmp_path / "x.zarr")).refused(2, str(tmp_path / "nothing"))
    assert list(tmp_path.iterdir()) == []


def test_missing_noise_folder(own):
    refused(own, "nowhere", sets=("noise.source=nowhere",))


@pytest.mark.parametrize(
    ("sets", "needle"),
    [
        ("noise.var_maxx=3", "noise.var_maxx: no such key; did you mean var_max?"),
        ("seed=many", "seed should be a valid integer"),
        ("passes.0.alpha=1.5", "passes.0.alpha should be less than or equal to 1, got 1.5"),
        ("passes.0.alpha=.nan", "passes.0.alpha"),
        ("canvas_hw=[64]", "canvas_hw.1: must be given"),
        ("noise.window_px=128", "noise.window_px must be <= canvas_hw, got 128"),
        ("legacy.centres_file=nothing.txt", "legacy.centres_file nothing.txt: cannot be read"),
    ],
)
def test_bad_recipe_keys(own, sets, needle):
    refused(own, needle, sets=(sets,))


def test_every_fault_of_a_recipe_at_once(own, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nseed: -1\nnoize: {}\npasses: [{alpha: 2}, {side: 5}]\n")
    ended = run("synthesize", tmp_path / "mine.yaml", "--source", own, "--out", tmp_path / "x.zarr")
    assert ended.rc == 2 and ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith("error: ") for line in lines)
    assert {line.split()[1].rstrip(":") for line in lines} == {"seed", "noize", "passes.0.alpha", "passes.1.side"}
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("name: a\nname: b\n", "mine.yaml line 2, column 1: key 'name' stands twice; correct the file"),
        ("a: &a [1, 1]\nb: [*a, *a]\n", "mine.yaml line 2, column 5: aliases are not allowed"),
        ("name: [", "mine.yaml line 1"),
        ("name: !!python/object/apply:os.system ['echo owned']\n", "mine.yaml line 1"),
        ("", "must be a mapping of names to values, got NoneType"),
    ],
)
def test_bad_recipe_files(own, tmp_path, text, needle):
    (tmp_path / "mine.yaml").write_text(text)
    ended = call("synthesize", tmp_path / "mine.yaml", "--source", own, "--out", tmp_path / "x.zarr")
    ended.refused(2, needle)
    assert "owned" not in ended.stdout and not (tmp_path / "x.zarr").exists()


def test_as_a_user_sees_it(own, tmp_path):
    """In a process of its own: nothing but the line, on standard error; the recipe is named before frames are read."""
    flip_middle(own / "images/wide.png")
    ended = run("synthesize", *small(own, tmp_path / "x.zarr"))
    assert ended.rc == 2 and ended.stderr.count("\n") == 1
    assert ended.stdout.startswith("recipe sirst5k ") and ended.stdout.count("\n") == 1
    assert ended.stderr.startswith(f"error: image {own / 'images/wide.png'}: is truncated or corrupt")
    ended = run("synthesize", "sirst5", "--out", tmp_path / "x.zarr")
    assert (ended.rc, ended.stdout) == (2, "") and ended.stderr == (
        "error: recipe 'sirst5': no shipped recipe has this name; did you mean sirst5k?\n"
    )
    ended = run("synthesize", "--outt", "x")
    assert ended.rc == 2 and ended.stderr.count("\n") == 1 and ended.stderr.startswith("python -m pipelines.synthesize: error: ")
