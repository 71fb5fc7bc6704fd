"""Damage to a finished store: ``verify`` names the shard and exits 3, ``--repair`` restores every byte, nothing else moves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synth.store.commit import commit_path
from synth.store.manifest import Manifest
from tests.support.cli import call, run, small
from tests.support.stores import exchange, file_hashes, flip_bit


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def link(path: Path) -> None:
    """Put a link in place of a file, which is moved out of the store."""
    moved = path.parents[5] / "moved"  # image/c/3/0/0 below copy.zarr
    path.rename(moved)
    path.symlink_to(moved)


def foreign_record(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"recipe_hash": "f" * 64}))


def edited_record(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"content": "f" * 64}))


DAMAGE = {
    "flipped bit in images": ("image/c/3/0/0", flip_bit),
    "flipped bit in masks": ("mask/c/3/0/0", flip_bit),
    "flipped bit in a column": ("target/flux/c/3/0", flip_bit),
    "flipped bit in digests": ("sample/digest/c/3/0", flip_bit),
    "truncated images": ("image/c/3/0/0", truncate),
    "truncated column": ("sample/alpha/c/3", truncate),
    "empty masks": ("mask/c/3/0/0", lambda path: path.write_bytes(b"")),
    "no images": ("image/c/3/0/0", Path.unlink),
    "no column": ("sample/source/c/3", Path.unlink),
    "linked images": ("image/c/3/0/0", link),
    "no record": ("commits/shard-000003.json", Path.unlink),
    "record of another recipe": ("commits/shard-000003.json", foreign_record),
    "edited record": ("commits/shard-000003.json", edited_record),
    "damaged record": ("commits/shard-000003.json", lambda path: flip_bit(path, 3)),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE.keys())
def test_shard_is_named_and_restored(damaged, reference, name, damage):
    damage(damaged / name)
    broken = file_hashes(damaged)
    ended = call("verify", damaged)
    assert ended.rc == 3
    assert [line.split(": ")[1] for line in ended.stderr.splitlines() if line.startswith("fault: ")] == ["shard 3"]
    assert ended.stdout == f"{damaged}: 1 faults; --repair makes damaged shards again\n"
    assert file_hashes(damaged) == broken, "looking changes nothing"
    ended = call("verify", damaged, "--repair")
    assert ended.rc == 0 and ended.content_hash == Manifest.load(reference).content_hash
    assert file_hashes(damaged) == file_hashes(reference)


def test_as_a_user_sees_it(damaged, reference):
    """In processes of their own: damage to three shards, the noise bank, metadata and a left-over, in one go."""
    assert run("verify", damaged).rc == 0
    flip_bit(damaged / "image/c/0/0/0")
    (damaged / "sample/alpha/c/7").unlink()
    exchange(damaged / "mask/c/14/0/0", damaged / "mask/c/15/0/0")
    flip_bit(damaged / "noise/patch/c/0/0/0")
    (damaged / "target/flux/zarr.json").write_text("{")
    (damaged / "image/c/5/0/.0.k2j1.partial").write_bytes(b"half")
    (damaged / "notes.txt").write_text("mine")
    ended = run("verify", damaged)
    assert ended.rc == 3 and "Traceback" not in ended.stderr
    faults = [
        "fault: array target/flux: ",
        "fault: shard 0: image/c/0/0/0: sha256 differs",
        "fault: shard 7: sample/alpha/c/7: missing",
        "fault: shard 14: mask/c/14/0/0",
        "fault: shard 15: mask/c/15/0/0",
        "fault: image/c/5/0/.0.k2j1.partial: stray file",
        f"note: {damaged}/notes.txt is not part of the store and was left alone",
    ]
    for needle in faults:
        assert needle in ended.stderr
    ended = run("verify", damaged, "--repair")
    assert ended.rc == 0, ended
    assert (damaged / "notes.txt").read_text() == "mine"
    (damaged / "notes.txt").unlink()
    assert file_hashes(damaged) == file_hashes(reference)


def test_running_synthesize_again_heals_a_store_too(damaged, reference, corpus):
    flip_bit(damaged / "image/c/3/0/0")
    (damaged / "image/c/3/0/.0.k2j1.partial").write_bytes(b"half")
    ended = call("synthesize", *small(corpus, damaged))
    assert ended.rc == 0 and "wrote 20 frames" in ended.stdout
    assert file_hashes(damaged) == file_hashes(reference)


@pytest.mark.parametrize("name", ["noise/patch/c/0/0/0", "zarr.json", "image/zarr.json", "sample/zarr.json"])
def test_what_belongs_to_no_shard(damaged, reference, name):
    truncate(damaged / name)
    ended = call("verify", damaged)
    assert ended.rc == 3 and ended.stderr.startswith(("fault: noise bank: ", "fault: array image: ", "fault: group: "))
    assert call("verify", damaged, "--repair").rc == 0
    assert file_hashes(damaged) == file_hashes(reference)


def test_many_faults_are_summed_up(damaged):
    for path in (damaged / "commits").iterdir():
        path.unlink()
    shutil.rmtree(damaged / "mask/c")
    (damaged / "commits").rmdir()
    ended = call("verify", damaged)
    assert ended.rc == 3 and ended.stderr.count("\n") == 16
    for number in range(30):
        (damaged / f"image/c/.{number}.partial").write_bytes(b"")
    ended = call("verify", damaged)
    assert ended.stderr.splitlines()[-1] == "fault: and 26 more" and ended.stderr.count("\n") == 21


def test_damaged_manifest_cannot_be_repaired_and_says_so(damaged):
    flip_bit(damaged / "manifest.json", 1)
    for options in ([], ["--repair"], ["--finalize"], ["--regenerate", "3"]):
        call("verify", damaged, *options).refused(2, "manifest.json: is not valid JSON", "restore it from a copy")


def test_edited_manifest_is_a_fault(damaged):
    content = json.loads((damaged / "manifest.json").read_bytes())
    content["recipe"]["passes"][0]["alpha"] = 0.3
    (damaged / "manifest.json").write_text(json.dumps(content))
    ended = call("verify", damaged)
    assert ended.rc == 3 and "fault: manifest: its recipe is not the one its recipe_hash was taken over" in ended.stderr
    before = file_hashes(damaged)
    ended = call("verify", damaged, "--repair")
    assert ended.rc == 2 and "restore manifest.json from a copy" in ended.stderr
    assert file_hashes(damaged) == before


@pytest.fixture
def own_corpus(corpus, tmp_path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


@pytest.mark.parametrize("change", ["changed", "missing", "no folder"])
def test_repair_without_the_sources_writes_nothing(damaged, own_corpus, change):
    path = own_corpus / "images/large.png"
    if change == "changed":
        path.write_bytes(path.read_bytes() + b"\0")
    elif change == "missing":
        path.unlink()
    else:
        shutil.rmtree(own_corpus)
    flip_bit(damaged / "image/c/0/0/0")
    before = file_hashes(damaged)
    ended = call("verify", damaged, "--repair", "--source", own_corpus)
    assert ended.rc == 2 and file_hashes(damaged) == before
    (error,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    if change == "changed":
        frames = {row["id"]: row for row in Manifest.load(damaged).content["sources"]["frames"]}
        assert str(path) in error and frames["large"]["image_sha256"][:16] in error and "now" in error
    else:
        assert (str(path) if change == "missing" else str(own_corpus)) in error


def test_repair_from_moved_sources(damaged, reference, own_corpus):
    flip_bit(damaged / "image/c/0/0/0")
    assert call("verify", damaged, "--repair", "--source", own_corpus).rc == 0
    assert file_hashes(damaged) == file_hashes(reference)


def test_rendering_again(damaged, own_corpus):
    ended = call("verify", damaged, "--regenerate", 50)
    assert ended.rc == 0 and ended.stdout.splitlines()[-1] == "50 random samples come out the same when rendered again"
    ended = call("verify", damaged, "--regenerate", 9999, "--source", own_corpus)
    assert ended.rc == 0 and ended.stdout.splitlines()[-1].startswith("304 random samples")
    path = own_corpus / "masks/wide.png"
    path.write_bytes(path.read_bytes() + b"\0")
    call("verify", damaged, "--regenerate", 9999, "--source", own_corpus).refused(2, "masks/wide.png: changed since")


@pytest.mark.parametrize("options", [["--regenerate", "-1"], ["--workers", "0"]])
def test_bad_options(damaged, options):
    call("verify", damaged, *options).refused(2, "--workers must be >= 1 and --regenerate >= 0")


def test_dry_run_checks_nothing(damaged):
    flip_bit(damaged / "image/c/0/0/0")
    before = file_hashes(damaged)
    ended = call("verify", damaged, "--dry-run", "--repair")
    assert ended.rc == 0 and ended.stdout == f"{damaged}: would check 304 frames in 16 shards, state complete\n"
    assert file_hashes(damaged) == before


@pytest.mark.parametrize("kind", ["nothing", "file", "folder"])
def test_no_store(tmp_path, kind):
    path = tmp_path / "x.zarr"
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        path.mkdir()
    call("verify", path).refused(2, f"{path}: ", "give the .zarr folder a synthesize made")


def test_repair_of_a_store_that_is_being_written_is_refused(damaged):
    flip_bit(damaged / "image/c/0/0/0")
    (damaged / "locks/000000-000001.node-9.7.lock").write_text(json.dumps({"host": "node-9", "pid": 7}))
    before = file_hashes(damaged)
    ended = call("verify", damaged, "--repair")
    assert ended.rc == 2 and "shards 000000-000001 are being written by process 7 on node-9" in ended.stderr
    assert file_hashes(damaged) == before
    assert call("verify", damaged, "--repair", "--force-unlock").rc == 0


def test_stopped_store_is_completed_by_repair(damaged, reference):
    """Records gone and manifest back at the start: what a crash before the end leaves."""
    content = json.loads((damaged / "manifest.json").read_bytes())
    (damaged / "manifest.json").write_text(json.dumps(content | {"state": "generating", "content_hash": None, "shards": []}))
    for shard in (4, 9):
        commit_path(damaged, shard).unlink()
    ended = call("verify", damaged)
    assert ended.rc == 3 and "shard 4: no commit record" in ended.stderr and "shard 9: no commit record" in ended.stderr
    assert call("verify", damaged, "--repair").rc == 0
    assert file_hashes(damaged) == file_hashes(reference)
