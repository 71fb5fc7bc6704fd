"""Run a whole chain of commands, from frames (or none) to the report, and go on where it stopped.

    python -m pipelines.run quickstart --out DIR                   no data needed; nine minutes on two CPU cores
    python -m pipelines.run nuaa --data $SIRST_DATA --out DIR
    python -m pipelines.run RECIPE --out DIR --dry-run             every command that it stands for; nothing is written

RECIPE is one of {names}, or a YAML file. Each stage is a command of its own, printed before it runs, so that it can
be run by hand. A finished stage is recorded in DIR/stages and is skipped while its arguments, its recipe, what it read and what
it wrote are still the same; else its command runs again, which resumes, finds all done, or says what differs. SIGTERM and Ctrl-C
let the stage in hand save its state; the same command goes on there.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.cluster import default_workers
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.run_recipe import DATA, STAGES_NAME, WORKERS, ChainRecipe, Stage, fill
from pipelines.run_records import Place
from synth.errors import RecipeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="run", description=(__doc__ or "").format(names=", ".join(recipe_names("chain"))))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make or resume")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of your frames, where the recipe uses them")
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="what {workers} stands for")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print every stage and whether it would run")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise RecipeError(f"--workers must be >= 1, got {arguments.workers}")
    chain = load_recipe(arguments.recipe, ChainRecipe, arguments.overrides, stage="chain")
    if chain.needs_data and arguments.data is None:
        raise RecipeError(f"--data must be given for {chain.name}: stage {chain.needs_data[0]} uses it")
    place = Place(arguments.out, arguments.data)
    place.check(chain.stages)
    values = {DATA: str(arguments.data), WORKERS: str(arguments.workers)}
    values |= {stage.name: str(place.output(stage)) for stage in chain.stages}
    command_lines = {stage.name: _command_line(stage, place, values) for stage in chain.stages}
    if arguments.dry_run:
        return _print_plan(chain, place, command_lines)
    (place.out / STAGES_NAME).mkdir(parents=True, exist_ok=True)
    with stop_on_signal() as stop:
        return _run_stages(chain, place, command_lines, stop)


def _command_line(stage: Stage, place: Place, values: Mapping[str, str]) -> list[str]:
    """Return the arguments of the command of a stage."""
    return [*(fill(argument, values) for argument in stage.arguments), "--out", str(place.output(stage))]


def _print_plan(chain: ChainRecipe, place: Place, command_lines: Mapping[str, Sequence[str]]) -> int:
    outputs: dict[str, str] = {}
    for number, stage in enumerate(chain.stages, 1):
        known = all(name in (DATA, WORKERS) or name in outputs for name in stage.references)
        if known and (found := place.finished(stage, place.promise(stage, outputs))) is not None:
            outputs[stage.name] = found
        _print_heading(chain, number, "finished, would be skipped" if stage.name in outputs else "would run")
        print(f"  {_shown(stage, command_lines)}")
    print("nothing written (--dry-run)")
    return EXIT_OK


def _run_stages(chain: ChainRecipe, place: Place, command_lines: Mapping[str, Sequence[str]], stop: StopRequest) -> int:
    outputs: dict[str, str] = {}
    for number, stage in enumerate(chain.stages, 1):
        if stop():
            return stop.exit_code
        promise = place.promise(stage, outputs)
        found = place.finished(stage, promise)
        _print_heading(chain, number, "" if found is None else "finished, skipped")
        if found is None:
            print(f"  {_shown(stage, command_lines)}", flush=True)
            place.output(stage).parent.mkdir(parents=True, exist_ok=True)
            if (rc := _call(stage.command, command_lines[stage.name])) != EXIT_OK:
                print(f"stage {stage.name} ended with exit code {rc}; the same command goes on there", file=sys.stderr)
                return rc
            found = place.record(stage, promise)
        outputs[stage.name] = found
    print(f"\n{chain.name}: all {len(chain.stages)} stages are finished; the last one wrote {place.output(chain.stages[-1])}")
    return stop.exit_code


def _print_heading(chain: ChainRecipe, number: int, state: str) -> None:
    stage = chain.stages[number - 1]
    print(f"\n[{number}/{len(chain.stages)}] {stage.name}: {stage.about}{f' ({state})' if state else ''}", flush=True)


def _shown(stage: Stage, command_lines: Mapping[str, Sequence[str]]) -> str:
    """Return the command of a stage as a user types it."""
    return f"python -m pipelines.{stage.command} {shlex.join(command_lines[stage.name])}"


def _call(command: str, argv: Sequence[str]) -> int:
    """Run a command in this process and return its exit code."""
    name = f"pipelines.{command}"
    if getattr(importlib.import_module(name), "__path__", None) is not None:  # a package: its command is where python -m looks
        name += ".__main__"
    try:
        rc: int = importlib.import_module(name).main(argv)
    except SystemExit as left:  # faulty arguments
        rc = left.code if isinstance(left.code, int) else EXIT_FAULT
    return rc


if __name__ == "__main__":
    sys.exit(main())
