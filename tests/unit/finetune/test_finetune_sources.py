"""Which frames train and which validate: lists, subsets, and the refusal of frames that would do both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from finetune.recipe import DataConfig, FinetuneRecipe
from finetune.sources import open_sources, training_ids
from pipelines.config import load_recipe
from pretrain.feed import Feed
from pretrain.order import Partition
from pretrain.views import ViewConfig
from synth import open_corpus, open_store
from synth.errors import SourceError
from synth.store.finalize import finalize_store
from tests.support.builders import scene, write_corpus
from tests.support.stores import begun_store, deep_corpus, deep_store, finished_store, rendered_store, small_recipe, write_shards

CPU = torch.device("cpu")
LISTS = {"train": ("a", "b", "c", "d"), "val": ("v",), "test": ("t",)}


@pytest.fixture
def corpus(tmp_path):
    frames = [scene(name, (40, 48), [(5 + 3 * i, 5, 8 + 3 * i, 8)]) for i, name in enumerate("abcdvt")]
    return write_corpus(tmp_path / "demo", frames, LISTS)


def opened(corpus, *more, validation=None, **config):
    return open_sources([corpus, *more], validation, DataConfig(**config), CPU)


def test_train_leaves_validation_out_and_test_is_never_there(corpus):
    found = opened(corpus)
    assert found.pools[0].ids == ("a", "b", "c", "d") and [frame.id for frame in found.validation] == ["v"]
    assert "t" not in str(found.identity["train"][0]["frames"]) and found.identity["train"][0]["frames"] == 4


def test_trainval_has_nothing_to_validate_on(corpus):
    found = opened(corpus, split="trainval")
    assert sorted(found.pools[0].ids) == ["a", "b", "c", "d", "v"] and found.validation == ()


def test_smaller_subsets_are_parts_of_larger_ones(corpus):
    chosen = [set(opened(corpus, num_frames=n, subset_seed=5).pools[0].ids) for n in (1, 2, 3, 4)]
    assert [len(ids) for ids in chosen] == [1, 2, 3, 4]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    others = {opened(corpus, num_frames=1, subset_seed=seed).pools[0].ids for seed in range(12)}
    assert len(others) > 1, "the seed decides nothing"
    with pytest.raises(SourceError, match=r"data.num_frames must be <= 4, .*, got 5"):
        opened(corpus, num_frames=5)


def test_identity_follows_pixels_not_places(corpus, tmp_path):
    moved = corpus.rename(tmp_path / "elsewhere")
    before = opened(moved).identity
    assert opened(moved.rename(tmp_path / "back")).identity == before
    changed = scene("b", (40, 48), [(5, 5, 8, 8)], level=91)
    write_corpus(tmp_path / "back", [changed])
    assert opened(tmp_path / "back").identity != before


def test_another_folder_must_not_bring_a_validation_frame_in(corpus, tmp_path):
    twin = scene("v", (40, 48), [(17, 5, 20, 8)])
    assert (twin.levels == scene("v", (40, 48), [(5 + 12, 5, 8 + 12, 8)]).levels).all()
    frames = [twin, scene("w", (40, 48)), scene("x", (40, 48)), scene("y", (40, 48))]
    other = write_corpus(tmp_path / "other", frames, {"train": ("v", "w"), "val": ("x",), "test": ("y",)})
    with pytest.raises(SourceError, match=r"other: 1 of its frames validate too \(v \(validation frame v\)\)"):
        opened(corpus, other, validation=corpus)


def brighter(frame, name):
    """Another frame that looks like this one."""
    return replace(frame, id=name, levels=np.minimum(frame.levels + np.uint8(3), 255))


@pytest.fixture
def leaky(tmp_path):
    """``e`` and the folder beside it hold the likes of the test frame ``t``."""
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in enumerate("abcdvt")]
    return write_corpus(tmp_path / "leaky", [*frames, brighter(frames[-1], "e")], LISTS | {"train": tuple("abcde")})


def test_frames_like_a_test_frame_are_left_out_when_asked_for(leaky):
    kept, plain = opened(leaky, exclude_near_test=True), opened(leaky)
    assert kept.pools[0].ids == ("a", "b", "c", "d") and kept.excluded == (("e",),)
    assert (kept.identity["train"][0]["frames"], kept.identity["train"][0]["like_test_ids"]) == (4, ["e"])
    assert plain.pools[0].ids == ("a", "b", "c", "d", "e") and plain.excluded == ((),)
    assert plain.identity["train"][0].keys() == {"frames", "ids_sha256", "pixels_sha256"}, "runs from before go on"


def test_subsets_are_drawn_of_what_is_left(leaky):
    chosen = [opened(leaky, exclude_near_test=True, num_frames=4, subset_seed=seed).pools[0].ids for seed in range(4)]
    assert set(chosen) == {("a", "b", "c", "d")}
    with pytest.raises(SourceError, match=r"data.num_frames must be <= 4, .*, got 5"):
        opened(leaky, exclude_near_test=True, num_frames=5)
    alone = training_ids(open_corpus(leaky, "train"), DataConfig(exclude_near_test=True))
    assert alone == ["a", "b", "c", "d"], "what counts frames without opening them"


def test_frames_are_held_against_the_test_lists_of_all_folders(corpus, tmp_path):
    """Those of another folder, and of the one that only validates."""
    like_t = brighter(scene("t", (40, 48), [(20, 5, 23, 8)]), "n")
    lists = {"train": ("w", "n"), "val": ("x",), "test": ("y",)}
    other = write_corpus(tmp_path / "other", [like_t, *(scene(name, (40, 48)) for name in "wxy")], lists)
    assert opened(corpus, other, exclude_near_test=True).excluded == ((), ("n",))
    assert opened(other, validation=corpus, exclude_near_test=True).pools[0].ids == ("w",)
    assert opened(other, exclude_near_test=True).excluded == ((),)


def test_samples_of_a_store_made_of_a_frame_like_a_test_frame(leaky, tmp_path):
    store = tmp_path / "leaky.zarr"
    begun_store(store, small_recipe(leaky, split="train"), leaky)
    write_shards(store)
    finalize_store(store)
    whole, kept = (open_sources([store], leaky, DataConfig(exclude_near_test=exclude), CPU) for exclude in (False, True))
    made = open_store(store)
    names = np.array([frame["id"] for frame in made.manifest["sources"]["frames"]])[made.column("sample/source")]
    assert whole.identity["train"] == [{"store": made.manifest["content_hash"]}] and len(whole.pools[0]) == len(made)
    assert 0 < (names == "e").sum() == len(whole.pools[0]) - len(kept.pools[0]) and kept.excluded == (("e",),)
    assert kept.identity["train"] == [whole.identity["train"][0] | {"frames": len(kept.pools[0]), "like_test_ids": ["e"]}]
    seen = kept.pools[0].pixels.fetch(np.arange(len(kept.pools[0])))
    assert (seen.images_NHW[seen.rows].numpy() == made.images(np.flatnonzero(names != "e"))).all()


def test_few_labels_of_a_store_are_what_was_made_of_the_frames_a_folder_draws(tmp_path):
    frames = [scene(name, (40, 48), [(5 + 3 * i, 5, 8 + 3 * i, 8)]) for i, name in enumerate("abcdvt")]
    folder = write_corpus(tmp_path / "set", frames, LISTS)
    path = tmp_path / "made.zarr"
    begun_store(path, small_recipe(folder, split="train"), folder)
    write_shards(path)
    finalize_store(path)
    made = open_store(path)
    names = np.array([frame["id"] for frame in made.manifest["sources"]["frames"]])[made.column("sample/source")]
    for count in (1, 3):
        found = open_sources([folder, path], None, DataConfig(num_frames=count, subset_seed=5), CPU)
        real, part = found.pools
        assert len(real.ids) == count and len(part) == np.isin(names, real.ids).sum() > 0
        seen = part.pixels.fetch(np.arange(len(part)))
        assert (seen.images_NHW[seen.rows].numpy() == made.images(np.flatnonzero(np.isin(names, real.ids)))).all()
        assert found.identity["train"][1]["frames"] == len(part)
    with pytest.raises(SourceError, match=r"data.num_frames must be <= 4, the frames of the sources of .*made.zarr, got 5"):
        open_sources([path], folder, DataConfig(num_frames=5), CPU)


def test_folders_of_a_14_bit_sensor_train_and_validate_on_the_scale_of_its_stores(tmp_path):
    """They were read at the full range of their 16-bit files, a quarter as bright."""
    folder = deep_corpus(tmp_path / "deep")
    store, everything = (deep_store(tmp_path / f"{split}.zarr", folder, split) for split in ("train", "trainval"))
    found = open_sources([folder, store], None, DataConfig(max_level=16383), CPU)
    real, made = ([pool.frame(i).image().mean() for i in range(len(pool))] for pool in found.pools)
    assert real == pytest.approx(made, abs=1e-5) and min(real) > 0.35
    batch = next(Feed(found.pools, ViewConfig(crop_px=32), seed=0).batches(0, Partition(8)))
    assert set(batch.sources) == {0, 1} and batch.images_B1HW.mean((1, 2, 3)).min() > 0.35
    of_all = open_store(everything)
    (validated,), at = found.validation, [str(f["id"]) for f in of_all.manifest["sources"]["frames"]].index("v")
    assert validated.image().mean() == pytest.approx(of_all[at].image.mean(), abs=1e-5)
    assert [frame.max_level for frame in open_sources([store], folder, DataConfig(max_level=16383), CPU).validation] == [16383]


def test_frames_at_another_scale_than_those_that_train_are_refused(tmp_path):
    folder = deep_corpus(tmp_path / "deep")
    store = deep_store(tmp_path / "deep.zarr", folder)
    with pytest.raises(SourceError, match=r"validation frame 'v': .*, \[14\], got 16 bits; set data\.max_level"):
        open_sources([store], folder, DataConfig(), CPU)
    found = open_sources([folder, store], None, DataConfig(), CPU)
    with pytest.raises(SourceError, match=r"one bit depth, got \[14, 16\] bits .*; set data\.max_level"):
        Feed(found.pools, ViewConfig(crop_px=32), seed=0)
    one, other = (open_sources([folder], None, DataConfig(max_level=level), CPU).identity for level in (16383, None))
    assert one["train"][0]["pixels_sha256"] != other["train"][0]["pixels_sha256"]


def test_an_unset_key_is_no_part_of_what_a_run_records():
    """Recipes from before there was the key keep their identity; where it is set, it is recorded."""
    plain, modern = (load_recipe(name, FinetuneRecipe, (), stage="finetune") for name in ("acm_nuaa", "acm_nuaa_modern"))
    assert plain.model_dump(mode="json")["data"].keys() == {"split", "split_list", "weights", "num_frames", "subset_seed"}
    assert modern.model_dump(mode="json")["data"]["exclude_near_test"] is True
    assert DataConfig(max_level=16383).model_dump(mode="json")["max_level"] == 16383
    assert FinetuneRecipe.model_validate(plain.model_dump(mode="json")) == plain


def test_the_family_of_lists_holds_for_the_validation_folder(corpus, tmp_path):
    """It was ignored for a folder that is not among --data; a folder without that family is refused."""
    frames = [scene(name, (40, 48)) for name in ("w", "x", "y", "z")]
    other = write_corpus(tmp_path / "other", frames, {"train": ("w",), "val": ("x",), "test": ("y",)})
    for part, ids in (("train", "x"), ("val", "z"), ("test", "y")):
        (other / f"{part}_second.txt").write_text("".join(f"{name}\n" for name in ids))
    store = finished_store(tmp_path)
    for family, expected in (("root", "x"), ("second", "z")):
        (found,) = open_sources([store], other, DataConfig(split_list=family), CPU).validation
        assert found.id == expected
    with pytest.raises(SourceError, match=r"split_list 'nowhere' of .*demo: not found; choose one of"):
        open_sources([store], corpus, DataConfig(split_list="nowhere"), CPU)


@pytest.mark.real_data
def test_real_training_frames_like_test_frames(sirst_data):
    """NUAA: the 6 test frames with near duplicates among the 256 training frames have 9 of them."""
    config = load_recipe("acm_nuaa_modern", FinetuneRecipe, (), stage="finetune").data
    found = open_sources([sirst_data / "sirst-v1"], None, config, CPU)
    assert [len(ids) for ids in found.excluded] == [9] and [len(pool) for pool in found.pools] == [247]


def test_stores_need_a_folder_to_validate_on(corpus, tmp_path):
    store = finished_store(tmp_path)
    with pytest.raises(SourceError, match=r"--data holds stores only, .*; give --validation DIR"):
        open_sources([store], None, DataConfig(), CPU)
    found = open_sources([store], corpus, DataConfig(), CPU)
    assert [frame.id for frame in found.validation] == ["v"] and set(found.identity["train"][0]) == {"store"}
    (about,) = open_sources([rendered_store(tmp_path)], corpus, DataConfig(), CPU).identity["train"]
    assert about.keys() == {"store", "rendered"} and about["rendered"], "its frames are of no data set"
