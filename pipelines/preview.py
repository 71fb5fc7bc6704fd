"""``python -m pipelines.preview``: a contact sheet of a store, masks outlined, each target enlarged beside its frame."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.command import EXIT_OK, Parser, run_command, seed_number
from pipelines.sheet import Tile, draw_sheet, refuse_other_picture, write_sheet
from synth.errors import RecipeError
from synth.rng import Stream, keyed_generator
from synth.sample import Sample, SampleKind
from synth.scene.truth import ImpostorKind
from synth.store import Store, open_store

DESCRIPTION = """Draw a contact sheet (PNG) of a store: frames with their masks outlined, the turned square framed,
and the target beside it enlarged without interpolation. Half of the tiles are originals where there are any.
Green: targets; pink: impostors (glints, which are many, are not framed); orange: the turned square; blue: padding."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="preview", description=DESCRIPTION)
    parser.add_argument("store", metavar="STORE", type=Path, help="the .zarr folder")
    parser.add_argument(
        "--out", metavar="SHEET.png", type=Path, required=True, help="picture to write; a sheet there is replaced"
    )
    parser.add_argument("--num", metavar="N", type=int, default=24, help="frames on the sheet")
    parser.add_argument("--indices", metavar="I", type=int, nargs="+", help="show these samples instead of random ones")
    parser.add_argument("--seed", metavar="S", type=seed_number, default=0, help="seed of the choice")
    parser.add_argument("--force", action="store_true", help="write over a file that is no sheet")
    parser.add_argument("--dry-run", action="store_true", help="print which samples would be drawn")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix.lower() != ".png":
        raise RecipeError(f"--out must end in .png, got {arguments.out}")
    if arguments.num < 1:
        raise RecipeError(f"--num must be >= 1, got {arguments.num}")
    refuse_other_picture("--out", arguments.out, force=arguments.force)
    store = open_store(arguments.store)
    indices = arguments.indices or choose_samples(store, arguments.num, arguments.seed)
    if max(indices) >= len(store) or min(indices) < 0:
        raise RecipeError(f"--indices must be in 0..{len(store) - 1}, got {indices}")
    if arguments.dry_run:
        print(f"{arguments.out}: would show samples {', '.join(map(str, indices))}")
        return EXIT_OK
    tiles = [tile_of(store, index) for index in indices]
    title = f"{arguments.store.name}: {len(store)} frames, recipe {store.manifest['recipe']['name']}"
    subtitle = f"{legend_of(tiles)}; content hash {store.manifest['content_hash'][:12]}"
    write_sheet(arguments.out, draw_sheet(tiles, title, subtitle))
    print(f"{arguments.out}: {len(tiles)} of {len(store)} frames")
    return EXIT_OK


def choose_samples(store: Store, num: int, seed: int) -> list[int]:
    """Choose samples at random, half of them originals where there are enough.

    Args:
        store: The store.
        num: How many.
        seed: Seed of the choice.
    """
    kinds = store.column("sample/kind")
    originals, others = np.flatnonzero(kinds == SampleKind.ORIGINAL), np.flatnonzero(kinds != SampleKind.ORIGINAL)
    rng = keyed_generator(seed, Stream.VIEW, 0)
    num_originals = min(len(originals), max(num // 2, num - len(others)))
    chosen = [rng.choice(originals, num_originals, replace=False)]
    chosen.append(rng.choice(others, min(num - num_originals, len(others)), replace=False))
    return sorted(int(i) for part in chosen for i in part)


def tile_of(store: Store, index: int) -> Tile:
    """Describe one sample for the sheet."""
    sample = store[index]
    assert sample.mask is not None
    side = int(store.column("sample/box_side")[index])
    row, col = store.column("sample/box_rc")[index].tolist()
    box = (row, col, row + side, col + side) if side else None
    lines = [f"#{index}  {sample.provenance.parent_ids[0]}", *_captions(store, index, sample)]
    focus = int(store.column("sample/target_index")[index])
    target = sample.targets[focus if 0 <= focus < len(sample.targets) else 0] if sample.targets else None
    centre = (target.row_subpx, target.col_subpx) if target else None
    if box is not None:
        centre = (row + side / 2, col + side / 2)
    image = np.rint(sample.image * 255).astype(np.uint8)
    return Tile(image, sample.mask, tuple(lines), box, centre, sample.valid_hw, _impostor_boxes(store, index))


def legend_of(tiles: Sequence[Tile]) -> str:
    """Say what the colours mean that are on the sheet."""
    shown = {
        "green: targets": True,
        "pink: impostors": any(tile.impostors for tile in tiles),
        "orange: turned square": any(tile.box for tile in tiles),
        "blue: padding": any(tile.valid_hw not in (None, tile.image.shape) for tile in tiles),
    }
    return "; ".join(meaning for meaning, is_shown in shown.items() if is_shown)


def _captions(store: Store, index: int, sample: Sample) -> list[str]:
    """Say what a sample is and how strong its targets are."""
    scr = ", ".join(f"{t.scr_view:.1f}" for t in sample.targets[:4])
    strength = f"SCR {scr}" if sample.targets else "no target"
    if store.has_column("sample/regime"):
        regimes = {code: name for name, code in store.manifest["codes"]["sample/regime"].items()}
        return [f"{regimes[int(store.column('sample/regime')[index])]}, {strength}"]
    if store.column("sample/kind")[index] == SampleKind.ORIGINAL:
        return ["original", strength]
    turned = 90 * int(store.column("sample/rotation")[index])
    side, alpha = int(store.column("sample/box_side")[index]), store.column("sample/alpha")[index]
    return [f"alpha {alpha:.2g}, {side} px turned {turned} deg", strength]


def _impostor_boxes(store: Store, index: int) -> tuple[tuple[int, int, int, int], ...]:
    """Return the boxes of a scene's impostors, without the many glints."""
    if not store.has_column("impostor/kind"):
        return ()
    count = int(store.column("sample/num_impostors")[index])
    kinds = store.column("impostor/kind")[index, :count]
    names = ("row_px", "col_px", "height_px", "width_px")
    row, col, height, width = (store.column(f"impostor/{name}")[index, :count][kinds != ImpostorKind.GLINT] for name in names)
    corners = np.stack([row - height / 2, col - width / 2, row + height / 2, col + width / 2], axis=1) + 0.5
    return tuple((a, b, c, d) for a, b, c, d in np.rint(corners).astype(int).tolist())


if __name__ == "__main__":
    sys.exit(main())
