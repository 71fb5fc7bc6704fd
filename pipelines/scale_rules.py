"""When a law may be stated: the refusals, each a sentence for the report.

The rules are the project's own (our choice, from simulations of curves with known laws): five sizes over one and a half
decades and five seeds are the least from which an exponent comes out within a factor of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from finetune.metrics.intervals import Interval, seed_interval
from pipelines.scale_laws import Law, LearningCurve, extrapolation_errors, fit_law, log_interval

MIN_SIZES, MIN_DECADES, MIN_REPLICATES = 5, 1.5, 5
MOST_COLLAPSED = 0.2
MOST_EXPONENT_RATIO = 3.0
FARTHEST = 4.0
"""Largest size a value is predicted at, over the largest one measured."""
Convergence = Literal["reached", "limited", "unknown"]
"""Whether training had converged: it had, it had not, or its journals do not tell."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What may be said of a curve.

    Attributes:
        law: Law ``P3`` where the fit may be drawn, else None.
        left_out: Its fits without each replicate; none without law.
        floor: 95 % interval of the floor c, None where it is not identified or no law may be stated.
        exponent: 95 % interval of b, None likewise.
        refusals: What is not stated, and why.
    """

    law: Law | None
    left_out: tuple[Law, ...]
    floor: Interval | None
    exponent: Interval | None
    refusals: tuple[str, ...]


def judge(curve: LearningCurve, *, collapsed: Sequence[float] = (), convergence: Sequence[Convergence] = ()) -> Judgement:
    """Say what may be said of a curve under law ``P3``.

    Args:
        curve: The curve.
        collapsed: Share of collapsed seeds at each size.
        convergence: Whether training at each size had converged.
    """
    against = list(_against_any_law(curve, collapsed, convergence))
    if against:
        return Judgement(None, (), None, None, tuple(against))
    law = fit_law("P3", curve)
    left_out = tuple(fit_law("P3", curve.without(k), law) for k in range(curve.num_replicates))
    floor, exponent = _intervals(law, left_out)
    if floor.low <= 0.0 or exponent.high > MOST_EXPONENT_RATIO * exponent.low:
        refusal = f"floor not identified: c {_text(floor)}, b {_text(exponent)}; no asymptote is stated"
        return Judgement(law, left_out, None, None, (refusal,))
    return Judgement(law, left_out, floor, exponent, ())


def against_plan(sizes: Sequence[float], num_replicates: int) -> Iterator[str]:
    """Yield what speaks against any law before anything is trained.

    Args:
        sizes: Frames, ascending.
        num_replicates: Seeds that every size has, or shall have.
    """
    decades = math.log10(sizes[-1] / sizes[0])
    if len(sizes) < MIN_SIZES or decades < MIN_DECADES:
        found = f"{len(sizes)} over {decades:.1f} decades"
        yield f"not enough sizes to state an exponent: {found}, needed: {MIN_SIZES} over {MIN_DECADES}"
    if num_replicates < MIN_REPLICATES:
        yield f"not enough seeds to state an exponent: {num_replicates} of {MIN_REPLICATES}"


def refuse_horizon(curve: LearningCurve, size: float) -> str | None:
    """Return why no value is predicted at a size, or None."""
    if size <= FARTHEST * curve.sizes[-1]:
        return None
    return (
        f"{size:g} frames are more than {FARTHEST:g} times the largest size measured, {curve.sizes[-1]:g}: no value is predicted"
    )


def _against_any_law(curve: LearningCurve, collapsed: Sequence[float], convergence: Sequence[Convergence]) -> Iterator[str]:
    yield from against_plan(curve.sizes.tolist(), curve.num_replicates)
    for size, share in zip(curve.sizes, collapsed, strict=False):
        if share > MOST_COLLAPSED:
            yield f"{share:.0%} of the seeds collapsed at {size:g} frames: no law"
    for size, state in zip(curve.sizes, convergence, strict=False):
        if state == "limited":
            yield f"training at {size:g} frames had not converged: no law"
    if unknown := [f"{size:g}" for size, state in zip(curve.sizes, convergence, strict=False) if state == "unknown"]:
        yield f"whether training at {', '.join(unknown)} frames had converged is not known: no law"
    if curve.num_replicates >= 3 and (place := _rise(curve)) is not None:
        yield f"the error rises from {curve.sizes[place]:g} to {curve.sizes[place + 1]:g} frames: no power law"
    if len(curve.sizes) >= MIN_SIZES:
        misses = dict(extrapolation_errors(curve))
        if misses["P3"] > misses["last value"]:
            found = f"{misses['P3']:.3f} against {misses['last value']:.3f} in ln e"
            yield f"the law, fitted without the largest size, misses it by more than the size before it does ({found}): no law"


def _rise(curve: LearningCurve) -> int | None:
    """Return the first size from which the error rises, beyond the interval of the paired differences."""
    for place, steps in enumerate(np.diff(curve.errors, axis=0)):
        if seed_interval(steps.tolist()).low > 0.0:
            return place
    return None


def _intervals(law: Law, left_out: Sequence[Law]) -> tuple[Interval, Interval]:
    """Return the 95 % intervals of floor (jackknife, as it may be zero) and exponent (jackknife of the logarithm)."""
    floors, number = np.array([other.floor for other in left_out]), len(left_out)
    error = math.sqrt((number - 1) / number * float(np.square(floors - floors.mean()).sum()))
    half = float(stdtrit(number - 1, 0.975)) * error
    exponent = log_interval(math.log(law.exponent), [math.log(other.exponent) for other in left_out])
    return Interval(law.floor - half, law.floor + half), exponent


def _text(interval: Interval) -> str:
    return f"[{interval.low:.3f}, {interval.high:.3f}]"
