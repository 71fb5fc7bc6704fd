"""``python -m pipelines.synthesize``: real frames, or none -> a labelled, checksummed zarr store."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from distributed import Client

from pipelines.cluster import KINDS, default_workers, open_client
from pipelines.command import EXIT_FAULT, EXIT_OK, Parser, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.estimate import Estimate, estimate_store
from pipelines.progress import progress_bar, progress_of_scan
from synth.errors import NoListsError, RecipeError, RefusalError, SourceError
from synth.generate import Outcome, generate
from synth.noise import NoiseBank
from synth.plan import Plan
from synth.recipe import CorpusSource, SynthesisRecipe
from synth.refusals import Refusals, refusals_by_regime
from synth.scan import scan_sources
from synth.sources import SourceTable
from synth.store.finalize import as_ranges, finalize_store, missing_shards
from synth.store.layout import create_store
from synth.store.lock import locked_range
from synth.store.manifest import Manifest
from synth.store.reader import Store, open_store

DESCRIPTION = """Make a labelled data set from real frames (or from the built-in source) as a zarr store.

RECIPE is a shipped name ({names}) or a YAML file. Running the same command again resumes;
another recipe in the same store is refused with the difference. The bytes depend on recipe and sources alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="synthesize", description=DESCRIPTION.format(names=", ".join(recipe_names())))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--out", metavar="STORE", type=Path, required=True, help="store to make or resume (X.zarr)")
    parser.add_argument("--source", metavar="DIR", type=Path, help="folder of source frames with masks")
    parser.add_argument(
        "--with", metavar="FILE", dest="fragments", type=Path, action="append", default=[],
        help="lay a recipe fragment over the recipe, such as one of pipelines.calibrate; repeatable, before --set",
    )  # fmt: skip
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument("--workers", metavar="N", type=int, default=default_workers(), help="processes or threads")
    parser.add_argument("--cluster", metavar="KIND", default="local", help=f"where work runs: {KINDS}")
    parser.add_argument("--shards", metavar="A:B", help="make only these shards (array jobs); then verify --finalize")
    parser.add_argument("--force-unlock", action="store_true", help="remove locks left by launchers on other machines")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be made, its size and time")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise RecipeError(f"--workers must be >= 1, got {arguments.workers}")
    recipe = resolve_recipe(arguments.recipe, arguments.source, arguments.overrides, arguments.fragments)
    store: Path = arguments.out
    if not arguments.dry_run:
        _check_target(store)
    _print_recipe(recipe)
    table, bank = _scan(recipe, arguments.workers)
    plan = Plan(recipe, table.targets_per_frame())
    manifest = Manifest.of(recipe, table, recipe.folder, bank, len(plan))
    shards = _shard_range(arguments.shards, manifest.shape.num_shards)
    _print_plan(table, bank, plan, manifest)
    estimate = estimate_store(recipe, table, bank, plan, recipe.folder)
    _print_estimate(manifest, estimate, arguments.workers)
    if arguments.dry_run:
        return EXIT_OK
    begun = _compare(store, manifest) if store.exists() else None
    workers = min(arguments.workers, len(shards))
    with stop_on_signal() as stop, open_client(arguments.cluster, workers) as client:  # before anything is written
        manifest = begun or _create(store, manifest, bank, estimate)
        with locked_range(store, shards, force=arguments.force_unlock):
            outcome = _generate(store, recipe.folder, manifest, shards, client, stop)
            if not (outcome.stopped or outcome.failures or arguments.shards):
                manifest = finalize_store(store)
    if outcome.stopped:
        return stop.exit_code
    return _report(store, manifest, outcome, arguments.shards is not None)


def resolve_recipe(
    name_or_path: str, source: Path | None, overrides: Sequence[str] = (), fragments: Sequence[Path] = ()
) -> SynthesisRecipe:
    """Return a recipe of the command line, with its source folder; those of plates and noise are made absolute.

    Raises:
        RecipeError: It is faulty, or its source reads no folder and one is given.
    """
    recipe = load_recipe(name_or_path, SynthesisRecipe, overrides, fragments)
    if source is None:
        return recipe.with_absolute_folders()
    if not isinstance(recipe.source, CorpusSource):
        raise RecipeError(
            f"--source: recipe {recipe.name} has a {recipe.source.kind} source, which reads no folder; drop --source"
        )
    return recipe.reading(source).with_absolute_folders()


def _check_target(store: Path) -> None:
    """Refuse a target that cannot be written, before any work."""
    if not store.parent.is_dir():
        raise RefusalError(f"--out {store}: its parent folder {store.parent} does not exist; make it, or correct the path")
    if store.exists() and not store.is_dir():
        raise RefusalError(f"--out {store}: is a file; give a folder that does not exist yet")
    if store.is_dir() and not (store / "manifest.json").exists():
        raise RefusalError(f"--out {store}: exists and is no foundry store; give a folder that does not exist yet")
    try:
        with tempfile.TemporaryFile(dir=store if store.is_dir() else store.parent):
            pass
    except OSError as error:
        raise RefusalError(f"--out {store}: cannot be written ({error.strerror}); choose another place") from error


