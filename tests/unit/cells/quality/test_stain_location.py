from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from qupath_her2.cells.measure import MeasuredCells, measure_cells
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.quality.stain_location import (
    StainPattern,
    check_pattern,
    stain_pattern,
    stain_places,
)
from qupath_her2.slides.stains.estimate import estimate_background, estimate_stains
from qupath_her2.slides.stains.vectors import StainVectors, optical_density
from tests.helpers.drawn_planes import ArraySlide
from tests.quality.simulated_outlines import KINDS, Shapes, simulated_outlines

LIMITS = QualitySettings()


def pattern_of(profiles: RadialProfiles) -> StainPattern:
    return stain_pattern(stain_places(profiles, LIMITS.positive_od), LIMITS)


SHARP_UM = 0.4


def cells_with(
    n: int, membrane: float, cytoplasm: float, nucleus: float = 0.05, outer: float = 0.0
) -> RadialProfiles:
    """Return cells with the same levels on every ray."""

    def level(od: float) -> np.ndarray:
        return np.full((n, 36), od, np.float32)

    return RadialProfiles(
        level(membrane), level(cytoplasm), level(outer), level(1.0), level(0.0), level(cytoplasm), level(nucleus),
        level(0.3),
    )  # fmt: skip


def test_a_membrane_outlines_every_cell() -> None:
    pattern = pattern_of(cells_with(300, 0.5, 0.05))
    assert pattern == StainPattern(300, 1.0, 1.0, 1.0, pytest.approx(0.5))
    assert check_pattern(pattern, SHARP_UM, LIMITS) is None


def test_a_filled_cytoplasm_outlines_none() -> None:
    pattern = pattern_of(cells_with(300, 0.35, 0.30))
    assert (pattern.outlined_share, pattern.paler_share) == (0.0, 0.0)
    refusal = check_pattern(pattern, SHARP_UM, LIMITS)
    assert refusal is not None
    assert refusal.code == "not_membrane"
    assert "300 stained cells" in refusal.reason


def test_granules_are_no_lines() -> None:
    """As dark as membranes against their cytoplasm, but no ray has its maximum where its neighbours have theirs."""
    granules = cells_with(300, 0.5, 0.2)
    granules.offset_um[:, ::2] = 1.5
    pattern = pattern_of(granules)
    assert (pattern.outlined_share, pattern.paler_share) == (0.0, 1.0)


def test_the_edge_of_a_stained_cell_is_no_line() -> None:
    """A stained cytoplasm beside a pale cell: darker than what lies beyond, no darker than its own inside."""
    assert pattern_of(cells_with(300, 0.4, 0.38, outer=0.0)).outlined_share == 0.0
    assert pattern_of(cells_with(300, 0.4, 0.02, outer=0.38)).outlined_share == 0.0


def test_a_pale_nucleus_is_not_taken_for_the_inner_side_of_a_membrane() -> None:
    touching = cells_with(300, 0.4, 0.35, nucleus=0.0)
    touching.inner_od[:] = 0.0
    # The nucleus touches the membrane on half of the rays, where the cytoplasm cannot be seen.
    touching.cytoplasm_od[:, ::2] = np.nan
    assert pattern_of(touching).outlined_share == 0.0


def test_shares_are_those_of_stained_cells() -> None:
    """Three unstained cells in four, as stroma around glands, change nothing."""
    glands, stroma = cells_with(100, 0.5, 0.05), cells_with(300, 0.02, 0.01)
    both = RadialProfiles(
        *(np.concatenate([getattr(glands, name), getattr(stroma, name)]) for name in RadialProfiles.__slots__)
    )
    alone, mixed = pattern_of(glands), pattern_of(both)
    assert mixed == replace(alone, stained_share=0.25)


@pytest.mark.parametrize(
    ("pattern", "blur_um", "code"),
    [
        (StainPattern(300, 0.8, 0.60, 0.70, 0.40), SHARP_UM, None),
        (StainPattern(300, 0.8, 0.20, 0.70, 0.40), SHARP_UM, "not_membrane"),
        # Near the limit the cytoplasm decides.
        (StainPattern(300, 0.8, 0.46, 0.30, 0.40), SHARP_UM, "not_membrane"),
        (StainPattern(300, 0.8, 0.46, 0.60, 0.40), SHARP_UM, None),
        (StainPattern(300, 0.8, 0.60, 0.30, 0.40), SHARP_UM, None),
        # Lines are fewer in a soft picture.
        (StainPattern(300, 0.8, 0.25, 0.70, 0.40), 0.62, None),
        # A faint brown without lines is a background, by whatever it fills.
        (StainPattern(300, 0.8, 0.20, 0.10, 0.14), SHARP_UM, "background_stain"),
        # Too few stained cells, or too small a share of them, to tell.
        (StainPattern(20, 0.8, 0.20, 0.10, 0.40), SHARP_UM, None),
        (StainPattern(300, 0.05, 0.20, 0.10, 0.40), SHARP_UM, None),
        # Nothing speaks against membranes where no cytoplasm is seen.
        (StainPattern(300, 0.8, np.nan, np.nan, 0.40), SHARP_UM, None),
        (StainPattern(300, 0.8, 0.60, 0.70, 0.40), np.nan, None),
    ],
)
def test_patterns_by_their_limits(pattern: StainPattern, blur_um: float, code: str | None) -> None:
    refusal = check_pattern(pattern, blur_um, LIMITS)
    assert (refusal.code if refusal else None) == code


def test_without_stained_cells_there_is_no_pattern() -> None:
    for profiles in (cells_with(50, 0.02, 0.01), cells_with(0, 0.0, 0.0)):
        pattern = pattern_of(profiles)
        assert pattern.n_stained == 0
        assert check_pattern(pattern, SHARP_UM, LIMITS) is None


def test_cells_without_nuclei_are_judged_too() -> None:
    assert pattern_of(cells_with(300, 0.5, 0.05, nucleus=np.nan)).outlined_share == 1.0


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "refused"), [("1+", False), ("2+", False), ("3+", False), ("cytoplasmic", True)]
)
def test_outlines_of_other_programs_change_no_refusal(
    name: str, refused: bool, drawn, stains_of, tumour
) -> None:
    """The stain is judged around the nuclei that are found in existing cells, not along their outlines."""
    field = drawn(name)
    shapes = Shapes.drawn(field.truth)
    for kind in KINDS:
        cells = simulated_outlines(kind, shapes, 0.5, np.random.default_rng(5))
        found = measure_cells(
            ArraySlide(field.rgb), [tumour(0, 0, 512, 512)], pixel_size_um=0.5, stains=stains_of(field), existing=cells
        )  # fmt: skip
        assert (found.refusal is not None) == refused, (kind, found.refusal)
