"""Every QuPath reads what every version wrote and writes it back unchanged; our exporter gives the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from shapely.geometry import shape

from qupath_her2.project.class_names import split_class
from qupath_her2.project.exchange.score_files import regions_geojson
from qupath_her2.project.geojson.regions import read_regions
from tests.groovy.studies import HERE, run_with_library
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
    same_shape,
)
from tests.helpers.qupath import QuPath


@dataclass(frozen=True, slots=True)
class Replayed:
    """The sets that were read, and what this QuPath wrote for each."""

    sets: Path
    out: Path


@pytest.fixture(scope="session")
def replayed(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """All sets, and the regions that we export from each, replayed in one session."""
    folder = tmp_path_factory.mktemp("conformance")
    for version in VERSIONS:
        copy = shutil.copytree(FOLDER / version, folder / "sets" / version)
        found = read_regions(FOLDER / version / FILES[0], image_width=WIDTH, image_height=HEIGHT)
        (copy / "ours.geojson").write_bytes(regions_geojson((*found.regions, *found.labels), {}))
    words = ("--args", str(folder / "sets"), "--args", str(folder / "out"))
    said = run_with_library(qupath, HERE / "replay_conformance.groovy", words, folder / "private")
    assert said.count("EXPORTED") == len(VERSIONS), said
    return Replayed(folder / "sets", folder / "out")


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
class TestReplay:
    @pytest.mark.parametrize("name", FILES)
    def test_file_read_and_written_again_is_equal(self, replayed: Replayed, version: str, name: str) -> None:
        again = features(replayed.out / version / name)
        assert differences(features(FOLDER / version / name), again) == []

    def test_saved_image_equals_its_exported_file(self, replayed: Replayed, version: str) -> None:
        saved = features(replayed.out / version / "saved.geojson")
        assert differences(features(FOLDER / version / FILES[0]), saved) == []

    def test_nested_objects_of_a_saved_image_keep_their_parents(
        self, replayed: Replayed, version: str
    ) -> None:
        lines = (replayed.out / version / "parents.txt").read_text(encoding="utf-8").splitlines()
        expected = {object_id(*child): object_id(*parent) for child, parent in PARENTS.items()}
        assert dict(line.split(" ") for line in lines) == expected

    def test_qupath_reads_what_python_writes(self, replayed: Replayed, version: str) -> None:
        ours = features(replayed.sets / version / "ours.geojson")
        again = features(replayed.out / version / "ours.geojson")
        assert len(ours) == 7
        assert ours.keys() == again.keys()
        for key, feature in ours.items():
            assert same_shape(shape(feature["geometry"]), shape(again[key]["geometry"])), key
            said, heard = feature["properties"], again[key]["properties"]
            for member in ("objectType", "name", "isLocked"):
                assert said.get(member) == heard.get(member), (key, member)
            names = [c.get("names") or list(split_class(c["name"])) for c in _classes(said, heard)]
            assert names[0] == names[1], key

    def test_our_exporter_writes_the_committed_bytes(self, replayed: Replayed, version: str) -> None:
        her2 = replayed.sets / version / "project" / "her2"
        for name in ("images.json", "regions/1_drawn.geojson", "regions/1_drawn.cells.npz"):
            assert (her2 / name).read_bytes() == (EXCHANGE / name).read_bytes(), name

    def test_reading_changes_no_file_of_the_project(self, replayed: Replayed, version: str) -> None:
        project = FOLDER / version / "project"
        for path in project.rglob("*"):
            if path.is_file():
                copy = replayed.sets / version / "project" / path.relative_to(project)
                assert copy.read_bytes() == path.read_bytes(), copy


def _classes(*properties: dict) -> list[dict]:
    return [each["classification"] for each in properties]
