"""How fast the classical methods are: CPU time a frame of 256x256, and against their literal forms.

Frames of the NUDT-SIRST test list, one thread, double precision. A literal form runs on a few frames only, on the very same ones,
and must give the same saliency.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

import naive_classical as naive
import numpy as np
import numpy.typing as npt
import torch
from harness import Benchmark, Clock, sirst_folder

from finetune import create_classical
from synth.corpora import open_corpus

Grey = npt.NDArray[np.float64]
FILTERS = ("tophat", "maxmedian", "tllcm", "wslcm")
LOW_RANK = ("ipi", "nram", "ript", "pstnn", "mslstipt")
NUM_LOW_RANK = 8
"""Frames the low-rank methods are timed on: they take up to seconds each."""
LITERAL: Mapping[str, tuple[Callable[[Grey], Grey], int, float, str]] = {
    "tllcm": (naive.tllcm, 3, 1e-9, ">= 25"),
    "ipi": (naive.ipi, 5, 1e-6, ">= 3"),
    "pstnn": (naive.pstnn, 10, 1e-6, ">= 3"),
    "pstnn, slice by slice in numpy": (naive.pstnn_slices, 10, 1e-6, ">= 3"),
}
"""Method, and how the form differs -> literal form, frames it runs on, tolerance relative to the highest response, goal."""


def main() -> int:
    """Run the benchmark."""
    torch.set_num_threads(1)
    bench = Benchmark("classical", __doc__ or "")
    frames = test_frames(4 if bench.quick else 40)
    bench.section(f"saliency, {len(frames)} frames of 256x256")
    for name in (*FILTERS, *LOW_RANK):
        seconds = [run(name, grey)[1] for grey in (frames[:NUM_LOW_RANK] if name in LOW_RANK else frames)]
        bench.row(name, 1e3 * statistics.median(seconds), "ms/frame")
    bench.section("over their literal forms, same frames")
    for name, (form, num_frames, tolerance, goal) in LITERAL.items():
        over_literal(bench, name, form, frames[: 1 if bench.quick else num_frames], tolerance, goal)
    bench.finish()
    return 0


def test_frames(num: int) -> list[Grey]:
    """Return grey levels of frames spread over the NUDT-SIRST test list."""
    corpus = open_corpus(sirst_folder("nudt-sirst"), "test")
    refs = corpus.frames[:: len(corpus.frames) // num][:num]
    return [corpus.read(ref).levels.astype(np.float64) for ref in refs]


def run(name: str, grey: Grey) -> tuple[Grey, float]:
    """Return the saliency of one frame and the CPU seconds it took."""
    method, frames_11HW = create_classical(name), torch.from_numpy(grey / 255)[None, None]
    with Clock() as clock:
        saliency_11HW = method(frames_11HW)
    return saliency_11HW[0, 0].numpy(), clock.cpu_s


def over_literal(
    bench: Benchmark, name: str, form: Callable[[Grey], Grey], frames: Sequence[Grey], tolerance: float, goal: str
) -> None:
    """Time a method and its literal form on the same frames; they must agree."""
    ours_s, literal_s = [], []
    for grey in frames:
        saliency, seconds = run(name.partition(",")[0], grey)
        ours_s.append(seconds)
        with Clock() as clock:
            expected = form(grey)
        literal_s.append(clock.cpu_s)
        assert np.abs(saliency - expected).max() <= tolerance * expected.max(), name
    bench.row(f"{name}: literal form", statistics.median(literal_s), "s/frame")
    bench.row(f"{name} over its literal form", statistics.median(literal_s) / statistics.median(ours_s), "x", goal)


if __name__ == "__main__":
    sys.exit(main())
