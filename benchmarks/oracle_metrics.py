"""Do our metrics agree with PyIRSTDMetrics (MIT, pyirstdmetrics on the package index)? Random scenes, and real masks.

The package needs numpy < 2, so it runs in an environment of its own, made here; it is no dependency. Its pixel scores are
compared with mode ``native``, its greedy Pd and Fa with mode ``basicirstd``, its hIoU with ``opdc="released"``. Frames of which
one side is empty are also compared without the object that the package invents there (see the page this writes).

    python benchmarks/oracle_metrics.py        writes results/oracle_metrics.md; exit 1 where something differs unexplained
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from harness import REPOSITORY, sirst_folder
from isolated import isolated_python, run_isolated
from metrics import good_map, noisy_map
from scipy.optimize import linear_sum_assignment

from finetune.metrics import LegacyTally, NativeTally
from finetune.metrics.hiou import _distances
from finetune.metrics.objects import find_objects
from synth.corpora import open_corpus
from synth.rng import Stream, keyed_generator

PAGE = REPOSITORY / "results" / "oracle_metrics.md"
TOLERANCE = 1e-12
"""Largest difference of ratios that counts as agreement: sums of floats in another order."""

Frame = tuple[np.ndarray, np.ndarray]


def main() -> int:
    """Compare, write the page, and return 1 where something differs unexplained."""
    sets = {
        "random, sparse blobs, 400 frames": list(random_frames(400, blobs=4)),
        "random, crowded, 400 frames": list(random_frames(400, blobs=25)),
        "NUAA-SIRST v1 test masks, good maps": list(real_frames("sirst-v1", good_map)),
        "NUDT-SIRST 50_50 test masks, good maps": list(real_frames("nudt-sirst", good_map)),
        "NUDT-SIRST 50_50 test masks, noisy maps": list(real_frames("nudt-sirst", noisy_map, num=100)),
    }
    with isolated_python("pyirstd", ("pyirstdmetrics",)) as python:
        outcomes = [compare(name, frames, python) for name, frames in sets.items()]
    page = render(outcomes)
    print(page)
    PAGE.write_text(page)
    return int(any(not outcome.agrees for outcome in outcomes))


def random_frames(num: int, blobs: int) -> Iterator[Frame]:
    """Yield random scenes: boxes and single pixels, predictions near some of them; sides of 8 to 64 px."""
    for index in range(num):
        rng = keyed_generator(blobs, Stream.VIEW, index)
        hw = tuple(rng.integers(8, 65, 2).tolist())
        mask, values = np.zeros(hw, np.bool_), rng.uniform(0.0, 0.45, hw)
        for _ in range(rng.integers(0, blobs + 1)):
            row, col = (int(rng.integers(0, side)) for side in hw)
            height, width = rng.integers(1, 5, 2).tolist()
            mask[row : row + height, col : col + width] = True
            if rng.random() < 0.8:
                top, left = max(0, row + int(rng.integers(-3, 4))), max(0, col + int(rng.integers(-3, 4)))
                values[top : top + rng.integers(1, 6), left : left + rng.integers(1, 6)] = rng.uniform(0.4, 1.0)
        yield values.astype(np.float32), mask


def real_frames(name: str, make: Callable[[np.ndarray, int], np.ndarray], num: int | None = None) -> Iterator[Frame]:
    """Yield maps made from the masks of a test list."""
    corpus = open_corpus(sirst_folder(name), "test")
    for index, ref in enumerate(corpus.frames[:num]):
        frame = corpus.read(ref)
        assert frame.mask is not None
        yield make(frame.mask > 0, index), frame.mask > 0


@dataclass(frozen=True)
class Outcome:
    """What one set of frames gave: their sizes, both sides' scores, and where single frames differ."""

    name: str
    num_frames: int
    num_truth: int
    ours: dict[str, float]
    theirs: dict[str, float]
    invented: int
    ties: int
    unexplained: int
    versions: dict[str, str]

    @property
    def agrees(self) -> bool:
        """Whether every difference is explained."""
        judged = [name for name in self.ours if name != "hiou" or self.ties == 0]
        return self.unexplained == 0 and all(abs(self.ours[name] - self.theirs[name]) <= TOLERANCE for name in judged)


