from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.cells.existing_cells import centres_of_existing, polar_radii, select_rings
from qupath_her2.cells.grid import GridSettings
from qupath_her2.cells.measure import CellSettings, measure_cells
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.scale import DOUBT, ScaleSettings
from qupath_her2.project.geojson.existing_cells import CellCollector, ExistingCells
from qupath_her2.records import NOT_MEASURED
from tests.helpers.drawn_planes import STAINS, ArraySlide
from tests.quality.foreign_outlines import compare_outlines, fields_of, figures_of


def existing(*cells: tuple[shapely.Polygon, shapely.Polygon | None, bool]) -> ExistingCells:
    collector = CellCollector()
    for number, (cell, nucleus, is_cell) in enumerate(cells):
        collector.add(UUID(int=number + 1), cell, nucleus, None, is_cell=is_cell)
    table = collector.table()
    assert table is not None
    return table


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([8, 32, 36]))
def test_radii_of_a_star_shape_are_recovered(seed: int, n_angles: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 50, (3, 2))
    radii = rng.uniform(2, 9, (3, n_angles)).astype(np.float32)
    rings = polygons(centres, radii)
    found = polar_radii(rings.reshape(-1, 2), np.arange(4) * n_angles, centres, n_angles)
    assert found == pytest.approx(radii, abs=1e-4)


def test_square_by_formula_and_horseshoe_by_its_farthest_side() -> None:
    square = np.array([[-2.0, -2], [2, -2], [2, 2], [-2, 2]])
    (found,) = polar_radii(square, np.array([0, 4]), np.zeros((1, 2)), 16)
    angle = 2 * np.pi * np.arange(16) / 16
    assert found == pytest.approx(2 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle))), abs=1e-5)
    horseshoe = np.array([[0.0, -5], [9, -5], [9, 5], [6, 5], [6, -2], [3, -2], [3, 5], [0, 5]])
    (found,) = polar_radii(horseshoe, np.array([0, 8]), np.array([[1.5, 0.0]]), 4)
    assert found == pytest.approx([7.5, 5, 1.5, 5])


def test_empty_ring_has_radius_0() -> None:
    square = np.array([[-2.0, -2], [2, -2], [2, 2], [-2, 2]])
    found = polar_radii(square, np.array([0, 0, 4]), np.zeros((2, 2)), 8)
    assert (found[0] == 0).all()
    assert (found[1] >= 2).all()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.data())
def test_selected_rings_equal_slices(lengths: list[int], data: st.DataObject) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    xy = np.arange(2 * offsets[-1], dtype=np.float32).reshape(-1, 2)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=10))
    found, starts = select_rings(xy, offsets, np.array(chosen, np.intp))
    expected = [xy[offsets[i] : offsets[i + 1]] for i in chosen]
    assert starts.tolist() == [0, *np.cumsum([len(ring) for ring in expected], dtype=int)]
    assert (found == np.concatenate([*expected, np.empty((0, 2), np.float32)])).all()


def uneven_circle(x: float, y: float, radius: float) -> shapely.Polygon:
    """A circle whose left half has ten times as many vertices as its right half, as if clicked by hand."""
    angle = np.concatenate([np.linspace(-1.5, 1.5, 7), np.linspace(1.6, 4.7, 70)])
    return shapely.Polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1))


def test_centres_are_centroids_of_nuclei_or_else_of_cells() -> None:
    nucleus, cell = uneven_circle(103, 99, 8), shapely.Point(100, 100).buffer(20)
    cells = existing((cell, nucleus, True), (cell, None, True), (uneven_circle(50, 60, 9), None, False))
    expected = [nucleus.centroid, cell.centroid, uneven_circle(50, 60, 9).centroid]
    assert centres_of_existing(cells) == pytest.approx(np.array([[p.x, p.y] for p in expected]), abs=1e-3)


def test_degenerate_ring_has_the_mean_of_its_vertices_as_centre() -> None:
    ring = np.array([[0, 0], [4, 0], [8, 0]], np.float32)
    flat = ExistingCells(
        np.zeros((1, 16), np.uint8), ring, np.array([0, 3]), np.zeros((0, 2), np.float32), np.array([0, 0]),
        (None,), np.array([True]),
    )  # fmt: skip
    assert centres_of_existing(flat).tolist() == [[4, 0]]


