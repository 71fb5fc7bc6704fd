"""Calibrate the scene model on real frames: noise, blur, clutter, background mix, gain control and targets.

    python -m pipelines.calibrate --from DIR --out sensor.yaml              fit the frames of the train list
    python -m pipelines.synthesize scenes --with sensor.yaml --out X.zarr   frames that read like them
    python -m pipelines.census X.zarr --against DIR                         how alike they are

Masks are optional: frames alone give everything but the targets, and the file says so. It holds a recipe fragment (source)
and what stands behind it (calibration): measured values with 95 % intervals, and what such frames cannot tell. The ids of
the test list in use are never read. The same frames and seed give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.command import EXIT_OK, Parser, run_command, seed_number, stop_on_signal
from pipelines.progress import progress_bar
from synth.calibrate import Evidence, calibrate, gather_evidence
from synth.calibrate.fit import NUM_STEPS
from synth.census import FrameSet, folder_frames
from synth.errors import LeakageError, RecipeError, RefusalError
from synth.store.files import write_durably

_FIT_S = 60  # rendering and matching, beside reading (measured on one core)
_FILE_KIB = 20
_SPLITS = ("train", "trainval")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_run, _parser(), argv)


def _parser() -> Parser:
    parser = Parser(prog="calibrate", description=__doc__ or "")
    parser.add_argument("--from", dest="folder", type=Path, metavar="DIR", required=True, help="folder of real frames")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="recipe fragment to write (sensor.yaml)")
    parser.add_argument("--split", default="train", help="ids of a folder with lists: train or trainval")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists; else the official one")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks are read")
    parser.add_argument(
        "--max-level", type=int, metavar="N", help="level that stands for 1.0 in 16-bit files (16383 for 14-bit data); else 65535"
    )
    parser.add_argument("--max-frames", type=int, default=2000, metavar="N", help="most frames read; more are drawn from")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="S", help="seed of every draw")
    parser.add_argument("--force", action="store_true", help="write over an existing FILE")
    parser.add_argument("--dry-run", action="store_true", help="print what would be read; write nothing")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    options = {"split_list": arguments.split_list, "mask_scale": arguments.mask_scale, "max_level": arguments.max_level}
    frames = folder_frames(arguments.folder, arguments.split, **options).subset(arguments.max_frames, arguments.seed)
    if arguments.dry_run:
        return _print_plan(frames, arguments)
    with stop_on_signal() as stop:
        with progress_bar("reading", len(frames), "frame") as advance:
            evidence = gather_evidence(frames, seed=arguments.seed, on_frame=lambda: advance(1), stop=stop)
        if stop():
            return stop.exit_code
        with progress_bar("fitting", NUM_STEPS, "step") as advance:
            fragment = calibrate(evidence, seed=arguments.seed, on_step=lambda what: advance(1))
        if stop():
            return stop.exit_code
    write_durably(arguments.out, [_text(fragment, arguments).encode()])
    _print_outcome(fragment, evidence, arguments.out)
    return EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    if arguments.split not in _SPLITS:
        raise LeakageError(f"--split must be one of {', '.join(_SPLITS)} (test lists are never read), got {arguments.split}")
    faults: list[str] = []
    if arguments.max_frames < 1:
        faults.append(f"--max-frames must be >= 1, got {arguments.max_frames}")
    if arguments.out.suffix not in (".yaml", ".yml"):
        faults.append(f"--out must end in .yaml, as a recipe does, got {arguments.out.name}")
    if faults:
        raise RecipeError(*faults)
    if not arguments.out.parent.is_dir():
        raise RefusalError(f"--out {arguments.out}: its parent folder does not exist; make it, or correct the path")
    if arguments.out.is_dir() or (arguments.out.exists() and not arguments.force):
        raise RefusalError(f"--out {arguments.out}: exists; name another file, or write over it with --force")


def _print_plan(frames: FrameSet, arguments: argparse.Namespace) -> int:
    probe = frames.subset(2, arguments.seed)
    gather_evidence(probe)  # the first time compiles
    started = time.perf_counter()
    gather_evidence(probe)
    seconds = (time.perf_counter() - started) / len(probe) * len(frames)
    mebibytes = frames.num_bytes * len(frames) / (frames.num_found * 2**20)
    print(f"{frames.name}: {frames.about}")
    print(f"  would read {len(frames)} of {frames.num_found} frames, {mebibytes:.1f} MiB, about {seconds:.0f} s")
    print(f"would render and match scenes, about {_FIT_S} s, and write {arguments.out}, about {_FILE_KIB} KiB")
    print("nothing written (--dry-run)")
    return EXIT_OK


def _text(fragment: Mapping[str, Any], arguments: argparse.Namespace) -> str:
    """Return the file: a header for the reader and YAML."""
    frames = fragment["calibration"]["frames"]
    lines = (
        f"Recipe fragment: scenes that read like {frames['num_frames']} frames of {frames['set']} ({frames['about']}).",
        f"Use: python -m pipelines.synthesize scenes --with {arguments.out.name} --out X.zarr",
        "A list of eleven is a law by its quantiles, evenly spaced from 0 to 100 %. Section calibration is for the reader:",
        "measured values with 95 % intervals, and what these frames cannot tell. Sensor values are nominal, no system's own.",
    )
    body = yaml.safe_dump(dict(fragment), sort_keys=False, default_flow_style=None, width=126, allow_unicode=True)
    return "".join(f"# {line}\n" for line in lines) + body


def _print_outcome(fragment: Mapping[str, Any], evidence: Evidence, out: Path) -> None:
    survey, calibration = evidence.survey, fragment["calibration"]
    targets = f"{survey.num_targets} targets in {survey.num_labelled} labelled ones"
    print(f"{survey.name}: {len(survey)} frames, {targets} ({survey.about})")
    for name in ("noise_dn", "blur_px", "clutter_slope", "area_px", "peak_dn"):
        if name in calibration["measured"]:
            print(f"  {_line(calibration['measured'][name])}")
    print("not identified:")
    for line in calibration["not_identified"]:
        print(f"  {line}")
    print(f"wrote {out}")


def _line(entry: Mapping[str, Any]) -> str:
    """Say a measure's middle, or its two bounds, with intervals."""
    numbers = list(zip(entry["value"], entry["low"], entry["high"], strict=True))
    shown = [numbers[len(numbers) // 2]] if len(numbers) > 2 else numbers
    parts = [f"{value:g}" + ("" if low is None else f" ({low:g}-{high:g})") for value, low, high in shown]
    return f"{'median ' if len(numbers) > 2 else ''}{', '.join(parts)}: {entry['meaning'].removesuffix(' (table)')}"


if __name__ == "__main__":
    sys.exit(main())
