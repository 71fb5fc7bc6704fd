"""Frames to do -> one task each -> done on disk; the sliding window keeps the scheduler's memory flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future

from pipelines.evaluate_job import Job, write_frame
from synth.corpora import FrameRef
from synth.errors import FoundryError, StoreError
from synth.generate import stream_results

WINDOW_PER_WORKER = 2
"""Tasks in flight per worker thread: one running, one waiting. A stop lets them end, and a frame may take half a minute."""


@dataclass(slots=True)
class Outcome:
    """What a run did.

    Attributes:
        num_written: Frames predicted.
        num_skipped: Frames that were done already.
        failures: Id -> error, for frames that could not be predicted.
    """

    num_written: int = 0
    num_skipped: int = 0
    failures: dict[str, Exception] = field(default_factory=dict)


def run_frames(
    job: Job, refs: Sequence[FrameRef], *, client: Client | None, should_stop: Callable[[], bool], advance: Callable[[int], None]
) -> Outcome:
    """Predict frames; a frame that fails does not stop the others, except when the disk does.

    Args:
        job: What they have in common.
        refs: The frames.
        client: Dask client, or None to work in this process.
        should_stop: Asked between frames; when true, frames in hand are finished and the rest is left.
        advance: Called with 1 after each frame.

    Raises:
        StoreError: The disk refuses a file.
    """
    outcome = Outcome()
    results = _run_here(job, refs, should_stop) if client is None else _run_on(client, job, refs, should_stop)
    for frame_id, result in results:
        if isinstance(result, StoreError):
            raise result
        if isinstance(result, Exception):
            outcome.failures[frame_id] = result
        else:
            outcome.num_written += result
            outcome.num_skipped += not result
        advance(1)
    return outcome


_Results = Iterator[tuple[str, bool | Exception]]


def _run_here(job: Job, refs: Sequence[FrameRef], should_stop: Callable[[], bool]) -> _Results:
    for ref in refs:
        if should_stop():
            return
        try:
            yield ref.id, write_frame(job, ref)
        except FoundryError as error:
            yield ref.id, error


def _run_on(client: Client, job: Job, refs: Sequence[FrameRef], should_stop: Callable[[], bool]) -> _Results:
    def submit(ref: FrameRef) -> Future[Any]:
        return client.submit(write_frame, job, ref, pure=False)

    for ref, result in stream_results(client, submit, refs, per_worker=WINDOW_PER_WORKER, should_stop=should_stop):
        if isinstance(result, Exception) and not isinstance(result, FoundryError):
            raise result
        yield ref.id, result
