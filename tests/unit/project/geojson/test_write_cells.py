"""Cells as GeoJSON: form, validity, exact numbers, streaming."""

from __future__ import annotations

import errno
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qupath_her2.project.class_names import class_colour
from qupath_her2.project.geojson import write_cells as cells_geojson
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.project.geojson.write_cells import CellsWritten, write_cells_geojson
from qupath_her2.provenance import object_uuids
from qupath_her2.records import NOT_MEASURED, CellTable


def write(cells: CellTable, *, compress: bool = False) -> tuple[bytes, CellsWritten]:
    file = io.BytesIO()
    done = write_cells_geojson(file, cells, compress=compress)
    return file.getvalue(), done


def features(cells: CellTable) -> list[dict]:
    return json.loads(write(cells)[0])["features"]


def table(
    rings: list[list], nuclei: list[list] | None = None, measurements: np.ndarray | None = None
) -> CellTable:
    """A table of given outlines."""
    n = len(rings)
    nuclei = [[]] * n if nuclei is None else nuclei

    def ragged(parts: list[list]) -> tuple[np.ndarray, np.ndarray]:
        points = np.array([point for part in parts for point in part], np.float32).reshape(-1, 2)
        return points, np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)

    cell_xy, cell_offsets = ragged(rings)
    nucleus_xy, nucleus_offsets = ragged(nuclei)
    values = np.zeros((n, 0), np.float32) if measurements is None else measurements
    return CellTable(
        uuid=object_uuids("5a" * 32, n),
        centroid_xy=np.zeros((n, 2), np.float32),
        cell_xy=cell_xy,
        cell_offsets=cell_offsets,
        nucleus_xy=nucleus_xy,
        nucleus_offsets=nucleus_offsets,
        region=np.zeros(n, np.int32),
        measurements=values,
        measurement_names=tuple(f"HER2: m{i}" for i in range(values.shape[1])),
        cell_class=np.zeros(n, np.uint8),
    )


SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
BOW_TIE = [(0, 0), (10, 10), (10, 0), (0, 10)]
SPIKE = [(0, 0), (10, 0), (10, 10), (15, 15), (10, 10), (0, 10)]


def test_features_have_the_form_that_qupath_writes(cells: CellTable) -> None:
    cells.cell_class[3] = NOT_MEASURED
    found = features(cells)
    assert len(found) == len(cells)
    for i, feature in enumerate(found):
        assert feature["type"] == "Feature"
        assert UUID(feature["id"]).bytes == cells.uuid[i].tobytes()
        properties = feature["properties"]
        assert properties["objectType"] == "cell"
        if i == 3:
            assert "classification" not in properties
        else:
            name = cells.class_names[cells.cell_class[i]]
            assert properties["classification"] == {
                "names": name.split(": "),
                "color": list(class_colour(name)),
            }
        expected = {name: cells.column(name)[i] for name in cells.measurement_names}
        assert {key: np.float32(value) for key, value in properties["measurements"].items()} == {
            key: value for key, value in expected.items() if not np.isnan(value)
        }
        has_nucleus = cells.nucleus_offsets[i] < cells.nucleus_offsets[i + 1]
        assert ("nucleusGeometry" in feature) == has_nucleus
        parts = ["cell", "nucleus"] if has_nucleus else ["cell"]
        for part, member in zip(parts, ("geometry", "nucleusGeometry"), strict=False):
            (ring,) = feature[member]["coordinates"]
            offsets = getattr(cells, f"{part}_offsets")
            assert feature[member]["type"] == "Polygon"
            assert ring[0] == ring[-1]
            truth = getattr(cells, f"{part}_xy")[offsets[i] : offsets[i + 1]].astype(float)
            np.testing.assert_allclose(ring[:-1], truth, atol=0.005001)
            assert all(round(value, 2) == value for point in ring for value in point)


def test_written_cells_are_read_back(cells: CellTable, tmp_path: Path) -> None:
    foreign = cells.uuid.copy()
    foreign[:, 0] = 0  # without our tag, so that the reader does not leave them out as our own
    path = tmp_path / "cells.geojson.gz"
    path.write_bytes(write(replace(cells, uuid=foreign), compress=True)[0])
    found = read_regions(path, image_width=6000, image_height=6000)
    assert not found.quarantined
    np.testing.assert_array_equal(found.existing_cells.uuid, foreign)
    np.testing.assert_allclose(found.existing_cells.cell_xy, cells.cell_xy, atol=0.006)
    np.testing.assert_array_equal(found.existing_cells.nucleus_offsets, cells.nucleus_offsets)


def test_gzip_has_the_same_content_and_is_reproducible(cells: CellTable) -> None:
    plain, _ = write(cells)
    packed, _ = write(cells, compress=True)
    assert gzip.decompress(packed) == plain
    assert packed == write(cells, compress=True)[0]


