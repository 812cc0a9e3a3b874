"""Regions, labels, cores and existing cells from region files, and what is quarantined or repaired."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.geojson.geometry import Frame
from qupath_her2.project.geojson.regions import RegionFile, parse_regions, read_regions
from qupath_her2.provenance import object_uuids

FRAME = Frame(5000, 4000)
ID = "3f0c8d4e-3a51-4a0e-9d43-4e2b7c1a9f60"
GOOD_ID = "11111111-2222-4333-8444-555555555555"


def square(x: float = 100, y: float = 100, side: float = 500) -> list:
    return [[[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]]


def feature(coordinates=None, *, kind: str = "Polygon", properties=None, **members) -> dict:
    if properties is None:
        properties = {"objectType": "annotation", "classification": {"name": "Tumor", "color": [200, 0, 0]}}
    geometry = {"type": kind, "coordinates": square() if coordinates is None else coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties, **members}


def parse(*features, names: ClassNames | None = None) -> RegionFile:
    return parse_regions(list(features), FRAME, names or ClassNames())


def read(path: Path) -> RegionFile:
    return read_regions(path, image_width=FRAME.width, image_height=FRAME.height)


# --- every spelling of one annotation gives the same region

SPELLINGS = {
    "QuPath 0.5 to 0.7": {
        "objectType": "annotation",
        "name": "Mine",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": True,
    },
    "names": {"objectType": "annotation", "classification": {"names": ["Tumor"], "color": [200, 0, 0]}},
    "colorRGB": {"objectType": "annotation", "classification": {"name": "Tumor", "colorRGB": -3670016}},
    "no colour": {"object_type": "annotation", "classification": {"name": "Tumor"}},
    "text": {"objectType": "annotation", "classification": "Tumor"},
    "old type": {"type": "annotation", "classification": {"name": "Tumor"}, "measurements": []},
    "old measurements": {"classification": "Tumor", "measurements": [{"name": "a", "value": 1}]},
    "TIAToolbox": {"type": "Tumour"},
    "plain class": {"class": "tumor"},
    "plain label": {"label": "TUMOR"},
    "plain name": {"name": "Tumor"},
    "upper case": {"objectType": "ANNOTATION", "classification": "Tumor"},
}


@pytest.mark.parametrize("properties", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_all_spellings_of_an_annotation_give_the_same_region(properties: dict) -> None:
    found = parse(feature(properties=properties, id=ID))
    assert not found.quarantined
    (region,) = found.regions
    assert region.role == "tumour"
    assert region.uuid == UUID(ID)
    assert region.geometry.equals(shapely.box(100, 100, 600, 600))
    assert region.is_locked == (properties.get("isLocked") is True)


def test_an_id_of_old_qupath_is_read_as_object_type() -> None:
    old = feature(properties={"classification": {"name": "Tumor", "colorRGB": -1}}, id="PathAnnotationObject")
    cell = feature(square(5, 5, 20), properties={}, id="PathCellObject")
    found = parse(old, cell)
    assert len(found.regions) == 1
    assert len(found.existing_cells) == 1


def test_top_level_forms(tmp_path: Path) -> None:
    one = feature(id=ID)
    bare = json.dumps(one["geometry"])
    forms = {
        "collection.geojson": json.dumps({"type": "FeatureCollection", "features": [one]}).encode(),
        "array.json": json.dumps([one]).encode(),
        "single.geojson": json.dumps(one).encode(),
        "packed.geojson.gz": gzip.compress(json.dumps([one]).encode()),
        "bom.geojson": b"\xef\xbb\xbf" + json.dumps([one]).encode(),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        assert [region.uuid for region in read(tmp_path / name).regions] == [UUID(ID)], name
    (tmp_path / "bare.geojson").write_text(bare)
    assert [bad.reason[:12] for bad in read(tmp_path / "bare.geojson").quarantined] == ["has no class"]


# --- an unusable feature is quarantined with its position, id and reason; the other one is used

BAD = {
    "pentagram": (
        feature([[[100, 0], [159, 181], [5, 69], [195, 69], [41, 181], [100, 0]]]),
        "crosses itself",
    ),
    "half an outline": (feature([[[0, 0], [50, 5], [100, 0], [150, 5], [200, 0]]]), "open outline"),
    "two points": (feature([[[0, 0], [100, 0], [0, 0]]]), "3 points"),
    "empty": (feature([]), "empty"),
    "empty ring": (feature([[]]), "empty"),
    "null geometry": ({**feature(), "geometry": None}, "no geometry"),
    "null coordinates": (
        {**feature(), "geometry": {"type": "Polygon", "coordinates": None}},
        "missing coordinates",
    ),
    "NaN": (feature([[[0, 0], [float("nan"), 0], [100, 100], [0, 0]]]), "NaN"),
    "null number": (feature([[[0, 0], [None, 0], [100, 100], [0, 0]]]), "NaN"),
    "infinite": (feature([[[0, 0], [float("inf"), 0], [100, 100], [0, 0]]]), "infinite"),
    "huge": (feature([[[0, 0], [1e300, 0], [100, 1e300], [0, 0]]]), "far beyond"),
    "outside": (feature(square(6000, 100)), "outside the image"),
    "3D": (feature([[[0, 0, 5], [100, 0, 5], [100, 100, 5], [0, 0, 5]]]), "three-dimensional"),
    "no class": (feature(properties={"objectType": "annotation"}), "has no class"),
    "class null": (feature(properties={"classification": None}), "has no class"),
    "properties null": ({**feature(), "properties": None}, "has no class"),
    "zero area": (feature([[[0, 0], [100, 0], [50, 0], [0, 0]]]), "no area"),
    "line": (feature([[0, 0], [5, 5]], kind="LineString"), "LineString"),
    "point": (feature([0, 0], kind="Point"), "Point"),
    "another slice": (
        {**feature(), "geometry": {**feature()["geometry"], "plane": {"c": -1, "z": 2, "t": 0}}},
        "another plane (z = 2, t = 0)",
    ),
    "another time": (
        {**feature(), "geometry": {**feature()["geometry"], "plane": {"c": -1, "z": 0, "t": 1}}},
        "another plane (z = 0, t = 1)",
    ),
    "collection": (
        {**feature(), "geometry": {"type": "GeometryCollection", "geometries": []}},
        "GeometryCollection",
    ),
    "words": (feature([[["a", "b"], ["c", "d"], ["e", "f"], ["a", "b"]]]), "pairs of numbers"),
    "ragged": (feature([[[0, 0], [100], [100, 100], [0, 0]]]), "pairs of numbers"),
    "own crs": (
        {
            **feature([[[1e6, 6e6], [1.1e6, 6e6], [1.1e6, 6.1e6], [1e6, 6e6]]]),
            "crs": {"type": "name", "properties": {"name": "EPSG:3857"}},
        },
        "EPSG:3857",
    ),
    "open part": (
        feature([square(), [[[0, 0], [9, 0], [18, 0], [27, 1], [36, 0]]]], kind="MultiPolygon"),
        "open outline",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_feature_is_quarantined_and_the_rest_is_used(bad: dict, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "case.geojson"
    path.write_text(json.dumps([{**bad, "id": ID}, feature(id=GOOD_ID)]))
    found = read(path)
    assert [region.uuid for region in found.regions] == [UUID(GOOD_ID)]
    (quarantined,) = found.quarantined
    assert (quarantined.index, quarantined.id) == (0, ID)
    assert reason in quarantined.reason


@pytest.mark.parametrize("thing", [None, 5, "text", [], True])
def test_values_that_are_not_features_are_quarantined(thing) -> None:
    found = parse(thing, feature())
    assert len(found.regions) == 1
    assert [(bad.index, bad.id) for bad in found.quarantined] == [(0, None)]


def test_duplicates_keep_the_first() -> None:
    found = parse(feature(id=ID), feature(square(900), id=ID), feature(square(2000)), feature(square(2000)))
    assert [region.geometry.bounds[0] for region in found.regions] == [100, 2000]
    assert [(bad.index, bad.id) for bad in found.quarantined] == [(1, ID), (3, None)]
    assert "has the id of feature 0" in found.quarantined[0].reason


def test_the_crs_of_the_file_applies_to_all_features(tmp_path: Path) -> None:
    path = tmp_path / "map.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    degrees = [
        [[[12.5, 48.1], [12.6, 48.1], [12.6, 48.2], [12.5, 48.1]]],
        [[[2.5, 8.1], [2.6, 8.1], [2.6, 8.2], [2.5, 8.1]]],
    ]
    on_a_map = {"type": "FeatureCollection", "crs": crs, "features": [feature(one) for one in degrees]}
    path.write_text(json.dumps(on_a_map))
    assert [bad.index for bad in read(path).quarantined] == [0, 1]
    assert "map projection 'urn:ogc:def:crs:OGC:1.3:CRS84'" in read(path).quarantined[0].reason
    collection = {"type": "FeatureCollection", "crs": crs, "features": [feature(), feature(square(900))]}
    path.write_text(json.dumps(collection))
    found = read(path)
    assert len(found.regions) == 2
    assert "its 'crs' was ignored, because its coordinates are pixels" in found.notes[0]
    for harmless in (None, {"type": "name", "properties": {"name": "pixel"}}):
        path.write_text(json.dumps({**collection, "crs": harmless}))
        assert len(read(path).regions) == 2


def test_small_coordinates_in_a_small_image_are_not_taken_for_degrees() -> None:
    shape = [[[10.5, 10.5], [80.5, 10.5], [80.5, 60.5], [10.5, 10.5]]]
    assert len(parse_regions([feature(shape)], Frame(500, 500), ClassNames()).regions) == 1


# --- repairs, with a note


def test_slight_self_crossing_is_repaired() -> None:
    ring = [
        [0, 0],
        [1000, 0],
        [1000, 1000],
        [500, 1000],
        [501, 1003],
        [499, 1003],
        [500.5, 1000],
        [0, 1000],
        [0, 0],
    ]
    assert not shapely.Polygon(ring).is_valid
    found = parse(feature([ring]))
    (region,) = found.regions
    assert region.geometry.is_valid
    assert region.geometry.area == pytest.approx(1e6, rel=0.01)
    assert "repaired" in found.notes[0]


def test_one_annotation_is_asked_for_with_the_regions_that_decide_on_its_points() -> None:
    def named(uuid: str, *names: str, kind: str = "annotation") -> dict:
        classes = {"classification": {"names": list(names)}} if names else {}
        side = 100 + int(uuid[0], 16)
        return feature(square(side=side), id=uuid, properties={"objectType": kind, **classes})

    plain, tumour, in_situ, stroma, label, proposed, core = (f"{n}{ID[1:]}" for n in "1234567")
    features = [
        named(plain),
        named(tumour, "Tumor"),
        named(in_situ, "In situ"),
        named(stroma, "Stroma"),
        named(label, "Tumor", "3+"),
        named(proposed, "Tumor?"),
        named(core, kind="tmaCore"),
    ]
    for wanted in (plain, tumour, in_situ, label, proposed, core):
        found = parse_regions(features, FRAME, ClassNames(), only=UUID(wanted))
        assert found.selected is not None
        assert str(found.selected.uuid) == wanted
        roles = {str(region.uuid): region.role for region in found.regions}
        known = {tumour: "tumour", in_situ: "in_situ", stroma: "stroma"}
        assert roles == {uuid: role for uuid, role in known.items() if uuid != wanted}
        assert (found.cores, found.quarantined, found.proposals, found.labels) == ((), (), (), ())
        assert set(found.drawn) == {*found.regions, found.selected}
    assert parse_regions(features, FRAME, ClassNames(), only=UUID(int=7)).selected is None


@given(st.floats(-2000, 6000), st.floats(-2000, 6000), st.floats(1, 3000))
def test_clipping_keeps_the_part_inside_the_image(x: float, y: float, side: float) -> None:
    found = parse(feature(square(round(x), round(y), side)))
    inside = shapely.box(round(x), round(y), round(x) + side, round(y) + side).intersection(
        shapely.box(0, 0, FRAME.width, FRAME.height)
    )
    if found.regions:
        assert found.regions[0].geometry.area == pytest.approx(inside.area)
        assert (
            bool(found.notes) == (inside.area < side * side * (1 - 1e-9)) or inside.area > side * side * 0.999
        )
    else:
        assert inside.area < 1e-3 or "longitude" in found.quarantined[0].reason


def test_a_third_coordinate_of_zero_is_dropped() -> None:
    found = parse(feature([[[*point, 0.0] for point in square()[0]]]))
    assert found.regions[0].geometry.equals(shapely.box(100, 100, 600, 600))
    assert not shapely.has_z(found.regions[0].geometry)
    assert "third coordinate" in found.notes[0]


def test_holes_and_parts_are_kept() -> None:
    part = [square()[0], square(200, 200, 100)[0]]
    found = parse(feature([part, square(2000, 2000, 10)], kind="MultiPolygon"))
    assert found.regions[0].geometry.area == 500 * 500 - 100 * 100 + 10 * 10


# --- roles


def test_an_annotation_of_an_intensity_class_is_a_label() -> None:
    graded = {"objectType": "annotation", "classification": {"names": ["Tumor", "3+"], "color": [1, 2, 3]}}
    found = parse(feature(properties=graded))
    assert not found.regions
    assert found.labels[0].class_name == "Tumor: 3+"


def test_unclassified_annotations_are_tumour_only_by_setting_and_without_other_tumour() -> None:
    plain = feature(square(900), properties={})
    willing = ClassNames(unclassified_is_tumour=True)
    assert [region.role for region in parse(plain, names=willing).regions] == ["tumour"]
    assert [bad.index for bad in parse(plain, feature(), names=willing).quarantined] == [0]
    assert "unclassified_is_tumour = true under [regions] in her2.toml" in parse(plain).quarantined[0].reason


def test_our_objects_and_tiles_are_skipped_and_missing_cores_kept_apart() -> None:
    own = str(UUID(bytes=object_uuids("ab" * 32, 1)[0].tobytes()))
    tile = feature(square(9), properties={"objectType": "tile", "classification": "Tumor"})
    core = feature(properties={"objectType": "tmaCore", "name": "A-1"})
    keys = ("isMissing", "is_missing", "missing")
    missing = [
        feature(square(600 + 90 * i), properties={"objectType": "tmaCore", "name": f"B-{i}", key: True})
        for i, key in enumerate(keys)
    ]
    found = parse(feature(id=own, properties={}), tile, core, *missing)
    assert not found.regions
    assert [region.name for region in found.cores] == ["A-1"]
    assert [region.name for region in found.missing_cores] == ["B-0", "B-1", "B-2"]
    assert {note.split(" ", 1)[1] for note in found.notes} == {
        "objects of an earlier HER2 run were left out.",
        "tiles were left out.",
    }


def test_proposals_are_kept_apart_and_accepted_ones_are_regions() -> None:
    """A class of ours or of a person's own making: what is called Tumor? is never scored, nor set aside."""
    proposed, accepted, cell = (
        str(UUID(bytes=row.tobytes())) for row in object_uuids("ab" * 32, 3, start=(1 << 32) - 3)
    )
    found = parse(
        feature(id=proposed, properties={"classification": "Tumor?"}),
        feature(square(9), id=accepted, properties={"classification": "Tumor"}),
        feature(square(300), properties={"classification": " tumour? "}),
        feature(square(600), id=cell, properties={"objectType": "cell", "classification": "Tumor: 3+"}),
    )
    assert [str(region.uuid) for region in found.regions] == [accepted]
    assert [region.role for region in found.regions] == ["tumour"]
    assert [region.class_name for region in found.proposals] == ["Tumor?", "tumour?"]
    assert found.quarantined == ()
    assert found.existing_cells is None
    assert found.notes == ("1 objects of an earlier HER2 run were left out.",)


