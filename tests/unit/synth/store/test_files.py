"""Files are whole or absent, whatever the disk does; faults of the system become one readable line."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synth.errors import RefusalError, StoreError
from synth.store import files
from synth.store.files import (
    is_vacant,
    make_folder,
    path_below,
    read_json,
    refuse_symlink,
    sha256_of_file,
    write_durably,
    write_json,
)

PARTS = [b"first ", b"", b"second"]
WHOLE = b"first second"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_hash_and_folder(tmp_path):
    target = tmp_path / "a/b/file"
    assert write_durably(target, PARTS) == hashlib.sha256(WHOLE).hexdigest() == sha256_of_file(target)
    assert target.read_bytes() == WHOLE
    assert names(target.parent) == ["file"]


def test_replaces_what_was_there(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"a longer content that was there before")
    write_durably(target, PARTS)
    assert target.read_bytes() == WHOLE


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    assert write_durably(tmp_path / "file", PARTS) == hashlib.sha256(WHOLE).hexdigest()
    assert (tmp_path / "file").read_bytes() == WHOLE


@pytest.fixture
def events(monkeypatch) -> list[str]:
    """Names of what is synced and renamed from now on, in order."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def traced_fsync(descriptor):
        events.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def traced_replace(path, target):
        events.append(f"rename to {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "replace", traced_replace)
    return events


def test_synced_before_the_rename_and_the_folder_after_it(tmp_path, events):
    write_durably(tmp_path / "file", PARTS)
    first, *rest = events
    assert first.startswith("sync .file.") and first.endswith(".partial")
    assert rest == ["rename to file", f"sync {tmp_path.name}"]


def test_the_names_of_new_folders_are_synced_before_the_file(tmp_path, events):
    """A name stands in the folder above it: each folder that got a new one is synced, none besides."""
    (tmp_path / "image").mkdir()
    write_durably(tmp_path / "image/c/7/file", PARTS)
    *above, file, _rename, parent = events
    assert above == ["sync image", "sync c"] and file.startswith("sync .file.") and parent == "sync 7"
    events.clear()
    write_durably(tmp_path / "image/c/8/file", PARTS)
    assert events[0] == "sync c" and len(events) == 4


def test_a_folder_that_another_writer_makes_first_is_fine(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def overtaken(path, *arguments, **keywords):
        mkdir(path)
        mkdir(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "mkdir", overtaken)
    make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()


def test_a_folder_with_nothing_but_leftovers_of_killed_writers_is_vacant(tmp_path):
    """The leftover is the one of a writer that is killed as hard as can be."""
    script = "import os, signal; from synth.store.files import write_durably; from pathlib import Path\n"
    script += "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += f"write_durably(Path({str(tmp_path / 'file')!r}), [b'x'])"
    assert is_vacant(tmp_path)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".file.") and is_vacant(tmp_path)


@pytest.mark.parametrize("name", ["file", "file.partial", ".hidden", ".file.abc.partial/", ".file.abc.partial@"])
def test_a_folder_with_anything_else_is_not_vacant(tmp_path, name):
    other = tmp_path / name.rstrip("/@")
    if name.endswith("/"):
        other.mkdir()
    elif name.endswith("@"):
        other.symlink_to("nowhere")
    else:
        other.touch()
    assert not is_vacant(tmp_path)


@pytest.mark.parametrize("umask", ["0022", "0077", "0002"])
def test_permissions_follow_the_umask(tmp_path, umask):
    script = f"import os; os.umask(0o{umask}); from synth.store.files import write_durably; from pathlib import Path\n"
    script += f"write_durably(Path({str(tmp_path / 'file')!r}), [b'x'])"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~int(umask, 8)


ADVICE = {
    errno.ENOSPC: "disk is full",
    errno.EDQUOT: "quota",
    errno.EFBIG: "file size limit",
    errno.EROFS: "read-only",
    errno.EACCES: "permission denied",
    errno.EIO: "check the disk",
}


@pytest.mark.parametrize("number", ADVICE)
@pytest.mark.parametrize("call", ["write", "fsync", "mkstemp", "replace"])
def test_faults_of_the_disk(tmp_path, monkeypatch, number, call):
    """The old file stays, no temporary is left, and the line says which file, why and what to do."""
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail(*_arguments, **_keywords):
        raise OSError(number, os.strerror(number))

    owner = {"mkstemp": files.tempfile, "replace": Path}.get(call, os)
    monkeypatch.setattr(owner, call, fail)
    with pytest.raises(StoreError) as raised:
        write_durably(target, PARTS)
    monkeypatch.undo()
    message = str(raised.value)
    assert message.startswith(f"{target}: {os.strerror(number)}: ") and ADVICE[number] in message and "\n" not in message
    assert names(tmp_path) == ["file"] and target.read_bytes() == b"old"


def test_no_temporary_is_left_when_stopped_in_the_middle(tmp_path, monkeypatch):
    def stop(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "file", PARTS)
    assert names(tmp_path) == []


def test_other_bytes_read_back_are_noticed(tmp_path, monkeypatch):
    real = os.write

    def damage(descriptor, data):
        return real(descriptor, bytes(data)[:-1] + b"?")

    monkeypatch.setattr(os, "write", damage)
    with pytest.raises(StoreError, match="other bytes"):
        write_durably(tmp_path / "file", PARTS)
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system has no such call")
@pytest.mark.parametrize("size", [files.BLOCK_BYTES - 1, files.BLOCK_BYTES])
def test_large_files_leave_the_cache_once_they_are_on_the_disk(tmp_path, monkeypatch, size):
    events = []
    fsync = os.fsync

    def traced_fsync(descriptor):
        events.append("sync")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "posix_fadvise", lambda _descriptor, *request: events.append(request))
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    write_durably(tmp_path / "file", [content])
    whole = (0, 0, os.POSIX_FADV_DONTNEED)
    assert events == (["sync", whole, "sync"] if size == files.BLOCK_BYTES else ["sync", "sync"])  # the last one is the folder's
    assert (tmp_path / "file").read_bytes() == content


