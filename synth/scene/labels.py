"""The truth of the targets of one frame: geometry, flux, and the ratio expected, in raw counts and in the view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from synth.sample import BoolMask, FloatImage, MaskLevels
from synth.scene.camera import VirtualCamera
from synth.scene.psf import Stamp
from synth.scene.scr import window_statistics
from synth.scene.shapes import RenderedMember, RenderedTarget
from synth.scene.site import Standing
from synth.scene.stamp_masks import connected_to, stamp_totals
from synth.scene.truth import Regime, ScrMode, TargetLevel, TargetTruth
from synth.scene.window import window_box, window_parts, window_patch
from synth.targets import SCR_SIGMA_FLOOR_DN


class Labeller:
    """Measures the targets of a frame.

    Args:
        background_dn: float32 (H, W) noise-free frame without targets.
        raw: uint16 (H, W).
        view: uint8 (H, W).
        mask: uint8 (H, W) in {0, 1}, all targets.
        camera: The camera.
        mode: How amplitudes were found.
        regime: Background.
        is_sequence: Whether tracks are numbered.
    """

    def __init__(
        self,
        background_dn: FloatImage,
        raw: npt.NDArray[np.uint16],
        view: npt.NDArray[np.uint8],
        mask: MaskLevels,
        *,
        camera: VirtualCamera,
        mode: ScrMode,
        regime: Regime,
        is_sequence: bool,
    ) -> None:
        self._background, self._raw, self._view, self._mask = background_dn, raw, view, mask
        self._camera, self._mode, self._regime, self._is_sequence = camera, mode, regime, is_sequence

    def label(self, standing: Sequence[Standing]) -> tuple[TargetTruth, ...]:
        """Return the truth of every target and group member, in the raster order of the mask's components."""
        width = self._mask.shape[1]
        parts = [(_first_pixel(part, target, width), part, target) for target in standing for part in _parts(target.rendered)]
        parts.sort(key=lambda entry: entry[0])
        truths = []
        for component, (_, part, target) in enumerate(parts):
            for member in target.rendered.members:
                if part.flat[int(member.stamp.argmax())]:
                    truths.append(self._truth(target, member, component))
        return tuple(truths)

    def _truth(self, target: Standing, member: RenderedMember, component: int) -> TargetTruth:
        level, sigma, contrast, scr_raw, scr_view, flux, peak, energy, area_px = _measure(
            self._background, self._raw, self._view, self._mask, member.mask, member.stamp, target.rendered.stamp,
            target.row, target.col,
        )  # fmt: skip
        contrast *= target.amplitude_dn
        noise = self._camera.local_noise.sigma_dn(level)
        emitter = target.wish.emitter
        return TargetTruth(
            row_subpx=target.row + member.row,
            col_subpx=target.col + member.col,
            flux=target.amplitude_dn * flux,
            peak_dn=target.amplitude_dn * peak,
            sigma_row_px=member.sigma_row_px,
            sigma_col_px=member.sigma_col_px,
            theta_turns=member.turns,
            level=TargetLevel(target.wish.model.level),
            polarity=1 if target.amplitude_dn > 0.0 else -1,
            area_px=area_px,
            mask_threshold=target.wish.model.mask_threshold,
            component=component,
            scr_mode=self._mode,
            scr_requested=target.wish.scr,
            scr_expected=contrast / math.sqrt(sigma * sigma + noise * noise),
            scr_raw=scr_raw,
            scr_view=scr_view,
            snr_matched=abs(target.amplitude_dn) * math.sqrt(energy) / self._camera.sensor.sigma_tvh_dn,
            background=self._regime,
            is_on_seam=target.wish.seam_px > 0,
            track_id=target.track if self._is_sequence else -1,
            range_km=np.nan if emitter is None else emitter.range_km,
            intensity_w_sr=np.nan if emitter is None else emitter.intensity_w_sr,
        )


@numba.njit(cache=True, nogil=True)
def _measure(
    background: FloatImage,
    raw: npt.NDArray[np.uint16],
    view: npt.NDArray[np.uint8],
    masks: MaskLevels,
    mask: BoolMask,
    member: Stamp,
    stamp: Stamp,
    row: int,
    col: int,
) -> tuple[float, float, float, float, float, float, float, float, int]:
    """Measure a body of a target in every image at once.

    Args:
        background: float32 (H, W) noise-free frame without targets.
        raw: uint16 (H, W).
        view: uint8 (H, W).
        masks: uint8 (H, W), all targets.
        mask: bool (S, S), the body's mask.
        member: float64 (S, S), the body's part of the target.
        stamp: float64 (S, S), the whole target of unit peak.
        row: Frame row of the stamps' middle pixel.
        col: Frame column of it.

    Returns:
        Level under it and deviation around it of the background; contrast of the unit-peak target; ratio in raw counts and in
        the view, NaN where it cannot be measured; sum, maximum and sum of squares of the body; pixels of its mask.
    """
    box = window_box(mask, row, col, masks.shape[0], masks.shape[1])
    target, ring = window_parts(mask, row, col, masks, box)
    rows, cols = slice(box[0], box[2]), slice(box[1], box[3])
    level, _, _, sigma = window_statistics(background[rows, cols], target, ring)
    inside, _, outside, _ = window_statistics(window_patch(stamp, row, col, box), target, ring)
    counted, _, counted_ring, counted_sigma = window_statistics(raw[rows, cols], target, ring)
    shown, _, shown_ring, shown_sigma = window_statistics(view[rows, cols], target, ring)
    scr_raw = (counted - counted_ring) / counted_sigma if counted_sigma > 0.0 else np.nan
    scr_view = (shown - shown_ring) / max(shown_sigma, SCR_SIGMA_FLOOR_DN)
    flux, peak, energy, area_px = stamp_totals(member, mask)
    return level, sigma, inside - outside, scr_raw, scr_view, flux, peak, energy, area_px


def _parts(rendered: RenderedTarget) -> list[BoolMask]:
    """Return the 8-connected components of a target's mask; only groups have more than one."""
    if len(rendered.members) == 1:
        return [rendered.mask]
    rest, parts = rendered.mask.copy(), []
    while rest.any():
        part = connected_to(rest, int(rest.argmax()))
        parts.append(part)
        rest &= ~part
    return parts


def _first_pixel(part: BoolMask, target: Standing, width: int) -> int:
    """Return the raster index in the frame of a component's first pixel."""
    side = int(part.shape[0])
    row, col = divmod(int(part.argmax()), side)
    half = side // 2
    return (target.row - half + row) * width + target.col - half + col
