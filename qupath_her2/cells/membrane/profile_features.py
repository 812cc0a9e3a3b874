"""Input features of the membrane network: one row per sector of a cell's outline.

A stained border between two cells may belong to either of them. Each sector therefore carries, beside the cell's own
readings, a summary of the neighbour beyond it: stain on a border whose neighbour is stained all round is explained by
that neighbour, and stain that faces no neighbour is the cell's own.

DAB of cytoplasm and nucleus is deliberately left out. In drawn fields it follows the own membrane, and a network learns
to read it instead of the membrane; in tissue it does not, and complete membranes around clear cells were missed.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.half_precision import to_half
from qupath_her2.cells.membrane.outlines import NO_NEIGHBOUR
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles

__all__ = ["FEATURE_NAMES", "ProfileFeatures", "profile_features"]

#: float16 (N, 36, C). Half precision resolves an optical density to 0.0005, and a slide has a million cells.
ProfileFeatures = NDArray[np.float16]

#: Channels, in order; saved with the trained network and compared when it is loaded.
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

#: Cap of the half-value width: anything wider is not a membrane, and outliers would dominate the channel's scale.
_MAX_WIDTH_UM = 4.0


@nb.njit(cache=True, nogil=True)
def _fill(
    profiles: tuple[NDArray[np.float32], ...],
    neighbour: NDArray[np.int32],
    radii_um: NDArray[np.float32],
    pixel_size_um: np.float32,
    typical: NDArray[np.float32],
    features: NDArray[np.float32],
) -> None:
    """Fill all channels of all sectors; `profiles` as named below, `typical` (N, 4) of each cell for its neighbours."""
    peak, inner, outer, mass, width, offset = profiles
    n, n_sectors = peak.shape
    for k in range(n):
        for a in range(n_sectors):
            sector, beyond = features[k, a], neighbour[k, a]
            # Height above the cell's own side: diffuse background adds to both and cancels.
            sector[0], sector[1] = peak[k, a] - inner[k, a], peak[k, a] - outer[k, a]
            sector[2] = mass[k, a]
            # A missing width has a channel of its own, so that 0 is not mistaken for a thin membrane.
            missing = np.isnan(width[k, a])
            sector[3] = 0 if missing else min(width[k, a], np.float32(_MAX_WIDTH_UM))
            sector[4], sector[5] = missing, offset[k, a]
            sector[6], sector[7], sector[8] = beyond != NO_NEIGHBOUR, radii_um[k, a], pixel_size_um
            for channel in range(typical.shape[1]):
                sector[9 + channel] = typical[beyond, channel] if beyond != NO_NEIGHBOUR else 0


def profile_features(
    profiles: RadialProfiles,
    neighbour: NDArray[np.int32],
    radii_um: NDArray[np.float32],
    pixel_size_um: float,
) -> ProfileFeatures:
    """Compute the network's input channels for N cells.

    Parameters
    ----------
    profiles
        Radial profiles of the N cells.
    neighbour
        int32 (N, 36), index of the cell beyond each sector, -1 for none.
    radii_um
        float32 (N, 36), outlines, µm.
    pixel_size_um
        Pixel size of the scan (level 0), µm: coarse pixels lower a thin line.

    Returns
    -------
    ProfileFeatures
        float16 (N, 36, C), channels named by `FEATURE_NAMES`; no NaN.
    """
    p = profiles
    features = np.empty((*p.peak_od.shape, len(FEATURE_NAMES)), np.float32)
    if len(features):
        # Percentiles (nearest rank) over the sectors of a cell.
        step, mass = np.sort(p.peak_od - p.inner_od, axis=1), np.sort(p.mass_od_um, axis=1)
        last = step.shape[1] - 1
        p20, p50, p80 = (round(share * last) for share in (0.2, 0.5, 0.8))
        typical = np.stack([step[:, p20], step[:, p50], step[:, p80], mass[:, p50]], 1)
        readings = p.peak_od, p.inner_od, p.outer_od, p.mass_od_um, p.width_um, p.offset_um
        _fill(readings, neighbour, radii_um, np.float32(pixel_size_um), typical, features)
    return to_half(features)
