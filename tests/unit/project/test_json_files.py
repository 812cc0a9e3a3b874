"""JSON region files: plain, gzipped, lenient, and every kind of damage."""

from __future__ import annotations

import gzip
import json
import math
import os
import zipfile
from pathlib import Path

import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project import json_files
from qupath_her2.project.json_files import load_json, read_limited


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b'{"type": "FeatureCollection", "features": [{"type": "Fea', "is cut short: line 1, column 53"),
        (b'{"type": "FeatureCollection", "features": [', "is cut short"),
        (b"case,score\n1,2\n", "is not JSON"),
        (b"[1,2,]", "is not JSON"),
        (b"\xff\xfe[\x00]\x00", "is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1" + b"0" * 5000 + b"]", "a number that cannot be read"),
        (gzip.compress(b"[" + b" " * 5000, mtime=0)[:-20], "damaged or incomplete gzip"),
        (b"\x1f\x8b\x08\x00garbage here", "damaged or incomplete gzip"),
        (b"PK\x03\x04garbage here", "damaged or encrypted zip"),
    ],
)
def test_damage_is_named_with_the_file(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "käse 'x'.geojson"
    path.write_bytes(data)
    with pytest.raises(RegionFileError, match=message) as caught:
        load_json(path)
    assert "käse 'x'.geojson" in str(caught.value)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.geojson", tmp_path):
        with pytest.raises(RegionFileError, match="cannot be read"):
            read_limited(path)


def test_the_size_limit_holds_for_the_unpacked_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.geojson.gz"
    path.write_bytes(gzip.compress(b" " * 5_000_000))
    monkeypatch.setattr(json_files, "MAX_BYTES", 1_000_000)
    with pytest.raises(RegionFileError, match="holds more than"):
        read_limited(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_gzip_is_recognised_by_content_and_a_byte_order_mark_is_dropped(
    mark: bytes, pack, tmp_path: Path
) -> None:
    path = tmp_path / "any name"
    path.write_bytes(pack(mark + b'{"a": [1, 2.5]}'))
    assert load_json(path) == {"a": [1, 2.5]}


def test_bare_nan_and_infinity_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "lenient.geojson"
    path.write_text(json.dumps({"a": float("nan"), "b": float("-inf")}))
    found = load_json(path)
    assert math.isnan(found["a"])
    assert found["b"] == -math.inf


def test_lone_surrogates_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "surrogate.geojson"
    path.write_text('["\\ud800"]')
    assert load_json(path) == ["\ud800"]


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name + ".geojson", data)
    return path


def test_a_zip_archive_of_one_file_is_read_as_qupath_exports_it(tmp_path: Path) -> None:
    assert load_json(zipped(tmp_path / "case.geojson.zip", case=b"[1, 2]")) == [1, 2]
    with pytest.raises(RegionFileError, match="zip archive of 2 GeoJSON files, not one"):
        load_json(zipped(tmp_path / "two.geojson", a=b"[]", b=b"[]"))


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_a_bomb_is_refused_by_what_it_expands_to(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "_SMALL_BYTES", 100_000)
    path = tmp_path / "bomb.geojson"
    if kind == "gzip":
        path.write_bytes(gzip.compress(b" " * 5_000_000))
    else:
        zipped(path, bomb=b" " * 5_000_000)
    with pytest.raises(RegionFileError, match=r"holds more than 1 MiB, against \d,\d+ bytes on disk"):
        read_limited(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "case.geojson")
    with pytest.raises(RegionFileError, match="a pipe or a device, not a file"):
        read_limited(tmp_path / "case.geojson")
