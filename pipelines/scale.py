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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from distributed import Client

from finetune.recipe import FinetuneRecipe
from finetune.sources import training_ids
from pipelines import synthesize
from pipelines.cluster import default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.scale_cells import Cell, Frames, cells_of, read_test
from pipelines.scale_endpoint import Choice, choose, choosing_cells, confirmation_cells, places
from pipelines.scale_findings import command_of, content_of, findings, read_groups, stores_of
from pipelines.scale_folder import begin, identity_of, lists_of
from pipelines.scale_known import read_known, take_over
from pipelines.scale_page import page_of
from pipelines.scale_recipe import Arm, DataSet, StudyRecipe
from pipelines.scale_work import STOP_NAME, Workplace, do_cells, do_tasks, make_stores, print_failures, synthesis_of
from synth import open_corpus
from synth.errors import RecipeError, SourceError
from synth.plan import Plan
from synth.scan import scan_sources
from synth.store.files import read_json, write_durably, write_json

PROBE_STEPS = 20
"""Steps of the run that times a study (our choice: a second or two of a nano network)."""
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
        help="study.json of this study from elsewhere, as results/ has them: its finished runs count as finished; repeatable",
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
        help="write nothing; print what would be trained, and the hours a short probe says it takes",
    )
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise RecipeError(f"--workers must be >= 1, got {arguments.workers}")
    if arguments.cluster == "threads":
        raise RecipeError("--cluster must be local, sync or a scheduler here, got threads: torch draws from one state a process")
    place = _workplace(arguments)
    if strange := [name for name in arguments.arms or () if name not in place.recipes]:
        raise RecipeError(f"--arms must be of {', '.join(place.recipes)}, got {strange[0]}")
    frames = {dataset.name: _frames(place, dataset) for dataset in place.study.sets}
    lists = lists_of(place, {name: of_set.train for name, of_set in frames.items()})
    _open_folder(arguments, place, lists)
    cells = list(cells_of(place.study, frames))
    _print_plan(place, frames, cells, _asked(arguments, cells))
    with stop_on_signal((place.out / STOP_NAME).touch if not arguments.dry_run else lambda: None) as stop:
        if arguments.dry_run:
            _print_estimate(place, _asked(arguments, cells), arguments.workers, stop)
            print("nothing written (--dry-run)")
            return EXIT_OK
        return _work(arguments, place, frames, cells, lists, stop)


def _open_folder(arguments: argparse.Namespace, place: Workplace, lists: Mapping[str, Any]) -> None:
    """Make the folder or check that it holds this study, and take over what was done elsewhere."""
    if arguments.dry_run:
        if arguments.known:
            raise RecipeError("--known writes into --out: give it without --dry-run, which counts what was taken over before")
        return
    identity = identity_of(place)
    found = {file: read_known(file, identity, lists) for file in arguments.known}
    begin(place)
    for file, known in found.items():
        take_over(place.out, known)
        print(f"{file}: {len(known.runs)} finished runs")


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
    todo = [] if stop() else _unfinished(place, [*first, *_confirmation(place, frames, cells), *asked])
    if rc := make_stores(place, todo, workers=arguments.workers, cluster=arguments.cluster):
        return rc
    stores_of(place.out)  # refused before anything is trained beside runs on other data
    failures = _train(arguments, place, choosing_cells(place.study, cells, None), stop)
    if (labels := _endpoint_places(place, frames, cells)) is not None:
        failures |= _train(arguments, place, choosing_cells(place.study, cells, labels), stop)
    fresh = _confirmation(place, frames, cells)
    failures |= _train(arguments, place, [*fresh, *asked], stop)
    failures |= _on_workers(arguments, place.zero_label_tasks([*fresh, *cells]), stop, do_tasks)
    found = findings(place.study, command_of(arguments.recipe, arguments.overrides), frames, place.out, cells, fresh)
    write_json(place.out / "study.json", content_of(found, place.out, identity_of(place), lists))
    write_durably(place.out / "study.md", ["\n".join(page_of(found)).encode()])
    print(f"{found.counts[0]} of {found.counts[1]} runs are finished; wrote {place.out / 'study.json'} and study.md beside it")
    print_failures(failures)
    return stop.exit_code or (EXIT_FAULT if failures else EXIT_OK)


def _train(arguments: argparse.Namespace, place: Workplace, cells: Sequence[Cell], stop: StopRequest) -> dict[str, Exception]:
    """Do those cells that are not done; return why any failed."""
    return _on_workers(arguments, _unfinished(place, cells), stop, partial(do_cells, place))


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


def _unfinished(place: Workplace, cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if read_test(place.out, cell) is None]


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


