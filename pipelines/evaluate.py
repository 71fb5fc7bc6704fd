"""Run a detector over the frames of a data set, score it, and show what it hits, misses and makes up.

    python -m pipelines.evaluate METHOD --data DIR --out RESULTS        classical method, test list, both threshold rules
    python -m pipelines.evaluate tophat --data DIR --out RESULTS --set side_px=9
    python -m pipelines.evaluate RUN --data DIR --out RESULTS           trained run, at the threshold it chose on validation

METHOD is one of {names}; RUN is the folder of a finished training. Frames keep their native size, one thread each; they run
side by side. RESULTS gets a folder of masks for each rule, which pipelines.score reads, 16-bit maps of the probability (of
G / (G + 16) for a classical saliency G), scores.json (canonical and legacy modes, CPU time a frame) and a picture a rule. The
same command in the same folder resumes; another detector, setting or data set there is refused with the difference. Curves
and strata of a run: pipelines.score RESULTS/probability --truth DIR --threshold T.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.classical import classical_names, method_class
from pipelines.cluster import KINDS, default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.config import check_settings
from pipelines.evaluate_detectors import CLASSICAL_RULES, RUN_RULE
from pipelines.evaluate_folder import begin_folder, check_folder, describe
from pipelines.evaluate_job import Job, predict, read_record
from pipelines.evaluate_run import Outcome, run_frames
from pipelines.evaluate_scores import SCORES_NAME, Evaluated, print_scores, read_mask, score_frames
from pipelines.evaluate_sheet import Event, draw_events, find_events
from pipelines.progress import progress_bar
from pipelines.score_truth import Truth, TruthFrame
from synth.corpora import FrameRef
from synth.corpora.layouts import LAYOUTS
from synth.errors import RecipeError
from synth.sample import BoolMask, Frame
from synth.store.files import write_durably, write_json

_NUM_PROBES = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_run, _parser(), argv)


def _parser() -> Parser:
    parser = Parser(prog="evaluate", description=(__doc__ or "").format(names=", ".join(classical_names())))
    parser.add_argument("method", metavar="METHOD|RUN", help="name of a classical method, or folder of a finished training run")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="root folder of the data set")
    parser.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="folder to make or resume")
    parser.add_argument("--split", choices=["train", "val", "trainval", "test"], help="frames to take; else test if listed")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists; else the official one")
    parser.add_argument("--layout", choices=[spec.name for spec in LAYOUTS], help="layout of DIR; else detected")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks are read")
    parser.add_argument("--rule", choices=CLASSICAL_RULES, help="threshold rule of a classical method; else both")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a setting of the method; repeatable"
    )
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="processes or threads")
    parser.add_argument("--cluster", metavar="KIND", default="local", help=f"where work runs: {KINDS}")
    parser.add_argument("--resamples", type=int, default=2000, metavar="B", help="bootstrap resamples for intervals; 0 for none")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be done, its size and time")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    run = _run_folder(arguments)
    settings = _settings(arguments.method, arguments.overrides) if run is None else _run_settings(run)  # before anything is read
    truth = Truth(
        arguments.data,
        arguments.split,
        layout=arguments.layout,
        split_list=arguments.split_list,
        mask_scale=arguments.mask_scale,
    )
    job = _job(arguments, settings, truth, run)
    about = describe(job, truth)
    check_folder(job.folder, about)
    refs = truth.corpus.frames
    print(f"{job.method} {job.settings} on {truth.about}")
    if arguments.dry_run:
        return _print_plan(job, refs, arguments.workers)
    with stop_on_signal() as stop:
        outcome = _predict(job, refs, about, arguments, stop)
        if outcome.failures and not stop():
            return _report_failures(outcome)
        done = None if stop() else _score(job, truth, about, arguments.resamples, stop)
    if done is None:
        return stop.exit_code
    print_scores(done)
    for name in (SCORES_NAME, *(path.name for path in sorted(job.folder.glob("*.png")))):
        print(f"wrote {arguments.out / name}")
    return EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    faults: list[str] = []
    if arguments.workers < 1:
        faults.append(f"--workers must be >= 1, got {arguments.workers}")
    if not 0 <= arguments.resamples <= 100_000:
        faults.append(f"--resamples must be in 0..100000, got {arguments.resamples}")
    if faults:
        raise RecipeError(*faults)


def _settings(method: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the method's settings, defaults included, without its name."""
    model = method_class(method).config_type
    settings = check_settings(model, {"kind": method}, overrides).model_dump(mode="json", exclude={"kind"})
    if settings.get("num_frames", 1) != 1:
        raise RecipeError(f"num_frames must be 1 here, got {settings['num_frames']}: labelled data sets hold single frames")
    return settings


