from __future__ import annotations

from uuid import UUID

import numpy as np
import shapely

from qupath_her2.project.class_names import class_colour
from qupath_her2.records import CELL_CLASSES, NOT_MEASURED, CutArea, Region
from qupath_her2.report.overlay import (
    CUT_COLOUR,
    NOT_MEASURED_COLOUR,
    ROLE_COLOURS,
    Frame,
    draw_cells,
    draw_cut,
    draw_regions,
)


def white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def is_colour(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 3) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(axis=2)


def test_outline_has_the_class_colour_and_lies_where_the_cell_is(disc_table) -> None:
    table = disc_table([(50, 40), (150, 40)], [1, 3], radius=20)
    picture = white(80, 200)
    draw_cells(picture, table, Frame(0, 0, 1.0))
    y, x = np.nonzero(is_colour(picture, class_colour(CELL_CLASSES[3]), 40))
    # Pixel centres stand half a pixel from QuPath's corner frame.
    distance = np.hypot(x + 0.5 - 150, y + 0.5 - 40)
    assert len(x) > 40
    assert np.all(np.abs(distance - 20) < 1.2)
    assert (is_colour(picture, class_colour(CELL_CLASSES[1]), 40)[:, :100]).sum() > 40
    assert (picture[35:45, 45:55] == 255).all(), "the inside of a cell stays visible"


def test_frame_moves_and_scales(disc_table) -> None:
    table = disc_table([(1050, 2040)], [2], radius=20)
    picture = white(40, 50)
    draw_cells(picture, table, Frame(1000, 2000, 0.5))
    y, x = np.nonzero((picture != 255).any(axis=2))
    assert np.all(np.abs(np.hypot(x + 0.5 - 25, y + 0.5 - 20) - 10) < 1.6)


def test_small_cells_are_filled_and_let_the_tissue_through(disc_table) -> None:
    table = disc_table([(100, 100)], [3], radius=20)
    picture = white(20, 20)
    draw_cells(picture, table, Frame(0, 0, 0.1))
    colour = np.array(class_colour(CELL_CLASSES[3]))
    assert np.allclose(picture[9, 9], 0.6 * colour + 0.4 * 255, atol=2)


def test_unmeasured_cells_are_grey_and_only_chooses(disc_table) -> None:
    table = disc_table([(30, 30), (80, 30)], [NOT_MEASURED, 0], radius=15)
    picture = white(60, 120)
    draw_cells(picture, table, Frame(0, 0, 1.0), only=np.array([True, False]))
    assert is_colour(picture, (150, 150, 150), 30)[:, :55].any()
    assert (picture[:, 60:] == 255).all()


def test_an_empty_table_draws_nothing(disc_table) -> None:
    picture = white(10, 10)
    draw_cells(picture, disc_table([], []), Frame(0, 0, 1.0))
    assert (picture == 255).all()


def test_regions_show_role_and_holes() -> None:
    outer = shapely.Polygon(
        [(10, 10), (90, 10), (90, 90), (10, 90)], [[(40, 40), (60, 40), (60, 60), (40, 60)]]
    )
    region = Region(UUID(int=1), outer, "stroma")
    picture = white(100, 100)
    draw_regions(picture, [region], Frame(0, 0, 1.0), thickness_px=2)
    green = is_colour(picture, ROLE_COLOURS["stroma"], 60)
    assert green[50, 9:12].any()
    assert green[39:42, 50].any(), "the hole is outlined too"
    assert not green[25, 20:80].any()


def test_far_outside_points_do_not_overflow() -> None:
    region = Region(UUID(int=1), shapely.box(-1e9, -1e9, 50, 50), "tumour")
    picture = white(100, 100)
    draw_regions(picture, [region], Frame(0, 0, 1.0))
    assert is_colour(picture, ROLE_COLOURS["tumour"], 60)[50, :40].any()


def test_areas_that_were_cut_out_have_a_colour_of_their_own() -> None:
    ring = shapely.box(20, 20, 80, 80).difference(shapely.box(40, 40, 60, 60))
    area = CutArea("out of focus", shapely.MultiPolygon([ring]), 3)
    picture = white(100, 200)
    draw_cut(picture, [area], Frame(0, 0, 1.0))
    tint = np.rint(0.65 * 255 + 0.35 * np.array(CUT_COLOUR)).astype(int)
    assert is_colour(picture, tuple(tint))[25:35, 25:75].all()
    assert is_colour(picture, CUT_COLOUR, 40)[49, 19:22].any()
    # The hole, and everything beyond, stay as they are.
    assert (picture[44:56, 44:56] == 255).all()
    assert (picture[:, 90:] == 255).all()
    assert CUT_COLOUR not in {*ROLE_COLOURS.values(), NOT_MEASURED_COLOUR, *map(class_colour, CELL_CLASSES)}


def test_without_such_areas_nothing_is_drawn() -> None:
    picture = white(10, 10)
    draw_cut(picture, [], Frame(0, 0, 1.0))
    assert (picture == 255).all()
