"""How fast sources are scanned: every frame and mask decoded and hashed, targets found, noise windows sampled.

Preset sirst5k on NUDT-SIRST: 663 source frames, and the 664 test frames whose pixels the split guard compares them with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from harness import Benchmark, Clock
from stores import nudt_recipe

from synth.corpora import open_corpus
from synth.noise import accept_windows
from synth.recipe import CorpusSource
from synth.scan import scan_sources
from synth.targets import find_targets


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("scan", __doc__ or "")
    recipe = nudt_recipe()
    assert isinstance(recipe.source, CorpusSource) and recipe.source.path is not None
    corpus = open_corpus(recipe.source.path, recipe.split)
    frames = [corpus.read_hashed(ref)[0] for ref in corpus.frames]  # also warms the page cache
    find_targets(frames[0].mask)
    repeats = 1 if bench.quick else 3

    bench.section(f"the whole scan, one thread; best of {repeats}")
    num_read = len(corpus) + len(list(corpus.test_frames()))
    num_windows = (256 // recipe.noise.window_px) ** 2 * len(corpus)
    clock = _best_of(repeats, lambda: scan_sources(recipe, threads=1, progress=lambda done, total: None))
    bench.row("frames with masks, test frames included", num_read / clock.cpu_s, "frames/CPU-s")
    bench.row("frames with masks, test frames included", num_read / clock.wall_s, "frames/s")

    bench.section("parts of it, from decoded frames")
    clock = _best_of(repeats, lambda: [corpus.read_hashed(ref) for ref in corpus.frames])
    bench.row("decode and hash image and mask", len(corpus) / clock.cpu_s, "frames/CPU-s")
    clock = _best_of(repeats, lambda: [accept_windows([frame], recipe.noise) for frame in frames])
    bench.row("noise windows judged", num_windows / clock.cpu_s, "windows/CPU-s")
    clock = _best_of(repeats, lambda: [find_targets(frame.mask) for frame in frames])
    bench.row("targets found", len(corpus) / clock.cpu_s, "frames/CPU-s")
    bench.finish()
    return 0


def _best_of(repeats: int, work: Callable[[], object]) -> Clock:
    clocks = []
    for _ in range(repeats):
        with Clock() as clock:
            work()
        clocks.append(clock)
    return min(clocks, key=lambda clock: clock.cpu_s)


if __name__ == "__main__":
    sys.exit(main())
