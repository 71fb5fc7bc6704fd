"""Progress bars on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(what: str, total: int | None = None, unit: str = "it") -> Iterator[Callable[[int], None]]:
    """Show a bar within the block.

    Args:
        what: What is being done.
        total: Number of units, when known beforehand.
        unit: Their name.

    Yields:
        A function that advances the bar by a number of units.
    """
    with tqdm(desc=what, total=total, unit=unit, disable=None, leave=False, smoothing=0.1) as bar:

        def advance(num_units: int) -> None:
            bar.update(num_units)

        yield advance


@contextmanager
def progress_of_scan(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for work that reports (done, total), within the block."""
    with tqdm(desc=what, unit="frame", disable=None, leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
