"""The census command: table, JSON, page, refusals, test lists that stay closed, and the network where torch is there."""

from __future__ import annotations

import importlib.util
import json
import signal

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pipelines import census, census_network
from pipelines.census_network import NOT_INSTALLED, network_learner
from pipelines.census_table import _short
from tests.support.builders import frame_of, write_corpus
from tests.support.cli import call
from tests.support.stores import finished_store

NUM = 16


def textured(name, seed, blur, side=96):
    rng = np.random.default_rng(seed)
    levels = 120 + 40 * gaussian_filter(rng.standard_normal((side, side)), blur) / 0.3 * blur
    mask = np.zeros((side, side), int)
    mask[88:91, 88:92] = 1  # clear of the one patch that fits
    return frame_of(np.clip(np.where(mask, 240, levels), 0, 255).astype(np.uint8), mask, name=name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of 16 frames each; the second has lists, and two test frames that cannot be decoded."""
    root = tmp_path_factory.mktemp("census")
    ours = write_corpus(root / "ours", [textured(f"a{n:02d}", n, 1.0) for n in range(NUM)])
    frames = [textured(f"b{n:02d}", 100 + n, 1.6) for n in range(NUM + 2)]
    lists = {"train": [f.id for f in frames[:NUM]], "test": [f.id for f in frames[NUM:]]}
    real = write_corpus(root / "real", frames, lists)
    for frame in frames[NUM:]:
        (real / "images" / f"{frame.id}.png").write_bytes(b"a test frame was opened")
    return ours, real


@pytest.fixture
def no_torch(monkeypatch):
    """Torch as if it were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        census_network.importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else real(name, *rest)
    )


def test_card_against_real_frames(folders, tmp_path, no_torch):
    ended = call("census", folders[0], "--against", folders[1], "--out", tmp_path / "card")
    assert ended.rc == 0 and ended.stderr == "", "goals missed gate nothing"
    assert "real: 16 frames, 16 targets in 16 labelled ones (folder" in ended.stdout and "split trainval)" in ended.stdout
    rows = {line.split("  ")[0]: line for line in ended.stdout.splitlines()}
    assert rows["target area [px]"].split()[-6:] == ["0.00", "0.48", "<=", "0.1", "met", "0"], "all targets have 12 px"
    assert "<= 0.15 missed" in rows["PSD slope"]
    assert "64x64 target-free patches told apart" in ended.stdout
    assert f"network  all         not run: {NOT_INSTALLED}" in ended.stdout
    assert "what gives ours away (linear, all frames)" in ended.stdout


def test_files(folders, tmp_path, no_torch):
    out = tmp_path / "card"
    assert call("census", folders[0], "--against", folders[1], "--out", out).rc == 0
    assert sorted(path.name for path in out.iterdir()) == ["census.json", "census.png"]
    card = json.loads((out / "census.json").read_text(), parse_constant=pytest.fail)
    assert card["reference"]["split"] == "trainval" and card["subject"]["split"] is None
    assert card["subject"]["statistics"]["area_px"]["percentiles"] == dict.fromkeys(("5", "25", "50", "75", "95"), 12.0)
    assert [entry["not_run"] for entry in card["comparison"]["classifiers"]][1] == NOT_INSTALLED
    with Image.open(out / "census.png") as picture:
        assert picture.width == 1600 and picture.getpixel((2, 2))[:3] == (255, 255, 255)
        colours = {colour[:3] for _, colour in picture.getcolors(maxcolors=10**6)}
    assert {(213, 94, 0), (0, 114, 178)} <= colours, "subject and reference in their two colours"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert call("census", folders[0], "--against", folders[1], "--out", out).rc == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before, "the same card again, over the old one"


def test_card_of_one_folder(folders, tmp_path):
    ended = call("census", folders[0], "--out", tmp_path / "card")
    assert ended.rc == 0 and "KS" not in ended.stdout and "told apart" not in ended.stdout
    card = json.loads((tmp_path / "card/census.json").read_text())
    assert card["reference"] is None and card["subject"]["num_frames"] == NUM
    with Image.open(tmp_path / "card/census.png") as picture:
        assert picture.width == 1600


def test_card_of_a_store(tmp_path, no_torch):
    """Canvases of 64 px with a target each leave few patches: the card says why the classifiers did not run."""
    store = finished_store(tmp_path)
    ended = call("census", store, "--against", tmp_path / "corpus", "--out", tmp_path / "card")
    assert ended.rc == 0
    assert "finished.zarr: 60 frames" in ended.stdout and "(store, recipe tiny, content hash" in ended.stdout
    assert ended.stdout.count("not run: ") == 4 and "needs target-free 64-px patches of 10 unrelated frames" in ended.stdout
    assert (tmp_path / "card/census.png").is_file()


