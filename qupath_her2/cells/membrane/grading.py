"""Grading of membranes: intensity and pattern of a cell's staining, the two properties that guidelines score.

A small network trained on drawn fields (`membrane_net`, `train_membrane_net`) estimates two quantities: the DAB density
of the cell's own membrane, without its neighbours' contribution and the loss by the optics, and the stained fraction of
its outline (completeness). Cut-points on these two, which are settings and are saved with the run, give intensity and
pattern. A cut-point can thus be read, moved and calibrated on control tissue, and the network never outputs a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.membrane_net import MembraneNet, load_membrane_net, predict_membranes
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES, ProfileFeatures
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.records import NOT_MEASURED
from qupath_her2.setting_ranges import Density, Share, check_order, check_settings

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
        DAB density of the own membrane from which staining counts as faint, moderate and intense, OD.
    min_completeness
        Below this stained fraction of the outline a cell has no membrane staining.
    complete_from
        From this stained fraction of the outline a membrane is complete.
    lateral_from
        Smallest stained fraction of a lateral or basolateral pattern.
    """

    faint_od: Density = 0.034
    moderate_od: Density = 0.2
    intense_od: Density = 0.455
    min_completeness: Share = 0.08
    complete_from: Share = 0.7
    lateral_from: Share = 0.35

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "faint_od", "moderate_od", "intense_od")
        check_order(self, "min_completeness", "lateral_from", "complete_from", is_strict=False)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimated membrane properties of N cells; NaN where a cell could not be measured.

    Attributes
    ----------
    own_od
        float32 (N), DAB density of the cell's own membrane, OD.
    completeness
        float32 (N), stained fraction of the outline, 0..1.
    lateral
        bool (N), stained along one side or along two opposite sides.
    """

    own_od: NDArray[np.float32]
    completeness: NDArray[np.float32]
    lateral: NDArray[np.bool_]


@cache
def _net() -> MembraneNet:
    return load_membrane_net(NET_FILE, FEATURE_NAMES)


def is_lateral(profiles: RadialProfiles) -> NDArray[np.bool_]:
    """Return which cells are stained along one unbroken side (basolateral) or two opposite sides (lateral).

    Parameters
    ----------
    profiles
        Radial profiles of N cells.

    Returns
    -------
    NDArray[np.bool_]
        bool (N)
    """
    step = profiles.peak_od - profiles.inner_od
    # Half the level of the strongest third of the sectors, and never less than noise: relative to the cell itself, so
    # that faint and intense cells are judged alike.
    level = np.maximum(np.median(np.sort(step, axis=1)[:, -12:], axis=1) / 2, 0.04)
    stained = step > level[:, None]
    n_sectors = stained.shape[1]
    # Fourier sums over the stained sectors: staining of one side shows in the first harmonic, of two opposite sides in
    # the second; both are near 0 for staining all round or in scattered sectors.
    angle = 2 * np.pi * np.arange(n_sectors) / n_sectors
    count = np.maximum(stained.sum(1), 1)
    first = np.abs((stained * np.exp(1j * angle)).sum(1)) / count
    second = np.abs((stained * np.exp(2j * angle)).sum(1)) / count
    lateral: NDArray[np.bool_] = np.maximum(first, second) > 0.45
    return lateral


def estimate_membranes(features: ProfileFeatures, profiles: RadialProfiles) -> Estimates:
    """Estimate density, completeness and side of the own membranes of N cells.

    Parameters
    ----------
    features
        float16 (N, 36, C), see `profile_features`.
    profiles
        Radial profiles of the same cells.

    Returns
    -------
    Estimates
        Of the N cells.

    Raises
    ------
    ExchangeError
        When the installed network was trained on other features.
    """
    predicted = predict_membranes(_net(), features)
    # The network predicts the root of the density, so that errors of faint membranes weigh as much as those of strong
    # ones.
    root, completeness = np.maximum(predicted[:, 0], 0), np.clip(predicted[:, 1], 0, 1)
    return Estimates(np.square(root), completeness, is_lateral(profiles))


def grade(
    estimates: Estimates, settings: GradingSettings | None = None, shift: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Apply the cut-points: intensity and pattern of each cell.

    Parameters
    ----------
    estimates
        Membrane properties of N cells.
    settings
        Cut-points.
    shift
        Relative shift of the density cut-points, e.g. 0.1 for 10 % higher; shows how robust a score is.

    Returns
    -------
    tuple[NDArray[np.uint8], NDArray[np.uint8]]
        uint8 (N) twice: indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    """
    s = settings or GradingSettings()
    cuts = np.array([s.faint_od, s.moderate_od, s.intense_od]) * (1 + shift)
    intensity = np.digitize(estimates.own_od, cuts).astype(np.uint8)
    intensity[estimates.completeness < s.min_completeness] = 0
    # A complete membrane is complete even where one side stains more strongly.
    complete = estimates.completeness >= s.complete_from
    lateral = estimates.lateral & (estimates.completeness >= s.lateral_from)
    pattern = np.where(complete, _COMPLETE, np.where(lateral, _LATERAL, _INCOMPLETE)).astype(np.uint8)
    pattern[intensity == 0] = _NONE
    # Comparisons with NaN are silently false and would end as a grade.
    unmeasured = np.isnan(estimates.own_od) | np.isnan(estimates.completeness)
    intensity[unmeasured] = NOT_MEASURED
    pattern[unmeasured] = NOT_MEASURED
    return intensity, pattern
