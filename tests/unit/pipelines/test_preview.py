"""The contact sheet: which samples it shows, what is written under them, and that it is a readable picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.preview import choose_samples, legend_of, tile_of
from pipelines.sheet import MASK_INK, Tile
from synth.store.reader import open_store
from tests.support.cli import call


def test_sheet(small_store, tmp_path):
    out = tmp_path / "sheet.png"
    ended = call("preview", small_store, "--out", out)
    assert (ended.rc, ended.stdout, ended.stderr) == (0, f"{out}: 24 of 60 frames\n", "")
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        assert picture.width >= 1500 and picture.height >= 1500, "24 tiles of a frame and a cut-out, 4 in a row"
        pixels = np.asarray(picture)
    assert 5_000 < out.stat().st_size < 5_000_000
    assert (pixels == MASK_INK).all(axis=-1).sum() > 24 * 4, "outlines around the targets"
    assert pixels.std() > 20, "frames, not an empty page"


def test_same_choice_same_picture(small_store, tmp_path):
    for name in ("a", "b", "c"):
        assert call("preview", small_store, "--out", tmp_path / f"{name}.png", "--seed", int(name == "c")).rc == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_number_of_tiles_decides_the_height(small_store, tmp_path):
    heights = []
    for num in (1, 4, 5):
        assert call("preview", small_store, "--out", tmp_path / "x.png", "--num", num).rc == 0
        with Image.open(tmp_path / "x.png") as picture:
            heights.append(picture.height)
    assert heights[0] == heights[1] < heights[2]


def test_half_are_originals_where_there_are_enough(small_store):
    store = open_store(small_store)
    kinds = store.column("sample/kind")
    for num, originals in ((2, 1), (6, 3), (24, 4), (60, 4), (100, 4)):
        chosen = choose_samples(store, num, 0)
        assert len(chosen) == len(set(chosen)) == min(num, 60) and chosen == sorted(chosen)
        assert int((kinds[chosen] == 0).sum()) == originals


def test_captions(small_store):
    store = open_store(small_store)
    original, copy = tile_of(store, 0), tile_of(store, 59)
    assert original.lines[0] == "#0  large" and original.lines[1] == "original" and original.box is None
    assert original.lines[2].startswith("SCR ")
    side, turned = store.column("sample/box_side")[59], 90 * int(store.column("sample/rotation")[59])
    assert copy.lines[1] == f"alpha 0.3, {side} px turned {turned} deg"
    row, col = store.column("sample/box_rc")[59]
    assert copy.box == (row, col, row + side, col + side) and copy.centre == (row + side / 2, col + side / 2)
    assert np.array_equal(copy.image, store.images([59])[0]) and np.array_equal(copy.mask, store.masks([59])[0])


def test_the_legend_names_the_colours_on_the_sheet(small_store):
    store = open_store(small_store)
    assert legend_of([tile_of(store, 59)]).startswith("green: targets; orange: turned square")
    plain = {"image": np.zeros((8, 8), np.uint8), "mask": np.zeros((8, 8), bool), "lines": ()}
    assert legend_of([Tile(**plain), Tile(**plain, valid_hw=(8, 8))]) == "green: targets"
    assert legend_of([Tile(**plain), Tile(**plain, impostors=((1, 1, 3, 3),))]) == "green: targets; pink: impostors"
    assert legend_of([Tile(**plain, valid_hw=(8, 4))]) == "green: targets; blue: padding"


def test_named_samples(small_store, tmp_path):
    ended = call("preview", small_store, "--out", tmp_path / "x.png", "--indices", 3, 1, 59, "--dry-run")
    assert (ended.rc, ended.stdout) == (0, f"{tmp_path / 'x.png'}: would show samples 3, 1, 59\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--indices", "60"], "--indices must be in 0..59, got [60]"),
        (["--indices", "-1"], "--indices must be in 0..59, got [-1]"),
        (["--num", "0"], "--num must be >= 1"),
        (["--seed", "-1"], "--seed: must be in 0..2^64-1, got -1"),
        (["--seed", "9" * 23], "--seed: must be in 0..2^64-1, got 999"),
        (["--seed", "one"], "--seed: must be in 0..2^64-1, got one"),
    ],
)
def test_bad_options(small_store, tmp_path, options, needle):
    call("preview", small_store, "--out", tmp_path / "x.png", *options).refused(2, needle)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("out", "needle"), [("x.jpg", "must end in .png"), ("no/x.png", "its folder does not exist")])
def test_bad_targets(small_store, tmp_path, out, needle):
    call("preview", small_store, "--out", tmp_path / out).refused(2, needle)
    assert list(tmp_path.iterdir()) == []


def test_target_that_cannot_be_written(small_store, tmp_path):
    (tmp_path / "x.png").mkdir()
    for options in ((), ("--force",)):
        call("preview", small_store, "--out", tmp_path / "x.png", *options).refused(2, "x.png: is a folder; name a file")


def test_a_file_that_is_no_sheet_stays_as_it_is(small_store, tmp_path):
    """A picture of someone else, a text under that name; a sheet of ours is drawn again."""
    out = tmp_path / "x.png"
    Image.new("RGB", (64, 64)).save(out)
    for content in (out.read_bytes(), b"notes"):
        out.write_bytes(content)
        call("preview", small_store, "--out", out).refused(2, "x.png: exists and is no sheet of ours; name another file")
        assert out.read_bytes() == content and list(tmp_path.iterdir()) == [out]
    assert call("preview", small_store, "--out", out, "--force").rc == 0
    sheet = out.read_bytes()
    assert call("preview", small_store, "--out", out, "--num", 3).rc == 0 and out.read_bytes() != sheet


def test_no_store(tmp_path):
    call("preview", tmp_path / "no.zarr", "--out", tmp_path / "x.png").refused(2, "no.zarr: not found")
