"""The site of targets: a noise-free frame, what is taken of it, and what a ratio needs at a place.

Resolved targets hide what is behind them, unresolved ones add to it (physics section 4). Hiding acts on the blurred
background with the blurred coverage: exact where the background varies slowly over the point-spread function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synth.sample import FloatImage, MaskLevels
from synth.scene.camera import VirtualCamera
from synth.scene.detector import FrameNoise, digitise
from synth.scene.display import View
from synth.scene.draws import log_spread
from synth.scene.paint import add_stamp, cover_stamp, set_pixels, turn_patch
from synth.scene.scr import Place, amplitude_at, amplitude_realised, has_headroom, measure_scr
from synth.scene.shapes import RenderedTarget, render_shape
from synth.scene.target_config import ScrConfig
from synth.scene.truth import ImpostorKind, ImpostorTruth
from synth.scene.window import Window
from synth.scene.wishes import Wish, draw_scr

REALISED_TOLERANCE = 0.01
"""Relative error of a realised ratio beyond which a place is refused (physics section 6 asks it of 95 % of the targets)."""


class Standing(NamedTuple):
    """A target at a place of one frame.

    Attributes:
        wish: What was asked for.
        rendered: Its pixels.
        row: Row of its stamp's middle pixel.
        col: Column of it.
        amplitude_dn: Its peak, raw DN, negative for a dark target.
        track: Number among the targets of its scene.
    """

    wish: Wish
    rendered: RenderedTarget
    row: int
    col: int
    amplitude_dn: float
    track: int

    def centre(self) -> tuple[float, float]:
        """Return its sub-pixel centre in the frame."""
        return self.row + self.wish.row_subpx, self.col + self.wish.col_subpx

    def moved(self, rows: float, cols: float) -> Standing:
        """Return it displaced by some px: its pixels integrated anew, its flux the same."""
        if rows == cols == 0.0:
            return self
        places = [at + by for at, by in zip(self.centre(), (rows, cols), strict=True)]
        row, col = (int(np.floor(place + 0.5)) for place in places)
        wish = self.wish._replace(row_subpx=places[0] - row, col_subpx=places[1] - col)
        rendered = render_shape(wish.model, wish.row_subpx, wish.col_subpx)
        amplitude_dn = self.amplitude_dn * float(self.rendered.stamp.sum() / rendered.stamp.sum())
        return Standing(wish, rendered, row, col, amplitude_dn, self.track)

    def is_inside(self, hw: tuple[int, int], border_px: int) -> bool:
        """Tell whether its mask keeps off the border."""
        margin = self.rendered.reach_px + border_px
        return margin <= self.row < hw[0] - margin and margin <= self.col < hw[1] - margin

    def mark(self, mask: MaskLevels) -> None:
        """Set its pixels in a mask of the frame."""
        set_pixels(mask, self.rendered.mask, self.row, self.col)


class Site:
    """The background that targets are placed on, and what is taken of it.

    Args:
        background_dn: float32 (H, W) noise-free frame without targets, raw DN; pasted seams change it.
        camera: The camera.
        scr: How amplitudes are found.
        noise: Draws of the frame, for mode ``realised``.
        view: The gain control's map for this background, where the view bounds amplitudes.
    """

    def __init__(
        self,
        background_dn: FloatImage,
        camera: VirtualCamera,
        scr: ScrConfig,
        noise: FrameNoise | None = None,
        view: View | None = None,
    ) -> None:
        self.background_dn, self.camera, self.scr, self.noise, self.view = background_dn, camera, scr, noise, view
        self.mask: MaskLevels = np.zeros(background_dn.shape, np.uint8)
        self.taken = np.zeros(background_dn.shape, np.bool_)

    def window(self, rendered: RenderedTarget, row: int, col: int) -> Window:
        """Return the window a target is measured in."""
        return Window.around(rendered.lead, row=row, col=col, frame_hw=self.camera.frame_hw, masks=self.mask)

    def is_free(self, rendered: RenderedTarget, row: int, col: int, spacing_px: int) -> bool:
        """Tell whether nothing lies within the target's square grown by the spacing."""
        reach = rendered.reach_px + spacing_px
        near = self.taken[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1]
        return not np.count_nonzero(near)  # a quarter of the time of ``any``

    def amplitude_of(self, wish: Wish, rendered: RenderedTarget, row: int, col: int) -> float | None:
        """Return the amplitude of a target, by its ratio or by what it emits; arguments and result as in :meth:`amplitude`."""
        if wish.emitter is None:
            is_allowed = wish.view_peak_dn is None or self.scr.low <= abs(wish.scr) <= self.scr.high
            return self.amplitude(rendered, row, col, wish.scr) if is_allowed else None
        sensor = self.camera.sensor
        flux_dn = sensor.gain_dn_per_k * float(self.camera.vignetting[row, col]) * wish.emitter.flux_kelvin
        amplitude = flux_dn / float(rendered.stamp.sum())
        has_room = has_headroom(float(self.background_dn[row, col]) + amplitude, sensor.rail_dn)
        return amplitude if has_room else None

    def amplitude(
        self, rendered: RenderedTarget, row: int, col: int, scr: float, others: Sequence[Standing] = ()
    ) -> float | None:
        """Find the amplitude for a ratio at a place, raw DN; None where the place is refused.

        Args:
            rendered: The target.
            row: Row of its middle pixel.
            col: Column of it.
            scr: Ratio asked for.
            others: Targets that shine into its window (mode ``realised``).
        """
        place, sensor = self._survey(rendered, row, col), self.camera.sensor
        noise = self.camera.local_noise.sigma_dn(place.level_dn)
        solution = amplitude_at(place, scr=scr, sigma_noise_dn=noise, rail_dn=sensor.rail_dn)
        if solution.refusal is not None or not self._is_shown(place.around_dn, solution.amplitude_dn):
            return None  # in mode `realised` as well: its amplitude spreads around this one, and is costlier to find
        if self.scr.mode == "expected":
            return solution.amplitude_dn
        return self._realised_amplitude(rendered, row, col, scr, others, place.around_dn)

    def _realised_amplitude(
        self, rendered: RenderedTarget, row: int, col: int, scr: float, others: Sequence[Standing], around_dn: float
    ) -> float | None:
        """Solve in raw counts; arguments and result as in :meth:`amplitude`, and the level around the target."""
        assert self.noise is not None
        window = self.window(rendered, row, col)
        patch, clean = window.patch(rendered.stamp, row=row, col=col), self._clean(window, others)
        if rendered.cover is not None:
            cover_stamp(clean, rendered.cover, row - window.box[0], col - window.box[1], around_dn)
        counts = _counter(clean, patch, self.camera, self.noise, window)
        solution = amplitude_realised(counts, patch, window, scr=scr, rail_dn=self.camera.sensor.rail_dn)
        # few counts on few pixels cannot carry every ratio; another place has other fractions of a count
        is_met = bool(others) or abs(solution.scr / scr - 1.0) <= REALISED_TOLERANCE
        is_good = solution.refusal is None and is_met and self._is_shown(around_dn, solution.amplitude_dn)
        return solution.amplitude_dn if is_good else None

    def ratio_of_peak(self, peak_dn: float, rendered: RenderedTarget, row: int, col: int) -> float:
        """Return the expected ratio at which the view shows a target by some grey levels over its ring.

        Where the view ends, black or white is the peak: published targets saturate. Where less than the least peak is left,
        there is no ratio: NaN.

        Args:
            peak_dn: Grey levels, negative for a dark target.
            rendered: The target.
            row: Row of its middle pixel.
            col: Column of it.
        """
        assert self.view is not None and self.scr.view_peak_dn is not None
        table, place = self.view.table, self._survey(rendered, row, col)
        level = int(table[min(max(int(place.around_dn), 0), table.size - 1)])
        goal = min(max(level + int(np.rint(peak_dn)), 0), 255)
        if abs(goal - level) < self.scr.view_peak_dn[0]:
            return math.nan
        amplitude = float(np.searchsorted(table, goal)) - place.around_dn
        noise = self.camera.local_noise.sigma_dn(place.level_dn)
        return amplitude * place.contrast / math.sqrt(place.sigma_dn * place.sigma_dn + noise * noise)

    def neighbours(self, target: Standing, placed: Sequence[Standing]) -> list[Standing]:
        """Return the other targets that shine into a target's window."""
        row0, col0, row1, col1 = self.window(target.rendered, target.row, target.col).box
        near = []
        for other in placed:
            half = other.rendered.stamp.shape[0] // 2
            rows, cols = row0 - half <= other.row < row1 + half, col0 - half <= other.col < col1 + half
            if other is not target and rows and cols:
                near.append(other)
        return near

    def redraw(self, rng: np.random.Generator, wish: Wish) -> Wish:
        """Return a wish for another place: with another ratio or peak where the view decides which place carries which."""
        if self.scr.view_peak_dn is None:
            return wish
        if wish.view_peak_dn is not None:
            return wish._replace(view_peak_dn=log_spread(rng, self.scr.view_peak_dn) * (1.0 if wish.view_peak_dn > 0.0 else -1.0))
        return wish._replace(scr=draw_scr(rng, self.scr) * (1.0 if wish.scr > 0.0 else -1.0))

    def _is_shown(self, around_dn: float, amplitude_dn: float) -> bool:
        """Tell whether the view shows a target as strongly as it should, and not clipped."""
        if self.scr.view_peak_dn is None or self.scr.law == "view_peak" or self.view is None:
            return True
        table = self.view.table
        around, peak = (int(table[min(max(int(at), 0), table.size - 1)]) for at in (around_dn, around_dn + amplitude_dn))
        low, high = self.scr.view_peak_dn[0], self.scr.view_peak_dn[-1]
        return low <= abs(peak - around) <= high and 0 < peak < 255

    def take(self, target: Standing) -> None:
        """Mark a target's mask, and the square of a patch under it."""
        seam = target.wish.seam_px
        target.mark(self.mask)
        target.mark(self.taken.view(np.uint8))
        if seam:
            self.take_box(target.row - seam, target.col - seam, target.row + seam + 1, target.col + seam + 1)

    def take_box(self, row0: float, col0: float, row1: float, col1: float) -> None:
        """Mark a half-open box as taken."""
        self.taken[max(int(row0), 0) : max(int(row1), 0), max(int(col0), 0) : max(int(col1), 0)] = True

    def avoid(self, impostor: ImpostorTruth) -> None:
        """Mark the box of an impostor; targets may stand on wide ones."""
        if impostor.kind not in (ImpostorKind.LARGE_BLOB, ImpostorKind.CLOUD_CORNER):
            rows, cols = 0.5 * impostor.height, 0.5 * impostor.width
            self.take_box(impostor.row - rows, impostor.col - cols, impostor.row + rows + 1.0, impostor.col + cols + 1.0)

    def _survey(self, rendered: RenderedTarget, row: int, col: int) -> Place:
        return Place.of(self.background_dn, rendered.lead, rendered.stamp, row, col, self.mask)

    def _clean(self, window: Window, others: Sequence[Standing]) -> FloatImage:
        clean = window.crop(self.background_dn).copy()
        for other in others:
            insert(clean, other, hidden_level(self.background_dn, other, (*others,)), window.box[:2])
        return clean


