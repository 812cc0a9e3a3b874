"""Label images as nuclei: what StarDist, InstanSeg and Cellpose return, as centres and radii."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei

__all__ = ["nuclei_from_labels"]

#: Step along a ray, pixels: a boundary is placed to an eighth of a pixel.
_STEP_PX = 0.25


@nb.njit(cache=True)
def _ray_lengths(
    labels: NDArray[np.int32], centres: NDArray[np.float64], numbers: NDArray[np.int64], n_angles: int
) -> NDArray[np.float32]:
    height, width = labels.shape
    radii = np.zeros((len(centres), n_angles), np.float32)
    for k in range(len(centres)):
        for a in range(n_angles):
            cosine = math.cos(2 * math.pi * a / n_angles)
            sine = math.sin(2 * math.pi * a / n_angles)
            r = 0.0
            while True:
                # Pixel centres lie on whole numbers, so rounding finds the pixel under the ray.
                column = math.floor(centres[k, 0] + r * cosine + 0.5)
                row = math.floor(centres[k, 1] + r * sine + 0.5)
                if column < 0 or row < 0 or column >= width or row >= height:
                    break
                if labels[row, column] != numbers[k]:
                    break
                r += _STEP_PX
            # The edge lies between the last sample inside and the first one outside.
            radii[k, a] = max(r - _STEP_PX / 2, 0.0)
    return radii


def nuclei_from_labels(labels: NDArray[np.integer]) -> Nuclei:
    """Return the labelled objects of a tile as star-shaped nuclei round their centroids.

    An object whose centroid lies outside of it (a crescent) has no star-shaped outline and is left out.

    Parameters
    ----------
    labels
        Integer (H, W), 0 = background, every other number one object.

    Returns
    -------
    Nuclei
        In the order of their labels; pixels of the tile, whose centres are whole numbers.
    """
    flat = np.ascontiguousarray(labels, np.int32)
    numbers, index, area = np.unique(flat, return_inverse=True, return_counts=True)
    y, x = np.indices(flat.shape)
    index = index.reshape(-1)
    centroid = np.stack(
        [np.bincount(index, plane.reshape(-1), minlength=len(numbers)) / area for plane in (x, y)], 1
    )
    is_object = numbers != 0
    centroid, numbers = centroid[is_object], numbers[is_object].astype(np.int64)
    radii = _ray_lengths(flat, centroid, numbers, N_ANGLES)
    has_centre = radii.min(axis=1, initial=np.inf) > 0
    return Nuclei(centroid[has_centre], radii[has_centre])
