"""Scanned sources: kept in a manifest, found again by any worker, checked on every read."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from synth.errors import SourceError
from synth.render import Renderer
from synth.sources import SourceTable, TableReader
from tests.support.builders import (
    frame_of,
    mini_frames,
    recipe_of,
    renderer_of_recipe,
    scan,
    scene,
    texture,
    write_corpus,
    write_mini_corpus,
)


@pytest.fixture
def root(tmp_path):
    return write_mini_corpus(tmp_path / "corpus")


@pytest.fixture
def recipe(root):
    return recipe_of(root, split="trainval")


def test_a_table_survives_its_manifest_entry(recipe):
    table, _ = scan(recipe)
    again = SourceTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again.frames == table.frames and again.digest() == table.digest()
    assert (again.target_kind, again.leakage) == (table.target_kind, table.leakage)
    assert again.targets_per_frame().dtype == np.int64


def test_the_digest_covers_everything_but_where_files_lie(recipe):
    table, _ = scan(recipe)
    first = table.frames[0]
    changes = {
        "id": "x", "sequence": "x", "image_sha256": "x", "mask_sha256": "x", "pixels_sha256": "x", "hw": (1, 1),
        "centres": ((0.0, 0.0),), "boxes": ((0, 0, 1, 1),), "noise_std_dn": 9.0,
    }  # fmt: skip
    assert {f.name for f in fields(first)} == {"image", "mask", *changes}
    digests = [replace(table, frames=(replace(first, **{k: v}), *table.frames[1:])).digest() for k, v in changes.items()]
    assert len({table.digest(), *digests}) == len(changes) + 1
    assert replace(table, frames=table.frames[::-1]).digest() != table.digest()
    moved = replace(first, image="elsewhere.png", mask="elsewhere_mask.png")
    assert replace(table, frames=(moved, *table.frames[1:]), notes=("n",)).digest() == table.digest()


def test_frames_are_read_as_scanned(root, recipe):
    table, _ = scan(recipe)
    reader = TableReader(recipe, table, root)
    frames = {frame.id: frame for frame in mini_frames()}
    for code, record in enumerate(table.frames):
        frame = reader.read(code)
        assert frame.id == record.id and frame.hw == record.hw
        np.testing.assert_array_equal(frame.levels, frames[record.id].levels)
        np.testing.assert_array_equal(frame.mask, frames[record.id].mask)


def test_a_moved_folder_is_read_where_it_is_now(root, recipe, tmp_path):
    table, _ = scan(recipe)
    moved = shutil.move(root, tmp_path / "elsewhere")
    assert TableReader(recipe, table, tmp_path / "elsewhere").read(0).id == "large"
    assert moved is not None
    for gone in (root, None):
        with pytest.raises(SourceError, match=r"source folder .*: not found; pass --source DIR"):
            TableReader(recipe, table, gone)


def test_lists_are_not_needed_to_read_again(root, recipe):
    table, _ = scan(recipe)
    for path in root.glob("*.txt"):
        path.unlink()
    assert TableReader(recipe, table, root).read(3).id == "wide"


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_changed_files_are_refused_with_both_hashes(root, recipe, folder):
    table, _ = scan(recipe)
    path = root / folder / "large.png"
    levels = np.array(Image.open(path))
    levels[0, 0] ^= 255
    Image.fromarray(levels).save(path)
    reader = TableReader(recipe, table, root)
    with pytest.raises(SourceError, match=rf"{folder}/large\.png: changed .* \(sha256 [0-9a-f]{{16}}\.\.\. then, [0-9a-f]{{16}}"):
        reader.read(0)
    assert reader.read(1).id == "small"


def test_re_encoded_files_are_refused_too(root, recipe):
    """The promise is about files: repair must know that it works from the very same ones."""
    table, _ = scan(recipe)
    path = root / "images" / "large.png"
    Image.open(path).save(path, compress_level=0)
    with pytest.raises(SourceError, match=r"large\.png: changed"):
        TableReader(recipe, table, root).read(0)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_files_that_are_gone_are_named_when_their_frame_is_read(root, recipe, folder):
    table, _ = scan(recipe)
    (root / folder / "large.png").unlink()
    reader = TableReader(recipe, table, root)
    with pytest.raises(SourceError, match=rf"{folder}/large\.png: cannot be read"):
        reader.read(0)
    assert reader.read(1).id == "small"


def test_frames_outside_the_split_need_no_mask(tmp_path):
    """Unlabelled frames may lie beside the listed ones: neither scan nor workers care."""
    frames = [scene("a", (64, 64), [(9, 9, 11, 11)]), scene("b", (64, 64)), frame_of(texture("c", (64, 64)), name="c")]
    root = write_corpus(tmp_path / "c", frames, {"train": ["a"], "val": ["b"]})
    plan, renderer, table, _ = renderer_of_recipe(recipe_of(root, split="train"), root)
    assert [r.id for r in table.frames] == ["a"] and len(plan) == 5
    assert isinstance(renderer, Renderer)
    for row in plan:
        assert renderer.render(row, renderer.generator(row)).mask.sum() == 4


def test_deep_frames_are_read_at_their_own_scale(tmp_path):
    levels = texture("deep", (64, 64), low=5000, high=5200)
    mask = np.zeros((64, 64), np.uint8)
    mask[9, 9] = 1
    root = write_corpus(tmp_path / "c", [frame_of(levels, mask, name="deep", max_level=16383)])
    recipe = recipe_of(root, image_dtype="uint16", source={"max_level": 16383})
    plan, renderer, _, bank = renderer_of_recipe(recipe, root)
    assert len(bank) == 15 and bank.mean == pytest.approx(5100 * 255 / 16383, abs=0.5)
    sample = renderer.render(plan.row(0), renderer.generator(plan.row(0)))
    assert sample.bit_depth == 14
    assert np.abs(sample.image * 16383 - levels).max() < 0.2


def test_generated_frames_are_checked_as_well():
    recipe = recipe_of(source={"kind": "scenes", "num_frames": 3, "frame_hw": (64, 64)})
    table, _ = scan(recipe)
    assert TableReader(recipe, table, None).read(2).id == "scene-000002"
    forged = replace(table, frames=(*table.frames[:2], replace(table.frames[2], pixels_sha256="0" * 64)))
    with pytest.raises(SourceError, match=r"generated frame scene-000002: changed since the store was begun"):
        TableReader(recipe, forged, None).read(2)
