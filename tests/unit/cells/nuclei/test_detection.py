from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.cells.nuclei.detection import CellDetector, ClassicalDetector, DetectionSettings, Tile
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.stain_planes import make_planes
from tests.helpers.drawn_planes import STAINS, disc, rgb_of, ring
from tests.helpers.matching import match_nuclei

SHAPE = (160, 192)
PLACES = [(x, y) for y in range(24, 150, 36) for x in range(24, 180, 36)]


def tile_of(hematoxylin: np.ndarray, dab: np.ndarray | None = None) -> Tile:
    rgb = rgb_of(hematoxylin, np.zeros(SHAPE, np.float32) if dab is None else dab)
    return Tile(rgb, make_planes(rgb, STAINS, 0.5))


def nuclei(od: float = 0.15, radius_px: float = 7, places=PLACES) -> np.ndarray:
    return (0.02 + od * np.max([disc(SHAPE, x, y, radius_px) for x, y in places], axis=0)).astype(np.float32)


def found_at(tile: Tile, detector: CellDetector | None = None) -> np.ndarray:
    detector = (detector or ClassicalDetector()).prepared([tile])
    centres = detector.detect(tile).centre
    return centres[np.lexsort((centres[:, 0].round(-1), centres[:, 1].round(-1)))]


def test_classical_detector_satisfies_the_protocol() -> None:
    detector: CellDetector = ClassicalDetector()
    assert detector.name


@pytest.mark.parametrize("od", [0.05, 0.15, 0.3])
def test_every_round_nucleus_is_found_once_however_pale_the_counterstain(od: float) -> None:
    tile = tile_of(nuclei(od))
    found = ClassicalDetector().prepared([tile]).detect(tile)
    rings = [shapely.get_coordinates(shapely.Point(x, y).buffer(7))[:-1] for x, y in PLACES]
    matches = match_nuclei(found.centre, rings, 0.5, max_distance_um=1.0)
    assert (len(matches.truth), len(matches.false)) == (len(PLACES), 0)
    areas = [shapely.Polygon(p).area for p in polygons(found.centre, found.radii)]
    assert np.median(areas) == pytest.approx(np.pi * 49, rel=0.15)


def test_nucleus_within_a_3_plus_ring_is_found_and_the_ring_is_not() -> None:
    rings = 0.7 * np.max([ring(SHAPE, x, y, 13, 4) for x, y in PLACES], axis=0)
    assert found_at(tile_of(nuclei(), rings.astype(np.float32))) == pytest.approx(np.array(PLACES), abs=1.5)


def test_hole_in_dab_without_haematoxylin_is_no_nucleus() -> None:
    """One of the rings contains no nucleus."""
    rings = 0.5 * np.max([ring(SHAPE, x, y, 12, 4) for x, y in PLACES], axis=0)
    tile = tile_of(nuclei(places=PLACES[1:]), rings.astype(np.float32))
    found = found_at(tile)
    assert np.hypot(*(found - PLACES[0]).T).min() > 10
    assert len(found) == len(PLACES) - 1


def test_dab_clumps_and_red_blood_cells_are_no_nuclei() -> None:
    clump, red = PLACES[0], PLACES[1]
    hematoxylin = nuclei(places=PLACES[2:]) + 0.1 * disc(SHAPE, *clump, 7) + 0.12 * disc(SHAPE, *red, 7)
    dab = 0.4 * disc(SHAPE, *clump, 7) + 0.1 * disc(SHAPE, *red, 7)
    found = found_at(tile_of(hematoxylin, dab))
    assert len(found) == len(PLACES) - 2
    for place in (clump, red):
        assert np.hypot(*(found - place).T).min() > 20


def test_nuclei_of_a_grey_counterstain_are_found() -> None:
    """They unmix as both stains, like red blood cells, but all of them do."""
    grey = nuclei(0.08)
    assert found_at(tile_of(grey, (1.1 * (grey - 0.02)).astype(np.float32))) == pytest.approx(
        np.array(PLACES), abs=1.5
    )


def test_faint_folds_are_no_nuclei_however_many() -> None:
    """Four nuclei in stroma, whose uneven fibres are most of the outlines of the image."""
    few = [PLACES[k] for k in (0, 7, 12, 19)]
    others = [place for place in PLACES if place not in few]
    folds = 0.035 * np.max([disc(SHAPE, x, y, 8) for x, y in others], axis=0)
    found = found_at(tile_of((nuclei(0.2, places=few) + folds).astype(np.float32)))
    assert found == pytest.approx(np.array(few), abs=1.5)


def test_too_small_or_too_faint_nuclei_are_left_out() -> None:
    hematoxylin = nuclei(places=PLACES[2:])
    hematoxylin += 0.15 * disc(SHAPE, *PLACES[0], 2.0, soft_px=0.6) + 0.02 * disc(SHAPE, *PLACES[1], 7)
    found = found_at(tile_of(hematoxylin), ClassicalDetector(DetectionSettings(min_area_um2=12.0)))
    assert found == pytest.approx(np.array(PLACES[2:]), abs=1.5)


def test_thresholds_follow_the_image_not_the_tile() -> None:
    """Faint nuclei are found in a faint image, but not in an image with clear nuclei."""
    strong, faint = tile_of(nuclei(0.3)), tile_of(nuclei(0.03))
    assert len(ClassicalDetector().prepared([faint]).detect(faint).centre) == len(PLACES)
    assert len(ClassicalDetector().prepared([strong]).detect(faint)) == 0


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_nothing_to_find(level: float) -> None:
    tile = tile_of(np.full(SHAPE, level, np.float32))
    assert len(ClassicalDetector().prepared([tile]).detect(tile)) == 0
    assert len(ClassicalDetector().prepared([tile, tile]).detect(tile)) == 0
