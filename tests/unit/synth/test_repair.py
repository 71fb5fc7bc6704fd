"""Repair restores identical files, from the sources named in the manifest and from nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synth.errors import RefusalError, SourceError, VerificationError
from synth.job import ShardResult
from synth.repair import compare_rendered, repair_store
from synth.store.codec import encode_chunk
from synth.store.commit import commit_path
from synth.store.manifest import Manifest
from synth.store.reader import open_store
from synth.store.verify import check_store
from tests.support.builders import recipe_of, scene, write_corpus
from tests.support.stores import begun_store, copy_of, exchange, file_hashes, finished_store, flip_bit, write_shards


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return finished_store(tmp_path_factory.mktemp("repair"))


@pytest.fixture
def damaged(reference, tmp_path) -> Path:
    """A copy of the store, and of its corpus, with the manifest still naming the original one."""
    shutil.copytree(reference.parent / "corpus", tmp_path / "corpus")
    return copy_of(reference, tmp_path)


def repair(store: Path, source_root: Path | None = None) -> list[int]:
    """Check and repair; return the shards that were written."""
    findings = check_store(store, threads=1, on_shard=lambda _: None)
    done: list[ShardResult] = []
    repair_store(store, findings, source_root=source_root, threads=1, on_done=done.append)
    return sorted(result.shard for result in done if result.num_written)


def restored(store: Path, reference: Path) -> bool:
    return file_hashes(store) == file_hashes(reference)


SHARD_FILES = ["image/c/3/0/0", "mask/c/3/0/0", "sample/alpha/c/3", "target/flux/c/3/0", "sample/digest/c/3/0"]


@pytest.mark.parametrize("name", [*SHARD_FILES, "commits/shard-000003.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete", "exchange"])
def test_any_damage_to_a_shard(damaged, reference, name, damage):
    path = damaged / name
    if damage == "flip":
        flip_bit(path)
    elif damage == "delete":
        path.unlink()
    elif damage == "exchange":
        exchange(path, damaged / name.replace("/c/3", "/c/5").replace("00003", "00005"))
    else:
        path.write_bytes(path.read_bytes()[:9] if damage == "truncate" else b"")
    others = {p: p.stat().st_mtime_ns for p in damaged.rglob("*/c/[0-246-8]*") if p.is_file()}
    assert repair(damaged) == ([3, 5] if damage == "exchange" else [3])
    assert restored(damaged, reference)
    assert {p: p.stat().st_mtime_ns for p in others} == others, "nothing but the damaged shards is written"


def test_many_shards_at_once(damaged, reference):
    for shard in range(9):
        flip_bit(damaged / f"image/c/{shard}/0/0")
    assert repair(damaged) == list(range(9)) and restored(damaged, reference)


def test_linked_shard_becomes_a_file_again(damaged, reference):
    outside = damaged.parent / "outside"
    (damaged / "image/c/3/0/0").rename(outside)
    (damaged / "image/c/3/0/0").symlink_to(outside)
    before = outside.read_bytes()
    assert repair(damaged) == [3] and restored(damaged, reference)
    assert not (damaged / "image/c/3/0/0").is_symlink() and outside.read_bytes() == before


def test_strays_of_ours_go_and_foreign_files_stay(damaged, reference):
    strays = ["image/c/9/0/0", "image/c/3/0/.0.k1.partial", "commits/shard-000044.json", ".manifest.json.x.partial"]
    for name in (*strays, "notes.txt", "image/mine.bin"):
        (damaged / name).parent.mkdir(parents=True, exist_ok=True)
        (damaged / name).write_text("x")
    assert repair(damaged) == []
    left = file_hashes(damaged)
    assert left.keys() - file_hashes(reference).keys() == {"notes.txt", "image/mine.bin"}
    assert left.items() >= file_hashes(reference).items()


@pytest.mark.parametrize("name", ["image/zarr.json", "zarr.json", "sample/alpha/zarr.json", "noise/zarr.json"])
@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_metadata_is_written_again(damaged, reference, name, damage):
    path = damaged / name
    path.unlink() if damage == "delete" else path.write_text(path.read_text().replace("zarr_format", "zarr_f0rmat"))
    assert repair(damaged) == [] and restored(damaged, reference)


@pytest.mark.parametrize("name", ["noise/patch/c/0/0/0", "noise/mean/c/0"])
def test_noise_bank_is_sampled_again(damaged, reference, name):
    flip_bit(damaged / name)
    assert repair(damaged) == [] and restored(damaged, reference)


def test_noise_bank_and_shards_at_once(damaged, reference):
    (damaged / "noise/patch/c/0/0/0").unlink()
    flip_bit(damaged / "image/c/3/0/0")
    assert repair(damaged) == [3] and restored(damaged, reference)


def test_moved_sources(damaged, reference):
    flip_bit(damaged / "image/c/3/0/0")
    flip_bit(damaged / "noise/patch/c/0/0/0")
    content = json.loads((damaged / "manifest.json").read_bytes())
    content["sources"]["path"] = "/nowhere"
    Manifest(content).save(damaged)
    with pytest.raises(SourceError, match="/nowhere"):
        repair(damaged)
    assert repair(damaged, damaged.parent / "corpus") == [3]
    different = {name for name, sha256 in file_hashes(damaged).items() if file_hashes(reference)[name] != sha256}
    assert different == {"manifest.json"}, "which still names the folder it was made from"


def test_changed_source_is_named_and_the_shard_left_as_it_was(damaged):
    corpus = damaged.parent / "corpus"
    path = corpus / "images/large.png"
    path.write_bytes(path.read_bytes() + b"\0")
    flip_bit(damaged / "image/c/0/0/0")
    before = file_hashes(damaged)
    with pytest.raises(SourceError, match=r"large\.png: changed since the store was begun \(sha256 .* then, .* now\)"):
        repair(damaged, corpus)
    assert file_hashes(damaged) == before


def test_missing_source_is_named_and_the_shard_left_as_it_was(damaged):
    corpus = damaged.parent / "corpus"
    (corpus / "images/large.png").unlink()
    flip_bit(damaged / "image/c/0/0/0")
    before = file_hashes(damaged)
    with pytest.raises(SourceError, match=r"large\.png: cannot be read"):
        repair(damaged, corpus)
    assert file_hashes(damaged) == before


def test_other_frames_give_no_other_noise_bank(damaged):
    corpus = damaged.parent / "corpus"
    (corpus / "images/large.png").write_bytes((corpus / "images/held_out.png").read_bytes())
    (corpus / "masks/large.png").write_bytes((corpus / "masks/held_out.png").read_bytes())
    (corpus / "test.txt").write_text("small\n")
    (corpus / "train.txt").write_text("square\nwide\n")
    flip_bit(damaged / "noise/patch/c/0/0/0")
    before = file_hashes(damaged)
    with pytest.raises(SourceError, match=r"noise: .*restore the frames"):
        repair(damaged, corpus)
    assert file_hashes(damaged) == before


def test_damaged_manifest_is_nothing_to_repair_from(damaged):
    content = json.loads((damaged / "manifest.json").read_bytes())
    content["recipe"]["seed"] = 4
    Manifest(content).save(damaged)
    flip_bit(damaged / "image/c/3/0/0")
    before = file_hashes(damaged)
    with pytest.raises(RefusalError, match=r"nothing can be made again from it, restore manifest\.json"):
        repair(damaged)
    assert file_hashes(damaged) == before


def test_other_content_than_the_store_had_is_an_error(damaged):
    """As a numpy with other draws would give: the record is whole, but not what the manifest promises. Nothing is replaced."""
    content = json.loads((damaged / "manifest.json").read_bytes())
    content["shards"][3]["content"] = "0" * 64
    Manifest(content).save(damaged)
    flip_bit(damaged / "image/c/5/0/0")
    before = file_hashes(damaged)
    with pytest.raises(VerificationError, match="shard 3 comes out with other content than the store had; it was left as it is"):
        repair(damaged)
    after = file_hashes(damaged)
    assert {name.split("/c/")[1][0] for name in after if after[name] != before[name]} == {"5"}, "the other one is made again"


def test_an_unfinished_store_keeps_to_its_records(damaged):
    content = json.loads((damaged / "manifest.json").read_bytes())
    Manifest(content | {"state": "generating", "content_hash": None, "shards": []}).save(damaged)
    path = commit_path(damaged, 3)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"content": "0" * 64}))
    before = file_hashes(damaged)
    with pytest.raises(VerificationError, match="shard 3 comes out with other content"):
        repair(damaged)
    assert file_hashes(damaged) == before


def test_unfinished_store_is_completed(reference, tmp_path):
    manifest = Manifest.load(reference)
    begun_store(tmp_path / "x.zarr", manifest.recipe, manifest.source_root)
    write_shards(tmp_path / "x.zarr", [0, 5])
    assert repair(tmp_path / "x.zarr") == [1, 2, 3, 4, 6, 7, 8]
    assert restored(tmp_path / "x.zarr", reference)


def test_rendered_source_needs_no_folder(tmp_path):
    recipe = recipe_of(
        source={"kind": "scenes", "num_frames": 3, "frame_hw": [64, 64], "targets": {"empty_share": 0}},
        noise={"var_max": 1e4}, num_synthetic=5,
        store={"shard_images": 4},
    )  # fmt: skip
    path = tmp_path / "x.zarr"
    begun_store(path, recipe, None)
    repair(path)
    before = file_hashes(path)
    flip_bit(path / "image/c/1/0/0")
    (path / "noise/patch/c/0/0/0").unlink()
    assert repair(path) == [1] and file_hashes(path) == before
    assert compare_rendered(path, 8, source_root=None, on_sample=lambda _: None) == []


@pytest.mark.parametrize("num_synthetic", [0, 5])
def test_moved_plates(tmp_path, num_synthetic):
    """Whether the scenes are the samples or stand for real frames."""
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    plates = {"path": str(tmp_path / "plates"), "split": None, "share": 1.0}
    source = {"kind": "scenes", "num_frames": 3, "frame_hw": (64, 64), "targets": {"empty_share": 0}, "plates": plates}
    path = tmp_path / "x.zarr"
    recipe = recipe_of(source=source, noise={"var_max": 1e4}, num_synthetic=num_synthetic, store={"shard_images": 4})
    begun_store(path, recipe, recipe.folder)
    repair(path)
    before = file_hashes(path)
    moved = (tmp_path / "plates").rename(tmp_path / "moved")
    flip_bit(path / "image/c/0/0/0")
    if num_synthetic == 0:  # the renderer of frames that stand for real ones is kept, with its plates
        with pytest.raises(SourceError, match=r"plates: does not exist"):
            repair(path)
    assert repair(path, moved) == [0] and file_hashes(path) == before
    assert compare_rendered(path, 3, source_root=moved, on_sample=lambda _: None) == []


def test_samples_rendered_again(damaged):
    seen: list[int] = []
    assert compare_rendered(damaged, 10, source_root=None, on_sample=seen.append) == []
    assert len(set(seen)) == 10 and all(0 <= i < 60 for i in seen) and seen == sorted(seen)
    seen.clear()
    assert compare_rendered(damaged, 1000, source_root=None, on_sample=seen.append) == []
    assert seen == list(range(60)), "no sample twice"


def test_sample_that_comes_out_different_is_listed(damaged):
    digests = open_store(damaged).column("sample/digest")[14:21].copy()
    digests[3] ^= 1
    (damaged / "sample/digest/c/2/0").write_bytes(encode_chunk(digests))
    assert compare_rendered(damaged, 60, source_root=None, on_sample=lambda _: None) == [17]
    assert commit_path(damaged, 2).exists()
