"""How fast frames are scored: canonical scores at one threshold against the usual skimage loop, and whole curves.

664 frames of 256x256: the masks of the NUDT-SIRST test list with two kinds of maps, those of a good detector (blurred targets,
a few misses and false blobs, nothing elsewhere) and those of a noisy one (texture over the whole frame, hundreds of objects).
The loop runs in an environment of its own (scikit-image is no dependency); both see the same arrays and must agree. CPU time
of one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from harness import Benchmark, Clock, sirst_folder
from isolated import isolated_python, run_isolated
from scipy.ndimage import gaussian_filter

from finetune import score
from finetune.metrics import CurveTally, HseTally, LegacyTally, NativeTally
from finetune.metrics.intervals import bootstrap
from synth.corpora import open_corpus
from synth.rng import Stream, keyed_generator

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]
PACKAGES = ("scikit-image",)


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("metrics", __doc__ or "")
    masks = test_masks(40 if bench.quick else 664)
    kinds = {"detector": np.stack([good_map(m, k) for k, m in enumerate(masks)])}
    kinds["noisy"] = np.stack([noisy_map(m, k) for k, m in enumerate(masks)])
    compile_everything(masks)
    with isolated_python("skimage", PACKAGES) as python:
        for kind, maps in kinds.items():
            bench.section(f"{kind} maps, {len(masks)} frames of {masks.shape[1]}x{masks.shape[2]}")
            one_threshold(bench, kind, maps, masks, python)
            whole_curves(bench, kind, maps, masks)
    bench.finish()
    return 0


def test_masks(num: int) -> Masks:
    """Return the masks of the first frames of the NUDT-SIRST test list."""
    corpus = open_corpus(sirst_folder("nudt-sirst"), "test")
    frames = (corpus.read(ref) for ref in corpus.frames[:num])
    return np.stack([frame.mask > 0 for frame in frames if frame.mask is not None])


def good_map(mask: npt.NDArray[np.bool_], index: int) -> Maps:
    """Return the map of a good detector: most targets, soft edges, a false blob now and then, exact zeros elsewhere."""
    rng = keyed_generator(1, Stream.VIEW, index)
    values = gaussian_filter(mask * rng.uniform(0.6, 1.6), 0.7)
    if rng.random() < 0.3:
        row, col = rng.integers(0, np.array(mask.shape) - 6)
        values[row : row + 3, col : col + 3] += 0.8
    return np.clip(np.where(values < 0.01, 0.0, values), 0.0, 1.0).astype(np.float32)


def noisy_map(mask: npt.NDArray[np.bool_], index: int) -> Maps:
    """Return the map of a noisy detector: texture everywhere, about 170 objects above 0.5."""
    rng = keyed_generator(2, Stream.VIEW, index)
    texture = gaussian_filter(rng.standard_normal(mask.shape), 1.0)
    values = 0.25 + 0.125 * texture / texture.std() + 0.5 * gaussian_filter(mask.astype(np.float64), 0.7)
    return np.clip(values, 0.0, 1.0).astype(np.float32)


def compile_everything(masks: Masks) -> None:
    """Compile the kernels, so that no row pays for it."""
    for tally in (NativeTally(), HseTally(), CurveTally(), LegacyTally("basicirstd")):
        tally.update(good_map(masks[0], 0), masks[0], "warm")


def timed(add: Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_], str], object], maps: Maps, masks: Masks) -> float:
    """Return the CPU seconds of counting every frame."""
    with Clock() as clock:
        for index, (values, mask) in enumerate(zip(maps, masks, strict=True)):
            add(values, mask, f"{index:04d}")
    return clock.cpu_s


def one_threshold(bench: Benchmark, kind: str, maps: Maps, masks: Masks, python: Path) -> None:
    """Time canonical scores and the usual loop on the same arrays, and compare what both can say."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "frames.npz", probabilities=maps, masks=masks)
        naive = json.loads(run_isolated(python, Path(__file__).with_name("naive_metrics.py"), Path(folder) / "frames.npz"))
    runs = []
    for _ in range(3):
        native = NativeTally()
        counted_s = timed(native.update, maps, masks)
        with Clock() as clock:
            native.scores()
        runs.append(counted_s + clock.cpu_s)
    seconds = sorted(runs)[1]
    legacy = LegacyTally("basicirstd")
    legacy_s = timed(legacy.update, maps, masks)
    columns = legacy.columns()
    same = {name: int(columns[name].sum()) for name in ("num_matched", "num_truth", "area_unmatched")}
    for loop in naive.values():
        assert same == {name: loop[name] for name in same}, (same, loop)
        assert abs(float(legacy.scores()["iou"][0]) - loop["iou"]) < 1e-12
    assert abs(float(legacy.scores()["niou"][0]) - naive["usual"]["niou"]) < 1e-12
    usual_s, lean_s = naive["usual"]["seconds"], naive["lean"]["seconds"]
    bench.row(f"{kind}: usual skimage loop", usual_s, "s", objects_per_frame=float(columns["num_predicted"].mean()))
    bench.row(f"{kind}: the same without its waste (lean)", lean_s, "s")
    bench.row(f"{kind}: NativeTally, median of 3", seconds, "s", ms_per_frame=1e3 * seconds / len(maps))
    bench.row(f"{kind}: usual loop over NativeTally", usual_s / seconds, "x", ">= 20")
    bench.row(f"{kind}: lean loop over NativeTally", lean_s / seconds, "x")
    bench.row(f"{kind}: usual loop over mode basicirstd (equal counts)", usual_s / legacy_s, "x")
    with Clock() as clock:
        score(maps, masks)
    bench.row(f"{kind}: usual loop over finetune.score (HSE-r included)", usual_s / clock.cpu_s, "x", seconds=clock.cpu_s)


def whole_curves(bench: Benchmark, kind: str, maps: Maps, masks: Masks) -> None:
    """Time the 256-threshold curves, HSE-r, and the bootstrap."""
    curves, hse, native = CurveTally(), HseTally(), NativeTally()
    curve_s, hse_s = timed(curves.update, maps, masks), timed(hse.update, maps, masks)
    with Clock() as clock:
        curves.result()
    bench.row(f"{kind}: Pd-Fa and pixel curves, 256 thresholds", curve_s + clock.cpu_s, "s", "< 60")
    bench.row(f"{kind}: HSE-r, 19 thresholds x 5 gates", hse_s, "s")
    timed(native.update, maps, masks)
    with Clock() as clock:
        bootstrap(native.scores, len(native), rng=keyed_generator(0, Stream.RESAMPLE, 0))
    bench.row(f"{kind}: 2000 bootstrap resamples of all scores", clock.cpu_s, "s")


if __name__ == "__main__":
    sys.exit(main())
