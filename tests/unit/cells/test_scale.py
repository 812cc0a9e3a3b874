from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, measure_cells
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.scale import (
    DOUBT,
    ScaleSettings,
    blob_diameter_um,
    check_blobs,
    check_nuclei,
    check_tumour_scale,
)
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.regions import map_regions
from tests.helpers.drawn_planes import STAINS, ArraySlide

LIMITS = ScaleSettings()


def discs(diameter_px: float, side: int = 1024) -> np.ndarray:
    """Blue discs on white, apart from each other by their diameter."""
    picture = np.full((side, side, 3), 245, np.uint8)
    step = 2 * diameter_px
    for y in np.arange(step, side, step):
        for x in np.arange(step, side, step):
            cv2.circle(picture, (round(x), round(y)), round(diameter_px / 2), (110, 90, 160), -1)
    return picture


@pytest.mark.parametrize("diameter_px", [12, 20, 34, 60])
@pytest.mark.parametrize("pixel_size_um", [0.05, 0.25, 0.5])
def test_the_diameter_of_drawn_discs_is_found_whatever_the_tags_say(
    tumour, diameter_px: float, pixel_size_um: float
) -> None:
    slide, grid = ArraySlide(discs(diameter_px)), make_grid(pixel_size_um)
    samples = read_samples(slide, map_regions([tumour(0, 0, 1024, 1024)]), grid, STAINS, PlaneSettings())
    found = blob_diameter_um(slide, samples, grid, STAINS, pixel_size_um)
    # Scales are a quarter octave apart, and neighbours add to the response of a disc.
    assert found == pytest.approx(diameter_px * pixel_size_um, rel=0.3)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_blank_glass_says_nothing_about_the_scale(tumour, noise: float) -> None:
    glass = np.random.default_rng(2).normal(235, noise, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    slide, grid = ArraySlide(glass), make_grid(0.5)
    samples = read_samples(slide, map_regions([tumour(0, 0, 600, 600)]), grid, STAINS, PlaneSettings())
    assert blob_diameter_um(slide, samples, grid, STAINS, 0.5) is None


def test_without_samples_nothing_is_said() -> None:
    slide, grid = ArraySlide(discs(20)), make_grid(0.5)
    assert blob_diameter_um(slide, [], grid, STAINS, 0.5) is None
    assert check_blobs(None, 0.5, LIMITS) is None


@pytest.mark.parametrize(
    ("diameter_um", "is_refused"), [(0.9, True), (1.7, False), (12.0, False), (17.0, True)]
)
def test_blobs_of_no_nucleus_are_refused_with_the_way_out(diameter_um: float, is_refused: bool) -> None:
    refusal = check_blobs(diameter_um, 0.05, LIMITS)
    assert (refusal is not None) == is_refused
    if refusal is not None:
        assert refusal.code == "pixel_size_implausible"
        assert f"at 0.05 µm they measure about {diameter_um:.2g} µm" in refusal.reason
        assert "--pixel-size-um" in refusal.reason


def areas(n: int, diameter_um: float) -> np.ndarray:
    return np.full(n, np.pi * diameter_um**2 / 4, np.float32)


@pytest.mark.parametrize(
    ("diameter_um", "fitting_um"),
    [(4.2, 0.25 * (6.8 / 4.2) ** 2), (6.5, None), (9.0, None), (14.0, 0.25 * (6.8 / 14) ** 2)],
)
def test_nuclei_that_do_not_fit_are_a_doubt_with_the_pixel_size_that_would(
    diameter_um: float, fitting_um: float | None
) -> None:
    doubt = check_nuclei(areas(200, diameter_um), None, 0.25, LIMITS)
    if fitting_um is None:
        assert doubt is None
        return
    assert doubt is not None
    # The detector finds nuclei nearer to the usual size than they are: the factor is the square of what it shows.
    assert doubt.fitting_um == pytest.approx(fitting_um, rel=0.01)
    assert doubt.nucleus_um * doubt.fitting_um == pytest.approx(6.8 * 0.25)
    assert doubt.sentence().startswith(
        f"Nuclei would be {doubt.nucleus_um:.1f} µm wide at 0.25 µm per pixel; about {fitting_um:.2g} µm per pixel"
    )
    assert "pass --pixel-size-um" in doubt.sentence()


def test_few_nuclei_and_cells_without_nucleus_say_nothing() -> None:
    assert check_nuclei(areas(49, 4.0), 14.0, 0.25, LIMITS) is None
    mostly_none = np.concatenate([areas(40, 4.0), np.full(300, np.nan, np.float32)])
    assert check_nuclei(mostly_none, None, 0.25, LIMITS) is None


@pytest.mark.parametrize(
    ("diameter_um", "pixel_size_um", "is_refused"),
    # The 3+ field that was read as 2+; the same nuclei in pixels half as large; nuclei that fit.
    [(5.78, 0.46, True), (5.78, 0.25, False), (6.5, 0.46, False)],
)
def test_tumour_whose_true_pixels_would_be_too_coarse_is_refused(
    diameter_um: float, pixel_size_um: float, is_refused: bool
) -> None:
    refusal = check_tumour_scale(check_nuclei(areas(200, diameter_um), None, pixel_size_um, LIMITS), 0.55)
    assert (refusal is not None) == is_refused
    if refusal is not None:
        assert refusal.code == "pixel_size_implausible"
        assert (
            "about 0.64 µm per pixel fits, which is too coarse for membranes (limit 0.55)" in refusal.reason
        )


@pytest.fixture(scope="module")
def field(drawn):
    return drawn("2+", width_px=700, height_px=700, seed=36)


def test_tags_off_by_ten_are_refused_and_by_two_warned(field, stains_of, tumour) -> None:
    # Three by three copies, so that there are pixels enough for a working grid ten times coarser.
    rgb = np.tile(field.rgb, (3, 3, 1))
    slide, region = ArraySlide(rgb), tumour(0, 0, rgb.shape[1], rgb.shape[0])

    def measured(pixel_size_um: float):
        return measure_cells(
            slide, [region], pixel_size_um=pixel_size_um, stains=stains_of(field), settings=CellSettings()
        )

    tenth = measured(0.05)
    assert tenth.refusal is not None
    assert tenth.refusal.code == "pixel_size_implausible"
    (warning,) = measured(0.25).warnings
    assert warning.startswith("Nuclei would be ")
    # Off by two: what is stated is wrong by no more than a third.
    assert 0.36 <= float(warning.split("about ")[1].split()[0]) <= 0.75
    right = measured(0.5)
    assert right.refusal is None
    assert not any("Nuclei" in warning for warning in right.warnings)


def test_large_blobs_tell_where_the_detector_finds_parts_of_nuclei() -> None:
    assert check_nuclei(areas(200, 7.0), 7.9, 0.5, LIMITS) is None
    doubt = check_nuclei(areas(200, 7.0), 12.0, 0.5, LIMITS)
    assert doubt is not None
    assert doubt.fitting_um == pytest.approx(0.25)
    assert (
        "Nuclei would be 13.6 µm wide at 0.5 µm per pixel; about 0.25 µm per pixel fits" in doubt.sentence()
    )


def test_fine_pixels_called_twice_as_coarse_are_a_warning(drawn, stains_of, tumour) -> None:
    fine = drawn("2+", width_px=1200, height_px=1200, seed=37, pixel_size_um=0.25)
    found = measure_cells(
        ArraySlide(fine.rgb), [tumour(0, 0, 1200, 1200)], pixel_size_um=0.5, stains=stains_of(fine),
        settings=CellSettings(),
    )  # fmt: skip
    assert found.refusal is not None or any(text.startswith(DOUBT) for text in found.warnings)
