"""Target laws that give masks of the measured areas, aspects and edge levels.

The laws cannot be read off a mask: a pixelised area depends on width, threshold, phase and blur together. So targets are
drawn and integrated by the scene model itself, measured by the census, and each decile of a law is moved by what the decile
of the number it drives misses, a few times over (indirect inference: Gourieroux, Monfort & Renault, J. Appl. Econom. 8,
1993). Compact targets and bodies are matched apart; the threshold is common to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synth.calibrate.measures import TABLE_PERCENTS, Measured
from synth.census.targets import TARGET_STATISTICS, measure_frame_targets
from synth.rng import Stream, keyed_generator
from synth.sample import Frame
from synth.scene.draws import log_spread, uniform
from synth.scene.shapes import render_shape
from synth.scene.target_config import TargetsConfig
from synth.scene.wishes import draw_model

FloatArray = npt.NDArray[np.float64]

NUM_DRAWN = 600
"""Targets drawn of each kind in a round: 4 % of a decile's place (our choice)."""
NUM_ROUNDS = 12
DAMPING = 0.6
_PEDESTAL_DN, _PEAK_DN, _MARGIN_PX = 30.0, 200.0, 8
_AREA, _ASPECT, _EDGE = (TARGET_STATISTICS.index(name) for name in ("area_px", "aspect", "edge_level"))
_SIGMA_BOUNDS, _ASPECT_BOUNDS, _HALF_BOUNDS, _THRESHOLD_BOUNDS = (0.35, 5.0), (1.0, 4.0), (1.0, 16.0), (0.05, 0.95)


@dataclass(frozen=True, slots=True, eq=False)
class TargetLaws:
    """Deciles of the laws, float64 (11,) each; None where nothing was measured.

    Attributes:
        sigma_total_px: Width of compact targets.
        aspect: Ratio of their sigmas.
        half_length_px: Half length of bodies.
        mask_threshold: Share of the peak at which a mask ends.
    """

    sigma_total_px: FloatArray
    aspect: FloatArray
    half_length_px: FloatArray
    mask_threshold: FloatArray


def match_shapes(measured: Mapping[str, Measured], sigma_optics_px: FloatArray, seed: int) -> TargetLaws:
    """Find laws whose masks have the areas, aspects and edge levels measured.

    Args:
        measured: Measures of a set with targets.
        sigma_optics_px: float64 (k,), bounds or quantiles of the blur.
        seed: Seed of the targets drawn.
    """
    compact, bodies = (_values(measured, name) for name in ("compact_area_px", "body_area_px"))
    either = compact if compact is not None else bodies
    edge, aspect = _values(measured, "edge_level"), _values(measured, "compact_aspect")
    assert either is not None
    areas = either if compact is None else compact, either if bodies is None else bodies
    aspects = np.ones(len(TABLE_PERCENTS)) if aspect is None else aspect
    edges = np.full(len(TABLE_PERCENTS), 0.5) if edge is None else edge
    laws = TargetLaws(
        sigma_total_px=_bounded(np.sqrt(areas[0] / 6.6), _SIGMA_BOUNDS),  # area = 6.60 sigma^2 at .35 (physics section 5)
        aspect=_bounded(aspects, _ASPECT_BOUNDS),
        half_length_px=_bounded(0.8 * np.sqrt(areas[1]), _HALF_BOUNDS),
        mask_threshold=_bounded(edges - 0.15, _THRESHOLD_BOUNDS),  # the edge overstates it by .15 (physics section 5)
    )
    share = float(measured["compact_share"].value[0])
    for _ in range(NUM_ROUNDS):
        laws = _improve(laws, areas, aspects, edges, share, sigma_optics_px, seed)
    return laws


def _improve(
    laws: TargetLaws,
    areas: tuple[FloatArray, FloatArray],
    aspects: FloatArray,
    edges: FloatArray,
    share: float,
    sigma_optics_px: FloatArray,
    seed: int,
) -> TargetLaws:
    blobs, bodies = (_draw(laws, level, sigma_optics_px, seed) for level in ("blob", "extended"))
    weights = np.concatenate([np.full(len(blobs), share / len(blobs)), np.full(len(bodies), (1.0 - share) / len(bodies))])
    drawn_edges = _weighted_table(np.concatenate([blobs, bodies])[:, _EDGE], weights)
    tables = [np.percentile(drawn[:, _AREA], TABLE_PERCENTS) for drawn in (blobs, bodies)]
    wider, longer = ((area / table) ** (0.5 * DAMPING) for area, table in zip(areas, tables, strict=True))
    drawn_aspects = np.percentile(blobs[:, _ASPECT], TABLE_PERCENTS)
    return TargetLaws(
        sigma_total_px=_bounded(laws.sigma_total_px * wider, _SIGMA_BOUNDS),
        aspect=_bounded(laws.aspect + DAMPING * (aspects - drawn_aspects), _ASPECT_BOUNDS),
        half_length_px=_bounded(laws.half_length_px * longer, _HALF_BOUNDS),
        mask_threshold=_bounded(laws.mask_threshold + DAMPING * (edges - drawn_edges), _THRESHOLD_BOUNDS),
    )


def _draw(laws: TargetLaws, level: str, sigma_optics_px: FloatArray, seed: int) -> FloatArray:
    """Return the census' numbers of isolated targets of one kind, float64 (n, 8), always of the same draws."""
    levels = {name: float(name == level) for name in ("point", "blob", "extended", "group")}
    config = TargetsConfig.model_validate({"levels": levels} | as_lists(laws))
    rng = keyed_generator(seed, Stream.TARGETS, 0)
    rows = []
    for _ in range(NUM_DRAWN):
        model = draw_model(rng, config, log_spread(rng, list(sigma_optics_px)))
        target = render_shape(model, uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5))
        grey = np.rint(_PEDESTAL_DN + _PEAK_DN * np.pad(target.stamp, _MARGIN_PX))
        frame = Frame("drawn", grey.astype(np.uint8), 255, np.pad(target.mask, _MARGIN_PX).astype(np.uint8))
        rows.append(measure_frame_targets(frame, grey)[0])
    drawn = np.array(rows, dtype=np.float64)
    return drawn[np.isfinite(drawn[:, _EDGE])]


def as_lists(laws: TargetLaws) -> dict[str, list[float]]:
    """Return the laws as a section of a recipe, to four digits."""
    names = ("sigma_total_px", "aspect", "half_length_px", "mask_threshold")
    return {name: [float(f"{value:.4g}") for value in getattr(laws, name)] for name in names}


def _bounded(values: FloatArray, bounds: tuple[float, float]) -> FloatArray:
    """Return a table within bounds, put in order: neighbours may have overtaken each other."""
    return np.sort(np.clip(values, *bounds))


def _weighted_table(values: FloatArray, weights: FloatArray) -> FloatArray:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(np.array(TABLE_PERCENTS) / 100.0, below, values[order])


def _values(measured: Mapping[str, Measured], name: str) -> FloatArray | None:
    return measured[name].value if name in measured else None
