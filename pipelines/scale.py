"""Train a grid of arms, labels, budgets and seeds on data sets, test every run once, and say what the differences are worth.

    python -m pipelines.scale sirst5k_effect --data $SIRST_DATA --out STUDY            start, or go on after a stop or crash
    python -m pipelines.scale RECIPE --data DIR --out STUDY --set seeds=[0,1,2]

RECIPE is one of {names}, or a YAML file. Data sets made for an arm lie in STUDY/stores,
pretrainings in STUDY/pretrained, runs in STUDY/runs; a run chooses its threshold on validation and is tested once, on its own
data set (also without near duplicates of known frames) and on the other ones. STUDY/study.json and study.md are written after
every command, whatever is finished; pipelines.report draws them. What an endpoint needs is trained first, then seed by seed.
SIGTERM and Ctrl-C let every run save its state; the same command goes on there, and tries again what failed. On another machine
--known takes over what a study.json says of finished runs, so that only the others are trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client

from finetune.recipe import FinetuneRecipe
from pipelines.cluster import default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.scale_cells import TEST_NAME, Cell, Frames, cells_of
from pipelines.scale_endpoint import Choice, choose, choosing_cells, confirmation_cells, places
from pipelines.scale_findings import command_of, content_of, findings, read_groups, refuse_other_stores, stores_of
from pipelines.scale_folder import begin, held, identity_of, lists_of
from pipelines.scale_known import read_known, take_over
from pipelines.scale_page import page_of
from pipelines.scale_plan import frames_of, longest_confirmation, print_estimate, print_plan, print_refusals, unfinished
from pipelines.scale_recipe import Arm, StudyRecipe
from pipelines.scale_work import STOP_NAME, Workplace, do_cells, do_tasks, make_stores, print_failures
from pretrain.runtime.run_dir import RESULT_NAME
from synth.errors import RecipeError
from synth.store.files import write_durably, write_json

_T = TypeVar("_T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="scale", description=(__doc__ or "").format(names=", ".join(recipe_names("scaling"))))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds the data sets of the recipe")
    parser.add_argument("--out", type=Path, required=True, metavar="STUDY", help="folder to make or resume")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument(
        "--arms",
        metavar="A,B",
        type=lambda text: tuple(text.split(",")),
        help="train these arms now, beside what an endpoint needs",
    )
    parser.add_argument(
        "--known",
        metavar="FILE",
        action="append",
        type=Path,
        default=[],
        help="study.json of this study from elsewhere, as results/ has them: its finished runs count as finished from then on; "
        "repeatable; not with --dry-run",
    )
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="runs side by side")
    parser.add_argument(
        "--cluster",
        metavar="KIND",
        default="local",
        help="where work runs: local (processes), sync (this process), or the address of a running scheduler",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing; print what would be trained, what the plan forbids to state, and the hours by a short probe",
    )
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise RecipeError(f"--workers must be >= 1, got {arguments.workers}")
    if arguments.cluster == "threads":
        raise RecipeError("--cluster must be local, sync or a scheduler here, got threads: torch draws from one state a process")
    if arguments.dry_run and arguments.known:
        raise RecipeError("--known writes into --out: give it without --dry-run, which counts what was taken over before")
    place = _workplace(arguments)
    if strange := [name for name in arguments.arms or () if name not in place.recipes]:
        raise RecipeError(f"--arms must be of {', '.join(place.recipes)}, got {strange[0]}")
    frames = {dataset.name: frames_of(place, dataset) for dataset in place.study.sets}
    lists = lists_of(place, {name: of_set.train for name, of_set in frames.items()})
    cells = list(cells_of(place.study, frames))
    if arguments.dry_run:
        return _print_dry_run(arguments, place, frames, cells)
    identity = identity_of(place)
    found = {file: read_known(file, identity, lists) for file in arguments.known}
    begin(place, lists)
    with held(place.out), stop_on_signal((place.out / STOP_NAME).touch) as stop:
        refuse_other_stores(place.out, found.values())
        for file, known in found.items():
            take_over(place.out, known)
            print(f"{file}: {len(known.runs)} finished runs")
        print_plan(place, frames, cells, _asked(arguments, cells))
        return _work(arguments, place, frames, cells, lists, stop)


def _print_dry_run(arguments: argparse.Namespace, place: Workplace, frames: Mapping[str, Frames], cells: Sequence[Cell]) -> int:
    """Print what would be done and what it takes; write nothing."""
    asked = _asked(arguments, cells)
    print_plan(place, frames, cells, asked)
    print_refusals(place.study, frames)
    fresh = _confirmation(place, frames, cells) or longest_confirmation(place, frames)
    with stop_on_signal() as stop:
        print_estimate(place, asked, fresh, arguments.workers, stop)
    print("nothing written (--dry-run)")
    return EXIT_OK


def _asked(arguments: argparse.Namespace, cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if arguments.arms is None or cell.arm in arguments.arms]


def _work(
    arguments: argparse.Namespace,
    place: Workplace,
    frames: Mapping[str, Frames],
    cells: Sequence[Cell],
    lists: Mapping[str, Any],
    stop: StopRequest,
) -> int:
    """Do what is to be done, first what decides the endpoint (label counts, arm, confirmation), and write what was found."""
    (place.out / STOP_NAME).unlink(missing_ok=True)
    asked, first = _asked(arguments, cells), [cell for cell in cells if cell.arm in _endpoint_arms(place.study)]
    todo = [] if stop() else unfinished(place, [*first, *_confirmation(place, frames, cells), *asked])
    if rc := make_stores(place, todo, workers=arguments.workers, cluster=arguments.cluster):
        return rc
    stores_of(place.out)  # refused before anything is trained beside runs on other data
    failures = _train(arguments, place, choosing_cells(place.study, cells, None), stop)
    if (labels := _endpoint_places(place, frames, cells)) is not None:
        failures |= _train(arguments, place, choosing_cells(place.study, cells, labels), stop)
    fresh = _confirmation(place, frames, cells)
    failures |= _train(arguments, place, [*fresh, *asked], stop)
    failures = {name: error for name, error in failures.items() if not _is_done(place.out, name)}  # done when tried again
    failures |= _on_workers(arguments, place.zero_label_tasks([*fresh, *cells]), stop, do_tasks)
    found = findings(place.study, command_of(arguments.recipe, arguments.overrides), frames, place.out, cells, fresh)
    write_json(place.out / "study.json", content_of(found, place.out, identity_of(place), lists))
    write_durably(place.out / "study.md", ["\n".join(page_of(found)).encode()])
    print(f"{found.counts[0]} of {found.counts[1]} runs are finished; wrote {place.out / 'study.json'} and study.md beside it")
    print_failures(failures)
    return stop.exit_code or (EXIT_FAULT if failures else EXIT_OK)


def _train(arguments: argparse.Namespace, place: Workplace, cells: Sequence[Cell], stop: StopRequest) -> dict[str, Exception]:
    """Do those cells that are not done; return why any failed."""
    return _on_workers(arguments, unfinished(place, cells), stop, partial(do_cells, place))


def _is_done(out: Path, name: str) -> bool:
    """Tell whether a run or a pretraining, by its run directory below OUT, is finished and, of a run, tested."""
    return (out / name / (TEST_NAME if name.startswith("runs/") else RESULT_NAME)).is_file()


def _on_workers(
    arguments: argparse.Namespace,
    todo: Sequence[_T],
    stop: StopRequest,
    work: Callable[[Sequence[_T], Client | None, StopRequest], dict[str, Exception]],
) -> dict[str, Exception]:
    """Start no more workers than there is work for, and do it; return why any failed."""
    if not todo or stop():
        return {}
    with open_client(arguments.cluster, min(arguments.workers, len(todo))) as client:
        return work(todo, client, stop)


def _endpoint_arms(study: StudyRecipe) -> tuple[str, ...]:
    return () if study.endpoint is None else (study.endpoint.reference, *study.endpoint.candidates)


def _endpoint_places(place: Workplace, frames: Mapping[str, Frames], cells: Sequence[Cell]) -> Mapping[str, int | None] | None:
    """Return the endpoint's label counts; None without an endpoint and before the reference's curve tells them."""
    endpoint = place.study.endpoint
    if endpoint is None:
        return None
    found = places(place.study, endpoint, read_groups(place.study, frames, place.out, cells))
    return None if isinstance(found, str) else found


def _confirmation(place: Workplace, frames: Mapping[str, Frames], cells: Sequence[Cell]) -> list[Cell]:
    """Return the runs of the endpoint's confirmation, none before validation has chosen."""
    endpoint = place.study.endpoint
    if endpoint is None:
        return []
    choice = choose(place.study, endpoint, read_groups(place.study, frames, place.out, cells))
    return list(confirmation_cells(place.study, endpoint, choice, frames)) if isinstance(choice, Choice) else []


def _workplace(arguments: argparse.Namespace) -> Workplace:
    """Resolve the recipes of all arms."""
    study = load_recipe(arguments.recipe, StudyRecipe, arguments.overrides, stage="scaling")
    recipes = {arm.name: _recipe(study, arm) for arm in study.arms}
    pretrainings = {
        arm.name: load_recipe(arm.pretrain, PretrainRecipe, list(arm.pretraining), stage="pretrain")
        for arm in study.arms
        if arm.pretrain is not None
    }
    return Workplace(study, recipes, pretrainings, arguments.data, arguments.out)


def _recipe(study: StudyRecipe, arm: Arm) -> FinetuneRecipe:
    """Return the fine-tuning of an arm, seed 0, the study's steps."""
    overrides = (*study.shared, *arm.train, f"train.steps={study.steps}")
    recipe = load_recipe(study.finetune, FinetuneRecipe, overrides, stage="finetune")
    if recipe.data.split != "train" or recipe.data.split_list is not None:
        raise RecipeError(
            f"data.split must be train and data.split_list null in a study, got {recipe.data.split} and "
            f"{recipe.data.split_list}: thresholds come from the official validation lists, scores from the official test lists"
        )
    return recipe


if __name__ == "__main__":
    sys.exit(main())
