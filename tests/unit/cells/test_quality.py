from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.special import erf

from qupath_her2.cells.measure import MeasuredCells, measure_cells
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.cells.quality import (
    ImageQuality,
    QualitySettings,
    check_image,
    check_membranes,
    check_pixel_size,
    edge_blur_um,
)
from qupath_her2.slides.stains.estimate import estimate_background, estimate_stains
from qupath_her2.slides.stains.vectors import StainVectors, optical_density
from tests.helpers.drawn_planes import STAINS, ArraySlide, rgb_of

LIMITS = QualitySettings()
SHARP = ImageQuality(0.35, 0.25, 0.5, 0.1, 0.5)


@pytest.mark.parametrize("pixel_size_um", [0.1, 0.25, 0.45])
def test_fine_pixels_pass(pixel_size_um: float) -> None:
    assert check_pixel_size(pixel_size_um, LIMITS) == (None, None)


@pytest.mark.parametrize("pixel_size_um", [0.46, 0.5, 0.55])
def test_rather_coarse_pixels_give_a_warning(pixel_size_um: float) -> None:
    refusal, warning = check_pixel_size(pixel_size_um, LIMITS)
    assert refusal is None
    assert f"{pixel_size_um:.2f} µm" in warning


@pytest.mark.parametrize("pixel_size_um", [0.56, 1.0, 2.0])
def test_too_coarse_pixels_are_refused(pixel_size_um: float) -> None:
    refusal, warning = check_pixel_size(pixel_size_um, LIMITS)
    assert refusal.code == "pixels_too_coarse"
    assert f"{pixel_size_um:.2f} µm" in refusal.reason
    assert warning is None


def stripes(sigma_um: float, um_px: float, turn: float) -> np.ndarray:
    """Straight edges 16 µm apart, blurred by a Gaussian."""
    rows, columns = np.mgrid[:256, :256]
    along = (columns * np.cos(turn) + rows * np.sin(turn)) * um_px
    place = along % 32
    up, down = erf((place - 8) / np.sqrt(2) / sigma_um), erf((place - 24) / np.sqrt(2) / sigma_um)
    dab = (0.2 * (up - down)).astype(np.float32)
    return rgb_of(np.zeros_like(dab), dab)


@pytest.mark.parametrize("um_px", [0.25, 0.5])
@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("sigma_um", [0.2, 0.35, 0.5, 0.8, 1.2])
def test_blur_of_drawn_edges_is_recovered(sigma_um: float, turn: float, um_px: float) -> None:
    found = edge_blur_um(stripes(sigma_um, um_px, turn), STAINS, um_px)
    # The estimate includes the blur of the measurement itself: 0.3 µm, and a difference over two pixels.
    seen = np.sqrt(sigma_um**2 + 0.3**2 + um_px**2 / 3)
    assert found == pytest.approx(seen, rel=0.09)


def test_estimate_rises_with_blur() -> None:
    found = [edge_blur_um(stripes(sigma, 0.5, 0.3), STAINS, 0.5) for sigma in (0.2, 0.3, 0.5, 0.7, 1.0, 1.5)]
    assert (np.diff(found) > 0).all()


def test_empty_image_has_no_edges() -> None:
    assert np.isnan(edge_blur_um(np.full((64, 64, 3), 200, np.uint8), STAINS, 0.5))


@pytest.mark.parametrize(
    ("quality", "code"),
    [
        (SHARP, None),
        (ImageQuality(0.55, 0.25, 0.5, 0.1, 0.5), "not_ihc"),
        (ImageQuality(0.35, 0.7, 0.5, 0.1, 0.5), "blurred"),
        # What could not be measured refuses nothing: blank glass ends as too few cells.
        (ImageQuality(np.nan, np.nan, np.nan, 0.1, 0.5), None),
    ],
)
def test_images_by_their_limits(quality: ImageQuality, code: str | None) -> None:
    refusal = check_image(quality, LIMITS)
    assert (refusal.code if refusal else None) == code


