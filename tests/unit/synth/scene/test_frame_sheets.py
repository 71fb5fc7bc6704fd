"""Sheets: pure, seamless, standardised, and with the spectrum they promise."""

import numpy as np
import pytest

from synth.rng import Stream, keyed_generator
from synth.scene.sheets import BLOCK_FRAMES, SHEET_KINDS, DrawnFields, SheetCabinet, SheetFields, cut_window

HW = (96, 110)


@pytest.fixture(scope="module")
def fields() -> SheetFields:
    return SheetFields(3, 0, 128)


def rng(index: int = 0) -> np.random.Generator:
    return keyed_generator(1, Stream.SCENE, index)


def test_a_field_does_not_depend_on_what_came_before() -> None:
    first, second = SheetFields(3, 5, 128), SheetFields(3, 5, 128)
    second.field(rng(9), hw=HW, beta=2.5, f0=1 / 20)
    for beta, f0 in ((3.5, 1 / 256), (2.7, 1 / 40)):
        np.testing.assert_array_equal(first.field(rng(), hw=HW, beta=beta, f0=f0), second.field(rng(), hw=HW, beta=beta, f0=f0))


def test_blocks_and_seeds_differ() -> None:
    windows = [SheetFields(seed, block, 128).field(rng(), hw=HW, beta=3.0) for seed, block in ((3, 0), (3, 1), (4, 0))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(windows[a].ravel(), windows[b].ravel())[0, 1]) < 0.9


def test_windows_are_standardised(fields: SheetFields) -> None:
    for index in range(20):
        window = fields.field(rng(index), hw=HW, beta=3.0, f0=1 / 100)
        assert window.dtype == np.float32
        assert window.shape == HW
        assert abs(float(window.mean())) < 0.05  # mean and deviation are those of every fourth row
        assert float(window.std()) == pytest.approx(1.0, abs=0.05)


def test_mirrors_and_wrapping() -> None:
    sheet = (4096 * np.random.default_rng(0).standard_normal((64, 64))).astype(np.int16)
    plain = cut_window(sheet, 50, 60, 0, 30, 31)
    expected = np.roll(sheet, (-50, -60), (0, 1))[:30, :31]
    scale = np.polyfit(expected.ravel(), plain.ravel(), 1)
    np.testing.assert_allclose(plain, scale[0] * expected + scale[1], atol=1e-5)
    np.testing.assert_array_equal(cut_window(sheet, 50, 60, 1, 30, 31), plain[::-1])
    np.testing.assert_array_equal(cut_window(sheet, 50, 60, 2, 30, 31), plain[:, ::-1])


def test_a_tile_is_seamless(fields: SheetFields) -> None:
    drawn = fields.tile(rng(), hw=HW, beta=2.6, f0=1 / 40, stretch=4.0)
    tile = drawn.texture * drawn.unit
    assert float(tile.std()) == pytest.approx(1.0, abs=1e-3)
    assert np.abs(tile).max() < 8.0  # nothing was cut off
    inside = np.abs(np.diff(tile, axis=0)).mean()
    assert np.abs(tile[0] - tile[-1]).mean() < 1.5 * inside
    assert np.abs(tile[:, 0] - tile[:, -1]).mean() < 1.5 * np.abs(np.diff(tile, axis=1)).mean()


def test_the_nearest_sheet_is_taken(fields: SheetFields) -> None:
    smooth = fields.field(rng(), hw=HW, beta=3.8, stretch=2.0)
    rough = fields.field(rng(), hw=HW, beta=2.5, f0=1 / 20)
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.5 * np.abs(np.diff(rough, axis=1)).mean()


def test_parameters_stay_in_their_ranges() -> None:
    for block in range(30):
        for spec, kind in zip(SheetFields(0, block, 64)._specs, SHEET_KINDS, strict=True):
            assert kind.beta[0] <= spec.beta <= kind.beta[1]
            assert kind.wavelength_px[0] <= 1.0 / spec.f0 <= kind.wavelength_px[1] * (1.0 + 1e-12)
            assert kind.stretch[0] <= spec.stretch <= kind.stretch[1]


def test_the_cabinet_keeps_blocks_and_forgets_old_ones() -> None:
    cabinet = SheetCabinet(0, 64)
    assert cabinet.of_scene(0) is cabinet.of_scene(BLOCK_FRAMES - 1)
    assert cabinet.of_scene(BLOCK_FRAMES) is not cabinet.of_scene(0)
    for block in range(4):
        cabinet.of_scene(block * BLOCK_FRAMES)
    assert len(cabinet._blocks) == 2


def test_drawn_fields_are_fields_of_their_own() -> None:
    a, b = (DrawnFields().field(rng(index), hw=(64, 64), beta=3.0) for index in (0, 1))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.9
    assert float(a.std()) == pytest.approx(1.0, abs=1e-5)


def test_a_tilt_steepens_shared_and_own_textures() -> None:
    """Neighbouring pixels of a steeper field are more alike; half an exponent is told apart in one window."""
    for textures in ("shared", "own"):
        rough, plain, smooth = (
            (SheetFields(3, 0, 160, tilt) if textures == "shared" else DrawnFields(tilt)).field(rng(1), hw=(160, 160), beta=2.6)
            for tilt in (-0.5, 0.0, 0.5)
        )
        assert np.diff(rough, axis=1).std() > 1.2 * np.diff(plain, axis=1).std() > 1.4 * np.diff(smooth, axis=1).std()
