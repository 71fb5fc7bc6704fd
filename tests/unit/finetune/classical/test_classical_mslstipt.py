"""The reconstruction of MSLSTIPT on simulated sequences: a smooth background that drifts, sensor noise, a moving target."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finetune import create_classical  # noqa: E402
from finetune.classical import mslstipt  # noqa: E402
from finetune.classical.patches import patch_grid  # noqa: E402

HW = (80, 120)
NOISE = 1.5
"""Standard deviation of the sensor noise, grey levels."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sequence(num_frames, scr, seed, *, drift=0.7):
    """Return frames (L, 1, H, W) in [0, 1] and the place of the target in each, (row, col); ``scr`` None for no target.

    The background is a sum of cosines of 20 to 60 px wavelength; the target is a Gaussian of sigma 1 px, 4 px across, that moves
    by (1.2, 1.5) px a frame.
    """
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: HW[0], : HW[1]].astype(float)
    waves = [(rng.uniform(0, 2 * np.pi), 2 * np.pi / rng.uniform(20, 60), rng.uniform(0, 2 * np.pi)) for _ in range(12)]
    frames, places = [], []
    for k in range(num_frames):
        shift = drift * k
        grey = 110 + rng.normal(0, NOISE, HW)
        for turn, pace, phase in waves:
            grey += 4 * np.cos(pace * (np.cos(turn) * (rows - shift) + np.sin(turn) * (cols + shift)) + phase)
        place = (30 + 1.2 * k, 50 + 1.5 * k)
        if scr is not None:
            shape = np.exp(-((rows - place[0]) ** 2 + (cols - place[1]) ** 2) / 2)
            target, ring = regions(place)
            want = scr * max(grey[ring].std(), 0.5) + grey[ring].mean()
            grey += (want - grey[target].mean()) / shape[target].mean() * shape
        frames.append(grey)
        places.append(place)
    return torch.from_numpy(np.clip(np.stack(frames), 0, 255) / 255)[:, None], places


def regions(place):
    """Return the pixels of the target and those of its background: the box 20 px around it without what is nearer than 4 px."""
    rows, cols = np.mgrid[: HW[0], : HW[1]]
    away = np.maximum(np.abs(rows - place[0]), np.abs(cols - place[1]))
    return np.hypot(rows - place[0], cols - place[1]) < 1.6, (away > 5) & (away <= 22)


def measured_scr(image, place):
    """Return the signal-to-clutter ratio of the target in an image of grey levels."""
    target, ring = regions(place)
    return (image[target].mean() - image[ring].mean()) / max(image[ring].std(), 0.5)


def saliency(frames, **settings):
    return create_classical("mslstipt", **settings)(frames)[:, 0].numpy()


@pytest.mark.parametrize("settings", [{}, {"dictionary": "frames", "sparsity": 1.0}], ids=["denoised", "frames"])
@pytest.mark.parametrize("num_frames", [1, 3, 5])
def test_finds_the_target_in_every_frame(num_frames, settings):
    frames, places = sequence(5, 8.0, seed=1)
    found = saliency(frames, num_frames=num_frames, **settings)
    for image, place in zip(found, places, strict=True):
        peak = np.unravel_index(image.argmax(), HW)
        assert np.hypot(peak[0] - place[0], peak[1] - place[1]) < 3


def gains(num_frames, seed):
    """Return the SCR gain of each frame of a faint sequence."""
    frames, places = sequence(5, 3.0, seed)
    found = saliency(frames, num_frames=num_frames)
    before = [measured_scr(255 * image, place) for image, place in zip(frames[:, 0].numpy(), places, strict=True)]
    return [measured_scr(image, place) / scr for image, place, scr in zip(found, places, before, strict=True)]


def test_more_frames_raise_the_gain():
    """Medians over 15 frames; 4.1 and 5.1 over 20 others."""
    alone, together = (np.median([gains(num_frames, seed) for seed in range(3)]) for num_frames in (1, 5))
    assert together > alone > 1


def test_static_background_without_target_leaves_noise():
    """What is called target stays within the noise: its RMS below that of the noise, no pixel above 5 standard deviations."""
    frames, _ = sequence(3, None, seed=4, drift=0.0)
    found = saliency(frames, num_frames=3)
    assert np.sqrt((found**2).mean()) < NOISE and found.max() < 5 * NOISE


def test_copies_of_a_frame_give_what_the_frame_gives():
    """To rounding (4e-10 levels seen): a weight or slice that grows with L moves the answer by whole levels."""
    frames, _ = sequence(1, 8.0, seed=2)
    alone, copies = saliency(frames), saliency(frames.expand(3, -1, -1, -1), num_frames=3)
    assert alone.max() > 5 and np.abs(copies - alone).max() < 1e-7


@pytest.mark.parametrize("num_frames", [1, 3])
def test_both_constraints_hold_at_the_end(num_frames):
    """A * Z + T is X to the tolerance when the loop ends, which it does long before its bound."""
    frames, _ = sequence(3, 5.0, seed=3)
    patches = patch_grid(HW, 40, 40).split(frames).reshape(3 // num_frames, -1, 40, 40)
    state, num_steps = mslstipt.first_state(patches, patches, num_frames), 0
    is_done = torch.zeros(len(patches), dtype=torch.bool)
    while not is_done.all():
        state, is_done = mslstipt.admm_step(state, num_frames=num_frames, weight=(40 * 6) ** -0.5)
        num_steps += 1
        assert num_steps < 250
    background = num_frames * torch.fft.irfft(state.dictionary @ state.coefficients, n=patches.shape[1], dim=1)
    model = background + state.target
    assert torch.linalg.vector_norm(model - patches) <= mslstipt.TOLERANCE * torch.linalg.vector_norm(patches)
    assert state.target.abs().max() > 0.01, "an empty target would fit as well"


def test_generalised_threshold_is_the_minimum():
    """Every shrunk singular value minimises w x^p / mu + (x - s)^2 / 2: found by search, to the step of the grid."""
    values, mu = torch.tensor([0.0, 0.02, 0.3, 1.0, 1.2, 2.0, 7.0]), 0.8
    got = mslstipt.shrink_weighted(values.double().view(1, 1, -1), torch.tensor([mu], dtype=torch.float64)).flatten()
    assert (got == 0).any() and (got > 0).any()
    for value, shrunk in zip(values.double().tolist(), got.tolist(), strict=True):
        grid = np.linspace(0, value, 100_001)
        cost = grid**mslstipt.EXPONENT / (value + mslstipt.WEIGHT_FLOOR) / mu + 0.5 * (grid - value) ** 2
        assert shrunk == pytest.approx(grid[cost.argmin()], abs=1e-4)


def test_windows_cover_a_sequence_and_say_what_they_are():
    """The last window ends with the sequence: of five frames in windows of three, the last three are one window."""
    frames, _ = sequence(5, 8.0, seed=6)
    found = saliency(frames, num_frames=3)
    assert np.abs(found[:2] - saliency(frames[:3], num_frames=3)[:2]).max() < 1e-7
    assert np.abs(found[2:] - saliency(frames[2:], num_frames=3)).max() < 1e-7
    assert np.array_equal(saliency(frames[:2], num_frames=3), saliency(frames[:2], num_frames=2))
    assert create_classical("mslstipt").label == "reconstruction, degenerate: L = 1"
    assert create_classical("mslstipt", num_frames=3).label == "reconstruction"