def cells_with(n: int, membrane: float, cytoplasm: float, nucleus: float) -> RadialProfiles:
    def level(od: float) -> np.ndarray:
        return np.full((n, 36), od, np.float32)

    return RadialProfiles(
        level(membrane), level(cytoplasm), level(0.0), level(1.0), level(0.0), level(cytoplasm), level(nucleus),
        level(0.3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "membrane", "cytoplasm", "nucleus", "lines", "refused"),
    [
        (300, 0.5, 0.05, 0.05, 0.30, False),  # a membrane stain
        (300, 0.35, 0.30, 0.05, 0.08, True),  # a cytoplasm
        (300, 0.08, 0.05, 0.05, 0.05, False),  # hardly any stain: nothing to refuse
        (30, 0.35, 0.30, 0.05, 0.08, False),  # too few stained cells to tell
    ],
)
def test_membranes_by_their_limits(
    n: int, membrane: float, cytoplasm: float, nucleus: float, lines: float, refused: bool
) -> None:
    sectors = cells_with(n, membrane, cytoplasm, nucleus)
    refusal = check_membranes(sectors, np.full(n, lines, np.float32), SHARP, LIMITS)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.code == "not_membrane"
        assert f"{n} stained cells" in refusal.reason


def test_nuclear_stain_is_named() -> None:
    refusal = check_image(ImageQuality(0.35, 0.25, 0.8, 0.1, 0.5), LIMITS)
    assert refusal is not None
    assert refusal.code == "not_membrane"
    assert "nuclei" in refusal.reason
    # Without DAB the polarity is that of noise, and ignored.
    assert check_image(ImageQuality(0.35, 0.25, 0.8, 0.02, 0.5), LIMITS) is None


def test_cells_without_nuclei_are_checked_too() -> None:
    sectors = cells_with(300, 0.5, 0.05, np.nan)
    assert check_membranes(sectors, np.full(300, 0.3, np.float32), SHARP, LIMITS) is None


def whole(field, stains: StainVectors, tumour) -> MeasuredCells:
    height, width = field.rgb.shape[:2]
    return measure_cells(
        ArraySlide(field.rgb), [tumour(0, 0, width, height)],
        pixel_size_um=field.settings.pixel_size_um, stains=stains,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cytoplasmic", "not_membrane"),
        ("nuclear", "not_membrane"),
        ("h&e", "not_ihc"),
        ("blurred", "blurred"),
    ],
)
def test_drawn_images_that_must_not_be_scored_are_refused(
    name: str, code: str, drawn, stains_of, tumour
) -> None:
    field = drawn(name)
    found = whole(field, stains_of(field), tumour)
    assert found.refusal is not None
    assert found.refusal.code == code
    assert found.refusal.reason.endswith(".")


@pytest.mark.parametrize(
    ("name", "pixel_size_um", "seed"),
    [
        ("cytoplasmic", 0.25, 402),
        ("nuclear", 0.5, 400),
        ("nuclear", 0.25, 401),
    ],
)  # fmt: skip
def test_harder_images_are_refused_too(
    name: str, pixel_size_um: float, seed: int, drawn, stains_of, tumour
) -> None:
    field = drawn(name, pixel_size_um, seed=seed)
    found = whole(field, stains_of(field), tumour)
    assert found.refusal is not None
    assert found.refusal.code == "not_membrane"


@pytest.mark.parametrize("score", ["0", "1+", "2+", "3+"])
def test_drawn_membrane_stains_are_not_refused(score: str, drawn, stains_of, tumour) -> None:
    field = drawn(score)
    found = whole(field, stains_of(field), tumour)
    assert found.refusal is None, found.refusal
    assert len(found.table) > 200


@pytest.mark.parametrize("pixel_size_um", [0.5, 0.25])
def test_real_cytoplasmic_stain_is_refused(pixel_size_um: float, tumour) -> None:
    """Scikit-image's IHC: colon, cytoplasmic stain, at 0.5 µm; doubled for 0.25 µm."""
    data = pytest.importorskip("skimage.data")
    try:
        rgb = data.immunohistochemistry()
    except (OSError, ModuleNotFoundError, ConnectionError) as error:
        pytest.skip(f"NOT TESTED: scikit-image's picture is not installed and cannot be fetched ({error})")
    if pixel_size_um < 0.5:
        rgb = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    background = estimate_background(rgb, rgb.sum(2) < np.percentile(rgb.sum(2), 97))
    density = optical_density(rgb, background).reshape(-1, 3)
    stains = estimate_stains(density[density.sum(1) > 0.1], background_rgb=background)
    found = measure_cells(
        ArraySlide(rgb), [tumour(0, 0, rgb.shape[1], rgb.shape[0])],
        pixel_size_um=pixel_size_um, stains=stains,
    )  # fmt: skip
    assert found.refusal is not None
    assert found.refusal.code == "not_membrane"