def test_nested_features_are_read() -> None:
    parent = feature()
    parent["properties"]["childObjects"] = [feature(square(200, 200, 10), properties={"objectType": "cell"})]
    found = parse(parent)
    assert (len(found.regions), len(found.existing_cells)) == (1, 1)


def test_existing_cells_are_columns() -> None:
    cell = feature(
        square(50, 60, 20),
        properties={"objectType": "cell", "classification": "Positive: 1+"},
        id=ID,
        nucleusGeometry={"type": "Polygon", "coordinates": square(55, 65, 8)},
    )
    bad_nucleus = feature(
        square(150, 60, 20),
        properties={"objectType": "cell"},
        nucleusGeometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]},
    )
    detection = feature(square(250, 60, 10), properties={"objectType": "detection"})
    found = parse(cell, bad_nucleus, detection)
    cells = found.existing_cells
    assert len(cells) == 3
    assert UUID(bytes=cells.uuid[0].tobytes()) == UUID(ID)
    assert cells.cell_offsets.tolist() == [0, 4, 8, 12]
    assert cells.nucleus_offsets.tolist() == [0, 4, 4, 4]
    assert sorted(map(tuple, cells.nucleus_xy)) == [(55, 65), (55, 73), (63, 65), (63, 73)]
    assert cells.class_names == ("Positive: 1+", None, None)
    assert cells.is_cell.tolist() == [True, True, False]
    assert "nucleus was left out" in found.notes[0]
    assert cells.digest() != parse(cell).existing_cells.digest()
    assert cells.cell_xy.dtype == np.float32


