"""The evaluate command: files, scores, resuming, refusals, workers, signals, and one line for every fault."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from finetune import create_classical, score  # noqa: E402
from finetune.classical.threshold import decide  # noqa: E402
from pipelines import evaluate_job, evaluate_run  # noqa: E402
from synth.corpora import open_corpus  # noqa: E402
from synth.errors import SourceError, StoreError  # noqa: E402
from tests.support.builders import frame_of, scene, texture, write_corpus  # noqa: E402
from tests.support.cli import call, ended, started, wait_until  # noqa: E402

TEST = ("a", "b", "c", "flat")
HERE = ("--cluster", "sync", "--resamples", "50")


@pytest.fixture
def corpus(tmp_path):
    """Two training frames, and four test frames: of two sizes, one with a faint target, one of 16 bits, one flat and empty."""
    faint = scene("a", (40, 48), [(10, 12, 13, 15), (30, 30, 32, 33)])
    faint.levels[30:32, 30:33] = 130
    mask = np.zeros((40, 48), np.uint8)
    mask[20:23, 30:33] = 1
    deep = texture("deep", (40, 48), low=20_000, high=22_000) + 30_000 * mask.astype(np.int64)
    frames = [
        scene("t0", (40, 48), [(5, 5, 8, 8)]),
        scene("t1", (40, 48), [(9, 9, 12, 12)]),
        faint,
        scene("b", (56, 44), [(40, 20, 43, 23)]),
        frame_of(deep, mask, name="c", max_level=65535),
        frame_of(np.full((40, 48), 90), np.zeros((40, 48)), name="flat"),
    ]
    return write_corpus(tmp_path / "demo", frames, {"train": ("t0", "t1"), "test": TEST})


def content(folder):
    """Return every file below a folder but for the times in it."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in [name for name in files if name.endswith(".json")]:
        value = json.loads(files.pop(name))
        value.pop("cpu_s", None), value.pop("cpu_ms_per_frame", None)
        files[name] = json.dumps(value, sort_keys=True).encode()
    return files


def test_files_and_table(corpus, tmp_path):
    done = call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE)
    assert done.rc == 0 and done.stderr == ""
    assert done.stdout.splitlines()[0] == 'tophat {"side_px": 5} on demo (nudt, lists root), test: 4 frames'
    rows = {line[:20].split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["adaptive, native"][2:4] == ["4", "4"] and rows["mean10, irsam"][2] == "4"
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {"adaptive", "mean10", "saliency", "frames", "evaluation.json", "scores.json", "adaptive.png", "mean10.png"}
    for kind in ("adaptive", "mean10", "saliency"):
        assert {path.stem for path in (tmp_path / "r" / kind).iterdir()} == set(TEST)
    with Image.open(tmp_path / "r/adaptive.png") as picture:
        assert picture.width > 1000 and picture.height > 300


def test_maps_and_scores_are_those_of_the_library(corpus, tmp_path):
    """Masks, saliency (to 16 bits) and every mode's scores equal the method called by hand."""
    assert call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", "--set", "side_px=9", *HERE).rc == 0
    method, test = create_classical("tophat", side_px=9), open_corpus(corpus, "test")
    written = json.loads((tmp_path / "r/scores.json").read_text())
    masks, decided = [], {"adaptive": [], "mean10": []}
    for ref in test.frames:
        frame = test.read(ref)
        saliency = method(torch.from_numpy(frame.levels / frame.max_level)[None, None])
        stored = np.asarray(Image.open(tmp_path / f"r/saliency/{ref.id}.png")) / 65535.0
        expected = (saliency / (saliency + 16))[0, 0].numpy()
        assert stored.shape == frame.hw and np.abs(stored - expected).max() <= 0.5 / 65535 + 1e-12
        masks.append(frame.mask.astype(bool))
        for rule, maps in decided.items():
            maps.append(decide(saliency, rule)[0, 0].numpy())
            assert np.array_equal(np.asarray(Image.open(tmp_path / f"r/{rule}/{ref.id}.png")), maps[-1] * np.uint8(255))
    about = {"kind": "classical", "method": "tophat", "settings": {"side_px": 9}, "label": ""}
    assert written["about"]["detector"] == about
    for rule, maps in decided.items():
        for mode in ("native", "basicirstd", "dnanet256", "irsam", "simir"):
            expected = score(maps, masks, mode=mode, ids=TEST).to_dict()
            got = written["scores"][rule][mode]
            same = expected.keys() - {"intervals", "hse_r", "hse_pix", "hse_tgt"}
            assert {key: got[key] for key in same} == {key: expected[key] for key in same}
    assert written["scores"]["adaptive"]["native"]["pd"] == 75.0, "the rule is relative to the brightest target of a frame"
    assert written["cpu_ms_per_frame"]["median"] > 0
    low, high = written["scores"]["adaptive"]["native"]["intervals"]["pd"]
    assert 0 <= low <= 75 <= high <= 100


def test_score_reads_every_kind_of_map(corpus, tmp_path):
    assert call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE).rc == 0
    scores = json.loads((tmp_path / "r/scores.json").read_text())["scores"]
    for kind in ("adaptive", "mean10", "saliency"):
        ended_ = call("score", tmp_path / "r" / kind, "--truth", corpus, "--out", tmp_path / kind, "--resamples", "0")
        assert ended_.rc == 0, ended_.stderr
        native = json.loads((tmp_path / kind / "scores.json").read_text())["scores"]["native"]
        if kind != "saliency":
            assert (native["iou"], native["fa"]) == (scores[kind]["native"]["iou"], scores[kind]["native"]["fa"])


