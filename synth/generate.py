"""Generate: shards to do -> one task each -> done on disk. The only place in ``synth`` that speaks dask.

A task is tiny (paths and a number): workers take recipe, sources and noise bank from the store itself, and nothing but
"shard k is written" comes back. Tasks are submitted in a sliding window, so the scheduler's memory does not grow with the
store; a task that finds its shard committed does nothing, so re-submission after a lost worker is harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from distributed import CancelledError, Client, Future, as_completed

from synth.errors import FoundryError, StoreError
from synth.job import ShardResult, write_shard
from synth.store.manifest import Manifest

_Item = TypeVar("_Item")
WINDOW_PER_WORKER = 4
"""Tasks in flight per worker thread: one running, three waiting, so that nobody waits for the scheduler when shards cost nothing
(2.6 ms each instead of 4.0 with two). A stop lets them end, so this bounds how long it takes."""


@dataclass(slots=True)
class Outcome:
    """What a generation did.

    Attributes:
        num_written: Samples written.
        num_skipped: Shards that were done already.
        failures: Shard -> error, for shards that could not be made.
        stopped: Whether a stop was asked for before the end.
    """

    num_written: int = 0
    num_skipped: int = 0
    failures: dict[int, Exception] = field(default_factory=dict)
    stopped: bool = False


def generate(
    store: Path,
    shards: Sequence[int],
    *,
    client: Client | None,
    source_root: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_done: Callable[[ShardResult], None] = lambda _: None,
) -> Outcome:
    """Write shards of a store that exists.

    Args:
        store: The store, with manifest and noise bank; every worker must see it at this path.
        shards: Numbers of the shards to write, in any order; those done already are skipped.
        client: Dask client, or None to work in this process.
        source_root: Folder of the source frames, when it is not where the manifest says.
        should_stop: Asked between shards; when true, shards in hand are finished and the rest is left.
        on_done: Called for every shard that is done.

    Returns:
        What was done; a shard that fails does not stop the others, except when the disk does.
    """
    path = str(store.resolve())
    arguments = (path, str(source_root.resolve()) if source_root else None, _task_key(path, Manifest.load(store)))
    outcome = Outcome()
    results = _run_here(arguments, shards, should_stop) if client is None else _run_on(client, arguments, shards, should_stop)
    for shard, result in results:
        if isinstance(result, ShardResult):
            outcome.num_written += result.num_written
            outcome.num_skipped += result.num_written == 0
            on_done(result)
        else:
            outcome.failures[shard] = result
    outcome.stopped = should_stop()
    return outcome


def _task_key(path: str, manifest: Manifest) -> str:
    """Name a store so that no other one, at this path or elsewhere, shares its tasks or the job a worker holds for it."""
    identity = [path, manifest.recipe_hash] + [manifest.content[key] for key in ("shape", "noise_digest")]
    identity.append(manifest.content["sources"]["digest"])
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


_Arguments = tuple[str, str | None, str]
_Results = Iterator[tuple[int, ShardResult | Exception]]


def _run_here(arguments: _Arguments, shards: Sequence[int], should_stop: Callable[[], bool]) -> _Results:
    for shard in shards:
        if should_stop():
            return
        try:
            yield shard, write_shard(*arguments, shard)
        except StoreError:
            raise
        except FoundryError as error:
            yield shard, error


def _run_on(client: Client, arguments: _Arguments, shards: Sequence[int], should_stop: Callable[[], bool]) -> _Results:
    disk_error: StoreError | None = None

    def submit(shard: int) -> Future[Any]:
        return client.submit(write_shard, *arguments, shard, key=f"write-{arguments[2]}-{shard}", pure=False)

    def is_over() -> bool:
        return disk_error is not None or should_stop()

    for shard, result in stream_results(client, submit, shards, per_worker=WINDOW_PER_WORKER, should_stop=is_over):
        if isinstance(result, StoreError):
            disk_error = result  # no shard can be written any more: let those in hand end, start no other
        else:
            yield shard, result
    if disk_error is not None:
        raise disk_error


def stream_results(
    client: Client,
    submit: Callable[[_Item], Future[Any]],
    items: Iterable[_Item],
    *,
    per_worker: int,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[_Item, Any]]:
    """Yield (item, its task's result or error) as tasks end, never more than a window of tasks in flight.

    Args:
        client: Where they run.
        submit: Starts the task of an item.
        items: What to do, in order.
        per_worker: Tasks in flight per worker thread.
        should_stop: Asked before each task; when true, tasks in flight are finished and the rest is left.

    Raises:
        CancelledError: The scheduler is gone.
    """
    todo, item_of = iter(items), dict[Any, _Item]()
    running = as_completed(with_results=True, raise_errors=False)  # results travel with the news that they are there

    def submit_next() -> None:
        """Hand the next item, where there is one, to the scheduler."""
        if should_stop():
            return
        for item in islice(todo, 1):
            future = submit(item)
            item_of[future.key] = item
            running.add(future)

    for _ in range(per_worker * max(1, sum(client.nthreads().values()))):
        submit_next()
    for future, result in running:
        if isinstance(result, CancelledError):
            raise result
        yield item_of.pop(future.key), result[1] if future.status == "error" else result
        future.release()
        submit_next()
