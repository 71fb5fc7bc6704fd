"""Which frames train and which validate: lists, subsets, and the refusal of frames that would do both."""

from __future__ import annotations

import pytest
import torch

from finetune.recipe import DataConfig
from finetune.sources import open_sources
from synth.errors import SourceError
from tests.support.builders import scene, write_corpus
from tests.support.stores import finished_store

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


def test_stores_need_a_folder_to_validate_on(corpus, tmp_path):
    store = finished_store(tmp_path)
    with pytest.raises(SourceError, match=r"--data holds stores only, .*; give --validation DIR"):
        open_sources([store], None, DataConfig(), CPU)
    found = open_sources([store], corpus, DataConfig(), CPU)
    assert [frame.id for frame in found.validation] == ["v"] and set(found.identity["train"][0]) == {"store"}
