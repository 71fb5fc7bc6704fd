"""What is read off a frame: noise, stripes, Gaussians, the clutter's exponent; each against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synth.calibrate.blobs import fit_blobs
from synth.calibrate.evidence import gather_evidence
from synth.calibrate.floor import noise_floor, stripe_sigma
from synth.calibrate.measures import clutter_slopes
from synth.census.sources import FrameSet, SourceFrame
from synth.rng import Stream, keyed_generator
from synth.scene.clutter import power_law_field
from synth.scene.psf import gaussian_stamp
from tests.support.builders import frame_of


def frame_set(frames, links=None):
    sources = [SourceFrame(f, (f"pixels:{f.id}",) if links is None else links[n], False) for n, f in enumerate(frames)]
    return FrameSet("hand-made", "frames of a test", None, len(frames), 0, tuple((lambda s=s: s) for s in sources))


def rounded(levels):
    return np.clip(np.rint(levels), 0, 255)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5, 6.0])
def test_noise_of_flat_and_sloping_frames(sigma):
    """Measured worst case 6 % at 0.5 DN, 2 % above; without the rounding taken out 0.5 would read 0.58."""
    rng = np.random.default_rng(3)
    slope = np.linspace(60.0, 160.0, 192)[None, :] + np.linspace(0.0, 30.0, 160)[:, None]
    for clean in (np.full((160, 192), 100.0), slope):
        assert noise_floor(rounded(clean + rng.normal(0.0, sigma, clean.shape))) == pytest.approx(sigma, rel=0.09)


def test_texture_and_clipping_do_not_count_as_noise():
    rng = np.random.default_rng(4)
    levels = 100.0 + rng.normal(0.0, 1.0, (256, 256))
    levels[:150] += 40.0 * gaussian_filter(rng.standard_normal((150, 256)), 1.0)  # more than half of it busy: reads 1.11
    assert noise_floor(rounded(levels)) == pytest.approx(1.0, rel=0.2)
    levels[150:, :100] = 255.0  # reads 1.15; counted, these blocks would give 0
    assert noise_floor(rounded(levels)) == pytest.approx(1.0, rel=0.25)


def test_a_frame_without_noise_or_blocks():
    assert noise_floor(np.full((64, 64), 80.0)) == 0.0
    assert noise_floor(rounded(np.linspace(20.0, 200.0, 128)[None, :] * np.ones((96, 1)))) < 0.3, "rounding alone"
    assert np.isnan(noise_floor(np.zeros((64, 64)))) and np.isnan(noise_floor(np.full((20, 20), 80.0)))


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_of_one_direction_are_told_from_noise(axis):
    """160-192 stripes: 6 % error, and cut outliers take 1 % more. The other direction has nothing in common."""
    rng = np.random.default_rng(5)
    shape = [1, 1]
    shape[axis] = (160, 192)[axis]
    levels = rounded(100.0 + rng.normal(0.0, 1.0, (160, 192)) + rng.normal(0.0, 0.8, shape))
    assert stripe_sigma(levels, axis) == pytest.approx(0.8, rel=0.2)
    assert stripe_sigma(levels, 1 - axis) < 0.05


def test_walls_are_no_stripes():
    levels = np.full((160, 192), 90.0) + np.random.default_rng(6).normal(0.0, 0.5, (160, 192))
    levels[:, 40:60] += 80.0  # an edge from top to bottom reads 0.02
    levels[60:, 100:130] += 50.0
    assert stripe_sigma(rounded(levels), 1) < 0.1


@pytest.mark.parametrize(("rows", "cols"), [(0.6, 0.6), (1.0, 1.0), (1.4, 1.0), (2.6, 2.0)])
def test_a_gaussian_target_is_found_again(rows, cols):
    """Total sigmas include the pixel; a sampled Gaussian misses an integrated one by 1 % at 0.6 px, rounding adds 1 %."""
    stamp = gaussian_stamp(31, 0.3, -0.2, rows, cols)
    levels = rounded(50.0 + 150.0 * np.pad(stamp / stamp.max(), 8) + np.linspace(0.0, 2.0, 47)[None, :])
    (blob,) = fit_blobs(levels, np.pad(stamp >= 0.35 * stamp.max(), 8).astype(np.uint8))
    total = [np.sqrt(s * s + 1 / 12) for s in (rows, cols)]
    assert blob.sigma_px == pytest.approx(np.sqrt(total[0] * total[1]), rel=0.03)
    assert blob.aspect == pytest.approx(total[0] / total[1], rel=0.05)
    assert 148.0 < blob.amplitude_dn < 180.0 and blob.is_compact and blob.residual < 0.03, "the peak lies between pixels"


def test_dark_targets_bodies_and_what_cannot_be_fitted():
    levels, mask = np.full((60, 60), 120.0), np.zeros((60, 60), np.uint8)
    dark = gaussian_stamp(15, 0.2, 0.1, 1.1, 1.1)
    levels[8:23, 8:23] -= 60.0 * dark / dark.max()
    mask[8:23, 8:23] = dark >= 0.35 * dark.max()
    levels[30:34, 20:44] = 220.0
    levels[22:42, 30:34] = 220.0  # a cross: no Gaussian
    mask[levels == 220.0] = 1
    mask[50, 50] = 1  # nothing there
    dark, body, nothing = fit_blobs(levels, mask)
    assert dark.amplitude_dn < 0.0 and dark.is_compact
    assert body.amplitude_dn > 0.0 and not body.is_compact
    assert np.isnan(nothing.sigma_px) and not nothing.is_compact
    assert fit_blobs(levels, np.ones((60, 60), np.uint8))[0].is_compact is False, "no background at all"


@pytest.mark.parametrize("beta", [2.0, 2.625, 3.25])
def test_the_exponent_of_clutter_is_found_behind_blur_and_noise(beta):
    """The median of 12 frames lies within 0.15 of what was drawn; blur alone would add 0.7 at beta 2.6 and hide it."""
    frames = []
    for number in range(12):
        rng = keyed_generator(1, Stream.SCENE, number)
        field = gaussian_filter(power_law_field(rng, hw=(288, 288), beta=beta, f0=1 / 256).astype(np.float64), 0.8)
        noise = np.random.default_rng(number).normal(0.0, 0.5, (256, 256))
        frames.append(frame_of(rounded(128.0 + 30.0 * field[16:-16, 16:-16] + noise).astype(np.uint8), name=f"f{number}"))
    slopes = clutter_slopes(gather_evidence(frame_set(frames)), float(np.sqrt(0.8**2 - 1 / 12)))
    assert np.median(slopes) == pytest.approx(beta, abs=0.15)
    assert np.median(clutter_slopes(gather_evidence(frame_set(frames)), 0.3)) > beta + 0.3, "with the blur left in"


def test_flat_and_small_frames_have_no_exponent():
    frames = [frame_of(np.full((64, 64), 9), name="flat"), frame_of(np.eye(20) * 200, name="small")]
    assert np.isnan(clutter_slopes(gather_evidence(frame_set(frames)), 0.5)).all()
