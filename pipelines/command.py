"""What every command shares: one-line errors, exit codes, logging, and finishing the unit in hand on a signal."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

from pipelines.allocator import keep_freed_memory
from pipelines.progress import notice_of_compiling
from synth.errors import FoundryError, RecipeError

EXIT_OK, EXIT_FAULT, EXIT_REFUSED, EXIT_VERIFICATION = 0, 1, 2, 3
EXIT_SIGINT, EXIT_SIGTERM = 130, 143


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with the defaults that say something, and descriptions whose indented blocks are kept as written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = partial(textwrap.fill, width=width, break_on_hyphens=False)
        return "\n\n".join(block if block.startswith(" ") else fill(block) for block in text.strip().split("\n\n"))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_flag, is_empty = action.nargs == 0, action.default in (None, "", [], ())
        return action.help if action.required or is_flag or is_empty else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Argument parser whose faults are one line and exit 2."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(
            prog=f"python -m pipelines.{prog}",
            description=description,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print one line and leave with exit code 2."""
        self.exit(EXIT_REFUSED, f"{self.prog}: error: {message} (see --help)\n")


def seed_number(text: str) -> int:
    """Return a seed of the command line; the ``type`` of every ``--seed``.

    Raises:
        ArgumentTypeError: It is none that generators take, see :func:`synth.rng.keyed_generator`.
    """
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"must be in 0..2^64-1, got {text}")
    return value


def run_command(body: Callable[[argparse.Namespace], int], parser: Parser, argv: Sequence[str] | None) -> int:
    """Parse, run and translate errors: the whole ``main`` of a command.

    Args:
        body: The command; returns its exit code.
        parser: Its parser.
        argv: Arguments without the program name, or None for ``sys.argv``.

    Returns:
        Exit code 0 ok, 1 fault, 2 usage or refusal, 3 verification failed, 130 / 143 stopped by signal.
    """
    arguments = parser.parse_args(argv)
    keep_freed_memory()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        with notice_of_compiling():
            return body(arguments)
    except RecipeError as error:
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        return error.exit_code
    except FoundryError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has gone (`... | head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:  # a disk, a permission, a port: the system's own words say what and where
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_SIGINT


class StopRequest:
    """Set by the first SIGINT or SIGTERM; the second SIGINT interrupts at once.

    Attributes:
        exit_code: 130 or 143 once a signal came, else 0.
    """

    def __init__(self, on_stop: Callable[[], object] = lambda: None) -> None:
        self._event = threading.Event()
        self._on_stop = on_stop
        self.exit_code = EXIT_OK

    def __call__(self) -> bool:
        """Tell whether to stop after the unit in hand."""
        return self._event.is_set()

    def take(self, inner: StopRequest) -> None:
        """Take over the signal that came within an inner block."""
        self.exit_code = inner.exit_code
        self._event.set()
        self._on_stop()

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self._event.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.exit_code = EXIT_SIGINT if signum == signal.SIGINT else EXIT_SIGTERM
        self._event.set()
        self._on_stop()
        print("\nstopping after the unit in hand (Ctrl-C again to abort now)", file=sys.stderr, flush=True)


@contextmanager
def stop_on_signal(on_stop: Callable[[], object] = lambda: None) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request to stop after the unit in hand, within the block.

    A block around this one, as that of a chain of commands, learns of the signal at the end of this one.

    Args:
        on_stop: Called with the first signal, to pass the request on to other processes.
    """
    request = StopRequest(on_stop)
    previous = {number: signal.signal(number, request._handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        outer = getattr(previous[signal.SIGINT], "__self__", None)
        if isinstance(outer, StopRequest) and request():
            outer.take(request)
