"""Train a detector on real frames, stores, or any mix of them; resume, validate, choose threshold and weights.

    python -m pipelines.finetune_detector acm_nano_nuaa --data DIR --out RUN            start, or go on after a stop or crash
    python -m pipelines.finetune_detector RECIPE --data X.zarr --validation DIR --out RUN
    torchrun --nproc-per-node 4 -m pipelines.finetune_detector RECIPE --data DIR --out RUN

RECIPE is one of {names}, or a YAML file.
Validation frames never train, and test frames are read by data.exclude_near_test alone, which keeps their likes out: score them
once with pipelines.evaluate RUN. The same command in the same folder resumes where the newest whole state stands; another recipe,
other frames or other initial weights are refused with the difference. SIGTERM and Ctrl-C save and leave.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune.detectors import build_detector
from finetune.recipe import FinetuneRecipe
from finetune.sources import TrainingSources, open_sources
from finetune.train import check_start, finetune
from pipelines.command import EXIT_OK, Parser, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.progress import progress_of_training
from pretrain.runtime import RunResult
from pretrain.runtime.distributed import World, joined_world
from pretrain.runtime.weights import load_weights


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="finetune_detector", description=(__doc__ or "").format(names=", ".join(recipe_names("finetune"))))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR|STORE", help="what to train on")
    parser.add_argument(
        "--validation", type=Path, metavar="DIR", help="folder whose validation list is used; else the first --data"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder to make or resume")
    parser.add_argument("--init", type=Path, metavar="RUN|FILE", help="weights to start from; else random")
    parser.add_argument("--allow-partial", action="store_true", help="accept --init that fills less than 95 %% of the tensors")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be trained")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    recipe = load_recipe(arguments.recipe, FinetuneRecipe, arguments.overrides, stage="finetune")
    start = _describe_start(recipe, arguments.init, allow_partial=arguments.allow_partial)  # before any frame is read
    with stop_on_signal() as stop, joined_world(recipe.train.device) as world:
        sources = open_sources(arguments.data, arguments.validation, recipe.data, world.device)
        if world.is_first:
            _print_plan(recipe, sources, world, start)
        if arguments.dry_run:
            check_start(recipe, sources, arguments.out, world, init=arguments.init, allow_partial=arguments.allow_partial)
            print("nothing written (--dry-run)")
            return EXIT_OK
        steps = recipe.train.steps
        with progress_of_training(recipe.name, steps, _validation, is_shown=world.is_first) as on_step:
            result = finetune(
                recipe,
                sources,
                arguments.out,
                world,
                init=arguments.init,
                allow_partial=arguments.allow_partial,
                should_stop=stop,
                on_step=on_step,
            )
        if world.is_first:
            _print_result(result, arguments.out)
        return stop.exit_code if not result.is_finished else EXIT_OK


def _describe_start(recipe: FinetuneRecipe, init: Path | None, *, allow_partial: bool) -> str:
    """Say which weights a run starts from, refusing those that cannot be read or do not fit."""
    if init is None:
        return "random weights"
    report = load_weights(build_detector(recipe.detector), init, allow_partial=allow_partial)
    counts = f"{len(report.matched)} tensors matched, {len(report.missing)} missing"
    return f"{init}: {report.provenance.get('kind', 'file')} weights, {counts}"


def _print_plan(recipe: FinetuneRecipe, sources: TrainingSources, world: World, start: str) -> None:
    num_parameters = sum(parameter.numel() for parameter in build_detector(recipe.detector).parameters())
    print(f"{recipe.name}: {recipe.detector.kind}, {num_parameters:,} parameters, {world.size} process(es) on {world.device}")
    print(f"  starts from {start}")
    for pool, excluded in zip(sources.pools, sources.excluded, strict=True):
        left_out = f", {len(excluded)} frames left out as like a test frame" if recipe.data.exclude_near_test else ""
        print(f"  trains on {pool.name}: {len(pool)} frames, {pool.num_targets} targets{left_out}")
    if sources.validation:
        print(f"  validates on {len(sources.validation)} frames at native size")
    else:
        print(f"  validates on nothing (data.split trainval); threshold {recipe.threshold}")
    train = recipe.train
    epochs = train.steps * train.batch / sum(map(len, sources.pools))
    print(f"  {train.steps} steps of {train.batch} frames ({epochs:.1f} epochs), {train.optimizer.kind} {train.optimizer.lr:g}")


def _print_result(result: RunResult, out: Path) -> None:
    if not result.is_finished:
        print(f"stopped after step {result.step}; the same command goes on from there")
        return
    content = result.content
    if (start := content["init"])["kind"] != "random":
        learnt = f" by {' + '.join(start['objectives'])}" if "objectives" in start else ""
        print(f"started from {start['kind']} weights{learnt}: {start['matched']} tensors matched, {start['missing']} missing")
    print(f"finished {content['steps']} steps; weights of step {content['step']} ({content['weights']})")
    if content["validation"]:
        print(_validation(content["validation"]))
    print(f"threshold {content['threshold']:.4f}")
    if content["is_collapsed"]:
        print(
            "warning: collapsed to background on validation; try another train.seed, a higher detector.target_prior or "
            "detector.loss.bce > 0",
            file=sys.stderr,
        )
    print(f"wrote {out / 'weights.safetensors'} and {out / 'result.json'}")


def _validation(validation: Mapping[str, float]) -> str:
    iou, niou, pd, fa, best, threshold = (
        validation[f"val_{name}"] for name in ("iou", "niou", "pd", "fa", "best_iou", "best_threshold")
    )
    found = f"IoU {iou:.2f} %, nIoU {niou:.2f} %, Pd {pd:.2f} %, Fa {fa:.2f} in 1e-6"
    return f"validation: {found}; best IoU {best:.2f} % at {threshold:.3f}"


if __name__ == "__main__":
    sys.exit(main())
