"""What a study is about to do: how many frames its arms have, how many runs are left, what its plan forbids, hours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from finetune.sources import training_ids
from pipelines import synthesize
from pipelines.command import StopRequest
from pipelines.scale_cells import Cell, Frames, read_test
from pipelines.scale_endpoint import Choice, confirmation_cells
from pipelines.scale_recipe import DataSet, StudyRecipe
from pipelines.scale_rules import against_plan
from pipelines.scale_table import MIN_SEEDS
from pipelines.scale_transfer import transfer_against_plan
from pipelines.scale_work import Workplace, synthesis_of
from pretrain.runtime.run_dir import RESULT_NAME
from synth import open_corpus
from synth.errors import RecipeError, SourceError
from synth.plan import Plan
from synth.scan import scan_sources
from synth.store.files import read_json

PROBE_STEPS = 20
"""Steps of the run that times a study (our choice: a second or two of a nano network)."""


def frames_of(place: Workplace, dataset: DataSet) -> Frames:
    """Return how many frames every arm trains on in a data set.

    Raises:
        SourceError: It has fewer training frames than label counts ask for, or one count names all of them.
        RecipeError: The arms of the transfer law are not rendered, or not more and more.
    """
    folder = Path(place.folder(dataset.name))
    train = len(training_ids(open_corpus(folder, "train"), place.recipes[place.study.arms[0].name].data))
    if too_many := [count for count in dataset.labels if count is not None and count > train]:
        raise SourceError(f"sets.{dataset.name}.labels must be <= {train}, the training frames of {folder}, got {too_many[-1]}")
    if None in dataset.labels and train in dataset.labels:
        raise SourceError(f"sets.{dataset.name}.labels must not name all {train} training frames twice, got {train} and null")
    made: dict[str, int] = {}
    originals: dict[str, int] = {}
    rendered: set[str] = set()
    for arm in place.study.arms:
        if arm.synthesize is not None:
            source, overrides = synthesis_of(arm, str(folder))
            recipe = synthesize.resolve_recipe(arm.synthesize, source, overrides)
            table, _ = scan_sources(recipe, threads=1, progress=lambda *_: None)
            plan = Plan(recipe, table.targets_per_frame())
            made[arm.name] = len(plan)
            if source is None:
                rendered.add(arm.name)
            else:
                originals[arm.name] = plan.num_originals
    frames = Frames(train, made, frozenset(rendered), originals)
    _check_transfer(place.study.transfer, frames)
    return frames


def _check_transfer(arms: Sequence[str], frames: Frames) -> None:
    if strange := [arm for arm in arms if arm not in frames.rendered]:
        raise RecipeError(f"transfer must name arms whose frames are rendered (synthesize: scenes), got {strange[0]}")
    counts = [frames.made[arm] for arm in arms]
    if counts != sorted(set(counts)):
        found = ", ".join(f"{arm} with {count}" for arm, count in zip(arms, counts, strict=True))
        raise RecipeError(f"transfer must name arms whose numbers of rendered frames rise, got {found}")


def unfinished(place: Workplace, cells: Sequence[Cell]) -> list[Cell]:
    """Return those cells that are to be done."""
    return [cell for cell in cells if read_test(place.out, cell) is None]


def print_plan(place: Workplace, frames: Mapping[str, Frames], cells: Sequence[Cell], asked: Sequence[Cell]) -> None:
    """Print what the grid is and how much of it is left.

    Args:
        place: Where the study is done.
        frames: Name of a data set -> its frames.
        cells: All runs of the grid.
        asked: Those of the arms asked for.
    """
    study, todo = place.study, unfinished(place, cells)
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
        now = unfinished(place, asked)
        print(f"  of them {len(now)} runs and {sum(cell.steps for cell in now)} steps of the arms asked for")
    if study.endpoint is not None:
        print(
            f"  then {2 * len(study.sets) * len(study.endpoint.seeds)} runs with fresh seeds of the arm that validation chooses"
        )


def print_refusals(study: StudyRecipe, frames: Mapping[str, Frames]) -> None:
    """Print what will not be stated however training goes, as the plan itself forbids it."""
    found = []
    for dataset in study.sets:
        sizes = [float(frames[dataset.name].train if count is None else count) for count in dataset.labels]
        rules = [*against_plan(sizes, len(study.seeds))]
        rules += transfer_against_plan(len(study.transfer), len(sizes), len(study.seeds)) if study.transfer else ()
        found += [f"{dataset.name}: {rule}" for rule in rules]
    if len(study.seeds) < MIN_SEEDS:
        found.append(f"{len(study.seeds)} seeds: smoke, not evidence; no intervals")
    for line in found:
        print(f"  as planned, {line}")
    if not found:
        print("  as planned, no rule speaks against laws over labels; what training shows may")


def longest_confirmation(place: Workplace, frames: Mapping[str, Frames]) -> list[Cell]:
    """Return the runs of the confirmation before validation has chosen: most labels, and the candidate that trains longest."""
    study, endpoint = place.study, place.study.endpoint
    if endpoint is None:
        return []

    def length(arm: str) -> int:
        return study.arm(arm).extra_steps + (place.pretrainings[arm].train.steps if arm in place.pretrainings else 0)

    labels = {dataset.name: dataset.labels[-1] for dataset in study.sets}
    choice = Choice(max(endpoint.candidates, key=length), labels, {})
    return list(confirmation_cells(study, endpoint, choice, frames))


def print_estimate(place: Workplace, cells: Sequence[Cell], fresh: Sequence[Cell], workers: int, stop: StopRequest) -> None:
    """Time a short run and its test in a folder that goes away, and print the hours of what is to be done.

    Args:
        place: Where the study is done.
        cells: Runs of the grid that are asked for.
        fresh: Runs of the confirmation, before it is known which the longest there may be.
        workers: Runs side by side.
        stop: Asked before the short run.
    """
    left = unfinished(place, fresh)
    todo = [*unfinished(place, cells), *left]
    plain = [cell for cell in todo if place.study.arm(cell.arm).synthesize is None]
    if todo and not plain:
        print("  hours: not estimated, as all that is left trains on data sets that are not made yet")
    if not plain or stop():
        return
    with TemporaryDirectory() as folder:
        probe = replace(place, out=Path(folder))
        task = replace(probe.finetune_task(replace(plain[0], steps=PROBE_STEPS), probe.tests()), init=None)
        started = time.perf_counter()
        task.perform()
        whole = time.perf_counter() - started
        rate = float(read_json(Path(task.run, "test.json"))["images_per_s"])
    batch = task.recipe.train.batch
    per_run = max(0.0, whole - PROBE_STEPS * batch / rate)
    starts = {path: place.pretrainings[cell.arm].train for cell in todo if (path := place.pretraining_path(cell)) is not None}
    runs = [train for path, train in starts.items() if not (path / RESULT_NAME).is_file()]
    images = sum(cell.steps * batch for cell in todo) + sum(train.steps * train.batch for train in runs)
    hours = (images / rate + len(todo) * per_run) / 3600.0
    print(f"  about {hours:.1f} hours of one worker, {hours / workers:.1f} with {workers}")
    print(f"  ({rate:.0f} frames/s and {per_run:.0f} s a run beside its steps: measured by a run of {PROBE_STEPS} steps here)")
    if runs:
        print(f"  (with {len(runs)} pretrainings, counted at that rate of fine-tuning: theirs was not measured)")
    if left:
        print(f"  (with {len(left)} runs with fresh seeds; before validation has chosen, counted as the longest it may choose)")
