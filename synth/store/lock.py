"""One writer per shard range: a lock file per range, created before it is checked against the others.

Two launchers that come at the same instant may both refuse, never both go on. A lock left by a process that died on this
machine is taken over with a warning; one from another machine, or one that cannot be read, needs ``--force-unlock``. Nothing
removes the lock of a process that lives on this machine.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synth.errors import RefusalError, StoreError

_LOG = logging.getLogger(__name__)


@contextmanager
def locked_range(store: Path, shards: range, *, force: bool = False) -> Iterator[None]:
    """Hold the lock of a shard range within the block.

    Args:
        store: The store.
        shards: The range.
        force: Remove locks in the way, except those of processes that live on this machine.

    Raises:
        RefusalError: Another launcher holds an overlapping range.
        StoreError: The lock cannot be written.
    """
    folder = store / "locks"
    own = folder / f"{shards.start:06d}-{shards.stop:06d}.{socket.gethostname()}.{os.getpid()}.lock"
    _create(own, force)
    try:
        for other in sorted(folder.glob("*.lock")):
            if other != own and _overlaps(other, shards):
                _take_over(other, force)
        yield
    finally:
        own.unlink(missing_ok=True)


def _create(lock: Path, force: bool) -> None:
    """Write our lock; one of this name is ours already, or was left by a process that had our number."""
    try:
        lock.parent.mkdir(exist_ok=True)
        if lock.exists():
            _take_over(lock, force)
        file = lock.open("x")
    except OSError as error:
        raise _unwritable(lock, error) from error
    try:
        with file:
            json.dump(_owner(), file)
    except OSError as error:
        lock.unlink(missing_ok=True)
        raise _unwritable(lock, error) from error


def _unwritable(lock: Path, error: OSError) -> StoreError:
    return StoreError(f"{lock}: cannot be written ({error.strerror}); choose a store you may write to")


def _owner() -> dict[str, str | int]:
    return {
        "host": socket.gethostname(), "pid": os.getpid(), "started": _process_start(os.getpid()), "boot": _boot_id(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }  # fmt: skip


def _overlaps(lock: Path, shards: range) -> bool:
    try:
        start, stop = (int(part) for part in lock.name.split(".")[0].split("-"))
    except ValueError:
        return True
    return start < shards.stop and shards.start < stop


def _take_over(lock: Path, force: bool) -> None:
    """Remove a lock whose owner is dead, or may be and it is asked for; refuse otherwise."""
    try:
        owner = json.loads(lock.read_text())
    except FileNotFoundError:
        return  # released meanwhile
    except (OSError, ValueError):
        owner = {}
    if not isinstance(owner, dict):
        owner = {}
    is_dead, is_alive = _is_dead(owner), _is_alive(owner)
    if is_dead or (force and not is_alive):
        why = "was left by a process that is gone; taking it over" if is_dead else "removed on request"
        _LOG.warning("lock %s %s", lock.name, why)
        lock.unlink(missing_ok=True)
        return
    advice = "stop it (--force-unlock is for those that are gone)" if is_alive else "pass --force-unlock if it is gone"
    raise RefusalError(
        f"{lock.parent.parent}: shards {lock.name.split('.')[0]} are being written by process {owner.get('pid', '?')} on "
        f"{owner.get('host', '?')} since {owner.get('since', '?')}; wait for it, give other --shards, or {advice}"
    )


def _is_dead(owner: dict[str, str | int]) -> bool:
    """Tell whether a lock's owner certainly ran on this machine and is gone."""
    if owner.get("host") != socket.gethostname():
        return False
    if owner.get("boot") != _boot_id():
        return True
    return owner.get("started") != _process_start(int(owner.get("pid", -1)))


def _is_alive(owner: dict[str, str | int]) -> bool:
    """Tell whether a lock's owner certainly runs on this machine."""
    may_live_here = owner.get("host") == socket.gethostname() and not _is_dead(owner)
    return may_live_here and _process_start(int(owner.get("pid", -1))) != ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _process_start(pid: int) -> str:
    """Start time of a process in clock ticks since boot, empty when there is no such process or it has ended (Linux)."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in ("Z", "X") else others[18]  # a zombie only waits for its parent to notice
    except (OSError, IndexError, ValueError):
        return ""
