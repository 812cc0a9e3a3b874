"""Nuclei of whole tissue that belong to no epithelium: fibroblasts, lymphocytes, vessels, fat, necrosis."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.architecture import TissueLayout
from qupath_her2.synthetic.layout import (
    BENIGN,
    FAT,
    LAYOUT_UM,
    NECROSIS,
    STROMA,
    TUMOUR,
    depth_in,
    keep_apart,
)
from qupath_her2.synthetic.noise import MARGIN_UM, sample, smooth_field, stream
from qupath_her2.synthetic.outline import normals, resampled, wobbly_ellipse
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.surroundings import OtherNuclei
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["tissue_nuclei"]

Ring = NDArray[np.float64]
Column = NDArray[np.float64]
#: Candidates: kind, centres (N, 2) in µm, direction of the long axis, radians.
Placed = tuple[str, Ring, Column]
#: Range of the diameter of the circle of equal area (µm), of the aspect ratio, and of the OD as a multiple of a tumour
#: nucleus's mean: lymphocytes are round, small and dark, spindle nuclei long and thin.
_SHAPES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "endothelium": ((3.6, 5.0), (2.5, 4.5), (0.9, 2.0)),
    "myoepithelium": ((3.6, 4.8), (1.8, 3.5), (0.8, 1.8)),
    "adipocyte": ((3.8, 5.0), (2.5, 4.5), (1.0, 2.0)),
    "necrosis": ((1.2, 4.0), (1.0, 1.6), (1.0, 2.8)),
    "lymphocyte": ((5.0, 7.0), (1.0, 1.3), (1.2, 2.4)),
    "stroma": ((3.2, 5.8), (1.8, 5.5), (0.5, 1.9)),
}


def tissue_nuclei(settings: FieldSettings, tissue: TissueSettings, layout: TissueLayout) -> OtherNuclei:
    """Place all nuclei that are not epithelial.

    Parameters
    ----------
    settings, tissue
        Settings of the field.
    layout
        Regions, fibres, vessels and fat cells.

    Returns
    -------
    OtherNuclei
        Nuclei that do not touch one another, with their kinds.
    """
    rng = stream(settings.seed, "tissue nuclei")
    groups = [
        _endothelium(rng, layout),
        _myoepithelium(rng, layout),
        _fat(rng, layout),
        *_scattered(settings, tissue, layout, rng),
    ]
    kinds = np.concatenate([np.full(len(xy), kind, dtype="U16") for kind, xy, _ in groups])
    xy, axis = np.concatenate([g[1] for g in groups]), np.concatenate([g[2] for g in groups])
    drawn = rng.uniform(0, 1, (len(kinds), 3))
    shape = np.array([_SHAPES[kind] for kind in kinds]).reshape(-1, 3, 2)
    size, aspect, density = (shape[..., 0] + drawn * (shape[..., 1] - shape[..., 0])).T
    kept = keep_apart(xy, axis, aspect, size, 1.02)
    nuclei = [
        wobbly_ellipse(
            rng, xy[i], 0.785 * size[i] ** 2, aspect[i], axis[i], 0.08 if aspect[i] < 1.5 else 0.12
        )
        for i in kept
    ]
    return OtherNuclei(
        nuclei, [str(kinds[i]) for i in kept], density[kept] * np.mean(settings.haematoxylin_od)
    )


def _scattered(
    settings: FieldSettings, tissue: TissueSettings, layout: TissueLayout, rng: np.random.Generator
) -> list[Placed]:
    """Scatter fibroblasts along the fibres, lymphocytes in crowds and singly, and fragments in necrosis."""
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    # One candidate per 12 µm²: even a crowd of lymphocytes then fills up.
    xy = rng.uniform(0, 1, (int(extent.prod() / 12), 2)) * extent - MARGIN_UM
    crowd = smooth_field(stream(settings.seed, "aggregates"), settings.extent_um, 24.0, LAYOUT_UM)
    is_crowd = sample(crowd, xy, LAYOUT_UM) > np.quantile(crowd, 1 - 0.4 * tissue.aggregates)
    in_stroma, in_tumour, in_necrosis = (
        sample(depth_in(layout.region, code), xy, LAYOUT_UM) >= deep
        for code, deep in ((STROMA, 2.5), (TUMOUR, 2.0), (NECROSIS, 2.0))
    )
    chance = rng.random(len(xy))
    # At an amount of 1: 0.05 of 1 / 12 µm² is one fibroblast in 240 µm².
    fibroblasts = in_stroma & ~is_crowd & (chance < 0.05 * tissue.fibroblasts)
    lone = 0.05 * tissue.scatter
    lymphocytes = in_stroma & np.where(is_crowd, chance < 0.75, chance > 1 - lone)
    lymphocytes |= in_tumour & (chance > 1 - 0.08 * lone)
    along = sample(layout.fibres.direction, xy, LAYOUT_UM).astype(np.float64)
    along = along + np.where(lymphocytes, np.pi, 0.15) * rng.normal(0, 1, len(xy))
    groups = (
        ("lymphocyte", lymphocytes),
        ("stroma", fibroblasts),
        ("necrosis", in_necrosis & (chance < 0.16)),
    )
    return [(kind, xy[these], along[these]) for kind, these in groups]


def _endothelium(rng: np.random.Generator, layout: TissueLayout) -> Placed:
    """Line vessels with flat nuclei, about 12 µm apart."""
    xy, axis = [np.empty((0, 2))], [np.empty(0)]
    for ring in layout.vessels:
        line = resampled(ring, 1.0)
        outward = normals(line)
        at = np.arange(int(rng.integers(12)), len(line), 12)
        at = at[rng.random(len(at)) < 0.7]
        xy.append(line[at] + 1.2 * outward[at])
        axis.append(np.arctan2(outward[at, 0], -outward[at, 1]))
    return "endothelium", np.concatenate(xy), np.concatenate(axis)


def _myoepithelium(rng: np.random.Generator, layout: TissueLayout) -> Placed:
    """Lay flat nuclei along the outer border of benign ducts."""
    whole = (layout.region == BENIGN).astype(np.uint8)
    outside = (layout.region == STROMA).astype(np.uint8)
    depth = cv2.distanceTransform(1 - outside, cv2.DIST_L2, 5) * LAYOUT_UM
    return "myoepithelium", *_along_edge(rng, depth, (whole > 0) & (depth > 1.0) & (depth < 2.6), 25.0)


def _fat(rng: np.random.Generator, layout: TissueLayout) -> Placed:
    """Press flat nuclei against the walls of fat cells."""
    wall = layout.fat.wall_um
    return "adipocyte", *_along_edge(rng, wall, (layout.region == FAT) & (wall < 1.2), 160.0)


def _along_edge(
    rng: np.random.Generator, depth: NDArray[np.float32], edge: NDArray[np.bool_], per_um2: float
) -> tuple[Ring, Column]:
    """Draw points of an edge, one per `per_um2` of it, and the direction of the edge there."""
    rows, columns = np.nonzero(edge)
    n = int(len(rows) * LAYOUT_UM**2 / per_um2)
    at = rng.choice(len(rows), n, replace=False) if n else np.empty(0, np.int64)
    xy = (np.stack([columns[at], rows[at]], 1) + 0.5) * LAYOUT_UM - MARGIN_UM
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(depth, (0, 0), 1 / LAYOUT_UM))
    there = rows[at], columns[at]
    angle = np.arctan2(slope_x[there], -slope_y[there])
    return np.asarray(xy, np.float64), np.asarray(angle, np.float64)
