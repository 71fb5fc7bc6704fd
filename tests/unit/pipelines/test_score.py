"""The score command: every kind of predictions, the files, the warnings, and one line for every fault."""

from __future__ import annotations

import csv
import json
import math
import signal

import numpy as np
import pytest
import zarr
from PIL import Image
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from finetune import score
from pipelines import score as command
from synth.corpora import open_corpus
from tests.support.builders import scene, write_corpus
from tests.support.cli import call

HW = (40, 48)
TRAIN = ("t0", "t1", "t2", "t3")
TEST = ("a", "b", "c", "d", "e")


def frame(name):
    """One target a frame, two in ``a``, at places that depend on the name; ``e`` has none."""
    seed = sum(map(ord, name))
    boxes = [(5 + seed % 20, 7 + seed % 30, 8 + seed % 20, 10 + seed % 30), (32, 40, 34, 43)]
    return scene(name, HW, boxes[: {"a": 2, "e": 0}.get(name, 1)])


@pytest.fixture
def corpus(tmp_path):
    """Four training and five test frames; test frame ``d`` is a brighter copy of training frame ``t0``."""
    frames = [frame(name) for name in (*TRAIN, *TEST)]
    copy = np.clip(frame("t0").levels.astype(int) + 9, 0, 255).astype(np.uint8)
    frames = [type(f)(f.id, copy, f.max_level, f.mask) if f.id == "d" else f for f in frames]
    return write_corpus(tmp_path / "demo", frames, {"train": TRAIN, "test": TEST})


def maps(corpus):
    """Return good maps of the test frames: targets at 0.8, the one of ``b`` missed, a false blob in ``c``."""
    found = {}
    for ref in (test := open_corpus(corpus, "test")).frames:
        mask = test.read(ref).mask
        values = np.where(mask, 0.8, 0.1) * (ref.id != "b")
        if ref.id == "c":
            values[36:39, 1:4] = 0.9
        found[ref.id] = values
    return found


