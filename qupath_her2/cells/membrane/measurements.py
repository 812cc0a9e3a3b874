"""The measurements of a cell that people read, from its sectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.membrane.radial_profiles import Sectors, row_mean
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.records import CellTable

__all__ = ["MEASUREMENT_NAMES", "UNCERTAINTY_NAME", "measurement_columns", "stored_estimates"]

#: Names of the measurements, in the order of their columns; each starts with ``HER2: `` and wears its unit.
MEASUREMENT_NAMES: tuple[str, ...] = (
    "HER2: Membrane completeness",
    "HER2: Membrane DAB OD mean",
    "HER2: Membrane DAB OD p20",
    "HER2: Membrane own DAB OD",
    "HER2: Membrane width µm",
    "HER2: Membrane is lateral",
    "HER2: Membrane contrast",
    "HER2: Cytoplasm DAB OD mean",
    "HER2: Nucleus DAB OD mean",
    "HER2: Cell area µm^2",
    "HER2: Nucleus area µm^2",
)

#: A further column of cells that a Bayesian network found, 0..0.5: the standard deviation, over its drawn nets, of the
#: probabilities of membrane, nucleus and background, mean over the cell.
UNCERTAINTY_NAME = "HER2: Network uncertainty"

#: Sectors whose DAB stands this far above the cell's side carry a membrane whose width means something, OD.
_WIDTH_STEP_OD = 0.05

#: FWHM that the working grid and the blur of the planes give to a line without width, µm: about 0.5 µm pixels
#: (FWHM 0.41 µm as a Gaussian), a blur of 0.3 µm (0.71 µm) and 0.5 µm sampling along the ray.
_INSTRUMENT_WIDTH_UM = 0.82


def _width(sectors: Sectors) -> NDArray[np.float32]:
    """Median width of the stained sectors with the instrument's own taken off, µm; NaN without stained sectors."""
    stained = (sectors.peak_od - sectors.inner_od > _WIDTH_STEP_OD) & ~np.isnan(sectors.width_um)
    widths = np.sort(np.where(stained, sectors.width_um, np.inf), axis=1)
    middle = np.maximum(stained.sum(1) - 1, 0) // 2
    seen = np.take_along_axis(widths, middle[:, None], 1)[:, 0]
    # Widths of Gaussians add in squares.
    own = np.sqrt(np.maximum(seen.astype(np.float64) ** 2 - _INSTRUMENT_WIDTH_UM**2, 0))
    return np.where(stained.any(1), own, np.nan).astype(np.float32)


def measurement_columns(
    sectors: Sectors,
    estimates: Estimates,
    radii_um: NDArray[np.float32],
    nucleus_radii_um: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the columns named by `MEASUREMENT_NAMES`.

    Parameters
    ----------
    sectors, estimates
        Of N cells.
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
    peak = np.sort(sectors.peak_od, axis=1)
    last = peak.shape[1] - 1
    p20, p75 = peak[:, round(0.2 * last)], peak[:, round(0.75 * last)]
    cytoplasm = row_mean(sectors.cytoplasm_od)
    total = np.maximum(p75, 0) + np.maximum(cytoplasm, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = np.where(total > 0.02, (p75 - np.maximum(cytoplasm, 0)) / total, np.nan)
    nucleus_area = polygon_areas(nucleus_radii_um)
    columns = (
        estimates.completeness,
        sectors.peak_od.mean(1),
        p20,
        estimates.own_od,
        _width(sectors),
        estimates.lateral,
        np.clip(contrast, -1, 1),
        cytoplasm,
        row_mean(sectors.nucleus_od),
        polygon_areas(radii_um),
        np.where(nucleus_area > 0, nucleus_area, np.nan),
    )
    return np.stack(columns, 1).astype(np.float32)


def stored_estimates(table: CellTable) -> Estimates:
    """Return the estimates that a table's measurements hold, so that stored cells can be graded again.

    Raises
    ------
    KeyError
        When the table holds other measurements.
    """
    return Estimates(
        own_od=table.column("HER2: Membrane own DAB OD"),
        completeness=table.column("HER2: Membrane completeness"),
        lateral=table.column("HER2: Membrane is lateral") > 0,
    )
