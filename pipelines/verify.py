"""``python -m pipelines.verify``: does a store hold what it promises; repair, re-render, finalize."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.cluster import default_workers
from pipelines.command import EXIT_OK, EXIT_VERIFICATION, Parser, run_command
from pipelines.progress import progress_bar
from synth.errors import RecipeError, RefusalError
from synth.repair import compare_rendered, repair_store
from synth.store.finalize import finalize_store
from synth.store.lock import locked_range
from synth.store.manifest import Manifest
from synth.store.verify import Findings, check_store

DESCRIPTION = """Check a store: every file against its commit record, everything decoded against its digest,
missing, extra and stray files, and the content hash. Exit 0 when all holds, 3 when not."""
MOST_FAULTS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="verify", description=DESCRIPTION)
    parser.add_argument("store", metavar="STORE", type=Path, help="the .zarr folder")
    parser.add_argument("--source", metavar="DIR", type=Path, help="folder of the source frames or plates, if they have moved")
    parser.add_argument("--repair", action="store_true", help="make the damaged shards again, to the same content")
    parser.add_argument("--regenerate", metavar="K", type=int, default=0, help="also render K random samples again and compare")
    parser.add_argument("--finalize", action="store_true", help="merge the shards of array jobs into the manifest first")
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="shards checked side by side")
    parser.add_argument("--force-unlock", action="store_true", help="remove locks left by launchers on other machines")
    parser.add_argument("--dry-run", action="store_true", help="print what would be checked")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1 or arguments.regenerate < 0:
        raise RecipeError(f"--workers must be >= 1 and --regenerate >= 0, got {arguments.workers} and {arguments.regenerate}")
    store: Path = arguments.store
    if not store.is_dir():
        raise RefusalError(f"{store}: not found; give the .zarr folder a synthesize made")
    manifest = Manifest.load(store)
    size = f"{manifest.shape.num_samples} frames in {manifest.shape.num_shards} shards"
    if arguments.dry_run:
        print(f"{store}: would check {size}, state {manifest.content['state']}")
        return EXIT_OK
    if arguments.finalize:
        with locked_range(store, range(manifest.shape.num_shards), force=arguments.force_unlock):
            finalize_store(store)
    findings = _check(store, manifest, arguments.workers)
    if findings.faults and arguments.repair:
        _repair(arguments, manifest, findings)
        findings = _check(store, manifest, arguments.workers)
    if findings.faults:
        advice = "" if arguments.repair else "; --repair makes damaged shards again"
        print(f"{store}: {len(findings.faults)} faults{advice}")
        return EXIT_VERIFICATION
    print(f"{store}: {size} hold, content hash {Manifest.load(store).content_hash}")
    return _regenerate(arguments) if arguments.regenerate > 0 else EXIT_OK


def _check(store: Path, manifest: Manifest, workers: int) -> Findings:
    with progress_bar("verify", manifest.shape.num_shards, "shard") as advance:
        findings = check_store(store, threads=workers, on_shard=lambda _: advance(1))
    for fault in findings.faults[:MOST_FAULTS]:
        print(f"fault: {fault.message}", file=sys.stderr)
    if len(findings.faults) > MOST_FAULTS:
        print(f"fault: and {len(findings.faults) - MOST_FAULTS} more", file=sys.stderr)
    for path in findings.foreign[:MOST_FAULTS]:
        print(f"note: {path} is not part of the store and was left alone", file=sys.stderr)
    return findings


def _repair(arguments: argparse.Namespace, manifest: Manifest, findings: Findings) -> None:
    store: Path = arguments.store
    bar = progress_bar("repair", len(findings.damaged_shards()), "shard")
    with locked_range(store, range(manifest.shape.num_shards), force=arguments.force_unlock), bar as advance:
        repair_store(
            store,
            findings,
            source_root=arguments.source,
            threads=arguments.workers,
            on_done=lambda _: advance(1),
        )


def _regenerate(arguments: argparse.Namespace) -> int:
    with progress_bar("regenerate", arguments.regenerate, "img") as advance:
        different = compare_rendered(
            arguments.store, arguments.regenerate, source_root=arguments.source, on_sample=lambda _: advance(1)
        )
    if different:
        names = ", ".join(map(str, different[:10]))
        print(f"fault: {len(different)} samples come out different: {names}", file=sys.stderr)
        return EXIT_VERIFICATION
    num_samples = min(arguments.regenerate, Manifest.load(arguments.store).shape.num_samples)
    print(f"{num_samples} random samples come out the same when rendered again")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
