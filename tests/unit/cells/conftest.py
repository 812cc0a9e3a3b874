"""Drawn fields shared by the tests of this room; each is drawn once."""

from __future__ import annotations

from functools import cache
from uuid import UUID

import pytest
import shapely

from qupath_her2.records import Region
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset


def _stains(field: Field) -> StainVectors:
    s = field.settings
    return StainVectors(s.haematoxylin_vector, s.dab_vector, s.white)


@cache
def _drawn(name: str, pixel_size_um: float, width_px: int, height_px: int, seed: int) -> Field:
    score = {"score": name} if name in ("0", "1+", "2+", "3+") else {}
    size = {"pixel_size_um": pixel_size_um, "width_px": width_px, "height_px": height_px}
    return draw_field(preset("score" if score else name, seed, **size, **score))


@pytest.fixture(scope="session")
def drawn():
    """A function: the drawn field of a preset, or of a plain score, by name."""

    def draw(
        name: str, pixel_size_um: float = 0.5, width_px: int = 512, height_px: int = 512, seed: int = 31
    ) -> Field:
        return _drawn(name, pixel_size_um, width_px, height_px, seed)

    return draw


@pytest.fixture(scope="session")
def stains_of():
    """A function: the stains a field was drawn with."""
    return _stains


@pytest.fixture(scope="session")
def tumour():
    """A function: one tumour region, a rectangle or any shape."""

    def region(*bounds: float, shape: shapely.Polygon | None = None, number: int = 1) -> Region:
        return Region(UUID(int=number), shape or shapely.box(*bounds), "tumour")

    return region
