"""Tissue layout: tumour nests, stroma, lumens, glass, and a tessellation of the nests into deformed cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from qupath_her2.synthetic.noise import MARGIN_UM, sample, smooth_field, stream
from qupath_her2.synthetic.outline import smoothed_contour
from qupath_her2.synthetic.settings import FieldSettings

__all__ = [
    "AREAS",
    "BENIGN",
    "FAT",
    "GLASS",
    "LAYOUT_UM",
    "LUMEN",
    "NECROSIS",
    "STROMA",
    "TUMOUR",
    "VESSEL",
    "Layout",
    "cut_edge",
    "cut_lumens",
    "depth_in",
    "fill_with_cells",
    "keep_apart",
    "lay_out",
]

#: Spacing of the layout raster, µm. Outlines are smoothed, so it limits the detail of shapes, not of positions.
LAYOUT_UM = 0.5
#: Names of the region codes; the code is the index.
AREAS = ("glass", "stroma", "tumour", "lumen", "fat", "benign", "necrosis", "vessel")
GLASS, STROMA, TUMOUR, LUMEN, FAT, BENIGN, NECROSIS, VESSEL = range(len(AREAS))

Floats = NDArray[np.float32]
Column = NDArray[np.float64]
#: Centres (N, 2), axes, aspects and diameters.
Seeds = tuple[Column, Column, Column, Column]


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a field in µm, with the image's top-left corner at the origin.

    Attributes
    ----------
    region
        uint8 (H, W), region codes at a spacing of `LAYOUT_UM`, margin included.
    outlines
        N open rings, one per cell, float64 (K, 2), µm.
    axis
        float64 (N,), direction of each cell's long axis, radians; in glands it points to the lumen.
    aspect
        float64 (N,), aspect ratio the cell was laid out with; its outline may differ.
    """

    region: NDArray[np.uint8]
    outlines: list[NDArray[np.float64]]
    axis: NDArray[np.float64]
    aspect: NDArray[np.float64]


def lay_out(settings: FieldSettings) -> Layout:
    """Lay out regions and cell outlines; the result depends on extent in µm and seed, never on the pixel size."""
    return fill_with_cells(settings, _regions(settings))


def fill_with_cells(
    settings: FieldSettings, region: NDArray[np.uint8], height: Floats | None = None
) -> Layout:
    """Divide the tumour of a raster of region codes into deformed cells.

    Parameters
    ----------
    settings
        Settings of the field.
    region
        uint8 (H, W), region codes at a spacing of `LAYOUT_UM`, margin included.
    height
        float32 (H, W), µm; columnar cells stand along its slope where it is above -26. None stands them along the
        depth inside the tumour, down to 22 µm.

    Returns
    -------
    Layout
        Regions and cells; where `n_target` drops cells, stroma takes their place.
    """
    seeds, axis, aspect, diameter = _seeds(settings, region, height)
    warp_x, warp_y = (
        (1.0 * smooth_field(stream(settings.seed, name), settings.extent_um, 2.5, LAYOUT_UM)).astype(
            np.float32
        )
        for name in ("warp x", "warp y")
    )
    # Radius of a free-standing cell in diameters: below 0.5 neighbours do not touch, at 0.74 they fill every gap.
    reach = 0.42 + 0.32 * settings.crowding
    inside = region == TUMOUR
    # Two of Lloyd's steps even out the sizes of randomly placed cells; more would make a honeycomb.
    for _ in range(2):
        labels = _tessellate(seeds, axis, aspect, diameter, reach, warp_x, warp_y, inside)
        seeds = _centres(labels, seeds)
    labels = _tessellate(seeds, axis, aspect, diameter, reach, warp_x, warp_y, inside)
    kept, outlines = _outlines(labels)
    if settings.n_target is not None:
        kept, outlines = _nearest(settings, kept, outlines)
        region = np.where(inside & ~np.isin(labels, kept), STROMA, region).astype(np.uint8)
    return Layout(region, outlines, axis[kept], aspect[kept])


