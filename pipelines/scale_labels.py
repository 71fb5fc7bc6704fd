"""What a better start is worth in labels: how many more the other start needs to come as far.

r(s) = s'(e(s)) / s, where s' inverts the scratch curve: isotonic regression of its mean errors against ln s, then linear
interpolation in (ln s, e). Sizes that the regression levels are a plateau: the fewest labels reach its error, any lower one lies
beyond its most. Nothing is extrapolated: an error below the scratch curve's best is ">= largest / s".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from finetune.metrics.intervals import Interval
from pipelines.scale_laws import LearningCurve, log_interval
from synth.errors import RecipeError

_SAME = 1e-12
"""Errors (ratios) no farther apart are equal: means of the same numbers differ by rounding, 1e-16."""


@dataclass(frozen=True, slots=True)
class LabelRatio:
    """What a start is worth at one size.

    Attributes:
        size: Labels it was given.
        ratio: Labels that scratch needs over that, or the bound where the scratch curve ends.
        bound: ``=``, or ``>=`` and ``<`` where it ends.
        interval: 95 % interval, None where the ratio or any of its leave-one-out values is a bound.
    """

    size: float
    ratio: float
    bound: str
    interval: Interval | None


def label_ratio(better: LearningCurve, scratch: LearningCurve, size: float) -> LabelRatio:
    """Return what a start is worth at a size; replicates of the two curves are paired.

    Args:
        better: The start in question.
        scratch: Compute-matched training from random weights.
        size: One of the sizes of ``better``.

    Raises:
        RecipeError: The size is none of ``better``, or replicates are not paired.
    """
    if size not in better.sizes:
        raise RecipeError(f"size must be one of {better.sizes.tolist()}, got {size}")
    if better.num_replicates != scratch.num_replicates:
        raise RecipeError(
            f"replicates must be paired, got {better.num_replicates} of one curve and {scratch.num_replicates} of the other"
        )
    ratio, bound = _ratio(better, scratch, size)
    number = better.num_replicates
    left_out = [_ratio(better.without(k), scratch.without(k), size) for k in range(number)] if number >= 3 else []
    if not left_out or bound != "=" or any(b != "=" for _, b in left_out):
        return LabelRatio(size, ratio, bound, None)
    return LabelRatio(size, ratio, bound, log_interval(math.log(ratio), [math.log(value) for value, _ in left_out]))


def _ratio(better: LearningCurve, scratch: LearningCurve, size: float) -> tuple[float, str]:
    error = float(better.means[better.sizes == size][0])
    fitted = isotonic_regression(scratch.means, increasing=False).x
    if error < fitted[-1]:
        return float(scratch.sizes[-1]) / size, ">="
    if error > fitted[0]:
        return float(scratch.sizes[0]) / size, "<"
    reached = int(np.argmax(fitted <= error + _SAME))  # the fewest labels; the size before them is the last above the error
    span = slice(max(0, reached - 1), reached + 1)
    logs = np.interp(-error, -fitted[span], np.log(scratch.sizes[span]))
    return math.exp(float(logs)) / size, "="
