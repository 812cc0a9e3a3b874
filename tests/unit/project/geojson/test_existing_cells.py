"""Existing cells: collected one at a time, as columns."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.project.geojson.existing_cells import CellCollector, ExistingCells, largest_ring


def collected() -> ExistingCells:
    collector = CellCollector()
    collector.add(UUID(int=1), shapely.box(0, 0, 10, 10), shapely.box(4, 4, 6, 6), "Tumor: 2+", is_cell=True)
    triangle = shapely.Polygon([(20, 0), (30, 0), (20, 10)])
    collector.add(UUID(int=2), triangle, None, None, is_cell=False)
    cells = collector.table()
    assert cells is not None
    return cells


def test_no_cells_give_no_table() -> None:
    assert CellCollector().table() is None


def test_cells_become_columns() -> None:
    cells = collected()
    assert len(cells) == 2
    assert [UUID(bytes=row.tobytes()).int for row in cells.uuid] == [1, 2]
    assert cells.cell_offsets.tolist() == [0, 4, 7]
    assert cells.nucleus_offsets.tolist() == [0, 4, 4]
    rings = np.split(cells.cell_xy, cells.cell_offsets[1:-1])
    assert [shapely.Polygon(ring).area for ring in rings] == [100, 50]
    assert cells.class_names == ("Tumor: 2+", None)
    assert cells.is_cell.tolist() == [True, False]


def test_the_outline_is_the_largest_part_without_holes() -> None:
    large = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 4, 4))
    ring = largest_ring(shapely.MultiPolygon([shapely.box(20, 0, 21, 1), large]))
    assert ring.dtype == np.float32
    assert ring.shape == (4, 2)
    assert shapely.Polygon(ring).equals(shapely.box(0, 0, 10, 10))


def test_the_digest_depends_on_outlines_and_uuids_but_not_on_classes() -> None:
    cells = collected()
    assert replace(cells, class_names=("Other", "Other")).digest() == cells.digest()
    assert replace(cells, uuid=cells.uuid[::-1]).digest() != cells.digest()
    assert replace(cells, cell_xy=cells.cell_xy + 1).digest() != cells.digest()


def test_an_exact_measurement_name_wins_over_a_reordered_one() -> None:
    names = ("DAB: Mean", "Mean: DAB")
    cells = replace(collected(), measurement_names=names, measurements=np.array([[1, 2], [3, 4]], np.float32))
    assert [cells.column(name).tolist() for name in names] == [[1, 3], [2, 4]]
    with pytest.raises(KeyError, match="there are: DAB: Mean, Mean: DAB"):
        cells.column("Max: DAB")
