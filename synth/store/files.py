"""Files that are whole or absent: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synth.errors import RefusalError, StoreError

PARTIAL_SUFFIX = ".partial"
HOLD_NAME = ".lock"
MAX_JSON_BYTES = 512 * 2**20
BLOCK_BYTES = 2**20


def write_durably(path: Path, parts: Sequence[bytes]) -> str:
    """Write a file so that a crash leaves the old one, the new one, or a stray temporary.

    What the file system gives back is compared with what was meant before the rename.

    Args:
        path: Final place; its folder is made, durably too.
        parts: The content, in pieces.

    Returns:
        sha256 of the content.

    Raises:
        StoreError: The disk is full or read-only, or gives back other bytes.
    """
    digest = hashlib.sha256()
    try:
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX, dir=path.parent)
    except OSError as error:
        raise store_error(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b", buffering=0) as file:
            for block in _in_blocks(parts):
                _write_all(file.fileno(), block)
                digest.update(block)
            os.fsync(file.fileno())
            file.seek(0)
            if any(file.read(len(part)) != part for part in parts):
                raise StoreError(f"{path}: the file system gave back other bytes than were written; check the disk")
            _forget(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
        sync_path(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise store_error(path, error) from error
        raise
    return digest.hexdigest()


def is_vacant(folder: Path) -> bool:
    """Tell whether a folder holds nothing but what a killed :func:`write_durably` left there: none of it was ever whole."""
    return all(is_leftover(entry) for entry in folder.iterdir())


def is_leftover(path: Path) -> bool:
    """Tell whether a path is the stray temporary of a :func:`write_durably` that was killed."""
    is_named_so = path.name.startswith(".") and path.name.endswith(PARTIAL_SUFFIX)
    return is_named_so and path.is_file() and not path.is_symlink()


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, where they are missing, and make the names of the new ones durable.

    Raises:
        OSError: It cannot be made.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_path(new.parent)


def write_json(path: Path, content: Any) -> str:
    """Write canonical JSON (sorted keys, finite numbers only) durably; return its sha256."""
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    return write_durably(path, [text.encode()])


def read_json(path: Path) -> Any:
    """Read a JSON file of ours.

    Raises:
        RefusalError: It is a symbolic link, too large, or not JSON.
        StoreError: It is missing or unreadable.
    """
    refuse_symlink(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RefusalError(f"{path}: larger than {MAX_JSON_BYTES} bytes; this is not a file of ours")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise store_error(path, error) from error
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"{path}: is not valid JSON ({error}); restore it from a copy") from error


@contextlib.contextmanager
def hold_folder(folder: Path, taken: str) -> Iterator[None]:
    """Hold a folder within the block against other processes that hold it; the system lets go when the process ends.

    Args:
        folder: The folder, which exists; :data:`HOLD_NAME` in it stays.
        taken: What to say when another process holds it.

    Raises:
        RefusalError: One does.
        StoreError: It cannot be written.
    """
    try:
        file = (folder / HOLD_NAME).open("w")
    except OSError as error:
        raise store_error(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusalError(taken) from None
        yield


def refuse_symlink(path: Path) -> None:
    """Raise when a path of a store is a symbolic link.

    Raises:
        RefusalError: It is one.
    """
    if path.is_symlink():
        raise RefusalError(f"{path}: is a symbolic link; a store holds plain files only, copy the target in its place")


def path_below(store: Path, name: str) -> Path:
    """Return the path of a file of a store, every folder on the way checked.

    Args:
        store: Root of the store.
        name: Relative path.

    Raises:
        RefusalError: The file, or a folder between it and the root, is a symbolic link.
    """
    path = store
    for part in Path(name).parts:
        path = path / part
        refuse_symlink(path)
    return path


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_path(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _in_blocks(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Join pieces to blocks of about a MiB: fewer calls cost the kernel less per byte."""
    block: list[bytes] = []
    size = 0
    for part in parts:
        block.append(part)
        size += len(part)
        if size >= BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    if size:
        yield b"".join(block)


def _forget(descriptor: int) -> None:
    """Take a file that is on the disk out of the system's cache, so that the next one is written into the same memory.

    Memory touched for the first time costs five times the writing itself on a virtual machine, and the sources are worth
    more in the cache than what is not read again here.
    """
    if os.fstat(descriptor).st_size >= BLOCK_BYTES and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def store_error(path: Path, error: OSError) -> StoreError:
    """Return what to raise when the operating system refuses a read or write, with advice.

    Args:
        path: The file or folder meant.
        error: What the system said.
    """
    advice = {
        errno.ENOSPC: "the disk is full; free space and run the same command again, finished shards are kept",
        errno.EDQUOT: "the quota is used up; free space and run the same command again, finished shards are kept",
        errno.EFBIG: "the file size limit is reached; raise it and run the same command again, finished shards are kept",
        errno.EROFS: "the file system is read-only; choose another --out",
        errno.EACCES: "permission denied; choose another --out or correct its permissions",
        errno.ENOENT: "not found; restore it",
        errno.ENOTDIR: "a part of the path is a file; choose another --out",
    }.get(error.errno or 0, "check the disk")
    return StoreError(f"{path}: {error.strerror or error}: {advice}")


def _current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _current_umask()