# --- UUIDs of features without one


def test_uuids_follow_the_own_id_or_the_shape() -> None:
    turned = [square()[0][2:4] + square()[0][0:3]]
    (one,), (same,), (moved,) = (parse(feature(shape)).regions for shape in (square(), turned, square(101)))
    assert one.uuid == same.uuid != moved.uuid
    (named,), (reshaped,) = (parse(feature(shape, id="roi 7")).regions for shape in (square(), square(300)))
    assert named.uuid == reshaped.uuid != one.uuid


# --- files that cannot be read at all


@pytest.mark.parametrize("data", [b"5", b"{}", b'{"type": "Topology"}', b'{"type": "FeatureCollection"}'])
def test_json_that_is_not_geojson_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "case.geojson"
    path.write_bytes(data)
    with pytest.raises(RegionFileError, match=r"'case\.geojson' is JSON but not GeoJSON"):
        read(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.geojson"
    path.write_bytes(b'{"type": "FeatureCollection", "features": [')
    with pytest.raises(RegionFileError, match=r"'case\.geojson' is cut short"):
        read(path)


def test_bare_nan_in_measurements_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "lenient.geojson"
    good = feature()
    good["properties"]["measurements"] = {"a": float("nan"), "b": float("inf")}
    path.write_text(json.dumps([good]))
    assert "NaN" in path.read_text()
    assert len(read(path).regions) == 1


# --- arbitrary input

numbers = st.one_of(
    st.integers(-(10**400), 10**400), st.floats(), st.booleans(), st.none(), st.text(max_size=3)
)
rings = st.lists(st.lists(numbers, max_size=4), max_size=6)
anything = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
)
kinds = st.sampled_from(["Polygon", "MultiPolygon", "Point", "GeometryCollection", "?", None])
geometries = st.one_of(
    anything,
    st.fixed_dictionaries({"type": kinds, "coordinates": st.one_of(anything, st.lists(rings, max_size=3))}),
)
classes = st.one_of(anything, st.fixed_dictionaries({}, optional={"name": anything, "names": anything}))
properties = st.one_of(
    anything,
    st.fixed_dictionaries(
        {},
        optional={
            "objectType": st.one_of(
                anything, st.sampled_from(["annotation", "cell", "tmaCore", "root", "tile"])
            ),
            "type": anything,
            "classification": classes,
            "name": anything,
            "isLocked": anything,
            "childObjects": anything,
            "measurements": anything,
        },
    ),
)
features = st.fixed_dictionaries(
    {},
    optional={
        "type": anything,
        "id": anything,
        "geometry": geometries,
        "properties": properties,
        "nucleusGeometry": geometries,
        "crs": anything,
        "children": anything,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(features, anything), max_size=4))