@pytest.mark.real_data
def test_official_nuaa_list(sirst_data, tmp_path):
    """Top-Hat on frames of many sizes: values of record of an independent implementation (IoU, nIoU, targets, false objects)."""
    arguments = ("--data", sirst_data / "sirst-v1", "--out", tmp_path / "r", "--cluster", "sync", "--resamples", "0")
    assert call("evaluate", "tophat", *arguments).rc == 0
    written = json.loads((tmp_path / "r/scores.json").read_text())
    assert written["num_near_duplicates"] == 6, "as results/leakage.md has it"
    scores = written["scores"]
    assert {scores[rule]["native, de-duplicated"]["num_frames"] for rule in scores} == {80}
    found = {rule: scores[rule]["native"] for rule in ("adaptive", "mean10")}
    assert {rule: (f"{s['iou']:.3f}", f"{s['niou']:.2f}", s["num_matched"], s["num_false"]) for rule, s in found.items()} == {
        "adaptive": ("18.226", "26.39", 91, 41),
        "mean10": ("37.603", "54.20", 102, 327),
    }


@pytest.mark.parametrize("cluster", ["threads", "local"])
def test_workers_change_nothing(corpus, tmp_path, cluster):
    assert call("evaluate", "maxmedian", "--data", corpus, "--out", tmp_path / "one", *HERE).rc == 0
    many = ("--cluster", cluster, "--workers", 2, "--resamples", "50")
    assert call("evaluate", "maxmedian", "--data", corpus, "--out", tmp_path / "two", *many).rc == 0
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_resumes_and_mends(corpus, tmp_path):
    """A frame whose record or map is missing or damaged is made again, the others are left alone."""
    command = ("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE)
    assert "predicted 4 frames" in call(*command).stdout
    before, times = content(tmp_path / "r"), {p: p.stat().st_mtime_ns for p in (tmp_path / "r").glob("frames/*")}
    assert "predicted 0 frames" in call(*command).stdout
    (tmp_path / "r/frames/a.json").unlink()
    (tmp_path / "r/adaptive/b.png").unlink()
    (tmp_path / "r/saliency/c.png").write_bytes(b"damaged")
    assert "predicted 3 frames" in call(*command).stdout
    assert content(tmp_path / "r") == before
    (tmp_path / "r/frames/flat.json").write_text("[]")
    assert "would predict 1 of 4 frames" in call(*command, "--dry-run").stdout
    assert "predicted 1 frames" in call(*command).stdout
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").glob("frames/*")}
    assert all(after[path] > times[path] for path in times), "every record was made again once"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (["maxmedian"], 'detector.method: "tophat" in the folder, "maxmedian" now'),
        (["tophat", "--set", "side_px=9"], "detector.settings.side_px: 5 in the folder, 9 now"),
        (["tophat", "--rule", "mean10"], "rules: "),
        (["tophat", "--split", "trainval"], 'data.split: "test" in the folder, "trainval" now'),
    ],
)
def test_another_run_in_the_same_folder_is_refused_with_the_difference(corpus, tmp_path, other, told):
    assert call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE).rc == 0
    before = content(tmp_path / "r")
    refused = call("evaluate", *other, "--data", corpus, "--out", tmp_path / "r", *HERE)
    refused.refused(2, "holds another evaluation")
    assert f"differs: {told}" in refused.stderr and content(tmp_path / "r") == before


def test_changed_frame_is_refused(corpus, tmp_path):
    command = ("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE)
    assert call(*command).rc == 0
    Image.fromarray(np.full((40, 48), 7, np.uint8)).save(corpus / "images/a.png")
    call(*command).refused(2, "frame a of the data set has changed since")


def test_dry_run_writes_nothing(corpus, tmp_path):
    done = call("evaluate", "tllcm", "--data", corpus, "--out", tmp_path / "r", "--dry-run", *HERE)
    assert done.rc == 0 and "would predict 4 of 4 frames, rules adaptive, mean10" in done.stdout and " MB in " in done.stdout
    assert not (tmp_path / "r").exists()


def test_one_rule_and_no_lists(corpus, tmp_path):
    for path in corpus.glob("*.txt"):
        path.unlink()
    done = call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", "--rule", "mean10", *HERE)
    assert done.rc == 0 and "every frame: 6 frames" in done.stdout and "adaptive" not in done.stdout
    assert not (tmp_path / "r/adaptive").exists() and (tmp_path / "r/mean10.png").exists()


def test_frames_without_any_event_need_no_picture(tmp_path):
    flat = [frame_of(np.full((20, 20), 50), np.zeros((20, 20)), name=name) for name in ("f", "g")]
    root = write_corpus(tmp_path / "demo", flat)
    done = call("evaluate", "tophat", "--data", root, "--out", tmp_path / "r", *HERE)
    assert done.rc == 0 and not list((tmp_path / "r").glob("*.png"))
    assert json.loads((tmp_path / "r/scores.json").read_text())["scores"]["mean10"]["native"]["fa"] == 0.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["tophatt"], "did you mean tophat"),
        (["tophat", "--set", "side_px=4"], "side_px: must be odd"),
        (["tophat", "--set", "size=5"], "size: no such key"),
        (["mslstipt", "--set", "num_frames=3"], "num_frames must be 1 here, got 3"),
        (["tophat", "--set", "side_px"], "must be key=value"),
        (["tophat", "--rule", "mean5"], "invalid choice"),
        (["tophat", "--workers", "0"], "--workers must be >= 1, got 0"),
        (["tophat", "--resamples", "-1"], "--resamples must be in 0..100000"),
        (["tophat", "--split", "val"], "val"),
        (["tophat", "--cluster", "moon"], "--cluster must be local"),
        (["tophat", "--data", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_requests(corpus, tmp_path, change, told):
    command = [change[0], "--data", corpus, "--out", tmp_path / "r", *HERE, *change[1:]]
    call("evaluate", *command).refused(2, told)
    assert not (tmp_path / "r").exists()


def test_bad_folders(corpus, tmp_path):
    (tmp_path / "file").write_text("x")
    call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "file", *HERE).refused(2, "is a file")
    call("evaluate", "tophat", "--data", corpus, "--out", corpus, *HERE).refused(2, "holds other files than an evaluation")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/evaluation.json").write_text("{")
    call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE).refused(2, "not valid JSON")


def test_frames_without_masks_are_refused(corpus, tmp_path):
    for path in (corpus / "masks").iterdir():
        path.unlink()
    (corpus / "masks").rmdir()
    call("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", *HERE).refused(2)


@pytest.mark.parametrize("cluster", ["sync", "threads"])
def test_broken_frame_is_named_and_the_others_are_kept(corpus, tmp_path, cluster, monkeypatch):
    """A frame that can no longer be read: exit 1, its id and reason; a second run mends it."""
    real = evaluate_job.predict

    def predict(job, ref):
        if ref.id == "b":
            raise SourceError("image b.png: is damaged; replace it")
        return real(job, ref)

    monkeypatch.setattr(evaluate_job, "predict", predict)
    command = ("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", "--cluster", cluster, "--resamples", "0")
    failed = call(*command)
    assert failed.rc == 1 and "Traceback" not in failed.stderr
    assert "frame b was not predicted: image b.png: is damaged" in failed.stderr and "1 frames failed" in failed.stderr
    assert len(list((tmp_path / "r/frames").iterdir())) == 3 and not (tmp_path / "r/scores.json").exists()
    monkeypatch.undo()
    assert "predicted 1 frames" in call(*command).stdout


@pytest.mark.parametrize("cluster", ["sync", "threads"])
def test_full_disk_stops_everything(corpus, tmp_path, cluster, monkeypatch):
    def write(path, parts):
        raise StoreError(f"{path}: No space left on device: the disk is full")

    monkeypatch.setattr(evaluate_job, "write_durably", write)
    command = ("evaluate", "tophat", "--data", corpus, "--out", tmp_path / "r", "--cluster", cluster)
    call(*command).refused(1, "the disk is full")


def test_signal_keeps_what_is_done(corpus, tmp_path):
    """After SIGTERM the frame in hand is finished; the same command goes on."""
    frames = [scene(f"f{k:03d}", (160, 160), [(50, 50, 53, 53)]) for k in range(30)]
    root = write_corpus(tmp_path / "many", frames)
    arguments = ("wslcm", "--data", root, "--out", tmp_path / "r", *HERE)
    with started("evaluate", *arguments) as process:
        wait_until(lambda: len(list((tmp_path / "r").glob("frames/*.json"))) >= 3, "three frames")
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    assert stopped.rc == 143 and "Traceback" not in stopped.stderr
    num_done = len(list((tmp_path / "r/frames").iterdir()))
    assert 3 <= num_done < 30 and not (tmp_path / "r/scores.json").exists()
    again = call("evaluate", *arguments)
    assert again.rc == 0 and f"{num_done} were there" in again.stdout, again.stderr


def test_window_is_what_a_stop_waits_for(corpus, tmp_path):
    """A stop asked for before the first frame does nothing."""
    job = evaluate_job.Job(str(corpus), "nudt", "strict", "tophat", "{}", ("adaptive",), str(tmp_path / "r"))
    outcome = evaluate_run.run_frames(
        job, open_corpus(corpus, "test").frames, client=None, should_stop=lambda: True, advance=lambda _: None
    )
    assert outcome.num_written == 0 and not (tmp_path / "r").exists()
