"""Progress bars on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from pretrain.runtime import StepReport


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


@contextmanager
def progress_of_training(
    name: str, steps: int, describe: Callable[[Mapping[str, float]], str], *, is_shown: bool
) -> Iterator[Callable[[StepReport], None]]:
    """Show a bar of optimiser steps within the block, and a line for each validation.

    Args:
        name: What is trained.
        steps: Steps of the run.
        describe: A validation in words.
        is_shown: Whether this process shows the bar, on a terminal.

    Yields:
        What to call after each step.
    """
    shown: dict[str, float] = {}
    with tqdm(desc=name, total=steps, unit="step", disable=None if is_shown else True) as bar:

        def on_step(report: StepReport) -> None:
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.3f}", lr=f"{report.lr:.1e}", refresh=False)
            if dict(report.validation) != shown:
                shown.clear()
                shown.update(report.validation)
                tqdm.write(f"step {report.step}: {describe(report.validation)}")

        yield on_step
