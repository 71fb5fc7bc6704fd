"""Optics and path: blurs combine, vignetting follows cos^4, the table reproduces the fallback."""

from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from synth.errors import SourceError
from synth.scene.atmosphere import (
    BeerPath,
    PathTable,
    apparent_contrast,
    apparent_kelvin,
    fill_factor,
    noise_equivalent_irradiance,
    point_snr,
)
from synth.scene.optics import blur_sigmas, clutter_transfer, vignette, vignetting_map
from synth.scene.psf import blur_canvas, gaussian_stamp


def test_one_spectral_product_is_the_canvas_blur() -> None:
    canvas = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
    by_row, by_col = clutter_transfer((64, 96), 0.6)
    product = scipy.fft.irfft2(scipy.fft.rfft2(canvas) * (by_row * by_col), s=(64, 96))
    np.testing.assert_allclose(product, blur_canvas(canvas, 0.6), atol=2e-6)


def test_jitter_and_optics_add_in_variance() -> None:
    for jittered, plain in zip(
        clutter_transfer((64, 64), 0.6, jitter_sigma_px=0.8), clutter_transfer((64, 64), 1.0), strict=True
    ):
        np.testing.assert_allclose(jittered, plain, rtol=1e-6)
    assert blur_sigmas(0.6, jitter_sigma_px=0.8) == pytest.approx((1.0, 1.0))


def test_transfer_is_one_at_zero_and_falls() -> None:
    by_row, by_col = clutter_transfer((65, 64), 0.5)
    assert by_row[0, 0] == by_col[0, 0] == 1.0
    assert by_row.shape == (65, 1)
    assert by_col.shape == (1, 33)
    assert (np.diff(by_col[0]) < 0.0).all()


def test_motion_widens_along_its_axis_like_a_moving_point() -> None:
    """The second moment of a point smeared over d is d^2/12 more; the stamp at the combined sigma has just that."""
    down, right = blur_sigmas(0.7, motion_px=(1.2, 0.0))
    assert right == 0.7
    smeared = np.mean([gaussian_stamp(21, shift, 0.0, 0.7, 0.7) for shift in np.linspace(-0.6, 0.6, 401)], axis=0)
    grid = np.arange(21) - 10
    moments = [(stamp.sum(1) * grid * grid).sum() for stamp in (smeared, gaussian_stamp(21, 0.0, 0.0, down, right))]
    assert moments[0] == pytest.approx(moments[1], rel=2e-3)
    assert np.abs(smeared - gaussian_stamp(21, 0.0, 0.0, down, right)).max() < 0.01 * smeared.max()


@pytest.mark.parametrize("hw", [(256, 256), (192, 256), (33, 64)])
def test_vignetting_loses_what_it_says_in_the_corner(hw: tuple[int, int]) -> None:
    shading = vignetting_map(hw, 0.05)
    assert shading.dtype == np.float32
    assert shading[0, 0] == pytest.approx(0.95, abs=1e-6)
    assert shading.max() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(shading, shading[::-1, ::-1], rtol=1e-6)
    # cos^4 of the field angle along the diagonal
    theta = np.arctan(np.sqrt(0.95**-0.5 - 1.0) * np.linspace(-1.0, 1.0, 9))
    assert np.cos(theta[0]) ** 4 == pytest.approx(0.95)
    assert (vignetting_map(hw, 0.0) == 1.0).all()
    kelvin = np.full(hw, 10.0, np.float32)
    assert vignette(kelvin, shading)[0, 0] == pytest.approx(9.5, abs=1e-5)


def table_of(range_km: tuple[float, ...], transmission: tuple[float, ...], path_radiance: tuple[float, ...]) -> PathTable:
    return PathTable(range_km=range_km, transmission=transmission, path_radiance=path_radiance)


def test_a_table_of_the_fallback_is_the_fallback() -> None:
    beer = BeerPath(extinction_per_km=0.35)
    ranges = (0.0, 0.5, 2.0, 5.0, 11.0)
    table = table_of(ranges, tuple(beer.at(r)[0] for r in ranges), (0.0,) * 5)
    for range_km in np.linspace(0.0, 11.0, 57):
        assert table.at(range_km) == pytest.approx(beer.at(range_km), rel=1e-13)
    assert beer.at(2.0)[0] == pytest.approx(np.exp(-0.7), rel=1e-14)


