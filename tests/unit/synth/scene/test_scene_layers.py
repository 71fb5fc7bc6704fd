"""Opaque layers: coverage of edges and painting order."""

import numpy as np
import pytest

from synth.scene.layers import ELLIPSE, RECTANGLE, Leaf, paint_leaf, paint_ridge, paint_table


def blank(side: int = 64) -> np.ndarray:
    return np.zeros((side, side), np.float32)


def test_rectangle_covers_its_area_at_sub_pixel_size() -> None:
    scene = blank()
    paint_leaf(scene, Leaf(31.5, 31.5, 10.25, 6.5, 0.0, 1.0, 0.0), blank())
    assert scene.sum() == pytest.approx(20.5 * 13.0, rel=0.03)


def test_rotation_and_shape_keep_the_area() -> None:
    turned, ellipse = blank(), blank()
    paint_leaf(turned, Leaf(31.5, 31.5, 12.0, 8.0, 0.09, 1.0, 0.0), blank())
    paint_leaf(ellipse, Leaf(31.5, 31.5, 12.0, 8.0, -0.3, 1.0, 0.0, ELLIPSE), blank())
    assert turned.sum() == pytest.approx(24.0 * 16.0, rel=0.03)
    assert ellipse.sum() == pytest.approx(np.pi * 96.0, rel=0.04)


def test_a_table_is_painted_leaf_by_leaf() -> None:
    """Every attribute has a value of its own, so a column in the wrong place shows."""
    leaves = (
        Leaf(20.2, 30.7, 9.0, 5.5, 0.07, 2.0, 0.4, RECTANGLE, 0.8, 0.6),
        Leaf(40.1, 25.3, 6.5, 12.0, 0.83, -1.0, 0.3, ELLIPSE, -0.5, 1.2),
    )
    texture = np.random.default_rng(5).standard_normal((64, 64)).astype(np.float32)
    one_by_one, at_once = blank(), blank()
    for leaf in leaves:
        paint_leaf(one_by_one, leaf, texture)
    paint_table(at_once, np.array(leaves), texture)
    assert np.array_equal(one_by_one, at_once) and at_once.any()


def test_later_leaves_hide_earlier_ones() -> None:
    scene = blank()
    leaves = Leaf(32, 32, 10, 10, 0.0, 5.0, 0.0), Leaf(32, 32, 4, 4, 0.0, 1.0, 0.0)
    paint_table(scene, np.array(leaves, np.float64), blank())
    assert scene[32, 32] == 1.0
    assert scene[24, 32] == 5.0


def test_leaves_outside_change_nothing() -> None:
    scene = blank()
    paint_leaf(scene, Leaf(-50.0, 500.0, 5.0, 5.0, 0.1, 1.0, 0.0), blank())
    assert not scene.any()


def test_ridge_paints_below_its_outline_with_a_soft_edge() -> None:
    scene = blank()
    paint_ridge(scene, np.full(64, 20.25, np.float32), blank(), 2.0, 0.0, 0.0, 0.0, 1.0)
    assert not scene[:20].any()
    assert scene[20, 0] == pytest.approx(0.5)
    assert (scene[21:] == 2.0).all()