def _run_folder(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of the training run that was asked for, or None for a classical method."""
    folder = Path(arguments.method)
    if arguments.method in classical_names() or not folder.is_dir():
        return None
    if arguments.overrides or arguments.rule:
        raise RecipeError("--set and --rule go with a classical method; a run is evaluated as it was trained")
    return folder.resolve()


def _run_settings(run: Path) -> dict[str, Any]:
    """Return what identifies a finished run, and the threshold it chose."""
    from finetune.train import read_result

    result = read_result(run)
    return {key: result[key] for key in ("recipe_sha256", "weights_sha256", "weights", "step", "threshold", "init")}


def _job(arguments: argparse.Namespace, settings: dict[str, Any], truth: Truth, run: Path | None) -> Job:
    """Return what every frame has in common."""
    classical = CLASSICAL_RULES if arguments.rule is None else (arguments.rule,)
    return Job(
        data=str(truth.corpus.root),
        layout=truth.corpus.layout,
        mask_scale=truth.corpus.mask_scale,
        method=arguments.method if run is None else run.name,
        settings=json.dumps(settings, sort_keys=True),
        rules=classical if run is None else (RUN_RULE,),
        out=str(arguments.out.resolve()),
        run=None if run is None else str(run),
    )


def _print_plan(job: Job, refs: Sequence[FrameRef], num_workers: int) -> int:
    todo = [ref for ref in refs if read_record(job, ref.id) is None]
    print(f"would predict {len(todo)} of {len(refs)} frames, rules {', '.join(job.rules)}")
    if todo:
        sizes, durations = [], []
        for ref in todo[:_NUM_PROBES]:
            started = time.perf_counter()
            sizes.append(sum(map(len, predict(job, ref).files.values())))
            durations.append(time.perf_counter() - started)
        seconds = statistics.median(durations) * len(todo) / num_workers
        print(f"about {statistics.fmean(sizes) * len(todo) / 1e6:.1f} MB in {job.out}, {seconds:.0f} s")
    print("nothing written (--dry-run)")
    return EXIT_OK


def _predict(
    job: Job, refs: Sequence[FrameRef], about: dict[str, Any], arguments: argparse.Namespace, stop: StopRequest
) -> Outcome:
    num_workers = min(arguments.workers, len(refs))
    with open_client(arguments.cluster, num_workers) as client, progress_bar(job.method, len(refs), "frame") as advance:
        begin_folder(job.folder, about)
        started = time.perf_counter()
        outcome = run_frames(job, refs, client=client, should_stop=stop, advance=advance)
        seconds = time.perf_counter() - started
    print(f"predicted {outcome.num_written} frames in {seconds:.1f} s, {outcome.num_skipped} were there")
    return outcome


def _report_failures(outcome: Outcome) -> int:
    for frame_id, error in sorted(outcome.failures.items())[:10]:
        print(f"error: frame {frame_id} was not predicted: {error}", file=sys.stderr)
    print(f"error: {len(outcome.failures)} frames failed; the others are kept, run the command again to retry", file=sys.stderr)
    return EXIT_FAULT


def _score(job: Job, truth: Truth, about: dict[str, Any], num_resamples: int, stop: StopRequest) -> Evaluated | None:
    """Score the masks, write scores and pictures; None when stopped."""
    events: dict[str, list[Event]] = {rule: [] for rule in job.rules}
    with progress_bar("scoring", len(truth.ids) * len(job.rules), "mask") as advance:

        def on_mask(rule: str, frame_id: str, mask: BoolMask, frame: TruthFrame) -> None:
            events[rule].extend(find_events(frame_id, mask, frame))
            advance(1)

        found = score_frames(job, truth, num_resamples, on_mask=on_mask, should_stop=stop)
    if found is None:
        return None
    for rule, of_rule in events.items():

        def read(frame_id: str, rule: str = rule) -> tuple[Frame, BoolMask]:
            return truth.read(frame_id).frame, read_mask(job.path(rule, frame_id))

        if (picture := draw_events(of_rule, f"{job.method} on {truth.about}", rule, read)) is not None:
            write_durably(job.folder / f"{rule}.png", [picture])
    write_json(job.folder / SCORES_NAME, {"format": 1, "about": about} | found.to_dict())
    return found


if __name__ == "__main__":
    sys.exit(main())
