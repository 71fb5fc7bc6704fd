"""Hard negatives: what a detector may take for a target, drawn into the frame and never labelled (physics section 8).

====================  ==========  =======================  =========================================
kind                  plane       along a sequence         what separates it from a target
====================  ==========  =======================  =========================================
cloud corner          scene       moves with the scene     continues outside the window
streak                scene       moves with the scene     aspect
large blob            scene       moves with the scene     scale
glint                 scene       new in every frame       clusters, elongated along the waves
hot pixel             detector    stays on its pixel       no spread
stripe stub           detector    new in every frame       axis aligned
seam, rotated patch   frame       single frames only       the target alone is missing
removed twin          frame       single frames only       shape
====================  ==========  =======================  =========================================

Birds, lamps and stars are shaped like the optics and cannot be told from a target without meaning: they are never drawn.
Strengths are peaks in units of the local background sigma, log-uniform over the range of the targets.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from synth.sample import FloatImage
from synth.scene import portable
from synth.scene.backdrops import Backdrop
from synth.scene.draws import chance, log_uniform, sign, uniform
from synth.scene.paint import WINDOW_PX, Plane, add_bar, add_box, add_corner, local_mean_sigma
from synth.scene.sheets import FieldSource
from synth.scene.target_config import ImpostorRates
from synth.scene.truth import ImpostorKind, ImpostorTruth

_BRIGHT_SHARE = 0.85  # our choice: most are bright, as targets are
_GLINT_STRENGTH = (1.5, 12.0)  # deviations of the waves, tail as 1/x: heavy-tailed facets (physics section 7)
_MOST_SIGMAS = {ImpostorKind.LARGE_BLOB: 8.0, ImpostorKind.STREAK: 12.0, ImpostorKind.CLOUD_CORNER: 5.0}
"""Strongest of their kinds (our choice, by eye: stronger ones look painted on)."""
_HALF_MAXIMUM = 1.1774  # sigmas from the middle of a Gaussian to half its peak
_EDGE_PX = 3  # middles of impostors keep off the border
_PAIR_SHARE = 0.25  # of hot pixels: two neighbours (our choice; physics section 2 knows clusters of 2-4)


class Easel(NamedTuple):
    """A plane to draw impostors on, and how strong they shall be.

    Attributes:
        plane: float32 (H, W), changed by painting.
        margin_px: Rows and columns of the plane before the frame's first.
        frame_hw: Rows and columns of the frame.
        noise: Sensor noise of a pixel in the plane's unit.
        scr: Bounds of the strength in background sigmas.
        rng: Source of all draws.
    """

    plane: Plane
    margin_px: int
    frame_hw: tuple[int, int]
    noise: float
    scr: tuple[float, float]
    rng: np.random.Generator

    def place(self) -> tuple[float, float]:
        """Draw a place in the frame."""
        row, col = (uniform(self.rng, _EDGE_PX, side - 1 - _EDGE_PX) for side in self.frame_hw)
        return row, col

    def strength(self, row: float, col: float, most: float) -> float:
        """Draw a signed peak for a place of the frame, in the plane's unit, of at most so many sigmas."""
        at = (int(row) + self.margin_px, int(col) + self.margin_px)
        clutter = local_mean_sigma(self.plane, *at, WINDOW_PX)[1]
        sigma = math.sqrt(clutter * clutter + self.noise * self.noise)
        return sign(self.rng, _BRIGHT_SHARE) * log_uniform(self.rng, min(self.scr[0], most), min(self.scr[1], most)) * sigma


Painter = Callable[[Easel, FieldSource], ImpostorTruth]


def poisson(rng: np.random.Generator, mean: float) -> int:
    """Return a Poisson count by inversion: one draw, in portable arithmetic; 0 <= mean <= 50."""
    return bisect_right(_poisson_steps(mean), float(rng.random()))


@lru_cache(maxsize=64)
def _poisson_steps(mean: float) -> tuple[float, ...]:
    """Return the distribution function at 0, 1, ... up to where it no longer rises."""
    term = total = float(portable.exp(-mean))
    steps = [total]
    while total + term * mean / len(steps) > total or len(steps) < mean:
        term *= mean / len(steps)
        total += term
        steps.append(total)
    return tuple(steps)


