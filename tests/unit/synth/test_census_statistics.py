"""Statistics of frames and targets against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from synth.census.definitions import BY_NAME, STATISTICS
from synth.census.frames import kurtosis, measure_frame, noise_sigma
from synth.census.spectrum import measure_spectrum
from synth.census.targets import TARGET_STATISTICS, measure_frame_targets
from synth.targets import measure_table
from tests.support.builders import frame_of, scene


def targets_of(frame):
    table = measure_frame_targets(frame, frame.levels.astype(np.float64) * (255.0 / frame.max_level))
    return [dict(zip(TARGET_STATISTICS, row, strict=True)) for row in table.tolist()]


def plus(peak=150, arm=100, background=50, at=(20, 30), shape=(48, 64)):
    """A frame with one target: a centre pixel with four arms."""
    levels, mask = np.full(shape, background), np.zeros(shape, int)
    row, col = at
    for r, c in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
        if 0 <= r < shape[0] and 0 <= c < shape[1]:
            levels[r, c], mask[r, c] = arm, 1
    levels[row, col], mask[row, col] = peak, 1
    return levels, mask


def test_every_statistic_is_measured_and_named_once():
    frame = scene("all", (64, 64), [(10, 12, 13, 15)])
    levels = frame.levels.astype(np.float64)
    names = {*measure_frame(levels, measure_spectrum(levels)), *TARGET_STATISTICS, "targets_per_frame"}
    assert names == {statistic.name for statistic in STATISTICS} == set(BY_NAME)
    assert len({statistic.title for statistic in STATISTICS}) == len(STATISTICS)
    assert {s.name: s.goal for s in STATISTICS if s.goal} == {"area_px": 0.1, "edge_level": 0.1, "psd_slope": 0.15}


def test_target_by_hand():
    """Boundary: the arms, half way between ring (50) and peak (150)."""
    (target,) = targets_of(frame_of(*plus()))
    assert target["area_px"] == 5 and target["area_percent"] == pytest.approx(100 * 5 / (48 * 64))
    assert target["aspect"] == 1.0
    assert target["peak_dn"] == 100.0 and target["edge_level"] == 0.5
    assert (target["row_position"], target["col_position"]) == (20.5 / 48, 30.5 / 64)


def test_sixteen_bit_levels_are_told_in_grey_levels_of_8_bits():
    levels, mask = plus()
    small, large = (targets_of(frame_of(levels * top // 255, mask, max_level=top))[0] for top in (255, 65535))
    for name in ("peak_dn", "edge_level", "aspect", "area_px"):
        assert large[name] == pytest.approx(small[name])


def test_scr_is_the_projects_own_in_absolute_value():
    frame = scene("scr", (64, 64), [(10, 12, 13, 15), (40, 50, 42, 53)])
    dark = frame_of(255 - frame.levels.astype(int), frame.mask)
    own = measure_table(frame.levels, frame.mask, 255)[:, 5]
    assert [t["scr"] for t in targets_of(frame)] == pytest.approx(own)
    assert [t["scr"] for t in targets_of(dark)] == pytest.approx(own)


def test_edge_level_of_a_target_below_its_ring_is_missing():
    (target,) = targets_of(frame_of(*plus(peak=20, arm=30)))
    assert target["peak_dn"] == -20.0 and np.isnan(target["edge_level"])


def test_ring_is_city_block_3_to_4_and_leaves_other_masks_out():
    levels, mask = plus(at=(20, 30))
    quiet = targets_of(frame_of(levels, mask))[0]
    distance = np.abs(np.indices(levels.shape) - np.array([20, 30])[:, None, None]).sum(axis=0)  # target pixels: 0 and 1
    inside = levels.copy()
    inside[(distance > 1) & (distance < 4)] = 200  # up to 2 px from the arms
    inside[distance > 5] = 0  # more than 4 px from them
    assert targets_of(frame_of(inside, mask))[0]["peak_dn"] == quiet["peak_dn"]
    ring = levels.copy()
    ring[(distance == 4) | (distance == 5)] = 60
    assert targets_of(frame_of(ring, mask))[0]["peak_dn"] == quiet["peak_dn"] - 10.0
    masked, neighbour = ring.copy(), mask.copy()
    taken = (distance == 4) | ((distance == 5) & (np.indices(levels.shape)[0] < 20))  # most of the ring is another target
    masked[taken], neighbour[taken] = 90, 1
    (first,) = (t for t in targets_of(frame_of(masked, neighbour)) if t["area_px"] == 5)
    assert first["peak_dn"] == 90.0  # the rest of the ring still reads 60


def test_target_in_a_corner_and_at_the_border():
    """The frame's border ends the target: border pixels belong to the boundary."""
    corner = targets_of(frame_of(*plus(at=(0, 0))))[0]
    assert corner["area_px"] == 3 and corner["peak_dn"] == 100.0
    assert corner["edge_level"] == 0.5  # boundary: two arms and the centre
    assert (corner["row_position"], corner["col_position"]) == pytest.approx(((1 / 3 + 0.5) / 48, (1 / 3 + 0.5) / 64))


