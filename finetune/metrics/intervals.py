"""How far a score can be trusted: Wilson, bootstrap over frames, Student over seeds, and the noise floor of a test set.

Frames and seeds are different sources of doubt and their intervals are never mixed. Targets of one frame are dependent, so
frames are resampled (sequences, where frames come from sequences), never targets. A percentile bootstrap of a handful of
seeds would be too narrow (5 seeds: 83 % for a nominal 95 %), so seeds get the t interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import nctdtr, stdtr, stdtrit

from finetune.metrics.sums import FloatArray
from synth.errors import RecipeError

Z_95 = 1.96
"""Normal quantile of two-sided 95 % intervals."""
NUM_RESAMPLES = 2000
"""Bootstrap resamples (our choice): the 2.5 % point has 50 below it."""
FLIPPED_PAIRS = range(8, 21)
"""Numbers of pairs whose signs are flipped (our choice): 5 pairs cannot come below 0.06, 8 below 0.008; 20 have 2^20 flips."""
_RESAMPLES_AT_ONCE = 250  # bounds memory: 250 x 1327 frames of float64 are 2.7 MB

ScoreFunction = Callable[[FloatArray], Mapping[str, FloatArray]]
"""Weights (B, N) -> scores (B,) by name."""


class Interval(NamedTuple):
    """A 95 % interval, in the unit of its score."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its length."""
        return (self.high - self.low) / 2.0


def wilson(num_hits: int, num_all: int) -> Interval:
    """Return the Wilson 95 % interval of a share, as ratios; NaN for 0 of 0.

    Args:
        num_hits: Hits, 0..``num_all``.
        num_all: Trials.
    """
    if num_all == 0:
        return Interval(math.nan, math.nan)
    p, square = num_hits / num_all, Z_95 * Z_95 / num_all
    centre, spread = p + square / 2.0, Z_95 * math.sqrt(p * (1.0 - p) / num_all + square / (4.0 * num_all))
    low, high = (centre - spread) / (1.0 + square), (centre + spread) / (1.0 + square)
    return Interval(0.0 if num_hits == 0 else low, 1.0 if num_hits == num_all else high)


def seed_interval(values: Sequence[float]) -> Interval:
    """Return mean +- t sd / sqrt(n) of one score over seeds, in its unit.

    Args:
        values: One score a seed, n >= 3 (claims need 5).

    Raises:
        RecipeError: Fewer than 3 values.
    """
    num = len(values)
    if num < 3:
        raise RecipeError(f"values must be the scores of at least 3 seeds, got {num}")
    quantile = float(stdtrit(num - 1, 0.975))
    half = quantile * float(np.std(values, ddof=1)) / math.sqrt(num)
    mean = math.fsum(values) / num
    return Interval(mean - half, mean + half)


