"""Round structures of breast tissue: benign ducts and lobules, in-situ carcinoma, vessels, adipocytes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qupath_her2.synthetic.layout import (
    BENIGN,
    FAT,
    LAYOUT_UM,
    LUMEN,
    NECROSIS,
    STROMA,
    TUMOUR,
    VESSEL,
    cut_lumens,
    depth_in,
    keep_apart,
)
from qupath_her2.synthetic.noise import MARGIN_UM, sample, smooth_field, stream
from qupath_her2.synthetic.outline import wobbly_ellipse
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["Adipocytes", "place_benign", "place_fat", "place_in_situ", "place_vessels"]

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]
#: Structures per mm² of tissue at an amount of 1.
_IN_SITU_PER_MM2, _BENIGN_PER_MM2, _VESSELS_PER_MM2 = 16.0, 22.0, 120.0


@dataclass(frozen=True, slots=True)
class Adipocytes:
    """Fat cells.

    Attributes
    ----------
    centre_xy
        float64 (N, 2), µm.
    wall_um
        float32 (H, W) on the layout raster, distance from the wall between two fat cells, µm; 200 outside of fat.
    """

    centre_xy: Ring
    wall_um: Floats


def _count(settings: FieldSettings, amount: float, per_mm2: float) -> int:
    """Return a number of structures for the field and its margin."""
    area_mm2 = float((np.array(settings.extent_um) + 2 * MARGIN_UM).prod()) * 1e-6
    return int(np.ceil(amount * per_mm2 * area_mm2))


def _anywhere(settings: FieldSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a point of the field or its margin, float64 (2,), µm."""
    return rng.uniform(0, 1, 2) * (np.array(settings.extent_um) + 2 * MARGIN_UM) - MARGIN_UM


