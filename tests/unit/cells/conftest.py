"""Drawn fields shared by the tests of `cells`; each is drawn once per session."""

from __future__ import annotations

from functools import cache
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES
from qupath_her2.cells.quality.stain_location import N_PLACES
from qupath_her2.cells.tile_cells import NEW_CELL, TileCells
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
    """A function that draws the field of a preset or of a plain score, by name."""

    def draw(
        name: str, pixel_size_um: float = 0.5, width_px: int = 512, height_px: int = 512, seed: int = 31
    ) -> Field:
        return _drawn(name, pixel_size_um, width_px, height_px, seed)

    return draw


@pytest.fixture(scope="session")
def stains_of():
    """A function that returns the stains a field was drawn with."""
    return _stains


@pytest.fixture(scope="session")
def tumour():
    """A function that makes a tumour region, a rectangle or any shape."""

    def region(*bounds: float, shape: shapely.Polygon | None = None, number: int = 1) -> Region:
        return Region(UUID(int=number), shape or shapely.box(*bounds), "tumour")

    return region


def _tile_cells(seed: int, n: int, existing_index: list[int] | None = None) -> TileCells:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 500, (n, 2))
    f32 = np.float32
    return TileCells(
        centres,
        centres + rng.uniform(-1, 1, (n, 2)),
        (centres[:, None] + rng.uniform(-9, 9, (n, 36, 2))).astype(f32),
        (centres[:, None] + rng.uniform(-4, 4, (n, 32, 2))).astype(f32),
        rng.integers(0, 3, n).astype(np.int32),
        np.array(existing_index if existing_index is not None else [NEW_CELL] * n, np.int64),
        rng.uniform(size=(n, len(MEASUREMENT_NAMES))).astype(f32),
        rng.uniform(size=(n, N_PLACES)).astype(f32),
        np.zeros((n, 0, 0), np.float16),
        rng.uniform(size=n).astype(f32),
        np.full(n, np.nan, f32),
        np.ones(n, bool),
        np.ones(n, bool),
        np.zeros((n, 0), f32),
        np.full(n, np.nan, f32),
    )


@pytest.fixture(scope="session")
def tile_cells():
    """A function that makes `n` cells with random values, determined by a seed."""
    return _tile_cells
