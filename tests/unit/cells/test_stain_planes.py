from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.stain_planes import (
    PlaneSettings,
    blur,
    make_planes,
    summed_colours,
    unmixed,
    wide_blur,
)
from qupath_her2.slides.stains.vectors import (
    StainVectors,
    density_tables,
    optical_density,
    stain_tables,
    unmix,
)
from tests.helpers.drawn_planes import STAINS, disc, rgb_of, ring

SHAPE = (96, 128)


def flat(value: float) -> np.ndarray:
    return np.full(SHAPE, value, np.float32)


@pytest.mark.parametrize(("hematoxylin", "dab"), [(0.0, 0.0), (0.15, 0.0), (0.05, 0.4), (0.3, 0.8)])
def test_amounts_of_stain_are_recovered(hematoxylin: float, dab: float) -> None:
    planes = make_planes(rgb_of(flat(hematoxylin), flat(dab)), STAINS, 0.5)
    # Half a grey level at the darkest channel.
    assert planes.hematoxylin == pytest.approx(hematoxylin, abs=0.01)
    assert planes.dab == pytest.approx(dab, abs=0.01)


def test_evidence_is_capped_haematoxylin_minus_compressed_dab() -> None:
    s = PlaneSettings(hematoxylin_limit_od=0.5, dab_half_od=0.4, dab_weight_seed=0.6, dab_weight_contour=0.3)
    planes = make_planes(rgb_of(flat(0.2), flat(0.4)), STAINS, 0.5, s)
    assert planes.seed == pytest.approx(0.2 - 0.6 * 0.2, abs=0.01)
    assert planes.nuclear == pytest.approx(0.2 - 0.3 * 0.2, abs=0.01)
    assert make_planes(rgb_of(flat(0.9), flat(0)), STAINS, 0.5, s).seed.max() == pytest.approx(0.5, abs=0.02)


def test_flat_image_has_no_contrast_and_no_ridge() -> None:
    planes = make_planes(rgb_of(flat(0.2), flat(0.4)), STAINS, 0.5)
    assert planes.nuclear_contrast == pytest.approx(0, abs=1e-3)
    assert planes.ridge == pytest.approx(0, abs=1e-3)


def test_ridges_are_lines_not_areas() -> None:
    line = ring(SHAPE, 64, 48, 30, fwhm_px=2)
    thin = make_planes(rgb_of(flat(0), 0.5 * line), STAINS, 0.5)
    assert thin.ridge[line > 0.9].min() > 0.8 * thin.dab[line > 0.9].min()
    sheet = disc(SHAPE, 64, 48, 20)
    wide = make_planes(rgb_of(flat(0), 0.5 * sheet), STAINS, 0.5)
    assert wide.ridge[sheet > 0.99].max() < 0.05
    assert min(thin.ridge.min(), wide.ridge.min()) >= 0


def test_blur_keeps_the_mass_and_adds_its_variance() -> None:
    point = flat(0)
    point[48, 64] = 1
    blurred = blur(point, 2.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    x = np.arange(SHAPE[1])
    variance = (blurred.sum(0) * (x - 64) ** 2).sum()
    # Cutting at 3 sigma takes 3 % of the variance.
    assert variance == pytest.approx(4, rel=0.04)
    assert not blurred[:, :57].any()


def test_wide_blur_approximates_the_full_resolution_blur() -> None:
    smooth = blur(np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32), 4.0)
    inner = np.s_[24:-24, 24:-24]
    assert wide_blur(smooth, 8.0)[inner] == pytest.approx(blur(smooth, 8.0)[inner], abs=0.004)


def test_windows_shifted_by_eight_pixels_agree_within_reach() -> None:
    rng = np.random.default_rng(2)
    rgb = rng.integers(60, 240, (256, 256, 3)).astype(np.uint8)
    whole, part = make_planes(rgb, STAINS, 0.5), make_planes(rgb[40:, 64:], STAINS, 0.5)
    for name in ("hematoxylin", "dab", "nuclear", "nuclear_contrast", "seed", "ridge"):
        there, here = getattr(whole, name)[40:, 64:], getattr(part, name)
        assert (there[64:-64, 64:-64] == here[64:-64, 64:-64]).all(), name


def test_stains_by_tables_are_those_of_unmixing() -> None:
    rgb = np.random.default_rng(8).integers(0, 256, (40, 50, 3), np.uint8)
    stains = StainVectors((0.6, 0.7, 0.3), (0.25, 0.55, 0.8), (250, 240, 230))
    planes = np.stack(unmixed(rgb, stain_tables(stains)), -1)
    assert planes == pytest.approx(unmix(rgb, stains)[..., :2], abs=2e-6)
    density = summed_colours(rgb, density_tables(stains.background_rgb))
    assert density == pytest.approx(optical_density(rgb, stains.background_rgb).sum(-1), abs=2e-6)
