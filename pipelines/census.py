"""Realism card: what a store or a folder of frames looks like in numbers, and how far it is from real frames.

    python -m pipelines.census STORE|DIR                        its statistics
    python -m pipelines.census STORE --against DIR              also distances and two classifiers that try to tell them apart
    python -m pipelines.census STORE --against DIR --out CARD   also census.json and census.png, a page of plots

Goals are printed beside the values and gate nothing. Test lists are never read: a folder with lists gives its trainval ids.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.census_network import network_learner
from pipelines.census_page import draw_page
from pipelines.census_table import print_card
from pipelines.command import EXIT_OK, Parser, StopRequest, run_command, seed_number, stop_on_signal
from pipelines.output_folder import refuse_other_files
from pipelines.progress import progress_bar
from synth.census import (
    Comparison,
    FrameSet,
    Survey,
    compare_surveys,
    folder_frames,
    realism_card,
    store_frames,
    survey_frames,
)
from synth.census.sources import check_split
from synth.errors import RecipeError
from synth.store.files import write_durably, write_json

CARD_NAME, PAGE_NAME = "census.json", "census.png"
_EXTRA_S = 20  # classifiers and page, beside reading (measured; the network adds about 40 where torch is installed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_run, _parser(), argv)


def _parser() -> Parser:
    parser = Parser(prog="census", description=__doc__ or "")
    parser.add_argument("source", type=Path, metavar="STORE|DIR", help="the store or folder the card is about")
    parser.add_argument("--against", type=Path, metavar="STORE|DIR", help="the frames to hold it against, usually real ones")
    parser.add_argument("--split", default="trainval", help="ids of folders with lists: train, val or trainval")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"folder for {CARD_NAME} and {PAGE_NAME}")
    parser.add_argument("--max-frames", type=int, default=2000, metavar="N", help="most frames read of each; more are drawn from")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="seed of every draw")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists of a single DIR; else the official one")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks of a DIR are read")
    parser.add_argument(
        "--max-level",
        type=int,
        metavar="N",
        help="level that stands for 1.0 in 16-bit files (16383 for 14-bit data); else 65535",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be read; write nothing")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    sets = _open_sets(arguments)
    if arguments.out is not None:
        refuse_other_files(arguments.out, CARD_NAME, "a card")
    if arguments.dry_run:
        return _print_plan(sets, arguments)
    with stop_on_signal() as stop:
        surveys = _survey(sets, arguments.seed, stop)
        comparison = _compare(surveys, arguments.seed) if len(surveys) > 1 and not stop() else None
        if stop():
            return stop.exit_code
    reference = surveys[1] if len(surveys) > 1 else None
    card = realism_card(surveys[0], reference, comparison, arguments.seed)
    print_card(card)
    if arguments.out is not None:
        write_json(arguments.out / CARD_NAME, card)  # first: it marks the folder as ours
        page = draw_page(surveys[0], reference, comparison, arguments.seed)
        write_durably(arguments.out / PAGE_NAME, [page])
        print(f"\nwrote {arguments.out / CARD_NAME}\nwrote {arguments.out / PAGE_NAME}")
    return EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    check_split(arguments.split)
    faults: list[str] = []
    if arguments.max_frames < 1:
        faults.append(f"--max-frames must be >= 1, got {arguments.max_frames}")
    folders = [path for path in _paths(arguments) if not _is_store(path)]
    if arguments.split_list is not None and len(folders) != 1:
        faults.append(f"--split-list must stand with a single DIR, got {len(folders)}")
    if len({path.resolve() for path in _paths(arguments)}) != len(_paths(arguments)):
        faults.append(f"--against must differ from the source, got {arguments.against} twice")
    if faults:
        raise RecipeError(*faults)


def _paths(arguments: argparse.Namespace) -> list[Path]:
    return [arguments.source] if arguments.against is None else [arguments.source, arguments.against]


def _is_store(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _open_sets(arguments: argparse.Namespace) -> list[FrameSet]:
    sets: list[FrameSet] = []
    for path in _paths(arguments):
        short = path.resolve().name
        name = f"{short}-2" if sets and sets[0].name == short else short
        frames = store_frames(path, name) if _is_store(path) else _open_folder(path, name, arguments)
        sets.append(frames.subset(arguments.max_frames, arguments.seed))
    return sets


def _open_folder(path: Path, name: str, arguments: argparse.Namespace) -> FrameSet:
    options = {"split_list": arguments.split_list, "mask_scale": arguments.mask_scale, "max_level": arguments.max_level}
    return folder_frames(path, arguments.split, name, **options)


def _print_plan(sets: Sequence[FrameSet], arguments: argparse.Namespace) -> int:
    total_s = 0.0
    for frames in sets:
        probe = frames.subset(2, arguments.seed)
        survey_frames(probe)  # the first time compiles
        started = time.perf_counter()
        survey_frames(probe)
        seconds = (time.perf_counter() - started) / len(probe) * len(frames)
        total_s += seconds
        print(f"{frames.name}: {frames.about}")
        print(f"  would read {len(frames)} of {frames.num_found} frames, {_mebibytes(frames):.1f} MiB, about {seconds:.0f} s")
    if len(sets) > 1:
        total_s += _EXTRA_S
    print(f"about {total_s:.0f} s in all")
    if arguments.out is not None:
        print(f"would write {CARD_NAME} and {PAGE_NAME} to {arguments.out}, about 1 MiB")
    print("nothing written (--dry-run)")
    return EXIT_OK


def _mebibytes(frames: FrameSet) -> float:
    return frames.num_bytes * len(frames) / (frames.num_found * 2**20)


def _survey(sets: Sequence[FrameSet], seed: int, stop: StopRequest) -> list[Survey]:
    """Read every frame once; on a stop request return what is there."""
    with progress_bar("reading", sum(len(frames) for frames in sets), "frame") as advance:
        return [survey_frames(frames, seed=seed, on_frame=lambda: advance(1), stop=stop) for frames in sets]


def _compare(surveys: Sequence[Survey], seed: int) -> Comparison:
    with progress_bar("comparing", unit="test") as advance:
        return compare_surveys(*surveys, network=network_learner(seed), seed=seed, on_test=lambda what: advance(1))


if __name__ == "__main__":
    sys.exit(main())