def of_truth(field, kind: str) -> ExistingCells:
    """The drawn cells, as another program would have exported them."""
    rows = []
    for cell, nucleus in zip(field.truth.cells, field.truth.nuclei, strict=True):
        cell_shape, nucleus_shape = shapely.Polygon(cell), shapely.Polygon(nucleus)
        rows.append(
            {
                "cells": (cell_shape, nucleus_shape, True),
                "without nuclei": (cell_shape, None, True),
                "detections": (nucleus_shape, None, False),
            }[kind]
        )
    return existing(*rows)


def measured(field, cells, stains, tumour, **more):
    height, width = field.rgb.shape[:2]
    return measure_cells(
        ArraySlide(field.rgb), [tumour(-99, -99, width + 99, height + 99)],
        pixel_size_um=field.settings.pixel_size_um, stains=stains, existing=cells, **more,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["cells", "without nuclei", "detections"])
def test_existing_cells_keep_outlines_and_uuids_and_are_measured(kind: str, drawn, stains_of, tumour) -> None:
    field = drawn("2+")
    cells = of_truth(field, kind)
    found = measured(field, cells, stains_of(field), tumour)
    table = found.table
    order = [int.from_bytes(row.tobytes(), "big") - 1 for row in table.uuid]
    # The drawn field is out of focus in places; all other cells are there, once each.
    assert set(order) <= set(range(len(cells)))
    assert (
        len(set(order))
        == len(order)
        == len(cells) - sum(area.n_cells for area in found.cut)
        > 0.98 * len(cells)
    )
    for row, i in enumerate(order):
        for name in ("cell", "nucleus"):
            xy, offsets = getattr(cells, f"{name}_xy"), getattr(cells, f"{name}_offsets")
            new_xy, new_offsets = getattr(table, f"{name}_xy"), getattr(table, f"{name}_offsets")
            ring = new_xy[new_offsets[row] : new_offsets[row + 1]]
            assert (ring == xy[offsets[i] : offsets[i + 1]]).all()
    truth = field.truth
    # Ours are larger than the drawn ones: a nucleus ends in the middle of its blurred edge, and without a membrane a
    # cell reaches half-way to the next nucleus.
    for name, drawn_rings in (("Cell", truth.cells), ("Nucleus", truth.nuclei)):
        area = np.array([shapely.Polygon(drawn_rings[i]).area for i in order]) / 4
        ratio = table.column(f"HER2: {name} area µm^2") / area
        assert np.nanmedian(ratio) == pytest.approx(1, abs=0.25)
        # Few nuclei are too pale to be detected in the outline of a cell.
        assert np.isnan(ratio).mean() <= (0.05 if (kind, name) == ("without nuclei", "Nucleus") else 0)
    assert np.isfinite(table.column("HER2: Membrane completeness")).all()
    error = np.abs(table.column("HER2: Membrane completeness") - truth.completeness[order])
    assert np.median(error) < 0.1