def paint_scene_impostors(easel: Easel, rates: ImpostorRates, fields: FieldSource) -> tuple[ImpostorTruth, ...]:
    """Draw everything that belongs to the scene and moves with it.

    Args:
        easel: The canvas in kelvin.
        rates: Mean numbers.
        fields: Where textures come from.

    Returns:
        What was drawn, in frame coordinates at rest.
    """
    painters: tuple[tuple[float, Painter], ...] = (
        (rates.large_blob, _large_blob), (rates.cloud_corner, _cloud_corner), (rates.streak, _streak),
    )  # fmt: skip
    counts = [poisson(easel.rng, rate) for rate, _ in painters]
    return tuple(paint(easel, fields) for count, (_, paint) in zip(counts, painters, strict=True) for _ in range(count))


def paint_glints(easel: Easel, rates: ImpostorRates, backdrop: Backdrop) -> tuple[ImpostorTruth, ...]:
    """Draw the glints of one frame: facets of 1-3 px below the horizon, clustered along one path of the sun.

    Args:
        easel: The canvas in kelvin.
        rates: Mean numbers.
        backdrop: What the canvas shows; without water there are none.

    Returns:
        What was drawn.
    """
    if backdrop.water_row is None:
        return ()
    rng, (rows, cols) = easel.rng, easel.frame_hw
    count = poisson(rng, rates.glint)
    first = backdrop.water_row - easel.margin_px
    middle, width = uniform(rng, 0.1, 0.9) * cols, uniform(rng, 0.08, 0.3) * cols
    glints = []
    for _ in range(count):
        depth = float(rng.random())
        row = int(first + (easel.plane.shape[0] - easel.margin_px - first) * depth * depth)
        col = int(middle + width * (float(rng.random()) + float(rng.random()) - 1.0))
        length = 1 + int(rng.integers(3))
        low, high = _GLINT_STRENGTH
        peak = backdrop.texture_kelvin * 1.0 / uniform(rng, 1.0 / high, 1.0 / low)
        if 0 <= row < rows and 0 <= col <= cols - length:
            add_box(easel.plane, row + easel.margin_px, col + easel.margin_px, 1, length, peak)
            middle_col = col + 0.5 * (length - 1)
            glints.append(ImpostorTruth(ImpostorKind.GLINT, float(row), middle_col, 2.0, float(length + 1)))
    return tuple(glints)


@dataclass(frozen=True, slots=True)
class DetectorImpostor:
    """A whole-pixel defect of the detector or its readout.

    Attributes:
        kind: HOT_PIXEL or STRIPE_STUB.
        row: First row in the frame.
        col: First column.
        rows: Rows it covers.
        cols: Columns it covers.
        sigmas: Signed level in sigmas of the sensor's noise and the clutter around it.
    """

    kind: ImpostorKind
    row: int
    col: int
    rows: int
    cols: int
    sigmas: float

    @property
    def truth(self) -> ImpostorTruth:
        """The record of it."""
        row, col = self.row + 0.5 * (self.rows - 1), self.col + 0.5 * (self.cols - 1)
        return ImpostorTruth(self.kind, row, col, float(self.rows), float(self.cols))

    def level_dn(self, frame_dn: FloatImage, noise_dn: float) -> float:
        """Return its level for a noise-free frame in raw DN."""
        row, col = self.row + self.rows // 2, self.col + self.cols // 2
        clutter = local_mean_sigma(frame_dn, row, col, WINDOW_PX)[1]
        return self.sigmas * math.sqrt(clutter * clutter + noise_dn * noise_dn)

    def add_to(self, frame_dn: FloatImage, level_dn: float) -> None:
        """Add it to a noise-free frame; after the optics, so it has no spread."""
        add_box(frame_dn, self.row, self.col, self.rows, self.cols, level_dn)


def draw_hot_pixels(
    rng: np.random.Generator, rates: ImpostorRates, scr: tuple[float, float], frame_hw: tuple[int, int]
) -> tuple[DetectorImpostor, ...]:
    """Draw single pixels, or pairs, of another level.

    Args:
        rng: Impostor stream of the scene.
        rates: Mean numbers.
        scr: Bounds of the strength.
        frame_hw: Rows and columns of the frame.
    """
    found = []
    for _ in range(poisson(rng, rates.hot_pixel)):
        row, col = (int(rng.integers(_EDGE_PX, side - _EDGE_PX)) for side in frame_hw)
        rows, cols = ((2, 1) if chance(rng, 0.5) else (1, 2)) if chance(rng, _PAIR_SHARE) else (1, 1)
        level = sign(rng, _BRIGHT_SHARE) * log_uniform(rng, *scr)
        found.append(DetectorImpostor(ImpostorKind.HOT_PIXEL, row, col, rows, cols, level))
    return tuple(found)