def _depth_of(ring: Ring, shape: tuple[int, ...]) -> Floats:
    """Return the depth inside a ring on the layout raster, float32 (H, W), µm; 0 outside."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint((ring + MARGIN_UM) / LAYOUT_UM - 0.5).astype(np.int32)], 1)
    # Padded: a structure cut by the raster's edge is not shallow there.
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] * LAYOUT_UM, np.float32)


def _cleared(region: Codes, depth: Floats, taken: Mask, halo_um: float) -> bool:
    """Clear a collar of stroma round a structure; False if another structure is there already."""
    inside = depth > 0
    if (inside & taken).any():
        return False
    apart = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    collar = apart < halo_um
    region[collar] = STROMA
    taken[collar] = True
    return True


def place_in_situ(settings: FieldSettings, tissue: TissueSettings, region: Codes, taken: Mask) -> Mask:
    """Set ducts filled with tumour cells into a raster: solid, cribriform, or with comedo necrosis.

    Parameters
    ----------
    settings, tissue
        Settings of the field.
    region
        uint8 (H, W), region codes, changed in place.
    taken
        bool (H, W), where structures and their collars lie, changed in place.

    Returns
    -------
    Mask
        bool (H, W), ducts with carcinoma in situ, their lumens and necrosis included.
    """
    rng = stream(settings.seed, "in situ")
    ripple = smooth_field(rng, settings.extent_um, 5.0, LAYOUT_UM)
    in_situ = np.zeros(region.shape, bool)
    wanted, placed = _count(settings, tissue.in_situ, _IN_SITU_PER_MM2), 0
    for _ in range(3 * wanted):
        if placed == wanted:
            break
        radius, rim = rng.uniform(40, 110), rng.uniform(18, 45)
        kind = rng.choice(["comedo", "cribriform", "solid"], p=[0.45, 0.3, 0.25])
        ring = wobbly_ellipse(
            rng, _anywhere(settings, rng), np.pi * radius**2, rng.uniform(1, 1.9), rng.uniform(0, np.pi), 0.16
        )
        depth = _depth_of(ring, region.shape)
        if not _cleared(region, depth, taken, rng.uniform(8, 18)):
            continue
        placed += 1
        region[depth > 0] = TUMOUR
        in_situ |= depth > 0
        if kind == "comedo":
            region[depth + 3 * ripple > rim] = NECROSIS
        elif kind == "cribriform":
            own = np.where(depth > 0, TUMOUR, STROMA).astype(np.uint8)
            cut_lumens(settings, own, 1.5, 14.0)
            region[own == LUMEN] = LUMEN
    return in_situ


def place_benign(settings: FieldSettings, tissue: TissueSettings, region: Codes, taken: Mask) -> None:
    """Set benign ducts and lobules into a raster, in place.

    Parameters
    ----------
    settings, tissue
        Settings of the field.
    region
        uint8 (H, W), region codes, changed in place.
    taken
        bool (H, W), where structures and their collars lie, changed in place.
    """
    rng = stream(settings.seed, "benign")
    ripple = smooth_field(rng, settings.extent_um, 3.5, LAYOUT_UM)
    for _ in range(_count(settings, tissue.benign, _BENIGN_PER_MM2)):
        middle, is_lobule = _anywhere(settings, rng), rng.random() < 0.6
        for _ in range(int(rng.integers(4, 12)) if is_lobule else 1):
            radius = rng.uniform(13, 26) if is_lobule else rng.uniform(28, 75)
            centre = middle + (rng.normal(0, 38, 2) if is_lobule else 0.0)
            ring = wobbly_ellipse(
                rng, centre, np.pi * radius**2, rng.uniform(1, 1.8 if is_lobule else 3.0),
                rng.uniform(0, np.pi), 0.3,
            )  # fmt: skip
            # Two layers of cells: luminal ones 8 to 11 µm high on a thin myoepithelium.
            wall, halo = rng.uniform(11, 15), rng.uniform(4, 9) if is_lobule else rng.uniform(8, 20)
            depth = _depth_of(ring, region.shape)
            if not _cleared(region, depth, taken, halo):
                continue
            region[depth > 0] = BENIGN
            region[depth + 1.2 * ripple > wall] = LUMEN


def place_vessels(settings: FieldSettings, tissue: TissueSettings, region: Codes, taken: Mask) -> list[Ring]:
    """Set small vessels into the stroma.

    Parameters
    ----------
    settings, tissue
        Settings of the field.
    region
        uint8 (H, W), region codes, changed in place.
    taken
        bool (H, W), where other structures lie.

    Returns
    -------
    list[Ring]
        Outlines of the vessels' lumens, float64 (K, 2), µm.
    """
    rng = stream(settings.seed, "vessels")
    vessels: list[Ring] = []
    free = np.asarray(depth_in(np.where(taken, TUMOUR, region).astype(np.uint8), STROMA))
    wanted = _count(settings, tissue.vessels, _VESSELS_PER_MM2)
    # Most places are too narrow: eight tries for each vessel.
    for _ in range(8 * wanted):
        if len(vessels) == wanted:
            break
        centre = _anywhere(settings, rng)
        radius = float(np.exp(rng.uniform(np.log(3.0), np.log(16.0))))
        aspect, axis = rng.uniform(1, 3.0), rng.uniform(0, np.pi)
        if sample(free, centre[None], LAYOUT_UM)[0] < 1.2 * radius * np.sqrt(aspect) + 3:
            continue
        ring = wobbly_ellipse(rng, centre, np.pi * radius**2, aspect, axis, 0.15)
        depth = _depth_of(ring, region.shape)
        region[depth > 0] = VESSEL
        free[cv2.dilate((depth > 0).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0] = 0
        vessels.append(ring)
    return vessels


def place_fat(settings: FieldSettings, tissue: TissueSettings, region: Codes) -> Adipocytes:
    """Set lobules of whole fat cells into a raster.

    Parameters
    ----------
    settings, tissue
        Settings of the field.
    region
        uint8 (H, W), region codes, changed in place.

    Returns
    -------
    Adipocytes
        Centres, and the distance from the walls.
    """
    wall = np.full(region.shape, 200, np.float32)
    if tissue.fat <= 0:
        return Adipocytes(np.empty((0, 2)), wall)
    rng = stream(settings.seed, "fat")
    lobes = smooth_field(rng, settings.extent_um, 55.0, LAYOUT_UM)
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    # Beyond the raster too: a fat cell at its edge has neighbours outside.
    n = max(200, int(extent.prod() / 100))
    xy = rng.uniform(0, 1, (n, 2)) * (extent + 120) - MARGIN_UM - 60
    diameter = np.clip(rng.normal(58, 12, len(xy)), 30, 95)
    kept = keep_apart(xy, np.zeros(len(xy)), np.ones(len(xy)), diameter, 0.86)
    xy, diameter = xy[kept], diameter[kept]
    is_fat = sample(lobes, xy, LAYOUT_UM) > np.quantile(lobes, 1 - tissue.fat)
    rows, columns = np.indices(region.shape)[:, ::2, ::2].reshape(2, -1)
    points = (np.stack([columns, rows], 1) + 0.5) * LAYOUT_UM - MARGIN_UM
    # The warp bends walls, which would be straight between circles.
    bend = [
        3.5
        * smooth_field(stream(settings.seed, f"fat warp {axis}"), settings.extent_um, 14.0, LAYOUT_UM)[
            ::2, ::2
        ]
        for axis in "xy"
    ]
    distance, owner = cKDTree(xy).query(points + np.stack([one.ravel() for one in bend], 1), k=3)
    # Free fat cells are round, crowded ones share straight walls with rounded corners.
    room = 0.60 * diameter[owner[:, 0]] - distance[:, 0]
    gap = np.minimum(distance[:, 1] - distance[:, 0], 0.45 * (distance[:, 2] - distance[:, 0]))
    small = (len(range(0, region.shape[0], 2)), len(range(0, region.shape[1], 2)))
    size = (region.shape[1], region.shape[0])
    inside = (is_fat[owner[:, 0]] & (room > 0)).reshape(small).astype(np.float32)
    nearest = np.minimum(gap / 2, np.maximum(room, 0)).reshape(small).astype(np.float32)
    is_inside = cv2.resize(inside, size) > 0.5
    region[is_inside] = FAT
    wall[is_inside] = cv2.resize(nearest, size)[is_inside]
    return Adipocytes(xy[is_fat], wall)
