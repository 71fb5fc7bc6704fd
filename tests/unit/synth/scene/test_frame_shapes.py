"""Target models: flux, centre, pixel integral, masks (physics sections 3-5 and 14)."""

from functools import lru_cache

import numpy as np
import pytest

from synth.scene.psf import gaussian_stamp
from synth.scene.shapes import Gaussian, Member, TargetModel, draw_blob, draw_group, draw_point, render_shape
from synth.scene.silhouettes import draw_silhouette
from synth.scene.stamps import RECTANGLE, silhouette_stamp, turned_gaussian_stamp
from synth.scene.target_config import TargetsConfig
from synth.scene.truth import TargetLevel
from synth.scene.wishes import draw_model

SIGMAS = (0.35, 0.45, 0.53, 0.60, 0.80, 1.00, 1.36, 1.75, 2.40)
MEAN_ENERGY = (0.52, 0.41, 0.35, 0.30, 0.20, 0.14, 0.08, 0.05, 0.03)
MASK_PX = (2.0, 2.4, 2.9, 3.3, 5.2, 7.8, 13.2, 21.4, 39.2)
"""The table of physics section 3: energy in the brightest pixel, and mask pixels at 0.35 of the peak, mean over phase."""


def single(body: Gaussian, threshold: float = 0.35) -> TargetModel:
    return TargetModel(TargetLevel.BLOB, (Member(0.0, 0.0, 1.0, body),), threshold)


@lru_cache(maxsize=1)
def phases() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 2))


@pytest.mark.parametrize(("sigma", "energy", "mask_px"), list(zip(SIGMAS, MEAN_ENERGY, MASK_PX, strict=True)))
def test_phase_table(sigma: float, energy: float, mask_px: float) -> None:
    places = phases()[: 2000 if sigma < 1.2 else 400]
    peaks, areas = [], []
    for row, col in places:
        target = render_shape(single(Gaussian(sigma, sigma)), row, col)
        peaks.append(target.stamp.max() / target.stamp.sum())
        areas.append(target.mask.sum())
    # the table has two digits; the mean over phases adds 4 standard errors
    assert np.mean(peaks) == pytest.approx(energy, abs=0.005 + 4.0 * np.std(peaks) / np.sqrt(len(peaks)))
    assert np.mean(areas) == pytest.approx(mask_px, abs=0.05 + 4.0 * np.std(areas) / np.sqrt(len(areas)))


@pytest.mark.parametrize("sigma", [0.35, 0.6, 0.94, 0.96, 2.0])
def test_turned_gaussian_equals_the_error_function_form(sigma: float) -> None:
    side = 2 * int(6.0 * sigma + 2.0) + 1
    exact = gaussian_stamp(side, 0.3, -0.2, sigma, 1.3 * sigma)
    assert np.abs(turned_gaussian_stamp(side, 0.3, -0.2, sigma, 1.3 * sigma, 0.0) - exact).max() < 0.005 * exact.max()
    quarter = turned_gaussian_stamp(side, 0.3, -0.2, 1.3 * sigma, sigma, 0.25)
    assert np.abs(quarter - exact).max() < 0.005 * exact.max()


@pytest.mark.parametrize("turns", [0.0, 0.1, 0.37, 0.81])
def test_flux_and_centroid_follow_the_request(turns: float) -> None:
    for row, col in phases()[:40]:
        stamp = turned_gaussian_stamp(27, row, col, 0.9, 1.5, turns)
        places = np.arange(27) - 13
        assert stamp.sum() == pytest.approx(1.0, abs=1e-6)
        assert (stamp.sum(1) * places).sum() == pytest.approx(row, abs=0.01)
        assert (stamp.sum(0) * places).sum() == pytest.approx(col, abs=0.01)


def test_a_small_square_is_the_optics() -> None:
    # a square of one sub-pixel at a sub-pixel's middle: flux 1/16, otherwise the pixel-integrated Gaussian
    part = np.array([[0.0, 0.0, 0.125, 0.125, 0.0, 1.0, RECTANGLE, 0.0]])
    warm, cover = silhouette_stamp(17, part, 0.125, -0.125, 0.6)
    exact = gaussian_stamp(17, 0.125, -0.125, 0.6, 0.6) / 16.0
    assert np.abs(warm - exact).max() < 2e-4 * exact.max()  # cut at 4 sigma
    np.testing.assert_array_equal(warm, cover)


