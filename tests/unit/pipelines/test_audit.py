"""The audit command: table, files, validation lists, exit codes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pipelines import audit
from pipelines.audit import main
from synth.corpora import lists

NUM = 12


def scene(seed, shape=(40, 48)):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3.0)
    return np.round(127 + 100 * noise / np.abs(noise).max()).astype(np.uint8)


def save(path: Path, values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def corpus(tmp_path):
    """Twelve frames, 8 for training and 4 for test; test frame f09 looks like training frame f01."""
    root = tmp_path / "demo"
    for number in range(NUM):
        levels = scene(number)
        if number == 9:
            levels = np.round(0.8 * scene(1) + 20).astype(np.uint8)
        mask = np.zeros(levels.shape, np.uint8)
        mask[5:7, 5:7] = 255
        mask[20:22, 20 : 20 + 2 * (number % 2)] = 255
        save(root / f"images/f{number:02d}.png", levels)
        save(root / f"masks/f{number:02d}.png", mask)
    (root / "50_50").mkdir()
    (root / "50_50/train.txt").write_text("\n".join(f"f{number:02d}" for number in range(8)))
    (root / "50_50/test.txt").write_text("\n".join(f"f{number:02d}" for number in range(8, 12)))
    return root


def test_table(corpus, capsys):
    assert main([str(corpus)]) == 0
    out, err = capsys.readouterr()
    row = next(line.split() for line in out.splitlines() if line.startswith("demo/test "))
    assert row == ["demo/test", "4", "demo/trainval", "0", "0", "1", "1", "(25.0", "%)"]
    assert "demo: 12 frames in 11 groups (largest 2), 1 of them cut by the splits" in out
    assert "demo/test: 1 of 4 (25.0 %)" in out
    assert err == "", "no progress bar away from a terminal"


def test_files(corpus, tmp_path, capsys):
    out = tmp_path / "audit"
    assert main([str(corpus), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["audit.json", "pairs.png", "test_dedup.txt"]
    assert (out / "test_dedup.txt").read_text() == "f08\nf10\nf11\n"
    report = json.loads((out / "audit.json").read_text())
    assert report["num_frames"] == {"demo/test": 4, "demo/trainval": 8}
    (overlap,) = report["overlaps"]
    assert [(pair["id_a"], pair["id_b"]) for pair in overlap["near_duplicates"]] == [("f01", "f09")]
    assert report["exposures"][0]["affected"] == ["f09"]
    with Image.open(out / "pairs.png") as picture:
        assert picture.width >= 1000
    printed = capsys.readouterr().out
    assert all(f"wrote {path}" in printed for path in out.iterdir())


def test_files_are_the_same_again(corpus, tmp_path):
    contents = []
    for _ in range(2):
        assert main([str(corpus), "--out", str(tmp_path / "audit")]) == 0
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "audit").iterdir()})
    assert contents[0] == contents[1]


def test_no_pairs_no_picture(corpus, tmp_path):
    for threshold in ("0.95", "1.0"):
        assert main([str(corpus), "--threshold", threshold, "--out", str(tmp_path / "audit")]) == 0
    assert not (tmp_path / "audit/pairs.png").exists()
    assert (tmp_path / "audit/test_dedup.txt").read_text().split() == ["f08", "f09", "f10", "f11"]


def test_equal_pixels_across_sets_exit_3(corpus, tmp_path, capsys):
    own = tmp_path / "own"
    save(own / "renamed.bmp", scene(10))
    save(own / "fresh.png", scene(77))
    out = tmp_path / "audit"
    assert main([str(corpus), str(own), "--out", str(out)]) == 3
    printed, err = capsys.readouterr()
    row = next(line.split() for line in printed.splitlines() if "own/all" in line)
    assert row[:6] == ["demo/test", "4", "own/all", "0", "1", "1"]
    assert "error: demo/test: 1 test frames are also outside the test list" in err
    assert (out / "test_dedup_demo.txt").read_text().split() == ["f08", "f11"]


def test_folders_of_one_name_are_told_apart(corpus, tmp_path, capsys):
    save(tmp_path / "other/demo/a.png", scene(50))
    assert main([str(corpus), str(tmp_path / "other/demo")]) == 0
    assert "demo-2: " in capsys.readouterr().out


def test_set_without_lists(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / f"own/f{number}.png", scene(number // 2))
    assert main([str(tmp_path / "own"), "--out", str(tmp_path / "audit")]) == 0
    assert "own: 3 frames in 2 groups (largest 2), 0 of them cut by the splits" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "audit").iterdir()] == ["audit.json"]


def test_dry_run_writes_nothing(corpus, tmp_path, capsys):
    assert main([str(corpus), "--dry-run", "--out", str(tmp_path / "audit")]) == 0
    assert not (tmp_path / "audit").exists()
    out = capsys.readouterr().out
    assert "would read 12 frames (trainval 8, test 4)" in out and "MiB" in out and "about" in out


def test_make_val_prints_and_writes_the_list(corpus, tmp_path, capsys):
    assert main([str(corpus), "--make-val", "4", "--seed", "0", "--out", str(tmp_path / "val")]) == 0
    out, err = capsys.readouterr()
    ids = out.split()
    assert len(ids) == 4 and ids == sorted(ids) and all("f00" <= name <= "f07" for name in ids)
    assert sorted(int(name[1:]) % 2 for name in ids) == [0, 0, 1, 1], "strata of one and two targets"
    assert (tmp_path / "val/val.txt").read_text() == out
    assert hashlib.sha256(out.encode()).hexdigest() in err


def test_made_list_is_then_in_use(corpus, capsys):
    assert main([str(corpus), "--make-val", "2", "--out", str(corpus / "50_50")]) == 0
    capsys.readouterr()
    assert main([str(corpus), "--dry-run"]) == 0
    assert "train 6, val 2, test 4" in capsys.readouterr().out


def test_make_val_never_replaces_a_list(corpus, capsys):
    (corpus / "50_50/val.txt").write_text("f00\n")
    assert main([str(corpus), "--make-val", "2", "--out", str(corpus / "50_50")]) == 2
    assert "exists with other content" in capsys.readouterr().err
    assert (corpus / "50_50/val.txt").read_text() == "f00\n"


def test_make_val_dry_run(corpus, tmp_path, capsys):
    assert main([str(corpus), "--make-val", "2", "--dry-run", "--out", str(tmp_path / "val")]) == 0
    assert "would read 8 frames (trainval 8)" in capsys.readouterr().out and not (tmp_path / "val").exists()


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--threshold", "0"], "--threshold must be in (0, 1], got 0.0"),
        (["--threshold", "nan"], "--threshold must be in (0, 1]"),
        (["--make-val", "99"], "1..7 of 8 frames, got 99"),
        (["--split-list", "nope"], "choose one of: 50_50"),
        (["--layout", "agpcnet"], "no 'agpcnet' tree"),
    ],
)
def test_bad_options_exit_2_in_one_line(corpus, capsys, options, needle):
    assert main([str(corpus), *options]) == 2
    err = capsys.readouterr().err
    assert needle in err and err.count("\n") == 1


def test_seed_that_no_generator_takes(corpus, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(corpus), "--seed", "-1"])
    assert "--seed: must be in 0..2^64-1, got -1" in capsys.readouterr().err


def test_options_for_a_single_set(corpus, tmp_path, capsys):
    save(tmp_path / "own/a.png", scene(50))
    assert main([str(corpus), str(tmp_path / "own"), "--make-val", "2", "--split-list", "50_50"]) == 2
    err = capsys.readouterr().err
    assert "--make-val needs a single DIR" in err and "--split-list needs a single DIR" in err
    assert main([str(corpus), str(corpus / "../demo")]) == 2
    assert "twice" in capsys.readouterr().err


def test_usage_fault_exits_2(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--layout", "nope", "x"])
    assert left.value.code == 2 and "choose from" in capsys.readouterr().err


def test_foreign_output_folder_refused_before_work(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit, "_fingerprints", lambda *_: pytest.fail("worked before checking --out"))
    save(tmp_path / "photos/a.png", scene(0))
    assert main([str(corpus), "--out", str(tmp_path / "photos")]) == 2
    assert "holds other files" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main([str(corpus), "--out", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_corrupt_frame_exits_2_and_is_named(corpus, capsys):
    (corpus / "images/f03.png").write_bytes(b"no image")
    assert main([str(corpus)]) == 2
    assert "f03.png" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_that_stands_in_the_way_of_the_next_audit(corpus, tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "audit"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, err = main([str(corpus), "--out", str(out)]), capsys.readouterr().err
    assert list(tmp_path.glob("**/.*")) == []
    assert code == 1 and "audit.json: No space left on device: the disk is full" in err and err.count("\n") == 1
    assert main([str(corpus), "--out", str(out)]) == 0 and (out / "audit.json").is_file()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_after_the_frame_in_hand(corpus, tmp_path, monkeypatch, number, code):
    original = audit.fingerprint

    def interrupted(name, frames):
        signal.raise_signal(number)
        return original(name, frames)

    monkeypatch.setattr(audit, "fingerprint", interrupted)
    assert main([str(corpus), "--out", str(tmp_path / "audit")]) == code
    assert not (tmp_path / "audit").exists()


@pytest.mark.real_data
def test_shipped_validation_list_is_what_the_command_makes(sirst_data, capsys):
    assert main([str(sirst_data / "nudt-sirst"), "--make-val", "133", "--seed", "0"]) == 0
    made = capsys.readouterr().out.encode()
    (entry,) = lists.COMMITTED_VALS.values()
    assert hashlib.sha256(made).hexdigest() == entry.sha256
