"""Where work runs: one function opens every kind of client, and closes it again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import psutil
import pytest
from distributed import LocalCluster

from pipelines import cluster
from pipelines.cluster import default_workers, open_client
from synth.errors import RecipeError, StoreError
from tests.support.page_faults import page_faults_of_temporaries


def worker_facts() -> tuple[int, int, object]:
    return os.getpid(), page_faults_of_temporaries(), signal.getsignal(signal.SIGINT)


def test_sync_is_no_client():
    with open_client("sync", 4) as client:
        assert client is None


def test_threads_work_in_this_process():
    with open_client("threads", 3) as client:
        assert client is not None
        assert list(client.nthreads().values()) == [3]
        assert client.submit(os.getpid).result() == os.getpid()
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")


def test_processes_are_tuned_and_leave_interrupts_to_the_launcher():
    with open_client("local", 2) as client:
        assert client is not None
        assert list(client.nthreads().values()) == [1, 1]
        facts = client.run(worker_facts)
        pids = [pid for pid, _, _ in facts.values()]
        assert len(set(pids)) == 2 and os.getpid() not in pids
        assert all(faults < 100 for _, faults, _ in facts.values()), "freed memory stays with a worker"
        assert {handler for _, _, handler in facts.values()} == {signal.SIG_IGN}
        assert all(address.startswith("tcp://127.0.0.1:") for address in facts), "nobody else can reach a worker"
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("kind", ["threads", "local"])
def test_nobody_outside_this_machine_can_reach_it(kind):
    """Whoever reaches a scheduler can run code. Two launchers side by side want no common port either."""
    before = listening(os.getpid())
    with open_client(kind, 1) as client, open_client(kind, 1) as second:
        assert client is not None and second is not None
        addresses = listening(os.getpid()) - before
        for process in {*client.run(os.getpid).values()} - {os.getpid()}:
            addresses |= listening(process)
    assert len(addresses) >= 3 and {host for host, _ in addresses} == {"127.0.0.1"}


def listening(pid: int) -> set[tuple[str, int]]:
    """Return (host, port) of the sockets a process accepts connections on."""
    return {tuple(c.laddr) for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN}


def test_threads_are_gone_afterwards():
    with open_client("threads", 2):
        pass
    assert not [t for t in threading.enumerate() if t.name.startswith("Dask-Default-Threads") and t.is_alive() and not t.daemon]


def test_running_scheduler():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=None
    ) as running:
        with open_client(running.scheduler_address, 8) as client:
            assert client is not None and client.submit(sum, [1, 2]).result() == 3
        assert running.scheduler.workers, "a scheduler that is not ours stays"


@pytest.mark.parametrize("kind", ["", "slrum", "local ", "LOCAL", "processes"])
def test_unknown_kind(kind):
    with pytest.raises(RecipeError, match=r"--cluster must be local .*, threads, sync .*, got"), open_client(kind, 1):
        pytest.fail("opened")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "tcp://"])
def test_no_scheduler_answers(address, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.3)
    with (
        pytest.raises(StoreError, match=r"no scheduler answers within .* start one with `dask scheduler`") as raised,
        open_client(address, 1),
    ):
        pytest.fail("opened")
    assert "\n" not in str(raised.value) and address in str(raised.value)


def test_fault_in_the_block_closes_the_cluster():
    pids: list[int] = []
    with contextlib.suppress(ZeroDivisionError), open_client("local", 1) as client:
        assert client is not None
        pids += client.run(os.getpid).values()
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_default_is_every_processor_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5})
    assert default_workers() == 3


def test_a_slow_start_is_tried_again(monkeypatch):
    """dask asserts that its event loop runs within 10 s, which a stalled machine misses."""
    faults = [AssertionError(), RuntimeError("Cluster failed to start")]

    def start(**settings):
        if faults:
            raise faults.pop(0)
        return LocalCluster(**settings)

    monkeypatch.setattr(cluster, "LocalCluster", start)
    with open_client("threads", 1) as client:
        assert client is not None and client.submit(sum, [1, 2]).result() == 3
    faults.extend([AssertionError()] * 3)
    with pytest.raises(StoreError, match=r"did not start in 3 attempts; .* try fewer --workers"), open_client("local", 1):
        pytest.fail("opened")
