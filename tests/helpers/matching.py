"""One-to-one matching of detected nuclei with drawn ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, slots=True)
class Matches:
    """Indices of matched and unmatched nuclei.

    Attributes
    ----------
    detected, truth
        int64 (M): pair k is detection ``detected[k]`` with nucleus ``truth[k]``.
    false
        Detections without a nucleus.
    missed
        Nuclei without a detection.
    ignored
        Detections on nuclei that are no tumour cells; neither true nor false.
    """

    detected: NDArray[np.int64]
    truth: NDArray[np.int64]
    false: NDArray[np.int64]
    missed: NDArray[np.int64]
    ignored: NDArray[np.int64]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is neither a nucleus nor a detection."""
        wrong = len(self.false) + len(self.missed)
        return 2 * len(self.truth) / (2 * len(self.truth) + wrong) if len(self.truth) + wrong else 1.0


def match_nuclei(
    detected_xy: NDArray[np.floating],
    nuclei: Sequence[NDArray[np.floating]],
    pixel_size_um: float,
    others: Sequence[NDArray[np.floating]] = (),
    max_distance_um: float = 3.0,
) -> Matches:
    """Pair detections with drawn nuclei: as many pairs as possible, at the smallest total distance.

    A pair may form where the detected centre lies in the nucleus or within `max_distance_um` of its centroid.

    Parameters
    ----------
    detected_xy
        (D, 2), centres of detected nuclei, level-0 pixels.
    nuclei
        Rings (k, 2) of the true tumour nuclei, level-0 pixels.
    pixel_size_um
        µm per pixel.
    others
        Rings of nuclei that do not count as tumour cells: an unpaired detection on one of them is ignored.
    max_distance_um
        Largest distance of a pair outside the nucleus, µm.

    Returns
    -------
    Matches
        Indices into `detected_xy` and `nuclei`.
    """
    detected = np.asarray(detected_xy, float).reshape(-1, 2)
    distance, allowed = _pairs(detected, nuclei, max_distance_um / pixel_size_um)
    # A forbidden pair costs more than all allowed ones together, so it only forms where no allowed one can.
    cost = np.where(allowed, distance, 1 + distance[allowed].sum())
    rows, columns = linear_sum_assignment(cost)
    kept = allowed[rows, columns]
    rows, columns = rows[kept], columns[kept]
    single = np.setdiff1d(np.arange(len(detected)), rows)
    on_other = _pairs(detected[single], others, max_distance_um / pixel_size_um)[1].any(axis=1)
    missed = np.setdiff1d(np.arange(len(nuclei)), columns)
    return Matches(rows, columns, single[~on_other], missed, single[on_other])


def _pairs(
    detected: NDArray[np.float64], rings: Sequence[NDArray[np.floating]], reach_px: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the distances to the centroids of the rings, (D, R), and which pairs may form, bool (D, R)."""
    polygons = np.array([shapely.Polygon(ring) for ring in rings], object)
    centres = shapely.get_coordinates(shapely.centroid(polygons)) if len(rings) else np.empty((0, 2))
    distance = np.hypot(*(detected[:, None] - centres[None]).transpose(2, 0, 1))
    allowed = distance <= reach_px
    points = shapely.points(detected)
    tree_rows, tree_columns = shapely.STRtree(polygons).query(points, predicate="intersects")
    allowed[tree_rows, tree_columns] = True
    return distance, allowed
