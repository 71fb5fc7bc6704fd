"""List files, families of lists, and the one split rule."""

from __future__ import annotations

import hashlib

import pytest

from synth.corpora import lists as lists_module
from synth.corpora import open_corpus
from synth.corpora.families import find_lists
from synth.corpora.lists import CommittedVal, committed_val, hash_ids, read_list
from synth.errors import SourceError, VerificationError

IDS = tuple(f"{number:06d}" for number in range(1, 9))


def refused(tree, *needles, **options):
    with pytest.raises(SourceError) as caught:
        open_corpus(tree.root, **options)
    message = str(caught.value)
    assert "\n" not in message and ";" in message
    for needle in needles:
        assert needle in message


def ids(tree, split, **options):
    return [ref.id for ref in open_corpus(tree.root, split, **options).frames]


@pytest.fixture
def nudt(tree):
    tree.pairs(IDS)
    tree.text("50_50/train.txt", IDS[:5])
    tree.text("50_50/test.txt", IDS[5:])
    return tree


# ---- list files


@pytest.mark.parametrize(
    "content",
    [
        "a1\na2",
        "a1\na2\n",
        "a1\r\na2\r\n",
        "a1.png\na2.png",
        "a1.PNG  \n\n\t a2.bmp\t\n \n",
        "\ufeffa1\na2\n",
    ],
)
def test_list_spellings(tree, content):
    assert read_list(tree.text("l.txt", content), root=tree.root.resolve()) == ("a1", "a2")


@pytest.mark.parametrize("bad", ["../a1", "images/a1.png", "a\\b", "..", ".hidden", "a1 a2", "ä", "a\0b", "a;b"])
def test_list_lines_that_are_no_ids_refused(nudt, bad):
    nudt.text("50_50/train.txt", [*IDS[:2], bad])
    refused(nudt, "50_50/train.txt", "1 lines are no frame ids", "one id a line", split="trainval")


def test_repeated_ids_refused(nudt):
    nudt.text("50_50/train.txt", [*IDS[:3], f"{IDS[0]}.png"])
    refused(nudt, "train.txt", "1 ids occur twice", f"'{IDS[0]}'", split="trainval")


def test_empty_list_refused(nudt):
    nudt.text("50_50/test.txt", "\n \n")
    refused(nudt, "test.txt", "holds no id", split="test")


def test_list_that_is_no_text_refused(nudt):
    nudt.path("50_50/train.txt").write_bytes(b"\xff\xfe\x00a")
    refused(nudt, "train.txt", "cannot be read as text", "UTF-8", split="trainval")


@pytest.mark.parametrize(("name", "why"), [("none.txt", "No such file or directory"), ("images", "Is a directory")])
def test_list_that_is_no_file_refused(nudt, name, why):
    with pytest.raises(SourceError, match=rf"{name}: cannot be read \({why}\); give a text file of ids"):
        read_list(nudt.root / name, root=nudt.root.resolve())


def test_listed_ids_without_image_refused_with_count_and_names(nudt):
    for name in IDS[:4]:
        (nudt.root / f"images/{name}.png").unlink()
    refused(nudt, "4 of 5 listed ids have no image", "'000001', '000002', '000003' and 1 more", split="trainval")
    assert ids(nudt, "test") == list(IDS[5:])


def test_list_linked_from_outside_refused(nudt, tmp_path):
    outside = tmp_path / "train.txt"
    (nudt.root / "50_50/train.txt").rename(outside)
    (nudt.root / "50_50/train.txt").symlink_to(outside)
    refused(nudt, "train.txt", "link that leaves", split="trainval")


# ---- families


def test_no_split_ignores_lists(nudt):
    nudt.text("50_50/train.txt", "../broken")
    assert ids(nudt, None) == list(IDS)


def test_families_are_found_and_named(tree):
    for path in (
        "train.txt",
        "50_50/train.txt",
        "img_idx/train_NAME.txt",
        "img_idx/test_NAME.txt",
        "splits/train_v1.txt",
        "splits/trainvaltest_v1.txt",
        "splits/nuaa_213_214/test.txt",
        "only_val/val.txt",
        "docs/readme.txt",
    ):
        tree.text(path, IDS)
    found = {family.name: sorted(family.files) for family in find_lists(tree.root.resolve())}
    assert found == {
        "root": ["train"],
        "50_50": ["train"],
        "NAME": ["test", "train"],
        "v1": ["train"],
        "nuaa_213_214": ["test"],
    }


