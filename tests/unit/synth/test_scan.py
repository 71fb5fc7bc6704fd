"""The scan: sources, noise bank and the split guard on hand-made folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synth.errors import LeakageError, SourceError
from synth.noise.fluctuation import fluctuation_std
from synth.sample import TargetKind
from synth.scan import FOREIGN, scan_sources
from tests.support.builders import (
    CORPUS_SPLITS,
    frame_of,
    mini_frames,
    recipe_of,
    scan,
    scene,
    texture,
    write_corpus,
    write_mini_corpus,
    write_sequences,
)


@pytest.fixture
def root(tmp_path):
    return write_mini_corpus(tmp_path / "corpus")


def ids(table) -> list[str]:
    return [record.id for record in table.frames]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", ["small", "square", "wide"]),
        ("trainval", ["large", "small", "square", "wide"]),
    ],
)
def test_only_the_split_in_use_becomes_a_source(root, split, expected):
    table, bank = scan(recipe_of(root, split=split))
    assert ids(table) == expected
    assert table.leakage["num_test_frames"] == 1
    assert set(bank.frame.tolist()) <= set(range(len(expected))) and set(bank.source.tolist()) == {0}


def test_taking_every_frame_of_a_folder_with_a_test_list_is_refused(root):
    with pytest.raises(LeakageError, match=r"held_out\.png: .* must not become a source"):
        scan(recipe_of(root, split=None))


def test_records_hold_targets_sizes_and_hashes(root):
    table, _ = scan(recipe_of(root, split="trainval"))
    large = table.frames[0]
    assert (large.hw, large.image, large.mask, large.sequence) == ((130, 110), "images/large.png", "masks/large.png", "")
    assert large.centres == ((65.0, 4.0), (102.5, 93.0))
    assert large.boxes == ((64, 3, 67, 6), (100, 90, 106, 97))
    assert table.targets_per_frame().tolist() == [2, 1, 2, 2]
    assert {len(h) for r in table.frames for h in (r.image_sha256, r.mask_sha256, r.pixels_sha256)} == {64}
    assert len({r.pixels_sha256 for r in table.frames}) == 4 and table.target_kind is TargetKind.REAL


def test_resized_sources_have_their_targets_where_the_resized_mask_has_them(root):
    table, _ = scan(recipe_of(root, split="trainval", fit="resize"))
    square, small = (next(r for r in table.frames if r.id == name) for name in ("square", "small"))
    assert square.centres == ((11.0, 13.0), (40.5, 51.0))
    assert small.hw == (40, 36) and small.fitted_hw("resize", (64, 64)) == (64, 64)
    mask = Image.fromarray(mini_frames()[2].mask).resize((64, 64), Image.Resampling.NEAREST)
    rows, cols = np.nonzero(np.asarray(mask))
    assert small.centres == ((rows.mean(), cols.mean()),) and small.boxes[0][2:] == (rows.max() + 1, cols.max() + 1)


def test_the_bank_holds_the_windows_of_the_sources(root):
    table, bank = scan(recipe_of(root, split="trainval"))
    frames = {frame.id: frame for frame in mini_frames()}
    assert len(bank) > 50
    for patch, code, row, col in zip(bank.patch, bank.frame, bank.row, bank.col, strict=True):
        frame = frames[table.frames[code].id]
        cut = slice(row, row + 16), slice(col, col + 16)
        np.testing.assert_array_equal(patch, frame.levels[cut])
        assert not frame.mask[cut].any()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(root, threads):
    recipe = recipe_of(root, split="trainval", noise={"max_windows": 40})
    table, bank = scan(recipe)
    again, same = scan(recipe, threads=threads)
    assert again == table and same.digest() == bank.digest() and len(bank) == 40


def test_progress_ends_at_the_number_of_frames(root):
    seen = []
    scan_sources(recipe_of(root, split="trainval"), threads=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 4) for i in range(1, 5)]


@pytest.mark.parametrize("detrend", ["none", "plane", "local_mean"])
def test_own_noise_is_the_median_of_the_frames_quiet_windows(root, detrend):
    table, bank = scan(recipe_of(root, split="trainval", noise={"detrend": detrend}))
    for code, record in enumerate(table.frames):
        own = bank.patch[bank.frame == code]
        assert record.noise_std_dn == pytest.approx(np.median(fluctuation_std(own, detrend)), rel=1e-12)


def test_frames_without_quiet_windows_take_the_banks_noise(tmp_path):
    loud = frame_of(texture("loud", (64, 64)), scene("x", (64, 64), [(5, 5, 7, 7)]).mask, name="loud")
    table, bank = scan(recipe_of(write_corpus(tmp_path / "c", [loud, scene("quiet", (64, 64))])))
    assert table.frames[0].id == "loud" and not (bank.frame == 0).any()
    assert table.frames[0].noise_std_dn == table.frames[1].noise_std_dn > 1.0


def test_no_quiet_window_is_a_named_error(tmp_path):
    loud = frame_of(texture("loud", (64, 64)), scene("x", (64, 64), [(5, 5, 7, 7)]).mask, name="loud")
    root = write_corpus(tmp_path / "c", [loud])
    with pytest.raises(SourceError, match=r"no window of the frames passes noise\.var_max = 50 .* noise\.source"):
        scan(recipe_of(root))
    table, bank = scan(recipe_of(root, num_synthetic=0))
    assert len(bank) == 0 and table.frames[0].noise_std_dn == 0.0


def test_frames_smaller_than_a_window_give_sources_but_no_windows(tmp_path):
    tiny = scene("tiny", (12, 60), [(3, 3, 5, 5)])
    table, bank = scan(recipe_of(write_corpus(tmp_path / "c", [tiny, scene("wide", (64, 64))])))
    assert ids(table) == ["tiny", "wide"] and set(bank.frame.tolist()) == {1}


def test_squares_larger_than_a_frame_are_refused_before_rendering(tmp_path):
    tiny = scene("tiny", (20, 60), [(3, 3, 5, 5)])
    root = write_corpus(tmp_path / "c", [tiny, scene("wide", (64, 64), [(9, 9, 11, 11)])])
    passes = [{"side": 2}, {"side": 32}]
    with pytest.raises(SourceError, match=r"source frame tiny: is 20x60 px, smaller than the 32-px square of passes; take"):
        scan(recipe_of(root, passes=passes))
    for allowed in ({"passes": passes[:1]}, {"passes": passes, "fit": "resize"}, {"passes": passes, "num_synthetic": 0}):
        assert len(scan(recipe_of(root, **allowed))[0].frames) == 2


def test_a_renamed_copy_of_a_test_frame_is_refused(tmp_path):
    frames = mini_frames()
    copy = frame_of(frames[4].levels, frames[4].mask, name="innocent")
    lists = dict(CORPUS_SPLITS, train=(*CORPUS_SPLITS["train"], "innocent"))
    root = write_corpus(tmp_path / "c", [*frames, copy], lists)
    with pytest.raises(LeakageError, match=r"innocent\.png: has exactly the pixels of a frame of the test list"):
        scan(recipe_of(root, split="train"))


def test_a_re_encoded_copy_of_a_test_frame_is_refused(tmp_path):
    frames = mini_frames()
    lists = dict(CORPUS_SPLITS, train=(*CORPUS_SPLITS["train"], "innocent"))
    root = write_corpus(tmp_path / "c", [*frames, frame_of(frames[4].levels, frames[4].mask, name="innocent")], lists)
    (root / "images" / "innocent.png").unlink()
    Image.fromarray(frames[4].levels).save(root / "images" / "innocent.bmp")
    with pytest.raises(LeakageError, match=r"innocent\.bmp"):
        scan(recipe_of(root, split="train"))


def test_near_duplicates_of_test_frames_stay_in_a_published_list_and_are_named(tmp_path):
    frames = list(mini_frames())
    near = frame_of(np.clip(frames[4].levels.astype(int) + 3, 0, 255), frames[4].mask, name="near")
    lists = dict(CORPUS_SPLITS, train=(*CORPUS_SPLITS["train"], "near"))
    table, _ = scan(recipe_of(write_corpus(tmp_path / "c", [*frames, near], lists), split="train"))
    assert "near" in ids(table)
    assert [(a, b) for a, b, _ in table.leakage["near_duplicates_of_test"]] == [("near", "held_out")]
    assert table.leakage["near_duplicates_of_test"][0][2] >= 0.99
    assert any("1 of 1 test frames have a near-duplicate" in note for note in table.notes)


def test_folders_without_lists_are_said_to_be_unguarded(tmp_path):
    root = write_corpus(tmp_path / "c", mini_frames())
    table, _ = scan(recipe_of(root))
    assert any("nothing protects test frames" in note for note in table.notes)
    assert table.leakage["num_test_frames"] == 0 and table.leakage["near_duplicates_of_test"] == []
    with pytest.raises(SourceError, match="split 'train'"):
        scan(recipe_of(root, split="train"))


def noise_folder(tmp_path, **extra):
    frames = {"n1": scene("n1", (48, 48)), "n2": scene("n2", (32, 64), level=50)} | extra
    return write_sequences(tmp_path / "noise", {name: [frame] for name, frame in frames.items()})


def test_noise_may_come_from_another_folder(root, tmp_path):
    noise = noise_folder(tmp_path)
    table, bank = scan(recipe_of(root, split="train", noise={"source": str(noise)}))
    assert set(bank.source.tolist()) == {FOREIGN} and np.bincount(bank.frame).tolist() == [9, 8]
    assert table.leakage["noise_frames"] == ["images/n1/n1.png", "images/n2/n2.png"]
    assert table.leakage["noise_frames_excluded"] == []
    same, _ = scan(recipe_of(root, split="train"))
    assert table.frames == same.frames  # calibration is by the sources' own windows all the same


def test_near_duplicates_among_foreign_noise_are_left_out_and_counted(root, tmp_path):
    levels = mini_frames()[4].levels
    noise = noise_folder(
        tmp_path, near=frame_of(np.clip(levels.astype(int) + 2, 0, 255), name="x"), far=frame_of(levels[:, ::-1], name="y")
    )
    table, bank = scan(recipe_of(root, split="train", noise={"source": str(noise)}))
    codes = {name: code for code, name in enumerate(table.leakage["noise_frames"])}
    assert table.leakage["noise_frames_excluded"] == ["near_x"]
    assert "1 noise frames left out as near-duplicates of test frames" in table.notes
    assert set(bank.frame.tolist()) == set(codes.values()) - {codes["images/near/x.png"]}


def test_test_frames_themselves_are_refused_as_foreign_noise(root, tmp_path):
    noise = noise_folder(tmp_path, stolen=frame_of(mini_frames()[4].levels, name="z"))
    with pytest.raises(LeakageError, match=r"stolen/z\.png: has exactly the pixels of a frame of the test list"):
        scan(recipe_of(root, split="train", noise={"source": str(noise)}))


def test_a_foreign_folder_with_lists_is_read_at_the_split_in_use(root, tmp_path):
    other = [scene(name, (48, 48), level=40 + 20 * i) for i, name in enumerate(("o1", "o2", "o3"))]
    noise = write_corpus(tmp_path / "noise", other, {"train": ["o1"], "val": ["o2"], "test": ["o3"]})
    for split, expected in (("train", ["o1"]), ("trainval", ["o1", "o2"])):
        table, _ = scan(recipe_of(root, split=split, noise={"source": str(noise)}))
        assert table.leakage["noise_frames"] == [f"images/{name}.png" for name in expected]


def test_near_duplicates_of_the_noise_folders_own_test_frames_are_left_out(tmp_path):
    """Whatever the source: here one without any test list."""
    other = [scene(name, (48, 48), level=40 + 20 * i) for i, name in enumerate(("o1", "o2", "o3"))]
    near = frame_of(np.clip(other[2].levels.astype(int) + 2, 0, 255), other[2].mask, name="near")
    lists = {"train": ["o1", "near"], "val": ["o2"], "test": ["o3"]}
    noise = write_corpus(tmp_path / "noise", [*other, near], lists)
    table, bank = scan(recipe_of(source={"kind": "scenes", "num_frames": 1}, split="trainval", noise={"source": str(noise)}))
    assert table.leakage["noise_frames_excluded"] == ["near"] and len(table.leakage["noise_kept_from"]) == 1
    codes = {name: code for code, name in enumerate(table.leakage["noise_frames"])}
    assert set(bank.frame.tolist()) == {codes["images/o1.png"], codes["images/o2.png"]}


def torn_lists(folder):
    """Give a folder of o1, o2, o3 two families of lists, none of them official."""
    for family, test in (("one", "o1"), ("two", "o3")):
        (folder / family).mkdir()
        for name, listed in (("train", "o2"), ("val", ""), ("test", test)):
            if listed:
                (folder / family / f"{name}.txt").write_text(f"{listed}\n")
    return folder


def test_folders_whose_lists_are_all_unofficial_give_nothing_unasked(root, tmp_path):
    other = [scene(name, (48, 48), [(9, 9, 11, 11)], level=40 + 20 * i) for i, name in enumerate(("o1", "o2", "o3"))]
    folder = torn_lists(write_corpus(tmp_path / "noise", other))
    for split in ("trainval", None):
        with pytest.raises(
            LeakageError, match=r"noise\.source .*: has lists one, two .*name one of its lists as noise\.split_list"
        ):
            scan(recipe_of(source={"kind": "scenes", "num_frames": 1}, split=split, noise={"source": str(folder)}))
    with pytest.raises(LeakageError, match=r"source\.path .*: has lists one, two .*name one of its lists as source\.split_list"):
        scan(recipe_of(folder))
    noise = {"source": str(folder), "split_list": "two"}
    table, _ = scan(recipe_of(root, split="trainval", noise=noise))
    assert table.leakage["noise_frames"] == ["images/o2.png"]
    with pytest.raises(SourceError, match=r"noise\.source .*: has lists; split must be train or trainval, got null"):
        scan(recipe_of(source={"kind": "scenes", "num_frames": 1}, split=None, noise=noise))


@pytest.mark.parametrize(("source", "noise", "top"), [
    ({"max_level": 16383}, {}, 16383),
    ({"max_level": 16383}, {"max_level": 4095}, 4095),
    ({}, {"max_level": 16383}, 16383),
    ({}, {}, 65535),
])  # fmt: skip
def test_noise_frames_have_the_levels_of_the_source_unless_told(tmp_path, source, noise, top):
    """On 65535 instead of 16383 levels the noise would be a quarter as strong."""
    frames = [scene(name, (64, 64), [(9, 9, 11, 11)], level=1500, grain=1200, peak=4000, max_level=16383) for name in ("a", "b")]
    corpus = write_corpus(tmp_path / "c", frames[:1])
    folder = write_sequences(tmp_path / "noise", {"n": frames[1:]})
    settings = {"source": str(folder), "exclude_targets": False, "var_max": 1e4} | noise
    _, bank = scan(recipe_of(corpus, source=source, noise=settings))
    expected = np.round(frames[1].levels[:16, :16] * 255.0 / top)
    assert np.abs(bank.patch[0] - expected).max() <= 1 and len(bank) == 16


@pytest.mark.parametrize("num_synthetic", [0, "all"])
def test_plates_with_the_pixels_of_a_test_frame_are_refused(tmp_path, num_synthetic):
    """Whether the scenes are the samples or stand for real frames."""
    frames = [scene(name, (80, 80)) for name in ("p0", "p1", "held_out")]
    copy = frame_of(frames[2].levels, frames[2].mask, name="innocent")
    lists = {"train": ("p0", "p1", "innocent"), "val": ("p1",), "test": ("held_out",)}
    plates = {"path": str(write_corpus(tmp_path / "plates", [*frames, copy], lists)), "share": 0.5}
    source = {"kind": "scenes", "num_frames": 1, "frame_hw": (64, 64), "plates": plates}
    with pytest.raises(LeakageError, match=r"innocent\.png: has exactly the pixels of a frame of the test list in use"):
        scan(recipe_of(source=source, num_synthetic=num_synthetic, noise={"var_max": 1e9}))
    (tmp_path / "plates/train.txt").write_text("p0\np1\n")
    table, _ = scan(recipe_of(source=source, num_synthetic=num_synthetic, noise={"var_max": 1e9}))
    assert [row["id"] for row in table.plates] == ["p0"]


@pytest.mark.parametrize("num_synthetic", [0, "all"])
def test_near_duplicates_of_test_frames_among_plates_are_kept_and_named(tmp_path, num_synthetic):
    frames = [scene(name, (80, 80)) for name in ("p0", "held_out")]
    near = frame_of(np.clip(frames[1].levels.astype(int) + 2, 0, 255), frames[1].mask, name="near")
    lists = {"train": ("p0", "near"), "val": ("p0",), "test": ("held_out",)}
    plates = {"path": str(write_corpus(tmp_path / "plates", [*frames, near], lists)), "share": 0.5, "split": "trainval"}
    source = {"kind": "scenes", "num_frames": 1, "frame_hw": (64, 64), "plates": plates}
    table, _ = scan(recipe_of(source=source, num_synthetic=num_synthetic, noise={"var_max": 1e9}))
    assert [row["id"] for row in table.plates] == ["near", "p0"] and table.leakage.keys() == {"plates"}
    assert [(a, b) for a, b, _ in table.leakage["plates"]["near_duplicates_of_test"]] == [("near", "held_out")]
    assert table.notes == ("1 of 1 test frames have a near-duplicate among the plates (kept, listed)",)


def test_sequences_are_judged_over_time(root, tmp_path):
    """Two still frames pass together; a sequence whose level drifts by 20 DN gives nothing, nor does one with a loud frame."""
    still = [scene("s1", (32, 32)), scene("s2", (32, 32))]
    drifting = [scene("d1", (32, 32), level=80), scene("d2", (32, 32), level=100)]
    mixed = [scene("m1", (32, 32)), frame_of(texture("loud", (32, 32)), name="m2")]
    noise = write_sequences(tmp_path / "noise", {"drifting": drifting, "mixed": mixed, "still": still})
    table, bank = scan(recipe_of(root, split="train", noise={"source": str(noise)}))
    names = [table.leakage["noise_frames"][code] for code in sorted(set(bank.frame.tolist()))]
    assert names == ["images/still/s1.png", "images/still/s2.png"] and len(bank) == 8
    for patch, code, row, col in zip(bank.patch, bank.frame, bank.row, bank.col, strict=True):
        np.testing.assert_array_equal(patch, still[code - 4].levels[row : row + 16, col : col + 16])


def test_a_sequence_of_different_sizes_is_refused(root, tmp_path):
    noise = write_sequences(tmp_path / "noise", {"a": [scene("a1", (32, 32)), scene("a2", (32, 48))]})
    with pytest.raises(SourceError, match=r"sequence 'a' have 2 different sizes"):
        scan(recipe_of(root, split="train", noise={"source": str(noise)}))


def test_a_missing_mask_is_refused(root):
    (root / "masks" / "wide.png").unlink()
    with pytest.raises(SourceError, match=r"1 of \d images have none .*wide"):
        scan(recipe_of(root, split="train"))


def test_folders_of_images_only_are_no_source(tmp_path):
    noise = noise_folder(tmp_path)
    with pytest.raises(SourceError, match=r"source frame n1_n1: has no mask, and originals need one"):
        scan(recipe_of(noise))


def test_masks_without_targets_are_sources_without_targets(tmp_path):
    root = write_corpus(tmp_path / "c", [scene("empty", (64, 64)), scene("full", (64, 64), [(9, 9, 11, 11)])])
    table, bank = scan(recipe_of(root))
    assert table.targets_per_frame().tolist() == [0, 1] and len(bank) == 16 + 15


def test_a_recipe_without_folder_says_what_to_pass():
    with pytest.raises(SourceError, match=r"source\.path: not given; pass --source DIR"):
        scan(recipe_of())


def test_the_built_in_source_needs_no_folder():
    recipe = recipe_of(source={"kind": "scenes", "num_frames": 6, "frame_hw": (64, 96), "targets": {"empty_share": 0}}, seed=3)
    table, bank = scan(recipe)
    assert ids(table) == [f"scene-{i:06d}" for i in range(6)] and table.target_kind is TargetKind.SCENE
    assert {record.hw for record in table.frames} == {(64, 96)} and table.targets_per_frame().min() >= 1
    assert len(bank) > 0 and table.leakage == {} and {record.image for record in table.frames} == {""}
    again, same = scan(recipe, threads=3)
    assert again == table and same.digest() == bank.digest()


@pytest.mark.parametrize("keys", [{"noise": {"source": "nowhere"}}, {"source": {"path": "nowhere"}}])
def test_missing_folders_are_named(root, tmp_path, keys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"folder nowhere: does not exist"):
        scan(recipe_of(root, split="train", **keys))
