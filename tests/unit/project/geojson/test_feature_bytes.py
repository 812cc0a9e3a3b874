"""Bytes of features: parsed back by the json module, they give the arrays they were made from."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.project.geojson.feature_bytes import format_cells

LIMIT = 2_000_000_000
coordinates = st.integers(-LIMIT, LIMIT)
rings = st.lists(st.tuples(coordinates, coordinates), max_size=5)
floats = st.floats(width=32)


def concatenated(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), offsets


def ragged(outlines: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, outlines)]).astype(np.int64)
    return np.array([p for ring in outlines for p in ring], np.int32).reshape(-1, 2), offsets


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(rings, rings, st.integers(0, 1), floats, floats), min_size=1, max_size=4))
def test_features_read_back_as_the_arrays(cells: list) -> None:
    outlines, nuclei, codes, first, second = map(list, zip(*cells, strict=True))
    values = np.array([first, second], np.float32).T
    uuid = np.arange(16 * len(cells), dtype=np.uint8).reshape(-1, 16)
    classes = concatenated([b'"classification":{"name":"T"},', b""])
    keys = concatenated([b'"a":', b'"b \xc2\xb5m":'])
    text = format_cells(
        uuid, ragged(outlines), ragged(nuclei), np.array(codes, np.uint8), classes, values, keys
    )
    found = json.loads(b"[" + bytes(text)[2:] + b"]")
    written = [i for i, ring in enumerate(outlines) if ring]
    assert [UUID(feature["id"]).bytes for feature in found] == [uuid[i].tobytes() for i in written]
    for feature, i in zip(found, written, strict=True):
        for member, ring in (("geometry", outlines[i]), ("nucleusGeometry", nuclei[i])):
            closed = [[x / 100, y / 100] for x, y in [*ring, *ring[:1]]]
            assert (feature[member]["coordinates"][0] if member in feature else []) == closed
        assert ("classification" in feature["properties"]) == (codes[i] == 0)
        finite = {k: v for k, v in zip(("a", "b µm"), values[i], strict=True) if np.isfinite(v)}
        measured = feature["properties"]["measurements"]
        assert {key: np.float32(value) for key, value in measured.items()} == finite
