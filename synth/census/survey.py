"""One pass over a set of frames: every statistic, the spectra, patches and what links the frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.census.definitions import STATISTICS
from synth.census.frames import measure_frame
from synth.census.patches import PATCH_PX, draw_patches
from synth.census.sources import FrameSet, SourceFrame
from synth.census.spectrum import FREQUENCIES, measure_spectrum
from synth.census.targets import TARGET_STATISTICS, measure_frame_targets
from synth.corpora.leakage import THUMBNAIL_SIDE_PX, Thumbnails, thumbnail

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What a set of N frames looks like.

    Attributes:
        name: Short name of the set.
        about: What it is.
        split: Split of the lists it was restricted to, or None.
        num_found: Frames there were before any subset was drawn.
        frame_ids: Ids of the N frames.
        num_labelled: Frames with a mask, target-free ones included.
        num_targets: Targets of all labelled frames.
        columns: Statistic -> float64 values, one a frame or one a target, NaN where it could not be measured;
            ``targets_per_frame`` of labelled frames only.
        curves_db: float64 (N, 59), power spectra on :data:`FREQUENCIES`, dB re 1 DN^2 px^2.
        thumbnails: float32 (N, 32, 32), for near duplicates.
        links: What ties each frame to others.
        painted: bool (N,), frames on a procedural background.
        patches: float32 (P, 64, 64), target-free, grey levels of 0..255.
        patch_frame: int64 (P,), frame of each patch.
    """

    name: str
    about: str
    split: str | None
    num_found: int
    frame_ids: tuple[str, ...]
    num_labelled: int
    num_targets: int
    columns: dict[str, FloatArray]
    curves_db: FloatArray
    thumbnails: Thumbnails
    links: tuple[tuple[str, ...], ...]
    painted: npt.NDArray[np.bool_]
    patches: npt.NDArray[np.float32]
    patch_frame: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frame_ids)


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What is kept of one frame; not its pixels."""

    frame_id: str
    links: tuple[str, ...]
    painted: bool
    values: dict[str, float]
    targets: FloatArray | None
    curve_db: FloatArray
    thumbnail: npt.NDArray[np.float32]
    patches: npt.NDArray[np.float32]


def survey_frames(
    frames: FrameSet, *, seed: int = 0, on_frame: Callable[[], None] = lambda: None, stop: Callable[[], bool] = lambda: False
) -> Survey:
    """Read every frame of a set once and measure it.

    Args:
        frames: The set.
        seed: Seed of the patches drawn.
        on_frame: Called after each frame.
        stop: Asked before each frame; when it says so, the survey covers the frames read so far.

    Returns:
        The survey; pixels are kept of the patches only.
    """
    kept: list[_Read] = []
    for read in frames.reads:
        if stop():
            break
        kept.append(_measure(read(), seed))
        on_frame()
    counts = [len(entry.targets) for entry in kept if entry.targets is not None]
    return Survey(
        name=frames.name,
        about=frames.about,
        split=frames.split,
        num_found=frames.num_found,
        frame_ids=tuple(entry.frame_id for entry in kept),
        num_labelled=len(counts),
        num_targets=sum(counts),
        columns=_columns(kept),
        curves_db=np.array([entry.curve_db for entry in kept]).reshape(-1, len(FREQUENCIES)),
        thumbnails=np.array([entry.thumbnail for entry in kept], dtype=np.float32).reshape(
            -1, THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX
        ),
        links=tuple(entry.links for entry in kept),
        painted=np.array([entry.painted for entry in kept], dtype=np.bool_),
        patches=np.concatenate([np.empty((0, PATCH_PX, PATCH_PX), np.float32), *(entry.patches for entry in kept)]),
        patch_frame=np.repeat(np.arange(len(kept)), [len(entry.patches) for entry in kept]).astype(np.int64),
    )


def _measure(source: SourceFrame, seed: int) -> _Read:
    frame = source.frame
    levels_dn = frame.levels.astype(np.float64) * (255.0 / frame.max_level)
    spectrum = measure_spectrum(levels_dn)
    return _Read(
        frame_id=frame.id,
        links=source.links,
        painted=source.painted,
        values=measure_frame(levels_dn, spectrum),
        targets=None if frame.mask is None else measure_frame_targets(frame, levels_dn),
        curve_db=spectrum.curve_db,
        thumbnail=thumbnail(frame),
        patches=draw_patches(levels_dn, frame.mask, frame.id, seed),
    )


def _columns(kept: list[_Read]) -> dict[str, FloatArray]:
    """Gather the values of all frames and targets, statistic by statistic."""
    targets = [entry.targets for entry in kept if entry.targets is not None]
    table = np.concatenate([np.empty((0, len(TARGET_STATISTICS))), *targets])
    columns = dict(zip(TARGET_STATISTICS, table.T, strict=True))
    columns["targets_per_frame"] = np.array([len(rows) for rows in targets], dtype=np.float64)
    for statistic in STATISTICS:
        if statistic.name not in columns:
            columns[statistic.name] = np.array([entry.values[statistic.name] for entry in kept], dtype=np.float64)
    return columns