def test_chunks_are_joined_into_one_collection(cells: CellTable, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = write(cells)
    steps = []
    for size in (1, 7, 40):
        monkeypatch.setattr(cells_geojson, "CHUNK_CELLS", size)
        file = io.BytesIO()
        write_cells_geojson(
            file, cells, compress=False, progress=lambda done, total: steps.append((done, total))
        )
        assert file.getvalue() == whole
    assert steps[-2:] == [(40, 40)] * 2
    assert len(steps) == 40 + 6 + 1


def test_the_pieces_for_a_download_are_the_same_text(
    cells: CellTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_geojson, "CHUNK_CELLS", 2)
    assert b"".join(cells_geojson.cells_geojson(cells)) == write(cells)[0]


def test_an_empty_table_gives_an_empty_collection() -> None:
    assert json.loads(write(table([]))[0]) == {"type": "FeatureCollection", "features": []}


def test_outlines_that_qupath_refuses_are_repaired_or_omitted() -> None:
    """One of them fails QuPath 0.6's whole import."""
    line = [(0, 0), (10, 0), (5, 0)]
    nan = [(0, 0), (np.nan, 0), (5, 5)]
    cells = table([BOW_TIE, SQUARE, SPIKE, line, nan, SQUARE], [[], BOW_TIE, [], [], [], SQUARE])
    data, done = write(cells)
    found = json.loads(data)["features"]
    assert [UUID(feature["id"]).bytes[-1] for feature in found] == [1, 2, 5]
    assert done == CellsWritten(n_cells=3, n_repaired=1, n_omitted=3, n_nuclei_omitted=1)
    assert ["nucleusGeometry" in feature for feature in found] == [False, False, True]
    for feature in found:
        assert shapely.Polygon(feature["geometry"]["coordinates"][0]).equals(shapely.box(0, 0, 10, 10))


def test_a_table_without_usable_cells_gives_an_empty_collection() -> None:
    data, done = write(table([BOW_TIE, BOW_TIE]))
    assert json.loads(data)["features"] == []
    assert done.n_omitted == 2


# GEOS decides validity in hundredths of a pixel, as QuPath does; a crossing finer than that is none.
points = st.tuples(st.integers(-300, 300), st.integers(-300, 300))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(points, min_size=3, max_size=8), min_size=1, max_size=5))
def test_every_written_outline_is_valid(rings: list) -> None:
    rings = [[(x / 100, y / 100) for x, y in ring] for ring in rings]
    data, done = write(table(rings))
    found = json.loads(data)["features"]
    assert len(found) == done.n_cells == len(rings) - done.n_omitted
    for feature in found:
        ring = np.rint(np.array(feature["geometry"]["coordinates"][0]) * 100)
        shape = shapely.Polygon(ring)
        assert shape.is_valid
        assert shape.area > 0
        original = shapely.Polygon(np.rint(np.array(rings[UUID(feature["id"]).bytes[-1]]) * 100))
        if original.is_valid:
            assert shape.equals(original)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float32, 12, elements=st.floats(width=32)))
def test_every_float32_reads_back_as_itself(values: np.ndarray) -> None:
    found = features(table([SQUARE], measurements=values[None]))[0]["properties"]["measurements"]
    finite = {f"HER2: m{i}": value for i, value in enumerate(values) if np.isfinite(value)}
    assert {key: np.float32(value) for key, value in found.items()} == finite


@pytest.mark.parametrize(
    "value", [0.1, 0.31, 1.0, 100.0, 1e8, 1e9, 1e-4, 1e-5, 123456.0, 0.999999, 9.999999e-5]
)
def test_round_numbers_stay_short(value: float) -> None:
    data, _ = write(table([SQUARE], measurements=np.array([[value, -value]], np.float32)))
    one, two = json.loads(data)["features"][0]["properties"]["measurements"].values()
    assert (one, two) == (value, -value)
    assert len(data.split(b'"HER2: m0":')[1].split(b",")[0]) <= len(repr(value)) + 3


@pytest.mark.parametrize("x", [0.0, -0.004, 0.01, 0.1, 1.05, -3.5, 99999.99, 200000.0, -0.25])
def test_coordinates_are_exact_hundredths(x: float) -> None:
    ring = [(x, 0), (x + 10, 0), (x + 10, 10)]
    (outline,) = features(table([ring]))[0]["geometry"]["coordinates"]
    assert outline[0][0] == round(float(np.float32(x)), 2) + 0.0


def test_a_full_disk_in_the_compression_thread_is_raised(cells: CellTable) -> None:
    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_cells_geojson(Full(), cells, compress=True)
