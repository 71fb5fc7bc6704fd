"""Filters and local contrast: what must hold for each of them beyond the law of all methods."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from finetune import create_classical  # noqa: E402

FILTERS = ("tophat", "maxmedian", "tllcm", "wslcm")


def levels(hw=(40, 52), seed=0):
    """Return one frame of whole levels with a few bright points, float64 in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randint(60, 70, hw, generator=generator)
    for row, col in ((3, 4), (20, 30), (39, 51), (25, 8)):
        grey[row - 1 : row + 2, col - 1 : col + 2] += 60
    return grey.to(torch.float64)[None, None] / 255


@pytest.mark.parametrize("name", FILTERS)
def test_turns_and_mirrors_with_the_frame(name):
    """Exactly for the order filters; contrasts add in another order, which moves the last digits (worst seen 2e-15)."""
    method, image = create_classical(name), levels()
    saliency = method(image)
    for move in (lambda t: t.flip(2), lambda t: t.flip(3), lambda t: t.rot90(1, (2, 3)), lambda t: t.mT):
        assert (method(move(image)) - move(saliency)).abs().max() <= 1e-12 * saliency.max()


@pytest.mark.parametrize("name", FILTERS)
def test_same_from_any_way_to_eight_bits(name):
    """Frames divided by 255 in single precision and brought back to double give what whole levels give."""
    method, image = create_classical(name), levels()
    assert torch.equal(method(image.float().double()), method(image))


def test_tophat_is_blind_to_what_is_larger_than_its_square():
    image = torch.full((1, 1, 40, 40), 0.2, dtype=torch.float64)
    image[..., 10:15, 10:15] = 0.8
    assert create_classical("tophat", side_px=5)(image).max() == 0
    assert create_classical("tophat", side_px=7)(image).max() == pytest.approx(153)


def test_tophat_ignores_what_is_outside():
    """A bright border pixel stands out from its neighbours inside the frame alone."""
    image = torch.full((1, 1, 9, 9), 0.2, dtype=torch.float64)
    image[..., 0, 4] = 0.6
    saliency = create_classical("tophat")(image)
    assert saliency[0, 0, 0, 4] == pytest.approx(102) and (saliency > 0).sum() == 1


def test_maxmedian_keeps_points_and_removes_lines():
    image = torch.full((1, 1, 30, 30), 0.2, dtype=torch.float64)
    image[..., 10, :] = 0.6
    image[..., 20, 20] = 0.6
    saliency = create_classical("maxmedian")(image)[0, 0]
    assert saliency[20, 20] == pytest.approx(102)
    assert saliency[10].max() == 0


def test_tllcm_compares_with_the_ring_not_with_the_own_cell():
    """A 3x3 target of level 200 on 50: its core is 200 in the middle, the ring 50, so 200^2 / 50 - 200."""
    image = torch.full((1, 1, 60, 60), 50 / 255, dtype=torch.float64)
    image[..., 29:32, 29:32] = 200 / 255
    assert create_classical("tllcm")(image)[0, 0, 30, 30] == pytest.approx(600)


def test_tllcm_on_black_is_finite():
    """A target in a black zone, where the released code divides by 0, answers with the highest, finite value."""
    image = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    image[..., 29:32, 29:32] = 200 / 255
    saliency = create_classical("tllcm")(image)[0, 0]
    assert torch.isfinite(saliency).all() and saliency.argmax() == 30 * 60 + 30


def test_wslcm_is_silent_where_the_surroundings_are_black():
    image = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    image[..., 29:32, 29:32] = 200 / 255
    assert create_classical("wslcm", prefilter=False)(image).max() == 0


def test_wslcm_prefilter_removes_single_pixels():
    image = torch.full((1, 1, 60, 60), 50 / 255, dtype=torch.float64)
    image[..., 30, 30] = 200 / 255
    inner = (..., slice(20, 40), slice(20, 40))
    assert create_classical("wslcm", prefilter=True)(image)[inner].max() == 0
    assert create_classical("wslcm", prefilter=False)(image)[inner].max() > 1
