"""Region files: which one belongs to which image, and which belong to none."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project.json_files import load_json
from qupath_her2.project.region_files import find_region_files, unclaimed_region_files

APERIO = "<?xml version='1.0'?>\n<Annotations MicronsPerPixel='0.25'/>"


def make(folder: Path, *names: str, text: str = APERIO) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


def chosen(folder: Path, *images: str) -> dict[str, str]:
    found = find_region_files(make(folder, *images), folder)
    return {image.name: path.name for image, path in found.by_image.items()}


def test_xml_and_ndpa_belong_to_the_image_of_their_name(tmp_path: Path) -> None:
    make(tmp_path, "a.xml", "b.svs.xml", "c.ndpi.ndpa", "d.ndpa", "e.XML")
    assert chosen(tmp_path, "a.svs", "b.svs", "c.ndpi", "d.ndpi", "e.svs", "f.svs") == {
        "a.svs": "a.xml",
        "b.svs": "b.svs.xml",
        "c.ndpi": "c.ndpi.ndpa",
        "d.ndpi": "d.ndpa",
        "e.svs": "e.XML",
    }


@pytest.mark.parametrize("xml", ["a.xml", "a.svs.xml"])
def test_geojson_wins_and_a_sentence_says_so(xml: str, tmp_path: Path) -> None:
    make(tmp_path, xml, "a.geojson")
    assert chosen(tmp_path, "a.svs") == {"a.svs": "a.geojson"}
    assert unclaimed_region_files([tmp_path / "a.svs"], [], tmp_path) == [
        f"Region file '{xml}' of image 'a.svs' is not used, because 'a.geojson' is there too. "
        "Delete the one that is out of date."
    ]


def test_xml_of_another_kind_is_no_region_file(tmp_path: Path) -> None:
    make(tmp_path, "a.xml", text="<ScanSettings/>")
    make(tmp_path, "b.xml", text="<ASAP_Annotations/>")
    make(tmp_path, "c.xml", text="damaged")
    # Damaged XML is left to its reader, which fails the image with the reason.
    assert chosen(tmp_path, "a.svs", "b.svs", "c.svs") == {"b.svs": "b.xml", "c.svs": "c.xml"}
    images = [tmp_path / f"{name}.svs" for name in "abc"]
    (sentence,) = unclaimed_region_files(images, [], tmp_path)
    assert sentence.startswith("Not read: 'a.xml' (XML that holds no regions of Aperio ImageScope or ASAP).")


def test_two_files_for_one_image_and_one_for_two(tmp_path: Path) -> None:
    make(tmp_path, "a.xml", "a.ndpa", "b.xml")
    with pytest.raises(RegionFileError) as caught:
        chosen(tmp_path, "a.ndpi", "b.svs", "b.tif")
    assert "image 'a.ndpi' has two region files, 'a.xml' and 'a.ndpa'" in str(caught.value)
    assert "'b.xml' could belong to 'b.svs' and 'b.tif'; rename it to 'b.svs.xml'" in str(caught.value)


def test_a_name_typed_wrongly_is_named_with_the_likely_image(tmp_path: Path) -> None:
    images = make(tmp_path, "case07.svs", "case08.svs")
    make(tmp_path, "case7.geojson", "case08.geojson", "far.geojson.gz", "unread.geojson")
    (sentence,) = unclaimed_region_files(images, [tmp_path / "unread.czi"], tmp_path)
    assert sentence == (
        "Region files without an image of that name: 'case7.geojson', 'far.geojson.gz'. Name a region file after its "
        "image: is 'case7.geojson' meant for 'case07'?"
    )
    (sentence,) = unclaimed_region_files([], [], tmp_path)
    assert sentence.endswith("Name a region file after its image, e.g. case07.geojson for case07.svs.")


def test_case_of_the_name_is_hinted_at(tmp_path: Path) -> None:
    images = make(tmp_path, "Slide.svs")
    make(tmp_path, "SLIDE.geojson")
    if (tmp_path / "slide.SVS").exists():
        pytest.skip("this file system does not tell upper from lower case")
    (sentence,) = unclaimed_region_files(images, [], tmp_path)
    assert sentence.endswith("is 'SLIDE.geojson' meant for 'Slide'?")


def test_the_regions_of_a_dicom_slide_lie_beside_its_folder_or_its_file(tmp_path: Path) -> None:
    (slide,) = make(tmp_path, "S1/level0.dcm")
    make(tmp_path, "S1.geojson")
    assert find_region_files([slide], tmp_path).by_image == {slide: tmp_path / "S1.geojson"}
    assert unclaimed_region_files([slide], [], tmp_path) == []
    make(tmp_path, "S1/level0.geojson")
    with pytest.raises(RegionFileError, match="has two region files"):
        find_region_files([slide], tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_folder_a_pipe_and_a_broken_link_named_like_a_region_file_are_refused(tmp_path: Path) -> None:
    """Passed over, their images would count as images without regions."""
    images = make(tmp_path, "a.png", "b.png", "c.png", "d.png")
    (tmp_path / "a.geojson").mkdir()
    (tmp_path / "b.geojson.gz").symlink_to(tmp_path / "b.geojson.gz")
    os.mkfifo(tmp_path / "c.png.geojson")
    (tmp_path / "d.xml").mkdir()
    with pytest.raises(RegionFileError) as caught:
        find_region_files(images, tmp_path)
    assert str(caught.value).splitlines()[1:] == [
        "  'a.geojson' is a folder, not a file; rename or delete it",
        "  'b.geojson.gz' is a broken link, not a file; rename or delete it",
        "  'c.png.geojson' is a pipe or a device, not a file; rename or delete it",
        "  'd.xml' is a folder, not a file; rename or delete it",
    ]
    assert unclaimed_region_files(images, [], tmp_path) == []


def test_an_archive_named_as_qupath_does_is_a_region_file_if_it_holds_geojson(tmp_path: Path) -> None:
    """QuPath's compressed export of case.png is case.zip, and macOS packs attributes beside it."""
    images = make(tmp_path, "case.png", "other.png", "third.png")
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as archive:
        archive.writestr("case.geojson", '{"type": "FeatureCollection", "features": []}')
        archive.writestr("__MACOSX/._case.geojson", "attributes")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing drawn")
    (tmp_path / "third.zip").write_bytes(b"PK\x03\x04 cut off")
    found = find_region_files(images, tmp_path).by_image
    # A damaged archive may have held regions: its reader says so.
    assert found == {images[0]: tmp_path / "case.zip", images[2]: tmp_path / "third.zip"}
    assert load_json(found[images[0]]) == {"type": "FeatureCollection", "features": []}
    with pytest.raises(RegionFileError, match="damaged or encrypted zip archive"):
        load_json(found[images[2]])
    assert unclaimed_region_files(images, [], tmp_path) == []


def test_an_archive_that_no_image_claims_is_named(tmp_path: Path) -> None:
    images = make(tmp_path, "case.png")
    for name, member in {"csae.zip": "csae.geojson", "pictures.zip": "picture.png"}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "{}")
    (sentence,) = unclaimed_region_files(images, [], tmp_path)
    assert "'csae.zip'" in sentence
    assert "pictures.zip" not in sentence


def test_a_zipped_region_file_is_found(tmp_path: Path) -> None:
    (image,) = make(tmp_path, "case.png", "case.geojson.zip")[:1]
    assert find_region_files([image], tmp_path).by_image == {image: tmp_path / "case.geojson.zip"}