def compare(name: str, frames: list[Frame], python: Path) -> Outcome:
    """Score one set with both."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npz"
        np.savez(file, **{f"{key}{i}": frame[k] for i, frame in enumerate(frames) for k, key in enumerate("pm")})
        oracle = json.loads(run_isolated(python, Path(__file__).with_name("oracle_pyirstd.py"), file))
    native, legacy = NativeTally(), LegacyTally("basicirstd")
    for index, (values, mask) in enumerate(frames):
        native.update(values, mask, f"{index:05d}")
        legacy.update(values, mask, f"{index:05d}")
    ours = {key: float(native.scores()[key][0]) for key in ("iou", "f1", "precision", "recall", "hiou")}
    ours |= {key: float(legacy.scores()[key][0]) for key in ("pd", "fa", "niou")}
    theirs = {key: oracle["pooled"][key] for key in ours if key != "hiou"}
    invented, ties, unexplained, sums = 0, 0, 0, np.zeros(4)
    for frame_id, row in zip(native.ids, oracle["frames"], strict=True):
        counts = native.row(frame_id)
        num_pairs, num_truth, num_predicted = len(counts.overlaps), len(counts.targets), counts.num_predicted
        tp, fp, fn, iou = row
        extra_fp, extra_fn = int(num_predicted == 0), int(num_truth == 0)  # a matrix of at least 1 x 1 has an object too many
        invented += extra_fp + extra_fn
        fp, fn = fp - extra_fp, fn - extra_fn
        sums += (tp, fp, fn, iou)
        iou_ours = sum(inter / union for inter, union in counts.overlaps)
        if (tp, fp, fn) != (num_pairs, num_predicted - num_pairs, num_truth - num_pairs) or abs(iou - iou_ours) > TOLERANCE:
            is_tie = has_equal_totals(*frames[native.ids.index(frame_id)])
            ties += is_tie
            unexplained += not is_tie
    theirs["hiou"] = float(sums[3] / sums[:3].sum())  # seg_IoU * loc_IoU, the pairs cancel
    num_truth = sum(len(native.row(frame_id).targets) for frame_id in native.ids)
    return Outcome(name, len(frames), num_truth, ours, theirs, invented, ties, unexplained, oracle["versions"])


def has_equal_totals(values: np.ndarray, mask: np.ndarray) -> bool:
    """Tell whether objects listed the other way round give another hIoU there: two assignments of equal total distance."""
    distance = _distances(find_objects(mask).sums, find_objects(values > 0.5).sums)
    plain, reverse = linear_sum_assignment(distance), linear_sum_assignment(distance[::-1, ::-1])
    turned = {(len(distance) - 1 - t, distance.shape[1] - 1 - p) for t, p in zip(*reverse, strict=True)}
    same_total = abs(distance[plain].sum() - distance[::-1, ::-1][reverse].sum()) < 1e-9
    return same_total and turned != set(zip(*plain, strict=True))


def render(outcomes: list[Outcome]) -> str:
    """Return the page."""
    names = ("iou", "niou", "f1", "precision", "recall", "pd", "fa", "hiou")
    versions = ", ".join(f"{name} {value}" for name, value in outcomes[0].versions.items())
    lines = [
        "# Our metrics against PyIRSTDMetrics",
        "",
        f"{datetime.datetime.now(datetime.UTC).date().isoformat()}: {versions} in an environment of its own; sirst-foundry"
        f" {version('sirst-foundry')}, numpy {np.__version__} here. Ratios; each cell is ours minus theirs. Compared: IoU, F1,"
        " precision, recall of mode `native`; nIoU (empty frames 0, as there), Pd and Fa of mode `basicirstd` (both greedy);"
        ' hIoU with `opdc="released"`, without the invented objects below.',
        "",
        "| frames | number | targets | " + " | ".join(names) + " | invented objects | frames settled by ties | unexplained |",
        "|---|" + "---|" * (len(names) + 5),
    ]
    for o in outcomes:
        cells = " | ".join(f"{o.ours[name] - o.theirs[name]:.1e}" if o.ours[name] != o.theirs[name] else "0" for name in names)
        lines.append(f"| {o.name} | {o.num_frames} | {o.num_truth} | {cells} | {o.invented} | {o.ties} | {o.unexplained} |")
    lines += [
        "",
        "Invented objects: the package's OPDC matching keeps its distance matrix at least 1 x 1, so a frame without prediction"
        " counts one false object and a frame without target one miss, in hIoU only. Ours counts none; the column says how many"
        " were taken out of theirs before comparing.",
        "",
        "Ties: where two assignments have the same total distance the package follows label order, which changes with a mirror;"
        " ours takes the pairs that count and overlap most. The column counts frames that differ for that reason.",
        "",
        "Made by `python benchmarks/oracle_metrics.py` with the frames at `$SIRST_DATA`; exit code 0: nothing is unexplained.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
