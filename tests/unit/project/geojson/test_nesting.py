"""Features at any nesting: each is a region, or quarantined with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project.geojson.nesting import iterate_features, top_level_features
from qupath_her2.project.geojson.regions import RegionFile, read_regions


def geometry(x: float) -> dict[str, Any]:
    ring = [[x, 300.5], [x + 9, 300.5], [x + 9, 309], [x, 309], [x, 300.5]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(x: float, **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry(x), "properties": {"classification": "Tumor"}, **more}


def collection(*features: Any, **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **more}


def read(data: Any, folder: Path) -> RegionFile:
    path = folder / "case.geojson"
    path.write_text(json.dumps(data))
    return read_regions(path, image_width=1000, image_height=1000)


def test_children_follow_their_parent_and_share_its_index() -> None:
    grandchild = {"id": "c"}
    child = {"id": "b", "properties": {"childObjects": [grandchild]}}
    found = list(iterate_features([{"id": "a", "children": [child]}, 5, {"id": "d"}]))
    assert [(index, item["id"] if isinstance(item, dict) else item) for index, item, _ in found] == [
        (0, "a"),
        (0, "b"),
        (0, "c"),
        (1, 5),
        (2, "d"),
    ]


ONE, TWO, THREE = feature(0), feature(20), feature(40)


@pytest.mark.parametrize(
    "data",
    [
        collection(ONE, collection(TWO, collection(THREE))),
        [ONE, [TWO, [[THREE]]]],
        collection(ONE, {"features": [TWO, THREE]}),
        {**ONE, "features": [TWO, THREE]},
        {**collection(TWO, THREE), "geometry": geometry(0), "properties": {"classification": "Tumor"}},
        {**ONE, "childObjects": collection(TWO, THREE)},
        {**ONE, "properties": {"classification": "Tumor", "children": {**TWO, "children": THREE}}},
        {"type": "FeatureCollection", "features": {**ONE, "features": [TWO, THREE]}},
        [collection(ONE), collection(TWO), collection(THREE)],
    ],
)
def test_features_in_odd_places_are_read(data: Any, tmp_path: Path) -> None:
    found = read(data, tmp_path)
    assert sorted(region.geometry.bounds[0] for region in found.regions) == [0, 20, 40]
    assert found.quarantined == ()


def test_a_feature_in_place_of_a_geometry_is_read_and_its_holder_set_aside(tmp_path: Path) -> None:
    found = read(
        collection({"type": "Feature", "geometry": ONE}, {"type": "Feature", "geometry": collection(TWO)}),
        tmp_path,
    )
    assert sorted(region.geometry.bounds[0] for region in found.regions) == [0, 20]
    assert [bad.reason.split(";")[0] for bad in found.quarantined] == [
        "holds a Feature in its geometry",
        "holds a FeatureCollection in its geometry",
    ]


def test_a_feature_in_a_collection_of_geometries_is_set_aside(tmp_path: Path) -> None:
    both = {"type": "GeometryCollection", "geometries": [geometry(0), TWO]}
    found = read(
        collection({"type": "Feature", "geometry": both, "properties": {"classification": "Tumor"}}), tmp_path
    )
    assert found.regions == ()
    assert "holds a Feature in its geometry" in found.quarantined[0].reason


def test_bare_geometries_among_features_have_no_class(tmp_path: Path) -> None:
    found = read(collection(ONE, geometry(20), {"type": "Point", "coordinates": [5, 5]}), tmp_path)
    assert len(found.regions) == 1
    assert [bad.reason.split(",")[0].split(";")[0] for bad in found.quarantined] == [
        "has no class",
        "is a Point",
    ]


@pytest.mark.parametrize("odd", [None, 5, "text", [], {}, {"type": "FeatureCollection", "features": None}])
def test_what_is_no_feature_is_a_row(odd: Any, tmp_path: Path) -> None:
    found = read(collection(ONE, odd), tmp_path)
    assert [bad.index for bad in found.quarantined] == [1]


def test_the_crs_of_an_inner_collection_holds_for_its_features(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    far = {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[5e6, 5e6], [5e6 + 9, 5e6], [5e6, 5e6 + 9], [5e6, 5e6]]],
        },
    }
    found = read(collection(ONE, collection(far, crs=crs)), tmp_path)
    assert "map projection 'urn:ogc:def:crs:EPSG::3857'" in found.quarantined[0].reason


def test_the_root_of_the_hierarchy_is_counted_where_it_has_an_outline(tmp_path: Path) -> None:
    root = {
        "type": "Feature",
        "geometry": geometry(0),
        "properties": {"objectType": "root"},
        "childObjects": [TWO],
    }
    found = read(collection(root), tmp_path)
    assert len(found.regions) == 1
    assert found.notes == ("1 roots of QuPath's object hierarchy were left out.",)


@pytest.mark.parametrize(
    "data", [5, "text", None, {}, {"type": "Topology"}, {"type": ["Feature"]}, {"features": 5}]
)
def test_other_json_is_refused(data: Any) -> None:
    with pytest.raises(RegionFileError, match="is JSON but not GeoJSON"):
        top_level_features(data, "case.geojson")


def test_nesting_beyond_the_limit_of_recursion_is_read() -> None:
    data: Any = ONE
    for _ in range(50_000):
        data = {"type": "FeatureCollection", "features": [data]}
    assert [item for _, item, _ in iterate_features([data])] == [ONE]


def test_a_cell_with_a_hole_says_that_it_was_filled(tmp_path: Path) -> None:
    ring, hole = geometry(0)["coordinates"][0], [[3, 303], [6, 303], [6, 306], [3, 306], [3, 303]]
    cell = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring, hole]},
        "properties": {"objectType": "cell"},
    }
    found = read(collection(cell), tmp_path)
    assert len(found.existing_cells or ()) == 1
    # 9 x 8.5 px with a hole of 3 x 3.
    assert "without holes (area now 76 px², was 68 px²)" in found.notes[0]


def test_a_bare_feature_in_place_of_a_geometry_is_a_row_of_its_own(tmp_path: Path) -> None:
    inner = {"type": "Feature", "coordinates": "x"}
    found = read(collection({"type": "Feature", "geometry": inner}), tmp_path)
    assert [bad.reason.split(";")[0] for bad in found.quarantined] == [
        "holds a Feature in its geometry",
        "has no geometry",
    ]
