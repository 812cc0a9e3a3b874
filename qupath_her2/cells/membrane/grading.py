"""From a cell's features to the two facts guidelines speak of: how intense its membrane stains, and in what pattern.

Two quantities are estimated by a small net grown on drawn fields (`ring_net`, `training`): the DAB density of the
cell's own membrane, without its neighbours' share and without what the optics took, and the share of its outline that
is stained. Cut-points on these two, which are settings and are saved with the run, give the facts. So a cut-point can
be read, moved and calibrated on control tissue, and the net never gives a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.membrane_net import RingNet, estimate_rings, load_ring_net
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES, Rings
from qupath_her2.cells.membrane.radial_profiles import Sectors
from qupath_her2.records import NOT_MEASURED

__all__ = ["Estimates", "GradingSettings", "estimate_membranes", "grade", "is_lateral"]

NET_FILE = "membrane_net.npz"

_NONE, _INCOMPLETE, _LATERAL, _COMPLETE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class GradingSettings:
    """Cut-points on a cell's own membrane.

    No guideline gives a density. These lie between the drawn classes, whose densities follow published cuts
    (0.10 / 0.25 / 0.45 and neighbours; see `qupath_her2.synthetic`), and should be calibrated on control tissue.

    Attributes
    ----------
    faint_od, moderate_od, intense_od
        Own membrane DAB density from which staining counts as such, OD.
    min_completeness
        Less of the outline stained than this is no membrane staining, 0..1.
    complete_from
        From this share of the outline on, a membrane is complete, 0..1.
    lateral_from
        Smallest stained share of a lateral or basolateral pattern, 0..1.
    """

    faint_od: float = 0.034
    moderate_od: float = 0.2
    intense_od: float = 0.455
    min_completeness: float = 0.08
    complete_from: float = 0.7
    lateral_from: float = 0.35


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is estimated of N cells.

    `own_od` float32 (N), DAB density of the own membrane, OD; `completeness` float32 (N), 0..1; NaN where a cell
    could not be measured; `lateral` bool (N), stained on one side or on two opposite ones.
    """

    own_od: NDArray[np.float32]
    completeness: NDArray[np.float32]
    lateral: NDArray[np.bool_]


@cache
def _net() -> RingNet:
    return load_ring_net(NET_FILE, FEATURE_NAMES)


def is_lateral(sectors: Sectors) -> NDArray[np.bool_]:
    """Tell the cells stained along one unbroken side (basolateral) or along two opposite ones (lateral).

    Parameters
    ----------
    sectors
        Of N cells.

    Returns
    -------
    NDArray[np.bool_]
        bool (N)
    """
    step = sectors.peak_od - sectors.inner_od
    level = np.maximum(np.median(np.sort(step, axis=1)[:, -12:], axis=1) / 2, 0.04)
    stained = step > level[:, None]
    n_sectors = stained.shape[1]
    # Fourier sums of the stained sectors: one side speaks in the first harmonic, two opposite ones in the second.
    angle = 2 * np.pi * np.arange(n_sectors) / n_sectors
    count = np.maximum(stained.sum(1), 1)
    first = np.abs((stained * np.exp(1j * angle)).sum(1)) / count
    second = np.abs((stained * np.exp(2j * angle)).sum(1)) / count
    lateral: NDArray[np.bool_] = np.maximum(first, second) > 0.45
    return lateral


def estimate_membranes(rings: Rings, sectors: Sectors) -> Estimates:
    """Estimate the own membranes of N cells.

    Parameters
    ----------
    rings
        float16 (N, 36, C), `features.ring_features`.
    sectors
        Of the same cells.
    """
    found = estimate_rings(_net(), rings)
    root, completeness = np.maximum(found[:, 0], 0), np.clip(found[:, 1], 0, 1)
    return Estimates(np.square(root), completeness, is_lateral(sectors))


def grade(
    estimates: Estimates, settings: GradingSettings | None = None, shift: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut the estimates into intensity and pattern.

    Parameters
    ----------
    estimates
        Of N cells.
    settings
        Cut-points.
    shift
        Moves the density cut-points by this share, e.g. 0.1 for 10 % higher; to see how firm a score stands.

    Returns
    -------
    tuple[NDArray[np.uint8], NDArray[np.uint8]]
        uint8 (N) twice: indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    """
    s = settings or GradingSettings()
    cuts = np.array([s.faint_od, s.moderate_od, s.intense_od]) * (1 + shift)
    intensity = np.digitize(estimates.own_od, cuts).astype(np.uint8)
    intensity[estimates.completeness < s.min_completeness] = 0
    complete = estimates.completeness >= s.complete_from
    lateral = estimates.lateral & (estimates.completeness >= s.lateral_from)
    pattern = np.where(complete, _COMPLETE, np.where(lateral, _LATERAL, _INCOMPLETE)).astype(np.uint8)
    pattern[intensity == 0] = _NONE
    unmeasured = np.isnan(estimates.own_od) | np.isnan(estimates.completeness)
    intensity[unmeasured] = NOT_MEASURED
    pattern[unmeasured] = NOT_MEASURED
    return intensity, pattern
