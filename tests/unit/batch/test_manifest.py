from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.batch.manifest import (
    ManifestRow,
    is_manifest,
    manifest_csv,
    read_manifest,
    read_refs,
)
from qupath_her2.errors import CasesFileError, SettingsError
from qupath_her2.records import SlideRef
from qupath_her2.runs.probe import Probe


def listed(folder: Path, text: str) -> Path:
    path = folder / "slides.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_is_read_back_as_written(tmp_path: Path) -> None:
    probe = Probe("f" * 64, 10, 20, 0.1 + 0.2, "svs, 0.30 µm, HER2", True, 1.25, "aperio SS1", "2026-11-30")
    rows = [
        ManifestRow(
            SlideRef("1_a", "a.svs", tmp_path / "a.svs", tmp_path / "a.geojson"), probe, "r", 5, 7, 4.5, "g", "k"
        ),
        ManifestRow(SlideRef("2_b", "b.svs", tmp_path / "b.svs"), Probe(problem="gone, \"x\"", failure="unreadable")),
    ]  # fmt: skip
    path = tmp_path / "manifest.csv"
    path.write_bytes(manifest_csv(rows))
    assert list(read_manifest(path).values()) == rows
    assert (rows[0].is_unreadable, rows[1].is_unreadable) == (False, True)
    # A manifest is a list of slides, too.
    refs, said = read_refs(path)
    assert [ref.path.name for ref in refs] == ["a.svs", "b.svs"]
    assert refs[0].regions_path == tmp_path / "a.geojson"
    assert said[refs[0].id] == ("aperio SS1", "2026-11-30")


def test_other_manifests_are_not_read_back(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "none.csv") == {}
    assert read_manifest(listed(tmp_path, "image\na.svs\n")) == {}
    assert is_manifest(tmp_path / "slides.csv")
    assert not is_manifest(tmp_path)
    assert not is_manifest(tmp_path / "none.csv")


def test_a_users_list_names_slides_regions_and_cases(tmp_path: Path) -> None:
    (tmp_path / "b.geojson").touch()
    text = (
        "image;regions;pixel_size_um;site;scanner;date\n"
        "b.svs;;0,25;gastric;S1;2026-01-02\n"
        "/elsewhere/a.svs;r.geojson;;;;\n"
    )
    (a, b), said = read_refs(listed(tmp_path, text))
    assert (a.name, a.path, a.regions_path) == (
        "/elsewhere/a.svs",
        Path("/elsewhere/a.svs"),
        tmp_path / "r.geojson",
    )
    assert (b.name, b.path, b.regions_path) == ("b.svs", tmp_path / "b.svs", tmp_path / "b.geojson")
    assert (b.pixel_size_um, b.case.site, a.pixel_size_um) == (0.25, "gastric", None)
    assert said == {a.id: ("", ""), b.id: ("S1", "2026-01-02")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na.svs\n", "among them image"),
        ("image\n", "lists no slides"),
        ("image,date\na.svs,\na.svs,x\n", "a second time|occurs twice"),
        ("image,pixel_size_um\na.svs,40x\n", "line 2: pixel_size_um '40x'"),
        ("image,site\na.svs,lung\n", "lung"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((SettingsError, CasesFileError), match=message):
        read_refs(listed(tmp_path, text))
