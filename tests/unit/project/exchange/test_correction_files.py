from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.correction_files import corrections_path, read_corrections

RING = [[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]
ID = "51504845-5232-8000-8000-000000000001"


def feature(change: str, geometry: Any = "ring", **properties: Any) -> dict[str, Any]:
    shape = {"type": "Polygon", "coordinates": [RING]} if geometry == "ring" else geometry
    return {"type": "Feature", "id": ID, "geometry": shape, "properties": {"change": change, **properties}}


def written(folder: Path, features: Any) -> Path:
    path = corrections_path(folder / "case01.geojson", "case01")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_corrections_are_read_as_written(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [
            feature("class", **{"class": "Tumor: 2+", "centroid": [15.5, 14]}),
            feature("deleted"),
            feature("class", geometry=None, **{"class": None}),
        ],
    )
    assert path.name == "case01.corrections.geojson"
    found = read_corrections(path)
    assert found is not None
    (changed,) = found.changed
    assert changed.class_name == "Tumor: 2+"
    assert changed.centroid_xy == (15.5, 14)
    assert np.array_equal(changed.ring, RING[:-1])
    assert [ring.tolist() for ring in found.deleted] == [RING[:-1]]
    assert found.deleted_uuids == (UUID(ID),)
    assert found.existing == {UUID(ID): None}
    assert len(found.digest) == 64


def test_no_file_means_that_nobody_corrected_anything(tmp_path: Path) -> None:
    assert read_corrections(tmp_path / "case01.corrections.geojson") is None


@pytest.mark.parametrize(
    "damaged",
    [
        feature("moved"),
        feature("class", **{"class": "Tumor: 2+"}),
        feature("class", **{"class": 3, "centroid": [1, 2]}),
        feature("deleted", geometry={"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}),
        feature(
            "deleted", geometry={"type": "Polygon", "coordinates": [[[1, None], [3, 4], [5, 6], [1, 2]]]}
        ),
        feature("deleted", geometry=None),
        {"type": "Feature"},
        5,
    ],
)
def test_damaged_features_are_named(tmp_path: Path, damaged: Any) -> None:
    path = written(tmp_path, [feature("deleted"), damaged])
    with pytest.raises(
        ExchangeError, match=r"Feature 1 of the corrections .* is damaged .* Export the image"
    ):
        read_corrections(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"features": 5}', "{}"])
def test_other_content_is_no_feature_collection(tmp_path: Path, text: str) -> None:
    path = tmp_path / "case01.corrections.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExchangeError, match="no feature collection"):
        read_corrections(path)
