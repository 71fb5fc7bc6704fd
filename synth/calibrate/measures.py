"""Numbers that describe a set for the scene model, and their bootstrap over groups of frames.

Every number is computed by one function from a choice of frames, so that the set itself, its resamples and rendered frames
are all read alike. Tables are deciles, their ends the 1 % and 99 % percentiles: one odd frame does not set a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.calibrate.evidence import Evidence
from synth.calibrate.floor import LEAST_SIGMA_DN, QUANTUM_VARIANCE
from synth.census.folds import frame_groups
from synth.census.spectrum import FREQUENCIES
from synth.rng import Stream, keyed_generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TABLE_PERCENTS = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
"""Percentiles of a table; a recipe spaces its points evenly, so the ends stand for 0 and 100 %."""
NUM_RESAMPLES = 200
INTERVAL_PERCENTS = (2.5, 97.5)
_PIXEL_VARIANCE = 1.0 / 12.0
_CLEAR_OF_NOISE = 4.0  # times the noise power: 6 dB
_LEAST_RINGS = 8

SHARP_DECILE = 1
"""Decile of the widths of compact targets that is taken for the blur: nothing is sharper than the optics, and the sharpest
targets are little more than points (our choice)."""
LEAST_BLUR_PX = 0.2
"""Least optical sigma told: below, the pixel's own box is all there is."""
DEFAULT_BLUR_PX = 0.5
"""Optical blur taken for the clutter's exponent where no target tells it: between the LWIR presets' bounds."""

Measures = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A number or table of a set with its uncertainty.

    Attributes:
        value: float64 (k,).
        low: float64 (k,), 2.5 % of the resamples; NaN with fewer than two groups of frames.
        high: float64 (k,), 97.5 %.
        num: Frames or targets behind it.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    num: int


def measure_set(evidence: Evidence, seed: int) -> dict[str, Measured]:
    """Measure a set with its intervals; a name without any value is left out.

    Args:
        evidence: What was read.
        seed: Seed of the resamples.
    """
    whole = measure(evidence)
    resamples = [measure(evidence, frames) for frames in resampled_frames(evidence, seed)]
    counts = {name: count(evidence) for name, (_, count) in _MEASURES.items()}
    return {name: _with_interval(name, value, resamples, counts[name]) for name, value in whole.items()}


def resampled_frames(evidence: Evidence, seed: int) -> Iterator[IntArray]:
    """Yield choices of frames with repetition: whole groups of linked frames and near duplicates, as many as there are.

    Args:
        evidence: What was read; one group alone cannot be resampled and gives nothing.
        seed: Seed of the draws.
    """
    survey = evidence.survey
    groups = frame_groups(survey.links, survey.thumbnails, survey.painted)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    rng = keyed_generator(seed, Stream.RESAMPLE, 0)
    for _ in range(NUM_RESAMPLES if len(members) > 1 else 0):
        yield np.concatenate([members[number] for number in rng.integers(len(members), size=len(members))])


def measure(evidence: Evidence, frames: IntArray | None = None) -> dict[str, FloatArray]:
    """Measure a set, or a choice of its frames with repetition.

    Args:
        evidence: What was read.
        frames: int64 (M,) frames chosen, or None for all.

    Returns:
        Name -> float64 (k,); names that cannot be measured are left out.
    """
    chosen = np.arange(len(evidence)) if frames is None else frames
    starts = np.searchsorted(evidence.target_frame, chosen)
    stops = np.searchsorted(evidence.target_frame, chosen, side="right")
    targets = np.concatenate([np.empty(0, np.int64), *(np.arange(a, b) for a, b in zip(starts, stops, strict=True))])
    choice = _Choice(evidence, chosen, targets.astype(np.int64))
    values = {name: function(choice) for name, (function, _) in _MEASURES.items()}
    return {name: value for name, value in values.items() if len(value) and np.isfinite(value).all()}


def clutter_slopes(evidence: Evidence, sigma_px: float) -> FloatArray:
    """Return the exponent of each frame's power spectrum before blur and noise; float64 (N,), NaN where it cannot be told.

    The census curve, less the noise floor and over the transfer of blur and pixel, is fitted by a line in log-log over the
    rings that stand 6 dB clear of the noise.

    Args:
        evidence: What was read.
        sigma_px: Optical blur.
    """
    power = 10.0 ** (evidence.survey.curves_db / 10.0)
    noise = np.nan_to_num(evidence.noise_dn) ** 2 + QUANTUM_VARIANCE
    transfer = np.exp(-4.0 * np.pi**2 * (sigma_px**2 + _PIXEL_VARIANCE) * FREQUENCIES**2)
    slopes = np.full(len(evidence), np.nan)
    for number, (curve, floor) in enumerate(zip(power, noise, strict=True)):
        used = np.isfinite(curve) & (curve > _CLEAR_OF_NOISE * floor)
        if np.count_nonzero(used) >= _LEAST_RINGS:
            x, y = np.log(FREQUENCIES[used]), np.log((curve[used] - floor) / transfer[used])
            x = x - x.mean()
            slopes[number] = -float(np.dot(x, y) / np.dot(x, x))
    return slopes


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    evidence: Evidence
    frames: IntArray
    targets: IntArray

    def per_frame(self, name: str) -> FloatArray:
        return self.evidence.survey.columns[name][self.frames]

    def per_target(self, name: str) -> FloatArray:
        return self.evidence.survey.columns[name][self.targets]

    def of_blobs(self, name: str) -> FloatArray:
        return np.array([getattr(self.evidence.blobs[number], name) for number in self.targets], dtype=np.float64)


def _table(values: FloatArray) -> FloatArray:
    """Return the percentiles of a table; empty without values."""
    finite = values[np.isfinite(values)]
    return np.percentile(finite, TABLE_PERCENTS) if len(finite) else np.empty(0)