def test_families_of_one_name_stay_apart(tree):
    tree.text("one/train_v1.txt", IDS[:2])
    tree.text("two/test_v1.txt", IDS[:2])
    assert [family.name for family in find_lists(tree.root.resolve())] == ["v1", "two_v1"]


def test_official_family_is_preferred_and_others_are_named(nudt):
    nudt.text("other/trainval.txt", IDS[2:])
    nudt.text("other/test.txt", IDS[:2])
    assert open_corpus(nudt.root, "test").split_list == "50_50"
    assert ids(nudt, "test", split_list="other") == list(IDS[:2])
    refused(nudt, "'nope'", "choose one of: 50_50, other", split_list="nope")


def test_several_families_and_none_official_refused(tree):
    tree.pairs(IDS)
    tree.text("one/test.txt", IDS[:2])
    tree.text("two/test.txt", IDS[2:])
    refused(tree, "found one, two", "set split_list", split="test")
    assert len(open_corpus(tree.root)) == len(IDS)


def test_split_without_lists_refused(tree):
    tree.pairs(IDS)
    refused(tree, "found no lists; put train.txt, val.txt and test.txt (one id a line) there", split="test")
    assert open_corpus(tree.root).test_frames() == ()


def test_split_that_has_no_list_refused(tree):
    tree.pairs(IDS)
    tree.text("50_50/train.txt", IDS)
    refused(tree, "split test of '50_50'", "only train", split="test")
    assert open_corpus(tree.root, "trainval").test_frames() == ()


def test_unknown_split_refused(nudt):
    with pytest.raises(SourceError, match="train, val, trainval, test, got 'training'"):
        open_corpus(nudt.root, "training")


@pytest.mark.parametrize(
    ("lists", "needle"),
    [
        ({"train": IDS[:5], "test": IDS[4:]}, "train and test share 1 ids ('000005')"),
        ({"trainval": IDS[:5], "test": IDS[3:]}, "trainval and test share 2 ids"),
        ({"train": IDS[:3], "val": IDS[3:6], "test": IDS[5:]}, "val and test share 1 ids"),
        ({"train": IDS[:4], "val": IDS[3:5], "test": IDS[5:]}, "train and val share 1 ids"),
        (
            {"train": IDS[:3], "val": IDS[3:4], "trainval": IDS[:5], "test": IDS[5:]},
            "trainval is more than train and val",
        ),
        ({"train": IDS[:3], "val": IDS[3:5], "trainval": IDS[:4], "test": IDS[5:]}, "train and val are not parts"),
    ],
)
def test_contradicting_lists_refused(tree, lists, needle):
    tree.pairs(IDS)
    for part, names in lists.items():
        tree.text(f"50_50/{part}.txt", names)
    refused(tree, needle, "correct the lists", split="test")


# ---- the split rule


def test_without_validation_list_train_and_val_are_refused(nudt):
    assert ids(nudt, "trainval") == list(IDS[:5])
    for split in ("train", "val"):
        refused(nudt, "there is no validation list", "--make-val N", "50_50/val.txt", "trainval", split=split)


def test_validation_list_beside_the_lists(nudt):
    nudt.text("50_50/val.txt", IDS[1:3])
    assert ids(nudt, "val") == list(IDS[1:3])
    assert ids(nudt, "train") == [IDS[0], *IDS[3:5]]
    assert ids(nudt, "trainval") == list(IDS[:5])


def test_message_names_the_file_that_is_then_found(tree):
    tree.pairs(IDS)
    tree.text("img_idx/train_SET.txt", IDS[:5])
    tree.text("img_idx/test_SET.txt", IDS[5:])
    refused(tree, "img_idx/val_SET.txt", split="val")
    tree.text("img_idx/val_SET.txt", IDS[:2])
    assert ids(tree, "val") == list(IDS[:2])


def test_validation_list_beside_folder_splits(tree):
    tree.pairs(IDS[:5], "trainval/images", "trainval/masks")
    tree.pairs(IDS[5:], "test/images", "test/masks")
    refused(tree, "val.txt", split="val")
    tree.text("val.txt", IDS[:2])
    assert ids(tree, "val") == list(IDS[:2])
    assert ids(tree, "train") == list(IDS[2:5])


