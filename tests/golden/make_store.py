"""Make the store of this version that every later version must read: ``python -m tests.golden.make_store FOLDER.zarr``.

Run it for a new format version only, into a new folder; a store that was committed is never made again. It prints what
the test of that store asserts.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from synth.generate import generate
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.scan import scan_sources
from synth.store.finalize import finalize_store
from synth.store.layout import create_store
from synth.store.manifest import Manifest
from synth.store.reader import open_store
from tests.support.builders import write_mini_corpus

RECIPE = {
    "name": "golden",
    "seed": 20_240_601,
    "split": "trainval",
    "canvas_hw": [48, 40],
    "noise": {"window_px": 16, "stride_px": 16, "max_windows": 6},
    "passes": [{"alpha": 0.2, "side": 4}],
    "num_synthetic": 7,
    "max_targets": 4,
    "store": {"shard_images": 6},
}
"""Four originals of four sizes, one smaller than the canvas, and 7 copies, in shards of 6 and 5."""


def make_store(path: Path) -> Manifest:
    """Make the store from the hand-made corpus; the manifest names no folder of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_mini_corpus(Path(folder) / "corpus")
        recipe = SynthesisRecipe.model_validate(RECIPE | {"source": {"kind": "corpus", "path": str(corpus)}})
        table, bank = scan_sources(recipe, threads=1, progress=lambda _done, _total: None)
        plan = Plan(recipe, table.targets_per_frame())
        named = SynthesisRecipe.model_validate(RECIPE | {"source": {"kind": "corpus", "path": "corpus"}})
        manifest = Manifest.of(named, table, Path("corpus"), bank, len(plan))
        create_store(path, manifest.shape, bank, manifest.encode())
        generate(path, range(manifest.shape.num_shards), client=None, source_root=corpus)
    return finalize_store(path)


def main() -> None:
    """Make the store and print what its test asserts."""
    path = Path(sys.argv[1])
    manifest = make_store(path)
    digests = open_store(path).column("sample/digest")
    print("content hash", manifest.content_hash)
    print("recipe hash", manifest.recipe_hash)
    print("noise digest", manifest.content["noise_digest"])
    print("digests", hashlib.sha256(digests.tobytes()).hexdigest())
    print("bytes", sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))


if __name__ == "__main__":
    main()
