"""``pipelines.export --format folder``: every frame and mask as the store holds it, lists of consecutive frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pipelines import export
from synth import open_corpus, open_store
from synth.store.reader import Store
from tests.support.cli import call
from tests.support.stores import file_hashes


@pytest.fixture(scope="module")
def exported(small_store, tmp_path_factory):
    """The folder of the small store with lists of 30, 10 and 5 frames; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "frames"
    ended = call("export", small_store, "--format", "folder", "--out", out, "--lists", "train=30,val=10,test=5")
    assert ended.rc == 0, ended
    return out


def test_frames_and_masks_are_those_of_the_store(small_store, exported):
    """The small store holds a frame smaller than its canvas: its padding must be gone."""
    store, corpus = open_store(small_store), open_corpus(exported)
    assert len(corpus) == len(store) == 60
    sizes = set()
    for index, ref in enumerate(corpus.frames):
        frame, sample = corpus.read(ref), store[index]
        rows, cols = sample.valid_hw
        sizes.add((rows, cols))
        assert ref.id == f"{index:06d}"
        np.testing.assert_array_equal(frame.levels, store.images([index])[0, :rows, :cols])
        np.testing.assert_array_equal(frame.mask, sample.mask[:rows, :cols])
    assert (40, 36) in sizes and (64, 64) in sizes


def test_lists_are_consecutive(exported):
    ids = {split: [ref.id for ref in open_corpus(exported, split).frames] for split in ("train", "val", "test")}
    assert ids == {
        "train": [f"{i:06d}" for i in range(30)],
        "val": [f"{i:06d}" for i in range(30, 40)],
        "test": [f"{i:06d}" for i in range(40, 45)],
    }


def test_a_finished_folder_is_left_alone_and_guarded(small_store, exported, tmp_path):
    arguments = ["export", small_store, "--format", "folder", "--out", exported]
    before = file_hashes(exported)
    again = call(*arguments, "--lists", "train=30,val=10,test=5")
    assert again.rc == 0 and "is finished" in again.stdout and file_hashes(exported) == before
    call(*arguments).refused(2, "another store or with other lists")
    copy = tmp_path / "copy"
    call(*arguments[:-1], copy)
    (copy / "masks/000003.png").unlink()
    call(*arguments[:-1], copy).refused(2, "1 files were changed or are missing (masks/000003.png)")


@pytest.mark.parametrize(
    ("lists", "needles"),
    [
        ("train=50,val=11", ("at most the 60 frames of the store, got 61",)),
        ("train=5,extra=5", ("must name train, val, test, got 'extra'",)),
        ("train=0", ("not empty",)),
        ("train=5,train=5", ("each name once",)),
        ("train=5;val=5", ("must be like train=256",)),
        ("train", ("must be like",)),
    ],
)
def test_faulty_lists(small_store, tmp_path, lists, needles):
    call("export", small_store, "--format", "folder", "--out", tmp_path / "x", "--lists", lists).refused(2, *needles)
    assert not any(tmp_path.iterdir())


def test_other_files_are_never_touched(small_store, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    call("export", small_store, "--format", "folder", "--out", tmp_path).refused(2, "holds other files than an export")
    call("export", small_store, "--format", "folder", "--out", tmp_path / "mine.txt").refused(2, "is a file")
    (tmp_path / "empty").mkdir()
    assert call("export", small_store, "--format", "folder", "--out", tmp_path / "empty").rc == 0
    assert open_corpus(tmp_path / "empty").layout == "pairs"


def test_nothing_is_left_of_an_export_that_fails(small_store, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_json", full)
    ended = call("export", small_store, "--format", "folder", "--out", tmp_path / "frames")
    assert ended.rc == 1 and "No space left" in ended.stderr
    assert not any(tmp_path.iterdir())


def with_labels(monkeypatch, is_labelled):
    """Let stores say which of their frames are labelled."""
    real = Store.column

    def column(self: Store, name: str):
        return is_labelled.astype(np.uint8) if name == "sample/labelled" else real(self, name)

    monkeypatch.setattr(Store, "column", column)


def test_stores_without_labels_get_no_masks(small_store, tmp_path, monkeypatch):
    with_labels(monkeypatch, np.zeros(60, bool))
    ended = call("export", small_store, "--format", "folder", "--out", tmp_path / "out")
    assert ended.rc == 0 and "60 frames without masks" in ended.stdout
    corpus = open_corpus(tmp_path / "out")
    assert not (tmp_path / "out/masks").exists() and corpus.layout == "images"
    assert all(corpus.read(ref).mask is None for ref in corpus.frames)


def test_stores_with_some_labels_are_refused(small_store, tmp_path, monkeypatch):
    with_labels(monkeypatch, np.arange(60) < 20)
    ended = call("export", small_store, "--format", "folder", "--out", tmp_path / "out")
    ended.refused(2, "labelled as a whole or not at all, got 20 of 60")


def test_dry_run_and_record(small_store, exported, tmp_path):
    planned = call("export", small_store, "--format", "folder", "--out", tmp_path / "x", "--dry-run")
    assert planned.rc == 0 and "60 frames with masks; no lists" in planned.stdout and not (tmp_path / "x").exists()
    record = json.loads((exported / "export.json").read_text())
    assert record["store"] == open_store(small_store).manifest["content_hash"]
    assert len(record["files"]) == 2 * 60 + 3
    assert {Image.open(exported / name).mode for name in record["files"] if name.endswith(".png")} == {"L"}
