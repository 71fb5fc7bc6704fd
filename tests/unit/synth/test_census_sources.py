"""What a card reads: valid pixels of stores, one split of folders, never a test list; and what ties frames together."""

from __future__ import annotations

import numpy as np
import pytest

from synth.census import folder_frames, store_frames, survey_frames
from synth.errors import LeakageError, RefusalError, SourceError
from synth.store.finalize import finalize_store
from tests.support.builders import mini_frames, recipe_of, scene, write_corpus, write_mini_corpus, write_sequences
from tests.support.stores import begun_store, finished_store, write_shards


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A finished store of 60 samples from 4 frames, one of them smaller than the canvas."""
    return finished_store(tmp_path_factory.mktemp("census"))


def ids(frames):
    return [read().frame.id for read in frames.reads]


def test_folder_with_lists_gives_its_trainval(tmp_path):
    corpus = write_mini_corpus(tmp_path / "corpus")
    frames = folder_frames(corpus)
    assert ids(frames) == ["large", "small", "square", "wide"]
    assert (frames.split, frames.num_found) == ("trainval", 4) and "split trainval" in frames.about
    assert ids(folder_frames(corpus, "val")) == ["large"]


def test_frames_of_the_test_list_are_not_even_decoded(tmp_path):
    corpus = write_mini_corpus(tmp_path / "corpus")
    for folder in ("images", "masks"):
        (corpus / folder / "held_out.png").write_bytes(b"must not be read")
    assert survey_frames(folder_frames(corpus)).num_targets == 7


@pytest.mark.parametrize("split", ["test", "all", ""])
def test_other_splits_are_refused(tmp_path, split):
    with pytest.raises(LeakageError, match=r"--split must be one of train, val, trainval \(test lists are never read\), got"):
        folder_frames(write_mini_corpus(tmp_path / "corpus"), split)


def test_lists_without_an_official_one_must_be_named(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", mini_frames())
    for family, test in (("one", "square"), ("two", "wide")):
        (corpus / family).mkdir()
        (corpus / family / "test.txt").write_text(f"{test}\n")
        (corpus / family / "train.txt").write_text("small\nlarge\n")
    with pytest.raises(LeakageError, match=r"corpus: has lists one, two .* name one of its lists as --split-list"):
        folder_frames(corpus)
    assert ids(folder_frames(corpus, split_list="two")) == ["large", "small"]


def test_folder_without_lists_gives_all_its_frames(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", mini_frames())
    frames = folder_frames(corpus)
    assert len(frames) == 5 and frames.split is None and "no lists" in frames.about


def test_sequences_and_equal_pixels_are_linked(tmp_path):
    one, two = scene("one", (32, 32)), scene("two", (32, 32))
    root = write_sequences(tmp_path / "seq", {"a": [one, two], "b": [one]})
    links = [set(read().links) for read in folder_frames(root).reads]
    assert links[0] & links[1] and links[0] & links[2] and not links[1] & links[2]


def test_store_gives_valid_pixels_with_masks_and_sources(store):
    frames = store_frames(store)
    assert len(frames) == frames.num_found == 60 and frames.num_bytes > 0
    read = [source() for source in frames.reads]
    assert [source.frame.id for source in read[:2]] == ["sample-000000", "sample-000001"]
    assert {source.frame.hw for source in read} == {(64, 64), (48, 64), (40, 36)}
    assert all(source.frame.mask is not None and source.frame.mask.shape == source.frame.hw for source in read)
    assert len({source.links for source in read}) == 4 and not any(source.painted for source in read)


def test_samples_are_linked_to_the_frames_they_are_made_of(store):
    by_id = {read().frame.id: set(read().links) for read in folder_frames(store.parent / "corpus").reads}
    partners = [{name for name, links in by_id.items() if links & set(read().links)} for read in store_frames(store).reads]
    assert all(len(names) == 1 for names in partners) and set.union(*partners) == {"square", "wide", "small", "large"}


def rendered_store(root, name, **keys):
    scenes = {"kind": "scenes", "num_frames": 12, "frame_hw": (64, 64)} | keys.pop("source", {})
    path = root / f"{name}.zarr"
    begun_store(path, recipe_of(source=scenes, **keys), None)
    write_shards(path)
    finalize_store(path)
    return [read() for read in store_frames(path).reads]


def test_painted_backgrounds_and_plates_are_told_apart(tmp_path):
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    painted = rendered_store(tmp_path, "painted", num_synthetic=0)
    assert all(source.painted for source in painted) and len({source.links for source in painted}) == 12
    plates = {"plates": {"path": str(tmp_path / "plates"), "split": None, "share": 0.5}}
    mixed = rendered_store(tmp_path, "mixed", num_synthetic=0, source=plates)
    on_plate = [source for source in mixed if not source.painted]
    assert 0 < len(on_plate) < 12, "half of the scenes stand on a plate"
    assert {link for source in on_plate for link in source.links if link.startswith("plate:")} == {"plate:p0", "plate:p1"}
    assert not any(link.startswith("plate:") for source in mixed if source.painted for link in source.links)


def test_copies_of_scenes_do_not_say_which_plate_is_behind_them(tmp_path):
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    plates = {"plates": {"path": str(tmp_path / "plates"), "split": None, "share": 0.5}, "targets": {"empty_share": 0}}
    copies = rendered_store(tmp_path, "copies", num_synthetic=8, source=plates)
    assert not any(source.painted for source in copies)
    assert set.intersection(*(set(source.links) for source in copies)), "all of them belong together"


def test_frames_of_a_rendered_sequence_are_linked(tmp_path):
    frames = rendered_store(tmp_path, "tracks", num_synthetic=0, source={"sequence": {"length": 4}})
    shared = [{link for link in source.links if link.startswith("sequence:")} for source in frames]
    assert len(set(map(frozenset, shared))) == 3 and all(len(links) == 1 for links in shared)


def test_survey_counts_and_keeps_no_frames(store):
    seen = []
    whole = survey_frames(store_frames(store), on_frame=lambda: seen.append(1))
    assert len(seen) == len(whole) == whole.num_labelled == 60
    assert whole.num_targets == int(whole.columns["targets_per_frame"].sum()) == len(whole.columns["area_px"])
    assert all(len(whole.columns[name]) == 60 for name in ("mean_dn", "psd_slope", "noise_dn"))
    assert whole.curves_db.shape == (60, 59) and whole.thumbnails.shape == (60, 32, 32)


def test_survey_stops_after_the_frame_in_hand(store):
    seen = []
    part = survey_frames(store_frames(store), on_frame=lambda: seen.append(1), stop=lambda: len(seen) == 7)
    assert len(part) == 7


def test_subset_is_drawn_by_the_seed_in_order(store):
    frames = store_frames(store)
    assert frames.subset(60, 0) is frames
    drawn = [ids(frames.subset(10, seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0]) and drawn[0] != drawn[2] and len(set(drawn[0])) == 10
    assert frames.subset(10, 0).num_found == 60


def test_highest_level_of_16_bit_files_can_be_named(tmp_path):
    """14-bit data in 16-bit files are a quarter as bright when nobody says so."""
    frames = [scene(name, (40, 48), [(5, 8, 8, 12)], level=4000, grain=300, peak=12000, max_level=16383) for name in "abc"]
    root = write_corpus(tmp_path / "raw", frames)
    told, untold = (survey_frames(folder_frames(root, max_level=level)) for level in (16383, None))
    ratios = told.columns["noise_dn"] / untold.columns["noise_dn"]
    assert ratios == pytest.approx(65535 / 16383, rel=1e-3)
    with pytest.raises(SourceError, match=r"max_level .* must be in 1..65535, got 0"):
        folder_frames(root, max_level=0)


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        folder_frames(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises((SourceError, RefusalError)):
        folder_frames(tmp_path / "empty")
    with pytest.raises(RefusalError):
        store_frames(tmp_path / "empty")


def test_sixteen_bit_store_reads_in_grey_levels_of_8_bits(tmp_path):
    store = finished_store(tmp_path, image_dtype="uint16")
    small, large = survey_frames(store_frames(finished_store(tmp_path / "eight"))), survey_frames(store_frames(store))
    assert np.nanmax(large.columns["mean_dn"]) <= 255.0
    originals = slice(0, 4)
    assert large.columns["mean_dn"][originals] == pytest.approx(small.columns["mean_dn"][originals], abs=0.6)
