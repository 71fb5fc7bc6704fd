"""3-D noise: what was put in comes out, leakage corrected."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene.detector import NOISE_MEMBERS, VirtualCamera, expose
from synth.scene.noise3d import TERMS, decompose
from synth.scene.presets import sensor_named

HW = (192, 256)
WHITE = {"column_walk": 0.0}  # correlated along the columns: outside what the standard errors describe
NO_DEFECTS = {"dead_rate": 0.0, "hot_rate": 0.0, "blinking_rate": 0.0}


def flat_frames(name: str) -> np.ndarray:
    sensor = sensor_named(name, noise=WHITE, bad_pixels=NO_DEFECTS, nuc_residual_k=0.0)
    camera = VirtualCamera.draw(sensor, HW, rng=keyed_generator(21, Stream.CAMERA, 4))
    flat = np.full(HW, sensor.offset_dn, np.float32)
    return np.stack([expose(flat, camera, rng=keyed_generator(21, Stream.NOISE, k)).raw for k in range(64)])


@pytest.mark.parametrize("name", ["uncooled_lwir_12um", "uncooled_lwir_17um_legacy", "cooled_mwir_15um_f4", "space_staring"])
def test_64_flat_frames_give_the_sigmas_back(name: str) -> None:
    """Each term within 3 of its own standard errors: 9 % of sigma for t, 5 % for v and h, 0.1 % for tvh."""
    stack = flat_frames(name)
    terms = decompose(stack)
    sensor = sensor_named(name, noise=WHITE)
    for term in TERMS:
        declared = NOISE_MEMBERS[term].variance(sensor, sensor.offset_dn) + (1.0 / 12.0 if term == "tvh" else 0.0)
        assert abs(terms[term].variance - declared) < 3.0 * terms[term].standard_error, term
    # physics section 12: the MAD sigma of the noise lies within 3 % of NETD * G; two frames' difference has no pattern
    twice = (stack[1].astype(float) - stack[0]) / math.sqrt(2.0)
    kernel = np.array([1.0, -2.0, 1.0])
    rough = np.apply_along_axis(np.convolve, 0, np.apply_along_axis(np.convolve, 1, twice, kernel, "valid"), kernel, "valid") / 6
    step = 1.0 / (6.0 * math.sqrt(2.0))  # integers leave a lattice, and a median sits on one of its points
    smooth = rough + step * np.random.default_rng(0).uniform(-0.5, 0.5, rough.shape)
    sigma = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    assert sigma == pytest.approx(math.sqrt(sensor.sigma_tvh_dn**2 + 1.0 / 12.0), rel=0.03)


def synthetic(sigmas: dict[str, float], shape: tuple[int, int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    stack = np.zeros(shape)
    for term, sigma in sigmas.items():
        stack += sigma * rng.standard_normal([size if axis in term else 1 for size, axis in zip(shape, "tvh", strict=True)])
    return stack


def test_standard_errors_are_honest() -> None:
    """Over 60 stacks the errors, in units of their own standard error, have mean 0 and deviation 1 for every term."""
    sigmas = dict(zip(TERMS, (0.3, 0.5, 0.5, 0.2, 0.2, 0.8, 1.0), strict=True))
    scores = np.empty((60, len(TERMS)))
    for seed in range(60):
        terms = decompose(synthetic(sigmas, (24, 30, 36), seed))
        scores[seed] = [(terms[term].variance - sigmas[term] ** 2) / terms[term].standard_error for term in TERMS]
    assert np.abs(scores.mean(0)).max() < 4.0 / math.sqrt(60) + 0.15  # chi-square skew biases the error's own estimate
    assert (scores.std(0) > 0.65).all()
    assert (scores.std(0) < 1.5).all()


def test_absent_terms_vanish_despite_leakage() -> None:
    """White pixel noise alone leaks sigma^2/n into every average; corrected, all other terms are 0 within 3 errors."""
    terms = decompose(synthetic({"tvh": 5.0}, (64, 40, 50), 1))
    assert terms["tvh"].sigma == pytest.approx(5.0, rel=0.02)
    for term in TERMS[:-1]:
        assert abs(terms[term].variance) < 3.0 * terms[term].standard_error
    naive_t = synthetic({"tvh": 5.0}, (64, 40, 50), 1).mean(axis=(1, 2)).std()
    assert naive_t > 0.08  # what a plain average would have reported


def test_bad_stacks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stack must have shape \(T, H, W\)"):
        decompose(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="at least 2 along each axis"):
        decompose(np.zeros((1, 4, 4)))
