"""The part of a folder that may be learnt from: one split where there are lists, all frames only where there are none."""

from __future__ import annotations

import pytest

from synth.corpora import open_corpus, open_training_part
from synth.errors import LeakageError, SourceError

IDS = tuple(f"{number:06d}" for number in range(1, 9))


def opened(tree, split="train", **options):
    return open_training_part(tree.root, split, what="noise.source", list_key="noise.split_list", **options)


@pytest.fixture
def torn(tree):
    """A folder with two families of lists, none of them official."""
    tree.pairs(IDS)
    for family, test in (("one", IDS[5:]), ("two", IDS[:3])):
        tree.text(f"{family}/test.txt", test)
        tree.text(f"{family}/train.txt", IDS[3:5])
        tree.text(f"{family}/val.txt", IDS[4:5])
    return tree


def test_lists_in_use_give_the_split(tree):
    tree.pairs(IDS)
    for part, names in (("train", IDS[:4]), ("val", IDS[4:5]), ("test", IDS[5:])):
        tree.text(f"50_50/{part}.txt", names)
    for split, expected in (("train", IDS[:4]), ("trainval", IDS[:5])):
        corpus = opened(tree, split)
        assert (corpus.split, corpus.split_list) == (split, "50_50") and tuple(r.id for r in corpus.frames) == expected


@pytest.mark.parametrize("split", ["train", None])
def test_without_lists_every_frame(tree, split):
    tree.pairs(IDS)
    corpus = opened(tree, split)
    assert (corpus.split, corpus.list_names, len(corpus)) == (None, (), len(IDS))


@pytest.mark.parametrize("split", ["train", None])
def test_lists_of_which_none_is_official_are_refused_by_name(torn, split):
    assert len(open_corpus(torn.root)) == len(IDS)  # what nobody may learn from unasked
    with pytest.raises(LeakageError, match=r"noise\.source .*corpus: has lists one, two .*its lists as noise\.split_list$"):
        opened(torn, split)


def test_a_named_list_is_used(torn):
    corpus = opened(torn, "trainval", split_list="two")
    assert [ref.id for ref in corpus.frames] == list(IDS[3:5]) and [ref.id for ref in corpus.test_frames()] == list(IDS[:3])
    with pytest.raises(SourceError, match=r"'three'.*choose one of: one, two"):
        opened(torn, split_list="three")


def test_lists_without_a_split_are_refused(torn):
    with pytest.raises(SourceError, match=r"has lists; split must be train or trainval, got null"):
        opened(torn, None, split_list="one")


def test_folders_that_are_splits_are_lists(tree):
    for part, names in (("trainval", IDS[:2]), ("test", IDS[2:])):
        tree.pairs(names, f"{part}/images", f"{part}/masks")
    corpus = opened(tree, "trainval")
    assert corpus.list_names == ("folders",) and [ref.id for ref in corpus.frames] == list(IDS[:2])


def test_further_arguments_reach_the_corpus(tree):
    tree.image("images/a.png")
    tree.image("images/b.png")
    tree.mask("masks/a.png")
    with pytest.raises(SourceError, match="1 of 2 images have none"):
        opened(tree)
    assert len(opened(tree, require_masks=False)) == 2
