"""Reference files written by QuPath 0.5.1, 0.6.0 and 0.7.0, with one object of every kind, read without QuPath."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
from PIL import Image

from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.exchange.images import read_images
from qupath_her2.project.exchange.score_files import regions_geojson
from qupath_her2.project.geojson.regions import RegionFile, read_regions
from qupath_her2.project.qupath.qpproj import open_project_file
from qupath_her2.records import Region
from tests.helpers.conformance import (
    EXCHANGE,
    FILES,
    FOLDER,
    HEIGHT,
    PARENTS,
    VERSIONS,
    WIDTH,
    differences,
    features,
    object_id,
    parents,
    same_shape,
)

EXPORTED = EXCHANGE / "regions" / "1_drawn.geojson"
WRITTEN = [FOLDER / version / name for version in VERSIONS for name in FILES]
EVERY = [*WRITTEN, EXPORTED]
#: {number: (shape as drawn, role, class, name, locked)}.
REGIONS = {
    1: (
        shapely.box(10, 10, 110, 90).difference(shapely.box(70.25, 60.5, 90.25, 71.25)),
        "tumour",
        "Tumor",
        "a tumour with a hole",
        True,
    ),
    2: (
        shapely.Polygon([(20.12, 20.34), (60.5, 20), (60, 50), (20, 50.99)]),
        "stroma",
        "Stroma",
        None,
        False,
    ),
    3: (shapely.box(30, 30, 40, 40), "ignore", "Ignore*", "in the stroma", False),
    4: (
        shapely.box(120, 10, 150, 30)
        .difference(shapely.box(125, 15, 130, 20))
        .union(shapely.box(160, 10, 172.5, 30.25)),
        "tumour",
        "Tumor",
        "two parts",
        False,
    ),
    12: (shapely.box(160, 100, 190, 130), "other", "Zebra: fine", "a class of my own", False),
}
#: {number: why it cannot be a region}.
QUARANTINED = {
    6: "is a LineString, which has no area",
    7: "is a MultiPoint, which has no area",
    9: "has no class",
    10: "lies on another plane (z = 1, t = 0)",
    11: "is a LineString, which has no area",
    13: "is a Point, which has no area",
}


def read(path: Path) -> RegionFile:
    return read_regions(path, image_width=WIDTH, image_height=HEIGHT)


def by_number(regions: tuple[Region, ...]) -> dict[int, Region]:
    return {int(str(region.uuid)[-12:]): region for region in regions}


def label(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def test_there_is_a_set_of_each_version() -> None:
    assert VERSIONS == ["0.5.1", "0.6.0", "0.7.0"]


@pytest.mark.parametrize("path", EVERY, ids=label)
class TestEveryKind:
    def test_regions(self, path: Path) -> None:
        found = by_number(read(path).regions)
        assert found.keys() == {*REGIONS, 5}
        for number, (drawn, role, class_name, name, is_locked) in REGIONS.items():
            region = found[number]
            assert region.uuid == UUID(object_id(1, number))
            assert same_shape(region.geometry, drawn), number
            said = (region.role, region.class_name, region.name, region.is_locked)
            assert said == (role, class_name, name, is_locked)

    def test_an_ellipse_becomes_a_close_polygon(self, path: Path) -> None:
        region = by_number(read(path).regions)[5]
        assert (region.role, region.name) == ("tumour", "ellipse")
        unit = (shapely.get_coordinates(region.geometry.exterior) - (170, 60)) / (20, 10)
        assert np.hypot(*unit.T) == pytest.approx(1, abs=2e-3)
        assert region.geometry.area == pytest.approx(np.pi * 20 * 10, rel=5e-3)

    def test_a_graded_class_is_a_label(self, path: Path) -> None:
        (found,) = read(path).labels
        assert (found.uuid, found.class_name, found.name) == (
            UUID(object_id(1, 8)),
            "Tumor: 3+",
            "a label",
        )
        assert found.is_locked
        assert same_shape(found.geometry, shapely.box(92, 12, 106, 26))

    def test_what_cannot_be_a_region_is_quarantined_with_its_reason(self, path: Path) -> None:
        found = {str(bad.id): bad.reason for bad in read(path).quarantined}
        assert found.keys() == {object_id(1, number) for number in QUARANTINED}
        for number, reason in QUARANTINED.items():
            assert reason in found[object_id(1, number)]

    def test_tma_cores_are_read_and_those_marked_missing_kept_apart(self, path: Path) -> None:
        (missing,) = read(path).missing_cores
        assert (missing.uuid, missing.name) == (UUID(object_id(3, 2)), "A-2")
        (core,) = read(path).cores
        assert (core.uuid, core.name, core.role) == (UUID(object_id(3, 1)), "A-1", "other")
        distance = np.hypot(*(shapely.get_coordinates(core.geometry.exterior) - (40, 125)).T)
        assert distance == pytest.approx(25, abs=0.05)


@pytest.mark.parametrize("path", WRITTEN, ids=label)
class TestAsQuPathWrites:
    def test_cells_with_nucleus_and_class(self, path: Path) -> None:
        cells = read(path).existing_cells
        assert cells is not None
        assert [UUID(bytes=row.tobytes()) for row in cells.uuid] == [
            UUID(object_id(2, number)) for number in (1, 2, 3)
        ]
        assert cells.class_names == ("Tumor: 3+", None, "Immune cells")
        assert cells.is_cell.tolist() == [True, True, False]
        rings = np.split(cells.cell_xy, cells.cell_offsets[1:-1])
        drawn = [
            [(75, 35), (85, 35), (85.5, 45), (75, 45)],
            [(90, 35), (100, 35), (100.5, 45), (90, 45)],
            [(20, 70), (26, 70), (26, 78), (20, 78)],
        ]
        for ring, outline in zip(rings, drawn, strict=True):
            assert same_shape(shapely.Polygon(ring), shapely.Polygon(outline))
        assert np.diff(cells.nucleus_offsets).tolist()[1:] == [0, 0]
        assert np.hypot(*(cells.nucleus_xy - (80, 40)).T) == pytest.approx(2, abs=0.01)

    def test_skipped_objects_are_noted(self, path: Path) -> None:
        notes = read(path).notes
        assert notes == ("1 tiles were left out.",)

    def test_every_version_and_form_has_the_same_content(self, path: Path) -> None:
        assert differences(features(path), features(WRITTEN[0])) == []

    def test_colours_measurements_and_planes_are_as_drawn(self, path: Path) -> None:
        """The reader does not need them, but the comparison with a real QuPath does."""
        found = features(path)
        assert len(found) == 19
        properties = {key: feature["properties"] for key, feature in found.items()}
        assert properties[object_id(1, 1)]["measurements"] == {"mine": 1.5, "not measured": "NaN"}
        assert properties[object_id(1, 9)]["color"] == [10, 20, 30]
        assert properties[object_id(1, 12)]["classification"] == {
            "names": ["Zebra", "fine"],
            "color": [1, 20, 255],
        }
        assert properties[object_id(2, 4)]["objectType"] == "tile"
        assert properties[object_id(3, 2)]["isMissing"] is True
        assert found[object_id(1, 10)]["geometry"]["plane"] == {"c": -1, "z": 1, "t": 0}
        assert found[object_id(1, 5)]["geometry"]["isEllipse"] is True

    def test_regions_survive_writing_and_reading(self, path: Path, tmp_path: Path) -> None:
        first = read(path)
        regions = (*first.regions, *first.labels)
        again = tmp_path / "again.geojson"
        again.write_bytes(regions_geojson(regions, {}))
        second = read(again)
        assert second.quarantined == ()
        assert second.notes == ()
        assert (*second.regions, *second.labels) == regions
        assert regions_geojson((*second.regions, *second.labels), {}) == again.read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
class TestSavedProject:
    def test_the_project_file(self, version: str) -> None:
        project = open_project_file(FOLDER / version / "project")
        (entry,) = project.entries
        assert (project.version, entry.id, entry.name) == (version, "1", "drawn.png")
        # QuPath counts its root too.
        assert entry.n_objects == 20

    def test_nested_objects_keep_their_parents(self, version: str) -> None:
        expected = {object_id(*child): object_id(*parent) for child, parent in PARENTS.items()}
        assert parents(FOLDER / version / "nested.geojson") == expected

    def test_its_exchange_folder_finds_image_regions_and_calibration(
        self, version: str, tmp_path: Path
    ) -> None:
        project = shutil.copytree(FOLDER / version / "project", tmp_path / "moved")
        her2 = shutil.copytree(EXCHANGE, project / "her2")
        (image,) = read_images(her2)
        assert (image.id, image.width, image.height, image.entry_id) == ("1_drawn", WIDTH, HEIGHT, "1")
        assert (image.pixel_size_um, image.image_type, image.case.case) == (0.5, "BRIGHTFIELD_H_DAB", "K-7")
        assert image.regions_path == her2 / "regions" / EXPORTED.name
        with Image.open(image.path) as picture:
            assert picture.size == (WIDTH, HEIGHT)
            assert picture.getpixel((44, 34)) == (120, 110, 170)

    def test_no_path_of_the_machine_that_wrote_it(self, version: str) -> None:
        for path in (FOLDER / version).rglob("*"):
            if path.is_file():
                text = path.read_bytes()
                places = set(re.findall(rb"file:[^\"\s,]*|/(?:home|root|tmp|work|opt|Users)/\S*", text))
                assert all(place.startswith(b"file:/conformance/") for place in places), path


def test_exported_cells_are_those_qupath_writes() -> None:
    written = read(WRITTEN[0]).existing_cells
    exported = read_existing_cells(EXPORTED.with_suffix(".cells.npz"))
    assert written is not None
    assert np.array_equal(exported.uuid, written.uuid)
    assert exported.class_names == written.class_names
    assert exported.measurement_names == ("Cell: Area",)
    assert exported.column("Cell: Area").tolist()[:2] == [102.5, 102.5]
    assert np.isnan(exported.column("Cell: Area")[2])
    for one, other in (
        (
            np.split(exported.cell_xy, exported.cell_offsets[1:-1]),
            np.split(written.cell_xy, written.cell_offsets[1:-1]),
        ),
        (
            np.split(exported.nucleus_xy, exported.nucleus_offsets[1:-2])[:1],
            np.split(written.nucleus_xy, written.nucleus_offsets[1:-2])[:1],
        ),
    ):
        for a, b in zip(one, other, strict=True):
            assert shapely.Polygon(a).hausdorff_distance(shapely.Polygon(b)) < 0.011


def test_the_reference_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 300_000
