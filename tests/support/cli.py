"""Run the project's commands: as a user does, in a process of their own, or quickly in this one."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.progress import COMPILING

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code and what it printed."""

    rc: int
    stdout: str
    stderr: str

    @property
    def content_hash(self) -> str:
        """The content hash in the last line printed."""
        return self.stdout.splitlines()[-1].rpartition("content hash ")[2]

    def refused(self, rc: int, *needles: str) -> None:
        """Assert that the command ended with one clean error line that holds every needle."""
        assert self.rc == rc, self
        assert "Traceback" not in self.stderr and "Traceback" not in self.stdout, self.stderr
        errors = [line for line in self.stderr.splitlines() if "error: " in line]
        assert len(errors) == 1, self.stderr
        for needle in needles:
            assert needle in errors[0], errors[0]


def command(module: str, *arguments: object, prefix: Sequence[str] = ()) -> list[str]:
    """Return the command line of ``python -m pipelines.<module>``."""
    return [*prefix, sys.executable, "-m", f"pipelines.{module}", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, one thread a library, the repository importable from any folder."""
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | dict(extra or {})


def run(
    module: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
    prefix: Sequence[str] = (),
    before: Callable[[], None] | None = None,
) -> Ended:
    """Run a command to its end, without a terminal.

    Args:
        module: Name of the command.
        arguments: Its arguments.
        env: Variables to set besides this process's.
        cwd: Folder to run in.
        prefix: Command line to put before, such as ``unshare``.
        before: Called in the new process before the command starts, for limits.
    """
    ended = subprocess.run(
        command(module, *arguments, prefix=prefix), env=environment(env), cwd=cwd, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL, preexec_fn=before,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout, _told(ended.stderr))


@contextlib.contextmanager
def started(module: str, *arguments: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own; whatever is left of the group is killed at the end of the block."""
    process = subprocess.Popen(
        command(module, *arguments), env=environment(env), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for a started command."""
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    return Ended(process.returncode, stdout, _told(stderr))


def run_on_terminal(module: str, *arguments: object) -> tuple[int, str]:
    """Run a command on a pseudo-terminal of 100 columns; return its exit code and what it showed."""
    primary, secondary = os.openpty()
    termios.tcsetwinsize(secondary, (30, 100))
    process = subprocess.Popen(
        command(module, *arguments), env=environment(), cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=secondary,
        stderr=secondary,
    )  # fmt: skip
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while part := os.read(primary, 4096):
            shown += part
    os.close(primary)
    return process.wait(TIMEOUT_S), shown.decode()


def call(module: str, *arguments: object) -> Ended:
    """Run a command's ``main`` in this process: the same code without the start of an interpreter."""
    main = importlib.import_module(f"pipelines.{module}").main
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []  # so that the command installs its own, on its own stderr
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                rc = main([str(argument) for argument in arguments])
            except SystemExit as left:
                rc = left.code if isinstance(left.code, int) else 1
    finally:
        root.handlers = handlers
    return Ended(rc, out.getvalue(), _told(err.getvalue()))


def _told(stderr: str) -> str:
    """Leave out the line that depends on what numba has in its cache."""
    return stderr.replace(f"{COMPILING}\n", "")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll until something holds.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for: {what}")
        time.sleep(0.005)


SMALL = (
    "split=trainval", "canvas_hw=[64,64]", "noise.window_px=16", "noise.stride_px=16", "store.shard_images=20",
    "num_synthetic=300",
)  # fmt: skip
"""Overrides that turn the preset sirst5k into 4 originals and 300 copies of the hand-made corpus, in 16 shards."""


def small(corpus: Path, out: Path, *options: object, sets: Sequence[str] = (), cluster: str = "sync") -> list[object]:
    """Return the arguments of ``synthesize`` for a small store, under a second of work in one process."""
    flags = [flag for key in (*SMALL, *sets) for flag in ("--set", key)]
    return ["sirst5k", "--source", corpus, "--out", out, "--cluster", cluster, *flags, *options]


def num_commits(store: Path) -> int:
    """Return how many shards of a store are committed."""
    return sum(1 for _ in (store / "commits").glob("shard-*.json"))