def hidden_level(background_dn: FloatImage, target: Standing, targets: Sequence[Standing]) -> float:
    """Return the level an opaque target hides its surroundings behind: the mean of its ring; 0 for one that hides nothing.

    Args:
        background_dn: float32 (H, W) frame without targets.
        target: The target.
        targets: All targets of the frame; their masks are no background.
    """
    if target.rendered.cover is None:
        return 0.0
    hw: tuple[int, int] = (background_dn.shape[0], background_dn.shape[1])
    masks = np.zeros(hw, np.uint8)
    for other in targets:
        other.mark(masks)
    window = Window.around(target.rendered.lead, row=target.row, col=target.col, frame_hw=hw, masks=masks)
    bare = measure_scr(background_dn, window)
    return bare.level_dn - bare.contrast_dn


def insert(plane: FloatImage, target: Standing, hidden_dn: float, origin_rc: tuple[int, int] = (0, 0)) -> None:
    """Put a target into a noise-free frame, or a part of it.

    Args:
        plane: float32, changed.
        target: The target.
        hidden_dn: Level it hides its surroundings behind, where it is opaque.
        origin_rc: Frame position of the plane's first pixel.
    """
    row, col = target.row - origin_rc[0], target.col - origin_rc[1]
    if target.rendered.cover is not None:
        cover_stamp(plane, target.rendered.cover, row, col, hidden_dn)
    add_stamp(plane, target.rendered.stamp, row, col, target.amplitude_dn)