def save_png(folder, values_by_id, bits=8, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in values_by_id.items():
        top, dtype = (255, np.uint8) if bits == 8 else (65535, np.uint16)
        Image.fromarray(np.round(values * top).astype(dtype)).save(folder / f"{name}{suffix}.png")
    return folder


def scores_in(folder, row="native"):
    return json.loads((folder / "scores.json").read_text())["scores"][row]


@pytest.fixture
def pngs(corpus, tmp_path):
    return save_png(tmp_path / "predictions", maps(corpus))


def test_table_and_files(corpus, pngs, tmp_path):
    out = tmp_path / "scores"
    ended = call("score", pngs, "--truth", corpus, "--out", out)
    assert ended.rc == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "truth: demo (nudt, lists root), test: 5 frames"
    row = next(line for line in lines if line.startswith("native ")).split()
    assert row[1:3] == ["5", "5"] and row[5:7] == ["80.00", "937.50"]  # 4 of 5 targets; 9 px of 5 x 1920
    assert any(line.startswith("native, de-duplicated") and line.split()[2:4] == ["4", "4"] for line in lines)
    assert "1 scored frames have an equal or near-duplicate frame" in ended.stdout
    names = {"scores.json", "frames.csv", "targets.csv", "curves.csv", "pixel_curves.csv", "curves.png"}
    assert {path.name for path in out.iterdir()} == names
    assert all(f"wrote {out / name}" in ended.stdout for name in names)
    with Image.open(out / "curves.png") as picture:
        assert picture.width > 1000


def test_scores_are_those_of_the_library(corpus, pngs, tmp_path):
    assert call("score", pngs, "--truth", corpus, "--out", tmp_path / "s").rc == 0
    truth = open_corpus(corpus, "test")
    masks = [truth.read(ref).mask.astype(bool) for ref in truth.frames]
    levels = [np.asarray(Image.open(pngs / f"{ref.id}.png")) / 255.0 for ref in truth.frames]
    expected = score(levels, masks, ids=[ref.id for ref in truth.frames]).to_dict()
    got = scores_in(tmp_path / "s")
    assert {**got, "intervals": {}} == expected
    low, high = got["intervals"]["iou"]
    assert 0 <= low <= got["iou"] <= high <= 100 and set(got["intervals"]) >= {"niou", "pd", "fa", "hiou", "hse_r"}


def test_json_holds_everything_and_no_nan(corpus, pngs, tmp_path):
    assert call("score", pngs, "--truth", corpus, "--out", tmp_path / "s").rc == 0
    content = json.loads((tmp_path / "s/scores.json").read_text(), parse_constant=pytest.fail)
    assert content["inputs"]["split"] == "test" and content["inputs"]["num_near_duplicates"] == 1
    assert content["scores"]["native"]["num_empty"] == 1
    assert set(content["curves"]["best_pd_at_fa"]) == {"1", "5", "10", "50", "100"}
    assert len(content["hse"]["iou"]) == 19 and content["hse"]["iou"][0] <= 100 and len(content["hse"]["formula_sha256"]) == 12
    assert sum(entry["num_truth"] for entry in content["pd_by_area"]) == 5 == sum(e["num_truth"] for e in content["pd_by_scr"])
    assert content["noise_floor"]["iou"]["half_width_95"] > 0 and "scr_definition" in content


def test_tables(corpus, pngs, tmp_path):
    assert call("score", pngs, "--truth", corpus, "--out", tmp_path / "s").rc == 0
    tables = {path.stem: list(csv.DictReader(path.open())) for path in (tmp_path / "s").glob("*.csv")}
    assert [row["id"] for row in tables["frames"]] == sorted(TEST)
    assert [(row["targets"], row["matched"], row["false_objects"]) for row in tables["frames"]] == [
        ("2", "2", "0"), ("1", "0", "0"), ("1", "1", "1"), ("1", "1", "0"), ("0", "0", "0"),
    ]  # fmt: skip
    strong = [float(row["scr"]) > 3 for row in tables["targets"]]
    assert strong == [True] * 4 + [False], "the mask of frame d lies on the grain of another frame"
    assert len(tables["curves"]) == 256 and float(tables["curves"][128]["pd"]) == 80.0
    assert len(tables["pixel_curves"]) == 1024


def test_files_are_the_same_again(corpus, pngs, tmp_path):
    contents = []
    for _ in range(2):
        assert call("score", pngs, "--truth", corpus, "--out", tmp_path / "s").rc == 0
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize("kind", ["png16", "suffix", "npy", "npy_float16", "stack", "stack_ids", "zarr", "zarr_sharded", "mask"])
def test_kinds_of_predictions_agree(corpus, tmp_path, kind):
    values = maps(corpus)
    path, options, steps = tmp_path / "p", [], 1
    ids = sorted(values)
    stack = np.stack([values[name] for name in ids]).astype(np.float32)
    if kind == "png16":
        save_png(path, values, bits=16)
    elif kind == "suffix":
        save_png(path, values, suffix="_pred")
        options = ["--suffix", "_pred"]
    elif kind.startswith("npy"):
        path.mkdir()
        for name, array in values.items():
            np.save(path / f"{name}.npy", array.astype(np.float16 if "16" in kind else np.float32))
    elif kind == "stack":
        np.save(path := tmp_path / "p.npy", stack)
    elif kind == "stack_ids":
        np.save(path := tmp_path / "p.npy", stack[::-1, None])
        (tmp_path / "ids.txt").write_text("\n".join(ids[::-1]))
        options = ["--ids", str(tmp_path / "ids.txt")]
    elif kind.startswith("zarr"):
        codecs, shards = [ZstdCodec(level=1), Crc32cCodec()], (4, *HW) if "sharded" in kind else None
        array = zarr.create_array(
            path, shape=stack.shape, dtype="float32", chunks=(1, *HW), shards=shards, serializer=BytesCodec(),
            compressors=codecs, config={"write_empty_chunks": True},
        )  # fmt: skip
        array[:] = stack
    elif kind == "mask":
        save_png(path, {name: array > 0.5 for name, array in values.items()})
        steps = 0
    ended = call("score", path, "--truth", corpus, *options, "--out", tmp_path / "s", "--resamples", 0)
    assert ended.rc == 0, ended.stderr
    got = scores_in(tmp_path / "s")
    assert (got["num_matched"], got["num_false"], got["pd"]) == (4, 1, 80.0) and got["fa"] == pytest.approx(937.5)
    assert got["intervals"] == {}
    assert ("sorted id order" in ended.stderr) == (kind in ("stack", "zarr", "zarr_sharded"))
    assert ("maps are binary" in ended.stderr) == (steps == 0)


def test_zero_one_masks_need_the_flag(corpus, tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    for name, values in maps(corpus).items():
        Image.fromarray((values > 0.5).astype(np.uint8)).save(folder / f"{name}.png")
    call("score", folder, "--truth", corpus).refused(2, "highest level is 1 of 255", "--prediction-max 1")
    assert call("score", folder, "--truth", corpus, "--prediction-max", 1, "--out", tmp_path / "s").rc == 0
    assert scores_in(tmp_path / "s")["pd"] == 80.0
    call("score", save_png(tmp_path / "q", maps(corpus)), "--truth", corpus, "--prediction-max", 100).refused(2, "holds level 2")


def test_legacy_mode_beside_the_canonical_one(corpus, pngs, tmp_path):
    ended = call("score", pngs, "--truth", corpus, "--mode", "dnanet256", "--out", tmp_path / "s", "--resamples", 0)
    assert ended.rc == 0
    assert scores_in(tmp_path / "s", "dnanet256")["geometry"] == "resized to 256x256: map bilinear, mask nearest"
    assert "dnanet256: resized to 256x256: map bilinear, mask nearest" in ended.stdout
    assert "warning: mode dnanet256: resized to 256x256" in ended.stderr
    assert scores_in(tmp_path / "s")["fa"] == pytest.approx(937.5)
    assert scores_in(tmp_path / "s", "dnanet256, de-duplicated")["num_frames"] == 4
    native = call("score", pngs, "--truth", corpus, "--mode", "basicirstd", "--out", tmp_path / "n", "--resamples", 0)
    assert "basicirstd: native size" in native.stdout and scores_in(tmp_path / "n", "basicirstd")["fa"] == pytest.approx(937.5)


def test_maps_at_the_codes_own_size(corpus, tmp_path):
    """Predicted at 256x256: the legacy score exists, the canonical one does not, and that is said."""
    large = {
        name: np.asarray(Image.fromarray(values.astype(np.float32)).resize((256, 256))) for name, values in maps(corpus).items()
    }
    folder = save_png(tmp_path / "p", large)
    call("score", folder, "--truth", corpus).refused(2, "must have the size of its mask", "40x48", "256x256")
    ended = call("score", folder, "--truth", corpus, "--mode", "dnanet256", "--out", tmp_path / "s")
    assert ended.rc == 0 and "no canonical scores" in ended.stderr
    content = json.loads((tmp_path / "s/scores.json").read_text())
    assert set(content["scores"]) == {"dnanet256", "dnanet256, de-duplicated"} and "curves" not in content
    assert {path.name for path in (tmp_path / "s").iterdir()} == {"scores.json"}


def test_grey_masks_reach_the_legacy_modes(corpus, pngs, tmp_path):
    """Levels of 254 are target for us and none for the codes that cast to int."""
    for name in TEST:
        path = corpus / f"masks/{name}.png"
        Image.fromarray(np.minimum(np.asarray(Image.open(path)), 254)).save(path)
    ended = call("score", pngs, "--truth", corpus, "--mode", "basicirstd", "--out", tmp_path / "s", "--resamples", 0)
    assert ended.rc == 0 and scores_in(tmp_path / "s")["pd"] == 80.0
    assert scores_in(tmp_path / "s", "basicirstd")["num_truth"] == 0
    assert scores_in(tmp_path / "s", "basicirstd")["pd"] is None


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--threshold", "0.3"], "warning: threshold 0.3: published rows use 0.5"),
        (["--threshold", "0.95"], "warning: no map exceeds the threshold 0.95"),
        (["--split", "train"], "warning: split train was scored"),
        (["--mode", "irsam"], "warning: mode irsam divides Fa by 512x512"),
    ],
)
def test_warnings_of_unfair_comparisons(corpus, tmp_path, options, needle):
    values = maps(corpus) | {name: np.zeros(HW) + 0.6 for name in TRAIN}
    if "train" in options:
        (corpus / "val.txt").write_text("t0\n")
    ended = call("score", save_png(tmp_path / "p", values), "--truth", corpus, *options, "--resamples", 0)
    assert ended.rc == 0, ended.stderr
    assert needle in ended.stderr
    assert "predictions belong to no scored frame and were ignored" in ended.stderr