def paired_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of a t test that the mean of paired differences is zero; 1 where all are zero.

    Args:
        differences: One a seed, n >= 3.

    Raises:
        RecipeError: Fewer than 3 values.
    """
    num = len(differences)
    if num < 3:
        raise RecipeError(f"differences must be of at least 3 pairs, got {num}")
    mean, spread = math.fsum(differences) / num, float(np.std(differences, ddof=1))
    if spread == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return 2.0 * float(stdtr(num - 1, -abs(mean) / (spread / math.sqrt(num))))


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the exact two-sided p that paired differences are symmetric about zero, from all flips of their signs.

    It assumes no distribution; beside :func:`paired_p` it tells whether that one rests on the bell shape.

    Args:
        differences: One a seed.

    Returns:
        Share of all flips whose sum is as far from zero, the given one included; None outside ``FLIPPED_PAIRS``.
    """
    if len(differences) not in FLIPPED_PAIRS:
        return None
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    given = abs(math.fsum(differences))
    slack = 1e-9 * math.fsum(map(abs, differences))  # sums of equal size differ by their rounding
    return float((np.abs(sums) >= given - slack).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's step-down rule, in the order given (Scand. J. Statist., 1979)."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def smallest_detectable(differences: Sequence[float]) -> float:
    """Return the mean difference that a two-sided paired t test at 5 % would find in 80 % of repetitions, in their unit.

    The spread is the one seen: 1.68 standard deviations of the differences at 5 seeds, 1.16 at 8.

    Args:
        differences: One paired difference a seed, n >= 3.

    Raises:
        RecipeError: Fewer than 3 values.
    """
    num = len(differences)
    if num < 3:
        raise RecipeError(f"differences must be those of at least 3 seeds, got {num}")
    limit = float(stdtrit(num - 1, 0.975))

    def excess_power(shift: float) -> float:  # the other tail holds less than 0.0001 from here on
        return 0.2 - float(nctdtr(num - 1, shift, limit))

    return float(brentq(excess_power, 1.0, 12.0)) / math.sqrt(num) * float(np.std(differences, ddof=1))


def bootstrap(
    scores: ScoreFunction,
    num_frames: int,
    *,
    rng: np.random.Generator,
    groups: Sequence[Hashable] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Interval]:
    """Return percentile 95 % intervals of scores over resampled frames; a recount from per-frame counts, no pixel is read.

    Args:
        scores: Scores of weightings, for instance ``NativeTally.scores``.
        num_frames: N.
        rng: Generator of the draws.
        groups: Sequence of each frame in id order, (N,), to resample whole sequences; default single frames.
        num_resamples: Resamples.

    Returns:
        Interval of every score, in its unit; NaN where no resample defines it.
    """
    samples = _resampled(scores, _groups_of(groups, num_frames), num_resamples, rng)
    return {name: _percentiles(values) for name, values in samples.items()}


def bootstrap_difference(
    first: ScoreFunction,
    second: ScoreFunction,
    num_frames: int,
    *,
    rng: np.random.Generator,
    groups: Sequence[Hashable] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Interval]:
    """Return intervals of ``second`` minus ``first`` for two methods on the same frames, resampled together.

    Arguments as in :func:`bootstrap`; both must see the frames in the same order.
    """

    def differences(weights: FloatArray) -> dict[str, FloatArray]:
        a, b = first(weights), second(weights)
        return {name: b[name] - a[name] for name in a}

    return bootstrap(differences, num_frames, rng=rng, groups=groups, num_resamples=num_resamples)


def noise_floor(
    scores: ScoreFunction,
    num_frames: int,
    *,
    rng: np.random.Generator,
    groups: Sequence[Hashable] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, dict[str, float]]:
    """Return how far each score moves when the frames of the test set are drawn anew.

    Differences below ``half_width_95`` between methods judged on these frames alone are noise, unless they are paired
    (:func:`bootstrap_difference`).

    Args:
        scores: As in :func:`bootstrap`, likewise the others.
        num_frames: N.
        rng: Generator of the draws.
        groups: Sequences.
        num_resamples: Resamples.

    Returns:
        Score -> ``sd`` and ``half_width_95``, in its unit.
    """
    samples = _resampled(scores, _groups_of(groups, num_frames), num_resamples, rng)
    return {
        name: {"sd": float(np.nanstd(values, ddof=1)), "half_width_95": _percentiles(values).half_width}
        for name, values in samples.items()
        if np.isfinite(values).sum() > 1
    }


def _resampled(
    scores: ScoreFunction, groups: Sequence[Hashable], num_resamples: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    parts = [scores(weights) for weights in _draw_weights(groups, num_resamples, rng)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draw_weights(groups: Sequence[Hashable], num_resamples: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yield (b, N) frame weights: groups drawn with replacement, as many as there are."""
    first_seen = {group: code for code, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([first_seen[group] for group in groups], np.int64)
    num_groups = len(first_seen)
    for start in range(0, num_resamples, _RESAMPLES_AT_ONCE):
        num = min(_RESAMPLES_AT_ONCE, num_resamples - start)
        drawn = rng.integers(0, num_groups, (num, num_groups)) + np.arange(num)[:, None] * num_groups
        counts = np.bincount(drawn.ravel(), minlength=num * num_groups).reshape(num, num_groups)
        yield counts[:, codes].astype(np.float64)


def _groups_of(groups: Sequence[Hashable] | None, num_frames: int) -> Sequence[Hashable]:
    if groups is None:
        return range(num_frames)
    if len(groups) != num_frames:
        raise RecipeError(f"groups must name the sequence of each of {num_frames} frames, got {len(groups)}")
    return groups


def _percentiles(values: FloatArray) -> Interval:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return Interval(math.nan, math.nan)
    low, high = np.percentile(defined, (2.5, 97.5))
    return Interval(float(low), float(high))
