"""Train a grid of arms, budgets and seeds on data sets, test every run once, and say what the differences are worth.

    python -m pipelines.scale sirst5k_effect --data $SIRST_DATA --out STUDY            start, or go on after a stop or crash
    python -m pipelines.scale RECIPE --data DIR --out STUDY --set seeds=[0,1,2]

RECIPE is one of {names}, or a YAML file. Data sets made for an arm lie in STUDY/stores, runs in STUDY/runs; a run
chooses its threshold on validation and is tested once, on its own data set (also without near duplicates of known frames) and
on the other ones. STUDY/study.json and study.md are written after every command, whatever is finished. SIGTERM and Ctrl-C let
every run save its state; the same command goes on there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distributed import Client

from finetune.recipe import FinetuneRecipe
from finetune.sources import training_ids
from pipelines import synthesize
from pipelines.cluster import default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.evaluate_scores import find_clean_ids
from pipelines.progress import progress_bar
from pipelines.scale_cells import Cell, Task, Tested, cells_of, read_test, run_cell
from pipelines.scale_recipe import Arm, DataSet, StudyRecipe
from pipelines.scale_table import Group, groups_of, table_of
from pipelines.score_truth import Truth
from synth import open_corpus, open_store
from synth.errors import FoundryError, RecipeError, RefusalError
from synth.generate import stream_results
from synth.plan import Plan
from synth.scan import scan_sources
from synth.store.files import read_json, write_durably, write_json

RECIPE_NAME, STOP_NAME = "recipe.json", "stop"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="scale", description=(__doc__ or "").format(names=", ".join(recipe_names("scaling"))))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds the data sets of the recipe")
    parser.add_argument("--out", type=Path, required=True, metavar="STUDY", help="folder to make or resume")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="runs side by side")
    parser.add_argument(
        "--cluster",
        metavar="KIND",
        default="local",
        help="where work runs: local (processes), sync (this process), or the address of a running scheduler",
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be trained")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise RecipeError(f"--workers must be >= 1, got {arguments.workers}")
    if arguments.cluster == "threads":
        raise RecipeError("--cluster must be local, sync or a scheduler here, got threads: torch draws from one state a process")
    study = load_recipe(arguments.recipe, StudyRecipe, arguments.overrides, stage="scaling")
    recipes = {arm.name: _recipe(study, arm) for arm in study.arms}
    out: Path = arguments.out
    num_frames = {dataset.name: _num_frames(study, recipes, arguments.data, dataset) for dataset in study.sets}
    cells = list(cells_of(study, num_frames))
    todo = [cell for cell in cells if read_test(out, cell) is None]
    _print_plan(study, cells, todo, recipes)
    if arguments.dry_run:
        print("nothing written (--dry-run)")
        return EXIT_OK
    _begin(out, study, recipes)
    (out / STOP_NAME).unlink(missing_ok=True)
    with stop_on_signal((out / STOP_NAME).touch) as stop:
        failures: dict[Cell, Exception] = {}
        if todo and not stop() and (rc := _make_stores(arguments, study)) != EXIT_OK:
            return rc
        if todo:
            tests = {dataset.name: _tested(arguments.data / dataset.folder) for dataset in study.sets}
            tasks = [_task(arguments, study, cell, recipes, tests) for cell in todo]
            with open_client(arguments.cluster, min(arguments.workers, len(tasks))) as client:
                failures = _train(client, tasks, stop)
    _write(arguments, study, cells, num_frames)
    for cell, error in list(failures.items())[:10]:
        print(f"error: {cell.path}: {error}", file=sys.stderr)
    return stop.exit_code or (EXIT_FAULT if failures else EXIT_OK)


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


def _num_frames(study: StudyRecipe, recipes: Mapping[str, FinetuneRecipe], data: Path, dataset: DataSet) -> dict[str, int]:
    """Return the frames every arm trains on."""
    folder = data / dataset.folder
    counts = {}
    for arm in study.arms:
        if arm.synthesize is None:
            counts[arm.name] = len(training_ids(open_corpus(folder, "train"), recipes[arm.name].data))
        else:
            recipe = synthesize.resolve_recipe(arm.synthesize, folder, ["split=train", *arm.synthesis])
            table, _ = scan_sources(recipe, threads=1, progress=lambda *_: None)
            counts[arm.name] = len(Plan(recipe, table.targets_per_frame()))
    return counts


def _print_plan(study: StudyRecipe, cells: Sequence[Cell], todo: Sequence[Cell], recipes: Mapping[str, FinetuneRecipe]) -> None:
    first = recipes[study.arms[0].name]
    print(f"{study.name}: {first.detector.kind}, {len(study.sets)} data sets, {len(study.arms)} arms, {len(study.seeds)} seeds")
    for dataset in study.sets:
        for arm in study.arms:
            steps = sorted({cell.steps for cell in cells if (cell.dataset, cell.arm) == (dataset.name, arm.name)})
            frames = next(cell.num_frames for cell in cells if (cell.dataset, cell.arm) == (dataset.name, arm.name))
            print(f"  {dataset.name} {arm.name}: {frames} frames, {' and '.join(map(str, steps))} steps ({arm.about})")
    total = sum(cell.steps for cell in todo)
    print(f"  {len(cells)} runs, {len(cells) - len(todo)} done; {total} steps of {first.train.batch} frames to do")


def _begin(out: Path, study: StudyRecipe, recipes: Mapping[str, FinetuneRecipe]) -> None:
    """Make the folder of a study, or check that it holds this one; arms, seeds and budgets may be added, no arm may change."""
    fixed = study.model_dump(mode="json", include={"sets", "steps"})
    arms = {
        arm.name: arm.model_dump(mode="json", exclude={"name", "about", "train"})
        | {"finetune": recipes[arm.name].model_dump(mode="json") | {"train": recipes[arm.name].train.content()}}
        for arm in study.arms
    }
    path = out / RECIPE_NAME
    if path.is_file():
        found = read_json(path)
        differing = sorted(key for key in fixed if found.get(key) != fixed[key])
        differing += [f"arm {name}" for name in arms if found.get("arms", {}).get(name, arms[name]) != arms[name]]
        if differing:
            raise RefusalError(f"--out {out}: holds a study with other {', '.join(differing)}; give another folder")
        arms = found["arms"] | arms
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RefusalError(f"--out {out}: is no study of ours; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, fixed | {"arms": arms})


def _store_path(out: Path, dataset: str, arm: str) -> Path:
    return out / "stores" / f"{dataset}-{arm}.zarr"


def _make_stores(arguments: argparse.Namespace, study: StudyRecipe) -> int:
    """Make, or finish, the data sets of the arms with the command that makes data sets."""
    for dataset in study.sets:
        for arm in study.arms:
            if arm.synthesize is None:
                continue
            path = _store_path(arguments.out, dataset.name, arm.name)
            path.parent.mkdir(exist_ok=True)
            sets = [part for key in ("split=train", *arm.synthesis) for part in ("--set", key)]
            argv = [arm.synthesize, "--source", str(arguments.data / dataset.folder), "--out", str(path), *sets]
            if rc := synthesize.main([*argv, "--workers", str(arguments.workers), "--cluster", arguments.cluster]):
                return rc
    return EXIT_OK


def _tested(folder: Path) -> Tested:
    """Return the test list of a data set, with the ids that have no near duplicate outside it."""
    truth = Truth(folder, "test", layout=None, split_list=None, mask_scale="strict")
    return Tested(str(folder.resolve()), find_clean_ids(truth, truth, lambda _: None) or ())


def _task(
    arguments: argparse.Namespace,
    study: StudyRecipe,
    cell: Cell,
    recipes: Mapping[str, FinetuneRecipe],
    tests: Mapping[str, Tested],
) -> Task:
    out: Path = arguments.out.resolve()
    recipe = recipes[cell.arm]
    train = recipe.train.model_copy(update={"steps": cell.steps, "seed": cell.seed})
    folder = tests[cell.dataset].folder
    is_made = next(arm for arm in study.arms if arm.name == cell.arm).synthesize is not None
    return Task(
        cell=cell,
        run=str(out / cell.path),
        recipe=recipe.model_copy(update={"train": train}),
        data=str(_store_path(out, cell.dataset, cell.arm)) if is_made else folder,
        validation=folder,
        tests=tests,
        stop_file=str(out / STOP_NAME),
    )


def _train(client: Client | None, tasks: Sequence[Task], stop: StopRequest) -> dict[Cell, Exception]:
    """Train and test cells; one that fails does not stop the others."""
    failures: dict[Cell, Exception] = {}
    with progress_bar("train", sum(task.cell.steps for task in tasks), "step") as advance:
        for task, result in _results(client, tasks, stop):
            if isinstance(result, Exception) and not isinstance(result, FoundryError):
                raise result
            if isinstance(result, FoundryError):
                failures[task.cell] = result
            advance(task.cell.steps)
    return failures


def _results(client: Client | None, tasks: Sequence[Task], stop: StopRequest) -> Iterator[tuple[Task, bool | Exception]]:
    if client is not None:
        yield from stream_results(
            client, lambda task: client.submit(run_cell, task, pure=False), tasks, per_worker=1, should_stop=stop
        )
        return
    for task in tasks:
        if stop():
            return
        try:
            yield task, run_cell(task)
        except FoundryError as error:
            yield task, error


def _write(
    arguments: argparse.Namespace, study: StudyRecipe, cells: Sequence[Cell], num_frames: Mapping[str, Mapping[str, int]]
) -> None:
    """Write study.json and study.md of what is finished."""
    out: Path = arguments.out
    records: dict[Cell, dict[str, Any]] = {cell: record for cell in cells if (record := read_test(out, cell)) is not None}
    groups = list(groups_of(study, num_frames, records))
    stores = {path.name: open_store(path).manifest["content_hash"] for path in sorted((out / "stores").glob("*.zarr")) if records}
    content = {"format": 1, "recipe": study.model_dump(mode="json"), "stores": stores, "groups": [g.to_dict() for g in groups]}
    write_json(out / "study.json", content)
    write_durably(out / "study.md", ["\n".join(_page(arguments, study, groups, len(cells), len(records))).encode()])
    print(f"{len(records)} of {len(cells)} runs are finished; wrote {out / 'study.json'} and {out / 'study.md'}")


def _page(
    arguments: argparse.Namespace, study: StudyRecipe, groups: Sequence[Group], num_cells: int, num_done: int
) -> Iterator[str]:
    sets = "".join(f" --set {shlex.quote(override)}" for override in arguments.overrides)
    yield from (
        f"# {study.name}",
        "",
        f"    python -m pipelines.scale {arguments.recipe} --data $SIRST_DATA --out STUDY{sets}",
        "",
    )
    yield from (f"{num_done} of {num_cells} runs are finished.", "") if num_done < num_cells else ()
    yield from (_LEGEND, "", "**Arms**", "")
    yield from (f"- {arm.name}: {arm.about}" for arm in study.arms)
    for dataset in study.sets:
        for budget in study.budgets:
            like = (
                "all arms take equally many steps" if budget.like is None else f"as many passes over its frames as {budget.like}"
            )
            yield from ("", f"## {dataset.name}, {budget.name}: {like}", "")
            shown = [group for group in groups if (group.dataset, group.budget) == (dataset.name, budget.name)]
            yield from table_of(study, dataset.name, budget, shown)
    yield ""


_LEGEND = """\
Every run starts from random weights, trains on the training frames without the validation list, takes its last weights or the
best on validation as its recipe says, chooses its threshold on validation and is tested once at native size (canonical mode).
Percent; Fa in 1e-6. Values are means over seeds +- half the 95 % t interval; differences are paired by seed, bold where their
interval excludes zero; *could see* is the smallest difference that 80 % of such studies would find. *clean*: without the test
frames that have a near duplicate among the others. Collapsed seeds stay in the means."""


if __name__ == "__main__":
    sys.exit(main())