def paste_seam(plane: FloatImage, rng: np.random.Generator, row: int, col: int, half: int, *, reach_px: int = 16) -> None:
    """Cover a place by a turned square from nearby: the one paste code of targets on seams and of seams alone.

    Args:
        plane: float32 (H, W), changed.
        rng: Source of the square's place and turn.
        row: Row of the middle of the place.
        col: Column of it.
        half: The side is 2 * half + 1.
        reach_px: How far away the square is taken from; 0 turns the place itself, by at least a quarter.
    """
    from_row, from_col = row, col
    quarter = 1 + int(rng.integers(3))
    if reach_px:
        from_row, from_col = (
            min(max(at + int(rng.integers(-reach_px, reach_px + 1)), half), side - 1 - half)
            for at, side in zip((row, col), plane.shape, strict=True)
        )
    turn_patch(plane, row, col, from_row, from_col, half, quarter)


def _counter(
    clean: FloatImage, patch: npt.NDArray[np.float64], camera: VirtualCamera, noise: FrameNoise, window: Window
) -> Callable[[float], npt.NDArray[np.uint16]]:
    """Return what the sensor counts on a window for an amplitude, always under the noise of the frame."""

    def counts(amplitude: float) -> npt.NDArray[np.uint16]:
        return digitise((clean + amplitude * patch).astype(np.float32), camera, noise, window.box).raw

    return counts
