from __future__ import annotations

from uuid import UUID

import numpy as np
import orjson
import pytest
import shapely

from qupath_her2.records import CutArea, Region
from qupath_her2.regions import map_regions
from qupath_her2.runs.cut_areas import cut_entries, marked_areas, marked_warnings, stored_cut, without_marks
from qupath_her2.slides.tissue import Tissue

SHAPE = (100, 120)
DOWNSAMPLE = 8.0


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def tissue(ink: np.ndarray | None = None, folds: np.ndarray | None = None) -> Tissue:
    height, width = SHAPE
    full = np.ones(SHAPE, bool)
    return Tissue(full, DOWNSAMPLE, (240.0,) * 3, 8 * width, 8 * height, 0.0, ink, folds)


def tumour(*bounds: int, number: int = 1, role: str = "tumour") -> Region:
    return Region(UUID(int=number), shapely.box(*bounds), role)


def test_pen_and_folds_are_cut_where_they_lie_in_the_tumour() -> None:
    """Two strokes of 20 x 10 mask pixels, each half in the region."""
    seen = tissue(ink=box(10, 20, 30, 30), folds=box(10, 60, 30, 70))
    found = marked_areas(seen, [tumour(160, 0, 900, 800)])
    assert [area.kind for area in found] == ["pen", "fold"]
    for area, top in zip(found, (20, 60), strict=True):
        assert area.geometry.bounds == (160, 8 * top, 240, 8 * (top + 10))
        assert area.n_cells == 0


def test_marks_outside_the_tumour_are_not_cut() -> None:
    seen = tissue(ink=box(10, 20, 30, 30), folds=box(10, 60, 30, 70))
    assert marked_areas(seen, [tumour(400, 0, 900, 800)]) == ()
    assert marked_areas(seen, [tumour(0, 0, 900, 800, role="stroma")]) == ()
    assert marked_areas(tissue(), [tumour(0, 0, 900, 800)]) == ()


def test_a_region_that_is_mostly_pen_was_drawn_around_tissue_of_that_colour() -> None:
    seen = tissue(ink=box(10, 10, 60, 60))
    inside, across = tumour(100, 100, 400, 400), tumour(420, 100, 900, 400, number=2)
    (area,) = marked_areas(seen, [inside, across])
    assert area.geometry.bounds == (420, 100, 480, 400)


def test_marks_subtract_from_the_scored_regions() -> None:
    region = tumour(0, 0, 900, 800)
    cut = (CutArea("pen", shapely.box(100, 100, 200, 200)),)
    at = map_regions(without_marks((region,), cut)).assign(np.array([[150.0, 150.0], [250.0, 150.0]]))
    assert at.tolist() == [-1, 0]
    assert without_marks((region,), ()) == (region,)


@pytest.mark.parametrize(("pixel_size_um", "words"), [(0.5, "0.0025 mm²"), (None, "1e+04 px²")])
def test_the_warning_says_how_much_is_marked(pixel_size_um: float | None, words: str) -> None:
    areas = [
        CutArea(kind, shapely.box(0, 0, 100, 100))
        for kind in ("pen", "fold", "out of focus")  # type: ignore[arg-type]
    ]
    sentences = marked_warnings(areas, pixel_size_um)
    # What lies out of focus is told by the measurement, with its cells.
    assert len(sentences) == 2
    assert sentences[0].startswith("Pen marks cover")
    assert all(words in sentence for sentence in sentences)


def test_stored_areas_are_read_back() -> None:
    ring = shapely.box(0, 0, 50, 50).difference(shapely.box(10, 10, 20, 20))
    areas = (
        CutArea("out of focus", shapely.MultiPolygon([ring, shapely.box(60, 0, 70, 10)]), 12),
        CutArea("pen", shapely.box(5, 5, 9, 9)),
    )
    found = stored_cut(orjson.loads(orjson.dumps(cut_entries(areas))))
    assert [(area.kind, area.n_cells) for area in found] == [("out of focus", 12), ("pen", 0)]
    assert all(a.geometry.equals(b.geometry) for a, b in zip(areas, found, strict=True))


@pytest.mark.parametrize("damage", [{}, {"kind": "pen", "n_cells": 1, "geometry": {"type": "Polygon"}}])
def test_damaged_entries_are_no_areas(damage: dict) -> None:
    with pytest.raises((KeyError, ValueError)):
        stored_cut([damage])
