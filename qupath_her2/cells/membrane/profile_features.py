"""Input features of the membrane network: one row per sector of a cell's outline.

A stained border between two cells may belong to either of them. Each sector therefore carries, beside the cell's own
readings, a summary of the neighbour beyond it: stain on a border whose neighbour is stained all round is explained by
that neighbour, and stain that faces no neighbour is the cell's own.

DAB of cytoplasm and nucleus is deliberately left out. In drawn fields it follows the own membrane, and a network learns
to read it instead of the membrane; in tissue it does not, and complete membranes around clear cells were missed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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


def _neighbour_percentile(
    values: NDArray[np.float32], percentile: int, neighbour: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return a percentile (nearest rank) over the sectors of the cell beyond each sector, 0 where there is none."""
    last = values.shape[1] - 1
    typical = np.sort(values, axis=1)[:, round(percentile / 100 * last)]
    has_neighbour = neighbour != NO_NEIGHBOUR
    seen: NDArray[np.float32] = np.where(has_neighbour, typical[np.where(has_neighbour, neighbour, 0)], 0)
    return seen


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
    # Height above the cell's own side: diffuse background adds to both and cancels.
    step = profiles.peak_od - profiles.inner_od
    if len(step) == 0:
        return np.zeros((0, radii_um.shape[1], len(FEATURE_NAMES)), np.float16)
    columns = (
        step,
        profiles.peak_od - profiles.outer_od,
        profiles.mass_od_um,
        np.minimum(np.nan_to_num(profiles.width_um), _MAX_WIDTH_UM),
        # A missing width has a channel of its own, so that 0 is not mistaken for a thin membrane.
        np.isnan(profiles.width_um),
        profiles.offset_um,
        neighbour != NO_NEIGHBOUR,
        radii_um,
        np.full_like(step, pixel_size_um),
        *(_neighbour_percentile(step, percentile, neighbour) for percentile in (20, 50, 80)),
        _neighbour_percentile(profiles.mass_od_um, 50, neighbour),
    )
    # Channel by channel into half precision: a float32 stack of a whole slide would need twice the memory.
    features = np.empty((*step.shape, len(FEATURE_NAMES)), np.float16)
    for channel, column in enumerate(columns):
        features[..., channel] = column
    return features
