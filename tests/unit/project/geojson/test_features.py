"""Properties of features: identity, type, class, order of nested ones."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import shapely

from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.geojson.features import (
    Feature,
    crs_problem,
    parse_feature,
    stable_uuid,
)

ID = "3f0c8d4e-3a51-4a0e-9d43-4e2b7c1a9f60"
SQUARE = shapely.box(0, 0, 10, 10)


def parse(**raw: Any) -> Feature:
    return parse_feature(0, raw, ClassNames())


@pytest.mark.parametrize(
    ("raw", "object_type"),
    [
        ({"properties": {"objectType": "Cell"}}, "cell"),
        ({"properties": {"object_type": "tmaCore"}}, "tma_core"),
        ({"properties": {"type": "detection"}}, "detection"),
        ({"id": "PathDetectionObject"}, "detection"),
        ({"id": "PathDetectionObject", "properties": {"objectType": "annotation"}}, "detection"),
        ({"properties": {"type": "Tumour"}}, "annotation"),
        ({"properties": None}, "annotation"),
    ],
)
def test_object_type(raw: dict[str, Any], object_type: str) -> None:
    assert parse(**raw).object_type == object_type


@pytest.mark.parametrize(
    ("properties", "class_name"),
    [
        ({"classification": {"name": "Tumor"}}, "Tumor"),
        ({"classification": {"names": ["Tumor", "3+"]}}, "Tumor: 3+"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"classification": None, "name": "Tumor"}, None),
        ({"name": "Tumor"}, "Tumor"),
        ({"name": "my favourite"}, None),
        ({"type": "Tumour"}, "Tumour"),
        ({"type": "annotation", "label": "Stroma"}, "Stroma"),
        ({"class": 3}, "3"),
        ({"class": True}, None),
    ],
)
def test_class_name(properties: dict[str, Any], class_name: str | None) -> None:
    assert parse(properties=properties).class_name == class_name


def test_a_name_used_as_class_is_noted() -> None:
    assert parse(properties={"name": "Tumor"}).notes == ("its name 'Tumor' was read as its class",)


@pytest.mark.parametrize("own", [ID, "{" + ID + "}", ID.replace("-", ""), "roi 7", 7])
def test_only_the_plain_form_is_a_uuid(own: object) -> None:
    feature = parse(id=own)
    assert feature.id == str(own)
    assert (feature.uuid == UUID(ID)) == (own == ID)


def test_uuids_are_derived_from_id_or_class_and_shape() -> None:
    assert stable_uuid(parse(id=ID), SQUARE) == UUID(ID)
    named = stable_uuid(parse(id="roi 7"), SQUARE)
    assert named == stable_uuid(parse(id="roi 7"), shapely.box(5, 5, 6, 6))
    tumour, stroma = (parse(properties={"class": name}) for name in ("Tumor", "Stroma"))
    turned = shapely.Polygon([(10, 10), (0, 10), (0, 0), (10, 0)])
    assert stable_uuid(tumour, SQUARE) == stable_uuid(tumour, turned)
    assert len({stable_uuid(tumour, SQUARE), stable_uuid(stroma, SQUARE), named}) == 3


def test_derived_uuids_never_change() -> None:
    """Results of earlier runs are attached by them."""
    assert stable_uuid(parse(id="roi 7"), SQUARE) == UUID("7f346f7f-a892-51b0-b3a1-dece8a56a8c5")
    assert stable_uuid(parse(properties={"class": "Tumor"}), SQUARE) == UUID(
        "a6f6c1a0-8505-5026-ad66-2639f9f380d2"
    )


@pytest.mark.parametrize(
    ("crs", "is_problem"),
    [
        (None, False),
        ({"properties": {"name": "urn:pixel"}}, False),
        ("image", False),
        ({"properties": {"name": "EPSG:3857"}}, True),
        ({"properties": 5}, True),
        (3857, True),
    ],
)
def test_map_projections_are_a_problem(crs: object, is_problem: bool) -> None:
    assert (crs_problem({"crs": crs}) is not None) == is_problem


def test_a_python_dictionary_with_a_list_as_key_is_no_class() -> None:
    assert parse(properties={"classification": "{[1]: 2}"}).class_name == "{[1]: 2}"


def test_endless_combining_characters_are_cut_before_they_are_composed() -> None:
    """Composing 60,000 of them takes seconds; a cut one takes none, and its first 1,000 characters are kept."""
    name = parse(properties={"name": "a" + "\u0315" * 30_000 + "\u0316" * 30_000}).name
    assert name is not None
    assert len(name) == 1000