def test_no_input_raises(things: list) -> None:
    found = parse(*things)
    assert all(region.geometry.is_valid and region.geometry.area > 0 for region in found.regions)
    assert all(bad.reason for bad in found.quarantined)


points = st.tuples(st.integers(-50, 200), st.integers(-50, 200))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(points, min_size=3, max_size=9), min_size=1, max_size=3))
def test_closed_rings_give_a_valid_region_or_a_reason(outlines: list) -> None:
    closed = [[list(point) for point in [*ring, ring[0]]] for ring in outlines]
    found = parse_regions([feature(closed)], Frame(150, 150), ClassNames())
    assert len(found.regions) + len(found.quarantined) == 1
    for region in found.regions:
        assert region.geometry.is_valid
        assert shapely.box(0, 0, 150, 150).buffer(1e-9).contains(region.geometry)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), anything.map(lambda thing: json.dumps(thing).encode())))
def test_any_bytes_give_regions_or_a_region_file_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.geojson"
    path.write_bytes(data)
    found: RegionFile | str
    try:
        found = read(path)
    except RegionFileError as error:
        found = str(error)
    assert isinstance(found, RegionFile) or "any.geojson" in found


def test_degrees_are_refused_unless_the_file_proves_pixels() -> None:
    corner = [[[1.5, 2.25], [150.5, 2.25], [150.5, 80.75], [1.5, 80.75], [1.5, 2.25]]]
    alone = parse(feature(corner))
    assert "longitude" in alone.quarantined[0].reason
    beside = parse(feature(), feature(corner, properties={"classification": {"name": "Ignore*"}}))
    assert beside.quarantined == ()
    assert beside.regions[1].role == "ignore"
    assert beside.regions[1].geometry.area == pytest.approx(149 * 78.5)


@pytest.mark.parametrize(
    "text",
    [
        '{ "name": "Tumor", "color": [ 200, 0, 0 ] }',
        "{'name': 'Tumor', 'color': [200, 0, 0]}",
        '{"names": ["Tumor"]}',
        '{"name": {"name": "Tumor"}}',
    ],
)
def test_a_classification_written_as_text_is_read(text: str) -> None:
    (found,) = parse(feature(properties={"classification": text})).regions
    assert (found.class_name, found.role) == ("Tumor", "tumour")


def test_a_classification_that_holds_itself_ends() -> None:
    nested: dict = {"name": "Tumor"}
    for _ in range(5000):
        nested = {"name": nested}
    found = parse(feature(properties={"classification": nested}), feature())
    assert len(found.regions) == 1
    assert "has no class" in found.quarantined[0].reason
    hostile = "{" * 5000
    assert parse(feature(properties={"classification": hostile})).regions[0].role == "other"
