"""What a command evaluates: which detectors on which data sets, and the folder of each; refused before any work.

One detector on one set fills RESULTS itself. Otherwise RESULTS/NAME holds a detector's evaluation on --data,
RESULTS/NAME/other-SET the one on another set, and RESULTS the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.classical import classical_names, method_class
from pipelines.config import check_settings
from pipelines.evaluate_detectors import CLASSICAL_RULES, RUN_RULE
from pipelines.evaluate_folder import check_comparison_folder, check_folder, describe
from pipelines.evaluate_job import Job
from pipelines.evaluate_trained import Exposure, Run, find_exposure, may_have_pretrained, read_run
from pipelines.score_truth import Truth
from synth.errors import RecipeError, RefusalError


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector to be evaluated.

    Attributes:
        name: Classical method, or folder name of the run.
        settings: Its settings; of a run what identifies it.
        rules: Threshold rules.
        run: The run, or None for a classical method.
    """

    name: str
    settings: dict[str, Any]
    rules: tuple[str, ...]
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One detector on one data set.

    Attributes:
        contender: The detector.
        truth: Frames and masks.
        is_other: Whether the set was asked for with ``--other``.
        job: What every frame has in common.
        about: What decides the results.
        exposure: What the run has seen of the set; None for a classical method.
    """

    contender: Contender
    truth: Truth
    is_other: bool
    job: Job
    about: dict[str, Any]
    exposure: Exposure | None

    @property
    def title(self) -> str:
        """What is evaluated, for the reader."""
        run = self.contender.run
        return f"{self.job.method} {self.job.settings if run is None else run.about} on {self.truth.about}"


def read_contenders(methods: Sequence[str], rule: str | None, overrides: Sequence[str]) -> tuple[Contender, ...]:
    """Return the detectors asked for.

    Args:
        methods: Names of classical methods and folders of runs.
        rule: Only rule of the classical methods, or None for all.
        overrides: Settings of the classical method, "k=v".

    Raises:
        RecipeError: A method or setting is unknown, or two detectors share a name.
        RefusalError: A folder is no finished run.
    """
    num_classical = sum(method in classical_names() or not Path(method).is_dir() for method in methods)
    if (overrides or rule) and not num_classical:
        raise RecipeError("--set and --rule go with a classical method; a run is evaluated as it was trained")
    if overrides and num_classical > 1:
        raise RecipeError(f"--set goes with one classical method, got {num_classical}; evaluate them apart")
    found = tuple(_contender(method, rule, overrides) for method in methods)
    names = [contender.name for contender in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"METHOD|RUN must have different names, got {', '.join(twice)} more than once: each fills a folder of its name; "
            "rename a run's folder, or evaluate them apart"
        )
    return found


def level_of_frames(contenders: Sequence[Contender], asked: int | None) -> int | None:
    """Return the level that stands for 1.0 in 16-bit files: as asked for, else what all the runs were trained at.

    Args:
        contenders: The detectors; classical methods look at the same frames.
        asked: ``--max-level``, or None.

    Raises:
        RecipeError: Runs were trained at different ones.
    """
    if asked is not None:
        return asked
    levels = {contender.name: contender.run.max_level for contender in contenders if contender.run is not None}
    if len(set(levels.values())) > 1:
        shown = ", ".join(f"{name} {'null' if level is None else level}" for name, level in levels.items())
        raise RecipeError(f"--max-level must be given for runs of different data.max_level, got {shown}; or evaluate them apart")
    return next(iter(levels.values()), None)


def plan_evaluations(contenders: Sequence[Contender], data: Truth, others: Sequence[Truth], out: Path) -> tuple[Evaluation, ...]:
    """Return every detector on every set, the set of ``--data`` first.

    Args:
        contenders: The detectors.
        data: The set of ``--data``.
        others: Further sets.
        out: Folder of the results.

    Raises:
        RecipeError: Two sets share a name.
        RefusalError: The folder holds something else, or test frames trained a run.
    """
    names = [truth.corpus.root.name for truth in (data, *others)]
    if len(set(names)) < len(names):
        raise RecipeError(f"--data and --other must be folders of different names, got {', '.join(names)}")
    is_single = len(contenders) == 1 and not others
    if not is_single:
        check_comparison_folder(out)
    plan = []
    for contender in contenders:
        folder = out if is_single else out / contender.name
        plan.append(_evaluation(contender, data, folder, is_other=False))
        for truth in others:
            plan.append(_evaluation(contender, truth, folder / f"other-{truth.corpus.root.name}", is_other=True))
    for evaluation in plan:
        check_folder(evaluation.job.folder, evaluation.about)
    return tuple(plan)


def find_warnings(plan: Sequence[Evaluation]) -> Iterator[str]:
    """Yield what makes a row something else than an unseen test of the detector, one line each."""
    for evaluation in plan:
        name, where, exposure = evaluation.contender.name, evaluation.truth.corpus.root.name, evaluation.exposure
        if exposure is None:
            continue
        num = len(evaluation.truth.ids)
        if exposure.num_trained:
            yield f"{exposure.num_trained} of {num} scored frames of {where} TRAINED {name}: its row says how well it learnt them"
        if exposure.num_validated:
            yield f"{exposure.num_validated} of {num} scored frames of {where} chose weights and threshold of {name}: optimistic"
        if evaluation.is_other and exposure.lists:
            yield f"{name} was trained on {where} ({', '.join(exposure.lists)}): its row there is NO cross-set score"
        elif evaluation.is_other and exposure.num_stores and not exposure.is_rendered:
            yield f"{name} was trained on a store, whose frames its record does not name: they may be of {where}"
        elif not evaluation.is_other and not exposure.lists and not exposure.num_stores:
            yield f"{name} was trained on no list of {where}: its row there is a cross-set score"
        if evaluation.contender.run is not None and may_have_pretrained(evaluation.contender.run, evaluation.truth):
            yield (
                f"no record says that the test frames of {where} were kept from the pretraining that {name} started from; "
                f"pretrain on a store made of its training list, or on folders with {where} among them"
            )


def _contender(method: str, rule: str | None, overrides: Sequence[str]) -> Contender:
    folder = Path(method)
    if method not in classical_names() and folder.is_dir():
        run = read_run(folder)
        return Contender(run.path.name, run.settings, (RUN_RULE,), run)
    if method not in classical_names() and len(folder.parts) > 1:
        raise RefusalError(f"{method}: no such folder; give the --out of a finished finetune_detector, or a classical method")
    model = method_class(method).config_type
    settings = check_settings(model, {"kind": method}, overrides).model_dump(mode="json", exclude={"kind"})
    if settings.get("num_frames", 1) != 1:
        raise RecipeError(f"num_frames must be 1 here, got {settings['num_frames']}: labelled data sets hold single frames")
    return Contender(method, settings, CLASSICAL_RULES if rule is None else (rule,))


def _evaluation(contender: Contender, truth: Truth, folder: Path, *, is_other: bool) -> Evaluation:
    job = Job(
        data=str(truth.corpus.root),
        layout=truth.corpus.layout,
        mask_scale=truth.corpus.mask_scale,
        method=contender.name,
        settings=json.dumps(contender.settings, sort_keys=True),
        rules=contender.rules,
        out=str(folder.resolve()),
        run=None if contender.run is None else str(contender.run.path),
        max_level=truth.max_level,
    )
    exposure = None if contender.run is None else find_exposure(contender.run, truth)
    if exposure is not None and exposure.num_trained and truth.split == "test":
        where, family = f"{truth.corpus.root.name} ({truth.corpus.split_list})", exposure.lists[0].partition("/")[0]
        raise RefusalError(
            f"{contender.name}: {exposure.num_trained} of the {len(truth.ids)} test frames of {where} trained it "
            f"({', '.join(exposure.lists)}): no test score; give the set as --data with --split-list {family}"
        )
    return Evaluation(contender, truth, is_other, job, describe(job, truth), exposure)
