"""Progress bars on a terminal, silence elsewhere but for the one wait that looks like a hang."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from numba.core.event import Event, Listener, install_listener
from tqdm import tqdm

if TYPE_CHECKING:
    from pretrain.runtime import StepReport

COMPILING = "compiling kernels that this machine has not used yet: up to about a minute, once"


class _OnFirstCompile(Listener):
    """Prints a line when numba compiles for the first time; what it finds in its cache is no such event."""

    def __init__(self) -> None:
        self._was_said = False

    def on_start(self, event: Event) -> None:
        if not self._was_said:
            self._was_said = True
            print(COMPILING, file=sys.stderr, flush=True)

    def on_end(self, event: Event) -> None:
        """Ignore ends: the line is about the wait that begins."""


@contextmanager
def notice_of_compiling() -> Iterator[None]:
    """Say so on stderr where this process must compile kernels within the block, which takes long and shows no bar."""
    with install_listener("numba:compile", _OnFirstCompile()):
        yield


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
            """Move the bar on, and print a validation that was not printed yet."""
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.3f}", lr=f"{report.lr:.1e}", refresh=False)
            if dict(report.validation) != shown:
                shown.clear()
                shown.update(report.validation)
                tqdm.write(f"step {report.step}: {describe(report.validation)}")

        yield on_step