def test_a_silhouette_keeps_its_area_and_covers_at_most_everything() -> None:
    part = np.array([[0.0, 0.0, 9.0, 4.0, 0.13, 0.7, 0.0, 0.0]])
    warm, cover = silhouette_stamp(41, part, 0.2, 0.1, 1.2)
    assert cover.sum() == pytest.approx(np.pi * 36.0, rel=0.01)
    assert warm.sum() == pytest.approx(0.7 * cover.sum(), rel=1e-9)
    assert cover.max() <= 1.0 + 1e-9
    assert cover[20, 20] == pytest.approx(1.0, abs=3e-3)  # half its width is 3.3 sigma


def test_masks_obey_the_edge_rule() -> None:
    rng, config = np.random.default_rng(3), TargetsConfig(half_length_px=(2.2, 10.0))
    seen = set()
    for _ in range(300):
        model = draw_model(rng, config, 0.5)
        target = render_shape(model, *rng.uniform(-0.5, 0.5, 2))
        seen.add(model.level)
        assert 0.30 <= model.mask_threshold < 0.42
        assert target.stamp.max() == pytest.approx(1.0)
        for member in target.members:
            limit = model.mask_threshold * member.stamp.max()
            assert member.mask.flat[member.stamp.argmax()]
            assert (member.stamp[member.mask] >= limit).all()
            near = np.zeros_like(member.mask)
            rows, cols = np.nonzero(member.mask)
            for row, col in zip(rows, cols, strict=True):
                near[row - 1 : row + 2, col - 1 : col + 2] = True
            assert not (member.stamp[near & ~member.mask] >= limit).any()
        assert (target.mask == np.logical_or.reduce([member.mask for member in target.members])).all()
        assert target.lead.any()
        assert not (target.lead & ~target.mask).any()
        assert target.reach_px < target.stamp.shape[0] // 2  # nothing of the mask is cut off
    assert seen == set(TargetLevel)


def test_blobs_are_never_sharper_than_the_optics() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        blob = draw_blob(rng, 0.7, sigma_total_px=(0.45, 2.4), aspect=(1.0, 1.4))
        assert min(blob.sigma_row_px, blob.sigma_col_px) >= 0.7
        assert max(blob.sigma_row_px, blob.sigma_col_px) / min(blob.sigma_row_px, blob.sigma_col_px) <= 1.6


def test_total_sigma_carries_the_pixel() -> None:
    target = render_shape(single(draw_point(0.5)), 0.1, 0.2)
    assert target.members[0].sigma_row_px == pytest.approx(np.sqrt(0.25 + 1.0 / 12.0))


def test_moments_of_a_silhouette() -> None:
    body = draw_silhouette(np.random.default_rng(5), 0.5, (6.0, 6.0))
    target = render_shape(TargetModel(TargetLevel.EXTENDED, (Member(0.0, 0.0, 1.0, body),), 0.35), 0.25, -0.4)
    rows, cols = np.indices(target.stamp.shape) - target.stamp.shape[0] // 2
    member = target.members[0]
    assert member.row == pytest.approx((rows * target.stamp).sum() / target.stamp.sum())
    variance = ((cols - member.col) ** 2 * target.stamp).sum() / target.stamp.sum()
    assert member.sigma_col_px == pytest.approx(np.sqrt(variance))


def test_groups_keep_their_spacing_and_flux_ratios() -> None:
    rng = np.random.default_rng(6)
    sizes = set()
    for _ in range(200):
        members = draw_group(rng, draw_point(0.5))
        sizes.add(len(members))
        places = np.array([(member.row, member.col) for member in members])
        assert np.abs(places.mean(axis=0)).max() < 1e-9
        gaps = np.linalg.norm(places[:, None] - places[None, :], axis=-1) + 99.0 * np.eye(len(members))
        assert gaps.min() >= 1.5 - 1e-9
        assert gaps.min(axis=1).max() <= 6.0 + 1e-9  # every member has a neighbour
        assert members[0].flux == 1.0
        assert all(0.3 <= member.flux <= 1.0 for member in members)
    assert sizes == {2, 3, 4}