def draw_stripe_stubs(
    rng: np.random.Generator, rates: ImpostorRates, scr: tuple[float, float], frame_hw: tuple[int, int]
) -> tuple[DetectorImpostor, ...]:
    """Draw pieces of a row or column, 8-48 px long (our choice), of another level; they are weaker than targets.

    Args:
        rng: Impostor stream of the frame.
        rates: Mean numbers.
        scr: Bounds of the strength; a stub has at most 6 sigmas (our choice: more is repaired by any camera).
        frame_hw: Rows and columns of the frame.
    """
    found = []
    for _ in range(poisson(rng, rates.stripe_stub)):
        along = int(log_uniform(rng, 8.0, 48.0))
        rows, cols = (along, 1) if chance(rng, 0.5) else (1, along)
        row, col = (int(rng.integers(side)) for side in frame_hw)
        rows, cols = min(rows, frame_hw[0] - row), min(cols, frame_hw[1] - col)
        level = sign(rng) * min(log_uniform(rng, *scr), 6.0)
        found.append(DetectorImpostor(ImpostorKind.STRIPE_STUB, row, col, rows, cols, level))
    return tuple(found)


def _large_blob(easel: Easel, fields: FieldSource) -> ImpostorTruth:
    row, col = easel.place()
    sigma = uniform(easel.rng, 5.0, 12.0)
    half_length, turns = sigma * uniform(easel.rng, 0.0, 0.8), float(easel.rng.random())
    peak = easel.strength(row, col, _MOST_SIGMAS[ImpostorKind.LARGE_BLOB])
    _bar(easel, row, col, half_length, sigma, turns, peak)
    return _bar_truth(ImpostorKind.LARGE_BLOB, row, col, half_length, sigma, turns)


def _streak(easel: Easel, fields: FieldSource) -> ImpostorTruth:
    row, col = easel.place()
    sigma, half_length, turns = uniform(easel.rng, 0.6, 1.5), uniform(easel.rng, 5.0, 20.0), float(easel.rng.random())
    _bar(easel, row, col, half_length, sigma, turns, easel.strength(row, col, _MOST_SIGMAS[ImpostorKind.STREAK]))
    return _bar_truth(ImpostorKind.STREAK, row, col, half_length, sigma, turns)


def _cloud_corner(easel: Easel, fields: FieldSource) -> ImpostorTruth:
    """A tip, or a piece of an edge, ragged like a cloud or clean like a roof."""
    rng = easel.rng
    row, col = easel.place()
    turns, half_opening = float(rng.random()), uniform(rng, 0.04, 0.25)
    reach = log_uniform(rng, 8.0, 28.0)
    softness, ragged = (uniform(rng, 1.0, 6.0), uniform(rng, 0.5, 2.5)) if chance(rng, 0.7) else (1.0, 0.0)
    side = 2 * (int(reach + softness) + 2) + 1
    texture = fields.field(rng, hw=(side, side), beta=2.8, f0=1.0 / 30.0)
    margin = easel.margin_px
    peak = easel.strength(row, col, _MOST_SIGMAS[ImpostorKind.CLOUD_CORNER])
    add_corner(easel.plane, texture, row + margin, col + margin, turns, half_opening, reach, softness, ragged, peak)
    return ImpostorTruth(ImpostorKind.CLOUD_CORNER, row, col, 0.6 * reach, 0.6 * reach)


def _bar(easel: Easel, row: float, col: float, half_length: float, sigma: float, turns: float, peak: float) -> None:
    add_bar(easel.plane, row + easel.margin_px, col + easel.margin_px, half_length, sigma, turns, peak)


def _bar_truth(kind: ImpostorKind, row: float, col: float, half_length: float, sigma: float, turns: float) -> ImpostorTruth:
    cosine, sine = (abs(float(value)) for value in portable.cos_sin(turns))
    around = 2.0 * _HALF_MAXIMUM * sigma
    return ImpostorTruth(kind, row, col, around + 2.0 * half_length * sine, around + 2.0 * half_length * cosine)