def test_frames_that_trained_another_lists_detector(corpus, pngs):
    (corpus / "other").mkdir()
    (corpus / "other/train.txt").write_text("a\nb\nt0\n")
    (corpus / "other/test.txt").write_text("c\nd\n")
    ended = call("score", pngs, "--truth", corpus, "--split-list", "root", "--resamples", 0)
    assert "2 of 5 frames are training or validation frames of the lists other" in ended.stderr


def test_lists_are_held_against_the_official_ones_of_the_folder(corpus, pngs):
    """A folder of one's own has none; beside published ones, other lists are told."""
    ended = call("score", pngs, "--truth", corpus, "--resamples", 0)
    assert ended.rc == 0 and "official" not in ended.stderr
    (corpus / "50_50").mkdir()
    for name in ("train", "test"):
        (corpus / f"50_50/{name}.txt").write_bytes((corpus / f"{name}.txt").read_bytes())
    ended = call("score", pngs, "--truth", corpus, "--split-list", "root", "--resamples", 0)
    assert "lists root are not the official ones of this folder (50_50): compare within them only" in ended.stderr
    assert "official" not in call("score", pngs, "--truth", corpus, "--resamples", 0).stderr


def test_folder_without_lists(tmp_path):
    frames = [frame(name) for name in TEST]
    root = write_corpus(tmp_path / "own", frames)
    folder = save_png(tmp_path / "p", {f.id: f.mask.astype(float) for f in frames})
    ended = call("score", folder, "--truth", root, "--resamples", 0)
    assert ended.rc == 0 and "every frame of the folder was scored" in ended.stderr
    assert "near-duplicate" not in ended.stdout


