from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.detection import Tile
from qupath_her2.cells.quality.nuclear_spots import nuclear_spots
from qupath_her2.cells.samples import Sample
from tests.helpers.drawn_planes import disc, planes_of, ring

SHAPE = (256, 256)


def sample(dab: np.ndarray) -> Sample:
    rgb = np.full((*dab.shape, 3), 240, np.uint8)
    return Sample(Tile(rgb, planes_of(dab=dab.astype(np.float32))), np.ones(dab.shape, bool))


def places(n: int = 5) -> list[tuple[float, float]]:
    return [(40.0 * i + 40, 40.0 * j + 40) for i in range(n) for j in range(n)]


@pytest.mark.parametrize("radius_px", [4.5, 7.0, 12.0])
def test_filled_discs_are_nuclei(radius_px: float) -> None:
    dab = 0.5 * np.max([disc(SHAPE, x, y, radius_px) for x, y in places()], axis=0)
    found = nuclear_spots([sample(dab)])
    assert found.count == 25
    assert found.share == pytest.approx(1, abs=0.15)


def test_rings_are_none() -> None:
    dab = 0.5 * np.max([ring(SHAPE, x, y, 10, 3) for x, y in places()], axis=0)
    assert nuclear_spots([sample(dab)]).count == 0


@pytest.mark.parametrize("radius_px", [2.0, 18.0])
def test_spots_of_other_sizes_are_none(radius_px: float) -> None:
    dab = 0.5 * np.max([disc(SHAPE, x, y, radius_px) for x, y in places(4)], axis=0)
    assert nuclear_spots([sample(dab)]).count == 0


def test_only_stain_within_the_regions_counts() -> None:
    dab = 0.5 * np.max([disc(SHAPE, x, y, 7) for x, y in places()], axis=0)
    whole = sample(dab)
    left = np.zeros(SHAPE, bool)
    left[:, :100] = True
    assert nuclear_spots([Sample(whole.tile, left)]).count == 10


def test_without_stain_there_is_no_share() -> None:
    found = nuclear_spots([sample(np.zeros(SHAPE))])
    assert found.count == 0
    assert np.isnan(found.share)
    assert np.isnan(nuclear_spots([]).share)