def test_validation_implied_by_train_and_trainval(tree):
    tree.pairs(IDS)
    tree.text("50_50/train.txt", IDS[:3])
    tree.text("50_50/trainval.txt", IDS[:5])
    assert ids(tree, "val") == list(IDS[3:5])


def test_published_three_way_lists(tree):
    tree.pairs(IDS)
    tree.text("50_50/train.txt", IDS[:3])
    tree.text("50_50/val.txt", IDS[3:5])
    tree.text("50_50/test.txt", IDS[5:])
    assert (ids(tree, "train"), ids(tree, "val")) == (list(IDS[:3]), list(IDS[3:5]))
    assert ids(tree, "trainval") == list(IDS[:5])


@pytest.fixture
def committed(monkeypatch, tmp_path):
    """A committed validation list for IDS[:5], in a stand-in for the package's folder."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/demo.txt").write_text(f"{IDS[0]}\n{IDS[3]}\n")
    sha256 = hashlib.sha256((tmp_path / "lists/demo.txt").read_bytes()).hexdigest()
    monkeypatch.setattr(lists_module, "COMMITTED_VALS", {hash_ids(IDS[:5]): CommittedVal("demo.txt", sha256)})
    monkeypatch.setattr(lists_module.resources, "files", lambda package: tmp_path)
    return tmp_path / "lists/demo.txt"


def test_committed_list_is_bound_to_the_content_of_the_train_list(tree, committed):
    tree.pairs(IDS)
    tree.text("img_idx/train_RENAMED.txt", [f"{name}.png" for name in reversed(IDS[:5])])
    tree.text("img_idx/test_RENAMED.txt", IDS[5:])
    assert ids(tree, "val") == [IDS[0], IDS[3]]
    assert ids(tree, "train") == [IDS[1], IDS[2], IDS[4]]
    tree.text("img_idx/train_RENAMED.txt", IDS[:4])
    refused(tree, "there is no validation list", split="val")


def test_val_list_that_contradicts_the_committed_one_refused(nudt, committed):
    nudt.text("50_50/val.txt", [IDS[3], IDS[0]])
    assert ids(nudt, "val") == [IDS[0], IDS[3]]
    nudt.text("50_50/val.txt", IDS[:2])
    refused(nudt, "differs from the validation list fixed", "remove val.txt", split="val")
    assert ids(nudt, "trainval") == list(IDS[:5])


def test_changed_committed_list_refused(committed):
    committed.write_text(f"{IDS[1]}\n")
    with pytest.raises(VerificationError, match=r"demo\.txt: is not the released one; install"):
        committed_val(IDS[:5])


def test_every_shipped_list_is_the_released_one():
    for entry in lists_module.COMMITTED_VALS.values():
        data = lists_module.resources.files("synth.corpora").joinpath("lists", entry.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry.sha256
        names = data.decode("ascii").split()
        assert names == sorted(set(names))


# ---- what other parts of the pipeline guard with


def test_test_frames_whatever_the_split(nudt):
    for split in (None, "trainval", "test"):
        assert [ref.id for ref in open_corpus(nudt.root, split).test_frames()] == list(IDS[5:])


def test_foreign_test_ids_are_test_only_elsewhere(nudt):
    nudt.text("other/trainval.txt", [*IDS[:2], *IDS[6:]])
    nudt.text("other/test.txt", IDS[2:6])
    assert open_corpus(nudt.root, "trainval").foreign_test_ids() == {*IDS[2:5]}
    assert open_corpus(nudt.root).foreign_test_ids() == {*IDS[2:5]}
    assert open_corpus(nudt.root, "test").foreign_test_ids() == frozenset()
    assert open_corpus(nudt.root, "trainval", split_list="other").foreign_test_ids() == {*IDS[6:]}


def test_parts_cover_every_frame_once(nudt):
    nudt.pairs([*IDS, "extra"])
    parts = {part: [ref.id for ref in refs] for part, refs in open_corpus(nudt.root).parts().items()}
    assert parts == {"trainval": list(IDS[:5]), "test": list(IDS[5:]), "unlisted": ["extra"]}
    nudt.text("50_50/val.txt", IDS[:2])
    assert sorted(open_corpus(nudt.root, "test").parts()) == ["test", "train", "unlisted", "val"]


def test_parts_without_lists(tree):
    tree.pairs(IDS)
    assert list(open_corpus(tree.root).parts()) == ["all"]
