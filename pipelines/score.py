"""Score anyone's predictions: canonical by default, or as a published code would.

    python -m pipelines.score PREDICTIONS --truth DIR                       table of scores of the test list
    python -m pipelines.score PREDICTIONS --truth DIR --out SCORES          also scores.json, CSV tables, curves and a picture
    python -m pipelines.score PREDICTIONS --truth DIR --mode dnanet256      beside it, the numbers DNANet's code would print

PREDICTIONS is a folder of maps named by frame id (probability or mask PNG, TIFF or BMP of 8 or 16 bits, or .npy), one .npy
stack (frames x rows x columns), or one zarr array (zarr format 3, bytes + zstd + crc32c). Maps are probabilities in 0..1.
Legacy modes resize as the named code does and say so; canonical scores never resize.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from finetune.metrics import CurveTally, HseTally, LegacyTally, Mode, NativeTally
from finetune.metrics.native import GATE_PX
from pipelines.command import EXIT_OK, Parser, StopRequest, run_command, seed_number, stop_on_signal
from pipelines.output_folder import refuse_other_files
from pipelines.progress import progress_bar
from pipelines.score_counts import Counts, count_frames
from pipelines.score_files import SCORES_NAME, write_report
from pipelines.score_inputs import LevelScale, Predictions, open_predictions
from pipelines.score_report import Report, build_report, print_report
from pipelines.score_truth import Truth
from pipelines.score_warnings import find_warnings
from synth.corpora.layouts import LAYOUTS
from synth.errors import RecipeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_run, _parser(), argv)


def _parser() -> Parser:
    parser = Parser(prog="score", description=__doc__ or "")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of maps, .npy stack, or zarr array")
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR", help="root folder of the data set")
    parser.add_argument("--split", choices=["train", "val", "trainval", "test"], help="split to score; else test if listed")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists; else the official one")
    parser.add_argument("--layout", choices=[spec.name for spec in LAYOUTS], help="layout of DIR; else detected")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks are read")
    parser.add_argument("--out", type=Path, help="folder for scores.json, CSV tables and curves")
    parser.add_argument("--mode", choices=get_args(Mode), default="native", help="also score as this published code does")
    parser.add_argument("--threshold", type=float, default=0.5, metavar="T", help="a pixel is predicted above this")
    parser.add_argument("--gate-px", type=int, default=GATE_PX, metavar="R", help="canonical matching distance, px, 1..5")
    parser.add_argument("--irsam-geometry", type=int, choices=[512], help="squash every frame to 512x512 in mode irsam")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="ids of a stack, one a line, in its order")
    parser.add_argument("--suffix", default="", help="what file names carry after the id, such as _pred")
    parser.add_argument("--prediction-max", type=int, metavar="L", help="level that stands for 1.0; else 255 or 65535")
    parser.add_argument("--no-dedup", action="store_true", help="leave out the score without near duplicates of known frames")
    parser.add_argument("--resamples", type=int, default=2000, metavar="B", help="bootstrap resamples for intervals; 0 for none")
    parser.add_argument("--seed", type=seed_number, default=0, help="seed of the resamples")
    parser.add_argument("--dry-run", action="store_true", help="print what would be read; write nothing")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    counts = _empty_counts(arguments)
    truth = Truth(
        arguments.truth,
        arguments.split,
        layout=arguments.layout,
        split_list=arguments.split_list,
        mask_scale=arguments.mask_scale,
    )
    scale = LevelScale(arguments.prediction_max)
    predictions = open_predictions(arguments.predictions, truth.ids, scale, ids_file=arguments.ids, suffix=arguments.suffix)
    if arguments.out is not None:
        refuse_other_files(arguments.out, SCORES_NAME, "a score")
    if arguments.dry_run:
        return _print_plan(truth, predictions, counts, with_dedup=not arguments.no_dedup)
    with stop_on_signal() as stop:
        clean = _count(truth, predictions, counts, stop, with_dedup=not arguments.no_dedup)
    if stop():
        return stop.exit_code
    scale.check()
    warnings = find_warnings(truth, predictions, counts, asked_split=arguments.split, threshold=arguments.threshold)
    report = build_report(truth, predictions, counts, clean, warnings, num_resamples=arguments.resamples, seed=arguments.seed)
    return _show(report, arguments.out)


def _show(report: Report, out: Path | None) -> int:
    print_report(report)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if out is not None:
        for path in write_report(out, report):
            print(f"wrote {path}")
    return EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    faults: list[str] = []
    if not 0 <= arguments.resamples <= 100_000:
        faults.append(f"--resamples must be in 0..100000, got {arguments.resamples}")
    if arguments.prediction_max is not None and not 1 <= arguments.prediction_max <= 65535:
        faults.append(f"--prediction-max must be in 1..65535, got {arguments.prediction_max}")
    if arguments.irsam_geometry is not None and arguments.mode != "irsam":
        faults.append(f"--irsam-geometry needs --mode irsam, got {arguments.mode}")
    if faults:
        raise RecipeError(*faults)


def _empty_counts(arguments: argparse.Namespace) -> Counts:
    legacy = None
    if arguments.mode != "native":
        legacy = LegacyTally(arguments.mode, threshold=arguments.threshold, irsam_geometry=arguments.irsam_geometry)
    native = NativeTally(threshold=arguments.threshold, gate_px=arguments.gate_px)
    return Counts(native, HseTally(), CurveTally(gate_px=arguments.gate_px), legacy)


def _print_plan(truth: Truth, predictions: Predictions, counts: Counts, *, with_dedup: bool) -> int:
    num_known = sum(map(len, truth.known_parts().values())) if with_dedup else 0
    for frame_id in truth.ids[:2]:  # the first one compiles
        started = time.perf_counter()
        frame = truth.read(frame_id)
        read_s = time.perf_counter() - started
        counts.add(frame_id, predictions.read(frame_id), frame)
        total_s = time.perf_counter() - started
    eta_s = len(truth.ids) * total_s + num_known * read_s
    print(f"truth: {truth.about}")
    print(f"predictions: {predictions.about}")
    print(
        f"would read {len(truth.ids)} maps ({predictions.num_bytes / 2**20:.1f} MiB) with their frames, {num_known} other frames"
        f" for near duplicates; about {eta_s:.0f} s"
    )
    print("nothing written (--dry-run)")
    return EXIT_OK


def _count(
    truth: Truth, predictions: Predictions, counts: Counts, stop: StopRequest, *, with_dedup: bool
) -> tuple[str, ...] | None:
    """Count every frame; return the ids without near duplicates among known frames, None where that was not asked."""
    with progress_bar("score", len(truth.ids), "frame") as advance:
        count_frames(truth, predictions, counts, advance, stop)
    num_known = sum(map(len, truth.known_parts().values()))
    if stop() or not with_dedup or not num_known:
        return None
    with progress_bar("near duplicates", num_known, "frame") as advance:
        return truth.clean_ids(counts.fingerprints(truth.ids), advance)


if __name__ == "__main__":
    sys.exit(main())
