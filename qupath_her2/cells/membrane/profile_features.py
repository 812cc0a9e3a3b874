"""What stands on the outline of a cell, sector by sector, for the net that estimates its own membrane.

A stained border between two cells may belong to either. Beside the cell's own sectors every sector therefore tells
what the neighbour beyond it shows all round: stain on a border whose neighbour is stained everywhere is explained by
that neighbour, stain that faces no one is the cell's own.

DAB of the cytoplasm and of the nucleus is left out on purpose. In drawings it follows the own membrane, so that a net
reads it instead of the membrane; in tissue it does not, and closed rings round clear cells were then overlooked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.outlines import NO_NEIGHBOUR
from qupath_her2.cells.membrane.radial_profiles import Sectors

__all__ = ["FEATURE_NAMES", "Rings", "ring_features"]

#: Float16 (N, 36, C): half precision holds an optical density to 0.0005, and a slide holds a million cells.
Rings = NDArray[np.float16]

FEATURE_NAMES: tuple[str, ...] = (
    "step od",
    "outer step od",
    "mass od um",
    "width um",
    "width missing",
    "offset um",
    "has neighbour",
    "radius um",
    "pixel size um",
    "neighbour step p20 od",
    "neighbour step p50 od",
    "neighbour step p80 od",
    "neighbour mass p50 od um",
)

#: Half-value widths beyond this say only "wide".
_MAX_WIDTH_UM = 4.0


def _beyond(
    values: NDArray[np.float32], percentile: int, neighbour: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return a percentile over all sectors (nearest rank) of the cell beyond each sector, 0 where there is none."""
    last = values.shape[1] - 1
    typical = np.sort(values, axis=1)[:, round(percentile / 100 * last)]
    has_neighbour = neighbour != NO_NEIGHBOUR
    seen: NDArray[np.float32] = np.where(has_neighbour, typical[np.where(has_neighbour, neighbour, 0)], 0)
    return seen


def ring_features(
    sectors: Sectors, neighbour: NDArray[np.int32], radii_um: NDArray[np.float32], pixel_size_um: float
) -> Rings:
    """Describe the outlines of N cells.

    Parameters
    ----------
    sectors
        Of the cells.
    neighbour
        int32 (N, 36), index of the cell beyond each sector, -1 for none.
    radii_um
        float32 (N, 36), outlines, µm.
    pixel_size_um
        Of the scan, level 0: coarse pixels lower a thin line.

    Returns
    -------
    Rings
        float16 (N, 36, C), channels named by `FEATURE_NAMES`; no NaN.
    """
    step = sectors.peak_od - sectors.inner_od
    if len(step) == 0:
        return np.zeros((0, radii_um.shape[1], len(FEATURE_NAMES)), np.float16)
    columns = (
        step,
        sectors.peak_od - sectors.outer_od,
        sectors.mass_od_um,
        np.minimum(np.nan_to_num(sectors.width_um), _MAX_WIDTH_UM),
        np.isnan(sectors.width_um),
        sectors.offset_um,
        neighbour != NO_NEIGHBOUR,
        radii_um,
        np.full_like(step, pixel_size_um),
        *(_beyond(step, percentile, neighbour) for percentile in (20, 50, 80)),
        _beyond(sectors.mass_od_um, 50, neighbour),
    )
    rings = np.empty((*step.shape, len(FEATURE_NAMES)), np.float16)
    for channel, column in enumerate(columns):
        rings[..., channel] = column
    return rings