def test_part_of_the_path_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file/inner: .*part of the path is a file|file/inner: File exists"):
        write_durably(tmp_path / "file/inner", PARTS)


def test_json_is_canonical(tmp_path):
    sha256 = write_json(tmp_path / "a", {"b": 1, "a": [1.5, None]})
    assert sha256 == write_json(tmp_path / "b", {"a": [1.5, None], "b": 1})
    assert read_json(tmp_path / "a") == {"a": [1.5, None], "b": 1}


def test_json_holds_finite_numbers_only(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", {"scr": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a": 1} x', b"9" * 5000])
def test_bad_json_is_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(RefusalError, match="a: is not valid JSON"):
        read_json(tmp_path / "a")


def test_missing_json(tmp_path):
    with pytest.raises(StoreError, match="a: No such file or directory: not found"):
        read_json(tmp_path / "a")


def test_huge_json_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 10)
    (tmp_path / "a").write_bytes(b"[1,2,3,4,5]")
    with pytest.raises(RefusalError, match="larger than 10 bytes"):
        read_json(tmp_path / "a")


def test_links_are_refused(tmp_path):
    (tmp_path / "real").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nothing")
    refuse_symlink(tmp_path / "real")
    for name in ("link", "dangling"):
        with pytest.raises(RefusalError, match=f"{name}: is a symbolic link"):
            read_json(tmp_path / name)


def test_a_linked_folder_on_the_way_is_refused(tmp_path):
    (tmp_path / "store/image").mkdir(parents=True)
    (tmp_path / "elsewhere/0").mkdir(parents=True)
    (tmp_path / "store/image/c").symlink_to(tmp_path / "elsewhere")
    assert path_below(tmp_path / "store", "image/x") == tmp_path / "store/image/x"
    with pytest.raises(RefusalError, match="image/c: is a symbolic link"):
        path_below(tmp_path / "store", "image/c/0/0")