def test_no_dedup_and_dry_run(corpus, pngs, tmp_path):
    ended = call("score", pngs, "--truth", corpus, "--no-dedup", "--resamples", 0)
    assert ended.rc == 0 and "de-duplicated" not in ended.stdout
    ended = call("score", pngs, "--truth", corpus, "--out", tmp_path / "s", "--dry-run")
    assert ended.rc == 0 and "would read 5 maps" in ended.stdout and "4 other frames" in ended.stdout
    assert "nothing written" in ended.stdout and not (tmp_path / "s").exists()


def test_empty_truth_is_said(tmp_path):
    frames = [scene(name, HW) for name in "xyz"]
    root = write_corpus(tmp_path / "own", frames)
    folder = save_png(tmp_path / "p", {f.id: np.full(HW, 0.2) for f in frames})
    ended = call("score", folder, "--truth", root, "--out", tmp_path / "s")
    assert ended.rc == 0 and "warning: no mask holds a target" in ended.stderr
    scores = scores_in(tmp_path / "s")
    assert scores["pd"] is None and scores["fa"] == 0.0 and scores["niou"] == 100.0


def test_missing_predictions_are_named(corpus, pngs):
    (pngs / "b.png").unlink()
    call("score", pngs, "--truth", corpus).refused(2, "1 of 5 frames have none ('b')", "predict every frame")


