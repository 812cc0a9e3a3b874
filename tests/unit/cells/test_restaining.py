from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.measure import CellSettings, measure_cells
from qupath_her2.cells.restaining import restain_cells
from qupath_her2.scoring.rules import fact_counts
from qupath_her2.slides.stains.vectors import StainVectors
from tests.helpers.drawn_planes import ArraySlide


@pytest.fixture(scope="module")
def field(drawn):
    """A drawn field of 2 by 2 tiles of 512 pixels, cut at the right and below."""
    return drawn("2+", width_px=900, height_px=700, seed=35)


@pytest.fixture(scope="module")
def measured(field, stains_of, tumour):
    slide, region = ArraySlide(field.rgb), tumour(0, 0, 900, 700)
    cells = measure_cells(
        slide, [region], pixel_size_um=0.5, stains=stains_of(field), settings=CellSettings()
    )
    assert cells.refusal is None
    return slide, region, cells


def restain(measured, alternatives: dict[str, StainVectors]):
    slide, region, cells = measured
    return restain_cells(slide, cells, [region], alternatives, pixel_size_um=0.5, settings=CellSettings())


def test_the_same_vectors_find_the_same_cells_in_other_tiles(field, stains_of, measured) -> None:
    cells = measured[2]
    again = restain(measured, {"same": stains_of(field)})["same"]
    assert 100 < again.before.sum() < len(cells.table)
    before = fact_counts(cells.intensity[again.before], cells.pattern[again.before])
    # Cells on the border of two tiles may be counted in either; nothing else may differ.
    assert np.abs(before - fact_counts(again.intensity, again.pattern)).sum() <= 3


def test_other_vectors_change_the_grades(field, stains_of, measured) -> None:
    cells, stains = measured[2], stains_of(field)
    # A DAB vector that leans towards haematoxylin takes nuclei for stain.
    leaning = replace(stains, dab=tuple(np.add(stains.dab, np.multiply(0.8, stains.hematoxylin))))
    again = restain(measured, {"leaning": leaning})["leaning"]
    before = fact_counts(cells.intensity[again.before], cells.pattern[again.before])
    after = fact_counts(again.intensity, again.pattern)
    assert np.abs(before / before.sum() - after / after.sum()).sum() > 0.1


def test_without_alternatives_nothing_is_measured(measured) -> None:
    assert restain(measured, {}) == {}
