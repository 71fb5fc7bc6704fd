"""What is to be placed: how many targets, of what kind, how strong, before anything is known of where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synth.scene.camera import VirtualCamera
from synth.scene.config import SceneConfig
from synth.scene.draws import chance, log_spread, log_uniform, sign, spread, uniform, weighted
from synth.scene.optics import blur_sigmas
from synth.scene.ranges import Emitter, draw_emitter
from synth.scene.shapes import Member, RenderedTarget, TargetModel, draw_blob, draw_group, draw_point, render_shape
from synth.scene.silhouettes import draw_silhouette
from synth.scene.target_config import MANY_COUNTS, ScrConfig, TargetsConfig
from synth.scene.trajectories import STANDING, Path
from synth.scene.truth import TargetLevel

_SIRST_BINS = ((1.0, 2.0), (2.0, 3.0), (3.0, 5.0), (5.0, 10.0), (10.0, 50.0))
_SIRST_SHARES = (0.05, 0.07, 0.12, 0.18, 0.57)
"""Absolute ratios of SIRST v1 trainval (physics section 11); the 2 % below 1 are left out, 95 % lie below 55."""

_COUNTS = (0, 1, 2, *MANY_COUNTS)


class Wish(NamedTuple):
    """A target to be placed.

    Attributes:
        model: What it is.
        scr: Ratio asked for, negative for a dark target; NaN where it follows from what it emits, and, until it has found its
            place, from its peak in the view.
        row_subpx: Row of its centre within its pixel, -0.5..0.5.
        col_subpx: Column of it.
        seam_px: Half side of the patch that is turned and pasted under it; 0 for none.
        path: How it moves.
        view_peak_dn: Its peak in the view, grey levels, negative for a dark target; None for a target asked for by its ratio.
        emitter: What it radiates; None for a target asked for by its ratio.
    """

    model: TargetModel
    scr: float
    row_subpx: float
    col_subpx: float
    seam_px: int = 0
    path: Path = STANDING
    view_peak_dn: float | None = None
    emitter: Emitter | None = None


def draw_count(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Return the number of targets of a frame, groups counted once; the weights are the ``count_weights`` of its config."""
    return _COUNTS[weighted(rng, weights)]


def draw_scr(rng: np.random.Generator, config: ScrConfig) -> float:
    """Return a requested ratio, > 0; not for law ``view_peak``."""
    if config.law == "log_uniform":
        return log_uniform(rng, config.low, config.high)
    bins = [(max(low, config.low), min(high, config.high)) for low, high in _SIRST_BINS]
    shares = [
        share * max(high - low, 0.0) / (old[1] - old[0])
        for (low, high), old, share in zip(bins, _SIRST_BINS, _SIRST_SHARES, strict=True)
    ]
    return log_uniform(rng, *bins[weighted(rng, shares)])


def draw_model(rng: np.random.Generator, config: TargetsConfig, sigma_optics_px: float) -> TargetModel:
    """Draw what a target is.

    Args:
        rng: Target stream of the scene.
        config: Frequencies and sizes.
        sigma_optics_px: Blur of the camera, jitter included.
    """
    level = TargetLevel(weighted(rng, config.levels.weights))
    threshold = spread(rng, config.thresholds)
    if level is TargetLevel.POINT:
        return TargetModel(level, (Member(0.0, 0.0, 1.0, draw_point(sigma_optics_px)),), threshold)
    if level is TargetLevel.EXTENDED:
        body = draw_silhouette(rng, sigma_optics_px, config.half_length_px)
        return TargetModel(level, (Member(0.0, 0.0, 1.0, body),), threshold)
    blob = draw_blob(rng, sigma_optics_px, sigma_total_px=config.sigma_total_px, aspect=config.aspect)
    members = draw_group(rng, blob) if level is TargetLevel.GROUP else (Member(0.0, 0.0, 1.0, blob),)
    return TargetModel(level, members, threshold)


def draw_wish(rng: np.random.Generator, config: SceneConfig, camera: VirtualCamera) -> Wish:
    """Draw a target: model, polarity and ratio, or what it emits, and phase; paths and seams are the caller's."""
    sigma = blur_sigmas(camera.sigma_optics_px, jitter_sigma_px=camera.sensor.jitter_sigma_px)[0]
    model = draw_model(rng, config.targets, sigma)
    if config.ranges is not None:
        emitter = draw_emitter(rng, config.ranges)
        return Wish(model, math.nan, uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5), emitter=emitter)
    by_peak = config.scr.law == "view_peak"
    strength = log_spread(rng, config.scr.view_peak_dn or ()) if by_peak else draw_scr(rng, config.scr)
    strength *= sign(rng, 1.0 - config.targets.dark_share)
    place = uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5)
    return Wish(model, math.nan, *place, view_peak_dn=strength) if by_peak else Wish(model, strength, *place)


def seam_half_px(rng: np.random.Generator, rendered: RenderedTarget) -> int:
    """Draw half the side of a pasted patch, for a target on it or for none: a little more than the mask needs."""
    return rendered.reach_px + 2 + int(rng.integers(3))


def seam_share(config: SceneConfig) -> float:
    """Return the share of targets that stand on a pasted patch: as many patches as are pasted without a target."""
    mean = config.targets.mean_count
    return config.impostors.seam_patch / mean if config.sequence is None and mean > 0.0 else 0.0


def draw_seam(rng: np.random.Generator, share: float, wish: Wish) -> int:
    """Draw whether a target stands on a pasted patch, with probability :func:`seam_share`; return its half side, or 0."""
    return seam_half_px(rng, render_shape(wish.model, wish.row_subpx, wish.col_subpx)) if chance(rng, share) else 0