def test_duplicated_ids_are_named(corpus, pngs):
    np.save(pngs / "b.npy", np.zeros(HW))
    call("score", pngs, "--truth", corpus).refused(2, "b.npy and b.png are of one frame")


@pytest.mark.parametrize(
    ("content", "needle"),
    [
        (np.full(HW, np.nan), "prediction of b: holds NaN"),
        (np.full(HW, -4.0), "logits"),
        (np.zeros((5, 6)), "must have the size of its mask, 40x48"),
        (np.zeros((2, *HW)), "rows x columns"),
        (np.zeros(HW, np.int64), "must be bool or float"),
        (np.array([[object()]], dtype=object), "pickled objects, which are never read"),
    ],
)
def test_bad_maps_are_named(corpus, pngs, content, needle):
    (pngs / "b.png").unlink()
    np.save(pngs / "b.npy", content, allow_pickle=True)
    call("score", pngs, "--truth", corpus).refused(2, needle)


def test_damaged_files_are_named(corpus, pngs):
    (pngs / "b.png").write_bytes((pngs / "b.png").read_bytes()[:60])
    call("score", pngs, "--truth", corpus).refused(2, "b.png", "truncated or corrupt")
    (pngs / "b.png").unlink()
    (pngs / "b.npy").write_bytes(b"\x93NUMPY")
    call("score", pngs, "--truth", corpus).refused(2, "b.npy", "damaged")


def test_stacks_of_the_wrong_length_or_shape(corpus, tmp_path):
    np.save(tmp_path / "p.npy", np.zeros((4, *HW)))
    call("score", tmp_path / "p.npy", "--truth", corpus).refused(2, "holds 4 frames, but 5 frames are to be scored")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    call("score", tmp_path / "p.npy", "--truth", corpus, "--ids", tmp_path / "ids.txt").refused(2, "names 2 ids")
    np.save(tmp_path / "p.npy", np.zeros(HW))
    call("score", tmp_path / "p.npy", "--truth", corpus).refused(2, "frames x rows x columns")


def test_foreign_zarr_arrays_are_refused(corpus, tmp_path):
    array = zarr.create_array(tmp_path / "gzip.zarr", shape=(5, *HW), dtype="float32", chunks=(1, *HW), compressors=[])
    array[:] = 0
    call("score", tmp_path / "gzip.zarr", "--truth", corpus).refused(2, "codecs must be bytes, zstd, crc32c")
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    group.create_array("probability", shape=(5, *HW), dtype="float32", chunks=(1, *HW))
    call("score", tmp_path / "group.zarr", "--truth", corpus).refused(2, "is a zarr group holding probability")


@pytest.mark.parametrize("shards", [None, (3, *HW)])
def test_frames_that_zarr_left_out_are_never_zeros(corpus, tmp_path, shards):
    codecs = [ZstdCodec(level=1), Crc32cCodec()]
    shape = (5, *HW)
    array = zarr.create_array(
        tmp_path / "p.zarr", shape=shape, dtype="float32", chunks=(1, *HW), shards=shards, compressors=codecs
    )
    array[:4] = 0.7
    call("score", tmp_path / "p.zarr", "--truth", corpus).refused(1, "write_empty_chunks")