def test_card_of_flat_and_small_unlabelled_frames(folders, tmp_path, no_torch):
    """Nothing to measure in most lines: dashes, null and empty panels, in either place."""
    (tmp_path / "flat").mkdir()
    for number, side in enumerate((64, 64, 20, 96)):
        Image.fromarray(np.full((side, side), 40 * number, np.uint8)).save(tmp_path / f"flat/f{number}.png")
    for pair in ((tmp_path / "flat", folders[1]), (folders[0], tmp_path / "flat")):
        ended = call("census", pair[0], "--against", pair[1], "--out", tmp_path / "card")
        assert ended.rc == 0 and ended.stderr == "" and "4 frames, unlabelled" in ended.stdout
        card = json.loads((tmp_path / "card/census.json").read_text(), parse_constant=pytest.fail)
        assert card["comparison"]["psd_distance_db"] is None and card["comparison"]["exhibits"] is None
        assert card["comparison"]["distances"]["noise_dn"]["ks"] is not None


def test_max_frames_is_told(folders):
    ended = call("census", folders[0], "--max-frames", 5)
    assert ended.rc == 0 and "ours: 5 of 16 frames" in ended.stdout


def test_dry_run_writes_nothing(folders, tmp_path):
    ended = call("census", folders[0], "--against", folders[1], "--out", tmp_path / "card", "--dry-run")
    assert ended.rc == 0 and not (tmp_path / "card").exists()
    assert "would read 16 of 16 frames" in ended.stdout and "MiB, about" in ended.stdout
    assert "split trainval" in ended.stdout and ended.stdout.endswith("nothing written (--dry-run)\n")


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--split", "test"], "--split must be one of train, val, trainval (test lists are never read), got test"),
        (["--max-frames", "0"], "--max-frames must be >= 1, got 0"),
        (["--seed", "-1"], "--seed: must be in 0..2^64-1, got -1"),
    ],
)
def test_bad_options_are_one_line_before_any_work(folders, monkeypatch, options, needle):
    monkeypatch.setattr(census, "_open_sets", lambda *_: pytest.fail("opened before checking the options"))
    call("census", folders[0], "--against", folders[1], *options).refused(2, needle)


def test_faults_of_two_sources(folders):
    call("census", folders[0], "--against", folders[0]).refused(2, "--against must differ from the source")
    call("census", folders[0], "--against", folders[1], "--split-list", "x").refused(
        2, "--split-list must stand with a single DIR"
    )
    call("census", folders[0].parent / "nothing").refused(2, "does not exist")


def test_foreign_output_folder_is_refused_before_any_work(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(census, "_survey", lambda *_: pytest.fail("worked before checking --out"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.txt").write_text("x")
    call("census", folders[0], "--out", tmp_path / "photos").refused(2, "holds other files than a card")
    call("census", folders[0], "--out", tmp_path / "photos/mine.txt").refused(2, "is a file")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_after_the_frame_in_hand(folders, tmp_path, monkeypatch, number, code):
    original = census.survey_frames

    def interrupted(frames, **keys):
        signal.raise_signal(number)
        return original(frames, **keys)

    monkeypatch.setattr(census, "survey_frames", interrupted)
    ended = call("census", folders[0], "--out", tmp_path / "card")
    assert ended.rc == code and not (tmp_path / "card").exists()


def test_a_signal_among_the_classifiers_writes_no_card(folders, tmp_path, monkeypatch):
    original = census.compare_surveys

    def interrupted(*surveys, **keys):
        signal.raise_signal(signal.SIGTERM)
        return original(*surveys, **keys)

    monkeypatch.setattr(census, "compare_surveys", interrupted)
    assert call("census", folders[0], "--against", folders[1], "--out", tmp_path / "card").rc == 143
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0102, "0.01"), (0.247, "0.25"), (1.0, "1"), (1.333, "1.33"), (12.75, "12.8"), (20.0, "20"), (117.4, "117"),
     (1495.4, "1495"), (-13.94, "-13.9"), (99.96, "100"), (-0.004, "-0.004")],
)  # fmt: skip
def test_numbers_of_the_table(value, text):
    assert _short(value) == text


def test_network_is_missing_without_torch(no_torch):
    assert network_learner(0) == NOT_INSTALLED


def test_network_tells_grain_apart_and_is_repeatable():
    """100 patches of fine against 100 of coarse grain; held-out AUC 1.0, the same scores for the same seed."""
    pytest.importorskip("torch")
    from synth.census.auc import plain_auc

    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2 == 0
    patches = np.stack([120 + 60 * gaussian_filter(rng.standard_normal((64, 64)), 1.0 if label else 1.6) for label in labels])
    learner = network_learner(0)
    assert not isinstance(learner, str)
    scores = [learner(patches[:120].astype(np.float32), labels[:120], patches[120:].astype(np.float32)) for _ in range(2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert plain_auc(scores[0], labels[120:]) > 0.9