def _scan(recipe: SynthesisRecipe, threads: int) -> tuple[SourceTable, NoiseBank]:
    """Look at every source frame; a signal ends it, nothing having been written yet."""
    with stop_on_signal() as stop, progress_of_scan("scan sources") as progress:

        def report(done: int, total: int) -> None:
            progress(done, total)
            if stop():  # not KeyboardInterrupt from the handler: raised inside a compiled kernel it becomes a SystemError
                raise SystemExit(stop.exit_code)

        try:
            return scan_sources(recipe, threads=threads, progress=report)
        except NoListsError as error:
            raise SourceError(f"{error}, or make sources of all its frames with --set split=null") from error


def _shard_range(text: str | None, num_shards: int) -> range:
    if text is None:
        return range(num_shards)
    start, _, stop = (part if part.isdecimal() and len(part) < 10 else "" for part in text.partition(":"))
    if not (start and stop and int(start) < int(stop) <= num_shards):
        raise RecipeError(f"--shards must be A:B with 0 <= A < B <= {num_shards}, got {text!r}")
    return range(int(start), int(stop))


def _print_recipe(recipe: SynthesisRecipe) -> None:
    height, width = recipe.canvas_hw
    print(f"recipe {recipe.name} {recipe.hash()[:12]}, split {recipe.split or 'none'}, canvas {height}x{width}", flush=True)


def _print_plan(table: SourceTable, bank: NoiseBank, plan: Plan, manifest: Manifest) -> None:
    for line in (*plan.describe(), *table.notes):
        print(f"  {line}")
    side = manifest.shape.window_px
    print(f"  {len(bank)} noise windows of {side}x{side}", flush=True)


def _print_estimate(manifest: Manifest, estimate: Estimate, workers: int) -> None:
    shape = manifest.shape
    size_mb, seconds = estimate.num_bytes / 1e6, estimate.seconds / workers
    print(f"  {shape.num_shards} shards of {shape.shard_images}; about {size_mb:,.0f} MB, {seconds:,.0f} s", flush=True)


def _create(store: Path, manifest: Manifest, bank: NoiseBank, estimate: Estimate) -> Manifest:
    free = shutil.disk_usage(store.parent).free
    if estimate.num_bytes > free:
        raise RefusalError(
            f"--out {store}: needs about {estimate.num_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; free space first"
        )
    try:
        create_store(store, manifest.shape, bank, manifest.encode())
    except RefusalError:  # another launcher was faster
        return _compare(store, manifest)
    return manifest


def _compare(store: Path, manifest: Manifest) -> Manifest:
    """Return the manifest of a store that was begun, refusing one of another recipe or other sources."""
    existing = Manifest.load(store)
    differences = existing.differences(manifest)
    if differences:
        for line in differences:
            print(f"  differs: {line}", file=sys.stderr)
        raise RefusalError(f"{store}: holds another recipe or other sources; give another --out, or remove it")
    return existing


def _generate(
    store: Path, root: Path | None, manifest: Manifest, shards: range, client: Client | None, stop: Callable[[], bool]
) -> Outcome:
    num_samples = sum(len(manifest.shape.samples_of(k)) for k in shards)
    with progress_bar("generate", num_samples, "img") as advance:
        started = time.perf_counter()
        outcome = generate(
            store,
            shards,
            client=client,
            source_root=root,
            should_stop=stop,
            on_done=lambda result: advance(len(manifest.shape.samples_of(result.shard))),
        )
        seconds = time.perf_counter() - started
    if outcome.num_written:
        print(f"wrote {outcome.num_written} frames in {seconds:.1f} s ({outcome.num_written / seconds:,.0f}/s)")
    return outcome


def _report(store: Path, manifest: Manifest, outcome: Outcome, is_part: bool) -> int:
    for shard, reason in sorted(outcome.failures.items())[:10]:
        print(f"error: shard {shard} was not made: {reason}", file=sys.stderr)
    if outcome.failures:
        print(
            f"error: {len(outcome.failures)} shards failed; the others are kept, run the command again to retry",
            file=sys.stderr,
        )
        return EXIT_FAULT
    if is_part:
        missing = missing_shards(store, manifest)
        print(
            f"shards {as_ranges(missing)} are still to be made"
            if missing
            else f"all shards are there: python -m pipelines.verify {store} --finalize"
        )
        return EXIT_OK
    if manifest.recipe.renders_scenes:
        print(_refusals_line(open_store(store)))
    print(f"{store}: {manifest.shape.num_samples} frames, content hash {manifest.content_hash}")
    return EXIT_OK


def _refusals_line(store: Store) -> str:
    """Say which backgrounds refused targets, the most reluctant first."""
    names = ("regime", "num_targets", "num_rejected", "sequence_id", "frame_index")
    counts = refusals_by_regime({f"sample/{name}": store.column(f"sample/{name}") for name in names})
    whole = Refusals(sum(c.placed for c in counts.values()), sum(c.refused for c in counts.values()))
    ordered = sorted(counts.items(), key=lambda item: -item[1].share)
    parts = ", ".join(f"{regime.name.lower()} {100 * count.share:.1f} %" for regime, count in ordered)
    return f"places refused to targets: {100 * whole.share:.1f} % ({parts})"


if __name__ == "__main__":
    sys.exit(main())