def test_pieces_of_membranes_are_said_and_are_no_doubt_of_the_pixel_size(drawn, stains_of, tumour) -> None:
    field = drawn("3+")
    # Where a quarter of the way round a cell's outline lies: on its membrane.
    corners = [ring[len(ring) // 4] for ring in field.truth.cells]
    pieces = existing(*((shapely.Point(corner).buffer(3), None, False) for corner in corners))
    found = measured(field, pieces, stains_of(field), tumour)
    assert any("hold no nucleus that is found here" in warning for warning in found.warnings), found.warnings
    assert not any(warning.startswith(DOUBT) for warning in found.warnings), found.warnings
    whole = measured(field, of_truth(field, "cells"), stains_of(field), tumour)
    assert whole.empty is None
    assert not any("hold no nucleus" in warning for warning in whole.warnings)


def test_small_nuclei_alone_are_no_doubt_of_the_pixel_size(drawn, stains_of, tumour) -> None:
    field = drawn("2+")
    cells = [shapely.Polygon(cell) for cell in field.truth.cells]
    sizes = np.array([shapely.Polygon(nucleus).area for nucleus in field.truth.nuclei])
    smallest = np.argsort(sizes)[: len(sizes) // 4]
    found = measured(field, existing(*((cells[k], None, True) for k in smallest)), stains_of(field), tumour)
    widths = 2 * np.sqrt(found.table.column("HER2: Nucleus area µm^2") / np.pi)
    assert np.isfinite(widths).sum() > 50
    assert np.nanmedian(widths) < ScaleSettings().min_nucleus_um
    assert not any(warning.startswith(DOUBT) for warning in found.warnings), found.warnings


def test_many_pieces_of_membranes_are_not_measured_and_whole_cells_are(drawn, stains_of, tumour) -> None:
    field = drawn("2+")
    whole = [(shapely.Polygon(cell), None, True) for cell in field.truth.cells]
    # Two pieces for each cell: two thirds of the outlines hold no nucleus.
    pieces = [
        (shapely.Point(ring[(k * len(ring)) // 4]).buffer(2), None, False)
        for ring in field.truth.cells
        for k in (1, 3)
    ]
    found = measured(field, existing(*whole, *pieces), stains_of(field), tumour)
    row_of = np.array([int.from_bytes(row.tobytes(), "big") - 1 for row in found.table.uuid])
    is_piece = row_of >= len(whole)
    counted = found.intensity != NOT_MEASURED
    assert found.empty is not None
    assert found.empty.n_empty == np.count_nonzero(~counted)
    # A few pieces lie on the nucleus of a neighbour, and a few nuclei are too pale to be detected.
    assert counted[is_piece].mean() < 0.1
    assert counted[~is_piece].mean() > 0.9
    assert np.isnan(found.table.measurements[~counted]).all()
    for shift in (-0.1, 0.1):
        assert ((found.regrade(shift)[0] == NOT_MEASURED) == ~counted).all()
    alone = measured(field, existing(*whole), stains_of(field), tumour)
    shares = [
        np.bincount(one.intensity[one.intensity != NOT_MEASURED], minlength=4) for one in (found, alone)
    ]
    assert shares[0] / shares[0].sum() == pytest.approx(shares[1] / shares[1].sum(), abs=0.05)


@pytest.fixture
def own_and_field(drawn, stains_of, tumour):
    """A drawn field, our own detection in it, and a function that measures existing cells in it by their numbers."""
    field = drawn("2+")

    def in_place(cells: ExistingCells) -> tuple[list[int], np.ndarray]:
        table = measured(field, cells, stains_of(field), tumour).table
        numbers = [int.from_bytes(row.tobytes(), "big") - 1 for row in table.uuid]
        return numbers, table.measurements

    return measured(field, None, stains_of(field), tumour).table, in_place


def rings(xy: np.ndarray, offsets: np.ndarray) -> list[shapely.Polygon]:
    return [shapely.Polygon(ring).buffer(0) for ring in np.split(xy, offsets[1:-1])]


@pytest.mark.parametrize("outline", ["nuclei", "expanded", "bare cells", "cell detections", "shifted"])
def test_any_outline_of_our_own_nuclei_gives_our_own_measurements(outline: str, own_and_field) -> None:
    own, in_place = own_and_field
    nuclei, cells = rings(own.nucleus_xy, own.nucleus_offsets), rings(own.cell_xy, own.cell_offsets)
    one_um = 2.0
    rows = []
    for nucleus, cell in zip(nuclei, cells, strict=True):
        aside = shapely.affinity.translate(nucleus.buffer(one_um / 2), one_um / 2, -one_um / 2)
        rows.append(
            {
                "nuclei": (nucleus, None, False),
                "expanded": (nucleus.buffer(3 * one_um), nucleus, True),
                "bare cells": (cell, None, True),
                "cell detections": (cell, None, False),
                "shifted": (cell, aside, True),
            }[outline]
        )
    numbers, measurements = in_place(existing(*rows))
    # Nuclei at the border of the image may be centred beside it once they are shifted.
    same = (measurements == own.measurements[numbers]) | np.isnan(own.measurements[numbers])
    assert len(numbers) >= 0.98 * len(own)
    assert same.all(1).mean() >= 0.98


def test_cells_that_the_other_program_missed_still_bound_their_neighbours(own_and_field) -> None:
    own, in_place = own_and_field
    nuclei = rings(own.nucleus_xy, own.nucleus_offsets)
    kept = np.random.default_rng(3).permutation(len(own))[: len(own) // 3]
    numbers, measurements = in_place(existing(*((nuclei[i], None, False) for i in kept)))
    wanted = own.measurements[kept[numbers]]
    assert len(numbers) == len(kept)
    assert ((measurements == wanted) | np.isnan(wanted)).all(1).mean() >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("um_px", [0.5, 0.25])
def test_classes_in_foreign_outlines_are_as_right_as_our_own(um_px: float) -> None:
    """At most two points below our own detection; `tests.quality.foreign_outlines` has more fields."""
    kinds = ("QuPath expansion 5 µm", "Cellpose-like detections", "InstanSeg-like cells and nuclei")
    fields = [one for one in fields_of([847_000], um_px, 200.0) if one.shares[2] > 0.2]
    own, *others = figures_of(compare_outlines(fields, kinds))
    assert len(others) == 6
    for one in others:
        assert one.accuracy >= own.accuracy - 2, one
        assert one.called_3 <= own.called_3 + 2, one
        assert one.right == one.n_fields, one


@pytest.mark.parametrize("tile_px", [256, 2048])
def test_existing_cells_do_not_depend_on_tiles(tile_px: int, drawn, stains_of, tumour) -> None:
    field = drawn("2+")
    cells = of_truth(field, "cells")
    whole = measured(field, cells, stains_of(field), tumour)
    tiled = measured(
        field, cells, stains_of(field), tumour,
        settings=CellSettings(grid=GridSettings(tile_px=tile_px)), workers=2,
    )  # fmt: skip
    assert (tiled.table.uuid == whole.table.uuid).all()
    assert np.array_equal(tiled.table.measurements, whole.table.measurements, equal_nan=True)


@pytest.mark.parametrize("x", [8.0, 8.2, 8.49, 8.51, 15.9, 23.6])
def test_cell_in_the_first_half_pixel_of_a_region_is_kept(x: float, tumour) -> None:
    """The region starts on the tile lattice, so that core and region share an edge."""
    cells = existing((shapely.Point(x + 0.01, 12.3).buffer(6), shapely.Point(x + 0.01, 12.3).buffer(3), True))
    found = measure_cells(
        ArraySlide(np.full((64, 64, 3), 235, np.uint8)), [tumour(8, 8, 24, 24)],
        pixel_size_um=0.5, stains=STAINS, existing=cells,
    )  # fmt: skip
    assert len(found.table) == 1


@pytest.mark.parametrize("x", [-2.0, 0.0, 64.0])
def test_cell_centred_on_or_beyond_the_edge_of_the_image_is_measured(x: float, tumour) -> None:
    cells = existing((shapely.box(x - 4, 20, x + 4, 28), None, False))
    found = measure_cells(
        ArraySlide(np.full((64, 64, 3), 235, np.uint8)), [tumour(-20, 0, 90, 64)],
        pixel_size_um=0.5, stains=STAINS, existing=cells,
    )  # fmt: skip
    assert len(found.table) == 1
    assert np.isfinite(found.table.column("HER2: Membrane completeness")).all()
    assert found.table.column("HER2: Nucleus area µm^2") == pytest.approx([16], rel=0.1)


def test_existing_cells_outside_the_regions_are_left_out(tumour) -> None:
    cells = existing(*((shapely.Point(x, 30).buffer(6), None, True) for x in (10, 30, 50)))
    found = measure_cells(
        ArraySlide(np.full((64, 64, 3), 235, np.uint8)), [tumour(20, 0, 64, 64)],
        pixel_size_um=0.5, stains=STAINS, existing=cells,
    )  # fmt: skip
    assert [int(row[-1]) for row in found.table.uuid] == [2, 3]
    assert found.table.centroid_xy == pytest.approx(np.array([[30, 30], [50, 30]]), abs=0.01)


def test_cells_at_equal_height_keep_their_order_in_every_tiling(tumour) -> None:
    """Their y coordinates are equal except for the rounding of the tile they lie in."""
    cells = existing(*((shapely.Point(x + 0.3, 30.1).buffer(6), None, True) for x in range(10, 500, 16)))
    order = []
    for tile_px in (64, 128, 2048):
        found = measure_cells(
            ArraySlide(np.full((64, 512, 3), 235, np.uint8)), [tumour(0, 0, 512, 64)],
            pixel_size_um=0.35, stains=STAINS, existing=cells,
            settings=CellSettings(grid=GridSettings(tile_px=tile_px)),
        )  # fmt: skip
        order.append([int(row[-1]) for row in found.table.uuid])
    assert order == [list(range(1, len(cells) + 1))] * 3
