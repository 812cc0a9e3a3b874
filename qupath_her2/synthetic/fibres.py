"""Direction of the stroma's fibres, and noise smeared along them (line integral convolution)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from qupath_her2.synthetic.layout import LAYOUT_UM
from qupath_her2.synthetic.noise import smooth_field, stream
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["Fibres", "fibres_round", "smeared"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fibres:
    """Fibres of the stroma on the layout raster.

    Attributes
    ----------
    direction
        float32 (H, W), direction of the fibres, radians.
    bands, fibrils
        float32 (H, W), mean 0 and SD 1: broad bundles of collagen, about 4 µm wide, and single fibrils.
    """

    direction: Floats
    bands: Floats
    fibrils: Floats


def fibres_round(settings: FieldSettings, obstacles: NDArray[np.bool_]) -> Fibres:
    """Draw fibres that run in wide swirls and bend round obstacles such as nests and ducts, bool (H, W)."""
    seed, extent = settings.seed, settings.extent_um
    # A random field has an SD of 1 over any extent: in a small field its slope would be steeper.
    height = 55 * min(1.0, min(extent) / 300)
    swirl = height * smooth_field(stream(seed, "fibre swirl"), extent, 75.0, LAYOUT_UM)
    # Bundles cross the field: without this ramp the swirl alone would close into whorls like a fingerprint.
    heading = stream(seed, "fibre heading").uniform(0, 2 * np.pi)
    rows, columns = np.indices(obstacles.shape, np.float32) * LAYOUT_UM
    ramp = 0.8 * (columns * np.cos(heading) + rows * np.sin(heading))
    away = cv2.distanceTransform((~obstacles).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    # Fibres are contour lines of this potential: near an obstacle the slope of its distance joins that of the others.
    potential = ramp + swirl + 1.3 * np.minimum(away, 25.0)
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(potential.astype(np.float32), (0, 0), 7 / LAYOUT_UM))
    # The crimp of collagen: waves of some 20 to 30 µm length.
    crimp = 0.16 * smooth_field(stream(seed, "crimp"), extent, 7.0, LAYOUT_UM)
    direction = (np.arctan2(slope_x, -slope_y) + crimp).astype(np.float32)
    coarse = smooth_field(stream(seed, "collagen bands"), extent, 1.8, LAYOUT_UM)
    fine = stream(seed, "fibrils").standard_normal(direction.shape, dtype=np.float32)
    return Fibres(direction, smeared(coarse, direction, 14.0), smeared(fine, direction, 7.0))


def smeared(noise: Floats, direction: Floats, length_um: float) -> Floats:
    """Smear noise along a direction field (Cabral and Leedom 1993, line integral convolution).

    Parameters
    ----------
    noise
        float32 (H, W).
    direction
        float32 (H, W), radians, on the layout raster.
    length_um
        Length of the smear to either side, µm.

    Returns
    -------
    Floats
        float32 (H, W), mean 0 and SD 1.
    """
    steps = max(1, round(length_um / (1.5 * LAYOUT_UM)))
    drawn = np.asarray(_convolved(noise, np.cos(direction), np.sin(direction), steps), np.float32)
    return np.asarray((drawn - drawn.mean()) / max(float(drawn.std()), 1e-9), np.float32)


@njit(cache=True)
def _convolved(noise, cos, sin, steps):  # type: ignore[no-untyped-def]
    """Average the noise on the stream line through each sample, in steps of 1.5 samples."""
    height, width = noise.shape
    result = np.empty_like(noise)
    for row in range(height):
        for column in range(width):
            total, weight = noise[row, column], np.float32(1.0)
            for way in (-1.5, 1.5):
                y, x = float(row), float(column)
                for _ in range(steps):
                    r, c = int(y + 0.5), int(x + 0.5)
                    y += way * sin[r, c]
                    x += way * cos[r, c]
                    if y < 0 or x < 0 or y > height - 1.01 or x > width - 1.01:
                        break
                    total += noise[int(y + 0.5), int(x + 0.5)]
                    weight += np.float32(1.0)
            result[row, column] = total / np.sqrt(weight)
    return result
