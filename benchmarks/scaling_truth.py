"""How often the intervals of scaling laws hold the truth: curves with a known law and the scatter of real seeds, 200 draws.

Sizes 8 to 256, error .25 + 1.2 x^-.35, seeds scatter by .01 + .12 / sqrt(x); the largest size is held out from the fit. A start
worth 3 times the labels is drawn beside it.
"""

from __future__ import annotations

import sys

import numpy as np
from harness import REPOSITORY, Benchmark

sys.path.insert(0, str(REPOSITORY))

from tests.support.learning_curves import covered


def main() -> int:
    """Run the benchmark."""
    bench = Benchmark("scaling_truth", __doc__ or "")
    draws = 20 if bench.quick else 200
    for number in (5, 8):
        rng = np.random.default_rng(number)
        outcomes = [covered(rng, number) for _ in range(draws)]
        ratios = [ratio for _, ratio in outcomes if ratio is not None]
        bench.section(f"{number} seeds, {draws} draws: share of 95 % intervals that hold the truth")
        bench.row("prediction at the held-out size", 100.0 * float(np.mean([hit for hit, _ in outcomes])), "%", "90 to 97")
        bench.row("label ratio", 100.0 * float(np.mean(ratios)), "%", "90 to 97", intervals=len(ratios))
    bench.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
