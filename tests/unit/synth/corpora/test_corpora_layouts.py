"""Every layout is found, named or detected; every tree that is none is refused in one line."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from synth.corpora import LAYOUTS, open_corpus
from synth.errors import SourceError

IDS = ("a1", "a2", "a3", "b1")


def make_sirst_v1(tree):
    tree.pairs(IDS, "images/targets", "annotations/masks", "_pixels0")
    tree.text("splits/train_v1.txt", IDS[:2])
    tree.text("splits/val_v1.txt", IDS[2:3])
    tree.text("splits/trainval_v1.txt", IDS[:3])
    tree.text("splits/test_v1.txt", IDS[3:])
    tree.text("splits/trainvaltest_v1.txt", IDS)


def make_nudt(tree):
    tree.pairs(IDS)
    tree.text("50_50/train.txt", IDS[:3])
    tree.text("50_50/test.txt", IDS[3:])


def make_irstd_1k(tree):
    tree.pairs(IDS, "IRSTD1k_Img", "IRSTD1k_Label")
    tree.text("trainval.txt", IDS[:3])
    tree.text("test.txt", IDS[3:])


def make_agpcnet(tree):
    tree.pairs(IDS[:3], "trainval/images", "trainval/masks")
    tree.pairs(IDS[3:], "test/images", "test/masks")


def make_msda_net(tree):
    tree.pairs(IDS[:3], "train/image", "train/mask")
    tree.pairs(IDS[3:], "test/image", "test/mask")


def make_irsam(tree):
    tree.pairs(IDS[:3], "train_images", "train_masks")
    tree.pairs(IDS[3:], "test_images", "test_masks")


def make_pairs(tree):
    tree.pairs(IDS)


def make_images(tree):
    for number, name in enumerate(IDS):
        tree.image(f"images/{name}.png", seed=number)


MAKERS = {
    "sirst_v1": (make_sirst_v1, "v1"),
    "nudt": (make_nudt, "50_50"),
    "irstd_1k": (make_irstd_1k, "root"),
    "agpcnet": (make_agpcnet, "folders"),
    "msda_net": (make_msda_net, "folders"),
    "irsam": (make_irsam, "folders"),
    "pairs": (make_pairs, None),
    "images": (make_images, None),
}


def test_every_layout_has_a_maker():
    assert set(MAKERS) == {spec.name for spec in LAYOUTS}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("named", [False, True])
def test_layout_is_detected_or_named(tree, name, named):
    make, family = MAKERS[name]
    make(tree)
    corpus = open_corpus(tree.root, layout=name if named else None)
    assert (corpus.layout, corpus.split, corpus.split_list) == (name, None, family)
    assert [ref.id for ref in corpus.frames] == sorted(IDS)
    for ref in corpus.frames:
        frame = corpus.read(ref)
        assert frame.id == ref.id
        assert frame.hw == (12, 16)
        if name == "images":
            assert ref.mask is None and frame.mask is None
        else:
            assert frame.mask is not None and frame.mask.sum() == 4


@pytest.mark.parametrize("name", [name for name, (_, family) in MAKERS.items() if family])
def test_layout_splits(tree, name):
    MAKERS[name][0](tree)
    assert [ref.id for ref in open_corpus(tree.root, "trainval").frames] == list(IDS[:3])
    assert [ref.id for ref in open_corpus(tree.root, "test").frames] == list(IDS[3:])
    assert [ref.id for ref in open_corpus(tree.root, "trainval").test_frames()] == list(IDS[3:])


def test_sirst_tree_with_mixed_folder(tree):
    tree.pairs(IDS, "mixed", "annotations/masks", "_pixels0")
    assert [ref.image for ref in open_corpus(tree.root).frames] == [f"mixed/{name}.png" for name in IDS]


def test_declared_backgrounds_are_empty_not_unlabelled(tree):
    make_sirst_v1(tree)
    tree.image("images/backgrounds/S1_1.png", seed=99)
    corpus = open_corpus(tree.root)
    ref = next(ref for ref in corpus.frames if ref.id == "S1_1")
    frame, hashes = corpus.read_hashed(ref)
    assert ref.mask is None and hashes.mask_sha256 is None
    assert frame.mask is not None and not frame.mask.any()


def test_images_in_the_folder_itself(tree):
    tree.image("f1.png")
    tree.image("f2.BMP")
    tree.text("notes.md", "not an image")
    corpus = open_corpus(tree.root)
    assert [(ref.id, ref.image, ref.sequence) for ref in corpus.frames] == [("f1", "f1.png", ""), ("f2", "f2.BMP", "")]


@pytest.mark.parametrize("prefix", ["", "images/"])
def test_subfolders_are_sequences(tree, prefix):
    for sequence in ("seq1", "seq2"):
        for name in ("0001", "0002"):
            tree.image(f"{prefix}{sequence}/{name}.png")
    corpus = open_corpus(tree.root)
    assert [ref.id for ref in corpus.frames] == ["seq1_0001", "seq1_0002", "seq2_0001", "seq2_0002"]
    assert [ref.sequence for ref in corpus.frames] == ["seq1", "seq1", "seq2", "seq2"]
    assert corpus.frames[0].image == f"{prefix}seq1/0001.png"


def test_archive_junk_is_skipped(tree):
    make_pairs(tree)
    tree.text("images/._a1.png", "junk")
    tree.text("masks/.DS_Store", "junk")
    tree.text("__MACOSX/images/._a1.png", "junk")
    assert len(open_corpus(tree.root)) == len(IDS)


def test_masks_without_image_only_warn(tree, caplog):
    make_pairs(tree)
    tree.mask("masks/extra.png")
    with caplog.at_level(logging.WARNING, logger="synth.corpora"):
        assert len(open_corpus(tree.root)) == len(IDS)
    assert "1 masks" in caplog.text and "masks/extra.png" in caplog.text


def test_opening_decodes_nothing(tree):
    make_nudt(tree)
    tree.text("images/a1.png", "no image at all")
    corpus = open_corpus(tree.root, "trainval")
    with pytest.raises(SourceError, match=r"a1\.png"):
        corpus.read(corpus.frames[0])


def test_samples_at_native_size(tree):
    make_pairs(tree)
    samples = list(open_corpus(tree.root))
    assert len(samples) == len(IDS)
    for index, sample in enumerate(samples):
        assert sample.image.dtype == np.float32 and sample.image.min() >= 0.0 and sample.image.max() <= 1.0
        assert sample.mask is not None and sample.mask.dtype == np.bool_
        assert [(target.row_subpx, target.col_subpx, target.area_px) for target in sample.targets] == [(4.5, 5.5, 4)]
        assert (sample.provenance.parent_ids, sample.provenance.index) == ((IDS[index],), index)
        assert (sample.bit_depth, sample.valid_hw) == (8, (12, 16))


def test_unlabelled_samples_have_no_mask(tree):
    make_images(tree)
    assert all(sample.mask is None and sample.targets == () for sample in open_corpus(tree.root))


def test_corpus_travels_to_workers(tree):
    make_nudt(tree)
    corpus = open_corpus(tree.root, "trainval")
    twin = pickle.loads(pickle.dumps(corpus))
    assert twin.frames == corpus.frames
    assert np.array_equal(twin.read(twin.frames[0]).levels, corpus.read(corpus.frames[0]).levels)


def refused(tree, *needles, **options):
    with pytest.raises(SourceError) as caught:
        open_corpus(tree.root, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, "a message ends with what to do"
    for needle in needles:
        assert needle in message


def test_missing_folder_refused(tree):
    refused(tree, str(tree.root), "does not exist", "root folder")


def test_file_instead_of_folder_refused(tree):
    tree.root.mkdir()
    tree.root = tree.text("file.txt", "x")
    refused(tree, "is a file", "root folder")


def test_empty_folder_refused(tree):
    tree.root.mkdir()
    refused(tree, "no frames found", "known layouts")


def test_folder_without_images_refused(tree):
    tree.text("images/readme.md", "x")
    tree.text("masks/readme.md", "x")
    refused(tree, "no image in 'images'", ".png")


def test_unknown_layout_name_refused(tree):
    make_pairs(tree)
    refused(tree, "'nope'", "sirst_v1, nudt", layout="nope")


def test_named_layout_that_does_not_fit_refused(tree):
    make_pairs(tree)
    refused(tree, "no 'agpcnet' tree", "trainval/{images,masks}", layout="agpcnet")


def test_unknown_label_folder_is_never_read_as_frames(tree):
    tree.pairs(IDS, "pictures", "pictures_gt")
    refused(tree, "'pictures_gt' looks like labels", "images + masks")


def test_images_without_mask_refused_with_count_and_names(tree):
    make_pairs(tree)
    for name in IDS:
        (tree.root / "masks" / f"{name}.png").unlink()
    tree.mask("masks/a1.png")
    refused(tree, "3 of 4 images have none", "'a2', 'a3', 'b1'", "folder of their own")


def test_two_masks_of_one_image_refused(tree):
    make_pairs(tree)
    tree.mask("masks/a1_pixels0.png")
    refused(tree, "masks/a1.png and masks/a1_pixels0.png", "remove one")


def test_ids_equal_but_for_case_refused(tree):
    tree.image("images/Frame.png")
    tree.image("images/frame.png")
    if len(list((tree.root / "images").iterdir())) < 2:
        pytest.skip("this file system ignores letter case")
    refused(tree, "1 ids occur twice", "images/Frame.png = images/frame.png", "rename")


def test_same_id_with_two_extensions_refused(tree):
    tree.image("images/f.png")
    tree.image("images/f.bmp")
    refused(tree, "1 ids occur twice", "rename")


def test_same_id_in_two_folder_splits_refused(tree):
    make_agpcnet(tree)
    tree.pairs(["a1"], "test/images", "test/masks")
    refused(tree, "test/images/a1.png", "1 ids occur twice")


@pytest.mark.parametrize("name", ["two words", "kä", "a+b"])
def test_names_that_are_no_ids_refused(tree, name):
    tree.image(f"images/{name}.png")
    refused(tree, "1 have characters other than", "rename")


def test_link_out_of_the_root_refused(tree, tmp_path):
    make_images(tree)
    outside = tmp_path / "outside.png"
    (tree.root / "images/a1.png").rename(outside)
    (tree.root / "images/a1.png").symlink_to(outside)
    refused(tree, "a1.png", "link that leaves", "copy the file")


def test_link_inside_the_root_is_fine(tree):
    make_images(tree)
    (tree.root / "images/copy.png").symlink_to(tree.root / "images/a1.png")
    assert len(open_corpus(tree.root)) == len(IDS) + 1


def test_linked_image_folder_out_of_the_root_refused(tree, tmp_path):
    tree.image("../outside/a1.png")
    tree.root.mkdir(exist_ok=True)
    (tree.root / "images").symlink_to(tmp_path / "outside")
    refused(tree, "images", "link that leaves")


def test_file_swapped_for_a_link_after_opening_refused(tree, tmp_path):
    make_images(tree)
    corpus = open_corpus(tree.root)
    outside = tmp_path / "outside.png"
    (tree.root / "images/a1.png").rename(outside)
    (tree.root / "images/a1.png").symlink_to(outside)
    with pytest.raises(SourceError, match="leaves"):
        corpus.read(corpus.frames[0])


def test_images_too_deep_refused(tree):
    make_pairs(tree)
    tree.image("images/more/c.png")
    refused(tree, "more", "deeper than this layout reads", "move them up")


@pytest.mark.parametrize("max_level", [0, 65536])
def test_max_level_out_of_range_refused(tree, max_level):
    make_pairs(tree)
    refused(tree, f"got {max_level}", "1..65535", max_level=max_level)


def test_unknown_mask_scale_refused(tree):
    make_pairs(tree)
    refused(tree, "'maybe'", "strict, auto or index", mask_scale="maybe")
