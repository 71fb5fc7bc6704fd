"""Targets: mask rule, position, count and contrast."""

import numpy as np
import pytest
from scipy import ndimage

from synth.scene.targets import (
    BORDER_PX,
    MASK_THRESHOLD,
    SPACING_PX,
    WINDOW_PX,
    Contrast,
    draw_count,
    draw_shape,
    place,
    solve_amplitude,
)

EIGHT = np.ones((3, 3))
CONTRAST = Contrast(scr_range=(2.0, 20.0), noise_dn=4.0, floor_dn=20.0, ceiling_dn=1e6)


def test_mask_is_one_component_at_the_threshold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = draw_shape(rng, 0.6)
        assert shape.stamp.max() == 1.0
        assert shape.mask.any()
        assert shape.stamp[shape.mask].min() >= MASK_THRESHOLD
        assert ndimage.label(shape.mask, EIGHT)[1] == 1
        assert not shape.mask[[0, -1]].any()
        assert not shape.mask[:, [0, -1]].any()


def test_areas_resemble_published_ones() -> None:
    rng = np.random.default_rng(1)
    areas = [int(draw_shape(rng, float(rng.uniform(0.45, 1.2))).mask.sum()) for _ in range(1500)]
    measured = np.percentile(areas, [5, 25, 50, 75, 95])
    real = np.array([7.0, 13.0, 20.0, 40.0, 117.0])  # SIRST v1 trainval
    assert (np.abs(np.log(measured / real)) < 0.5).all()


def test_positions_keep_border_and_spacing() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        shapes = [draw_shape(rng, 0.6) for _ in range(4)]
        _, mask = place(rng, np.full((80, 96), 6000.0, np.float32), shapes, CONTRAST)
        inner = mask[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        assert inner.sum() == mask.sum() > 0
        labels, num = ndimage.label(mask, EIGHT)
        assert num == 4
        for label in range(1, num + 1):
            others = mask.astype(bool) & (labels != label)
            reach = ndimage.binary_dilation(labels == label, EIGHT, iterations=SPACING_PX)
            assert not (reach & others).any()


def test_count_follows_its_shares() -> None:
    rng = np.random.default_rng(3)
    counts = np.bincount([draw_count(rng, 0.1, 0.115, 0.045) for _ in range(6000)], minlength=6) / 6000
    assert counts[:3] == pytest.approx([0.1, 0.74, 0.115], abs=0.025)
    assert counts[3:].sum() == pytest.approx(0.045, abs=0.015)
    assert (counts[3:] > 0).all()


def test_amplitude_gives_the_requested_ratio() -> None:
    rng = np.random.default_rng(4)
    background = (6000.0 + 300.0 * ndimage.gaussian_filter(rng.standard_normal((128, 128)), 3.0)).astype(np.float32)
    contrast = Contrast(scr_range=(8.0, 8.0), noise_dn=4.0, floor_dn=0.0, ceiling_dn=1e6)
    for _ in range(20):
        shape = draw_shape(rng, 0.6)
        frame, mask = place(rng, background, [shape], contrast)
        window = np.zeros(mask.shape, bool)
        rows, cols = np.nonzero(mask)
        window[
            max(rows.min() - WINDOW_PX, 0) : rows.max() + WINDOW_PX + 1,
            max(cols.min() - WINDOW_PX, 0) : cols.max() + WINDOW_PX + 1,
        ] = True
        ring = window & ~ndimage.binary_dilation(mask, EIGHT, iterations=3)
        sigma = np.hypot(background[ring].astype(float).std(), 4.0)
        ratio = (frame[mask > 0].mean(dtype=float) - frame[ring].mean(dtype=float)) / sigma
        assert ratio == pytest.approx(8.0, rel=0.02)


def test_ceiling_cuts_the_amplitude() -> None:
    background = np.full((64, 64), 6000.0, np.float32)
    shape = draw_shape(np.random.default_rng(5), 0.6)
    tight = Contrast(scr_range=(20.0, 20.0), noise_dn=4.0, floor_dn=50.0, ceiling_dn=6030.0)
    assert solve_amplitude(background, shape, row=32, col=32, scr=20.0, contrast=tight) == (30.0, False)
