"""Leakage audit: what the splits of one or several data sets share, and validation lists that cut no group.

    python -m pipelines.audit DIR|STORE...                   table of shared ids, equal pixels and near duplicates
    python -m pipelines.audit DIR... --out AUDIT             also audit.json, pairs.png and de-duplicated test lists
    python -m pipelines.audit DIR --make-val 133 --seed 0    print a validation list drawn from the train list

Exit code 3 when a test frame has a pixel-identical copy outside the test lists. Near duplicates are counted only,
because published lists keep them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Never

import numpy as np
from tqdm import tqdm

from pipelines.audit_report import REPORT_NAME, AuditReport, write_report, write_text
from pipelines.audit_sources import AuditSource, corpus_source, store_source
from pipelines.command import EXIT_OK, EXIT_VERIFICATION, Parser, StopRequest, run_command, seed_number, stop_on_signal
from pipelines.output_folder import refuse_other_files
from synth.corpora import Corpus, Fingerprints, Overlap, compare, fingerprint, open_corpus
from synth.corpora.exposure import count_groups, expose, part_of
from synth.corpora.grouping import count_targets, draw_validation, near_duplicate_groups
from synth.corpora.layouts import LAYOUTS
from synth.corpora.leakage import NEAR_DUPLICATE_NCC
from synth.errors import RecipeError
from synth.sample import Frame

_PROTECTION = ("all", "unlisted", "train", "trainval", "val", "test")  # of two splits, the later is to be protected


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_run, _parser(), argv)


def _parser() -> Parser:
    parser = Parser(prog="audit", description=__doc__ or "")
    parser.add_argument("sources", nargs="+", type=Path, metavar="DIR|STORE", help="root folders of data sets, or stores")
    parser.add_argument("--out", type=Path, help="folder for audit.json, pairs.png and test_dedup.txt, or for val.txt")
    parser.add_argument("--threshold", type=float, default=NEAR_DUPLICATE_NCC, help="least NCC of a near duplicate")
    parser.add_argument("--layout", choices=[spec.name for spec in LAYOUTS], help="layout of every DIR; else detected")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists of a single DIR; else the official one")
    parser.add_argument("--mask-scale", choices=["strict", "auto", "index"], default="strict", help="how masks are read")
    parser.add_argument("--make-val", type=int, metavar="N", help="draw a validation list of N ids from the train list")
    parser.add_argument("--seed", type=seed_number, default=0, help="seed of --make-val")
    parser.add_argument("--dry-run", action="store_true", help="print what would be read; write nothing")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    if arguments.make_val is not None:
        return _make_validation(arguments.sources[0], arguments)
    sources = _open_sources(arguments)
    if arguments.dry_run:
        return _print_plan(sources)
    if arguments.out is not None:
        refuse_other_files(arguments.out, REPORT_NAME, "an audit")
    with stop_on_signal() as stop:
        prints = _fingerprints(sources, stop)
    if stop():
        return stop.exit_code
    report = _conclude(sources, prints, arguments.threshold)
    _print_report(report)
    if arguments.out is not None:
        reader = {source.name: source.read for source in sources}
        for path in write_report(arguments.out, report, lambda source, frame_id: reader[source](frame_id)[0]):
            print(f"wrote {path}")
    leaks = [exposure for exposure in report.exposures if exposure.equal]
    for exposure in leaks:
        print(f"error: {exposure.name}: {len(exposure.equal)} test frames are also outside the test list", file=sys.stderr)
    return EXIT_VERIFICATION if leaks else EXIT_OK


def _check_arguments(arguments: argparse.Namespace) -> None:
    faults: list[str] = []
    single = len(arguments.sources) == 1
    if not 0.0 < arguments.threshold <= 1.0:
        faults.append(f"--threshold must be in (0, 1], got {arguments.threshold}")
    if arguments.split_list is not None and not single:
        faults.append("--split-list needs a single DIR, because every set names its lists in its own way")
    if arguments.make_val is not None and not single:
        faults.append("--make-val needs a single DIR, the one whose train list is to be divided")
    resolved = [path.resolve() for path in arguments.sources]
    faults += [f"DIR must differ, got {path} twice" for path in sorted(set(resolved)) if resolved.count(path) > 1]
    if faults:
        raise RecipeError(*faults)


def _open_sources(arguments: argparse.Namespace) -> list[AuditSource]:
    sources: list[AuditSource] = []
    for number, path in enumerate(arguments.sources, start=1):
        short = path.resolve().name
        name = f"{short}-{number}" if any(source.name == short for source in sources) else short
        if (path / "manifest.json").is_file():
            sources.append(store_source(path, name))
        else:
            corpus = _open(path, arguments)
            sources.append(corpus_source(corpus, name, corpus.parts()))
    return sources


def _open(path: Path, arguments: argparse.Namespace, split: str | None = None) -> Corpus:
    return open_corpus(path, split, layout=arguments.layout, split_list=arguments.split_list, mask_scale=arguments.mask_scale)


def _print_plan(sources: Sequence[AuditSource]) -> int:
    for source in sources:
        num_frames = sum(len(ids) for ids in source.parts.values())
        started = time.perf_counter()
        source.read(next(iter(source.parts.values()))[0])
        eta_s = num_frames * (time.perf_counter() - started)
        counts = ", ".join(f"{part} {len(ids)}" for part, ids in source.parts.items())
        print(f"{source.name}: {source.about}")
        print(f"  would read {num_frames} frames ({counts}), {source.num_bytes / 2**20:.1f} MiB, about {eta_s:.0f} s")
    print("nothing written (--dry-run)")
    return EXIT_OK


def _fingerprints(sources: Sequence[AuditSource], stop: StopRequest) -> list[Fingerprints]:
    """Read every frame once; on a stop request return what is there."""
    total = sum(len(ids) for source in sources for ids in source.parts.values())
    prints: list[Fingerprints] = []
    with tqdm(total=total, unit="frame", desc="reading", disable=None) as bar:
        for source in sources:
            for part, ids in source.parts.items():
                prints.append(fingerprint(f"{source.name}/{part}", _read_all(source, ids, bar, stop)))
    return prints


def _read_all(source: AuditSource, ids: Sequence[str], bar: tqdm[Never], stop: StopRequest) -> Iterator[tuple[Frame, str]]:
    for frame_id in ids:
        if stop():
            return
        yield source.read(frame_id)
        bar.update()


def _conclude(sources: Sequence[AuditSource], prints: Sequence[Fingerprints], threshold: float) -> AuditReport:
    overlaps = [_compare(a, b, threshold) for a, b in combinations(prints, 2)]
    return AuditReport(
        threshold=threshold,
        sources={source.name: source.about for source in sources},
        num_frames={group.name: len(group) for group in prints},
        overlaps=tuple(overlaps),
        exposures=tuple(expose(group, overlaps) for group in prints if part_of(group.name) == "test"),
        groups=tuple(
            count_groups(source.name, [group for group in prints if group.name.startswith(f"{source.name}/")], threshold)
            for source in sources
        ),
    )


def _compare(first: Fingerprints, second: Fingerprints, threshold: float) -> Overlap:
    """Compare two groups, the one to be protected as the second."""
    a, b = sorted((first, second), key=lambda group: _PROTECTION.index(part_of(group.name)))
    return compare(a, b, threshold)


def _print_report(report: AuditReport) -> None:
    for name, about in report.sources.items():
        print(f"{name}: {about}")
    found = [overlap for overlap in report.overlaps if overlap.shared_ids or overlap.affected_b]
    if found:
        _print_table(found, report.num_frames)
    if num_clean := len(report.overlaps) - len(found):
        print(f"{num_clean} of {len(report.overlaps)} comparisons found nothing shared")
    print(f"same id: names only; equal: pairs of identical pixels; near: pairs of 32x32 NCC >= {report.threshold:g}\n")
    for group in report.groups:
        cut = f"{group.num_cut} of them cut by the splits"
        print(f"{group.name}: {group.num_frames} frames in {group.num_groups} groups (largest {group.largest}), {cut}")
    for exposure in report.exposures:
        num, total = len(exposure.affected), exposure.num_frames
        share = f"{num} of {total} ({_percent(num, total)})"
        print(f"{exposure.name}: {share} have an equal or near-duplicate frame outside the test lists")


def _print_table(overlaps: Sequence[Overlap], num_frames: Mapping[str, int]) -> None:
    width = max(len(name) for name in num_frames)
    row = f"{{:<{width}}}  {{:>6}}  {{:<{width}}}  {{:>7}}  {{:>5}}  {{:>5}}  {{:>14}}"
    print("\n" + row.format("of", "frames", "in", "same id", "equal", "near", "affected"))
    for overlap in overlaps:
        counts = len(overlap.shared_ids), len(overlap.equal_pixels), len(overlap.near_duplicates)
        num_affected, num_b = len(overlap.affected_b), num_frames[overlap.b]
        affected = f"{num_affected} ({_percent(num_affected, num_b)})"
        print(row.format(overlap.b, num_b, overlap.a, *counts, affected))


def _percent(num: int, total: int) -> str:
    return f"{100 * num / total:.1f} %"


def _make_validation(path: Path, arguments: argparse.Namespace) -> int:
    """Draw a validation list from the whole train list, print it, and write it where asked."""
    corpus = _open(path, arguments, split="trainval")
    source = corpus_source(corpus, corpus.root.name, {"trainval": corpus.frames})
    if arguments.dry_run:
        return _print_plan([source])
    num_targets: dict[str, int] = {}

    def read(frame_id: str) -> tuple[Frame, str]:
        frame, pixels_sha256 = source.read(frame_id)
        num_targets[frame_id] = 0 if frame.mask is None else count_targets(frame.mask)
        return frame, pixels_sha256

    with stop_on_signal() as stop:
        (prints,) = _fingerprints([replace(source, read=read)], stop)
    if stop():
        return stop.exit_code
    groups = near_duplicate_groups(prints, arguments.threshold)
    strata = np.array([num_targets[frame_id] for frame_id in prints.ids])
    drawn = draw_validation(groups, strata, arguments.make_val, arguments.seed)
    text = "".join(f"{frame_id}\n" for frame_id, is_drawn in zip(prints.ids, drawn, strict=True) if is_drawn)
    sys.stdout.write(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    num_groups = len(np.unique(groups[drawn]))
    print(f"{drawn.sum()} of {len(prints)} ids, {num_groups} whole groups, sha256 {digest}", file=sys.stderr)
    if arguments.out is not None:
        print(f"wrote {write_text(arguments.out / 'val.txt', text)}", file=sys.stderr)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
