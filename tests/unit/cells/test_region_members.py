from __future__ import annotations

from uuid import UUID

import numpy as np
import shapely

from qupath_her2.cells.region_members import region_members
from qupath_her2.records import CellTable, Region

LEFT = Region(UUID(int=1), shapely.box(0, 0, 60, 100), "tumour")
RIGHT = Region(UUID(int=2), shapely.box(40, 0, 100, 100), "tumour")
WITHIN = Region(UUID(int=3), shapely.box(5, 5, 25, 95), "tumour")


def table(x: list[float], region: list[int]) -> CellTable:
    """Return cells of 8 px around (x, 50); their nuclei lie 3 px beside the middle."""
    n = len(x)
    square = np.array([[-4, -4], [4, -4], [4, 4], [-4, 4]])
    centres = np.stack([np.array(x), np.full(n, 50.0)], 1)
    return CellTable(
        uuid=np.zeros((n, 16), np.uint8),
        centroid_xy=(centres + np.array([3, 0])).astype(np.float32),
        cell_xy=(centres[:, None] + square).reshape(-1, 2).astype(np.float32),
        cell_offsets=np.arange(n + 1) * 4,
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.array(region, np.int32),
        measurements=np.zeros((n, 0), np.float32),
        measurement_names=(),
        cell_class=np.full(n, 255, np.uint8),
    )


def test_regions_that_do_not_overlap_need_no_members() -> None:
    assert region_members(table([10, 80], [0, 1]), [WITHIN, RIGHT]) is None
    assert region_members(table([], []), []) is None


def test_cells_of_an_overlap_count_in_both_regions() -> None:
    found = region_members(table([10, 39, 50, 80], [0, 0, 0, 1]), [LEFT, RIGHT])
    assert found is not None
    # The cell at 39 has its nucleus, not its centroid, in the region on the right.
    assert [mask.tolist() for mask in found] == [[True, True, True, False], [False, False, True, True]]


def test_the_outer_of_two_nested_regions_counts_the_cells_of_the_inner() -> None:
    found = region_members(table([10, 20, 30], [1, 1, 0]), [LEFT, WITHIN])
    assert found is not None
    assert [mask.sum() for mask in found] == [3, 2]


def test_a_cell_on_the_outline_stays_in_its_own_region() -> None:
    found = region_members(table([60, 50], [0, 1]), [LEFT, RIGHT])
    assert found is not None
    assert found[0].tolist() == [True, True]
