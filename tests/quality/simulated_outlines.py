"""Outlines as other programs draw them, simulated from known nuclei and cells.

No output of these programs is used: each kind copies the geometry that the program is known for. QuPath expands nuclei
by a fixed distance up to the neighbour's cell; StarDist draws polygons of 32 rays [1]_; Cellpose draws smooth whole
cells without nuclei [2]_; InstanSeg draws nuclei and cells on a grid of 0.5 µm [3]_. Edges are shaken by smooth random
errors, and all but QuPath's miss a few cells.

References
----------
.. [1] Schmidt U et al. "Cell detection with star-convex polygons." MICCAI 2018. doi:10.1007/978-3-030-00934-2_30
.. [2] Stringer C et al. "Cellpose: a generalist algorithm for cellular segmentation." Nature Methods 18:100-106, 2021.
   doi:10.1038/s41592-020-01018-x
.. [3] Goldsborough T et al. "InstanSeg: an embedding-based instance segmentation algorithm." 2024. arXiv:2408.15954
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from skimage.measure import find_contours, regionprops
from skimage.segmentation import expand_labels

from qupath_her2.project.geojson.existing_cells import CellCollector, ExistingCells
from qupath_her2.records import CellTable
from qupath_her2.synthetic.field import FieldTruth

__all__ = ["KINDS", "Shapes", "simulated_outlines"]

#: Pixel size at which QuPath and InstanSeg work by default, µm.
_GRID_UM = 0.5
#: Fraction of cells that other programs miss.
_MISSED = 0.04

_EXPANSIONS_UM = {"QuPath expansion 2 µm": 2.0, "QuPath expansion 3 µm": 3.0, "QuPath expansion 5 µm": 5.0}
_NUCLEI = "nuclei alone"
_CELLPOSE_CELLS, _CELLPOSE_DETECTIONS = "Cellpose-like cells", "Cellpose-like detections"
_STARDIST, _INSTANSEG = "StarDist-like, expansion 3 µm", "InstanSeg-like cells and nuclei"

KINDS = (*_EXPANSIONS_UM, _NUCLEI, _CELLPOSE_CELLS, _CELLPOSE_DETECTIONS, _STARDIST, _INSTANSEG)

_Ring = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Nuclei and cells to simulate outlines from, N open rings (k, 2) each, level-0 pixels."""

    nuclei: Sequence[_Ring]
    cells: Sequence[_Ring]

    @classmethod
    def drawn(cls, truth: FieldTruth) -> Shapes:
        """Return the drawn shapes."""
        return cls(truth.nuclei, truth.cells)

    @classmethod
    def detected(cls, table: CellTable) -> Shapes:
        """Return the shapes of measured cells."""
        return cls(
            np.split(table.nucleus_xy, table.nucleus_offsets[1:-1]),
            np.split(table.cell_xy, table.cell_offsets[1:-1]),
        )