def _frame_table(name: str) -> Callable[[_Choice], FloatArray]:
    return lambda choice: _table(choice.per_frame(name))


def _target_table(name: str) -> Callable[[_Choice], FloatArray]:
    return lambda choice: _table(choice.per_target(name))


def _blur(choice: _Choice) -> FloatArray:
    sigma = choice.of_blobs("sigma_px")[choice.of_blobs("is_compact") > 0.0]
    if not len(sigma):
        return np.empty(0)
    total = _table(sigma)
    return np.sqrt(np.maximum(total * total - _PIXEL_VARIANCE, LEAST_BLUR_PX**2))


def _clutter(choice: _Choice) -> FloatArray:
    blur = _blur(choice)
    sharp = float(blur[SHARP_DECILE]) if len(blur) else DEFAULT_BLUR_PX
    slopes = clutter_slopes(choice.evidence, sharp)[choice.frames]
    return np.array([np.median(slopes[np.isfinite(slopes)])]) if np.isfinite(slopes).any() else np.empty(0)


def _stripes(choice: _Choice) -> FloatArray:
    """Return median ratios of row and column stripes to the noise, of frames whose noise can be told."""
    noise = choice.evidence.noise_dn[choice.frames]
    clear = noise >= LEAST_SIGMA_DN
    if not clear.any():
        return np.empty(0)
    ratios = choice.evidence.stripes_dn[choice.frames][clear] / noise[clear, None]
    return np.asarray(np.median(ratios, axis=0))


def _stripes_dn(choice: _Choice) -> FloatArray:
    stripes = choice.evidence.stripes_dn[choice.frames]
    return np.asarray(np.median(stripes, axis=0)) if len(stripes) else np.empty(0)


def _counts(choice: _Choice) -> FloatArray:
    """Return the share of frames without targets, and of the others the shares with one and with two."""
    labelled = choice.frames[choice.evidence.is_labelled[choice.frames]]
    per_frame = np.bincount(choice.evidence.target_frame, minlength=len(choice.evidence))[labelled]
    if not len(per_frame):
        return np.empty(0)
    filled = max(int(np.count_nonzero(per_frame)), 1)
    return np.array([np.mean(per_frame == 0), np.sum(per_frame == 1) / filled, np.sum(per_frame == 2) / filled])


def _share(name: str, least: Callable[[FloatArray], npt.NDArray[np.bool_]]) -> Callable[[_Choice], FloatArray]:
    def share(choice: _Choice) -> FloatArray:
        return np.array([np.mean(least(choice.of_blobs(name)))]) if len(choice.targets) else np.empty(0)

    return share


def _area_of(is_compact: bool) -> Callable[[_Choice], FloatArray]:
    def table(choice: _Choice) -> FloatArray:
        chosen = (choice.of_blobs("is_compact") > 0.0) == is_compact
        return _table(choice.per_target("area_px")[chosen])

    return table


def _compact_aspect(choice: _Choice) -> FloatArray:
    return _table(choice.per_target("aspect")[choice.of_blobs("is_compact") > 0.0])


def _num_frames(evidence: Evidence) -> int:
    return len(evidence)


def _num_labelled(evidence: Evidence) -> int:
    return int(np.count_nonzero(evidence.is_labelled))


def _num_targets(evidence: Evidence) -> int:
    return len(evidence.blobs)


def _num_compact(evidence: Evidence) -> int:
    return sum(blob.is_compact for blob in evidence.blobs)


_MEASURES: Mapping[str, tuple[Callable[[_Choice], FloatArray], Callable[[Evidence], int]]] = {
    "noise_dn": (lambda choice: _table(choice.evidence.noise_dn[choice.frames]), _num_frames),
    "stripes": (_stripes, _num_frames),
    "stripes_dn": (_stripes_dn, _num_frames),
    "levels_share": (lambda choice: _table(choice.evidence.levels_share[choice.frames]), _num_frames),
    "blur_px": (_blur, _num_compact),
    "clutter_slope": (_clutter, _num_frames),
    "span_dn": (lambda choice: _table(choice.evidence.span_dn[choice.frames]), _num_frames),
    "low_dn": (lambda choice: _table(choice.evidence.low_dn[choice.frames]), _num_frames),
    "mean_dn": (_frame_table("mean_dn"), _num_frames),
    "std_dn": (_frame_table("std_dn"), _num_frames),
    "psd_slope": (_frame_table("psd_slope"), _num_frames),
    "counts": (_counts, _num_labelled),
    "compact_share": (_share("is_compact", lambda values: values > 0.0), _num_targets),
    "dark_share": (_share("amplitude_dn", lambda values: values < 0.0), _num_targets),
    "compact_area_px": (_area_of(True), _num_compact),
    "body_area_px": (_area_of(False), _num_targets),
    "compact_aspect": (_compact_aspect, _num_compact),
    "edge_level": (_target_table("edge_level"), _num_targets),
    "peak_dn": (_target_table("peak_dn"), _num_targets),
    "scr": (_target_table("scr"), _num_targets),
    "area_px": (_target_table("area_px"), _num_targets),
}
"""Name -> how it is computed from a choice of frames, and how many frames or targets are behind it."""


def _with_interval(name: str, value: FloatArray, resamples: list[dict[str, FloatArray]], num: int) -> Measured:
    drawn = [resample[name] for resample in resamples if name in resample]
    if len(drawn) < NUM_RESAMPLES // 2:
        missing = np.full(len(value), np.nan)
        return Measured(value, missing, missing, num)
    low, high = np.percentile(np.array(drawn), INTERVAL_PERCENTS, axis=0)
    return Measured(value, low, high, num)
