"""Which frames a pretraining sees: never test frames or their likes, never masks that nobody asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from finetune.recipe import DataConfig
from finetune.sources import open_sources
from pretrain.feed import Feed
from pretrain.frames import open_pool
from pretrain.settings import PretrainData, PretrainSettings
from pretrain.sources import lists_kept_out, open_pretrain_sources
from pretrain.unlabelled import DoubtConfig, part_of, without_labels
from pretrain.views import ViewConfig
from synth.corpora.lists import hash_ids
from synth.errors import LeakageError, SourceError
from tests.support.builders import CORPUS_SPLITS, scene, write_corpus
from tests.support.stores import deep_corpus, deep_store, finished_store, rendered_store

CPU = torch.device("cpu")


def opened(*paths, held_out=1, uses_labels=False, peaks=3, **data):
    config = PretrainData.model_validate(data)
    return open_pretrain_sources(paths, config, DoubtConfig(peaks=peaks), held_out=held_out, uses_labels=uses_labels, device=CPU)


@pytest.fixture
def corpus(tmp_path):
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in enumerate("abcdvt")]
    frames.append(replace(frames[5], id="e", levels=np.minimum(frames[5].levels + np.uint8(3), 255)))  # t, a little brighter
    return write_corpus(tmp_path / "set", frames, {"train": tuple("abcde"), "val": ("v",), "test": ("t",)})


def test_frames_like_a_test_frame_are_left_out_and_counted(corpus):
    found = opened(corpus)
    seen = {*found.pools[0].ids, *found.held_out[0].ids}
    assert seen == set("abcd") and found.excluded == (("e",),)
    (identity,) = found.identity["train"]
    assert (identity["frames"], identity["held_out"], identity["like_test_frames"]) == (3, 1, 1)


def test_another_folder_is_held_against_the_same_test_list(corpus, tmp_path):
    """A copy of a test frame among unlisted frames does not slip in."""
    frames = [scene(name, (40, 48)) for name in ("x", "y", "z")]
    frames.append(scene("t", (40, 48), [(20, 8, 23, 12)]))
    other = write_corpus(tmp_path / "other", [replace(frame, id=f"o{frame.id}", mask=None) for frame in frames])
    found = opened(corpus, other)
    assert found.excluded[1] == ("ot",) and {*found.pools[1].ids, *found.held_out[1].ids} == {"ox", "oy", "oz"}


def test_a_test_list_counts_as_kept_out_where_every_source_was_kept_from_it(corpus, tmp_path):
    store, rendered = finished_store(tmp_path), rendered_store(tmp_path)
    folder, own, other = tmp_path / "corpus", hash_ids(CORPUS_SPLITS["test"]), hash_ids(("t",))
    lists = {name: opened(*paths, split="trainval").kept_from for name, paths in {
        "folder": [corpus], "folders": [corpus, folder], "store": [store], "its folder": [store, folder],
        "folder of others": [store, corpus], "all": [store, corpus, folder], "with scenes": [rendered, store],
        "scenes": [rendered],
    }.items()}  # fmt: skip
    assert lists == {
        "folder": (other,), "folders": tuple(sorted((own, other))), "store": (own,), "its folder": (own,),
        "folder of others": (), "all": (own,), "with scenes": (own,), "scenes": None,
    }  # fmt: skip


def test_what_a_store_does_not_say_was_not_kept_out(tmp_path):
    """Neither one without lists, nor one with real plates, nor one from before scans recorded it."""
    store = finished_store(tmp_path)
    manifest = json.loads((store / "manifest.json").read_text())
    for change in ({"leakage": {}}, {"leakage": manifest["sources"]["leakage"] | {"kept_from": []}}):
        (store / "manifest.json").write_text(json.dumps(manifest | {"sources": manifest["sources"] | change}))
        assert opened(store, split="trainval").kept_from == ()
    plates = manifest["recipe"] | {"source": {"kind": "scenes", "plates": {"path": "x"}}}
    assert lists_kept_out(SimpleNamespace(manifest={"recipe": plates, "sources": {"leakage": {}}})) == frozenset()


def test_test_frames_are_refused_by_name(corpus):
    with pytest.raises(LeakageError, match=r"data.split must be train or trainval, got test"):
        opened(corpus, split="test")


def test_lists_of_which_none_is_official_must_be_named(corpus):
    for family, test in (("one", "t"), ("two", "v")):
        (corpus / family).mkdir()
        (corpus / family / "test.txt").write_text(f"{test}\n")
        (corpus / family / "train.txt").write_text("a\nb\nc\n")
        (corpus / family / "val.txt").write_text("c\n")
    for name in ("train", "val", "test"):
        (corpus / f"{name}.txt").unlink()
    with pytest.raises(LeakageError, match=r"--data .*set: has lists one, two .*name one of its lists as data\.split_list"):
        opened(corpus)
    found = opened(corpus, split_list="two")
    assert {*found.pools[0].ids, *found.held_out[0].ids} == {"a", "b"}


def test_validation_frames_only_when_named(corpus):
    taken = opened(corpus, split="trainval")
    assert "v" in {*taken.pools[0].ids, *taken.held_out[0].ids}
    assert taken.identity != opened(corpus).identity


def test_held_out_frames_never_train_and_never_change(tmp_path):
    root = write_corpus(tmp_path / "many", [scene(f"f{i}", (40, 40)) for i in range(16)])
    found, again = opened(root, held_out=4), opened(root, held_out=4)
    assert found.held_out[0].ids == again.held_out[0].ids and len(found.held_out[0]) == 4
    assert not set(found.held_out[0].ids) & set(found.pools[0].ids) and len(found.pools[0]) == 12
    assert set(opened(root, held_out=2).held_out[0].ids) < set(found.held_out[0].ids)


@pytest.mark.parametrize(("frames", "held"), [(2, 1), (8, 2), (17, 4), (47, 11), (48, 12), (60, 12)])
def test_of_few_frames_a_quarter_is_held_out(tmp_path, frames, held):
    """Else twelve of the seventeen labelled frames of a new sensor would only validate."""
    found = opened(write_corpus(tmp_path / "few", [scene(f"f{i}", (40, 40)) for i in range(frames)]), held_out=12)
    assert (len(found.pools[0]), len(found.held_out[0])) == (frames - held, held)


def test_few_labels_are_those_a_fine_tuning_draws(tmp_path):
    """Nested in size, and held-out frames come from the others."""
    names = tuple(f"f{i:02d}" for i in range(12))
    frames = [scene(name, (40, 48), [(5 + 2 * i, 8, 8 + 2 * i, 12)]) for i, name in enumerate((*names, "v", "t"))]
    folder = write_corpus(tmp_path / "set", frames, {"train": names, "val": ("v",), "test": ("t",)})
    previous: set[str] = set()
    for count in (2, 5, 9):
        found = opened(folder, held_out=2, num_frames=count, subset_seed=7)
        tuned = open_sources([folder], None, DataConfig(num_frames=count, subset_seed=7), CPU)
        chosen = set(found.pools[0].ids)
        assert chosen == set(tuned.pools[0].ids) and len(chosen) == count and previous < chosen
        assert len(found.held_out[0].ids) == 2 and chosen.isdisjoint(found.held_out[0].ids)
        previous = chosen
    with pytest.raises(SourceError, match=r"lower held_out.frames or data.num_frames"):
        opened(folder, held_out=2, num_frames=11)
    with pytest.raises(SourceError, match=r"data.num_frames must be <= 12, .* got 13"):
        opened(folder, num_frames=13)


def test_few_labels_hold_none_that_a_fine_tuning_does_not_draw(corpus):
    """A frame like a test frame leaves the draw, and no other takes its place."""
    for seed in range(8):
        (found,) = opened(corpus, num_frames=3, subset_seed=seed, uses_labels=True).pools
        (tuned,) = open_sources([corpus], None, DataConfig(num_frames=3, subset_seed=seed), CPU).pools
        assert set(found.ids) == set(tuned.ids) - {"e"}


def test_labels_stay_at_the_door(corpus):
    blind, seeing = opened(corpus, peaks=0).pools[0], opened(corpus, uses_labels=True).pools[0]
    assert blind.num_targets == 0 and not blind.is_labelled.any() and seeing.num_targets == len(seeing) == 3
    rows = np.arange(3)
    assert not blind.pixels.fetch(rows).masks_NHW.any() and seeing.pixels.fetch(rows).masks_NHW.any()
    assert torch.equal(blind.pixels.fetch(rows).images_NHW, seeing.pixels.fetch(rows).images_NHW)
    assert opened(corpus).identity != opened(corpus, uses_labels=True).identity


def test_parts_keep_frames_and_targets_together(mini_pool):
    rows = np.array([1, 3, 4])
    part = part_of(mini_pool, rows)
    assert part.ids == ("wide", "large", "held_out") and np.diff(part.first_target).tolist() == [2, 2, 1]
    for index, row in enumerate(rows):
        one, other = part.frame(index), mini_pool.frame(row)
        assert one.id == other.id and np.array_equal(one.levels, other.levels) and np.array_equal(one.mask, other.mask)
        own = part.centres_rc[part.first_target[index] : part.first_target[index + 1]]
        assert np.array_equal(own, mini_pool.centres_rc[mini_pool.first_target[row] : mini_pool.first_target[row + 1]])


def test_peaks_of_unlabelled_frames_are_doubtful(mini_pool):
    """Every real target of the mini frames is among the three highest peaks; labels have no part in it."""
    doubtful = without_labels(mini_pool, DoubtConfig())
    assert not doubtful.is_labelled.any() and doubtful.num_targets == 0 and doubtful.frame(0).mask is None
    rows = np.arange(len(mini_pool))
    discs, masks = (pool.pixels.fetch(rows).masks_NHW for pool in (doubtful, mini_pool))
    assert discs.dtype == torch.uint8 and (discs[masks > 0] == 1).all()
    pixels = discs.sum((1, 2)).numpy()
    assert (pixels <= 3 * 149).all() and (pixels > 100).all()  # a disc of radius 7 holds 149 pixels
    assert not without_labels(mini_pool, DoubtConfig(peaks=0)).pixels.fetch(rows).masks_NHW.any()
    part = part_of(doubtful, np.array([2, 4]))
    found = part.pixels.fetch(np.array([1]))
    assert torch.equal(found.masks_NHW[found.rows[0]], discs[4])


def test_peaks_stay_off_the_padding(mini_pool):
    """Smaller frames stand on a black canvas whose border is no peak; the search sees each frame alone."""
    discs = without_labels(mini_pool, DoubtConfig(radius_px=1.0)).pixels.fetch(np.arange(5)).masks_NHW
    for index, (height, width) in enumerate(mini_pool.valid_hw.tolist()):
        centres = discs[index, 1:-1, 1:-1] & discs[index, :-2, 1:-1] & discs[index, 2:, 1:-1]
        assert not centres[height:].any() and not centres[:, width:].any()


def test_streamed_pools_search_what_they_read(tmp_path):
    store = finished_store(tmp_path)
    rows = np.array([4, 1, 30])
    found = [
        without_labels(open_pool(store, residence=kind), DoubtConfig()).pixels.fetch(rows) for kind in ("resident", "streamed")
    ]
    one, other = (part.masks_NHW[part.rows] for part in found)
    assert torch.equal(one, other) and one.any()


def test_folders_of_a_14_bit_sensor_are_seen_on_the_scale_of_its_stores(tmp_path):
    folder = deep_corpus(tmp_path / "deep")
    store = deep_store(tmp_path / "deep.zarr", folder)
    found = opened(folder, store, max_level=16383)
    levels = [
        sorted(pool.frame(i).image().mean() for part in parts for pool in [part] for i in range(len(pool)))
        for parts in zip(found.pools, found.held_out, strict=True)
    ]
    assert len(levels[0]) == 4 and levels[0] == pytest.approx(levels[1], abs=1e-5) and levels[0][0] > 0.35
    Feed(found.pools, ViewConfig(crop_px=32), seed=0, needs_targets=False)
    with pytest.raises(SourceError, match=r"got \[14, 16\] bits .*; set data\.max_level"):
        Feed(opened(folder, store).pools, ViewConfig(crop_px=32), seed=0, needs_targets=False)
    assert "max_level" not in PretrainData().model_dump(mode="json"), "runs from before there was the key go on"


def test_too_few_frames(tmp_path):
    root = write_corpus(tmp_path / "one", [scene("a", (40, 40))])
    with pytest.raises(SourceError, match=r"one: 1 usable frames, 1 of them held out for validation, leave none to train on"):
        opened(root)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"objectives": [{"kind": "seg"}, {"kind": "seg"}]}, "objectives must be of different kinds, got seg, seg"),
        ({"objectives": [{"kind": "seg"}, {"kind": "lneg"}]}, "objectives must stand alone when they use labels"),
        ({"views": {"crop_px": 64, "patch_turn": {"probability": 1}}}, "views must be lossless and without patch_turn"),
        ({"views": {"crop_px": 64, "radiometry": {"gain": 0.1}}}, "set insertion.radiometry"),
        ({"views": {"crop_px": None}}, "views.crop_px must be a number"),
        ({"objectives": []}, "objectives"),
        ({"views": {"crop_px": 16}}, "views.crop_px must be >= 32 for insertion, got 16"),
        (
            {"objectives": [{"kind": "masked"}], "views": {"crop_px": 36}},
            "objectives.masked.block_px must divide views.crop_px 36, got 8",
        ),
        ({"objectives": [{"kind": "seg", "loss": {"soft_iou": 0}}]}, "must weigh one of its parts above 0, got 0 for all"),
        ({"objectives": [{"kind": "lneg", "loss": {"soft_iou": 0}}]}, "must weigh one of its parts above 0, got 0 for all"),
        ({"objectives": [{"kind": "equivariance", "soft_iou": 0, "bce": 0}]}, "must weigh soft_iou or bce above 0"),
    ],
)
def test_settings_that_do_not_fit(keys, message):
    with pytest.raises(ValueError, match=message):
        PretrainSettings.model_validate({"objectives": [{"kind": "seg"}], "train": {"steps": 1}} | keys)


@pytest.mark.real_data
def test_real_training_frames_like_test_frames(sirst_data):
    """NUAA: the 6 test frames with near duplicates among the 256 training frames have 9 of them; backgrounds have one."""
    found = opened(sirst_data / "sirst-v1", sirst_data / "sirst-backgrounds", held_out=12)
    assert [len(excluded) for excluded in found.excluded] == [9, 1]
    assert [len(pool) for pool in found.pools] == [235, 132]
