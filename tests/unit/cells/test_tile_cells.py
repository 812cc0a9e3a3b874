from __future__ import annotations

from dataclasses import fields

import numpy as np

from qupath_her2.cells.tile_cells import TileCells, join


def test_joined_cells_do_not_depend_on_the_parts(tile_cells) -> None:
    whole = tile_cells(3, 40)
    order = np.random.default_rng(3).permutation(40)
    one, two = join([whole]), join([whole.take(order[:11]), TileCells.none(), whole.take(order[11:])])
    assert (np.diff(one.centre_xy[:, 1]) >= 0).all()
    for name in ("centre_xy", "cell_xy", "measurements", "stain_places", "region", "edge_blur_um"):
        assert (getattr(one, name) == getattr(two, name)).all()
    assert len(join([])) == 0


def test_taken_cells_keep_all_their_columns(tile_cells) -> None:
    whole = tile_cells(4, 9)
    few = whole.take(np.arange(9) % 4 == 1)
    assert len(few) == len(few.measurements) == len(few.tissue) == 2
    assert (few.centre_xy == whole.centre_xy[[1, 5]]).all()
    assert (few.measurements == whole.measurements[[1, 5]]).all()


def test_compacted_cells_are_those_of_the_mask_in_the_same_memory(tile_cells) -> None:
    whole, kept = tile_cells(5, 30), np.arange(30) % 3 != 0
    expected = whole.take(kept)
    found = whole.compacted(kept)
    assert all(
        np.array_equal(getattr(found, f.name), getattr(expected, f.name), equal_nan=True)
        for f in fields(found)
    )
    assert np.shares_memory(found.cell_xy, whole.cell_xy)
