from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.radial_profiles import RadialProfiles, measure_radial_profiles, row_mean
from qupath_her2.cells.stain_planes import blur
from tests.helpers.drawn_planes import around, disc, planes_of, ring

SHAPE = (128, 128)
UM_PX = 0.5
MIDDLE = (64.0, 64.0)


def measured(
    dab: np.ndarray, radius_px: float = 14, nucleus_px: float = 7, um_px: float = UM_PX
) -> RadialProfiles:
    return measure_radial_profiles(
        planes_of(um_px, dab=dab.astype(np.float32)),
        np.array([MIDDLE]),
        np.full((1, 32), nucleus_px, np.float32),
        np.full((1, 36), radius_px, np.float32),
    )


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.85, 1.0])
@pytest.mark.parametrize("fwhm_um", [0.64, 1.0, 2.1])
def test_stained_fraction_of_a_ring(share: float, fwhm_um: float) -> None:
    found = measured(0.3 * ring(SHAPE, *MIDDLE, 14, fwhm_um / UM_PX, share))
    stained = found.peak_od - found.inner_od > 0.15
    # One of 36 sectors, and half a sector at either end.
    assert stained.mean() == pytest.approx(share, abs=1.5 / 36)
    if share == 0.6:
        assert stained.mean() == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("od", [0.08, 0.3, 0.9])
def test_peak_is_the_height_of_the_ring_for_displaced_outlines(od: float) -> None:
    line = od * ring(SHAPE, *MIDDLE, 14, fwhm_px=3) + 0.02
    for outline_px in (12, 14, 16):
        found = measured(line, radius_px=outline_px)
        # At most half a pixel off the ridge line.
        assert found.peak_od == pytest.approx(od + 0.02, rel=0.08)
        assert found.offset_um == pytest.approx((14 - outline_px) * UM_PX, abs=0.3)
        assert found.inner_od == pytest.approx(0.02, abs=0.02)
        assert found.outer_od == pytest.approx(0.02, abs=0.02)


@pytest.mark.parametrize("fwhm_um", [1.2, 1.6, 2.1, 2.6])
def test_width_is_the_full_width_at_half_maximum(fwhm_um: float) -> None:
    found = measured(0.4 * ring(SHAPE, *MIDDLE, 14, fwhm_um / UM_PX))
    assert np.median(found.width_um) == pytest.approx(fwhm_um, rel=0.08)


def test_obliquely_crossed_membrane_is_not_wider() -> None:
    """A straight membrane beside the cell, which rays cross at up to 45 degrees."""
    _, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    line = 0.4 * np.exp(-((columns - 78.0) ** 2) / (2 * (3.2 / 2.3548) ** 2))
    turn = np.arange(36) / 36
    radii = np.where(np.cos(2 * np.pi * turn) > 0.5, 14 / np.maximum(np.cos(2 * np.pi * turn), 0.5), 28)
    found = measure_radial_profiles(
        planes_of(UM_PX, dab=line.astype(np.float32)),
        np.array([MIDDLE]), np.full((1, 32), 7, np.float32), radii[None].astype(np.float32),
    )  # fmt: skip
    facing = np.cos(2 * np.pi * turn) > np.cos(np.pi / 4)
    assert found.width_um[0, facing] == pytest.approx(3.2 * UM_PX, rel=0.12)
    assert found.mass_od_um[0, facing] == pytest.approx(0.4 * 3.2 / 2.3548 * 2.5066 * UM_PX, rel=0.12)


@pytest.mark.parametrize("fwhm_um", [0.8, 1.5])
@pytest.mark.parametrize("blur_um", [0.0, 0.3, 0.5])
def test_blur_lowers_the_peak_and_keeps_the_mass(fwhm_um: float, blur_um: float) -> None:
    drawn = 0.4 * ring(SHAPE, *MIDDLE, 14, fwhm_um / UM_PX)
    seen = blur(drawn, blur_um / UM_PX) if blur_um else drawn
    true_mass = 0.4 * fwhm_um / 2.3548 * np.sqrt(2 * np.pi)
    found = measured(seen)
    assert found.mass_od_um.mean() == pytest.approx(true_mass, rel=0.07)
    sigma = np.hypot(fwhm_um / 2.3548, blur_um)
    assert found.peak_od.mean() == pytest.approx(true_mass / (sigma * np.sqrt(2 * np.pi)), rel=0.1)


def test_cytoplasm_and_nucleus_have_their_own_levels() -> None:
    distance, _ = around(SHAPE, *MIDDLE)
    dab = np.where(distance < 7, 0.30, np.where(distance < 20, 0.12, 0.0)) + 0.5 * ring(SHAPE, *MIDDLE, 20, 2)
    found = measured(dab, radius_px=20, nucleus_px=7)
    assert found.nucleus_od == pytest.approx(0.30, abs=0.02)
    assert found.cytoplasm_od == pytest.approx(0.12, abs=0.02)


def test_no_nucleus_and_no_cytoplasm_are_nan_not_zero() -> None:
    dab = 0.3 * disc(SHAPE, *MIDDLE, 20)
    assert np.isnan(measured(dab, nucleus_px=0).nucleus_od).all()
    assert np.isfinite(measured(dab, nucleus_px=0).cytoplasm_od).all()
    assert np.isnan(measured(dab, radius_px=8, nucleus_px=7).cytoplasm_od).all()


def test_step_has_no_width_and_flat_plane_no_mass() -> None:
    assert np.isnan(measured(np.full(SHAPE, 0.2)).width_um).all()
    assert measured(np.full(SHAPE, 0.2)).mass_od_um == pytest.approx(0, abs=1e-5)
    sheet = measured(0.4 * disc(SHAPE, *MIDDLE, 14))
    assert sheet.mass_od_um.mean() < 0.2 * 0.4


def test_same_ring_on_another_grid_measures_the_same() -> None:
    coarse = measured(0.4 * ring(SHAPE, *MIDDLE, 14, 4.0), um_px=0.5)
    fine = measured(0.4 * ring(SHAPE, *MIDDLE, 28, 8.0), radius_px=28, nucleus_px=14, um_px=0.25)
    for name in ("peak_od", "width_um", "mass_od_um"):
        assert getattr(fine, name).mean() == pytest.approx(getattr(coarse, name).mean(), rel=0.06), name


def test_cells_are_measured_independently_and_may_be_none() -> None:
    dab = 0.3 * ring(SHAPE, 40, 64, 14, 3)
    both = measure_radial_profiles(
        planes_of(UM_PX, dab=dab.astype(np.float32)),
        np.array([[40.0, 64.0], [100.0, 64.0]]), np.full((2, 32), 5, np.float32),
        np.stack([np.full(36, 14), np.full(36, 10)]).astype(np.float32),
    )  # fmt: skip
    assert both.peak_od[0].min() > 0.25
    assert both.peak_od[1].max() < 0.05
    none = measure_radial_profiles(
        planes_of(UM_PX, dab=dab.astype(np.float32)),
        np.zeros((0, 2)), np.zeros((0, 32), np.float32), np.zeros((0, 36), np.float32),
    )  # fmt: skip
    assert none.peak_od.shape == (0, 36)


def test_row_means_ignore_nan() -> None:
    nan = np.nan
    values = np.array([[1, 2, 3], [nan, 2, 4], [nan, nan, nan]], np.float32)
    assert row_mean(values) == pytest.approx(np.array([2, 3, nan]), nan_ok=True)
    assert row_mean(values[:0]).shape == (0,)
