"""What calibration reads off a set of frames: the census survey, and beside it what only a fit of the scene model needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from synth.calibrate.blobs import Blob, fit_blobs
from synth.calibrate.floor import noise_floor, stripe_sigma
from synth.census.sources import FrameSet, SourceFrame
from synth.census.survey import Survey, survey_frames

FloatArray = npt.NDArray[np.float64]

TAIL_PERCENT = 0.5
"""Share of the pixels left out on each side of a frame's span, as in the linear gain control."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A set of N frames with T targets, as read.

    Attributes:
        survey: The census of the set.
        noise_dn: float64 (N,), noise floor (:func:`synth.calibrate.floor.noise_floor`), NaN where there is none.
        stripes_dn: float64 (N, 2), deviation of row and column stripes.
        span_dn: float64 (N,), grey levels between the tails.
        low_dn: float64 (N,), level of the lower tail.
        levels_share: float64 (N,), share of the grey levels between the tails that occur.
        is_labelled: bool (N,), frames with a mask.
        target_frame: int64 (T,), frame of each target, in the order of the survey's target columns.
        blobs: The Gaussian fitted to each target.
    """

    survey: Survey
    noise_dn: FloatArray
    stripes_dn: FloatArray
    span_dn: FloatArray
    low_dn: FloatArray
    levels_share: FloatArray
    is_labelled: npt.NDArray[np.bool_]
    target_frame: npt.NDArray[np.int64]
    blobs: tuple[Blob, ...]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.survey)


@dataclass(frozen=True, slots=True)
class _Seen:
    noise_dn: float
    stripes_dn: tuple[float, float]
    tails_dn: tuple[float, float]
    levels_share: float
    is_labelled: bool
    blobs: tuple[Blob, ...]


def gather_evidence(
    frames: FrameSet, *, seed: int = 0, on_frame: Callable[[], None] = lambda: None, stop: Callable[[], bool] = lambda: False
) -> Evidence:
    """Read every frame of a set once.

    Args:
        frames: The set.
        seed: Seed of the patches drawn.
        on_frame: Called after each frame.
        stop: Asked before each frame; when it says so, the evidence covers the frames read so far.
    """
    seen: list[_Seen] = []

    def watch(read: Callable[[], SourceFrame]) -> SourceFrame:
        source = read()
        seen.append(_look(source))
        return source

    watched = replace(frames, reads=tuple(partial(watch, read) for read in frames.reads))
    survey = survey_frames(watched, seed=seed, on_frame=on_frame, stop=stop)
    tails = np.array([entry.tails_dn for entry in seen], dtype=np.float64).reshape(-1, 2)
    return Evidence(
        survey=survey,
        noise_dn=np.array([entry.noise_dn for entry in seen], dtype=np.float64),
        stripes_dn=np.array([entry.stripes_dn for entry in seen], dtype=np.float64).reshape(-1, 2),
        span_dn=tails[:, 1] - tails[:, 0],
        low_dn=tails[:, 0],
        levels_share=np.array([entry.levels_share for entry in seen], dtype=np.float64),
        is_labelled=np.array([entry.is_labelled for entry in seen], dtype=np.bool_),
        target_frame=np.repeat(np.arange(len(seen)), [len(entry.blobs) for entry in seen]).astype(np.int64),
        blobs=tuple(blob for entry in seen for blob in entry.blobs),
    )


def _levels_share(levels_dn: FloatArray, low_dn: float, high_dn: float) -> float:
    """Return the share of whole grey levels that occur between two; 1 where they are fewer than 16."""
    first, last = int(low_dn), int(high_dn)
    occurs = np.bincount(np.rint(levels_dn).astype(np.int64).ravel(), minlength=256)[first : last + 1] > 0
    return float(occurs.mean()) if last - first >= 16 else 1.0


def _look(source: SourceFrame) -> _Seen:
    frame = source.frame
    levels_dn = frame.levels.astype(np.float64) * (255.0 / frame.max_level)
    noise = noise_floor(levels_dn)
    low, high = np.percentile(levels_dn, (TAIL_PERCENT, 100.0 - TAIL_PERCENT))
    return _Seen(
        noise_dn=noise,
        stripes_dn=(stripe_sigma(levels_dn, 0), stripe_sigma(levels_dn, 1)),
        tails_dn=(float(low), float(high)),
        levels_share=_levels_share(levels_dn, float(low), float(high)),
        is_labelled=frame.mask is not None,
        blobs=() if frame.mask is None else fit_blobs(levels_dn, frame.mask),
    )