def depth_in(region: NDArray[np.uint8], code: int) -> Floats:
    """Return the depth of each layout sample inside a region, float32 (H, W), µm, at most 200; 0 outside."""
    # OpenCV returns the largest float where a region has no border at all.
    depth = cv2.distanceTransform((region == code).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    return np.asarray(np.minimum(depth, 200), np.float32)


def _regions(settings: FieldSettings) -> NDArray[np.uint8]:
    """Return region codes: septa of stroma between nests, lumens inside nests, and a torn tissue edge."""
    # Where a smooth random field is near zero lie the septa: connected bands of even width.
    extent = settings.extent_um
    bands = np.abs(smooth_field(stream(settings.seed, "nests"), extent, 28.0, LAYOUT_UM))
    region = np.full(bands.shape, TUMOUR, np.uint8)
    if settings.stroma > 0:
        region[bands <= np.quantile(bands, settings.stroma)] = STROMA
    cut_lumens(settings, region, settings.lumens)
    cut_edge(settings, region)
    return region


def cut_edge(settings: FieldSettings, region: NDArray[np.uint8]) -> None:
    """Replace one side of the tissue by glass beyond a torn edge, in place."""
    if settings.tissue_edge <= 0:
        return
    rng = stream(settings.seed, "edge")
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(region.shape) * LAYOUT_UM
    ripple = 9 * smooth_field(rng, settings.extent_um, 12.0, LAYOUT_UM)
    height = columns * np.cos(angle) + rows * np.sin(angle) + ripple
    region[height > np.quantile(height, 1 - settings.tissue_edge)] = GLASS


def cut_lumens(
    settings: FieldSettings, region: NDArray[np.uint8], amount: float, apart_um: float = 55.0
) -> None:
    """Cut lumens into the middle of some wide nests.

    Parameters
    ----------
    settings
        Settings of the field.
    region
        uint8 (H, W), region codes, changed in place.
    amount
        Lumens tried, in units of 400; those too near to a border or to another lumen are left out.
    apart_um
        Least distance between the rims of two lumens, µm.
    """
    rng = stream(settings.seed, "lumens")
    depth = depth_in(region, TUMOUR)
    ripple = smooth_field(rng, settings.extent_um, 4.0, LAYOUT_UM)
    for _ in range(int(400 * amount)):
        row, column = int(rng.integers(0, region.shape[0])), int(rng.integers(0, region.shape[1]))
        radius, angle, aspect = rng.uniform(4, 13), rng.uniform(0, np.pi), rng.uniform(1.0, 2.5)
        if depth[row, column] < min(15, apart_um) + radius:
            continue
        top, left = max(0, row - 140), max(0, column - 140)
        window = np.s_[top : row + 140, left : column + 140]
        rows, columns = np.indices(region[window].shape, np.float32)
        x, y = (columns + left - column) * LAYOUT_UM, (rows + top - row) * LAYOUT_UM
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        region[window][np.hypot(along / aspect, across) < radius + 1.5 * ripple[window]] = LUMEN
        depth[window][np.hypot(x, y) < apart_um + radius] = 0


def _seeds(settings: FieldSettings, region: NDArray[np.uint8], height: Floats | None = None) -> Seeds:
    """Place cells by dart throwing: centres, axes, aspect ratios and diameters that keep a minimum distance."""
    rng = stream(settings.seed, "seeds")
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    n = int(40 * extent.prod() / settings.cell_diameter_um**2)
    xy = rng.uniform(0, 1, (n, 2)) * extent - MARGIN_UM
    diameter = settings.cell_diameter_um * np.exp(rng.normal(0, settings.cell_diameter_cv, n))
    aspect = rng.uniform(*settings.cell_aspect, n)
    # A wall one cell thick has its crest where the cells stand: there only a given height has a slope.
    depth = depth_in(region, TUMOUR) if height is None else height
    blur_um = 5 if height is None else 2
    depth = np.asarray(cv2.GaussianBlur(depth, (0, 0), blur_um / LAYOUT_UM), np.float32)
    slope_y, slope_x = (np.asarray(slope, np.float32) for slope in np.gradient(depth))
    outward = np.arctan2(-sample(slope_y, xy, LAYOUT_UM), -sample(slope_x, xy, LAYOUT_UM))
    swirl = smooth_field(rng, settings.extent_um, 20.0, LAYOUT_UM)
    free = np.pi * sample(swirl, xy, LAYOUT_UM) + rng.normal(0, 0.5, n)
    at = sample(depth, xy, LAYOUT_UM)
    is_columnar = rng.uniform(0, 1, n) < settings.gland * (at < 22 if height is None else at > -26)
    axis = np.where(is_columnar, outward + rng.normal(0, 0.12, n), free)
    aspect = np.where(is_columnar, rng.uniform(1.8, 2.8, n), aspect)
    open_at = sample((region == TUMOUR).astype(np.float32), xy, LAYOUT_UM) > 0
    xy, axis, aspect, diameter = xy[open_at], axis[open_at], aspect[open_at], diameter[open_at]
    kept = keep_apart(xy, axis, aspect, diameter, 0.84)
    return xy[kept], axis[kept], aspect[kept], diameter[kept]


@njit(cache=True)
def _apart(dx: float, dy: float, axis: float, aspect: float, diameter: float) -> float:
    """Return the distance of a point from a cell's centre in units of the cell's diameter along each axis."""
    along = dx * np.cos(axis) + dy * np.sin(axis)
    across = dy * np.cos(axis) - dx * np.sin(axis)
    root = np.sqrt(aspect)
    return float(np.sqrt((along / root) ** 2 + (across * root) ** 2) / diameter)


@njit(cache=True)
def keep_apart(xy: Column, axis: Column, aspect: Column, diameter: Column, apart: float) -> NDArray[np.int64]:
    """Keep the elliptical darts, in order, that lie far enough from all darts kept before.

    Parameters
    ----------
    xy
        float64 (N, 2), centres, µm.
    axis
        float64 (N,), direction of the long axis, radians.
    aspect
        float64 (N,), aspect ratio.
    diameter
        float64 (N,), diameter of the circle of equal area, µm.
    apart
        Minimum distance, in diameters, as the mean of the distances in either dart's own metric.

    Returns
    -------
    NDArray[np.int64]
        int64 (K,), indices of the darts kept.
    """
    kept = np.empty(len(xy), np.int64)
    n = 0
    for i in range(len(xy)):
        is_free = True
        for k in range(n):
            j = kept[k]
            dx, dy = xy[i, 0] - xy[j, 0], xy[i, 1] - xy[j, 1]
            # Beyond 50 µm no cell reaches: skip the costly metric.
            if dx * dx + dy * dy > 2500.0:
                continue
            mean = 0.5 * (
                _apart(dx, dy, axis[j], aspect[j], diameter[j])
                + _apart(dx, dy, axis[i], aspect[i], diameter[i])
            )
            if mean < apart:
                is_free = False
                break
        if is_free:
            kept[n] = i
            n += 1
    return kept[:n].copy()


@njit(cache=True)
def _tessellate(seeds, axis, aspect, diameter, reach, warp_x, warp_y, inside):  # type: ignore[no-untyped-def]
    """Assign each layout sample to the nearest cell in that cell's metric, up to `reach` diameters; else -1."""
    height, width = inside.shape
    best = np.full((height, width), np.float32(reach))
    labels = np.full((height, width), -1, np.int32)
    for i in range(len(seeds)):
        radius = reach * diameter[i] * np.sqrt(aspect[i]) + 4.0
        column, row = (seeds[i, 0] + MARGIN_UM) / LAYOUT_UM, (seeds[i, 1] + MARGIN_UM) / LAYOUT_UM
        span = radius / LAYOUT_UM
        for r in range(max(0, int(row - span)), min(height, int(row + span) + 1)):
            for c in range(max(0, int(column - span)), min(width, int(column + span) + 1)):
                if not inside[r, c]:
                    continue
                # The warp bends borders, which would be straight or conic between ideal ellipses.
                dx = (c + 0.5) * LAYOUT_UM - MARGIN_UM + warp_x[r, c] - seeds[i, 0]
                dy = (r + 0.5) * LAYOUT_UM - MARGIN_UM + warp_y[r, c] - seeds[i, 1]
                d = _apart(dx, dy, axis[i], aspect[i], diameter[i])
                if d < best[r, c]:
                    best[r, c] = d
                    labels[r, c] = i
    return labels


def _centres(labels: NDArray[np.int32], seeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move each seed to the centroid of its cell (one step of Lloyd's relaxation)."""
    rows, columns = np.nonzero(labels >= 0)
    owner = labels[rows, columns]
    area = np.bincount(owner, minlength=len(seeds))
    x = np.bincount(owner, (columns + 0.5) * LAYOUT_UM - MARGIN_UM, len(seeds))
    y = np.bincount(owner, (rows + 0.5) * LAYOUT_UM - MARGIN_UM, len(seeds))
    moved = np.stack([x, y], 1) / np.maximum(area, 1)[:, None]
    return np.where(area[:, None] > 0, moved, seeds)


def _outlines(labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Return the numbers and smoothed outlines (µm) of all cells large enough to hold a nucleus."""
    kept, outlines = [], []
    for number, box in enumerate(ndimage.find_objects(labels + 1)):
        if box is None:
            continue
        ring = smoothed_contour(labels[box] == number, LAYOUT_UM, 0.7)
        # Any tumour cell is larger than 25 µm²: smaller pieces are slivers of the tessellation.
        if ring is None or cv2.contourArea(ring.astype(np.float32)) < 25:
            continue
        origin = np.array([box[1].start, box[0].start]) * LAYOUT_UM - MARGIN_UM
        kept.append(number)
        outlines.append(ring + origin)
    return np.array(kept, np.int64), outlines


def _nearest(
    settings: FieldSettings, kept: NDArray[np.int64], outlines: list[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Keep the `n_target` cells nearest to the centre of the image."""
    middle = np.array(settings.extent_um) / 2
    distance = np.array([np.hypot(*(ring.mean(0) - middle)) for ring in outlines])
    order = np.sort(np.argsort(distance)[: settings.n_target])
    return kept[order], [outlines[i] for i in order]