def test_crowded_target_without_a_ring_has_no_peak():
    mask = np.ones((16, 16), int)
    mask[:2, :2] = [[1, 0], [0, 0]]  # a lone pixel in the corner and its three neighbours, all else target
    lone = targets_of(frame_of(np.full((16, 16), 90), mask))[0]
    assert lone["area_px"] == 1 and np.isnan(lone["peak_dn"]) and np.isnan(lone["edge_level"])


def test_no_targets_no_rows():
    assert measure_frame_targets(frame_of(np.full((20, 20), 5), np.zeros((20, 20))), np.full((20, 20), 5.0)).shape == (0, 8)


def test_aspect_is_that_of_the_longer_over_the_shorter_side():
    mask = np.zeros((40, 40), int)
    mask[5:7, 5:11], mask[20:29, 20:23] = 1, 1
    assert [t["aspect"] for t in targets_of(frame_of(50 + 100 * mask, mask))] == [3.0, 3.0]


def test_kurtosis_of_known_distributions():
    assert kurtosis(np.array([[-1.0, 1.0], [1.0, -1.0]])) == 1.0
    assert np.isnan(kurtosis(np.full((3, 3), 4.0)))
    gaussian = np.random.default_rng(0).standard_normal((512, 512))
    assert kurtosis(gaussian) == pytest.approx(3.0, abs=4 * np.sqrt(24 / gaussian.size))  # 4 standard errors


def test_noise_of_a_plane_is_none_and_of_gaussian_noise_its_sigma():
    """The MAD of n independent values has a relative standard error of 1.17/sqrt(n); second differences correlate: 2.8 % at
    64 x 64 and 0.33 % at 512 x 512 (measured). 5 of them; a wrong norm of the mask (6 against 4) would be 50 % off.
    """
    row, col = np.indices((64, 64), dtype=float)
    assert noise_sigma(3.0 * row - 2.0 * col + 7.0) == pytest.approx(0.0, abs=1e-12)
    noisy = np.random.default_rng(1).normal(3.0 * row, 5.0, (64, 64))
    assert noise_sigma(noisy) == pytest.approx(5.0, rel=5 * 0.028)
    whole = np.random.default_rng(2).normal(0.0, 5.0, (512, 512))
    assert noise_sigma(whole) == pytest.approx(5.0, rel=5 * 0.0033)


def test_noise_of_integer_levels_moves_in_steps():
    levels = np.random.default_rng(3).integers(90, 93, (64, 64)).astype(float)
    assert noise_sigma(levels) / (1.4826 / 6) == pytest.approx(round(noise_sigma(levels) / (1.4826 / 6)))


def test_flat_frame_has_level_and_no_shape():
    flat = np.full((64, 64), 77.0)
    values = measure_frame(flat, measure_spectrum(flat))
    assert (values["mean_dn"], values["std_dn"], values["noise_dn"]) == (77.0, 0.0, 0.0)
    assert np.isnan([values[name] for name in ("kurtosis", "gradient_kurtosis", "psd_slope", "anisotropy_db")]).all()
