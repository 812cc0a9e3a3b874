from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES, measurement_columns
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles, measure_radial_profiles
from qupath_her2.cells.stain_planes import make_planes
from tests.helpers.drawn_planes import STAINS, rgb_of, ring

NAN = np.float32(np.nan)


def columns(
    radius_um: float = 6.0, nucleus_um: float = 4.0, **readings: float | np.ndarray
) -> dict[str, np.ndarray]:
    names = ("peak", "inner", "outer", "width", "offset", "cytoplasm", "nucleus", "mass")
    filled = [np.broadcast_to(np.float32(readings.get(name, 0.1)), (1, 36)) for name in names]
    found = measurement_columns(
        RadialProfiles(*filled),
        Estimates(np.array([0.3], np.float32), np.array([0.7], np.float32), np.array([False])),
        np.full((1, 36), radius_um, np.float32),
        np.full((1, 32), nucleus_um, np.float32),
    )
    assert found.shape == (1, len(MEASUREMENT_NAMES))
    assert found.dtype == np.float32
    return {
        name.removeprefix("HER2: "): float(v) for name, v in zip(MEASUREMENT_NAMES, found[0], strict=True)
    }


def test_names_have_our_prefix_and_their_unit() -> None:
    assert all(name.startswith("HER2: ") for name in MEASUREMENT_NAMES)
    for name in MEASUREMENT_NAMES:
        ending = {"area": "µm^2", "width": "µm"}
        assert all(name.endswith(unit) for word, unit in ending.items() if word in name)


def test_plain_values() -> None:
    found = columns(peak=0.4, inner=0.05, cytoplasm=0.1, nucleus=0.02, width=1.5)
    assert found["Membrane completeness"] == pytest.approx(0.7)
    assert found["Membrane own DAB OD"] == pytest.approx(0.3)
    assert found["Membrane DAB OD mean"] == pytest.approx(0.4)
    assert found["Cytoplasm DAB OD mean"] == pytest.approx(0.1)
    assert found["Nucleus DAB OD mean"] == pytest.approx(0.02)
    assert found["Membrane contrast"] == pytest.approx((0.4 - 0.1) / (0.4 + 0.1))
    # Circles approximated by 36 and 32 corners.
    assert found["Cell area µm^2"] == pytest.approx(np.pi * 36, rel=0.01)
    assert found["Nucleus area µm^2"] == pytest.approx(np.pi * 16, rel=0.01)


def test_percentile_and_contrast_by_formula() -> None:
    peak = np.where(np.arange(36) < 18, 0.5, 0.1)[None]
    found = columns(peak=peak, cytoplasm=0.1)
    assert found["Membrane DAB OD p20"] == pytest.approx(0.1)
    assert found["Membrane contrast"] == pytest.approx(0.4 / 0.6)


def test_unmeasured_is_nan_not_zero() -> None:
    assert np.isnan(columns(nucleus_um=0.0)["Nucleus area µm^2"])
    assert np.isnan(columns(nucleus=NAN)["Nucleus DAB OD mean"])
    assert np.isnan(columns(cytoplasm=NAN)["Cytoplasm DAB OD mean"])
    assert np.isnan(columns(peak=0.01, inner=0.0, cytoplasm=0.0)["Membrane contrast"])
    assert np.isnan(columns(peak=0.1, inner=0.08)["Membrane width µm"])
    assert np.isnan(columns(peak=0.5, inner=0.0, width=NAN)["Membrane width µm"])


def test_sectors_without_cytoplasm_are_left_out_of_its_mean() -> None:
    cytoplasm = np.where(np.arange(36) < 9, np.nan, 0.2)[None]
    assert columns(cytoplasm=cytoplasm)["Cytoplasm DAB OD mean"] == pytest.approx(0.2)


@pytest.mark.parametrize("fwhm_um", [1.0, 1.5, 2.1])
def test_width_of_a_drawn_membrane_is_corrected_for_blur(fwhm_um: float) -> None:
    """Drawn at 0.1 µm, averaged to 0.5 µm, unmixed, blurred and measured: the result is the drawn width."""
    fine = 0.4 * ring((640, 640), 319.5, 319.5, 80, fwhm_um / 0.1)
    dab = fine.reshape(128, 5, 128, 5).mean((1, 3)).astype(np.float32)
    planes = make_planes(rgb_of(np.zeros_like(dab), dab), STAINS, 0.5)
    sectors = measure_radial_profiles(
        planes, np.array([[63.5, 63.5]]), np.full((1, 32), 7, np.float32), np.full((1, 36), 16, np.float32)
    )
    found = measurement_columns(
        sectors,
        Estimates(np.zeros(1, np.float32), np.ones(1, np.float32), np.array([False])),
        np.full((1, 36), 8, np.float32),
        np.full((1, 32), 3.5, np.float32),
    )
    assert found[0, MEASUREMENT_NAMES.index("HER2: Membrane width µm")] == pytest.approx(fwhm_um, rel=0.12)