def test_tables_interpolate_and_refuse_what_lies_outside() -> None:
    table = table_of((1.0, 3.0), (0.8, 0.0), (0.2, 0.6))
    assert table.at(2.0) == pytest.approx((0.4, 0.4))  # linear where a transmission is 0
    for range_km in (0.99, 3.01):
        with pytest.raises(ValueError, match=r"range_km must be in 1..3, the table's own"):
            table.at(range_km)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (((1.0,), (1.0,), (0.0,)), "at least 2 rows"),
        (((1.0, 1.0), (0.5, 0.4), (0.0, 0.0)), "range_km must rise"),
        (((1.0, 2.0), (0.5, 1.4), (0.0, 0.0)), "transmission must be in 0..1"),
        (((1.0, 2.0), (0.5, 0.4), (0.0, -1.0)), "path_radiance must be >= 0"),
        (((1.0, 2.0), (0.5, float("nan")), (0.0, 0.0)), "transmission must be in 0..1"),
    ],
)
def test_bad_tables_are_refused(columns: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table_of(*columns)


def test_tables_are_read_from_csv(tmp_path: Path) -> None:
    file = tmp_path / "path.csv"
    file.write_text("range_km,transmission,path_radiance\n0,1,0\n2,0.5,3.5\n")
    table = PathTable(file=str(file))
    assert table.at(2.0) == (0.5, 3.5)
    assert len(table.sha256 or "") == 64
    resolved = table.model_dump_json()
    file.unlink()
    assert PathTable.model_validate_json(resolved) == table  # a resolved recipe needs the file no more
    file.write_text("")
    with pytest.raises(SourceError, match="No such file"):
        PathTable(file=str(tmp_path / "none.csv"))
    for text, message in (
        ("range_km,tau\n0,1\n", "no column 'transmission'"),
        ("range_km,transmission,path_radiance\n0,a,0\n1,1,1\n", "'a'"),
    ):
        file.write_text(text)
        with pytest.raises(SourceError, match=message):
            PathTable(file=str(file))


def test_worked_example_of_physics() -> None:
    """0.1 m^2, 3 km, IFOV 0.2 mrad, dT 3 K, tau 0.5, EE 0.42, NETD 50 mK -> fill 0.28, peak 0.17 K, peak/NETD 3.5."""
    fill = fill_factor(area_m2=0.1, range_km=3.0, ifov_mrad=0.2)
    assert fill == pytest.approx(0.28, abs=0.005)
    half = table_of((3.0, 4.0), (0.5, 0.5), (0.0, 0.0))
    peak = 0.42 * apparent_kelvin(half, range_km=3.0, fill=fill, kelvin=3.0)
    assert peak == pytest.approx(0.17, abs=0.006)
    assert peak / 0.050 == pytest.approx(3.5, abs=0.05)
    assert fill_factor(area_m2=100.0, range_km=1.0, ifov_mrad=0.2) == 1.0


def test_contrast_reduces_to_the_short_form_and_may_change_sign() -> None:
    path = table_of((1.0, 10.0), (0.9, 0.3), (2.0, 20.0))
    shared = apparent_contrast(
        path, range_km=4.0, fill=0.5, target_radiance=33.0, background_radiance=path.at(4.0)[0] * 30.0 + path.at(4.0)[1]
    )
    assert shared == pytest.approx(0.5 * path.at(4.0)[0] * 3.0)  # background at the target's own range
    sky = [apparent_contrast(path, range_km=r, fill=1.0, target_radiance=33.0, background_radiance=30.5) for r in (1.0, 10.0)]
    assert sky[0] > 0.0 > sky[1]


def test_point_sources() -> None:
    """At SNR 1 a target of intensity J stands at R = sqrt(J * tau / NEI)."""
    nei = noise_equivalent_irradiance(netd_mk=20.0, radiance_per_k=0.2, ifov_mrad=0.15, energy_in_pixel=0.43)
    assert nei == pytest.approx(0.02 * 0.2 * (0.15e-3) ** 2 / 0.43)
    clear = BeerPath(extinction_per_km=0.0)
    range_km = np.sqrt(5.0 / nei) / 1e3
    assert point_snr(clear, intensity_w_sr=5.0, range_km=range_km, nei_w_m2=nei) == pytest.approx(1.0)
    assert point_snr(BeerPath(extinction_per_km=0.1), intensity_w_sr=5.0, range_km=10.0, nei_w_m2=nei) == pytest.approx(
        np.exp(-1.0) * point_snr(clear, intensity_w_sr=5.0, range_km=10.0, nei_w_m2=nei)
    )


def test_bad_extinction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"extinction_per_km must be in 0..1000, got -1"):
        BeerPath(extinction_per_km=-1.0)
