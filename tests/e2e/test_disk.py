"""Disks that are full, limited or read-only: one clean line, no record of what is not there, and the next run goes on."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synth.store.manifest import Manifest
from tests.support.cli import Ended, call, command, environment, num_commits, run, small
from tests.support.stores import file_hashes

LIMIT_BYTES = 60_000
"""More than any other file of the store needs (the root's metadata, 40 kB), less than a shard of 40 images (88 kB)."""


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))


def is_clean(store: Path) -> bool:
    """Tell whether a store that could not be finished holds no temporary, no lock, and no claim to be finished."""
    strays = list(store.rglob("*.partial")) + list((store / "locks").iterdir())
    return not strays and not Manifest.load(store).is_complete


@pytest.mark.parametrize("cluster", ["sync", "local"])
def test_file_size_limit(corpus, reference, tmp_path, cluster):
    """The system's own limit stands in for a full disk; workers inherit it."""
    store = tmp_path / "x.zarr"
    arguments = small(corpus, store, "--workers", 2, cluster=cluster, sets=("store.shard_images=40",))
    failed = run("synthesize", *arguments, before=limit_file_size)
    failed.refused(1, "image/c/", "File too large: the file size limit is reached", "finished shards are kept")
    assert num_commits(store) <= 1 and is_clean(store)  # the last shard is shorter: it may be written before the first one fails
    resumed = run("synthesize", *arguments)
    assert resumed.rc == 0 and resumed.content_hash == Manifest.load(reference).content_hash


def can_mount() -> bool:
    """Tell whether this process may mount a file system of its own (a container may not)."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode
        == 0
    )


needs_mount = pytest.mark.skipif(not can_mount(), reason="no right to mount a file system in a namespace")


def mounted(script: str, folder: Path) -> Ended:
    """Run a shell script in a mount namespace of its own."""
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
        cwd=folder,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def line(*arguments: object) -> str:
    """Return a command line of synthesize for a shell."""
    return " ".join(f"'{part}'" for part in command("synthesize", *arguments))


@needs_mount
@pytest.mark.parametrize("kilobytes", [200, 900])
def test_full_disk(corpus, reference, tmp_path, kilobytes):
    """A disk too small for the empty store (some 300 kB in blocks), and one that fills up after some shards.

    The check of the free space beforehand would refuse both, so it is told of space that is not there.
    """
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    arguments = [str(argument) for argument in small(corpus, disk / "x.zarr")]
    (tmp_path / "unchecked.py").write_text(
        "import shutil, sys\nfrom types import SimpleNamespace\nfrom pipelines.synthesize import main\n"
        f"shutil.disk_usage = lambda _: SimpleNamespace(free=10**12)\nsys.exit(main({arguments!r}))\n"
    )
    done = mounted(
        f"""mount -t tmpfs -o size={kilobytes}k none {disk}
        {sys.executable} {tmp_path / "unchecked.py"}; echo "rc $?"
        find {disk} -name '*.partial' -o -name '*.lock'
        cp -r {disk}/. {kept}/before
        mount -o remount,size=100m {disk}
        {line(*arguments)} && cp -r {disk}/x.zarr {kept}/after.zarr""",
        tmp_path,
    )
    assert done.rc == 0, done
    assert "rc 1\n" in done.stdout and ".partial" not in done.stdout and ".lock" not in done.stdout
    (error,) = [text for text in done.stderr.splitlines() if "error: " in text]
    assert "No space left on device: the disk is full; free space and run the same command again" in error
    assert "Traceback" not in done.stderr
    before = kept / "before/x.zarr"
    assert before.exists() == (kilobytes > 300)
    assert not before.exists() or (num_commits(before) < 16 and is_clean(before))
    assert file_hashes(kept / "after.zarr") == file_hashes(reference)


@needs_mount
@pytest.mark.parametrize("has_store", [False, True])
def test_read_only_disk_is_refused_before_any_work(corpus, reference, tmp_path, has_store):
    disk = tmp_path / "disk"
    disk.mkdir()
    if has_store:
        shutil.copytree(reference, disk / "x.zarr")
    script = f"mount --bind {disk} {disk} && mount -o remount,ro,bind {disk} && {line(*small(corpus, disk / 'x.zarr'))}"
    done = mounted(script, tmp_path)
    done.refused(2, f"--out {disk / 'x.zarr'}: cannot be written (Read-only file system); choose another place")
    assert done.stdout == "", "not even the sources were scanned"


@needs_mount
def test_read_only_store_is_read_and_verified(reference, tmp_path):
    """A finished store on read-only media needs no write to be checked or shown."""
    disk = tmp_path / "disk"
    shutil.copytree(reference, disk / "x.zarr")
    verify = " ".join(command("verify", disk / "x.zarr", "--regenerate", 5))
    preview = " ".join(command("preview", disk / "x.zarr", "--out", tmp_path / "sheet.png"))
    done = mounted(f"mount --bind {disk} {disk} && mount -o remount,ro,bind {disk} && {verify} && {preview}", tmp_path)
    assert (done.rc, done.stderr) == (0, "") and (tmp_path / "sheet.png").exists()


def test_unwritable_part_of_a_store(corpus, reference, tmp_path):
    """A file where a folder of the store belongs."""
    store = Path(shutil.copytree(reference, tmp_path / "x.zarr"))
    shutil.rmtree(store / "mask/c")
    (store / "mask/c").write_text("in the way")
    failed = call("synthesize", *small(corpus, store))
    failed.refused(1, "mask/c/0/0")
    (store / "mask/c").unlink()
    assert call("synthesize", *small(corpus, store)).rc == 0
    assert file_hashes(store) == file_hashes(reference)
