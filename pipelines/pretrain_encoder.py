"""Pretrain a network on frames without labels: synthetic targets and synthetic negatives are put into them, and told apart.

    python -m pipelines.pretrain_encoder pretrain_tiny --data DIR... --out RUN       start, or go on after a stop or crash
    python -m pipelines.finetune_detector RECIPE --data DIR --out RUN2 --init RUN    then learn from labels
    python -m pipelines.pretrain_encoder RECIPE --data DIR --dry-run --preview SHEET.png      look at what would be shown

RECIPE is one of {names}, or a YAML file. DIR is a folder of frames, labelled or not, or a store; labels are not looked
at unless the objective is lneg. Frames of test lists, and frames that look like one, never train. The same command in the same
folder resumes; another recipe or other frames are refused with the difference. SIGTERM and Ctrl-C save and leave.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from finetune.detectors import build_detector
from pipelines.command import EXIT_OK, Parser, run_command, stop_on_signal
from pipelines.config import load_recipe, recipe_names
from pipelines.pretrain_recipe import PretrainRecipe
from pipelines.pretrain_sheet import write_views
from pipelines.progress import progress_of_training
from pipelines.sheet import refuse_other_picture
from pretrain.runtime import RunResult
from pretrain.runtime.distributed import World, joined_world
from pretrain.sources import PretrainSources, open_pretrain_sources
from pretrain.train import check_start, composed_views, pretrain
from synth.errors import RecipeError

SHEET_NAME = "views.png"
SHOWN_VIEWS = 24


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="pretrain_encoder", description=(__doc__ or "").format(names=", ".join(recipe_names("pretrain"))))
    parser.add_argument("recipe", metavar="RECIPE", help="shipped recipe name or YAML file")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR|STORE", help="what to train on")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder to make or resume; needed without --dry-run")
    parser.add_argument(
        "--set", metavar="K=V", dest="overrides", action="append", default=[], help="override a recipe key; repeatable"
    )
    parser.add_argument("--preview", type=Path, metavar="SHEET.png", help="draw what is shown here too; RUN/views.png always is")
    parser.add_argument("--dry-run", action="store_true", help="write nothing but --preview; print what would be trained")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.out is None and not arguments.dry_run:
        raise RecipeError("--out must be given, or --dry-run")
    if arguments.preview is not None and arguments.preview.suffix.lower() != ".png":
        raise RecipeError(f"--preview must end in .png, got {arguments.preview}")
    if arguments.preview is not None:
        refuse_other_picture("--preview", arguments.preview)
    recipe = load_recipe(arguments.recipe, PretrainRecipe, arguments.overrides, stage="pretrain")
    with stop_on_signal() as stop, joined_world(recipe.train.device) as world:
        sources = open_pretrain_sources(
            arguments.data,
            recipe.data,
            recipe.doubt,
            held_out=recipe.held_out.frames,
            uses_labels=recipe.uses_labels,
            device=world.device,
        )
        make_segmenter, content = partial(build_detector, recipe.detector), recipe.model_dump(mode="json")
        if world.is_first:
            _print_plan(recipe, sources, world)
        if arguments.dry_run:
            check_start(recipe, make_segmenter, content, sources, arguments.out, world)
        if world.is_first and arguments.preview is not None:
            _draw(recipe, sources, world, arguments.preview)
        if arguments.dry_run:
            print("nothing written (--dry-run)" if arguments.preview is None else f"wrote {arguments.preview} only (--dry-run)")
            return EXIT_OK
        with progress_of_training(recipe.name, recipe.train.steps, _health, is_shown=world.is_first) as on_step:
            result = pretrain(
                recipe,
                make_segmenter,
                content,
                sources,
                arguments.out,
                world,
                should_stop=stop,
                on_step=on_step,
            )
        if world.is_first:
            _draw(recipe, sources, world, arguments.out / SHEET_NAME)
            _print_result(result, arguments.out)
        return stop.exit_code if not result.is_finished else EXIT_OK


def _draw(recipe: PretrainRecipe, sources: PretrainSources, world: World, path: Path) -> None:
    title = f"{recipe.name}: the first views of training, seed {recipe.train.seed}"
    shown = composed_views(recipe, sources, SHOWN_VIEWS, world.device)
    write_views(shown, path, title, inserts=recipe.uses_insertion)


def _print_plan(recipe: PretrainRecipe, sources: PretrainSources, world: World) -> None:
    num_parameters = sum(parameter.numel() for parameter in build_detector(recipe.detector).parameters())
    print(f"{recipe.name}: {recipe.detector.kind}, {num_parameters:,} parameters, {world.size} process(es) on {world.device}")
    learnt = " + ".join(f"{objective.weight:g} {objective.kind}" for objective in recipe.objectives)
    print(f"  learns {learnt}; {'supervised on real labels' if recipe.uses_labels else 'labels are not looked at'}")
    for pool, held, excluded in zip(sources.pools, sources.held_out, sources.excluded, strict=True):
        print(f"  trains on {pool.name}: {len(pool)} frames, {len(held)} held out, {len(excluded)} left out as like a test frame")
    if not recipe.uses_labels:
        ignored = f"discs of {recipe.doubt.radius_px:g} px around the {recipe.doubt.peaks} highest peaks of each frame"
        print(f"  ignores {ignored if recipe.doubt.peaks else 'nothing'}")
    train = recipe.train
    epochs = train.steps * train.batch / sum(map(len, sources.pools))
    print(f"  {train.steps} steps of {train.batch} frames ({epochs:.1f} epochs), {train.optimizer.kind} {train.optimizer.lr:g}")


def _print_result(result: RunResult, out: Path) -> None:
    if not result.is_finished:
        print(f"stopped after step {result.step}; the same command goes on from there")
        return
    content = result.content
    print(f"finished {content['steps']} steps of {' + '.join(content['objectives'])}")
    print(f"held-out frames with synthetic targets: {_health(content['validation'])}")
    for warning in content["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"wrote {out / 'weights.safetensors'}, {out / 'result.json'} and {out / SHEET_NAME}")


def _health(validation: Mapping[str, float]) -> str:
    v = validation
    return (
        f"IoU {v['synthetic_iou']:.1f} %, Pd {v['synthetic_pd']:.1f} %, Fa {v['synthetic_fa']:.0f} in 1e-6, "
        f"impostors taken {v['impostors_taken']:.1f} %; rank {v['rank_targets']:.1f} at targets, "
        f"{v['rank_background']:.1f} elsewhere"
    )


if __name__ == "__main__":
    sys.exit(main())
