from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.quality.image_quality import ImageQuality, check_image, check_pixel_size
from qupath_her2.cells.quality.nuclear_spots import NuclearSpots
from qupath_her2.cells.quality.settings import QualitySettings

LIMITS = QualitySettings()
SHARP = ImageQuality(0.35, 0.40, 0.0, 0.5, 0.1, NuclearSpots(0, 0.0))


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


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"green_share": 0.55}, "not_ihc"),
        ({"blurred_share": 0.7, "edge_blur_um": 0.9}, "blurred"),
        # A third out of focus is cut out; the rest is scored.
        ({"blurred_share": 0.33, "edge_blur_um": 0.6}, None),
        ({"spots": NuclearSpots(20, 0.6)}, "not_membrane"),
        ({"spots": NuclearSpots(4, 0.6)}, None),
        ({"dab_polarity": 0.8}, "not_membrane"),
        # Without DAB the polarity is that of noise.
        ({"dab_polarity": 0.8, "dab_od": 0.02}, None),
        # What could not be measured refuses nothing: blank glass ends as too few cells.
        (
            {"green_share": np.nan, "blurred_share": np.nan, "edge_blur_um": np.nan, "dab_polarity": np.nan},
            None,
        ),
        ({"spots": NuclearSpots(0, np.nan)}, None),
    ],
)
def test_images_by_their_limits(changes: dict, code: str | None) -> None:
    refusal = check_image(replace(SHARP, **changes), LIMITS)
    assert (refusal.code if refusal else None) == code


def test_the_first_reason_is_the_cause() -> None:
    """Blur spreads DAB over nuclei and cytoplasm: an image out of focus is called so, whatever else it looks like."""
    seen = replace(SHARP, blurred_share=0.9, edge_blur_um=1.0, dab_polarity=0.8)
    refusal = check_image(seen, LIMITS)
    assert refusal is not None
    assert refusal.code == "blurred"
    assert "90%" in refusal.reason
    assert "1.00 µm" in refusal.reason


def test_nuclear_stain_is_named() -> None:
    for changes in ({"spots": NuclearSpots(20, 0.6)}, {"dab_polarity": 0.8}):
        refusal = check_image(replace(SHARP, **changes), LIMITS)
        assert refusal is not None
        assert "nuclei" in refusal.reason
