"""Outlines of the marked breast crops and how well they fit, for the training of the nucleus trees.

Only centres were marked (`breast_nuclei`). The outline that stands for a marked nucleus is, of those that hold this
mark alone with their centre within 2.5 µm of it, the one with the strongest edge, larger ones before smaller ones.
Others are rated by their overlap with it, those that hold two marks as poor, those without a mark as no nuclei.
Outlines near a doubtful mark are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.nuclei.candidates import Candidates, mean_edge, nucleus_features
from qupath_her2.cells.nuclei.contours import outline_seeds
from qupath_her2.cells.nuclei.detection import ClassicalDetector
from qupath_her2.cells.nuclei.seeds import find_seeds
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide, read_scaled
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from tests.quality.breast_nuclei import (
    CROP_PX,
    MARKS,
    MORE_MARKS,
    MORE_UM_PX,
    Mark,
    field_file,
    marked_crops,
    marks_xy,
    sure_and_doubtful,
)
from tests.quality.chain import group_vectors

__all__ = ["breast_rows", "fit_to_marks"]

Rows = tuple[NDArray[np.float32], NDArray[np.float64]]
_HALO_PX = 128
_EDGE_PX = 6
#: Distances of centres within which an outline may stand for a mark, is compared with it, or is too near a doubtful
#: one.
_STANDS_UM, _COMPARED_UM, _DOUBT_UM = 2.5, 8.0, 4.0
#: Fit of an outline that holds two nuclei.
_MERGED_FIT = 0.15


def _distances(xy: NDArray[np.float64], marks: Sequence[Mark], um_px: float) -> NDArray[np.float64]:
    """Return the distances of N outlines to M marks, µm, (N, max(M, 1)); infinite without marks."""
    if not marks:
        return np.full((len(xy), 1), np.inf)
    away: NDArray[np.float64] = np.hypot(*(xy[:, None] - marks_xy(marks)[None]).transpose(2, 0, 1)) * um_px
    return away


def _held(outlines: NDArray[np.object_], marks: Sequence[Mark]) -> NDArray[np.int64]:
    """Return how many marks each outline holds."""
    rows, _ = shapely.STRtree(shapely.points(marks_xy(marks))).query(outlines, predicate="contains")
    return np.bincount(rows, minlength=len(outlines))


def fit_to_marks(
    found: Candidates,
    xy: NDArray[np.float64],
    rings: NDArray[np.float64],
    marks: Sequence[Mark],
    um_px: float,
) -> NDArray[np.float64]:
    """Return the fit of each outline, 0 to 1, NaN where it cannot be told; `xy` and `rings` in pixels of the crop."""
    sure, doubtful = sure_and_doubtful(marks)
    outlines = shapely.buffer(shapely.polygons(rings), 0)
    held, in_doubt = _held(outlines, sure), _held(outlines, doubtful) > 0
    away = _distances(xy, sure, um_px)
    clear = np.minimum(mean_edge(found), 0.15) * np.clip(found.area_um2 / 60, 0.15, 1) ** 0.4
    fit = np.zeros(len(found))
    for mark in range(len(sure)):
        able = (held == 1) & ~in_doubt & (away[:, mark] < _STANDS_UM) & (away.argmin(1) == mark)
        able &= found.area_um2 >= 6
        if not able.any():
            continue
        chosen = outlines[np.flatnonzero(able)[clear[able].argmax()]]
        near = np.flatnonzero(away[:, mark] < _COMPARED_UM)
        common = shapely.area(shapely.intersection(outlines[near], chosen))
        union = shapely.area(shapely.union(outlines[near], chosen))
        overlap = np.clip((common / np.maximum(union, 1e-9) - 0.25) / 0.5, 0, 1)
        fit[near] = np.maximum(
            fit[near], np.where(held[near] >= 2, np.minimum(overlap, _MERGED_FIT), overlap)
        )
    in_doubt |= _distances(xy, doubtful, um_px).min(1) < _DOUBT_UM
    fit[in_doubt & (fit < 0.5) & (held < 2)] = np.nan
    fit[~((xy > _EDGE_PX) & (xy < CROP_PX - _EDGE_PX)).all(1)] = np.nan
    return fit


def breast_rows(folders: Sequence[Path]) -> Iterator[tuple[str, Rows]]:
    """Yield the field, and features and fit of the outlines, of each marked breast crop, with samples of its field."""
    crops = {**marked_crops(MARKS), **marked_crops(MORE_MARKS)}
    for name, um_px in MORE_UM_PX.items():
        slide = open_slide(field_file(folders, name))
        tissue = find_tissue(slide, pixel_size_um=um_px)
        (stains,) = group_vectors([(slide, tissue)], um_px)
        stains, grid = replace(stains, background_rgb=tissue.background_rgb), make_grid(um_px)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        detector = ClassicalDetector().prepared([sample.tile for sample in samples])
        for crop in (one for one in crops if one[0] == name):
            scale, away = grid.downsample, np.array(crop[1:])
            corner = (away / scale - _HALO_PX) // 8 * 8
            side = int(CROP_PX / scale) + 2 * _HALO_PX + 16
            left, top = (round(v * scale) for v in corner)
            rgb = read_scaled(slide, left, top, side, side, scale)
            planes = make_planes(rgb, stains, grid.um_px)
            seeds, _ = find_seeds(planes.seed, planes.um_px)
            found = outline_seeds(planes, seeds)
            found = found.take(detector.is_possible(found))
            xy = (found.centre + corner + 0.5) * scale - away
            rings = (polygons(found.centre, found.radii) + corner + 0.5) * scale - away
            fit = fit_to_marks(found, xy, rings, crops[crop], um_px)
            told = np.isfinite(fit)
            strong = (detector.strong_edge_od, detector.strong_hematoxylin_od)
            measures = nucleus_features(found, *strong, planes.um_px)
            yield name, (measures[told], fit[told])
        slide.close()
