"""What every command shares: errors in one line, exit codes, and stops after the unit in hand."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import numba
import pytest

from pipelines.command import Parser, run_command, stop_on_signal
from pipelines.progress import COMPILING, notice_of_compiling, progress_bar, progress_of_scan
from synth.errors import (
    FoundryError,
    LeakageError,
    RecipeError,
    RefusalError,
    RenderError,
    SourceError,
    StoreError,
    VerificationError,
)

CODES = {
    FoundryError: 1, StoreError: 1, RenderError: 1, RecipeError: 2, SourceError: 2, LeakageError: 2, RefusalError: 2,
    VerificationError: 3,
}  # fmt: skip


def parser() -> Parser:
    made = Parser(prog="demo", description="Does things.")
    made.add_argument("number", type=int, help="a number")
    made.add_argument("--size", type=int, default=7, help="a size")
    made.add_argument("--seed", type=int, default=0, help="a seed")
    made.add_argument("--out", help="a place")
    made.add_argument("--set", action="append", default=[], help="a key")
    made.add_argument("--name", default="", help="a name")
    made.add_argument("--force", action="store_true", help="a flag")
    return made


def run(body, argv=("1",)) -> int:
    return run_command(body, parser(), list(argv))


@pytest.mark.parametrize("number", [0, 1, 3, 130])
def test_exit_code_of_the_body(number):
    assert run(lambda arguments: arguments.number, [str(number)]) == number


@pytest.mark.parametrize("kind", CODES)
def test_errors_become_one_line_and_their_exit_code(kind, capsys):
    def fail(_arguments: argparse.Namespace) -> int:
        raise kind("x.zarr: is wrong; do this")

    assert run(fail) == CODES[kind] == kind.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: x.zarr: is wrong; do this\n")


def test_every_fault_of_a_recipe_is_a_line(capsys):
    def fail(_arguments: argparse.Namespace) -> int:
        raise RecipeError("seed must be >= 0", "passes: got\n[]")

    assert run(fail) == 2
    assert capsys.readouterr().err == "error: seed must be >= 0\nerror: passes: got []\n"


def test_fault_of_the_system_is_one_line(capsys):
    def fail(_arguments: argparse.Namespace) -> int:
        Path("/nowhere/at/all").read_bytes()
        return 0

    assert run(fail) == 1
    assert capsys.readouterr().err == "error: [Errno 2] No such file or directory: '/nowhere/at/all'\n"


def test_bugs_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(lambda _: 1 // 0)


def test_interrupt(capsys):
    def stop(_arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    assert run(stop) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize(
    ("argv", "needle"),
    [
        ([], "the following arguments are required: number"),
        (["x"], "invalid int value: 'x'"),
        (["1", "--siz", "2"], "unrecognized arguments: --siz 2"),
        (["1", "2"], "unrecognized arguments: 2"),
    ],
)
def test_usage_faults_are_one_line_and_exit_2(argv, needle, capsys):
    with pytest.raises(SystemExit) as left:
        run(lambda _: 0, argv)
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("python -m pipelines.demo: error: ") and needle in err and err.count("\n") == 1


def test_help_shows_defaults(capsys):
    with pytest.raises(SystemExit) as left:
        run(lambda _: 0, ["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "a size (default: 7)" in shown and "a seed (default: 0)" in shown
    assert shown.count("default") == 2, "nothing, an empty list or text, and a flag not given say nothing"


def test_help_shows_no_default_of_a_required_option(capsys):
    made = parser()
    made.add_argument("--data", required=True, default="x", help="what to read")
    with pytest.raises(SystemExit):
        run_command(lambda _: 0, made, ["--help"])
    assert "what to read\n" in capsys.readouterr().out


def test_help_fills_text_and_keeps_commands_as_written(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "42")
    command = "    python -m pipelines.demo 7 --out FOLDER          a comment"
    made = Parser(prog="demo", description=f"Does things.\n\n{command}\n\n{' '.join(['word'] * 12)}\nnext-to-last")
    with pytest.raises(SystemExit):
        run_command(lambda _: 0, made, ["--help"])
    shown = capsys.readouterr().out
    assert f"\n\n{command}\n\n{' '.join(['word'] * 8)}\n{' '.join(['word'] * 4)} next-to-last\n" in shown


def test_reader_of_the_output_may_leave():
    """``command | head -1`` ends well."""
    script = "import sys\nfrom pipelines.command import Parser, run_command\n"
    script += "body = lambda _: print('x\\n' * 200_000) or 0\n"
    script += "sys.exit(run_command(body, Parser(prog='x', description=''), []))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0 and process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_asks_to_stop(number, code, capsys):
    before = signal.getsignal(number)
    with stop_on_signal() as stop:
        assert not stop() and stop.exit_code == 0
        os.kill(os.getpid(), number)
        assert stop() and stop.exit_code == code
    assert "stopping after the unit in hand" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_second_interrupt_stops_at_once():
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)


def test_second_termination_waits_on(capsys):
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143


def test_handlers_come_back_after_a_fault():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), stop_on_signal():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_progress_away_from_a_terminal(capsys):
    with progress_bar("work", 10, "img") as advance, progress_of_scan("scan") as report:
        for done in range(10):
            advance(1)
            report(done + 1, 10)
    assert capsys.readouterr() == ("", "")


def test_the_first_kernel_compiled_is_announced_once(capsys):
    first, second = (numba.njit(body) for body in (lambda x: x + 1, lambda x: x + 2))
    with notice_of_compiling():
        assert capsys.readouterr().err == ""
        assert (first(1), second(1)) == (2, 3)
    assert capsys.readouterr() == ("", f"{COMPILING}\n")
    with notice_of_compiling():
        assert first(1) == 2
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal():
    """A pseudo-terminal shows count, total and rate."""
    script = "from pipelines.progress import progress_bar\n"
    script += "with progress_bar('work', 10, 'img') as advance:\n    advance(4)\n    advance(6)\n"
    primary, secondary = os.openpty()
    termios.tcsetwinsize(secondary, (24, 80))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=secondary, stderr=secondary, stdin=subprocess.DEVNULL)
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while part := os.read(primary, 4096):
            shown += part
    os.close(primary)
    assert process.wait(30) == 0
    assert b"work" in shown and b"0/10" in shown and b"img" in shown


def test_stop_may_be_asked_from_any_thread():
    with stop_on_signal() as stop:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(stop()))
        thread.start()
        thread.join()
        assert answers == [False]