def _frames(place: Workplace, dataset: DataSet) -> Frames:
    """Return how many frames every arm trains on in a data set."""
    folder = Path(place.folder(dataset.name))
    train = len(training_ids(open_corpus(folder, "train"), place.recipes[place.study.arms[0].name].data))
    if too_many := [count for count in dataset.labels if count is not None and count > train]:
        raise SourceError(f"sets.{dataset.name}.labels must be <= {train}, the training frames of {folder}, got {too_many[-1]}")
    if None in dataset.labels and train in dataset.labels:
        raise SourceError(f"sets.{dataset.name}.labels must not name all {train} training frames twice, got {train} and null")
    made: dict[str, int] = {}
    rendered: set[str] = set()
    for arm in place.study.arms:
        if arm.synthesize is not None:
            source, overrides = synthesis_of(arm, str(folder))
            recipe = synthesize.resolve_recipe(arm.synthesize, source, overrides)
            table, _ = scan_sources(recipe, threads=1, progress=lambda *_: None)
            made[arm.name] = len(Plan(recipe, table.targets_per_frame()))
            rendered.update({arm.name} if source is None else ())
    return Frames(train, made, frozenset(rendered))


def _print_plan(place: Workplace, frames: Mapping[str, Frames], cells: Sequence[Cell], asked: Sequence[Cell]) -> None:
    study, todo = place.study, _unfinished(place, cells)
    first = place.recipes[study.arms[0].name]
    print(f"{study.name}: {first.detector.kind}, {len(study.sets)} data sets, {len(study.arms)} arms, {len(study.seeds)} seeds")
    for dataset in study.sets:
        counts = ", ".join("all" if count is None else str(count) for count in dataset.labels)
        print(f"  {dataset.name}: {frames[dataset.name].train} training frames; labels: {counts}")
        for arm in study.arms:
            of_arm = [cell for cell in cells if (cell.dataset, cell.arm) == (dataset.name, arm.name)]
            steps = " and ".join(map(str, sorted({cell.steps for cell in of_arm})))
            start = "" if arm.pretrain is None else f" after {place.pretrainings[arm.name].train.steps} of {arm.pretrain}"
            sizes = sorted({cell.num_frames for cell in of_arm})
            print(f"    {arm.name}: {', '.join(map(str, sizes))} frames, {steps} steps{start} ({arm.about})")
    total = sum(cell.steps for cell in todo)
    print(f"  {len(cells)} runs, {len(cells) - len(todo)} done; {total} steps of {first.train.batch} frames to do")
    if len(asked) < len(cells):
        now = _unfinished(place, asked)
        print(f"  of them {len(now)} runs and {sum(cell.steps for cell in now)} steps of the arms asked for")
    if study.endpoint is not None:
        print(
            f"  then {2 * len(study.sets) * len(study.endpoint.seeds)} runs with fresh seeds of the arm that validation chooses"
        )


def _print_estimate(place: Workplace, cells: Sequence[Cell], workers: int, stop: StopRequest) -> None:
    """Time a short run and its test in a folder that goes away, and print the hours of what is to be done."""
    todo = _unfinished(place, cells)
    plain = [cell for cell in todo if place.study.arm(cell.arm).synthesize is None]
    if todo and not plain:
        print("  hours: not estimated, as all that is left trains on data sets that are not made yet")
    if not plain or stop():
        return
    with TemporaryDirectory() as folder:
        probe = replace(place, out=Path(folder))
        task = replace(probe.finetune_task(replace(plain[0], steps=PROBE_STEPS), probe.tests()), init=None)
        train = task.recipe.train.model_copy(update={"log_every": 1})
        task = replace(task, recipe=task.recipe.model_copy(update={"train": train}))
        started = time.perf_counter()
        task.perform()
        whole = time.perf_counter() - started
        rate = float(read_json(Path(task.run, "test.json"))["images_per_s"])
    batch = task.recipe.train.batch
    per_run = max(0.0, whole - PROBE_STEPS * batch / rate)
    runs = {str(p): place.pretrainings[c.arm] for c in todo if (p := place.pretraining_path(c)) is not None}
    images = sum(cell.steps * batch for cell in todo) + sum(r.train.steps * r.train.batch for r in runs.values())
    hours = (images / rate + len(todo) * per_run) / 3600.0
    print(f"  about {hours:.1f} hours of one worker, {hours / workers:.1f} with {workers}")
    print(f"  ({rate:.0f} frames/s and {per_run:.0f} s a run beside its steps: measured by a run of {PROBE_STEPS} steps here)")


if __name__ == "__main__":
    sys.exit(main())
