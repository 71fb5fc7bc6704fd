"""One law for all nine methods: what any of them must do with any frames."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from finetune import classical_names, create_classical  # noqa: E402
from finetune.classical.threshold import decide  # noqa: E402

pytestmark = pytest.mark.parametrize("name", classical_names())


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def frame(seed, height=64, width=80):
    """Return a frame of 8 bits with a smooth background, grain and one target of 3x3 pixels at (30, 50) or nearby."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    levels = 80 + 0.3 * rows + 0.2 * cols + torch.randint(0, 5, (height, width), generator=generator)
    place = (slice(height // 2 - 2, height // 2 + 1), slice(5 * width // 8, 5 * width // 8 + 3))
    levels[place] += torch.tensor([[60, 90, 60], [90, 120, 90], [60, 90, 60]], dtype=levels.dtype)
    return levels.round().to(torch.float64)[None, None] / 255, place


def test_finds_a_plain_target(name):
    """The brightest pixel of the saliency lies in the target, the adaptive mask touches it, nothing is negative."""
    image, place = frame(1)
    saliency = create_classical(name)(image)
    assert saliency.shape == image.shape and saliency.dtype == torch.float64
    assert torch.isfinite(saliency).all() and saliency.min() >= 0
    assert saliency[0, 0][place].max() == saliency.max() > 1
    assert decide(saliency, "adaptive")[0, 0][place].any()


def test_frames_of_a_batch_do_not_touch_each_other(name):
    """A batch gives what its frames give one by one: to 1e-6 of the peak, where batched linear algebra adds in another order."""
    images = torch.cat([frame(1)[0], torch.full((1, 1, 64, 80), 0.4, dtype=torch.float64), frame(2)[0]])
    method = create_classical(name)
    batch = method(images)
    for index in range(3):
        alone = method(images[index : index + 1])[0]
        assert (batch[index] - alone).abs().max() <= 1e-6 * max(1.0, alone.max().item())


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_flat_frames_are_silent(name, level):
    """Black, grey and saturated frames hold nothing; TLLCM and WSLCM answer at the border, where outside counts as black."""
    saliency = create_classical(name)(torch.full((2, 1, 48, 56), level, dtype=torch.float64))
    assert torch.isfinite(saliency).all()
    inner = saliency[..., 20:-20, 20:-20] if name in ("tllcm", "wslcm") else saliency
    assert inner.max() <= 1e-6 * 255


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (7, 5), (29, 33), (41, 40)])
def test_frames_smaller_than_a_patch(name, hw):
    generator = torch.Generator().manual_seed(3)
    image = torch.randint(0, 256, (2, 1, *hw), generator=generator).to(torch.float64) / 255
    saliency = create_classical(name)(image)
    assert saliency.shape == image.shape and torch.isfinite(saliency).all() and saliency.min() >= 0


def test_single_precision(name):
    """float32 in, float32 out, and the same answer to 1 % of the peak."""
    image, _ = frame(1)
    method = create_classical(name)
    single, double = method(image.float()), method(image)
    assert single.dtype == torch.float32
    assert (single - double).abs().max() <= 0.01 * double.max()
