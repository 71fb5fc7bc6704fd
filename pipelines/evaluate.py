"""Run detectors over the frames of a data set, score them, compare them, and show what each hits, misses and makes up.

    python -m pipelines.evaluate METHOD --data DIR --out RESULTS        classical method, test list, both threshold rules
    python -m pipelines.evaluate tophat --data DIR --out RESULTS --set side_px=9
    python -m pipelines.evaluate RUN --data DIR --out RESULTS           trained run, at the threshold it chose on validation
    python -m pipelines.evaluate RUN RUN RUN pstnn ipi --data DIR --out RESULTS             one table, mean over seeds, floor
    python -m pipelines.evaluate RUN tophat --data DIR --other OTHER --out RESULTS          beside it, another data set

METHOD is one of {names}; RUN is the folder of a finished training. Frames keep their native size, one thread each; they run
side by side. RESULTS gets a folder of masks for each rule, which pipelines.score reads, 16-bit maps of log-odds (0.5 + asinh of
them / 15.2, cut at 0 and 1: even odds at 0.5; of G / (G + 16) for a classical saliency G), scores.json (canonical and legacy
modes, canonical scores without near duplicates of frames that may have trained, Pd at false-alarm areas and by target size and
SCR, CPU time a frame) and a picture a rule. With several detectors, or --other, each has all this in
RESULTS/NAME (and RESULTS/NAME/other-SET), and RESULTS gets the comparison: table.md and scores.json. Runs that differ in
train.seed only are averaged, with Student's t interval from three seeds on.

The same command in the same folder resumes, and more detectors may join a comparison; another setting or data set there is
refused with the difference. Test frames that trained a run are refused; frames of other splits that did are warned of.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from distributed import Client

from finetune.classical import classical_names
from pipelines.cluster import KINDS, default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, StopRequest, run_command, stop_on_signal
from pipelines.evaluate_compare import compare_evaluations
from pipelines.evaluate_detectors import CLASSICAL_RULES
from pipelines.evaluate_folder import COMPARISON_NAMES, begin_folder
from pipelines.evaluate_job import predict, read_record
from pipelines.evaluate_page import page_of, section_of
from pipelines.evaluate_plan import Evaluation, find_warnings, level_of_frames, plan_evaluations, read_contenders
from pipelines.evaluate_run import Outcome, run_frames
from pipelines.evaluate_scores import (
    SCORES_NAME,
    Evaluated,
    count_compared,
    find_clean_ids,
    print_scores,
    read_mask,
    score_frames,
)
from pipelines.evaluate_sheet import Event, draw_events, find_events
from pipelines.progress import progress_bar
from pipelines.score_truth import Truth, TruthFrame
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
    parser.add_argument(
        "methods", nargs="+", metavar="METHOD|RUN", help="name of a classical method, or folder of a finished training run"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="root folder of the data set")
    parser.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="folder to make or resume")
    parser.add_argument("--split", choices=["train", "val", "trainval", "test"], help="frames to take; else test if listed")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists of --data; else the official one")
    parser.add_argument("--layout", choices=[spec.name for spec in LAYOUTS], help="layout of --data; else detected")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks are read")
    parser.add_argument(
        "--max-level", type=int, metavar="L", help="level that stands for 1.0 in 16-bit files; else data.max_level of the runs"
    )
    parser.add_argument(
        "--other", type=Path, action="append", default=[], metavar="DIR", help="further data set, official test list; repeatable"
    )
    parser.add_argument("--no-dedup", action="store_true", help="leave out the score without near duplicates of known frames")
    parser.add_argument("--rule", choices=CLASSICAL_RULES, help="threshold rule of classical methods; else both")
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
    contenders = read_contenders(arguments.methods, arguments.rule, arguments.overrides)  # before any frame is read
    data, *others = _truths(arguments, level_of_frames(contenders, arguments.max_level))
    plan = plan_evaluations(contenders, data, others, arguments.out)
    warnings = tuple(find_warnings(plan))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if arguments.dry_run:
        return _print_plan(plan, arguments.workers)
    with stop_on_signal() as stop:
        done, outcome = _evaluate(plan, data, arguments, stop)
    if stop():
        return stop.exit_code
    if outcome.failures:
        return _report_failures(outcome)
    if len(plan) == 1:
        print_scores(done[0][1])
    else:
        _compare(done, warnings, arguments)
    for path in _written(plan, arguments.out):
        print(f"wrote {path}")
    return EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    faults: list[str] = []
    if arguments.workers < 1:
        faults.append(f"--workers must be >= 1, got {arguments.workers}")
    if not 0 <= arguments.resamples <= 100_000:
        faults.append(f"--resamples must be in 0..100000, got {arguments.resamples}")
    if faults:
        raise RecipeError(*faults)


def _truths(arguments: argparse.Namespace, max_level: int | None) -> Iterator[Truth]:
    """Yield the set of ``--data``, then the others with their official test lists."""
    lists = {"layout": arguments.layout, "split_list": arguments.split_list}
    open_at = partial(Truth, mask_scale=arguments.mask_scale, max_level=max_level)
    yield open_at(arguments.data, arguments.split, **lists)
    for path in arguments.other:
        yield open_at(path, None, layout=None, split_list=None)


def _print_plan(plan: Sequence[Evaluation], num_workers: int) -> int:
    for evaluation in plan:
        print(evaluation.title)
        job, refs = evaluation.job, evaluation.truth.corpus.frames
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


def _evaluate(
    plan: Sequence[Evaluation], data: Truth, arguments: argparse.Namespace, stop: StopRequest
) -> tuple[list[tuple[Evaluation, Evaluated]], Outcome]:
    """Predict and score one evaluation after the other, until one stops or fails; return those done, and the last outcome."""
    done, outcome = [], Outcome()
    clean_ids: dict[Truth, tuple[str, ...] | None] = {}
    num_workers = min(arguments.workers, max(len(evaluation.truth.ids) for evaluation in plan))
    with open_client(arguments.cluster, num_workers) as client:
        for evaluation in plan:
            truth = evaluation.truth
            outcome = _predict(evaluation, client, stop)
            if stop() or outcome.failures:
                break
            if truth not in clean_ids:
                clean_ids[truth] = None if arguments.no_dedup else _clean_ids(truth, data)
            found = _score(evaluation, clean_ids[truth], arguments.resamples, stop)
            if found is None:
                break
            done.append((evaluation, found))
    return done, outcome


def _predict(evaluation: Evaluation, client: Client | None, stop: StopRequest) -> Outcome:
    job, refs = evaluation.job, evaluation.truth.corpus.frames
    print(evaluation.title)
    with progress_bar(job.method, len(refs), "frame") as advance:
        begin_folder(job.folder, evaluation.about)
        started = time.perf_counter()
        outcome = run_frames(job, refs, client=client, should_stop=stop, advance=advance)
        seconds = time.perf_counter() - started
    print(f"predicted {outcome.num_written} frames in {seconds:.1f} s, {outcome.num_skipped} were there")
    return outcome


def _clean_ids(truth: Truth, data: Truth) -> tuple[str, ...] | None:
    with progress_bar("near duplicates", count_compared(truth, data), "frame") as advance:
        return find_clean_ids(truth, data, advance)


def _report_failures(outcome: Outcome) -> int:
    for frame_id, error in sorted(outcome.failures.items())[:10]:
        print(f"error: frame {frame_id} was not predicted: {error}", file=sys.stderr)
    print(f"error: {len(outcome.failures)} frames failed; the others are kept, run the command again to retry", file=sys.stderr)
    return EXIT_FAULT


def _score(evaluation: Evaluation, clean_ids: Sequence[str] | None, num_resamples: int, stop: StopRequest) -> Evaluated | None:
    """Score the masks, write scores and pictures; None when stopped."""
    job, truth = evaluation.job, evaluation.truth
    events: dict[str, list[Event]] = {rule: [] for rule in job.rules}
    with progress_bar("scoring", len(truth.ids) * len(job.rules), "mask") as advance:

        def on_mask(rule: str, frame_id: str, mask: BoolMask, frame: TruthFrame) -> None:
            events[rule].extend(find_events(frame_id, mask, frame))
            advance(1)

        found = score_frames(job, truth, num_resamples, clean_ids, on_mask=on_mask, should_stop=stop)
    if found is None:
        return None
    for rule, of_rule in events.items():

        def read(frame_id: str, rule: str = rule) -> tuple[Frame, BoolMask]:
            return truth.read(frame_id).frame, read_mask(job.path(rule, frame_id))

        if (picture := draw_events(of_rule, f"{job.method} on {truth.about}", rule, read)) is not None:
            write_durably(job.folder / f"{rule}.png", [picture])
    warnings = list(find_warnings([evaluation]))
    write_json(job.folder / SCORES_NAME, {"format": 1, "about": evaluation.about} | found.to_dict() | {"warnings": warnings})
    return found


def _compare(done: Sequence[tuple[Evaluation, Evaluated]], warnings: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print the tables and write the comparison."""
    comparisons, out = compare_evaluations(done, arguments.resamples), arguments.out
    for found in comparisons:
        print("", *section_of(found), sep="\n")
    content = {"format": 1, "sets": [found.to_dict() for found in comparisons], "warnings": list(warnings)}
    scores, page = COMPARISON_NAMES
    write_json(out / scores, content)
    write_durably(out / page, [page_of(comparisons, warnings).encode()])


def _written(plan: Sequence[Evaluation], out: Path) -> list[Path]:
    """Return the files a reader wants, below the folder of the results as the user wrote it."""
    pictures = [evaluation.job.folder / f"{rule}.png" for evaluation in plan for rule in evaluation.job.rules]
    below = [path.relative_to(out.resolve()) for path in pictures if path.is_file()]
    return [out / name for name in COMPARISON_NAMES if (out / name).is_file()] + [out / path for path in below]


if __name__ == "__main__":
    sys.exit(main())
