"""Measured cells as columns: the result of a tile, and of an image once its tiles are joined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES, NUCLEUS_AREA
from qupath_her2.cells.membrane.outlines import N_SECTORS
from qupath_her2.cells.membrane.profile_features import ProfileFeatures
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.quality.stain_location import N_PLACES

__all__ = ["NEW_CELL", "TileCells", "join"]

#: `TileCells.existing_index` of a newly detected cell.
NEW_CELL = -1


@dataclass(frozen=True, slots=True)
class TileCells:
    """N measured cells, as columns: 0.7 kB a cell, so that those of a whole slide fit into 2 GB twice.

    Attributes
    ----------
    centre_xy
        float64 (N, 2), centre of the nucleus, level-0 pixels.
    counted_xy
        float64 (N, 2), point by which a cell is counted in a region: QuPath's centroid of its outline, level-0 pixels.
    cell_xy, nucleus_xy
        float32 (N, 36, 2) and (N, 32, 2), outlines, level-0 pixels.
    region
        int32 (N), index of the scored region.
    existing_index
        int64 (N), index of the existing cell that was measured, `NEW_CELL` for a detected one.
    measurements
        float32 (N, 11), see `measurement_columns`.
    stain_places
        float32 (N, 5), see `stain_places`.
    features
        float16 (N, 36, C), input of the membrane network, see `profile_features`; (N, 0, 0) where it is not asked for.
    edge_blur_um
        float32 (N), blur of the edges around the cell, µm, see `focus_map`; NaN with too few of them.
    uncertainty
        float32 (N), of a Bayesian network, see `network_cells_in_tile`; NaN for all other sources.
    is_tumour
        bool (N), False for cells that a network takes for no tumour cells, see `network_cells_in_tile`.
    is_detected
        bool (N), False for an existing cell in which no nucleus is detected.
    tissue
        float32 (N, F), see `tissue_features`; F = 0 where no tumour is searched for.
    tumour_probability
        float32 (N), probability that it is a tumour cell, 0..1; NaN where no tumour is searched for.
    """

    centre_xy: NDArray[np.float64]
    counted_xy: NDArray[np.float64]
    cell_xy: NDArray[np.float32]
    nucleus_xy: NDArray[np.float32]
    region: NDArray[np.int32]
    existing_index: NDArray[np.int64]
    measurements: NDArray[np.float32]
    stain_places: NDArray[np.float32]
    features: ProfileFeatures
    edge_blur_um: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    is_tumour: NDArray[np.bool_]
    is_detected: NDArray[np.bool_]
    tissue: NDArray[np.float32]
    tumour_probability: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre_xy)

    @property
    def nucleus_area_um2(self) -> NDArray[np.float32]:
        """float32 (N), µm²; NaN for a cell without nucleus."""
        return self.measurements[:, MEASUREMENT_NAMES.index(NUCLEUS_AREA)]

    @classmethod
    def none(cls) -> TileCells:
        """Return no cells."""
        # With the dtypes of measured cells, so that an image without cells gives the same kind of table.
        f32 = np.float32
        return cls(
            np.zeros((0, 2)),
            np.zeros((0, 2)),
            np.zeros((0, N_SECTORS, 2), f32),
            np.zeros((0, N_ANGLES, 2), f32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros((0, len(MEASUREMENT_NAMES)), f32),
            np.zeros((0, N_PLACES), f32),
            np.zeros((0, 0, 0), np.float16),
            np.zeros(0, f32),
            np.zeros(0, f32),
            np.zeros(0, bool),
            np.zeros(0, bool),
            np.zeros((0, 0), f32),
            np.zeros(0, f32),
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> TileCells:
        """Return some of the cells, in their order: by index or by mask (N)."""
        return TileCells(**{f.name: getattr(self, f.name)[rows] for f in fields(TileCells)})

    def compacted(self, kept: NDArray[np.bool_]) -> TileCells:
        """Return the cells of a mask (N) in the memory of these, which must not be used afterwards.

        Of a whole slide, a copy beside the original would be the most that is ever in memory.
        """
        n = int(np.count_nonzero(kept))
        columns = {}
        for f in fields(TileCells):
            column = getattr(self, f.name)
            column[:n] = column[kept]
            columns[f.name] = column[:n]
        return TileCells(**columns)

    def tumour(self) -> TileCells:
        """Return the cells that no network takes for other cells."""
        # Mostly all of them, and a million cells are not copied for nothing.
        return self if self.is_tumour.all() else self.take(self.is_tumour)


def join(parts: Iterable[TileCells]) -> TileCells:
    """Join the cells of all tiles and sort them from top to bottom, so that their order does not depend on the tiling.

    Parameters
    ----------
    parts
        The cells of each tile, in any order; may be empty. Those of an iterator are freed column by column, so that a
        whole slide is not in memory twice.

    Returns
    -------
    TileCells
        All cells, sorted by y, then x.
    """
    names = [f.name for f in fields(TileCells)]
    # A tile without cells has columns without width where others have some.
    columns = [{name: getattr(part, name) for name in names} for part in parts if len(part)]
    if not columns:
        return TileCells.none()
    y, x = (np.concatenate([part["centre_xy"][:, axis] for part in columns]) for axis in (1, 0))
    # Coordinates were computed relative to a tile: those of existing cells, which lie on no grid, differ between
    # tilings in their last digits.
    order = np.lexsort((x.round(3), y.round(3)))
    return TileCells(**{name: np.concatenate([part.pop(name) for part in columns])[order] for name in names})