def test_damaged_zarr_chunks_are_named(corpus, tmp_path):
    path = tmp_path / "p.zarr"
    codecs = [ZstdCodec(level=1), Crc32cCodec()]
    array = zarr.create_array(path, shape=(5, *HW), dtype="float32", chunks=(2, *HW), compressors=codecs)
    array[:] = np.random.default_rng(0).random((5, *HW), np.float32)
    assert call("score", path, "--truth", corpus, "--resamples", 0).rc == 0
    chunk = path / "c/1/0/0"
    data = bytearray(chunk.read_bytes())
    data[40] ^= 4
    chunk.write_bytes(data)
    call("score", path, "--truth", corpus).refused(3, "c/1/0/0: checksum mismatch")
    chunk.unlink()
    call("score", path, "--truth", corpus).refused(1, "c/1/0/0", "never read as zeros")


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--threshold", "1"], "threshold must be in [0, 1)"),
        (["--threshold", "0.3", "--mode", "dnanet256"], "threshold must be 0.5 in mode dnanet256"),
        (["--gate-px", "9"], "gate_px must be a whole number in 1..5, got 9"),
        (["--resamples", "-1"], "--resamples must be in"),
        (["--seed", "-1"], "--seed: must be in"),
        (["--prediction-max", "0"], "--prediction-max must be in"),
        (["--irsam-geometry", "512"], "--irsam-geometry needs --mode irsam"),
        (["--split", "val"], "splits train and val of 'root'"),
        (["--split-list", "nope"], "choose one of: root"),
        (["--ids", "ids.txt"], "is for stacks"),
    ],
)
def test_bad_options_exit_2_in_one_line(corpus, pngs, options, needle):
    call("score", pngs, "--truth", corpus, *options).refused(2, needle)


def test_paths_that_are_not_there(corpus, pngs, tmp_path):
    call("score", tmp_path / "nope", "--truth", corpus).refused(2, "do not exist")
    call("score", pngs, "--truth", tmp_path / "nope").refused(2, "does not exist")
    (tmp_path / "empty").mkdir()
    call("score", tmp_path / "empty", "--truth", corpus).refused(2, "no map in this folder")
    (tmp_path / "text.txt").write_text("x")
    call("score", tmp_path / "text.txt", "--truth", corpus).refused(2, "must be a folder of maps")


def test_unlabelled_truth_is_refused(corpus, pngs, tmp_path):
    for name in TEST:
        (tmp_path / "own").mkdir(exist_ok=True)
        Image.fromarray(frame(name).levels).save(tmp_path / "own" / f"{name}.png")
    call("score", pngs, "--truth", tmp_path / "own").refused(2, "has no mask; scores need labelled frames")


def test_foreign_output_folder_is_refused_before_work(corpus, pngs, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "count_frames", lambda *_: pytest.fail("worked before checking --out"))
    call("score", pngs, "--truth", corpus, "--out", pngs).refused(2, "holds other files than a score")
    (tmp_path / "file").write_text("x")
    call("score", pngs, "--truth", corpus, "--out", tmp_path / "file").refused(2, "is a file")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_after_the_frame_in_hand(corpus, pngs, tmp_path, monkeypatch, number, code):
    original = command.count_frames

    def interrupted(*arguments):
        signal.raise_signal(number)
        return original(*arguments)

    monkeypatch.setattr(command, "count_frames", interrupted)
    assert call("score", pngs, "--truth", corpus, "--out", tmp_path / "s").rc == code
    assert not (tmp_path / "s").exists()


@pytest.mark.real_data
def test_de_duplicated_subset_of_nuaa(sirst_data, tmp_path):
    """The audit's 6 of 86; a perfect prediction is 100 in both rows, and its Pd interval is the Wilson one of no miss."""
    truth = open_corpus(sirst_data / "sirst-v1", "test")
    (tmp_path / "p").mkdir()
    for ref in truth.frames:
        Image.fromarray(truth.read(ref).mask * np.uint8(255)).save(tmp_path / f"p/{ref.id}.png")
    ended = call("score", tmp_path / "p", "--truth", sirst_data / "sirst-v1", "--out", tmp_path / "s")
    assert ended.rc == 0 and "44 of 86 frames are training or validation frames of the lists nuaa_213_214" in ended.stderr
    whole, clean = scores_in(tmp_path / "s"), scores_in(tmp_path / "s", "native, de-duplicated")
    assert (whole["num_frames"], clean["num_frames"], whole["num_truth"]) == (86, 80, 109)
    for scores in (whole, clean):
        assert {scores[name] for name in ("iou", "niou", "pd", "f1", "hiou", "hse_r")} == {100.0} and scores["fa"] == 0.0
    assert not math.isnan(whole["intervals"]["iou"][0])
