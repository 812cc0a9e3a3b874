"""Measurements of a cell as QuPath shows them, computed from its radial profiles and estimates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles, row_mean
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.records import CellTable

__all__ = [
    "MEASUREMENT_NAMES",
    "NUCLEUS_AREA",
    "UNCERTAINTY_NAME",
    "measured_estimates",
    "measurement_columns",
    "stored_estimates",
]

_COMPLETENESS = "HER2: Membrane completeness"
_OWN_OD = "HER2: Membrane own DAB OD"
_IS_LATERAL = "HER2: Membrane is lateral"
#: Measurement of the nucleus; NaN for a cell without one.
NUCLEUS_AREA = "HER2: Nucleus area µm^2"
#: Names of the measurements, in column order; each starts with ``HER2: `` and ends with its unit where it has one.
MEASUREMENT_NAMES: tuple[str, ...] = (
    _COMPLETENESS,
    "HER2: Membrane DAB OD mean",
    "HER2: Membrane DAB OD p20",
    _OWN_OD,
    "HER2: Membrane width µm",
    _IS_LATERAL,
    "HER2: Membrane contrast",
    "HER2: Cytoplasm DAB OD mean",
    "HER2: Nucleus DAB OD mean",
    "HER2: Cell area µm^2",
    NUCLEUS_AREA,
)

#: Extra column of cells found by a Bayesian network, 0..0.5: standard deviation, over networks sampled from it, of the
#: class probabilities (membrane, nucleus, background), mean over the cell.
UNCERTAINTY_NAME = "HER2: Network uncertainty"

#: Height of a sector's DAB above the cell's side from which its width is meaningful, OD; below it noise decides.
_WIDTH_STEP_OD = 0.05

#: FWHM of an infinitely thin line as seen on the working grid, µm: pixels of about 0.5 µm (0.41 µm as a Gaussian) and
#: the blur of the planes of 0.3 µm (0.71 µm), added in squares.
_INSTRUMENT_WIDTH_UM = 0.82


def _width(profiles: RadialProfiles) -> NDArray[np.float32]:
    """Return the median width of the stained profiles, corrected for blur, µm; NaN without stained profiles."""
    stained = (profiles.peak_od - profiles.inner_od > _WIDTH_STEP_OD) & ~np.isnan(profiles.width_um)
    widths = np.sort(np.where(stained, profiles.width_um, np.inf), axis=1)
    middle = np.maximum(stained.sum(1) - 1, 0) // 2
    seen = np.take_along_axis(widths, middle[:, None], 1)[:, 0]
    # Widths of convolved Gaussians add in squares.
    own = np.sqrt(np.maximum(seen.astype(np.float64) ** 2 - _INSTRUMENT_WIDTH_UM**2, 0))
    return np.where(stained.any(1), own, np.nan).astype(np.float32)


def measurement_columns(
    profiles: RadialProfiles,
    estimates: Estimates,
    radii_um: NDArray[np.float32],
    nucleus_radii_um: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the columns named by `MEASUREMENT_NAMES`.

    Parameters
    ----------
    profiles
        Radial profiles of N cells.
    estimates
        Membrane estimates of the same cells.
    radii_um
        float32 (N, 36), outlines, µm.
    nucleus_radii_um
        float32 (N, 32), nuclear contours, µm; all 0 for a cell without nucleus.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 11); NaN = not measured. `Membrane is lateral` is 1 or 0. `Membrane contrast` is
        ``(membrane - cytoplasm) / (membrane + cytoplasm)`` of the 75th percentile over sectors and the cytoplasm mean,
        -1..1, NaN where there is no DAB.
    """
    peak = np.sort(profiles.peak_od, axis=1)
    last = peak.shape[1] - 1
    p20, p75 = peak[:, round(0.2 * last)], peak[:, round(0.75 * last)]
    cytoplasm = row_mean(profiles.cytoplasm_od)
    # Unmixing leaves slightly negative densities, which would inflate the contrast; the 75th percentile serves
    # incomplete membranes, too.
    total = np.maximum(p75, 0) + np.maximum(cytoplasm, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = np.where(total > 0.02, (p75 - np.maximum(cytoplasm, 0)) / total, np.nan)
    nucleus_area = polygon_areas(nucleus_radii_um)
    columns = (
        estimates.completeness,
        profiles.peak_od.mean(1),
        p20,
        estimates.own_od,
        _width(profiles),
        estimates.lateral,
        np.clip(contrast, -1, 1),
        cytoplasm,
        row_mean(profiles.nucleus_od),
        polygon_areas(radii_um),
        np.where(nucleus_area > 0, nucleus_area, np.nan),
    )
    return np.stack(columns, 1).astype(np.float32)


def measured_estimates(columns: NDArray[np.float32]) -> Estimates:
    """Return the estimates among the columns of `measurement_columns`, float32 (N, 11)."""
    own, complete, lateral = (
        columns[:, MEASUREMENT_NAMES.index(name)] for name in (_OWN_OD, _COMPLETENESS, _IS_LATERAL)
    )
    return Estimates(own_od=own, completeness=complete, lateral=lateral > 0)


def stored_estimates(table: CellTable) -> Estimates:
    """Return the estimates stored in a table's measurements, so that saved cells can be graded again.

    Parameters
    ----------
    table
        Measured cells of a run.

    Returns
    -------
    Estimates
        Of the table's cells.

    Raises
    ------
    KeyError
        When the table holds other measurements.
    """
    return Estimates(
        own_od=table.column(_OWN_OD),
        completeness=table.column(_COMPLETENESS),
        lateral=table.column(_IS_LATERAL) > 0,
    )
