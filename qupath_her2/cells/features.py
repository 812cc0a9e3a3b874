"""What the sectors of a cell and its neighbours say about its own membrane, as one row of numbers per cell.

A stained border between two cells may belong to either. Beside the cell's own sectors the row therefore tells what
its neighbours show elsewhere on their outlines: stain on a border whose neighbour is stained all round is explained
by that neighbour, stain that faces no one is the cell's own.

DAB of the cytoplasm and of the nucleus is left out on purpose. In drawings it follows the own membrane, so that trees
read it instead of the membrane; in tissue it does not, and they then overlooked closed rings round clear cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.outlines import NO_NEIGHBOUR
from qupath_her2.cells.sectors import Sectors

__all__ = ["FEATURE_NAMES", "cell_features"]

_QUANTILES = (5, 20, 35, 50, 65, 80, 95)
_FEW_QUANTILES = (20, 50, 80)
_LEVELS_OD = (0.05, 0.10, 0.20)

FEATURE_NAMES: tuple[str, ...] = (
    *(f"{what} p{q}" for what in ("step", "mass") for q in _QUANTILES),
    *(f"{what} p{q}" for what in ("width", "own step", "own mass") for q in _FEW_QUANTILES),
    *(f"{what} over {level}" for level in _LEVELS_OD for what in ("share", "longest run", "longest gap")),
    "neighbour share",
    "neighbour step",
    "clean share",
    "clean step mean",
    "clean step p80",
    "clean share over 0.05",
    "mean radius um",
    "radius variation",
)


def _longest_run(stained: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Longest run of True round the circle, as a share of it; bool (N, A) -> float32 (N)."""
    n_sectors = stained.shape[1]
    run = np.zeros(len(stained), np.int32)
    longest = np.zeros(len(stained), np.int32)
    for a in range(2 * n_sectors):
        run = np.where(stained[:, a % n_sectors], run + 1, 0)
        longest = np.maximum(longest, run)
    share: NDArray[np.float32] = (np.minimum(longest, n_sectors) / n_sectors).astype(np.float32)
    return share


def _quantiles(values: NDArray[np.float32], at: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Nearest-rank quantiles over sectors (sorting once; interpolation would cost more and say no more)."""
    ordered = np.sort(values, axis=1)
    last = values.shape[1] - 1
    return [ordered[:, round(q / 100 * last)] for q in at]


def cell_features(
    sectors: Sectors, neighbour: NDArray[np.int32], radii_um: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Describe N cells.

    Parameters
    ----------
    sectors : of the cells.
    neighbour : int32 (N, 36), index of the cell beyond each sector, -1 for none.
    radii_um : float32 (N, 36), outlines, µm.

    Returns
    -------
    float32 (N, F), columns named by `FEATURE_NAMES`; no NaN.
    """
    step = sectors.peak_od - sectors.inner_od
    mass = sectors.mass_od_um
    has_neighbour = neighbour != NO_NEIGHBOUR
    beyond = np.where(has_neighbour, neighbour, 0)
    typical_step = np.median(step, axis=1)
    typical_mass = np.median(mass, axis=1)
    beyond_step = np.where(has_neighbour, typical_step[beyond], 0)
    own_step = step - np.maximum(beyond_step, 0)
    own_mass = mass - np.where(has_neighbour, np.maximum(typical_mass[beyond], 0), 0)
    columns = [*_quantiles(step, _QUANTILES), *_quantiles(mass, _QUANTILES)]
    for values in (np.nan_to_num(sectors.width_um), own_step, own_mass):
        columns += _quantiles(values, _FEW_QUANTILES)
    for level in _LEVELS_OD:
        stained = step > np.float32(level)
        columns += [stained.mean(1), _longest_run(stained), _longest_run(~stained)]
    clean = beyond_step < 0.06
    n_clean = np.maximum(clean.sum(1), 1)
    clean_step = np.where(clean, step, 0)
    columns += [
        has_neighbour.mean(1),
        beyond_step.mean(1),
        clean.mean(1),
        clean_step.sum(1) / n_clean,
        _quantiles(clean_step, (80,))[0],
        (clean & (step > 0.05)).sum(1) / n_clean,
        radii_um.mean(1),
        radii_um.std(1) / radii_um.mean(1),
    ]
    return np.stack(columns, 1).astype(np.float32)
