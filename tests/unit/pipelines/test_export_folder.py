"""``pipelines.export --format folder``: every frame and mask as the store holds it, lists of consecutive frames.

Lists that share what their frames are made of are refused.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pipelines import export
from synth import open_corpus, open_store
from synth.store.finalize import finalize_store
from synth.store.reader import Store
from tests.support.builders import frame_of, recipe_of, scene, write_corpus
from tests.support.cli import call
from tests.support.stores import begun_store, file_hashes, finished_store, write_shards


@pytest.fixture(scope="module")
def exported(small_store, tmp_path_factory):
    """The folder of the small store with a list of 45 frames; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "frames"
    ended = call("export", small_store, "--format", "folder", "--out", out, "--lists", "train=45")
    assert ended.rc == 0, ended
    return out


def rendered(folder, *, num_synthetic=0, passes=({},), **source):
    """Make a finished store of 12 rendered scenes, or of copies of them."""
    source = {"kind": "scenes", "num_frames": 12, "frame_hw": (64, 64), "targets": {"empty_share": 0}} | source
    path = folder / "rendered.zarr"
    begun_store(path, recipe_of(source=source, num_synthetic=num_synthetic, passes=passes), None)
    write_shards(path)
    finalize_store(path)
    return path


def export_lists(store, out, lists, *flags):
    return call("export", store, "--format", "folder", "--out", out, "--lists", lists, *flags)


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


def test_lists_are_consecutive(tmp_path):
    """Painted scenes have nothing in common: any lists of them will do."""
    exported = tmp_path / "out"
    assert export_lists(rendered(tmp_path), exported, "train=7,val=3,test=1").rc == 0
    ids = {split: [ref.id for ref in open_corpus(exported, split).frames] for split in ("train", "val", "test")}
    assert ids == {
        "train": [f"{i:06d}" for i in range(7)],
        "val": [f"{i:06d}" for i in range(7, 10)],
        "test": [f"{i:06d}" for i in range(10, 11)],
    }


NO_BORDER = "leave --lists out, or make a store for each list, from frames of its own"


def test_lists_with_copies_of_one_source_frame_are_refused(small_store, tmp_path):
    """The originals come first and their copies last: a test list at the end repeats the training frames."""
    shared = "train and val share 4 source frames, train and test share 4 source frames, val and test share 4 source frames"
    for flags in ([], ["--dry-run"]):
        ended = export_lists(small_store, tmp_path / "x", "train=4,val=28,test=28", *flags)
        ended.refused(2, f"--lists: in {small_store} {shared}: ", NO_BORDER)
    assert not any(tmp_path.iterdir())


def test_untouched_frames_may_be_split(small_store, tmp_path):
    """Of the store's frames only the first four are listed: four frames of the corpus, each once."""
    assert export_lists(small_store, tmp_path / "x", "train=2,val=1,test=1").rc == 0


def test_equal_frames_under_two_names_are_one(tmp_path):
    one, other = scene("one", (64, 64), [(5, 8, 8, 12)]), scene("other", (64, 64), [(5, 8, 8, 12)])
    corpus = write_corpus(tmp_path / "corpus", [one, frame_of(one.levels, one.mask, name="twin"), other])
    path = tmp_path / "x.zarr"
    begun_store(path, recipe_of(corpus, num_synthetic=0), corpus)
    write_shards(path)
    finalize_store(path)
    export_lists(path, tmp_path / "out", "train=2,test=1").refused(2, "train and test share 1 source frame: ")


def test_copies_in_order_of_their_frames_may_be_cut_between_them(tmp_path):
    """Without originals one pass holds the 8, 8, 4 and 8 copies of the frames one after the other."""
    store = finished_store(tmp_path, originals=False, passes=[{}])
    assert open_store(store).column("sample/source").tolist() == [0] * 8 + [1] * 4 + [2] * 8 + [3] * 8
    refused = export_lists(store, tmp_path / "out", "train=13,val=8,test=5")
    refused.refused(2, "train and val share 1 source frame, val and test share 1 source frame: ", "move the borders to between")
    assert "train=12,val=8,test=6," in refused.stderr and not (tmp_path / "out").exists()
    assert export_lists(store, tmp_path / "out", "train=12,val=8,test=6").rc == 0


def test_a_sequence_stands_in_one_list(tmp_path):
    store = rendered(tmp_path, sequence={"length": 4})
    refused = export_lists(store, tmp_path / "out", "train=6,test=6")
    refused.refused(2, "train and test share 1 sequence: ", "for example train=4,test=8, or leave --lists out")
    assert export_lists(store, tmp_path / "out", "train=4,test=8").rc == 0


def test_copies_of_one_rendered_sequence_stand_in_one_list(tmp_path):
    """The manifest does not list the sequences of rendered source frames: the recipe says how long they are."""
    store = rendered(tmp_path, num_synthetic="all", sequence={"length": 12})
    refused = export_lists(store, tmp_path / "out", "train=6,test=6")
    refused.refused(2, "train and test share 1 source sequence: ", NO_BORDER)


def test_scenes_on_one_plate_stand_in_one_list(tmp_path):
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    store = rendered(tmp_path, plates={"path": str(tmp_path / "plates"), "split": None, "share": 1.0})
    plates = open_store(store).column("sample/plate")
    num_shared = len(set(plates[:8]) & set(plates[8:]))
    assert num_shared == 2
    export_lists(store, tmp_path / "out", "train=8,test=4").refused(2, "train and test share 2 plates: ", NO_BORDER)


def test_copies_of_scenes_do_not_say_which_plate_is_behind_them(tmp_path):
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    plates = {"path": str(tmp_path / "plates"), "split": None, "share": 0.5}
    store = rendered(tmp_path, num_synthetic=8, plates=plates)
    export_lists(store, tmp_path / "out", "train=6,test=6").refused(2, "train and test share 1 folder of plates: ", NO_BORDER)


def test_a_finished_folder_is_left_alone_and_guarded(small_store, exported, tmp_path):
    arguments = ["export", small_store, "--format", "folder", "--out", exported]
    before = file_hashes(exported)
    again = call(*arguments, "--lists", "train=45")
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
    assert len(record["files"]) == 2 * 60 + 1
    assert {Image.open(exported / name).mode for name in record["files"] if name.endswith(".png")} == {"L"}
