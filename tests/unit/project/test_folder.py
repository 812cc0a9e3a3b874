"""Image folders: which files are images, which region file belongs to which, and pulled projects."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import Her2Error, RegionFileError
from qupath_her2.project.cases import read_cases, unmatched_cases
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.folder import find_images, folder_notes
from qupath_her2.records import CaseInfo
from tests.helpers.dicom_slide import write_dicom_slide


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def pairs(folder: Path, **options) -> dict[str, str | None]:
    return {s.name: s.regions_path and s.regions_path.name for s in find_images(folder, **options)}


# --- images and their regions


def test_every_kind_of_image_and_region_file(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(
            "a.png",
            "a.geojson",
            "b.JPG",
            "b.roi.geojson",
            "c.Tiff",
            "c.geojson.gz",
            "d.svs",
            "d.roi.geojson.gz",
        ),
        *("e.ome.tif", "e.geojson", "f.ome.tiff", "f.ome.geojson", "g.ndpi", "g.ndpi.geojson", "h.mrxs"),
        *("i.scn", "j.bif", "k.svslide", "notes.txt", "loose.geojson", "._a.png", ".png"),
        *("her2/results/x/overlay.jpg", "h/Slidedat.ini", "h/Data0000.jpg", "sub/z.png"),
    )
    assert pairs(tmp_path) == {
        "a.png": "a.geojson",
        "b.JPG": "b.roi.geojson",
        "c.Tiff": "c.geojson.gz",
        "d.svs": "d.roi.geojson.gz",
        "e.ome.tif": "e.geojson",
        "f.ome.tiff": "f.ome.geojson",
        "g.ndpi": "g.ndpi.geojson",
        "h.mrxs": None,
        "i.scn": None,
        "j.bif": None,
        "k.svslide": None,
    }


def test_sub_folders_without_output_and_slide_parts(tmp_path: Path) -> None:
    make(tmp_path, "a.mrxs", "a/Data.jpg", "her2/x.png", "s/b.png", "s/b.geojson", ".git/c.png", "out/d.png")
    assert pairs(tmp_path, recursive=True, her2=tmp_path / "out") == {"a.mrxs": None, "s/b.png": "b.geojson"}


def test_awkward_names(tmp_path: Path) -> None:
    names = ['it\'s "quoted".png', "with space.png", "Käse.png", "病例.png", "100%.png", "#1.png", "a;b.png"]
    make(tmp_path, *names, *(name.replace(".png", ".GeoJSON") for name in names))
    found = find_images(tmp_path)
    assert sorted(slide.name for slide in found) == sorted(unicodedata.normalize("NFC", n) for n in names)
    assert all(slide.regions_path is not None and slide.path.read_bytes() == b"x" for slide in found)
    assert len({slide.id for slide in found}) == len(names)


def test_decomposed_names_from_macos_match_and_keep_their_id(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Käse.png")
    make(tmp_path, decomposed, unicodedata.normalize("NFC", "Käse.geojson"))
    (slide,) = find_images(tmp_path)
    assert slide.regions_path is not None
    assert slide.id == folder_image_id("Käse.png")
    make(tmp_path, unicodedata.normalize("NFC", "Käse.png"))
    if len(list(tmp_path.glob("*.png"))) == 2:  # macOS itself sees one file
        with pytest.raises(Her2Error, match="Käse"):
            find_images(tmp_path)


def test_ambiguous_region_files_are_an_error(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.tif", "a.geojson", "b.png", "b.geojson", "b.roi.geojson")
    with pytest.raises(RegionFileError) as caught:
        find_images(tmp_path)
    assert "'a.geojson' could belong to 'a.png' and 'a.tif'; rename it to 'a.png.geojson'" in str(
        caught.value
    )
    assert "image 'b.png' has two region files, 'b.geojson' and 'b.roi.geojson'" in str(caught.value)


def test_a_region_file_with_the_full_image_name_resolves_the_ambiguity(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.tif", "a.png.geojson", "a.tif.geojson")
    assert pairs(tmp_path) == {"a.png": "a.png.geojson", "a.tif": "a.tif.geojson"}
    (tmp_path / "a.tif.geojson").rename(tmp_path / "a.geojson")
    assert pairs(tmp_path) == {"a.png": "a.png.geojson", "a.tif": "a.geojson"}


def test_hamamatsu_tiles_are_not_images(tmp_path: Path) -> None:
    make(tmp_path, "s.jpg", "s(1,0).jpg", "other.jpg")
    (tmp_path / "s.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=s.jpg\nImageFile(1,0)=s(1,0).jpg\n"
    )
    assert set(pairs(tmp_path)) == {"other.jpg", "s.vms"}
    (tmp_path / "broken.vms").write_bytes(b"\xff\x00 no sections")
    assert "broken.vms" in pairs(tmp_path)


def test_a_selection_of_images(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "c.png")
    assert set(pairs(tmp_path, names=["c", "a.png"])) == {"a.png", "c.png"}
    with pytest.raises(Her2Error, match=r"No image 'd' in .* Available: a.png, b.png, c.png"):
        find_images(tmp_path, names=["d"])


def test_an_image_is_not_a_project(tmp_path: Path) -> None:
    make(tmp_path, "slide.svs", "notes.txt")
    with pytest.raises(Her2Error) as caught:
        find_images(tmp_path / "slide.svs")
    assert str(caught.value) == (
        "'slide.svs' is an image, not a project. Put it into a folder with slide.geojson and run that folder,\n"
        "       or: qupath-her2 run . --images slide.svs --whole-tissue"
    )
    with pytest.raises(Her2Error, match="is a file, not a folder"):
        find_images(tmp_path / "notes.txt")


def test_no_images_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Her2Error, match=r"No image in .* Looked for files ending in .*\.svs"):
        find_images(tmp_path)
    with pytest.raises(Her2Error, match="does not exist"):
        find_images(tmp_path / "nowhere")


def test_a_dicom_slide_is_known_by_its_folder(tmp_path: Path) -> None:
    pixels = np.full((200, 200, 3), 230, np.uint8)
    write_dicom_slide(tmp_path / "S1", pixels, series="2.25.1")
    write_dicom_slide(tmp_path / "S2", pixels, series="2.25.2", names=("1.2.840.3",))
    make(tmp_path, "S1.geojson", "c.png")
    (tmp_path / "cases.csv").write_text("image,case\nS1,K1\nS2,K2\nc,K3\n")
    found = find_images(tmp_path)
    assert [(slide.name, slide.case.case) for slide in found] == [
        ("c.png", "K3"),
        ("S1/a.dcm", "K1"),
        ("S2/1.2.840.3", "K2"),
    ]
    assert [slide.regions_path for slide in found] == [None, tmp_path / "S1.geojson", None]
    assert unmatched_cases(read_cases(tmp_path / "cases.csv"), [slide.name for slide in found]) == ()
    assert set(pairs(tmp_path, names=["S2"])) == {"S2/1.2.840.3"}


def test_notes_name_what_is_not_read_and_are_empty_elsewhere(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.geojson")
    assert folder_notes(tmp_path) == []
    make(tmp_path, "b.czi", "c.geojson")
    unread, unclaimed = folder_notes(tmp_path)
    assert unread.startswith("Not read: 'b.czi' (Zeiss CZI).")
    assert unclaimed.startswith("Region files without an image of that name: 'c.geojson'.")
    assert folder_notes(tmp_path / "nowhere") == []
    # The images of a QuPath project are those of its list, wherever they lie.
    (tmp_path / "her2").mkdir()
    images = [{"id": "1_a", "name": "a.png", "path": "a.png", "entry_id": "1"}]
    (tmp_path / "her2" / "images.json").write_text(json.dumps({"format": 1, "images": images}))
    assert folder_notes(tmp_path) == []


def test_a_folder_of_formats_that_are_not_read_says_which(tmp_path: Path) -> None:
    make(tmp_path, "b.czi")
    with pytest.raises(Her2Error, match=r"No image in .*\. Not read: 'b\.czi' \(Zeiss CZI\)"):
        find_images(tmp_path)


# --- calibration and case data


def test_calibration_and_case_data_are_merged_in(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "her2/regions/3_a.geojson")
    images = [{"id": "3_a", "name": "a.png", "pixel_size_um": 0.25, "stains": {"H": [1, 0, 0]}, "later": 1}]
    (tmp_path / "her2" / "images.json").write_text(json.dumps({"format": 1, "images": images}))
    (tmp_path / "cases.csv").write_text("image,case,specimen\nb,K7,gastric biopsy\n")
    first, second = find_images(tmp_path)
    assert (first.id, first.pixel_size_um, first.stains) == ("3_a", 0.25, {"H": [1, 0, 0]})
    assert first.regions_path == tmp_path / "her2" / "regions" / "3_a.geojson"
    assert (second.id, second.pixel_size_um) == (folder_image_id("b.png"), None)
    assert second.case == CaseInfo("K7", "gastric", "biopsy", guideline_origin="cases.csv")
    make(tmp_path, "her2/cases.csv")
    with pytest.raises(Her2Error, match="two case lists"):
        find_images(tmp_path)
