"""The released bugs: each reproducible on its own, nothing in a coordinate file evaluated."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from synth.errors import SourceError
from synth.legacy import MAX_CENTRES_BYTES, LegacyConfig, boxes_around, keep_last_window, read_centres
from synth.noise import NoiseConfig, accept_windows
from tests.support.builders import frame_of, recipe_of, scan, scene, texture, write_corpus


def centres(tmp_path, text, num_frames, *, drop=False):
    path = tmp_path / "coordinates.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_centres(path, num_frames, drop_duplicate_lines=drop)


def test_all_bugs_are_off():
    assert not any(dict(LegacyConfig()).values())
    with pytest.raises(ValidationError, match="mosaic"):
        LegacyConfig(mosaic=True)


def test_overwriting_leaves_the_last_window_of_a_frame():
    windows = accept_windows([frame_of(texture("sky", (64, 96), low=90, high=100))], NoiseConfig())[0]
    last = keep_last_window(windows)
    assert len(windows) == 6 and len(last) == 1
    assert (last.row[0], last.col[0]) == (32, 64)
    np.testing.assert_array_equal(last.patch[0], windows.patch[-1])
    assert (last.mean[0], last.variance[0]) == (windows.mean[-1], windows.variance[-1])


def test_overwriting_nothing_leaves_nothing():
    windows = accept_windows([frame_of(texture("loud", (64, 64)))], NoiseConfig())[0]
    assert len(windows) == len(keep_last_window(windows)) == 0


def test_centres_are_pairs_of_column_and_row(tmp_path):
    text = "[(10, 20), (30.5, 40)]\n[[7,8]]\n( 1 , 2 )\n\n"
    assert centres(tmp_path, text, 4) == [[(20.0, 10.0), (40.0, 30.5)], [(8.0, 7.0)], [(2.0, 1.0)], []]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_final_newline_and_line_endings_do_not_count(tmp_path, ending):
    assert centres(tmp_path, f"(1, 2){ending}(3, 4)", 2) == centres(tmp_path, f"(1, 2){ending}(3, 4){ending}", 2)


def test_a_line_that_stood_before_gives_nothing_on_request(tmp_path):
    """The released driver pairs a frame with the first equal line, so the second frame of the pair gets no output."""
    text = "(1, 2)\n(3, 4)\n(1, 2)\n(1, 2)\n(3, 4), (5, 6)\n"
    every = [[(2.0, 1.0)], [(4.0, 3.0)], [(2.0, 1.0)], [(2.0, 1.0)], [(4.0, 3.0), (6.0, 5.0)]]
    assert centres(tmp_path, text, 5) == every
    assert centres(tmp_path, text, 5, drop=True) == [every[0], every[1], [], [], every[4]]


def test_nothing_in_a_coordinate_file_is_evaluated(tmp_path):
    flag = tmp_path / "executed"
    text = f"[(1, 2), __import__('pathlib').Path({str(flag)!r}).touch()]\n"
    with pytest.raises(SourceError, match=r"line 1: must hold pairs \(column, row\), got"):
        centres(tmp_path, text, 1)
    assert not flag.exists()


@pytest.mark.parametrize("text", ["1, 2", "(1; 2)", "(-1, 2)", "(a, b)", "(1, 2, 3)", "(1e9, 2)", "(nan, 1)"])
def test_what_is_no_pair_is_refused(tmp_path, text):
    with pytest.raises(SourceError, match=r"line 1: must hold pairs \(column, row\), got"):
        centres(tmp_path, text, 1)


@pytest.mark.parametrize(("text", "num"), [("(1, 2)\n", 2), ("(1, 2)\n(3, 4)\n", 1), ("", 1)])
def test_another_number_of_lines_is_refused(tmp_path, text, num):
    with pytest.raises(
        SourceError, match=rf"legacy\.centres_file .*one line for each of the {num} frames, got {text.count('(')}$"
    ):
        centres(tmp_path, text, num)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"legacy\.centres_file .*cannot be read"):
        centres(tmp_path, b"\xff\xfe\x00", 1)
    with pytest.raises(SourceError, match=r"legacy\.centres_file .*missing.txt: cannot be read"):
        read_centres(tmp_path / "missing.txt", 1, drop_duplicate_lines=False)
    with pytest.raises(SourceError, match=r"legacy\.centres_file .*cannot be read"):
        read_centres(tmp_path, 1, drop_duplicate_lines=False)


def test_huge_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"legacy\.centres_file"):
        centres(tmp_path, b" " * (MAX_CENTRES_BYTES + 1), 1)


def test_boxes_are_one_pixel_clipped_into_the_frame():
    assert boxes_around([(3.7, 4.2), (99.0, 2.0), (0.0, 50.0)], (20, 30)) == [(3, 4, 4, 5), (19, 2, 20, 3), (0, 29, 1, 30)]


def frames():
    return [scene(name, (64, 64), [(20, 24, 23, 27)]) for name in ("a", "b", "c")]


def test_a_centres_file_replaces_the_masks_targets(tmp_path):
    root = write_corpus(tmp_path / "corpus", frames())
    file = tmp_path / "coordinates.txt"
    file.write_text("[(30, 40)]\n[(30, 40)]\n[(1, 2), (60, 61)]\n", encoding="utf-8")
    table, _ = scan(recipe_of(root, legacy={"centres_file": str(file)}))
    assert [f.centres for f in table.frames] == [((40.0, 30.0),), ((40.0, 30.0),), ((2.0, 1.0), (61.0, 60.0))]
    assert [f.boxes for f in table.frames][:2] == [((40, 30, 41, 31),)] * 2
    table, _ = scan(recipe_of(root, legacy={"centres_file": str(file), "duplicate_lines": True}))
    assert table.targets_per_frame().tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("legacy", "num"),
    [
        ({}, 15),
        ({"grid": True}, 9),
        ({"include_targets": True}, 16),
        ({"overwrite": True}, 1),
        ({"grid": True, "overwrite": True}, 1),
    ],
)
def test_bugs_of_the_window_loop_reach_the_bank(tmp_path, legacy, num):
    """4x4 windows of 16 px, one of them with the target; a faint one, so that its window is quiet all the same."""
    frame = scene("a", (64, 64), [(50, 50, 52, 52)], level=100, grain=6, peak=80)
    frame = frame_of(np.clip(frame.levels.astype(int), 0, 112), frame.mask, name="a")
    root = write_corpus(tmp_path / "corpus", [frame])
    _, bank = scan(recipe_of(root, legacy=legacy))
    assert len(bank) == num
