"""``--cluster``: where work runs. The only place that makes dask clients."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from pipelines.allocator import keep_freed_memory
from synth.errors import RecipeError, StoreError

CONNECT_TIMEOUT_S = 10
NUM_STARTS = 3
KINDS = "local (processes), threads, sync (this process), or the address of a running scheduler (tcp://host:port)"


class _SetUpProcess(WorkerPlugin):
    """Worker processes keep freed memory, and leave Ctrl-C, which reaches all of the terminal, to the launcher."""

    def setup(self, worker: Worker) -> None:
        """Set the allocator and ignore SIGINT: the shard in hand must end."""
        keep_freed_memory()
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def open_client(kind: str, num_workers: int) -> Iterator[Client | None]:
    """Give a dask client for the block, or None for work in this process.

    Args:
        kind: ``local``, ``threads``, ``sync``, or a scheduler address.
        num_workers: Processes or threads of ``local`` and ``threads``.

    Raises:
        RecipeError: The kind is unknown.
        StoreError: No scheduler answers at the address, or local workers do not start.
    """
    for name in ("distributed", "distributed.worker"):  # commands tell of a failed task themselves, in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if kind == "sync":
        yield None
        return
    gc.collect()  # dask waits for itself when a client that never connected is collected while an event loop starts
    if "://" in kind:
        with _connect(kind) as client:
            yield client
        return
    if kind not in ("local", "threads"):
        raise RecipeError(f"--cluster must be {KINDS}, got {kind!r}")
    with _start(kind, num_workers) as cluster, Client(cluster) as client:
        if kind == "local":
            client.register_plugin(_SetUpProcess())
        yield client


def _start(kind: str, num_workers: int) -> LocalCluster:
    settings = {
        "distributed.nanny.pre-spawn-environ.NUMBA_NUM_THREADS": "1",
        "distributed.worker.daemon": True,
        "distributed.admin.system-monitor.gil.enabled": False,
    }
    for _ in range(NUM_STARTS):
        # dask gives its event loop and its processes fixed times to start; a machine that stalls can exceed them
        with dask.config.set(settings), suppress(AssertionError, RuntimeError, TimeoutError):
            return LocalCluster(
                n_workers=num_workers if kind == "local" else 1,
                threads_per_worker=1 if kind == "local" else num_workers,
                processes=kind == "local",
                host="127.0.0.1",  # with tcp for threads too: dask listens on every interface of the machine otherwise
                protocol="tcp://",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its fixed default port is taken by a second launcher
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
    raise StoreError(
        f"--cluster {kind}: {num_workers} workers did not start in {NUM_STARTS} attempts; the machine is overloaded: "
        "try fewer --workers, or --cluster sync"
    )


def default_workers() -> int:
    """Return the processors this process may use."""
    return len(os.sched_getaffinity(0))


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"--cluster {address}: no scheduler answers within {CONNECT_TIMEOUT_S} s; start one with `dask scheduler`"
        ) from error