def simulated_outlines(
    kind: str, shapes: Shapes, um_px: float, rng: np.random.Generator
) -> ExistingCells | None:
    """Return cells as another program would have outlined them.

    Parameters
    ----------
    kind : one of `KINDS`.
    shapes : nuclei and cells of the image.
    um_px : pixel size of level 0, µm.
    rng : of the random errors.
    """
    seen = rng.random(len(shapes.nuclei)) >= (0 if kind in _EXPANSIONS_UM or kind == _NUCLEI else _MISSED)
    nuclei = [ring for ring, kept in zip(shapes.nuclei, seen, strict=True) if kept]
    cells = [ring for ring, kept in zip(shapes.cells, seen, strict=True) if kept]
    rows: list[tuple[_Ring, _Ring | None, bool]]
    if kind in _EXPANSIONS_UM:
        rows = _expanded(nuclei, _EXPANSIONS_UM[kind], um_px)
    elif kind == _NUCLEI:
        rows = [(_shaken(ring, 64, 0.2 / um_px, 0, rng), None, False) for ring in nuclei]
    elif kind in (_CELLPOSE_CELLS, _CELLPOSE_DETECTIONS):
        rows = [(_shaken(ring, 48, 0.6 / um_px, 0.06, rng), None, kind == _CELLPOSE_CELLS) for ring in cells]
    elif kind == _STARDIST:
        rows = _expanded([_shaken(ring, 32, 0.4 / um_px, 0.05, rng) for ring in nuclei], 3.0, um_px)
    else:
        rows = [
            (_shaken(cell, 48, 0.5 / um_px, 0.04, rng), _shaken(nucleus, 48, 0.4 / um_px, 0.05, rng), True)
            for cell, nucleus in zip(cells, nuclei, strict=True)
        ]
    collector = CellCollector()
    for number, (outline, nucleus, is_cell) in enumerate(rows):
        shape = shapely.Polygon(outline).buffer(0)
        inner = None if nucleus is None else shapely.Polygon(nucleus).buffer(0)
        collector.add(UUID(int=number + 1), shape, inner, None, is_cell=is_cell)
    return collector.table()


def _shaken(ring: _Ring, corners: int, error_px: float, size_error: float, rng: np.random.Generator) -> _Ring:
    """Return a ring of `corners` rays from its centroid, smoothed, with a smooth error and one of its whole size.

    `error_px` is the standard deviation of the edge's error, `size_error` that of the radius as a fraction.
    """
    shape = shapely.Polygon(ring).buffer(0)
    centre = np.array(shape.centroid.coords[0])
    angle = 2 * np.pi * np.arange(corners) / corners
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    far = 2 * np.sqrt(shape.area) + shape.length
    rays = shapely.linestrings(np.stack([np.broadcast_to(centre, along.shape), centre + far * along], 1))
    hits = shapely.intersection(rays, shape.exterior)
    radii = np.array([shapely.hausdorff_distance(shapely.Point(centre), hit) for hit in hits])
    # Up to the sixth harmonic: networks draw no corners.
    spectrum = np.fft.rfft(radii)
    spectrum[7:] = 0
    error = np.zeros(corners)
    for harmonic in range(1, 5):
        amplitude = rng.normal(0, error_px / 2, 2)
        error += amplitude[0] * np.cos(harmonic * angle) + amplitude[1] * np.sin(harmonic * angle)
    radii = np.fft.irfft(spectrum, corners) * (1 + rng.normal(0, size_error)) + error
    return centre + np.maximum(radii, 1.0)[:, None] * along


def _expanded(nuclei: Sequence[_Ring], distance_um: float, um_px: float) -> list[tuple[_Ring, _Ring, bool]]:
    """Return cells expanded from nuclei on a pixel grid, up to the neighbour's, as QuPath does."""
    scale = um_px / _GRID_UM
    low = np.min([ring.min(0) for ring in nuclei], axis=0) * scale - 2 * distance_um / _GRID_UM
    high = np.max([ring.max(0) for ring in nuclei], axis=0) * scale + 2 * distance_um / _GRID_UM
    labels = np.zeros(np.ceil(high - low).astype(int)[::-1], np.int32)
    for number, ring in enumerate(nuclei, 1):
        cv2.fillPoly(labels, [np.round(ring * scale - low - 0.5).astype(np.int32)], number)
    grown = expand_labels(labels, distance_um / _GRID_UM)
    rows: list[tuple[_Ring, _Ring, bool]] = []
    for part in regionprops(grown):
        top, left = part.bbox[:2]
        # The largest contour: a nucleus that another covers may leave fragments.
        edge = max(find_contours(np.pad(part.image, 1).astype(float), 0.5), key=len)[:-1, ::-1]
        # `pad` moved the contour by one pixel, and pixel centres lie half a pixel inside.
        corner = low + np.array([left - 0.5, top - 0.5])
        rows.append(((edge + corner) / scale, nuclei[part.label - 1], True))
    return rows
