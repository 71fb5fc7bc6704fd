"""Verification: every kind of damage to any file is found, named and given to the right shard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synth.errors import RefusalError
from synth.store.codec import decode_chunk, encode_chunk
from synth.store.commit import ShardCommit, commit_path, hash_digests
from synth.store.files import sha256_of_file
from synth.store.layout import array_specs, encode_column, encode_shard_of_images
from synth.store.manifest import Manifest
from synth.store.reader import open_store
from synth.store.verify import Findings, check_store
from tests.support.stores import begun_store, exchange, file_hashes, flip_bit, write_shards


def check(store: Path) -> Findings:
    before = file_hashes(store)
    checked: list[int] = []
    findings = check_store(store, threads=2, on_shard=checked.append)
    assert checked == list(range(9)) and file_hashes(store) == before, "verification changes nothing"
    return findings


def messages(store: Path) -> list[str]:
    return [fault.message for fault in check(store).faults]


def test_a_finished_store_holds(finished, finished_wide):
    for store in (finished, finished_wide):
        assert check(store) == Findings((), ())


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_threads_change_nothing(damaged, threads):
    for shard in (1, 4, 7):
        flip_bit(damaged / f"image/c/{shard}/0/0")
    findings = check_store(damaged, threads=threads, on_shard=lambda _: None)
    assert [fault.shard for fault in findings.faults] == findings.damaged_shards() == [1, 4, 7]


def files_of_one_shard(store: Path) -> dict[str, int | None]:
    """Return every file but those of shards 0 to 7 and the manifest, with the shard it belongs to."""
    manifest = Manifest.load(store)
    shard_of = {spec.file_of(k): k for spec in array_specs(manifest.shape).values() for k in range(9)}
    shard_of |= {f"commits/shard-{k:06d}.json": k for k in range(9)}
    names = [path.relative_to(store).as_posix() for path in sorted(store.rglob("*")) if path.is_file()]
    return {name: shard_of.get(name) for name in names if shard_of.get(name) in (8, None) and name != "manifest.json"}


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete"])
def test_damage_to_any_file_is_found(damaged, damage):
    """30 files of a shard and its record, 7 of the noise bank, metadata of 37 arrays and 4 groups."""
    files = files_of_one_shard(damaged)
    assert len(files) == 30 + 1 + 7 + 37 + 4
    for name, shard in files.items():
        path = damaged / name
        good = path.read_bytes()
        if damage == "flip":
            flip_bit(path, good.index(b'"node_type"') * 8 + 100 if name.endswith("zarr.json") else None)
        elif damage == "delete":
            path.unlink()
        else:
            path.write_bytes(good[: len(good) // 2] if damage == "truncate" else b"")
        findings = check_store(damaged, threads=1, on_shard=lambda _: None)
        text = " ".join(fault.message for fault in findings.faults)
        assert findings.damaged_shards() == ([] if shard is None else [shard]), name
        what = name.split("/c/")[0].removesuffix("/zarr.json")
        assert any(word in text for word in (what, what.split("/")[0], "commit record", "group")), (name, text)
        assert all("\n" not in fault.message for fault in findings.faults)
        path.write_bytes(good)
    assert messages(damaged) == []


@pytest.mark.parametrize("old", ['"fill_value": 0', "grey levels"])
def test_metadata_only_stock_zarr_uses_is_checked_against_its_copy(damaged, old):
    file = damaged / "image/zarr.json"
    file.write_text(file.read_text().replace(old, old[:-1] + "7"))
    assert messages(damaged) == ["group: metadata of image differs from the root's copy, stock zarr may misread it"]


def test_exchanged_shards_with_their_records_are_found(damaged):
    """Everything of shards 2 and 3 exchanged, so that every file matches a record: the range in it does not."""
    for spec in array_specs(Manifest.load(damaged).shape).values():
        exchange(damaged / spec.file_of(2), damaged / spec.file_of(3))
    exchange(commit_path(damaged, 2), commit_path(damaged, 3))
    assert messages(damaged) == [
        "shard 2: commit record is of shard 3 (samples 21:28)",
        "shard 3: commit record is of shard 2 (samples 14:21)",
    ]


def rewrite(store: Path, shard: int, **arrays) -> None:
    """Forge a shard: other values, with checksums and a commit record that fit them."""
    manifest = Manifest.load(store)
    specs = array_specs(manifest.shape)
    commit = ShardCommit.load(store, shard)
    assert commit is not None
    files = dict(commit.files)
    for path, values in arrays.items():
        spec = specs[path.replace("_", "/", 1) if path not in specs else path]
        if spec.shard:
            data = b"".join(encode_shard_of_images([encode_chunk(v) for v in values], manifest.shape))
        else:
            data = encode_column(values, spec)
        (store / spec.file_of(shard)).write_bytes(data)
        files[spec.file_of(shard)] = (sha256_of_file(store / spec.file_of(shard)), len(data))
    content = hash_digests(arrays["sample_digest"]) if "sample_digest" in arrays else commit.content
    ShardCommit(shard, commit.start, commit.stop, commit.recipe_hash, content, files).save(store)


@pytest.mark.parametrize("array", ["image", "mask", "sample/alpha", "target/flux"])
def test_forged_content_is_found(damaged, array):
    """Files, checksums and record agree; the digests of the samples do not."""
    store = open_store(damaged)
    columns = store.shard_columns(3)
    values = {"image": store.images(range(21, 28)), "mask": store.masks(range(21, 28))}.get(array, columns.get(array))
    changed = values.copy()
    changed[2] = 1 - changed[2] if array == "mask" else changed[2] + 1
    rewrite(damaged, 3, **{array.replace("/", "_"): changed})
    assert messages(damaged) == ["shard 3: decoded content differs from its commit record"]


def test_forged_content_with_its_digests_is_found(damaged):
    rewrite(damaged, 3, sample_digest=np.zeros((7, 32), np.uint8))
    assert messages(damaged) == ["shard 3: decoded content differs from its commit record"]


def test_mask_values_other_than_0_and_1_are_found(damaged):
    """The digest packs bits, so 2 would pass for 1."""
    masks = open_store(damaged).masks(range(21, 28))
    rewrite(damaged, 3, mask=masks * 2)
    assert messages(damaged) == ["shard 3: samples 21:28: mask values other than 0 and 1"]


def test_other_record_than_the_manifest_knows(damaged):
    path = commit_path(damaged, 3)
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    assert messages(damaged) == ["shard 3: commit record differs from the manifest"]


def edit_manifest(store: Path, change) -> None:
    content = json.loads((store / "manifest.json").read_bytes())
    change(content)
    (store / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(content_hash="0" * 64), ["content hash differs from the manifest"]),
        (lambda m: m["shards"][3].update(content="0" * 64), ["shard 3: content differs from the manifest"]),
        (lambda m: m["shards"][3].update(record="0" * 64), ["shard 3: commit record differs from the manifest"]),
        (lambda m: m.update(noise_digest="0" * 64), ["noise bank: content differs from the manifest"]),
        (lambda m: m["recipe"].update(seed=8), ["manifest: its recipe is not the one its recipe_hash was taken over"]),
    ],
)
def test_edited_manifest_is_found(damaged, change, expected):
    edit_manifest(damaged, change)
    assert messages(damaged) == expected


def test_other_recipe_hash_concerns_every_shard(damaged):
    edit_manifest(damaged, lambda m: m.update(recipe_hash="0" * 64))
    assert check(damaged).damaged_shards() == list(range(9))


def test_damaged_manifest_is_refused(damaged):
    flip_bit(damaged / "manifest.json", 0)
    with pytest.raises(RefusalError, match=r"manifest\.json: is not valid JSON .*restore it from a copy"):
        check_store(damaged, threads=1, on_shard=lambda _: None)


def test_metadata_that_differs_from_the_manifest(damaged):
    file = damaged / "sample/alpha/zarr.json"
    file.write_text(file.read_text().replace("float32", "int32"))
    (message,) = messages(damaged)
    assert message == "array sample/alpha: zarr.json says <i4 (60,), the manifest <f4 (60,)"


def test_every_damaged_shard_is_listed(damaged):
    for shard in (0, 4, 8):
        flip_bit(damaged / f"mask/c/{shard}/0/0")
    commit_path(damaged, 5).unlink()
    findings = check(damaged)
    assert findings.damaged_shards() == [0, 4, 5, 8]
    assert [fault.message.split(":")[0] for fault in findings.faults] == ["shard 0", "shard 4", "shard 5", "shard 8"]


STRAYS = [
    "image/c/.0.abc123.partial",
    ".manifest.json.x1.partial",
    "commits/.shard-000003.json.k2.partial",
    "image/c/9/0/0",
    "sample/alpha/c/9",
    "commits/shard-000009.json",
    "noise/patch/c/1/0/0",
]


@pytest.mark.parametrize("name", STRAYS)
def test_strays_of_ours_are_faults_with_their_path(damaged, name):
    (damaged / name).parent.mkdir(parents=True, exist_ok=True)
    (damaged / name).write_bytes(b"left over")
    (fault,) = check(damaged).faults
    assert fault.path == damaged / name and fault.shard is None
    assert fault.message == f"{name}: stray file of an interrupted or larger run; --repair removes it"


@pytest.mark.parametrize("name", ["notes.txt", "image/README", "commits/notes", "sample/extra/zarr.json", "sheet.png"])
def test_foreign_files_are_no_faults(damaged, name):
    (damaged / name).parent.mkdir(parents=True, exist_ok=True)
    (damaged / name).write_text("mine")
    assert check(damaged) == Findings((), (damaged / name,))


def test_linked_stray_is_never_taken_for_ours(damaged):
    (damaged / "image/c/9").symlink_to(damaged.parent)
    (damaged / "image/c/.x.partial").symlink_to(damaged / "manifest.json")
    findings = check(damaged)
    assert findings.faults == () and {path.name for path in findings.foreign} == {"9", ".x.partial"}


def test_locks_are_no_findings(damaged):
    (damaged / "locks/000000-000009.host.1.lock").write_text("{}")
    assert check(damaged) == Findings((), ())


def test_linked_shard_is_a_fault(damaged):
    (damaged / "image/c/2/0/0").rename(damaged.parent / "moved")
    (damaged / "image/c/2/0/0").symlink_to(damaged.parent / "moved")
    (message,) = messages(damaged)
    assert message.startswith("shard 2: image/c/2/0/0: ") and "is a symbolic link" in message


def test_unfinished_store(finished, tmp_path):
    manifest = Manifest.load(finished)
    path = tmp_path / "x.zarr"
    begun_store(path, manifest.recipe, manifest.source_root)
    write_shards(path, range(8))
    assert messages(path) == ["shard 8: no commit record"]
    write_shards(path, [8])
    assert messages(path) == ["the store is not finished: all shards are there; run verify --finalize"]


def test_forging_helper_leaves_a_whole_shard(damaged):
    """The forged shards above are found by their content alone: unchanged values pass the file checks again."""
    before = sha256_of_file(damaged / "image/c/3/0/0")
    rewrite(damaged, 3, image=open_store(damaged).images(range(21, 28)))
    assert sha256_of_file(damaged / "image/c/3/0/0") == before and messages(damaged) == []
    chunk = np.empty((7, 32), np.uint8)
    decode_chunk((damaged / "sample/digest/c/3/0").read_bytes(), chunk)
    assert chunk.any()
